"""Family C, variance: what coupled phases and firing probabilities save, decided by exact laws of pairs of phases.

Main results: thm:C8, thm:C8b.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.coupling import coupled_leaky_law, exact_estimator_moments, joint_law, redraw
from dynamics.enumeration import all_states, exact_law, leaky_law, nudged_bias, transition_matrix
from dynamics.phases import Noise, bind, free_phase, nudged_phase
from dynamics.philox import STREAM_NUDGED
from meanfield import bounds
from meanfield.equations import cost_force, firing_probability
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from proofs_numeric.claim import Evidence, Falsifier, claim, sampled
from proofs_numeric.instances import Interval, model_scalars
from proofs_numeric.verdicts import Decision, decide_below

FREE_UNIT = ([[0.0]], [0.0], 1.0)
STRONG_PAIR = ([[0.0, 3.6], [3.6, 0.0]], [-1.8, -1.8], 1.0)
LOCKED_PAIR = ([[0.0, 40.0], [40.0, 0.0]], [-20.0, -20.0], 1.0)
UNBIASED_PAIR = ([[0.0, 2.0], [2.0, 0.0]], [0.0, 0.0], 1.0)
# along its Glauber chain the one-sided p_i z_j is 2.54 times as noisy as z_i z_j
ANTIFERROMAGNET = ([[0.0, -8.86], [-8.86, 0.0]], [6.12, 5.42], 1.0)
# after one sweep a firing probability already differs where the spikes do not yet
FRUSTRATED = ([[0.0, 15.13, -3.74], [15.13, 0.0, 21.59], [-3.74, 21.59, 0.0]], [-6.09, -18.17, -8.91], 1.0)
LEAK = Interval(0.05, 1.0)
LOG_NUDGING = Interval(math.log(1e-3), math.log(0.5))
COPIES = Interval(1, 2, integer=True)
# steps whose coupled spike histories are enumerated, by copies and units
STEPS = {1: {1: 6, 2: 3, 3: 2}, 2: {1: 3, 2: 2, 3: 1}}
ROUNDING = 1e-12
EPS = float(np.finfo(float).eps)


def _cost(model: Model, seed: int) -> QuadraticCost:
    """One or all outputs, each with a target of its own; even seeds aim at the corners."""
    generator = np.random.default_rng([seed, 60])
    outputs = np.arange(model.size)[: generator.integers(1, model.size + 1)]
    target = generator.uniform(size=len(outputs))
    return QuadraticCost(outputs, np.round(target) if seed % 2 == 0 else target)


def _flat(gradient: Gradient) -> FloatArray:
    return np.concatenate([gradient.couplings[np.triu_indices(len(gradient.bias), 1)], gradient.bias])


def _readings(left: FloatArray, right: FloatArray, unit: FloatArray) -> FloatArray:
    """½(left_i right_j + right_i left_j), i < j, then the unit statistic, (states, pairs + N)."""
    first, second = np.triu_indices(left.shape[1], 1)
    pairs = 0.5 * (left[:, first] * right[:, second] + right[:, first] * left[:, second])
    return np.concatenate([pairs, unit], axis=1)


def _spread(law: FloatArray, values: FloatArray) -> FloatArray:
    return law @ (values - law @ values) ** 2


@claim(
    label="C8",
    title="variance of coupled and of independent phases",
    kind="inequality",
    hypotheses="shared uniforms and start; κ_a < 1 for bounds uniform in time",
    norm="absolute",
    domain={**model_scalars(3), "leak": LEAK, "log_nudging": LOG_NUDGING, "copies": COPIES},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, "seed": 0, "leak": 1.0, "log_nudging": -2.0, "copies": 1}),
        Falsifier("whole spikes O(1)", {"model": FREE_UNIT, "seed": 0, "leak": 1.0, "log_nudging": -4.0, "copies": 1}),
        Falsifier("(I − C)⁻¹ dropped", {"model": STRONG_PAIR, "seed": 8, "leak": 1.0, "log_nudging": -2.0, "copies": 1}),
        Falsifier("traces' variance ε²/β", {"model": FREE_UNIT, "seed": 0, "leak": 0.2, "log_nudging": -4.0, "copies": 1}),
        Falsifier("ε → ε/K", {"model": FREE_UNIT, "seed": 8, "leak": 1.0, "log_nudging": -4.0, "copies": 2}),
        Falsifier(
            "noise of their own",
            {"model": FREE_UNIT, "seed": 0, "leak": 1.0, "log_nudging": -4.0, "copies": 1},
            drops="shared uniforms",
        ),
    ),
    search=False,
    instances=150,
)  # fmt: skip
def coupled_phases(
    model: Model, leak: float, log_nudging: float, copies: int, seed: int, mutation: str | None = None
) -> Evidence:
    """Coupled: E|Δz| ≤ (I − C)⁻¹tanh(w|c|/4T) and E d² ≤ (E|Δz_i| + E|Δz_j|)/w² for spikes; for leaky traces E|Δs_iΔs_j| ≤
    Q_ij, Var d ≤ (√v₁ + √v₂)²/w² = O(ε/β) + O(ε), for firing probabilities too. Independent: 2β²Var d
    within e^{±|β|R_C/T} of the free variance.
    """
    cost, nudging = _cost(model, seed), math.exp(log_nudging) * model.temperature
    estimator = ("symmetric", "one-sided")[seed // 2 % 2]
    shared = {"nudging": nudging, "estimator": estimator}
    width = nudging * (2 if estimator == "symmetric" else 1)
    # of the estimate times w, a number between −1 and 1
    measured, bound = [], []
    stated = width**2 * _flat(bounds.coupled_second_moment(model, cost, **shared))
    if mutation == "whole spikes O(1)":
        stated = stated * nudging / model.temperature
    if mutation == "(I − C)⁻¹ dropped":
        differing = (np.eye(model.size) - model.influence) @ bounds.spike_difference(model, cost, **shared)
        stated = _flat(Gradient(differing[:, None] + differing, differing))
    shares = mutation != "noise of their own"
    for dynamics in ("glauber", "little"):
        for statistic in ("spikes", "probabilities"):
            moments = exact_estimator_moments(
                model, cost, dynamics=dynamics, statistic=statistic, steps_nudged=1 + seed % 5,
                scan=("random", "systematic")[seed // 4 % 2], coupled=shares, warm=not shares, nudging=nudging,
                estimator=estimator,
            )  # fmt: skip
            measured.append(width**2 * (_flat(moments.variance) + _flat(moments.mean) ** 2))
            bound.append(stated)
    for part in _leaky_parts(model, cost, nudging, estimator, leak, copies, seed, mutation):
        measured.append(part[0])
        bound.append(part[1])
    measured.append(_independent_excess(model, cost, nudging))
    bound.append(np.zeros_like(measured[-1]))
    return Evidence(np.concatenate(measured), np.concatenate(bound), ROUNDING, ceiling=1.0)


def _leaky_parts(
    model: Model,
    cost: QuadraticCost,
    nudging: float,
    estimator: str,
    leak: float,
    copies: int,
    seed: int,
    mutation: str | None,
) -> list[tuple[FloatArray, FloatArray]]:
    """(measured, bound) of E|Δs|, E|Δs_iΔs_j| and w²Var d over all coupled histories from a random start."""
    generator = np.random.default_rng([seed, 61])
    cost_on, steps = ("rates", "spikes")[seed // 8 % 2], STEPS[copies][model.size]
    width = nudging * (2 if estimator == "symmetric" else 1)
    raised, lowered, law = coupled_leaky_law(
        model, cost, nudgings=(nudging, nudging - width), leak=leak, steps=steps, start=generator.uniform(size=model.size),
        cost_on=cost_on, copies=copies,
    )  # fmt: skip
    up, down = raised[:, -1], lowered[:, -1]
    told = {
        "nudging": nudging,
        "estimator": estimator,
        "leak": leak,
        "cost_on": cost_on,
        "copies": copies,
        "steps": steps,
    }
    if mutation == "ε → ε/K":
        told |= {"leak": leak / copies, "copies": 1}
    mean, second = bounds.trace_difference(model, cost, **told)
    scatter = width**2 * _flat(bounds.coupled_variance(model, cost, dynamics="leaky", **told))
    if mutation == "traces' variance ε²/β":
        scatter = scatter * leak
    change = np.abs(up - down)
    squares = change.T @ (law[:, None] * change)
    difference = _readings(up, up, up) - _readings(down, down, down)
    parts = [(law @ change, mean), (squares.ravel(), second.ravel()), (_spread(law, difference), scatter)]
    # probabilities of the spikes after these traces: read one step later
    told |= {"statistic": "probabilities", "steps": steps + 1, "dynamics": "leaky"}
    slope, offset = cost.force(model.size, cost_on)
    chances = (
        firing_probability(model.local_field(state) + cost_force(state, slope, offset, strength), model.temperature)
        for state, strength in ((up, nudging), (down, nudging - width))
    )
    one, other = (_readings(chance, chance, chance) for chance in chances)
    square = width**2 * _flat(bounds.coupled_second_moment(model, cost, **told))
    scatter = width**2 * _flat(bounds.coupled_variance(model, cost, **told))
    return [*parts, (law @ (one - other) ** 2, square), (_spread(law, one - other), scatter)]


def _independent_excess(model: Model, cost: QuadraticCost, nudging: float) -> FloatArray:
    """By how much 2β²Var of the symmetric independent estimate leaves [e^{−|β|R/T}, e^{|β|R/T}] times the free variance."""
    states = all_states(model.size)
    readings = _readings(states, states, states)
    free, up, down = (
        _spread(exact_law(model, cost=cost, nudging=value).probabilities, readings)
        for value in (0.0, nudging, -nudging)
    )
    cost_range = np.abs(cost.force(model.size, "spikes")[1]).sum()
    factor = math.exp(nudging * cost_range / model.temperature)
    both = 0.5 * (up + down)
    return np.maximum(0.0, np.concatenate([both - factor * free, free - factor * both]))


@sampled(
    "C8",
    domain={
        **model_scalars(1000, smallest=400, gain=Interval(0.3, 0.9)),
        "shape": Interval(4, 5, integer=True),
        "field": Interval(0, 2, integer=True),
    },
    instances=1,
)
def many_spikes_differ_little(model: Model, alpha: float, seed: int, mutation: str | None = None) -> Decision:
    """C8 on 400 to 1000 neurons: the share of spikes that differ after two coupled sweeps at ±T/2, every unit an output."""
    nudging = 0.5 * model.temperature
    cost = QuadraticCost(np.arange(model.size), np.round(np.random.default_rng([seed, 62]).uniform(size=model.size)))
    setting = bind(model, "glauber", cost=cost, scan="systematic")

    def draw(first: int, count: int) -> FloatArray:
        start = free_phase(setting, steps=0, replicas=count, noise=Noise(seed, first_replica=first))
        noise = Noise(seed, STREAM_NUDGED, 0, first)
        raised, lowered = (
            nudged_phase(setting, start, steps=2, noise=noise, nudgings=sign * nudging)[1] for sign in (1.0, -1.0)
        )
        return np.abs(raised - lowered).mean(axis=1)

    bound = float(bounds.spike_difference(model, cost, nudging=nudging).mean())
    return decide_below(draw, bound * (nudging if mutation else 1.0), smallest=0.0, largest=1.0, alpha=alpha)


@claim(
    label="C8b",
    title="firing probabilities in place of spikes",
    kind="inequality",
    hypotheses="stationary laws of Glauber, block and Little; every step of leaky spikes",
    norm="spectral",
    domain={
        **model_scalars(3, gain=Interval(0.02, 3.0)), "leak": LEAK, "log_nudging": Interval(math.log(1e-2), math.log(3.0)),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": LOCKED_PAIR, "seed": 0, "leak": 1.0, "log_nudging": -1.0}),
        Falsifier("p_i p_j for Gibbs", {"model": UNBIASED_PAIR, "seed": 0, "leak": 1.0, "log_nudging": -1.0}),
        Falsifier("p_i p_j for products of traces", {"model": UNBIASED_PAIR, "seed": 0, "leak": 0.5, "log_nudging": -1.0}),
        Falsifier("one-sided p_i z_j along a chain", {"model": ANTIFERROMAGNET, "seed": 0, "leak": 1.0, "log_nudging": -1.0}),
        Falsifier("coupled chains without the redraw", {"model": FRUSTRATED, "seed": 0, "leak": 1.0, "log_nudging": -1.3}),
    ),
    search=False,
    instances=150,
)  # fmt: skip
def firing_probabilities(
    model: Model, leak: float, log_nudging: float, seed: int, mutation: str | None = None
) -> Evidence:
    """E p = E z and Var p ≤ Var z under every law; ½(p_iz_j + z_ip_j) is unbiased with less variance under Gibbs, i.i.d. and
    along a random-scan chain, p_ip_j off by −E[v_j(σ_i(z_j=1) − σ_i(z_j=0))]; under Little p_ip_j and the lagged p_i(z)z_j are
    unbiased; coupled phases keep it.
    """
    states = all_states(model.size)
    chance = firing_probability(model.local_field(states), model.temperature)
    spikes, halves = _readings(states, states, states), _readings(states, chance, chance)
    gibbs = exact_law(model).probabilities
    missed = np.abs(
        np.concatenate(
            [
                gibbs @ (halves - spikes),
                _product_miss(model, gibbs, states, chance, mutation),
                *_little_misses(model, states, chance),
                _leaky_miss(model, leak, seed, mutation),
            ]
        )
    )
    little = exact_law(model, dynamics="little").probabilities
    parts = [
        (_spread(gibbs, halves), _spread(gibbs, spikes)),
        (_spread(little, chance), _spread(little, states)),
        _coupled_little(model, seed, log_nudging),
        _coupled_glauber(model, seed, log_nudging, mutation),
    ]
    measured, bound = (np.concatenate(column) for column in zip(*parts, strict=True))
    # what a law's probabilities and a stationary solution carry of the rounding of energies
    scale = (np.abs(model.couplings).sum() + np.abs(model.bias).sum()) / model.temperature
    rounding = np.full(len(missed) + len(bound), 1e-13 + 20 * EPS * (model.size + scale))
    averaged, plain = _chain_average(model, gibbs, states, chance, mutation)
    return Evidence(
        np.concatenate([missed, measured, averaged]),
        np.concatenate([np.zeros_like(missed), bound, plain]),
        np.concatenate([rounding, rounding.max() * (1 + plain**2)]),
    )


def _product_miss(
    model: Model, law: FloatArray, states: FloatArray, chance: FloatArray, mutation: str | None
) -> FloatArray:
    """E p_ip_j − E z_iz_j for i < j, less its stated value −E[p_j(1−p_j)(σ_i(z_j=1) − σ_i(z_j=0))] unless mutated."""
    first, second = np.triu_indices(model.size, 1)
    gap = law @ (chance[:, first] * chance[:, second] - states[:, first] * states[:, second])
    if mutation == "p_i p_j for Gibbs":
        return gap
    index = np.arange(len(states))
    fired = chance[index[:, None] | (1 << second), first] - chance[index[:, None] & ~(1 << second), first]
    return gap + law @ (chance[:, second] * (1 - chance[:, second]) * fired)


def _little_misses(model: Model, states: FloatArray, chance: FloatArray) -> list[FloatArray]:
    """Under Peretto's law: E p − E z, the same-time and the lagged product of probabilities against spikes."""
    law = exact_law(model, dynamics="little").probabilities
    first, second = np.triu_indices(model.size, 1)
    lagged = states.T @ (law[:, None] * transition_matrix(model, dynamics="little")) @ states
    same_time = (states.T * law) @ states
    stated = (states.T * law) @ chance
    products = law @ (chance[:, first] * chance[:, second])
    return [
        law @ (chance - states),
        products - same_time[first, second],
        (lagged - stated)[~np.eye(model.size, dtype=bool)],
    ]


