"""Bounds on how far a contrastive gradient estimate scatters when its two phases share uniforms.

Main results: spike_difference, trace_difference, coupled_second_moment, coupled_variance (thm:C8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meanfield.bounds.hypotheses import require_absolute_gain, require_dobrushin
from meanfield.bounds.leaky import discrete_lyapunov
from meanfield.bounds.ranges import field_ranges, largest_curvature, largest_influence, largest_slope
from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, leak_vector, whole_number

CONTRASTIVE = ("one-sided", "symmetric", "random-sign")
# Sums over the past end when a term no longer changes them.
MOST_STEPS = 1_000_000


class TraceDifference(NamedTuple):
    """mean (N,) bounds E|Δs_i|, second (N, N) bounds E|Δs_i Δs_j|."""

    mean: FloatArray
    second: FloatArray


def spike_difference(model: Model, cost: QuadraticCost, *, nudging: float, estimator: str = "symmetric") -> FloatArray:
    """E|Δz| ≤ (I − C)⁻¹ t, t_i = tanh(w|c_i|/4T), (N,), after any number of sweeps under shared uniforms from one start.

    w = 2|β| between the phases ±β ("symmetric"), |β| for the other estimators; c = ½ − y. C and t are taken at the fields that
    the units can have, so never above tanh(|J|/4T) and tanh(w|c|/4T). Holds when ρ(C) < 1, for Glauber with any scan, block
    Gibbs and Little. Paper: thm:C8.
    """
    require_dobrushin(model)
    gap, reach = _gaps(model, cost, nudging, estimator, "spikes")
    low, high = field_ranges(model, reach)
    # σ(x + gap) − σ(x) is largest at x = −gap/2, or at the end nearest to it
    least = np.clip(-gap / 2, low, high - gap)
    push = firing_probability(least + gap, 1.0) - firing_probability(least, 1.0)
    return np.linalg.solve(np.eye(model.size) - largest_influence(model, reach), push)


def trace_difference(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    leak: float | ArrayLike,
    estimator: str = "symmetric",
    cost_on: str = "rates",
    copies: int = 1,
    steps: int | None = None,
) -> TraceDifference:
    """E|Δs| ≤ r and E|Δs_iΔs_j| ≤ Q of two leaky runs under shared uniforms from one start, `steps` later; None: always.

    r' = Gr + D_ε g, Q' = GQGᵀ + Gr(D_ε g)ᵀ + D_ε g(Gr)ᵀ + D_ε g(D_ε g)ᵀ + diag(ε²(Ar + g)/K), G = I − D_ε + D_εA, with
    A = diag(ℓ)|J|/T, g = ℓ w c/T, c ≥ |∂C|, ℓ_i ≤ ¼ the largest slope of σ at the unit's fields; w as in spike_difference.
    Holds when κ_a < 1; at finite steps always. Paper: thm:C8.
    """
    if steps is None:
        require_absolute_gain(model)
    return _Pair.of(model, cost, nudging, estimator, cost_on, leak, copies).difference(steps)


def coupled_second_moment(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    dynamics: str = "glauber",
    estimator: str = "symmetric",
    leak: float | ArrayLike = 0.2,
    cost_on: str | None = None,
    copies: int = 1,
    steps: int | None = None,
    statistic: str | None = None,
) -> Gradient:
    """E d² of one replica's coupled estimate: (E|Δz_i| + E|Δz_j|)/w² of spikes, (Q_ii + 2Q_ij + Q_jj)/w² of leaky traces.

    For the bias E|Δz_i|/w² and Q_ii/w². w, r and Q as in spike_difference and trace_difference, whose hypotheses it has.
    statistic "probabilities": the same for chains; leaky p_i p_j has AQAᵀ + Ar gᵀ + g(Ar)ᵀ + ggᵀ for Q, a step earlier.
    Paper: thm:C8.
    """
    statistic = _checked_statistic(dynamics, cost_on, statistic)
    width = _width(nudging, estimator) ** 2
    if dynamics != "leaky":
        differing = spike_difference(model, cost, nudging=nudging, estimator=estimator)
        return _gradient((differing[:, None] + differing) / width, differing / width)
    mean, second = trace_difference(
        model, cost, nudging=nudging, leak=leak, estimator=estimator, cost_on=cost_on or "rates", copies=copies,
        steps=_read_steps(steps, statistic),
    )  # fmt: skip
    if statistic == "probabilities":
        chain = _Pair.of(model, cost, nudging, estimator, cost_on or "rates", leak, copies)
        carried = chain.influence @ mean
        both = np.outer(carried + chain.drive, carried + chain.drive) - np.outer(carried, carried)
        second = chain.influence @ second @ chain.influence.T + both
    square = np.diagonal(second)
    return _gradient((square[:, None] + square + (second + second.T)) / width, square / width)


def coupled_variance(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    dynamics: str = "glauber",
    estimator: str = "symmetric",
    leak: float | ArrayLike = 0.2,
    cost_on: str | None = None,
    copies: int = 1,
    steps: int | None = None,
    statistic: str | None = None,
) -> Gradient:
    """Var d of one replica's coupled estimate: (√v₁ + √v₂)²/w² = O(ε/β) + O(ε) of leaky traces, or their second moment if less.

    v₁ = LᵀSL, S' = G_βSG_βᵀ + diag(ε²(Ar + g)/K), is what spikes that differ add; v₂ what the phases' difference in slope does to
    common spikes. L = e_i + e_j for a pair of traces, e_i for a bias, Bᵀ(ℓ∘L)/T for probabilities; from a start that is not random,
    or after a long nudged phase. Chains, random signs, and steps None with ‖|J| + |β| diag(slope)‖₂ ≥ 4T have the second moment
    alone. Holds when that does. Paper: thm:C8.
    """
    square = coupled_second_moment(
        model, cost, nudging=nudging, dynamics=dynamics, estimator=estimator, leak=leak, cost_on=cost_on, copies=copies,
        steps=steps, statistic=statistic,
    )  # fmt: skip
    if dynamics != "leaky" or estimator == "random-sign":
        # the random sign itself adds the variance of the two signs' means
        return square
    chain = _Pair.of(model, cost, nudging, estimator, cost_on or "rates", leak, copies)
    if steps is None and float(np.abs(np.linalg.eigvalsh(chain.field_slope)).max()) >= 4:
        return square
    statistic = _checked_statistic(dynamics, cost_on, statistic)
    flat = chain.variances(statistic, _read_steps(steps, statistic)) / _width(nudging, estimator) ** 2
    first, second = np.triu_indices(model.size, 1)
    couplings = np.zeros((model.size, model.size))
    couplings[first, second] = couplings[second, first] = flat[: len(first)]
    scatter = _gradient(couplings, flat[len(first) :])
    return Gradient(*(np.minimum(one, other) for one, other in zip(scatter, square, strict=True)))


@dataclass(frozen=True)
class _Pair:
    """Two leaky runs under shared uniforms: how differences, slopes and bends pass from step to step (thm:C8).

    transition G, influence A, drive g; smooth (G_β): G with the nudge's own slope, field_slope B/T, absolute |J|/T; noise ε²/K;
    steepest ℓ, curvature k, tilt k∘wc/T, lean w ℓ∘o/T: what a unit's chance adds to H and to ζ, divided by the slope on it.
    """

    transition: FloatArray
    smooth: FloatArray
    influence: FloatArray
    drive: FloatArray
    noise: FloatArray
    leaks: FloatArray
    field_slope: FloatArray
    absolute: FloatArray
    steepest: FloatArray
    curvature: FloatArray
    tilt: FloatArray
    lean: FloatArray

    @staticmethod
    def of(
        model: Model,
        cost: QuadraticCost,
        nudging: float,
        estimator: str,
        cost_on: str,
        leak: float | ArrayLike,
        copies: int,
    ) -> _Pair:
        gap, reach = _gaps(model, cost, nudging, estimator, cost_on)
        slope = cost.force(model.size, cost_on)[0] / model.temperature
        leaks, absolute = leak_vector(leak, model.size), np.abs(model.couplings) / model.temperature
        steepest, curvature = largest_slope(model, reach), largest_curvature(model, reach)
        field_slope = absolute + abs(nudging) * np.diag(slope)
        kept = np.diag(1 - leaks)
        return _Pair(
            transition=kept + (leaks * steepest)[:, None] * absolute,
            smooth=kept + (leaks * steepest)[:, None] * field_slope,
            influence=steepest[:, None] * absolute,
            drive=steepest * gap,
            noise=leaks**2 / whole_number("copies", copies, 1),
            leaks=leaks,
            field_slope=field_slope,
            absolute=absolute,
            steepest=steepest,
            curvature=curvature,
            tilt=curvature * gap,
            lean=steepest * slope * _width(nudging, estimator),
        )

    def difference(self, steps: int | None) -> TraceDifference:
        """r and Q."""
        size, push = len(self.leaks), self.leaks * self.drive
        if steps is None:
            mean = np.linalg.solve(np.eye(size) - self.transition, push)
            second = discrete_lyapunov(self.transition, self._second_source(mean))
            return TraceDifference(mean, 0.5 * (second + second.T))
        mean, second = np.zeros(size), np.zeros((size, size))
        for _ in range(whole_number("steps", steps, 0)):
            second = self.transition @ second @ self.transition.T + self._second_source(mean)
            mean = self.transition @ mean + push
        return TraceDifference(mean, 0.5 * (second + second.T))

    def variances(self, statistic: str, steps: int | None) -> FloatArray:
        """(√v₁ + √v₂)² for every pair i < j, then every unit, (pairs + N,)."""
        mean, second = self.difference(steps)
        weights, bends, shifts = self._readings(statistic)
        direct = np.einsum("pi,ij,pj->p", weights, self._spread(mean, steps), weights)
        common, push, past = np.zeros(len(weights)), self.leaks * self.drive, 0
        while past < MOST_STEPS if steps is None else past < steps:
            bent = ((bends @ second) * bends).sum(axis=2) + 2 * (bends @ mean) * shifts + shifts**2
            added = bent @ (self.noise * self.steepest)
            common += added
            if steps is None and weights.max() < 1e-12 and (added <= np.finfo(float).eps * common).all():
                break
            bend, shift = self._chance(weights * self.leaks)
            shifts = (shifts + bends @ push) @ self.smooth + shift
            bends = self.smooth.T @ bends @ self.transition + bend
            weights, past = weights @ self.smooth, past + 1
        return (np.sqrt(direct) + np.sqrt(common)) ** 2

    def _readings(self, statistic: str) -> tuple[FloatArray, FloatArray, FloatArray]:
        """L (P, N), H (P, N, N) and ζ (P, N) of the statistic itself, for every pair i < j, then every unit."""
        size = len(self.leaks)
        first, second = np.triu_indices(size, 1)
        picked, pairs = np.zeros((len(first) + size, size)), np.arange(len(first))
        picked[pairs, first] = picked[pairs, second] = 1.0
        picked[len(first) :] = np.eye(size)
        bends, shifts = np.zeros((len(picked), size, size)), np.zeros_like(picked)
        if statistic == "traces":
            bends[pairs, first, second] = bends[pairs, second, first] = 1.0
            return picked, bends, shifts
        slopes = self.steepest[:, None] * self.field_slope
        bends, shifts = self._chance(picked)
        for one, other in ((first, second), (second, first)):
            bends[pairs] += slopes[one][:, :, None] * self.influence[other][:, None, :]
            shifts[pairs] += slopes[one] * self.drive[other][:, None]
        return picked @ slopes, bends, shifts

    def _chance(self, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What firing probabilities that act with `slopes` (P, N) add to H and to ζ by changing their own slopes."""
        bend = self.field_slope.T @ ((slopes * self.curvature)[:, :, None] * self.absolute)
        return bend, (slopes * self.tilt) @ self.field_slope + slopes * self.lean

    def _spread(self, mean: FloatArray, steps: int | None) -> FloatArray:
        """S: what differing spikes add to the covariance of a difference."""
        if steps is None:
            return discrete_lyapunov(self.smooth, self._spike_noise(mean))
        spread, mean = np.zeros_like(self.smooth), np.zeros_like(mean)
        for _ in range(steps):
            spread = self.smooth @ spread @ self.smooth.T + self._spike_noise(mean)
            mean = self.transition @ mean + self.leaks * self.drive
        return spread

    def _spike_noise(self, mean: FloatArray) -> FloatArray:
        """diag(ε²(Ar + g)/K): Ar + g bounds the chance that a unit's spikes differ."""
        return np.diag(self.noise * (self.influence @ mean + self.drive))

    def _second_source(self, mean: FloatArray) -> FloatArray:
        push, carried = self.leaks * self.drive, self.transition @ mean
        return np.outer(carried + push, carried + push) - np.outer(carried, carried) + self._spike_noise(mean)


