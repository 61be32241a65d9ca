"""The work that both sides of a race are given, in NumPy alone: a peer's process never loads this package.

Main results: StepProblem, step_problem, ising_problem, spike_problem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE, KERNEL, CLASSES = 28, 5, 10
# σ((h − ½)/¼), the sigmoid of both peers
TEMPERATURE, THRESHOLD = 0.25, 0.5
# clip(h, 0, 1), the hard sigmoid that both peers publish with max pooling
HARD_TEMPERATURE, HARD_THRESHOLD = 1.0, 0.0
NUDGING, RATE = 0.4, 0.01
# of the spiking net: ε, and θ for each layer, where about a tenth of its conv units fires in a step
LEAK, SPIKING_THRESHOLDS = 0.5, (0.78, 0.6, 0.5)
WINDOW = 5

Arrays = tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, eq=False)
class StepProblem:
    """A net of two conv layers of 5 × 5 kernels, each with 2 × 2 pooling, and ten outputs; a batch to learn from.

    weights: (above, below, 5, 5) twice, then (channels, height, width, 10). biases: one a channel, one an output. images
    (B, 1, 28, 28) in [0, 1]; labels (B,).
    """

    channels: tuple[int, int]
    weights: Arrays
    biases: Arrays
    images: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def targets(self) -> NDArray[np.float64]:
        """(B, 10), one at the label."""
        return np.eye(CLASSES)[self.labels]


def sides() -> tuple[int, int]:
    """Height and width of the two pooled layers: 12 and 4."""
    first = (SIDE - KERNEL + 1) // 2
    return first, (first - KERNEL + 1) // 2


def step_problem(channels: Sequence[int], batch: int, seed: int) -> StepProblem:
    """Weights and biases uniform on ±1/√(fan in), torch's default; images of uniform pixels."""
    generator, (first, second), side = np.random.default_rng(seed), channels, sides()[1]
    shapes = [(first, 1, KERNEL, KERNEL), (second, first, KERNEL, KERNEL), (second, side, side, CLASSES)]
    fans = [math.prod(shapes[0][1:]), math.prod(shapes[1][1:]), math.prod(shapes[2][:-1])]
    weights = tuple(generator.uniform(-1, 1, shape) / math.sqrt(fan) for shape, fan in zip(shapes, fans, strict=True))
    biases = tuple(
        generator.uniform(-1, 1, size) / math.sqrt(fan)
        for size, fan in zip((first, second, CLASSES), fans, strict=True)
    )
    images = generator.random((batch, 1, SIDE, SIDE))
    return StepProblem((first, second), weights, biases, images, generator.integers(CLASSES, size=batch))


def ising_problem(size: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(couplings (N, N), bias (N,)) at temperature 1: all pairs coupled by N(0, 1)/√N, every unit firing about half the time."""
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.normal(size=(size, size)), 1) / math.sqrt(size)
    couplings = upper + upper.T
    return couplings, 0.3 * generator.normal(size=size) - 0.5 * couplings.sum(axis=1)


def spike_problem(
    channels: Sequence[int], batch: int, activity: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(spikes (B, channels, 12, 12), weights (above, below, 5, 5)): the second conv layer of the net, seen from below."""
    generator, side = np.random.default_rng(seed), sides()[0]
    spikes = generator.random((batch, channels[0], side, side)) < activity
    weights = step_problem(channels, 1, seed).weights[1]
    return spikes.astype(np.float32), weights.astype(np.float32)
