"""Arrays known up to an error: centre ± radius, entry by entry, and the sums and products of such.

Main results: Enclosure. Rounding is not included; proofs_numeric.balls decides with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanfield.model import FloatArray


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Every array between centre − radius and centre + radius, entrywise; both of one shape, radius ≥ 0."""

    centre: FloatArray
    radius: FloatArray

    # NumPy leaves `array * enclosure` to this class instead of making an array of enclosures
    __array_ufunc__ = None

    @classmethod
    def within(cls, radius: FloatArray) -> Enclosure:
        """0 ± radius."""
        return cls(np.zeros_like(radius), radius)

    @classmethod
    def where(cls, condition: NDArray[np.bool_], this: Enclosure, that: Enclosure) -> Enclosure:
        """`this` where the condition holds, else `that`; broadcasts as numpy.where."""
        return cls(np.where(condition, this.centre, that.centre), np.where(condition, this.radius, that.radius))

    @property
    def magnitude(self) -> FloatArray:
        """|centre| + radius, the largest absolute value inside."""
        return np.abs(self.centre) + self.radius

    @property
    def T(self) -> Enclosure:
        """The transpose of a matrix."""
        return Enclosure(self.centre.T, self.radius.T)

    def __getitem__(self, index: object) -> Enclosure:
        return Enclosure(self.centre[index], self.radius[index])  # type: ignore[index]

    def __add__(self, other: Enclosure | FloatArray | float) -> Enclosure:
        if isinstance(other, Enclosure):
            return Enclosure(self.centre + other.centre, self.radius + other.radius)
        centre = self.centre + other
        return Enclosure(centre, np.broadcast_to(self.radius, centre.shape))

    __radd__ = __add__

    def __sub__(self, other: FloatArray) -> Enclosure:
        return self + -other

    def __mul__(self, other: Enclosure | FloatArray | float) -> Enclosure:
        if isinstance(other, Enclosure):
            crossed = np.abs(self.centre) * other.radius + self.radius * other.magnitude
            return Enclosure(self.centre * other.centre, crossed)
        return Enclosure(self.centre * other, self.radius * np.abs(other))

    __rmul__ = __mul__

    def summed(self, subscripts: str, *arrays: FloatArray) -> Enclosure:
        """numpy.einsum of exact arrays with this enclosure as the last operand: Mx ± |M|r."""
        absolute, ordered = [np.abs(array) for array in arrays], len(arrays) > 1
        return Enclosure(
            np.einsum(subscripts, *arrays, self.centre, optimize=ordered),
            np.einsum(subscripts, *absolute, self.radius, optimize=ordered),
        )

    def narrower(self, *others: Enclosure) -> Enclosure:
        """Entry by entry the one with the smallest radius; the first of equals."""
        best = self
        for other in others:
            best = Enclosure.where(best.radius <= other.radius, best, other)
        return best