def _leaky_miss(model: Model, leak: float, seed: int, mutation: str | None) -> FloatArray:
    """Last spikes' E z and E z_iz_j against their probabilities', over all histories; and Var p ≤ Var z as an excess."""
    steps = STEPS[1][model.size]
    start = np.random.default_rng([seed, 63]).uniform(size=model.size)
    paths, law = leaky_law(model, leak=leak, steps=steps, start=start)
    spikes = np.round((paths[:, -1] - (1 - leak) * paths[:, -2]) / leak)
    chance = firing_probability(model.local_field(paths[:, -2]), model.temperature)
    drawn, stated = _readings(spikes, spikes, spikes), _readings(chance, chance, chance)
    if mutation == "p_i p_j for products of traces":
        drawn = _readings(paths[:, -1], paths[:, -1], paths[:, -1])
    excess = np.maximum(0.0, _spread(law, stated) - _spread(law, drawn)) if mutation is None else np.zeros(0)
    return np.concatenate([law @ (drawn - stated), excess])


def _asymptotic_variance(chain: FloatArray, law: FloatArray, values: FloatArray) -> FloatArray:
    """lim n Var of the mean over n steps: 2⟨f, (I − K)⁻¹f⟩ − ⟨f, f⟩, f centred."""
    centred = values - law @ values
    solved = np.linalg.solve(np.eye(len(law)) - chain + law, centred)
    return law @ (2 * centred * solved - centred**2)


