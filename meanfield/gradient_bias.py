"""What the mean-field gradient is wrong by, to leading order in 1/temperature, with and without Onsager's term.

Main results: leading_gradient_bias (thm:C7).
"""

from __future__ import annotations

import numpy as np

from meanfield.equations import activity_variance, firing_curvature, firing_probability, firing_third
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost


def leading_gradient_bias(
    model: Model, cost: QuadraticCost, *, correction: str = "none", scaled_bias: bool = False
) -> Gradient:
    """The leading term, as T → ∞, of (mean-field gradient − Gibbs' gradient) of the cost on spikes.

    scaled_bias False: T → ∞ at fixed b, terms of order T⁻³ ("none") and T⁻⁴ ("onsager"). True: b ∝ T, T⁻² and T⁻³ for the
    couplings, T⁻³ and T⁻⁴ for the bias. Exact gradients are of order T⁻¹. Paper: thm:C7.
    """
    if correction not in ("none", "onsager"):
        raise ValueError(f"correction must be 'none' or 'onsager', got {correction!r}")
    _, offset = cost.force(model.size, "spikes")
    couplings, field = model.couplings / model.temperature, model.bias / model.temperature
    if scaled_bias:
        leading = (_scaled_naive if correction == "none" else _scaled_onsager)(couplings, field, offset)
    else:
        leading = _fixed(couplings, field, offset, correction)
    pairs, units = leading
    np.fill_diagonal(pairs, 0.0)
    return Gradient(pairs / model.temperature, units / model.temperature)


def _scaled_naive(couplings: FloatArray, field: FloatArray, offset: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(c·∂_y)∂_θ G₂ with G₂ = −¼ vᵀ(K∘K)v at v = σ'(y)."""
    mean = firing_probability(field, 1.0)
    variance, slope, bend = activity_variance(mean), firing_curvature(mean, 1.0), firing_third(mean, 1.0)
    squared, turned = couplings**2, slope * offset
    units = -0.5 * (bend * offset * (squared @ variance) + slope * (squared @ turned))
    one_way = np.outer(turned, variance)
    return -couplings * (one_way + one_way.T), units


def _scaled_onsager(couplings: FloatArray, field: FloatArray, offset: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(c·∂_y)∂_θ G₃ with G₃ = −(1/12)aᵀ(K∘K∘K)a − Σ over triangles of KKKvvv at a = σ''(y)."""
    mean = firing_probability(field, 1.0)
    variance, slope, bend = activity_variance(mean), firing_curvature(mean, 1.0), firing_third(mean, 1.0)
    # σ⁗ = a(1 − 12v)
    fourth, cubed, turned = slope * (1 - 12 * variance), couplings**3, slope * offset
    through = (couplings * variance) @ couplings
    triangles = 0.5 * (couplings * through) @ variance
    units = -(fourth * offset * (cubed @ slope) + bend * (cubed @ (bend * offset))) / 6
    units -= bend * offset * triangles + slope * ((couplings * through) @ turned)
    curved = np.outer(bend * offset, slope)
    crossed = np.outer(turned, variance)
    pairs = -0.5 * couplings**2 * (curved + curved.T) - (crossed + crossed.T) * through
    return pairs - np.outer(variance, variance) * ((couplings * turned) @ couplings), units


def _fixed(
    couplings: FloatArray, field: FloatArray, offset: FloatArray, correction: str
) -> tuple[FloatArray, FloatArray]:
    """H c and cᵀ(∂H/∂K_ij)η + ½[(Hc)_i + (Hc)_j] for the Hessian H of G₂ or G₃ in η = y + ½K1 at m = ½."""
    centred = field + 0.5 * couplings.sum(axis=1)
    weighted = offset * centred
    both = weighted[:, None] + weighted
    if correction == "none":
        units = (couplings**2).sum(axis=1) * offset / 64
        pairs = couplings * both / 32
    else:
        through = couplings @ couplings
        triangles = 0.5 * (couplings * through).sum(axis=1)
        units = -(couplings**3 @ offset - 3 * triangles * offset) / 384
        crossed = np.outer(offset, centred)
        pairs = couplings**2 * (crossed + crossed.T) - through * both - (couplings * weighted) @ couplings
        pairs = -pairs / 128
    return pairs + 0.5 * (units[:, None] + units), units
