"""Exact laws of pairs of phases: what a gradient estimate's mean and variance are, replica by replica.

Main results: exact_estimator_moments, EstimatorMoments, joint_law, coupled_leaky_law (thm:C8, thm:C8b).

Coupled phases are one chain on pairs (z⁺, z⁻): shared uniforms let unit i fire in both with probability min(p⁺, p⁻), in
one of them with |p⁺ − p⁻|. Its law is carried from the free law through the nudged sweeps without approximation.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dynamics.block import two_colouring
from dynamics.enumeration import all_states, exact_law, nudged_bias, transition_matrix
from dynamics.pairing import checked_statistic
from meanfield.equations import cost_force, firing_probability
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, leak_vector, real_array, whole_number

MAX_COUPLED_UNITS = 5
MAX_COUPLED_HISTORIES = 1 << 18
CONTRASTIVE = ("one-sided", "symmetric", "random-sign")


class EstimatorMoments(NamedTuple):
    """Mean and variance of one replica's gradient estimate; the standard error of S replicas is √(variance/S)."""

    mean: Gradient
    variance: Gradient


def exact_estimator_moments(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    steps_nudged: int,
    dynamics: str = "glauber",
    estimator: str = "symmetric",
    coupled: bool = True,
    warm: bool = False,
    statistic: str | None = None,
    steps_free: int | None = None,
    scan: str = "random",
) -> EstimatorMoments:
    """E and Var of estimate_gradient's single replica, by enumeration of all pairs of states.

    The same arguments mean the same as there. steps_free None: free phases start in the stationary law, otherwise at
    Bernoulli(½) and run that long. *Holds when* the dynamics is a chain (glauber, block, little), N ≤ 5. Raises ValueError.
    Paper: thm:C8, thm:C8b.
    """
    statistic = _check(model, dynamics, estimator, nudging, coupled, warm, statistic, scan)
    steps = whole_number("steps_nudged", steps_nudged, 1)
    # little's pair reads the state before the last sweep and the chances of the last
    steps -= dynamics == "little"
    start = _free_law(model, dynamics, steps_free, scan)
    signs = (1.0, -1.0) if estimator == "random-sign" else (1.0,)
    means, squares = [], []
    for sign in signs:
        up, down = sign * nudging, -nudging if estimator == "symmetric" else 0.0
        raised, lowered = (model.with_bias(nudged_bias(model, cost, value)) for value in (up, down))
        law = joint_law(raised, lowered, start, dynamics=dynamics, steps=steps, coupled=coupled, warm=warm, scan=scan)
        mean, square = _difference_moments((raised, lowered), law, dynamics, statistic, coupled)
        means.append(mean / (up - down))
        squares.append(square / (up - down) ** 2)
    mean, square = np.mean(means, axis=0), np.mean(squares, axis=0)
    return EstimatorMoments(gradient_of(-mean, model.size), gradient_of(square - mean**2, model.size))


def joint_law(
    raised: Model,
    lowered: Model,
    start: FloatArray,
    *,
    dynamics: str,
    steps: int,
    coupled: bool,
    warm: bool = False,
    scan: str = "random",
) -> FloatArray:
    """P(z⁺, z⁻), (2^N, 2^N), after `steps` sweeps of two models of one coupling graph, N ≤ 5.

    start (2^N,): the law of the free state, common to both phases when coupled or warm, else drawn twice independently.
    """
    if not coupled:
        up, down = (np.linalg.matrix_power(_sweep(one, dynamics, scan), steps) for one in (raised, lowered))
        return up.T @ (start[:, None] * down) if warm else np.outer(start @ up, start @ down)
    law = np.diag(start)
    if dynamics == "little":
        chain, places = _parallel_pair_chain(raised, lowered)
        for _ in range(steps):
            moved = np.empty_like(law)
            moved[places] = law[places] @ chain
            law = moved
        return law
    size = raised.size
    chances = [_probabilities(one) for one in (raised, lowered)]
    for _ in range(steps):
        if dynamics == "glauber" and scan == "random":
            for _ in range(size):
                law = np.mean([redraw(law, unit, chances) for unit in range(size)], axis=0)
        else:
            for unit in _order(raised, dynamics):
                law = redraw(law, unit, chances)
    return law


