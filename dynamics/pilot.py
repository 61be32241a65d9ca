"""A pilot run: free samples that say how long the gradient is, how noisy, and how biased a finite nudging would be.

Main results: run_pilot, Pilot, squared_norm.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dynamics.phases import sample
from meanfield.model import FloatArray, Model, QuadraticCost

# Independent groups of samples; their inner products estimate squared norms without the noise's own part.
GROUPS = 8
FIRST_PILOT, MOST_PILOT_SPIKES = 1 << 11, 1 << 22
# The pilot grows until two standard errors of ‖gradient‖² are this share of it.
PRECISION = 0.25


class Pilot(NamedTuple):
    """Free samples in groups (GROUPS, n, N), with their gradients (GROUPS, N, N), ‖g‖ from below and the three-factor's noise.

    noise: the variance of one sample's part in the three-factor estimate, summed over i < j.
    """

    states: FloatArray
    gradients: FloatArray
    norm: float
    noise: float

    def reweighted_bias(self, model: Model, cost: QuadraticCost, nudging: float, estimator: str) -> float:
        """‖bias‖/‖g‖ of an estimator at a finite nudging, the samples weighted by e^(−βC/T): exact but for noise (thm:C5).

        At least its own standard error, so that noise is never taken for the absence of a bias.
        """
        offset = cost.force(model.size, "spikes")[1]
        sides = (nudging, -nudging) if estimator == "symmetric" else (nudging, 0.0)
        misses = []
        for group, gradient in zip(self.states, self.gradients, strict=True):
            linear = group @ offset
            laws = [np.exp(-side * (linear - linear.mean()) / model.temperature) for side in sides]
            weight = (laws[1] / laws[1].sum() - laws[0] / laws[0].sum()) / (sides[0] - sides[1])
            miss = (group * weight[:, None]).T @ group - gradient
            np.fill_diagonal(miss, 0.0)
            misses.append(miss)
        square, spread = squared_norm(np.array(misses))
        return math.sqrt(max(square, spread)) / self.norm


def run_pilot(
    model: Model, cost: QuadraticCost, *, dynamics: str, steps: int, seed: int, count: int = FIRST_PILOT
) -> Pilot:
    """Free samples, `count` at first and four times as many at each look, until ‖g‖² is known to PRECISION."""
    size, offset = model.size, cost.force(model.size, "spikes")[1]
    while True:
        states = sample(model, dynamics=dynamics, steps=steps, replicas=count, seed=seed).states
        groups = states.reshape(GROUPS, -1, size)
        gradients = np.array([_covariance(group, group @ offset) for group in groups]) / model.temperature
        square, spread = squared_norm(gradients)
        # no sample at all may have moved: then nothing is known
        if 2 * spread <= PRECISION * square > 0:
            break
        if 4 * count * size > MOST_PILOT_SPIKES:
            raise ValueError(
                f"the gradient is lost in the noise of {count} pilot samples, ‖g‖² = {square:.2g} ± {spread:.2g}: move the "
                "temperature to where the outputs respond"
            )
        count *= 4
    noise = float(np.mean([_product_variance(group, group @ offset) for group in groups])) / model.temperature**2
    return Pilot(groups, gradients, math.sqrt(square - spread), noise)


def _covariance(states: FloatArray, linear: FloatArray) -> FloatArray:
    """Cov(z_iz_j, C) of the samples, (N, N), zero diagonal."""
    centred = linear - linear.mean()
    covariance = (states * centred[:, None]).T @ states / (len(states) - 1)
    np.fill_diagonal(covariance, 0.0)
    return covariance


def _product_variance(states: FloatArray, linear: FloatArray) -> float:
    """Σ_{i<j} Var((z_iz_j − its mean)(C − its mean)), spikes being their own squares."""
    squared = (linear - linear.mean()) ** 2
    mean, weighted = states.T @ states / len(states), (states * squared[:, None]).T @ states / len(states)
    square = weighted * (1 - 2 * mean) + mean**2 * squared.mean() - _covariance(states, linear) ** 2
    return float(np.triu(square, 1).sum())


def squared_norm(estimates: FloatArray) -> tuple[float, float]:
    """(‖E x‖², its standard error) over i < j from independent estimates x of it, (groups, N, N): products of different groups.

    The standard error is the jackknife's.
    """
    flat = estimates.reshape(len(estimates), -1)
    products = 0.5 * flat @ flat.T
    count = len(products)

    def average(kept: FloatArray) -> float:
        return float((kept.sum() - np.trace(kept)) / (len(kept) * (len(kept) - 1)))

    left_out = [average(np.delete(np.delete(products, k, 0), k, 1)) for k in range(count)]
    return average(products), math.sqrt((count - 1) * float(np.var(left_out)))
