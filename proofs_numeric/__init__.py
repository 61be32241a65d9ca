"""The registry of claims, each with its check, its tightness and a falsifier that the check must catch."""

from proofs_numeric import claims
from proofs_numeric.claim import CLAIMS, Claim, Evidence, Falsifier, Report, check

__all__ = ["CLAIMS", "Claim", "Evidence", "Falsifier", "Report", "check", "claims"]
