"""Balls: reals enclosed by a midpoint and a radius, every rounding included, in NumPy arrays of dtype object.

Main results: precision, exact, logistic, logistic_slope, hull, solve, inverse, spectrum, spectral_norm, positive_definite,
Undecided.

A float is an exact number here. A comparison is True only when it is certain, so `not (a < b)` says nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

try:
    from flint import arb, arb_mat, ctx
except ImportError as error:
    raise ImportError("ball arithmetic needs python-flint: pip install 'stochep[rigorous]'") from error

Balls = NDArray[np.object_]
# Jacobi's sweeps converge quadratically.
MOST_SWEEPS = 30


class Undecided(ArithmeticError):
    """The balls at hand are too wide to tell; more bits may help."""


def precision(bits: int) -> AbstractContextManager[None]:
    """All balls made inside the with statement are rounded to `bits` bits."""
    return ctx.workprec(bits)


def exact(values: ArrayLike) -> Balls:
    """The floats `values` as balls of radius 0, same shape."""
    array = np.asarray(values, dtype=np.float64)
    return array_of([arb(float(x)) for x in array.ravel()], array.shape)


def array_of(balls: list[Any], shape: tuple[int, ...]) -> Balls:
    """The balls in a list as an array; NumPy itself would look for sequences in them."""
    array = np.empty(len(balls), dtype=object)
    array[:] = balls
    return array.reshape(shape)


def each(function: Any, balls: Any) -> Balls:
    """function of every entry."""
    array = np.asarray(balls, dtype=object)
    return array_of([function(ball) for ball in array.ravel()], array.shape)


def hull(low: Any, high: Any) -> Any:
    """The ball, entry by entry, that holds everything between low and high."""
    return each(lambda pair: pair[0].union(pair[1]), pairs(low, high))


def pairs(first: Any, second: Any) -> Balls:
    """(first, second) entry by entry, broadcast."""
    left, right = np.broadcast_arrays(np.asarray(first, dtype=object), np.asarray(second, dtype=object))
    array = np.empty(left.size, dtype=object)
    array[:] = list(zip(left.ravel(), right.ravel(), strict=True))
    return array.reshape(left.shape)


def smaller(first: Any, second: Any) -> Balls:
    """min(first, second) entry by entry."""
    return each(lambda pair: pair[0].min(pair[1]), pairs(first, second))


def larger(first: Any, second: Any) -> Balls:
    """max(first, second) entry by entry."""
    return each(lambda pair: pair[0].max(pair[1]), pairs(first, second))


def largest(balls: Any) -> Any:
    """The maximum over all entries; 0 of none."""
    value = None
    for ball in np.asarray(balls, dtype=object).ravel():
        value = ball if value is None else value.max(ball)
    return arb(0) if value is None else value


def lower(balls: Any) -> Balls:
    """Exact lower ends."""
    return each(lambda ball: ball.lower(), balls)


def upper(balls: Any) -> Balls:
    """Exact upper ends."""
    return each(lambda ball: ball.upper(), balls)


def middle(balls: Any) -> Balls:
    """Exact midpoints."""
    return each(lambda ball: ball.mid(), balls)


def floats(balls: Any) -> NDArray[np.float64]:
    """Midpoints rounded to floats, for reports only."""
    array = np.asarray(balls, dtype=object)
    return np.array([float(ball.mid()) for ball in array.ravel()]).reshape(array.shape)


def radius(balls: Any) -> float:
    """The largest radius, rounded up."""
    return float(largest(each(lambda ball: arb(ball.rad()).abs_upper(), balls)).abs_upper())


def squared(balls: Any) -> Any:
    """x·x; flint's x**2 is NaN for some balls about 0."""
    return balls * balls


def square_root(balls: Any) -> Balls:
    """√x of numbers that are not negative; the part of a ball below 0 is known to be empty."""
    return each(lambda ball: ball.nonnegative_part().sqrt(), balls)


def logistic(scaled_field: Any) -> Balls:
    """σ(x), to full relative accuracy for every sign of x."""
    return each(lambda x: 1 / (1 + (-x).exp()), scaled_field)


def logistic_slope(scaled_field: Any) -> Balls:
    """σ'(x) = σ(x)σ(−x) over the whole ball x: rises to ¼ at 0, then falls, so ends and 0 decide."""
    return each(_slope_over, scaled_field)


