"""How surprising counts are under a law: shared by the tests of samplers."""

from __future__ import annotations

import numpy as np
from scipy import stats


def surprise(indices: np.ndarray, law: np.ndarray) -> float:
    """Bonferroni's p-value of the most surprising count, each by the exact two-sided binomial test."""
    counts, law = np.bincount(indices, minlength=len(law)), np.clip(law, 0, 1)
    tails = np.minimum(stats.binom.cdf(counts, len(indices), law), stats.binom.sf(counts - 1, len(indices), law))
    return float(min(1.0, 2 * len(law) * tails.min()))
