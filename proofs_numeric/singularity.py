"""Where the nudged fixed point stops being holomorphic: the branch point or pole nearest to zero nudging, found numerically.

Main results: nearest_singularity.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.nudged import nudged_series
from meanfield.solve import ConvergenceError, MeanFieldMap, continued_fixed_point

# Taylor coefficients from which the nearest singularity is guessed before it is solved for.
SINGULAR_ORDER = 240


def nearest_singularity(model: Model, cost: QuadraticCost, cost_on: str, unit: float) -> tuple[float, float]:
    """(distance, uncertainty) of the singularity of m(β) nearest to β = 0, on the free fixed point's branch.

    Guessed from the recurrence of the Taylor coefficients (in units near the radius), then solved for as a fold: m = f(m, β),
    (I − f')φ = 0, by Newton's method from the continued fixed point. Poles are simple, and the recurrence finds them itself.
    """
    series = nudged_series(model, cost, order=SINGULAR_ORDER, unit=unit, cost_on=cost_on)
    unit_of_largest = int(np.abs(series.activity[-1]).argmax())
    coefficients = series.activity[:, unit_of_largest]
    guesses = [_dominant_singularity(coefficients * weight) for weight in _singular_weights()]
    free = series.activity[0]
    if not np.isfinite(guesses).all():
        return math.inf, 0.0
    for guess in guesses:
        fold = _fold(model, cost, cost_on, free, guess * unit)
        if fold is not None and abs(abs(fold) - abs(guess) * unit) < 0.1 * abs(fold):
            return float(abs(fold)), 1e-9 * float(abs(fold))
    # no fold is near the guess: a pole, or a fold too close to one to be told from it
    distance = float(abs(guesses[1]) * unit)
    return distance, (1e-6 if model.row_gain == 0 else 2e-2) * distance


def _singular_weights() -> tuple[FloatArray, FloatArray]:
    """k^{3/2} turns the coefficients of a square-root branch point into those of a pole; 1 leaves a pole as it is."""
    orders = np.arange(SINGULAR_ORDER + 1.0)
    return orders**1.5, np.ones_like(orders)


def _dominant_singularity(coefficients: FloatArray) -> complex:
    """1/z for the larger root of z² = az + b fitted to c_{k+1} = a c_k + b c_{k−1} over the last third."""
    last = coefficients[2 * len(coefficients) // 3 :]
    # each row in its own scale
    scale = np.abs(last[1:-1]) + np.abs(last[:-2]) + 1e-300
    system = np.stack([last[1:-1], last[:-2]], axis=1) / scale[:, None]
    (a, b), *_ = np.linalg.lstsq(system, last[2:] / scale, rcond=None)
    roots = np.roots([1.0, -a, -b])
    largest = roots[np.abs(roots).argmax()]
    return complex(1 / largest) if largest != 0 else complex(math.inf)


def _fold(model: Model, cost: QuadraticCost, cost_on: str, free: FloatArray, guess: complex) -> complex | None:
    """The β near the guess at which I − f'(m) is singular, or None."""
    size, temperature = model.size, model.temperature
    slope, offset = cost.force(size, cost_on)
    near = MeanFieldMap.of(model, "none", cost, 0.95 * guess, cost_on)
    try:
        mean = continued_fixed_point(near, free, 0.05 * abs(guess))
    except ConvergenceError:
        return None
    nudging, system = complex(near.nudging), np.eye(size) - near.jacobian(mean)
    vector = np.linalg.svd(system)[2][-1].conj()
    fixed = vector.conj()
    for _ in range(50):
        mapping = MeanFieldMap.of(model, "none", cost, nudging, cost_on)
        p, hessian = mapping(mean), mapping.field_jacobian(mean) / temperature
        first, second = p * (1 - p), p * (1 - p) * (1 - 2 * p)
        force = -(slope * mean + offset) / temperature
        turned = hessian @ vector
        residual = np.concatenate([mean - p, vector - first * turned, [fixed @ vector - 1]])
        jacobian = np.zeros((2 * size + 1, 2 * size + 1), dtype=complex)
        jacobian[:size, :size] = jacobian[size:-1, size:-1] = np.eye(size) - first[:, None] * hessian
        jacobian[:size, -1] = -first * force
        jacobian[size:-1, :size] = -(second * turned)[:, None] * hessian
        jacobian[size:-1, -1] = -second * turned * force + first * slope * vector / temperature
        jacobian[-1, size:-1] = fixed
        try:
            step = np.linalg.solve(jacobian, -residual)
        except np.linalg.LinAlgError:
            return None
        mean, vector, nudging = mean + step[:size], vector + step[size:-1], nudging + step[-1]
        if not np.isfinite(abs(nudging)):
            return None
        if np.abs(step).max() < 1e-12 * (1 + np.abs(mean).max()) and abs(step[-1]) < 1e-12 * abs(nudging):
            return nudging
    return None