def _chain_average(
    model: Model, law: FloatArray, states: FloatArray, chance: FloatArray, mutation: str | None
) -> tuple[FloatArray, FloatArray]:
    """Asymptotic variances along random-scan Glauber of ½(p_iz_j + z_ip_j) and of z_iz_j, over the variance of z_iz_j."""
    first, second = np.triu_indices(model.size, 1)
    pairs = states[:, first] * states[:, second]
    averaged = 0.5 * (chance[:, first] * states[:, second] + states[:, first] * chance[:, second])
    if mutation == "one-sided p_i z_j along a chain":
        averaged = chance[:, first] * states[:, second]
    unit = np.maximum(_spread(law, pairs), 1e-9)
    chain = transition_matrix(model)
    return _asymptotic_variance(chain, law, averaged) / unit, _asymptotic_variance(chain, law, pairs) / unit


def _coupled_little(model: Model, seed: int, log_nudging: float) -> tuple[FloatArray, FloatArray]:
    """w²Var of the coupled symmetric estimate under Little, of probabilities and of spikes."""
    nudging = math.exp(log_nudging) * model.temperature
    variances = [
        exact_estimator_moments(
            model,
            _cost(model, seed),
            dynamics="little",
            nudging=nudging,
            statistic=statistic,
            steps_nudged=1 + seed % 3,
        ).variance
        for statistic in ("probabilities", "spikes")
    ]
    smoothed, plain = (4 * nudging**2 * _flat(variance) for variance in variances)
    return smoothed, plain


