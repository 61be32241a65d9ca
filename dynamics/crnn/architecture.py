"""Which layers a network has, and where each lies in the flat vectors that the kernels read.

Main results: Architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from meanfield.model import FloatArray


@dataclass(frozen=True)
class Architecture:
    """Dense layers s⁰, …, s^L with the primitive Φ(s) = Σ_n ⟨s^{n+1}, W_nᵀ s^n⟩ + ⟨b_n, s^n⟩; s⁰ is the clamped input.

    layers: units a layer, input first. The free units are kept layer after layer in one vector (units,), the weights
    matrix after matrix, each row-major of shape (below, above), in one vector (weights,).
    """

    layers: tuple[int, ...]

    @property
    def inputs(self) -> int:
        """Units of the clamped input."""
        return self.layers[0]

    @property
    def outputs(self) -> int:
        """Units of the last layer."""
        return self.layers[-1]

    @property
    def units(self) -> int:
        """N, the free units: every layer but the input."""
        return sum(self.layers[1:])

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(below, above) of each weight matrix."""
        return tuple(pairwise(self.layers))

    @property
    def weights(self) -> int:
        """How many weights there are in all."""
        return sum(below * above for below, above in self.shapes)

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where each free layer lies in a state (…, units)."""
        ends = np.cumsum(self.layers[1:]).tolist()
        return tuple(slice(end - size, end) for end, size in zip(ends, self.layers[1:], strict=True))

    def matrices(self, weights: FloatArray) -> tuple[FloatArray, ...]:
        """Views W_0, W_1, … of shape (below, above) into a flat vector (weights,)."""
        ends = np.cumsum([below * above for below, above in self.shapes]).tolist()
        return tuple(
            weights[end - shape[0] * shape[1] : end].reshape(shape)
            for end, shape in zip(ends, self.shapes, strict=True)
        )

    def per_weight(self, values: Sequence[float]) -> FloatArray:
        """One value a matrix, repeated for each of its weights: (weights,)."""
        return np.repeat(np.asarray(values, dtype=np.float64), [below * above for below, above in self.shapes])

    def per_unit(self, values: Sequence[float]) -> FloatArray:
        """One value a free layer, repeated for each of its units: (units,)."""
        return np.repeat(np.asarray(values, dtype=np.float64), self.layers[1:])

    def draw_weights(self, generator: np.random.Generator, scales: Sequence[float]) -> FloatArray:
        """Weights uniform on ±scale/√below, one scale a matrix: (weights,)."""
        spread = [scale / np.sqrt(below) for scale, (below, _) in zip(scales, self.shapes, strict=True)]
        return generator.uniform(-1.0, 1.0, self.weights) * self.per_weight(spread)
