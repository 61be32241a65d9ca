"""Flat scalars to models: every draw satisfies the wanted hypothesis by construction, edge cases included.

Main results: Interval, model_scalars, random_model, random_cost, SHAPES, FIELDS.

A domain is a dictionary of Intervals, so that a failing draw prints and shrinks as plain numbers. `gain` is the control
value that the hypothesis bounds (κ, κ_a, κ_∞, ρ(C), ‖C‖_∞ or λ_max/(4T)), and the couplings are scaled to meet it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from meanfield.model import FloatArray, Model, QuadraticCost


class Interval(NamedTuple):
    """Values a scalar may take: low ≤ x ≤ high, whole numbers only when integer."""

    low: float
    high: float
    integer: bool = False

    def draw(self, generator: np.random.Generator) -> float | int:
        """A uniform draw."""
        if self.integer:
            return int(generator.integers(int(self.low), int(self.high), endpoint=True))
        return float(generator.uniform(self.low, self.high))


SEEDS = Interval(0, 2**31 - 1, integer=True)
LOG_TEMPERATURE = Interval(math.log(1e-3), math.log(1e3))
GAIN = Interval(0.02, 0.98)


def _dense(size: int, generator: np.random.Generator) -> FloatArray:
    matrix = np.triu(generator.normal(size=(size, size)), 1)
    return matrix + matrix.T


def _layered(size: int, generator: np.random.Generator) -> FloatArray:
    matrix = _dense(size, generator)
    half = np.arange(size) < (size + 1) // 2
    matrix[half[:, None] == half[None, :]] = 0.0
    return matrix


def _star(size: int, generator: np.random.Generator) -> FloatArray:
    matrix = np.zeros((size, size))
    matrix[0, 1:] = matrix[1:, 0] = generator.uniform(0.5, 1.5, size=size - 1)
    return matrix


def _chain(size: int, generator: np.random.Generator) -> FloatArray:
    weights = generator.uniform(0.5, 1.5, size=max(size - 1, 0))
    return np.diag(weights, 1) + np.diag(weights, -1)


def _disconnected(size: int, generator: np.random.Generator) -> FloatArray:
    matrix = _dense(size, generator)
    first = np.arange(size) < size // 2
    matrix[first[:, None] != first[None, :]] = 0.0
    return matrix


def _uniform(size: int, generator: np.random.Generator) -> FloatArray:
    return np.ones((size, size)) - np.eye(size)


# One third ferromagnetic; the last is J = 0.
SHAPES: tuple[Callable[[int, np.random.Generator], FloatArray], ...] = (
    lambda size, generator: np.abs(_dense(size, generator)),
    _uniform,
    _star,
    lambda size, generator: np.abs(_layered(size, generator)),
    _dense,
    _dense,
    _layered,
    lambda size, generator: -np.abs(_dense(size, generator)),
    lambda size, generator: -_star(size, generator),
    _chain,
    _disconnected,
    lambda size, generator: np.zeros((size, size)),
)

# Bias about the symmetric point −½J1, whose fixed point is m = ½, in units of the temperature.
FIELDS: tuple[float, ...] = (0.0, 0.3, 1.0, 3.0, 30.0)

NORMS: dict[str, Callable[[FloatArray], float]] = {
    "spectral": lambda scaled: float(np.abs(np.linalg.eigvalsh(scaled)).max()) / 4,
    "absolute": lambda scaled: float(np.abs(np.linalg.eigvalsh(np.abs(scaled))).max()) / 4,
    "row": lambda scaled: float(np.abs(scaled).sum(axis=1).max()) / 4,
    "curvature": lambda scaled: max(0.0, float(np.linalg.eigvalsh(scaled)[-1])) / 4,
    "largest": lambda scaled: float(np.linalg.eigvalsh(scaled)[-1]),
    "dobrushin": lambda scaled: float(np.abs(np.linalg.eigvalsh(np.tanh(np.abs(scaled) / 4))).max()),
    "dobrushin row": lambda scaled: float(np.linalg.norm(np.tanh(np.abs(scaled) / 4), np.inf)),
}


def model_scalars(largest: int, smallest: int = 1, gain: Interval = GAIN) -> dict[str, Interval]:
    """The domain of random_model's scalars, N between smallest and largest."""
    return {
        "size": Interval(smallest, largest, integer=True),
        "gain": gain,
        "log_temperature": LOG_TEMPERATURE,
        "shape": Interval(0, len(SHAPES) - 1, integer=True),
        "field": Interval(0, len(FIELDS) - 1, integer=True),
        "seed": SEEDS,
    }


def random_model(
    norm: str, *, size: int, gain: float, log_temperature: float, shape: int, field: int, seed: int
) -> Model:
    """A model with NORMS[norm](J/T) = gain (0 where the shape has no couplings), bias −½J1 + FIELDS[field]·T·normal."""
    generator = np.random.default_rng(seed)
    temperature = math.exp(log_temperature)
    couplings = scaled_to(SHAPES[shape](size, generator), norm, gain)
    bias = -0.5 * couplings.sum(axis=1) + FIELDS[field] * generator.normal(size=size)
    return Model(couplings * temperature, bias * temperature, temperature)


def random_cost(size: int, seed: int) -> QuadraticCost:
    """Targets uniform in [0, 1] on a random set of 1 to N output units."""
    generator = np.random.default_rng([seed, 2])
    outputs = generator.permutation(size)[: generator.integers(1, size + 1)]
    return QuadraticCost(outputs, generator.uniform(size=outputs.size))


def scaled_to(pattern: FloatArray, norm: str, gain: float) -> FloatArray:
    """J/T: the pattern times the factor that gives its norm the value `gain`; unchanged if its norm is 0 at every scale."""
    measure = NORMS[norm]
    unit = measure(pattern)
    if unit <= 0:
        return pattern
    if not norm.startswith("dobrushin"):
        return pattern * (gain / unit)
    upper = 1.0
    while measure(upper * pattern) < gain:
        upper *= 2
    found = scipy.optimize.root_scalar(
        lambda factor: measure(factor * pattern) - gain, bracket=(0.0, upper), xtol=1e-14
    )
    return pattern * found.root