def coupled_leaky_law(
    model: Model,
    cost: QuadraticCost,
    *,
    nudgings: tuple[float, float],
    leak: float | ArrayLike,
    steps: int,
    start: ArrayLike | None = None,
    cost_on: str = "rates",
    copies: int = 1,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(traces⁺, traces⁻, probabilities): two leaky phases under shared uniforms from one start, over all spike histories.

    traces (M, steps + 1, N), probabilities (M,); copies k fire in both with min(p⁺, p⁻), in one with |p⁺ − p⁻|. M =
    ((K+1)(K+2)/2)^(N·steps) ≤ 2^18, else ValueError. start (N,): traces, default ½.
    """
    size, leaks = model.size, leak_vector(leak, model.size)
    whole_number("steps", steps, 0)
    counts = [(more, fewer) for more in range(whole_number("copies", copies, 1) + 1) for fewer in range(more + 1)]
    if len(counts) ** (size * steps) > MAX_COUPLED_HISTORIES:
        raise ValueError(
            f"{size} units with {copies} copies over {steps} steps have {len(counts)}^{size * steps} coupled histories, "
            "more than 2^18: use fewer steps, or estimate_gradient(…, dynamics='leaky')"
        )
    begin = np.full(size, 0.5) if start is None else real_array("start", start, 1)
    if begin.shape != (size,):
        raise ValueError(f"start must have one trace per unit, ({size},), got shape {begin.shape}")
    slope, offset = cost.force(size, cost_on)
    more, fewer = (
        np.array(list(itertools.product(column, repeat=size)), float) for column in zip(*counts, strict=True)
    )
    pair, weights = np.tile(begin, (2, 1, 1, 1)), np.ones(1)
    strengths = np.reshape(nudgings, (2, 1, 1))
    for _ in range(steps):
        now = pair[:, :, -1]
        field = model.local_field(now) + cost_force(now, slope, offset, strengths)
        chance = firing_probability(field, model.temperature)
        weights = (weights[:, None] * _count_law(chance, more, fewer, copies)).ravel()
        ordered = chance[0] >= chance[1]
        drives = np.stack([np.where(up[:, None], more, fewer) / copies for up in (ordered, ~ordered)])
        following = ((1 - leaks) * now[:, :, None] + leaks * drives).reshape(2, -1, 1, size)
        pair = np.concatenate([np.repeat(pair, len(more), axis=1), following], axis=2)
        kept = weights > 0
        pair, weights = pair[:, kept], weights[kept]
    return pair[0], pair[1], weights


def _count_law(chance: FloatArray, more: FloatArray, fewer: FloatArray, copies: int) -> FloatArray:
    """Probability (histories, outcomes) that the likelier phase has `more` spikes and the other `fewer`, per unit a product."""
    high, low = chance.max(axis=0)[:, None], chance.min(axis=0)[:, None]
    ways = np.vectorize(lambda k, n: math.comb(copies, int(k)) * math.comb(int(k), int(n)))(more, fewer)
    terms = ways * low**fewer * (high - low) ** (more - fewer) * (1 - high) ** (copies - more)
    return terms.prod(axis=-1)


def _check(
    model: Model,
    dynamics: str,
    estimator: str,
    nudging: float,
    coupled: bool,
    warm: bool,
    statistic: str | None,
    scan: str,
) -> str:
    if dynamics not in ("glauber", "block", "little"):
        raise ValueError(f"dynamics must be glauber, block or little, got {dynamics!r}: only chains are enumerated")
    if estimator not in CONTRASTIVE:
        raise ValueError(f"estimator must be one of {', '.join(CONTRASTIVE)}, got {estimator!r}")
    if not np.isfinite(nudging) or nudging == 0:
        raise ValueError(f"nudging must be finite and non-zero, got {nudging}: the {estimator} estimator divides by it")
    if warm and coupled:
        raise ValueError("warm=True needs coupled=False: coupled phases start at the free state already")
    if scan not in ("random", "systematic"):
        raise ValueError(f"scan must be 'random' or 'systematic', got {scan!r}")
    if model.size > MAX_COUPLED_UNITS:
        raise ValueError(
            f"{model.size} units have 4^{model.size} pairs of states, too many here (limit {MAX_COUPLED_UNITS} units): "
            "use estimate_gradient"
        )
    return checked_statistic(statistic, dynamics, estimator)


def _free_law(model: Model, dynamics: str, steps: int | None, scan: str) -> FloatArray:
    if steps is None:
        return exact_law(model, dynamics="little" if dynamics == "little" else "gibbs").probabilities
    uniform = np.full(1 << model.size, 0.5**model.size)
    return uniform @ np.linalg.matrix_power(_sweep(model, dynamics, scan), whole_number("steps_free", steps, 0))


def _sweep(model: Model, dynamics: str, scan: str) -> FloatArray:
    """P[z, z'] of one sweep."""
    if dynamics == "block":
        return transition_matrix(model, dynamics="block", colours=two_colouring(model.couplings))
    if dynamics == "glauber" and scan == "systematic":
        return transition_matrix(model, dynamics="systematic")
    chain = transition_matrix(model, dynamics=dynamics)
    return chain if dynamics == "little" else np.linalg.matrix_power(chain, model.size)


def _order(model: Model, dynamics: str) -> list[int]:
    """Units in the order of a sweep; those of one colour do not see each other, so one after another is all at once."""
    if dynamics == "block":
        return [int(unit) for unit in np.argsort(two_colouring(model.couplings), kind="stable")]
    return list(range(model.size))


def _probabilities(model: Model) -> FloatArray:
    """p_i(z), (2^N, N)."""
    return firing_probability(model.local_field(all_states(model.size)), model.temperature)


def redraw(law: FloatArray, unit: int, chances: list[FloatArray]) -> FloatArray:
    """The law of (z⁺, z⁻) after one unit was redrawn in both with one uniform."""
    off = np.flatnonzero((np.arange(len(law)) >> unit) & 1 == 0)
    on = off | (1 << unit)
    rest = law[np.ix_(off, off)] + law[np.ix_(off, on)] + law[np.ix_(on, off)] + law[np.ix_(on, on)]
    up, down = chances[0][off, unit][:, None], chances[1][off, unit][None, :]
    both = np.minimum(up, down)
    drawn = np.empty_like(law)
    drawn[np.ix_(on, on)] = rest * both
    drawn[np.ix_(on, off)] = rest * (up - both)
    drawn[np.ix_(off, on)] = rest * (down - both)
    drawn[np.ix_(off, off)] = rest * (1 - np.maximum(up, down))
    return drawn


def _parallel_pair_chain(raised: Model, lowered: Model) -> tuple[FloatArray, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(chain (4^N, 4^N), places): Little's coupled step; entry k of a law stands for the pair (places[0][k], places[1][k])."""
    size = raised.size
    digits = (np.arange(4**size)[:, None] >> (2 * np.arange(size))) & 3
    weight = 1 << np.arange(size)
    places = ((digits & 1) @ weight, (digits >> 1) @ weight)
    up, down = (_probabilities(one)[place] for one, place in zip((raised, lowered), places, strict=True))
    both = np.minimum(up, down)
    chain = np.ones((4**size, 1))
    for unit in range(size):
        outcomes = (1 - np.maximum(up, down), up - both, down - both, both)
        chain = np.concatenate([chain * chance[:, unit, None] for chance in outcomes], axis=1)
    return chain, places


def _difference_moments(
    models: tuple[Model, Model], law: FloatArray, dynamics: str, statistic: str, coupled: bool
) -> tuple[FloatArray, FloatArray]:
    """First and second moment of the statistic's difference, (pairs + N,)."""
    states = all_states(models[0].size)
    raised, lowered = (_probabilities(one) for one in models)
    if dynamics == "little" or statistic == "probabilities":
        units = [0.5 * (states + chance) if dynamics == "little" else chance for chance in (raised, lowered)]
        readings = [reading(states, chance, unit) for chance, unit in zip((raised, lowered), units, strict=True)]
    else:
        readings = [reading(states, states, states)] * 2
    change = readings[0][:, None] - readings[1][None, :]
    square = change**2
    if dynamics == "little" and statistic == "spikes":
        square += _little_scatter(states, raised, lowered, coupled)
    return np.tensordot(law, change, axes=2), np.tensordot(law, square, axes=2)


def reading(left: FloatArray, right: FloatArray, unit: FloatArray) -> FloatArray:
    """½(left_i right_j + right_i left_j) for i < j, then the unit statistic, (states, pairs + N)."""
    first, second = np.triu_indices(left.shape[1], 1)
    pairs = 0.5 * (left[:, first] * right[:, second] + right[:, first] * left[:, second])
    return np.concatenate([pairs, unit], axis=1)


def _little_scatter(states: FloatArray, up: FloatArray, down: FloatArray, coupled: bool) -> FloatArray:
    """Variance of the lagged difference over the last spikes given the states before them, (2^N, 2^N, pairs + N)."""
    first, second = np.triu_indices(states.shape[1], 1)
    raised, lowered = up[:, None], down[None, :]
    # Cov(z'⁺, z'⁻) of a unit is min(p⁺, p⁻) − p⁺p⁻ when the uniform is shared, else nothing
    shared = np.minimum(raised, lowered) - raised * lowered if coupled else np.zeros((len(up), len(down), up.shape[1]))

    def scatter(held: NDArray[np.intp], drawn: NDArray[np.intp]) -> FloatArray:
        one, other = states[:, None, held], states[None, :, held]
        spread = one * (raised * (1 - raised))[..., drawn] + other * (lowered * (1 - lowered))[..., drawn]
        return spread - 2 * one * other * shared[..., drawn]

    unit = raised * (1 - raised) + lowered * (1 - lowered) - 2 * shared
    return 0.25 * np.concatenate([scatter(first, second) + scatter(second, first), unit], axis=2)


def gradient_of(flat: FloatArray, size: int) -> Gradient:
    """The Gradient of a vector in the order of `reading`."""
    couplings = np.zeros((size, size))
    upper = np.triu_indices(size, 1)
    couplings[upper] = flat[: len(upper[0])]
    return Gradient(couplings + couplings.T, flat[len(upper[0]) :].copy())
