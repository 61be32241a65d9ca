"""How far EP's finite nudging is from BPTT, step by step along the nudged relaxation.

Main results: relaxation_error (thm:C4).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from meanfield.bounds.ranges import largest_derivatives
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, leak_cycle, whole_number
from meanfield.solve import fixed_point

ESTIMATORS = ("one-sided", "symmetric")


def relaxation_error(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    steps: int,
    leak: float | ArrayLike = 1.0,
    estimator: str = "symmetric",
    start: ArrayLike | None = None,
    cost_on: str = "rates",
) -> Gradient:
    """Entrywise bound on |(EP's cumulated update after n = steps nudged steps) + (BPTT truncated to n steps)|.

    One-sided, of (1/β)[s_is_j(n) − m_im_j] and (1/β)[s_i(n) − m_i]: ½|β|(W_im_j + 2U_iU_j + m_iW_j) and ½|β|W; symmetric:
    (β²/6)(Q_im_j + 3W_iU_j + 3U_iW_j + m_iQ_j) and (β²/6)Q. U, W, Q bound the first three derivatives of s(n) in the nudging,
    by recursion along the steps with the largest σ', |σ''|, |σ‴| that the nudged fields can meet; m there is min(1, m + |β|U).
    *Holds when* the relaxation starts at the fixed point m (found from `start`); no contraction is needed.
    leak: a number, (N,), or rows (period, N) used in turn. Raises ValueError on bad input. Paper: thm:C4.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if not np.isfinite(nudging):
        raise ValueError(f"nudging must be finite, got {nudging}")
    whole_number("steps", steps, 0)
    mean = fixed_point(model, start=start, method="newton").value
    strength = abs(float(nudging))
    first = second = third = np.zeros(model.size)
    for derivatives in derivative_bounds(model, cost, mean, strength, steps, leak, cost_on):
        first, second, third = derivatives
    reach = np.minimum(1.0, mean + strength * first)
    if estimator == "one-sided":
        pair, scale, unit = np.outer(second, reach) + np.outer(first, first), strength / 2, second
    else:
        pair, scale, unit = np.outer(third, reach) + 3 * np.outer(second, first), strength**2 / 6, third
    couplings = scale * (pair + pair.T)
    np.fill_diagonal(couplings, 0.0)
    return Gradient(couplings, scale * unit)


def derivative_bounds(
    model: Model, cost: QuadraticCost, mean: FloatArray, strength: float, steps: int, leak: ArrayLike, cost_on: str
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """(U, W, Q), each (N,), after step 1, 2, … steps: bounds on |∂_β^k s|, k = 1, 2, 3, over all |β| ≤ strength.

    With x the scaled field, |x'| ≤ Y, |x''| ≤ Y₁, |x‴| ≤ Y₂: U ← (1−ε)U + ε ℓ₁Y, W ← (1−ε)W + ε(ℓ₂Y² + ℓ₁Y₁),
    Q ← (1−ε)Q + ε(ℓ₃Y³ + 3ℓ₂YY₁ + ℓ₁Y₂), where ℓ₁, ℓ₂, ℓ₃ are the largest σ', |σ''|, |σ‴| on x* ± strength·Y.
    """
    slope, offset = cost.force(model.size, cost_on)
    leaks, temperature = leak_cycle(leak, model.size), model.temperature
    reach = np.abs(model.couplings) + strength * np.diag(slope)
    steepest = np.maximum(np.abs(offset), np.abs(slope + offset))
    force = np.abs(slope * mean + offset)
    centre = model.local_field(mean) / temperature
    first = second = third = np.zeros(model.size)
    for step in range(steps):
        field = (reach @ first + np.minimum(steepest, force + strength * slope * first)) / temperature
        bend = (reach @ second + 2 * slope * first) / temperature
        twist = (reach @ third + 3 * slope * second) / temperature
        steep, curved, skewed = largest_derivatives(centre - strength * field, centre + strength * field)
        rate = leaks[step % len(leaks)]
        third = (1 - rate) * third + rate * (skewed * field**3 + 3 * curved * field * bend + steep * twist)
        second = (1 - rate) * second + rate * (curved * field**2 + steep * bend)
        first = (1 - rate) * first + rate * steep * field
        yield first, second, third
