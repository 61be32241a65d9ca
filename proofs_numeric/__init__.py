"""The registry of claims, each with its check, its tightness and a falsifier that the check must catch.

certify_fixed_point and certify_contraction need python-flint, which is imported when one is first asked for.
"""

from typing import TYPE_CHECKING, Any

from proofs_numeric import claims, comparators
from proofs_numeric.claim import CLAIMS, Claim, Evidence, Falsifier, Report, check

if TYPE_CHECKING:
    from proofs_numeric.balls import certify_contraction, certify_fixed_point

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Falsifier",
    "Report",
    "certify_contraction",
    "certify_fixed_point",
    "check",
    "claims",
    "comparators",
]


def __getattr__(name: str) -> Any:
    if name in ("certify_contraction", "certify_fixed_point"):
        from proofs_numeric import balls

        return getattr(balls, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