def _width(nudging: float, estimator: str) -> float:
    """w: how far apart the two phases' nudgings are."""
    if estimator not in CONTRASTIVE:
        raise ValueError(f"estimator must be one of {', '.join(CONTRASTIVE)}, got {estimator!r}")
    if not np.isfinite(nudging) or nudging == 0:
        raise ValueError(f"nudging must be finite and non-zero, got {nudging}: the {estimator} estimator divides by it")
    return abs(nudging) * (2 if estimator == "symmetric" else 1)


def _gaps(
    model: Model, cost: QuadraticCost, nudging: float, estimator: str, cost_on: str
) -> tuple[FloatArray, FloatArray]:
    """(gap, reach), (N,) in units of T: how far apart the nudges put a unit's fields, and how far from the free one."""
    slope, offset = cost.force(model.size, cost_on)
    steepest = np.maximum(np.abs(offset), np.abs(slope + offset)) / model.temperature
    return _width(nudging, estimator) * steepest, abs(nudging) * steepest


def _checked_statistic(dynamics: str, cost_on: str | None, statistic: str | None) -> str:
    if dynamics not in ("glauber", "block", "little", "leaky"):
        raise ValueError(f"dynamics must be glauber, block, little or leaky, got {dynamics!r}")
    if dynamics != "leaky" and cost_on == "rates":
        raise ValueError(f"dynamics {dynamics!r} has cost_on='spikes' only: its states are spikes, got 'rates'")
    states = "traces" if dynamics == "leaky" else "spikes"
    if statistic not in (None, states, "probabilities"):
        raise ValueError(f"statistic must be {states} or probabilities for {dynamics}, got {statistic!r}")
    return statistic or states


def _read_steps(steps: int | None, statistic: str) -> int | None:
    """Leaky probabilities are read at the state before the last step."""
    if steps is None or statistic == "traces":
        return steps
    return whole_number("steps", steps, 1) - 1


def _gradient(couplings: FloatArray, bias: FloatArray) -> Gradient:
    return Gradient(couplings * (1 - np.eye(len(bias))), bias)
