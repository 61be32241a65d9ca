"""What the fields of a unit can be over all states, and the extremes of σ's derivatives there.

Main results: field_ranges, largest_slope, largest_curvature, largest_third, largest_fourth, largest_derivatives,
largest_influence (lem:S3, thm:C6b).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from meanfield.equations import firing_curvature, firing_fourth, firing_probability, firing_slope, firing_third
from meanfield.model import FloatArray, Model

# Where |σ''| is largest, and where |σ‴| has its lower peaks (its largest is at 0).
CURVATURE_PEAK = math.log(2 + math.sqrt(3))
THIRD_PEAK = math.log((math.sqrt(3) + math.sqrt(2)) / (math.sqrt(3) - math.sqrt(2)))
# Where |σ⁗| has its peaks: tanh(x/2) = √((15 ∓ √105)/30).
FOURTH_PEAKS = tuple(2 * math.atanh(math.sqrt((15 + sign * math.sqrt(105)) / 30)) for sign in (-1, 1))


def field_ranges(model: Model, widening: ArrayLike = 0.0) -> tuple[FloatArray, FloatArray]:
    """Least and greatest h_i/T over all states, (N,) each; `widening` (N,), in units of T, is what a nudge adds on either side."""
    low = (model.bias + np.minimum(model.couplings, 0).sum(axis=1)) / model.temperature
    high = (model.bias + np.maximum(model.couplings, 0).sum(axis=1)) / model.temperature
    return low - np.asarray(widening), high + np.asarray(widening)


def largest_slope(model: Model, widening: ArrayLike = 0.0) -> FloatArray:
    """ℓ_i = max σ' over the fields of unit i, which is also the largest m_i(1 − m_i) there, (N,)."""
    return largest_derivatives(*field_ranges(model, widening))[0]


def largest_curvature(model: Model, widening: ArrayLike = 0.0) -> FloatArray:
    """k_i = max|σ''| over the fields of unit i, (N,)."""
    return largest_derivatives(*field_ranges(model, widening))[1]


def largest_third(model: Model) -> FloatArray:
    """k'_i = max|σ‴| over the fields of unit i, (N,)."""
    return largest_derivatives(*field_ranges(model))[2]


def largest_derivatives(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """max σ', max|σ''| and max|σ‴| over h/T between low and high, entry by entry."""
    return (
        _largest(low, high, firing_slope, (0.0,)),
        _largest(low, high, firing_curvature, (-CURVATURE_PEAK, CURVATURE_PEAK)),
        _largest(low, high, firing_third, (-THIRD_PEAK, 0.0, THIRD_PEAK)),
    )


def largest_fourth(model: Model) -> FloatArray:
    """k''_i = max|σ⁗| over the fields of unit i, (N,)."""
    return _largest(*field_ranges(model), firing_fourth, (*FOURTH_PEAKS, *(-peak for peak in FOURTH_PEAKS)))


def largest_influence(model: Model, widening: ArrayLike = 0.0) -> FloatArray:
    """C_ij = max |σ(x + J_ij/T) − σ(x)| over the fields x that unit i can have with z_j = 0, (N, N); at most tanh(|J_ij|/4T)."""
    scaled = model.couplings / model.temperature
    low, high = field_ranges(model, widening)
    # |σ(x + A) − σ(x)| grows towards x = −A/2 from both sides
    nearest = np.clip(-scaled / 2, low[:, None] - np.minimum(scaled, 0), high[:, None] - np.maximum(scaled, 0))
    return np.abs(firing_probability(nearest + scaled, 1.0) - firing_probability(nearest, 1.0))


def _largest(low: FloatArray, high: FloatArray, derivative: Callable[..., Any], peaks: tuple[float, ...]) -> FloatArray:
    """max|derivative| over each range: at a peak inside, else at the end nearest to one."""
    candidates = np.stack([np.clip(peak, low, high) for peak in peaks])
    return np.abs(derivative(firing_probability(candidates, 1.0), 1.0)).max(axis=0)
