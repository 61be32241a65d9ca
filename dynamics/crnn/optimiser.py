"""How a gradient moves parameters: descent with momentum, or Adam, at rates of their own and along a schedule.

Main results: Moments, descend, schedule, annealed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dynamics.crnn.config import AdamTable, SgdTable
from dynamics.crnn.network import Array


class Moments(NamedTuple):
    """What an optimiser carries from update to update, each as long as the parameters: SGD's velocity, or Adam's two moments."""

    first: Array
    second: Array

    @classmethod
    def zero(cls, parameters: Array) -> Moments:
        """Before the first update."""
        return cls(np.zeros_like(parameters), np.zeros_like(parameters))


def schedule(kind: str, done: float) -> float:
    """The factor of all rates when a share `done` ∈ [0, 1] of the training is over: ½(1 + cos π·done), or 1."""
    return 0.5 * (1.0 + math.cos(math.pi * done)) if kind == "cosine" else 1.0


def annealed(
    start: float | tuple[float, ...] | None, end: float | tuple[float, ...], share: float, layers: int
) -> float | tuple[float, ...]:
    """Where a line from start to end is after a share ∈ [0, 1] of it, one number or one a layer; None stands at the end."""
    if start is None or share >= 1.0:
        return end
    starts, ends = ((v,) * layers if isinstance(v, (int, float)) else v for v in (start, end))
    return tuple(begin + share * (last - begin) for begin, last in zip(starts, ends, strict=True))


def descend(
    optimiser: SgdTable | AdamTable, parameters: Array, gradient: Array, moments: Moments, rates: Array, update: int
) -> tuple[Array, Moments]:
    """The parameters after update number `update` (from 1), and the moments that it leaves; all arrays of one length.

    SGD: v ← momentum·v − rate·g, parameters += v. Adam: m ← b₁m + (1−b₁)g, v ← b₂v + (1−b₂)g²,
    parameters −= rate · (m/(1−b₁ᵗ))/(√(v/(1−b₂ᵗ)) + ε).
    """
    if isinstance(optimiser, SgdTable):
        velocity = optimiser.momentum * moments.first - rates * gradient
        return parameters + velocity, Moments(velocity, moments.second)
    first = optimiser.first * moments.first + (1 - optimiser.first) * gradient
    second = optimiser.second * moments.second + (1 - optimiser.second) * gradient**2
    unbiased = first / (1 - optimiser.first**update), second / (1 - optimiser.second**update)
    step = rates * unbiased[0] / (np.sqrt(unbiased[1]) + optimiser.epsilon)
    return parameters - step, Moments(first, second)