def _slope_over(scaled_field: Any) -> Any:
    def at(point: Any) -> Any:
        return 1 / (2 + point.exp() + (-point).exp())

    ends = at(scaled_field.lower()).union(at(scaled_field.upper()))
    return ends.union(arb(1) / 4) if scaled_field.contains(0) else ends


def identity(size: int) -> Balls:
    """The unit matrix, (size, size)."""
    return exact(np.eye(size))


def diagonal_matrix(vector: Balls) -> Balls:
    """diag(vector)."""
    return identity(len(vector)) * vector


def solve(matrix: Balls, right: Balls) -> Balls:
    """matrix⁻¹ right for a vector or a matrix; Undecided when the matrix is not certainly invertible."""
    columns = right.reshape(len(right), -1)
    try:
        solution = arb_mat(matrix.tolist()).solve(arb_mat(columns.tolist()))
    except ZeroDivisionError as error:
        raise Undecided("the matrix is not certainly invertible") from error
    return _array(solution).reshape(right.shape)


def inverse(matrix: Balls) -> Balls:
    """matrix⁻¹; Undecided when the matrix is not certainly invertible."""
    return solve(matrix, identity(len(matrix)))


def spectrum(symmetric: Balls) -> Balls:
    """Balls, ascending, that hold the eigenvalues of a symmetric matrix with their multiplicities.

    Gershgorin's discs of Q⁻¹AQ, Q the approximate eigenvectors; overlapping discs share the hull of their union, which
    holds as many eigenvalues as there are discs in it.
    """
    vectors = _eigenvectors(symmetric)
    similar = solve(vectors, symmetric @ vectors)
    discs = []
    for k, row in enumerate(similar):
        reach = (abs(row).sum() - abs(row[k])).abs_upper()
        discs.append((row[k] - reach).union(row[k] + reach))
    discs.sort(key=lambda disc: float(disc.mid()))
    groups: list[tuple[Any, int]] = []
    for disc in discs:
        count = 1
        while groups and groups[-1][0].overlaps(disc):
            other, more = groups.pop()
            disc, count = disc.union(other), count + more
        groups.append((disc, count))
    return array_of([disc for disc, count in groups for _ in range(count)], (len(discs),))


def _eigenvectors(symmetric: Balls) -> Balls:
    """Exact numbers close to orthonormal eigenvectors, in columns: Jacobi's rotations on midpoints."""
    matrix, size = middle(symmetric), len(symmetric)
    vectors = identity(size)
    for _ in range(MOST_SWEEPS):
        small = float(largest(abs(matrix)).abs_upper()) * arb(2) ** (4 - ctx.prec)
        rotated = False
        for p in range(size):
            for q in range(p + 1, size):
                if abs(matrix[p, q]) > small:
                    turn = _rotation(matrix[p, p], matrix[p, q], matrix[q, q])
                    matrix[:, [p, q]] = middle(matrix[:, [p, q]] @ turn)
                    matrix[[p, q], :] = middle(turn.T @ matrix[[p, q], :])
                    vectors[:, [p, q]] = middle(vectors[:, [p, q]] @ turn)
                    rotated = True
        if not rotated:
            break
    return vectors


def _rotation(first: Any, off: Any, second: Any) -> Balls:
    """The (2, 2) rotation that makes [[first, off], [off, second]] diagonal."""
    ratio = (second - first) / (2 * off)
    tangent = 1 / (abs(ratio) + (ratio * ratio + 1).sqrt()) * (-1 if ratio < 0 else 1)
    cosine = 1 / (tangent * tangent + 1).sqrt()
    return array_of([cosine, tangent * cosine, -tangent * cosine, cosine], (2, 2))


def spectral_norm(symmetric: Balls) -> Any:
    """‖A‖₂ of a symmetric matrix."""
    return largest(abs(spectrum(symmetric)))


def positive_definite(symmetric: Balls) -> bool:
    """Whether all pivots of A = LDLᵀ are certainly positive, which proves A ≻ 0; False says nothing."""
    rest = symmetric.copy()
    for k in range(len(rest)):
        if not rest[k, k] > 0:
            return False
        column = rest[k + 1 :, k] / rest[k, k]
        rest[k + 1 :, k + 1 :] = rest[k + 1 :, k + 1 :] - column[:, None] * rest[k, k + 1 :]
    return True


def _array(matrix: Any) -> Balls:
    return array_of([entry for row in matrix.tolist() for entry in row], (matrix.nrows(), matrix.ncols()))
