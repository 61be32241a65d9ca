"""Equilibrium propagation at mean-field fixed points: the gradient from differences of nudged statistics.

Main results: equilibrium_gradient (thm:C1, thm:C2, thm:C3, thm:C7), leading_bias (thm:C3), contrast.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield.equations import one_sided_bias, onsager_pair_statistic, pair_statistic, symmetric_bias
from meanfield.model import Gradient, Model, QuadraticCost
from meanfield.nudged import nudged_series, statistic_derivative
from meanfield.solve import MeanFieldMap, continued_fixed_point, fixed_point

ESTIMATORS = ("one-sided", "symmetric", "holomorphic")
# Newton follows the nudged fixed point in steps of this many temperatures along the ray of the nudging.
CONTINUATION = 0.5


def equilibrium_gradient(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    estimator: str = "symmetric",
    points: int = 8,
    correction: str = "none",
    cost_on: str = "rates",
    start: ArrayLike | None = None,
) -> Gradient:
    """EP estimate of dC(m*)/dθ from g(β) = ∂F/∂θ at the fixed point nudged by β, ∂F/∂J_ij = −m_i m_j, ∂F/∂b_i = −m_i.

    "one-sided" (g(β) − g(0))/β, "symmetric" (g(β) − g(−β))/2β, "holomorphic" (1/(N|β|)) Σ_k e^{−2πik/N} g(|β| e^{2πik/N})
    over N = points. Biases O(β), O(β²), O(β^N) (thm:C3). "onsager" runs EP on the corrected free energy: the statistic is
    −m_i m_j − J_ij v_i v_j / T (thm:C7).
    *Holds when* I − VJ/T is invertible at m*; the nudge acts inside σ. nudging: β ≠ 0, in the unit of the couplings.
    Raises ValueError on bad input, ConvergenceError when a nudged fixed point is lost.
    """
    strengths, weights = contrast(nudging, estimator, points)
    free = fixed_point(model, start=start, correction=correction, method="newton").value

    def statistic(strength: complex) -> tuple[NDArray[Any], NDArray[Any]]:
        mapping = MeanFieldMap.of(model, correction, cost, strength, cost_on)
        mean = continued_fixed_point(mapping, free, CONTINUATION * model.temperature)
        return _statistic(model, mean, mapping.onsager)

    terms = [statistic(strength) for strength in strengths.tolist()]
    couplings = sum(weight * term[0] for weight, term in zip(weights, terms, strict=True))
    bias = sum(weight * term[1] for weight, term in zip(weights, terms, strict=True))
    couplings, bias = np.real(couplings).copy(), np.real(bias).copy()
    np.fill_diagonal(couplings, 0.0)
    return Gradient(couplings, bias)


def leading_bias(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    estimator: str = "symmetric",
    points: int = 8,
    correction: str = "none",
    cost_on: str = "rates",
    start: ArrayLike | None = None,
) -> Gradient:
    """What equilibrium_gradient adds to dC(m*)/dθ, to leading order in β: β g''/2, β² g‴/6, |β|^N g^{(N+1)}/(N + 1)!.

    One-sided, symmetric (also random-sign, in expectation), holomorphic with N = points; g'' and g‴ by implicit
    differentiation. Arguments and errors as equilibrium_gradient. *Holds when* I − VJ/T is invertible at m*. Paper: thm:C3.
    """
    contrast(nudging, estimator, points)  # refuses what it cannot divide by
    order = {"one-sided": 2, "symmetric": 3, "holomorphic": points + 1}[estimator]
    if estimator == "holomorphic" or correction != "none":
        series = nudged_series(model, cost, order=order, correction=correction, cost_on=cost_on, start=start)
        derivative = [math.factorial(order) * part for part in series.coefficient(order)]
    else:
        derivative = list(statistic_derivative(model, cost, order=order, cost_on=cost_on, start=start))
    if estimator == "one-sided":
        return Gradient(*(one_sided_bias(nudging, part) for part in derivative))
    if estimator == "symmetric":
        return Gradient(*(symmetric_bias(nudging, part) for part in derivative))
    return Gradient(*(abs(nudging) ** points * part / math.factorial(order) for part in derivative))


def contrast(nudging: float, estimator: str, points: int = 8) -> tuple[NDArray[Any], NDArray[Any]]:
    """The nudgings β_k and weights w_k of the estimate Σ_k w_k g(β_k) of g'(0); Σ_k w_k = 0, Σ_k w_k β_k = 1.

    "one-sided": (β, 0); "symmetric": (β, −β); "holomorphic": |β|e^{2πik/N}, N = points, complex. Raises ValueError on bad input.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if not (np.isrealobj(nudging) and np.isfinite(nudging)) or nudging == 0:
        raise ValueError(f"nudging must be a finite non-zero real number, got {nudging}: the estimators divide by it")
    if points < 2:
        raise ValueError(f"points must be at least 2, got {points}: two points are the symmetric estimator")
    if estimator == "holomorphic":
        phases = np.exp(2j * np.pi * np.arange(points) / points)
        return abs(nudging) * phases, 1 / (points * abs(nudging) * phases)
    strengths = np.array([nudging, 0.0 if estimator == "one-sided" else -nudging])
    return strengths, np.array([1.0, -1.0]) / (strengths[0] - strengths[1])


def _statistic(model: Model, mean: NDArray[Any], onsager: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """(∂F/∂J (N, N), ∂F/∂b (N,)) with J_ij and J_ji moved together."""
    if onsager:
        return -onsager_pair_statistic(mean[:, None], mean, model.couplings, model.temperature), -mean
    return -pair_statistic(mean[:, None], mean), -mean
