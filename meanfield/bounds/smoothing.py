"""Bounds on how steep and how curved a loss can be: what temperature does to the landscape.

Main results: response_norm, response_curvature, loss_curvature (thm:D1), gibbs_loss_slope, gibbs_loss_curvature,
gibbs_loss_smoothness (thm:D2).
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from meanfield.bounds.gibbs import covariance
from meanfield.bounds.hypotheses import require
from meanfield.bounds.ranges import field_ranges, largest_curvature, largest_slope
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray, Gradient, HypothesisError, Model, QuadraticCost


def response_norm(model: Model) -> float:
    """‖∂m*/∂b‖₂ ≤ R = 1/λ_min(T diag(1/ℓ) − J) ≤ 1/(4T − λ_max(J)), ℓ_i = max σ' ≤ ¼ over the fields of unit i.

    In the unit 1/temperature. Holds when λ_max(J) < 4T. Paper: thm:D1.
    """
    limit = 4 * model.temperature
    require(model.spectrum[-1] < limit, "λ_max(J)", float(model.spectrum[-1]), limit)
    # scaled by √(ℓ/T) the system stays finite for units that cannot move (ℓ = 0)
    scale = np.sqrt(largest_slope(model) / model.temperature)
    system = np.eye(model.size) - scale[:, None] * model.couplings * scale
    return float(np.linalg.eigvalsh(scale[:, None] * np.linalg.inv(system) * scale)[-1])


def response_curvature(model: Model) -> float:
    """‖∂²m*/∂b²‖ ≤ k(1 + ‖J‖₂R)³/T² ≤ M₂/(T²(1 − κ)³), k = max|σ''| over the units' fields, R = response_norm(model).

    The norm of the bilinear map, sup ‖∂²m*/∂b²[u, w]‖₂ over unit vectors. Holds when λ_max(J) < 4T. Paper: thm:D1.
    """
    reach = 1 + float(np.abs(model.spectrum).max()) * response_norm(model)
    return float(largest_curvature(model).max()) * reach**3 / model.temperature**2


def loss_curvature(model: Model, cost: QuadraticCost, *, cost_on: str = "rates") -> float:
    """‖∇²_b C(m*)‖₂ ≤ ‖∇C‖₂ ‖∂²m*/∂b²‖ + ‖∇²C‖₂ ‖∂m*/∂b‖₂², both by their bounds, ‖∇C‖ at its largest over all rates.

    Holds when λ_max(J) < 4T. Paper: thm:D1.
    """
    slope, offset = cost.force(model.size, cost_on)
    low, high = (firing_probability(field, 1.0) for field in field_ranges(model))
    steepest = np.maximum(np.abs(slope * low + offset), np.abs(slope * high + offset))
    bent = float(np.linalg.norm(steepest)) * response_curvature(model)
    return bent + float(slope.max()) * response_norm(model) ** 2


def gibbs_loss_slope(model: Model, cost: QuadraticCost) -> Gradient:
    """|∂⟨C⟩/∂θ_a| ≤ R_C Var(φ_a)/T under exp(−E/T), φ = z_i or z_iz_j, R_C = max C − min C, C on spikes; entrywise.

    Var(φ_a) at its largest over E φ_a ∈ [σ(low), σ(high)], products of these for pairs; at most ¼. Holds for every model;
    no contraction is needed. Paper: thm:D2.
    """
    low, high = (firing_probability(field, 1.0) for field in field_ranges(model))
    scale = cost_range(model, cost) / model.temperature
    pairs = activity_variance(np.clip(0.5, np.outer(low, low), np.outer(high, high)))
    np.fill_diagonal(pairs, 0.0)
    return Gradient(scale * pairs, scale * largest_slope(model))


def gibbs_loss_curvature(model: Model, cost: QuadraticCost) -> FloatArray:
    """|∂²⟨C⟩/∂b_i∂b_j| ≤ (R_C/2T²)√τ(√(ℓ_iℓ_j)) ≤ R_C/8T² for i ≠ j, R_C k_i/T² for i = j; (N, N).

    τ(s) = s(1 − 4s) up to s = ⅛, 1/16 beyond, is the largest variance of (z_i − μ_i)(z_j − μ_j) when v_iv_j ≤ s².
    Holds for every model. Paper: thm:D2.
    """
    slopes = largest_slope(model)
    spread = np.minimum(np.sqrt(np.outer(slopes, slopes)), 1 / 8)
    curvature = 0.5 * np.sqrt(spread * (1 - 4 * spread))
    np.fill_diagonal(curvature, largest_curvature(model))
    return cost_range(model, cost) / model.temperature**2 * curvature


def gibbs_loss_smoothness(model: Model, cost: QuadraticCost) -> float:
    """‖∇²_b⟨C⟩‖₂ ≤ R_C λ_max(Cov z)/T², λ_max(Cov z) ≤ Σℓ_i, or λ_max of thm:B3's bound where it holds; the least known.

    The norm of gibbs_loss_curvature is a third candidate. Holds for every model. Paper: thm:D2.
    """
    scale = cost_range(model, cost) / model.temperature**2
    candidates = [
        scale * float(largest_slope(model).sum()),
        float(np.linalg.eigvalsh(gibbs_loss_curvature(model, cost))[-1]),
    ]
    with suppress(HypothesisError):
        candidates.append(scale * float(np.linalg.eigvalsh(covariance(model))[-1]))
    return min(candidates)


def cost_range(model: Model, cost: QuadraticCost) -> float:
    """R_C = max C − min C = Σ_o |½ − y_o| of C(z) = ½‖z_o − y‖²."""
    return float(np.abs(cost.force(model.size, "spikes")[1]).sum())
