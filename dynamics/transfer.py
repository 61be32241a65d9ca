"""Stationary moments of leaky spikes to machine precision for N ≤ 2, by collocation of their transfer operator.

Main results: leaky_stationary (thm:B4, thm:B5, thm:B9, thm:B11).

(Pf)(s) = Σ_k Π_i Binom(k_i; K, σ(h_i(s)/T)) f((1−ε)s + εk/K) maps functions analytic about [0, 1]^N to such functions, so
on Chebyshev nodes its left null vector gives stationary moments with an error that falls geometrically in the degree.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Model, leak_vector, whole_number

MAX_UNITS = 2


class StationaryMoments(NamedTuple):
    """Mean (N,) and covariance (N, N) of the stationary traces."""

    mean: FloatArray
    covariance: FloatArray


def leaky_stationary(model: Model, *, leak: float | ArrayLike, copies: int = 1, nodes: int = 20) -> StationaryMoments:
    """Stationary mean and covariance of s ← (1−ε)s + ε·(mean of K spikes), by `nodes` Chebyshev nodes a unit.

    *Holds when* N ≤ 2, else ValueError; the law is always unique (paper, lem:leaky-ergodic). leak: number or (N,) in (0, 1].
    """
    if model.size > MAX_UNITS:
        raise ValueError(f"collocation serves at most {MAX_UNITS} units, got {model.size}: use sample or leaky_law")
    leaks = leak_vector(leak, model.size)
    whole_number("copies", copies, 1)
    whole_number("nodes", nodes, 2)
    points = 0.5 - 0.5 * np.cos(math.pi * (np.arange(nodes) + 0.5) / nodes)
    grid = np.stack(np.meshgrid(*[points] * model.size, indexing="ij"), axis=-1).reshape(-1, model.size)
    probability = firing_probability(model.local_field(grid), model.temperature)
    transfer = np.zeros((len(grid), len(grid)))
    for counts in itertools.product(range(copies + 1), repeat=model.size):
        weight = np.ones(len(grid))
        interpolation = np.ones((1, 1))
        for i, count in enumerate(counts):
            weight *= (
                math.comb(copies, count) * probability[:, i] ** count * (1 - probability[:, i]) ** (copies - count)
            )
            moved = (1 - leaks[i]) * points + leaks[i] * count / copies
            interpolation = np.kron(interpolation, lagrange(points, moved))
        transfer += weight[:, None] * interpolation
    # wP = w with Σw = 1: the rank-one term fixes the normalisation of the null vector
    ones = np.ones(len(grid))
    law = np.linalg.solve((np.eye(len(grid)) - transfer).T + np.outer(ones, ones), ones)
    mean = law @ grid
    centred = grid - mean
    return StationaryMoments(mean, centred.T @ (law[:, None] * centred))


def lagrange(points: FloatArray, targets: FloatArray) -> FloatArray:
    """Barycentric interpolation from Chebyshev points of the first kind, (targets, points)."""
    count = len(points)
    weights = (-1.0) ** np.arange(count) * np.sin(math.pi * (np.arange(count) + 0.5) / count)
    gaps = targets[:, None] - points[None, :]
    exact = gaps == 0
    terms = weights / np.where(exact, 1.0, gaps)
    matrix = terms / terms.sum(axis=1, keepdims=True)
    hit = exact.any(axis=1)
    matrix[hit] = exact[hit]
    return matrix
