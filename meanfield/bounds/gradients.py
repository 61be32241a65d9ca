"""How far the mean-field gradient is from the exact Gibbs gradient, cost on spikes.

Main results: gradient_error (thm:C6), from |J|, T and the cost alone; local_gradient_error, gibbs_gradient (thm:C6b),
from the fixed point that was found.
"""

from __future__ import annotations

import numpy as np

from meanfield.bounds.cumulants import PASSES, gibbs_cumulants
from meanfield.bounds.enclosure import Enclosure
from meanfield.bounds.hypotheses import require_absolute_gain
from meanfield.equations import SUP_CURVATURE, SUP_SLOPE, SUP_THIRD
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from meanfield.response import implicit_gradient
from meanfield.solve import fixed_point


def gradient_error(model: Model, cost: QuadraticCost, *, nudging: float = 0.0) -> Gradient:
    """|dC̄(m*)/dθ − ∂⟨C⟩/∂θ| ≤ e_i/T for b_i and (m̂_j e_i + m̂_i e_j + X̂_i δ_j + X̂_j δ_i + k_ij)/T for J_ij, cost on spikes.

    The bound on the difference of the derivatives at every nudge of at most |nudging|, hence of the one-sided and the
    symmetric estimate of both systems at that nudging: e, δ, X̂ and k do not depend on the bias, and m̂ = m* when nudging
    is 0, else min(1, m* + |nudging| x̂/T), x̂ = (I − |J|/4T)⁻¹|c|/4. Where they are smaller, the plain sizes of the two
    gradients, (X̂_i + x̂_i)/T and (Σ|c|/4 + m̂_j x̂_i + m̂_i x̂_j)/T, take their place.
    *Holds when* κ_a < 1. Raises HypothesisError, ValueError for a nudging that is not finite. Paper: thm:C6.
    """
    require_absolute_gain(model)
    if not np.isfinite(nudging):
        raise ValueError(f"nudging must be finite, got {nudging}")
    _, offset = cost.force(model.size, "spikes")
    strength, absolute = np.abs(offset), np.abs(model.couplings) / model.temperature
    propagator = np.linalg.inv(np.eye(model.size) - SUP_SLOPE * absolute)
    dobrushin = np.linalg.inv(np.eye(model.size) - model.influence)
    diagonal = np.diagonal(dobrushin)
    spread = SUP_SLOPE * dobrushin / np.maximum.outer(diagonal, diagonal)
    field_variance = np.einsum("ij,jk,ki->i", absolute, spread, absolute)
    reach, response = dobrushin @ strength, spread @ strength
    shift = propagator @ (SUP_CURVATURE / 2 * field_variance)

    slope_error = np.minimum(SUP_SLOPE, SUP_CURVATURE * absolute @ shift + SUP_THIRD / 2 * field_variance)
    curved = 0.5 * np.sqrt(field_variance) * (absolute @ reach) + (absolute @ shift) * (absolute @ response)
    bias = propagator @ (strength * slope_error + SUP_CURVATURE * curved)

    linear = SUP_SLOPE * (propagator @ strength)
    mean = fixed_point(model, method="newton").value
    mean = np.minimum(1.0, mean + abs(nudging) / model.temperature * linear)
    one_way = np.outer(bias, mean) + np.outer(response, shift)
    plain = np.outer(linear, mean)
    couplings = np.minimum(
        one_way + one_way.T + _third_cumulant(model, strength, dobrushin, field_variance),
        plain + plain.T + SUP_SLOPE * strength.sum(),
    )
    bias = np.minimum(bias, response + linear)
    np.fill_diagonal(couplings, 0.0)
    return Gradient(couplings / model.temperature, bias / model.temperature)


def _third_cumulant(
    model: Model, strength: FloatArray, dobrushin: FloatArray, field_variance: FloatArray
) -> FloatArray:
    """k_ij ≥ |E(z_i − μ_i)(z_j − μ_j)(f − ⟨f⟩)| for i ≠ j, f = c·z: the smaller of its two readings, (N, N)."""
    absolute, influence = np.abs(model.couplings) / model.temperature, model.influence
    deviation, reach = SUP_SLOPE * np.sqrt(field_variance), dobrushin @ strength
    first = SUP_SLOPE * SUP_CURVATURE * strength[:, None] * (absolute @ dobrushin)
    through_others = (influence @ reach)[:, None] - influence * reach
    through_second = SUP_SLOPE * deviation[:, None] + influence * (SUP_CURVATURE + SUP_SLOPE * deviation)
    one_way = first + through_others / 8 + through_second * reach
    return np.minimum(one_way, one_way.T)


def local_gradient_error(model: Model, cost: QuadraticCost, *, passes: int = PASSES) -> Gradient:
    """|dC̄(m*)/dθ − ∂⟨C⟩/∂θ|, entrywise: the leading terms of the difference at m*, and bounds on what they leave.

    Never above gradient_error(model, cost). *Holds when* κ_a < 1, else HypothesisError. Paper: thm:C6b.
    """
    a_priori, (couplings, bias) = gradient_error(model, cost), _difference(model, cost, passes)
    return Gradient(np.minimum(couplings.magnitude, a_priori.couplings), np.minimum(bias.magnitude, a_priori.bias))


def gibbs_gradient(model: Model, cost: QuadraticCost, *, passes: int = PASSES) -> tuple[Gradient, Gradient]:
    """(centre, radius): ∂⟨C⟩/∂θ under exp(−E/T) lies within centre ± radius, entrywise, and no state is enumerated.

    *Holds when* κ_a < 1, else HypothesisError. Paper: thm:C6b.
    """
    couplings, bias = _difference(model, cost, passes)
    mean_field = implicit_gradient(model, cost, "spikes")
    centre = Gradient(mean_field.couplings + couplings.centre, mean_field.bias + bias.centre)
    return centre, Gradient(couplings.radius, bias.radius)


def _difference(model: Model, cost: QuadraticCost, passes: int) -> tuple[Enclosure, Enclosure]:
    """∂⟨C⟩/∂θ − dC̄(m*)/dθ for couplings (N, N) and bias (N,), by lem:both-gradients."""
    _, offset = cost.force(model.size, "spikes")
    cumulants = gibbs_cumulants(model, passes=passes)
    exact = cumulants.covariance.summed("j,ij->i", offset)
    bias = (cumulants.covariance - cumulants.response).summed("j,ij->i", offset)
    one_way = cumulants.shift * exact[:, None] + cumulants.mean_field * bias[:, None]
    couplings = one_way + one_way.T + cumulants.third.summed("k,ijk->ij", offset)
    off = 1.0 - np.eye(model.size)
    return couplings * (off / model.temperature), bias * (1 / model.temperature)
