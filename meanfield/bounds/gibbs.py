"""Bounds on the stationary laws of spikes: covariances, mixing, distance of the means from the mean field.

Main results: covariance (thm:B3), gibbs_mean_error (thm:B6), little_covariance, little_mean_error (thm:B7), mixing_sweeps
(thm:B3, thm:B7, lem:leaky-ergodic).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from meanfield.bounds.hypotheses import require, require_absolute_gain, require_dobrushin
from meanfield.bounds.ranges import largest_curvature, largest_slope
from meanfield.model import FloatArray, Model, leak_vector


def covariance(model: Model) -> FloatArray:
    """|Cov(z_i, z_j)| ≤ min(ℓ_i, ℓ_j) D_ij / max(D_ii, D_jj) ≤ ¼D_ij under exp(−E/T), (N, N).

    ℓ_i ≤ ¼ is the largest variance that the fields of unit i allow. Holds when ρ(C) < 1. Paper: thm:B3.
    """
    return _covariance(model, model.influence)


def little_covariance(model: Model) -> FloatArray:
    """Little's |Cov(z_i, z_j)|: covariance with D' = (I − C²)⁻¹ for D, (N, N). Holds when ρ(C) < 1. Paper: thm:B7."""
    return _covariance(model, model.influence @ model.influence)


def gibbs_mean_error(model: Model) -> FloatArray:
    """|E z − m*| ≤ (I − L)⁻¹ [w ∘ diag(|J| Ĉ |J|)], (N,), Ĉ = covariance(model). Holds when κ_a < 1. Paper: thm:B6.

    L = diag(ℓ)|J|/T, ℓ_i = max σ' ≤ ¼ and k_i = max|σ''| ≤ M₂ over the fields that unit i can have, and
    w_i = min(k_i/2T², (|b_i| + (4/3)Σ_j|J_ij|)/16T³). Never above (I − |J|/4T)⁻¹ (M₂/2T²) diag(|J| ¼D |J|); O(T⁻³) at fixed b.
    """
    require_absolute_gain(model)
    return _mean_error(model, covariance(model))


def little_mean_error(model: Model) -> FloatArray:
    """Little's |E z − m*|: gibbs_mean_error with Ĉ = little_covariance(model), (N,). Holds when κ_a < 1. Paper: thm:B7."""
    require_absolute_gain(model)
    return _mean_error(model, little_covariance(model))


def mixing_sweeps(
    model: Model,
    *,
    dynamics: str = "glauber",
    leak: float | ArrayLike = 1.0,
    accuracy: float = 1e-3,
    nudging: float = 0.0,
) -> int:
    """Sweeps after which the law is within `accuracy` of the stationary one from any start.

    glauber: ⌈N ln(N/η)/(1 − ρ(C))⌉ updates, η the total variation (thm:B3); block and little: N ρ(C)^t ≤ η (thm:B7);
    leaky: the ℓ₁ distance of coupled traces, N √(ε_max/ε_min) (1 − ε_min(1 − κ_a))^t ≤ η (thm:B5); a nudge by the cost
    on rates adds |nudging|/4T to κ_a, one on spikes nothing. leak: number or (N,). Holds when ρ(C) < 1 (leaky: κ_a < 1).
    """
    if dynamics not in ("glauber", "block", "little", "leaky"):
        raise ValueError(
            f"dynamics must be glauber, block, little or leaky, got {dynamics!r}: no mixing time is proven for it"
        )
    if not 0 < accuracy < 1:
        raise ValueError(f"accuracy must lie between 0 and 1, got {accuracy}")
    scale = math.log(model.size / accuracy)
    if dynamics == "leaky":
        leaks = leak_vector(leak, model.size)
        gain = model.absolute_gain + abs(nudging) / (4 * model.temperature)
        require(gain < 1, "κ_a = ‖|J|‖₂/(4T)" + (" + |nudging|/(4T)" if nudging else ""), gain)
        rate = 1 - float(leaks.min()) * (1 - gain)
        scale += 0.5 * math.log(leaks.max() / leaks.min())
    else:
        rate = require_dobrushin(model)
    if dynamics == "glauber":
        return math.ceil(math.ceil(model.size * scale / (1 - rate)) / model.size)
    return max(1, math.ceil(scale / -math.log(rate))) if rate > 0 else 1


def _covariance(model: Model, influence: FloatArray) -> FloatArray:
    require_dobrushin(model)
    propagated = np.linalg.inv(np.eye(model.size) - influence)
    diagonal, variance = np.diagonal(propagated), largest_slope(model)
    return np.minimum.outer(variance, variance) * propagated / np.maximum.outer(diagonal, diagonal)


def _mean_error(model: Model, spread: FloatArray) -> FloatArray:
    absolute, temperature = np.abs(model.couplings), model.temperature
    variance = np.einsum("ij,jk,ki->i", absolute, spread, absolute)
    cubic = (np.abs(model.bias) + 4 / 3 * absolute.sum(axis=1)) / (16 * temperature**3)
    residual = np.minimum(largest_curvature(model) / (2 * temperature**2), cubic) * variance
    propagator = np.eye(model.size) - largest_slope(model)[:, None] * absolute / temperature
    return np.linalg.solve(propagator, residual)
