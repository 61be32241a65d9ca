"""Bias against variance of an EP estimate: the nudging with the least mean square error.

Main results: Tradeoff, orders (thm:C9).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meanfield.equations import mean_square_error, optimal_error, optimal_nudging
from meanfield.model import FloatArray

# Bias β^p of each estimator; the random sign only mixes the two halves of the symmetric one.
BIAS_ORDERS = {"one-sided": 1, "symmetric": 2, "random-sign": 2}


class Tradeoff(NamedTuple):
    """Squared bias a²β^2p and variance v/(Sβ^q) of a gradient estimate from S replicas, to leading order in the nudging β.

    bias_coefficient a > 0 (a norm over the weights), variance_coefficient v > 0 (a sum over them). Paper: thm:C9.
    """

    bias_coefficient: float
    bias_order: int
    variance_coefficient: float
    variance_order: int

    def mean_square_error(self, nudging: ArrayLike, samples: ArrayLike) -> FloatArray:
        """a²β^2p + v/(Sβ^q)."""
        return np.asarray(mean_square_error(np.asarray(nudging, dtype=float), np.asarray(samples, dtype=float), *self))

    def best_nudging(self, samples: ArrayLike) -> FloatArray:
        """β* = (qv/2pa²S)^(1/(2p+q))."""
        return np.asarray(optimal_nudging(np.asarray(samples, dtype=float), *self))

    def least_error(self, samples: ArrayLike) -> FloatArray:
        """The mean square error at β*, (1 + 2p/q) a²β*^2p, which falls like S^(−2p/(2p+q))."""
        return np.asarray(optimal_error(np.asarray(samples, dtype=float), *self))


def orders(estimator: str, coupled: bool) -> tuple[int, int]:
    """(p, q) of whole spikes: bias β^p, variance 1/(Sβ^q), q = 1 for coupled phases and 2 for independent ones."""
    if estimator not in BIAS_ORDERS:
        raise ValueError(f"estimator must be one of {', '.join(BIAS_ORDERS)}, got {estimator!r}")
    return BIAS_ORDERS[estimator], 1 if coupled else 2
