"""Means, covariances and third cumulants of exp(−E/T), enclosed about the mean field's by local expansion.

Main results: gibbs_cumulants, Cumulants (thm:C6b).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from meanfield.bounds.enclosure import Enclosure
from meanfield.bounds.gibbs import covariance, gibbs_mean_error
from meanfield.bounds.hypotheses import require_absolute_gain
from meanfield.bounds.ranges import (
    field_ranges,
    largest_curvature,
    largest_fourth,
    largest_influence,
    largest_slope,
    largest_third,
)
from meanfield.equations import activity_variance, firing_curvature, firing_probability, firing_third
from meanfield.model import FloatArray, Model, whole_number
from meanfield.solve import fixed_point

# Enclosures hardly shrink after this many passes.
PASSES = 3


class Cumulants(NamedTuple):
    """What thm:C6b encloses: mean shift μ − m* (N,), covariance (N, N), E(z−μ)_i(z−μ)_j(z−μ)_k (N, N, N).

    mean_field: m*, (N,). response: T ∂m*/∂b = (I − VJ/T)⁻¹V, (N, N), the covariance's mean-field value.
    """

    mean_field: FloatArray
    response: FloatArray
    shift: Enclosure
    covariance: Enclosure
    third: Enclosure


def gibbs_cumulants(model: Model, *, passes: int = PASSES) -> Cumulants:
    """Enclosures of the first three cumulants of the spikes under exp(−E/T), from one fixed point; no state is enumerated.

    Starts from the bounds of thm:B3 and thm:B6; each pass inserts the enclosures into three exact expansions about m*
    whose remainders are bounded by the extremes of σ's derivatives over the fields that a unit can have, and keeps, entry
    by entry, what is narrower. Work O(N⁴) a pass. *Holds when* κ_a < 1, else HypothesisError. Paper: thm:C6b.
    """
    require_absolute_gain(model)
    whole_number("passes", passes, 0)
    expansion = _Expansion(model)
    shift, spread, third = expansion.start()
    for _ in range(passes):
        spread, third = expansion.with_repeats(shift, spread, third)
        shift = shift.narrower(expansion.shift(shift, spread, third))
        spread = spread.narrower(expansion.covariance(shift, spread, third))
        spread = _symmetric(spread.narrower(spread.T))
        third = _symmetric(third.narrower(*expansion.third(shift, spread, third)))
    spread, third = expansion.with_repeats(shift, spread, third)
    return Cumulants(expansion.mean, expansion.response, shift, spread, third)


def _symmetric(array: Enclosure) -> Enclosure:
    """The entries with ascending indices in every order: readings with equally good radii may differ in their centres."""
    return array[tuple(np.sort(np.indices(array.centre.shape), axis=0))]


class _Expansion:
    """The expansions of thm:C6b about the fixed point of one model, in units of the temperature."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.couplings = model.couplings / model.temperature
        self.mean = fixed_point(model, method="newton").value
        self.variance = activity_variance(self.mean)
        self.curvature, self.third_slope = firing_curvature(self.mean, 1.0), firing_third(self.mean, 1.0)
        self.propagator = np.linalg.inv(np.eye(model.size) - self.variance[:, None] * self.couplings)
        self.response = self.propagator * self.variance
        low, high = field_ranges(model)
        field = model.local_field(self.mean) / model.temperature
        self.reach = np.maximum(high - field, field - low)
        # π, the larger probability of a unit's two values over its fields
        self.dominance = np.maximum(firing_probability(high, 1.0), firing_probability(-low, 1.0))
        self.dobrushin = np.linalg.inv(np.eye(model.size) - largest_influence(model))

    def start(self) -> tuple[Enclosure, Enclosure, Enclosure]:
        slope, through = largest_slope(self.model), self.dobrushin.T
        third = 2 * np.multiply.outer(np.outer(slope, slope), np.ones(self.model.size))
        last_apart = third * (through[:, None, :] + through[None, :, :])
        third = np.minimum(last_apart, np.minimum(last_apart.transpose(0, 2, 1), last_apart.transpose(2, 1, 0)))
        return (
            Enclosure.within(gibbs_mean_error(self.model)),
            Enclosure.within(covariance(self.model)),
            Enclosure.within(third),
        )

    def with_repeats(self, shift: Enclosure, spread: Enclosure, third: Enclosure) -> tuple[Enclosure, Enclosure]:
        """Γ_ii = μ_i(1 − μ_i) and K_iij = (1 − 2μ_i)Γ_ij in their places: z_i² = z_i."""
        same = np.eye(self.model.size, dtype=bool)
        own = self.variance + shift * ((-1.0 * shift) + (1 - 2 * self.mean))
        spread = Enclosure.where(same, own[:, None], spread)
        pair = ((-2.0 * shift) + (1 - 2 * self.mean))[:, None] * spread
        third = Enclosure.where(same[:, :, None], pair[:, None, :], third)
        third = Enclosure.where(same[:, None, :], pair[:, :, None], third)
        return spread, Enclosure.where(same[None, :, :], pair.T[:, :, None], third)

    def fields(self, shift: Enclosure, spread: Enclosure) -> tuple[Enclosure, Enclosure, Enclosure]:
        """(U = E u, Var u, E u²) of the fields' deviations u = (h − h(m*))/T, (N,) each."""
        drift = shift.summed("ij,j->i", self.couplings)
        variance = spread.summed("ij,ik,jk->i", self.couplings, self.couplings)
        return drift, variance, variance + drift * drift

    def shift(self, shift: Enclosure, spread: Enclosure, third: Enclosure) -> Enclosure:
        """μ − m* = P[½σ''∘E u² + ⅙σ‴∘E u³ ± k''R²E u²/24]."""
        drift, variance, square = self.fields(shift, spread)
        cube = third.summed("ij,ik,il,jkl->i", *3 * [self.couplings]) + 3.0 * drift * variance + drift * drift * drift
        remainder = largest_fourth(self.model) / 24 * self.reach**2 * square.magnitude
        source = self.curvature / 2 * square + self.third_slope / 6 * cube + Enclosure.within(remainder)
        return source.summed("ij,j->i", self.propagator)

    def covariance(self, shift: Enclosure, spread: Enclosure, third: Enclosure) -> Enclosure:
        """Cov z = P[V + diag(σ''∘U + ½σ‴∘E u²) + ½σ''∘Cov(u², z)] up to the slope's and the square's remainders."""
        drift, _, square = self.fields(shift, spread)
        steepest = largest_fourth(self.model) / 6 * self.reach * square.magnitude
        slope = self.curvature * drift + self.third_slope / 2 * square + Enclosure.within(steepest)
        squares = third.summed("ij,ik,jkl->il", self.couplings, self.couplings)
        squares = squares + 2.0 * drift[:, None] * spread.summed("ij,jl->il", self.couplings)
        through = (np.abs(self.couplings) * self.dominance) @ self.dobrushin.T
        remainder = (largest_third(self.model) / 4 * square.magnitude)[:, None] * through
        none = Enclosure.within(np.zeros_like(remainder))
        source = Enclosure.where(np.eye(self.model.size, dtype=bool), slope[:, None], none)
        source = source + (self.curvature / 2)[:, None] * squares + Enclosure.within(remainder)
        return source.summed("ij,jl->il", self.propagator) + self.response

    def third(self, shift: Enclosure, spread: Enclosure, third: Enclosure) -> tuple[Enclosure, Enclosure, Enclosure]:
        """K_jkl = v_j Σ_m J_jm K_mkl ± ½k_jE u_j²(π_kπ_l + |Γ_kl|) for three units, in its three readings."""
        size = self.model.size
        _, _, square = self.fields(shift, spread)
        pairs = np.outer(self.dominance, self.dominance) + spread.magnitude
        remainder = (largest_curvature(self.model) / 2 * square.magnitude)[:, None, None] * pairs
        reading = third.summed("jm,mkl->jkl", self.variance[:, None] * self.couplings) + Enclosure.within(remainder)
        one, two, three = np.ogrid[:size, :size, :size]
        distinct = (one != two) & (two != three) & (three != one)
        reading = Enclosure(reading.centre, np.where(distinct, reading.radius, np.inf))
        swapped = Enclosure(reading.centre.transpose(1, 0, 2), reading.radius.transpose(1, 0, 2))
        turned = Enclosure(reading.centre.transpose(1, 2, 0), reading.radius.transpose(1, 2, 0))
        return reading, swapped, turned