def _coupled_glauber(
    model: Model, seed: int, log_nudging: float, mutation: str | None
) -> tuple[FloatArray, FloatArray]:
    """E of the squared difference between coupled phases: of probabilities, and of spikes after one of the two was redrawn."""
    nudging, cost = math.exp(log_nudging) * model.temperature, _cost(model, seed)
    raised, lowered = (model.with_bias(nudged_bias(model, cost, sign * nudging)) for sign in (1.0, -1.0))
    start = exact_law(model).probabilities
    law = joint_law(raised, lowered, start, dynamics="glauber", steps=1 + seed % 3, coupled=True)
    states = all_states(model.size)
    up, down = (firing_probability(one.local_field(states), model.temperature) for one in (raised, lowered))
    smooth = _readings(states, up, up)[:, None] - _readings(states, down, down)[None, :]
    plain = _readings(states, states, states)
    squares = (plain[:, None] - plain[None, :]) ** 2
    first, second = np.triu_indices(model.size, 1)
    kept = np.tensordot(law, smooth**2, axes=2)
    if mutation == "coupled chains without the redraw":
        return kept, np.tensordot(law, squares, axes=2)
    redrawn = np.array([np.tensordot(redraw(law, unit, [up, down]), squares, axes=2) for unit in range(model.size)])
    pairs, units = np.arange(len(first)), np.arange(model.size)
    both = 0.5 * (redrawn[first, pairs] + redrawn[second, pairs])
    return kept, np.concatenate([both, redrawn[units, len(first) + units]])
