"""Family C, the bridge to backpropagation: EP's nudged phase is BPTT, step by step.

Main results: thm:C4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamics.backpropagation import Backpropagation, backpropagation_through_time, reversed_cycle
from dynamics.enumeration import leaky_law
from dynamics.phases import relax
from meanfield import bounds
from meanfield.equations import SUP_CURVATURE, SUP_SLOPE, firing_probability, firing_slope
from meanfield.model import FloatArray, Model, QuadraticCost, leak_cycle
from meanfield.response import symmetric_gradient
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars

EPS = float(np.finfo(float).eps)
# T ∂/∂β is the imaginary part at β = i·TINY·T over TINY: nothing cancels, the next term is TINY² smaller
TINY = 1e-30
# One unit at the peak of |σ''|, target 1: the error's bound is an equality as β → 0.
PEAKED_UNIT = ([[0.0]], [math.log(2 + math.sqrt(3))], 1.0)
CHAIN = ([[0.0, 2.0, 0.0], [2.0, 0.0, -1.5], [0.0, -1.5, 0.0]], [-0.4, 0.3, 0.9], 1.0)
SHORT = {"leak": 0.6, "steps": 4, "log_nudging": math.log(0.01), "seed": 1}


def _cost(size: int, seed: int) -> tuple[QuadraticCost, str]:
    """A random cost; on one unit the target 1 on spikes, where the bound is tightest."""
    generator = np.random.default_rng([seed, 60])
    outputs = generator.permutation(size)[: generator.integers(1, size + 1)]
    if size == 1 and seed % 2 == 0:
        return QuadraticCost([0], [1.0]), "spikes"
    return QuadraticCost(outputs, generator.uniform(size=outputs.size)), ("rates", "spikes")[seed % 2]


def _cycles(size: int, leak: float, seed: int) -> list[FloatArray]:
    """One leak for all; one each; three rows of random blocks that overlap, so that every unit moves and some wait."""
    generator = np.random.default_rng([seed, 61])
    blocks = generator.uniform(0.05, 1.0, size=(3, size)) * (generator.uniform(size=(3, size)) < 0.6)
    blocks[0, ~blocks.any(axis=0)] = 1.0
    return [leak_cycle(leak, size), leak_cycle(generator.uniform(0.05, 1.0, size=size), size), blocks]


def _nudged_path(
    model: Model, force: tuple[FloatArray, FloatArray], leaks: FloatArray, start: FloatArray, steps: int, outside: bool
) -> NDArray[Any]:
    """States (steps + 1, N) of the phase nudged by β = i·TINY·T; `outside` adds the nudge to the rate, not to the field."""
    path = [start.astype(complex)]
    for step in range(steps):
        state = path[-1]
        push = -1j * TINY * (force[0] * state + force[1])
        field = model.local_field(state) + (0.0 if outside else model.temperature * push)
        drive = firing_probability(field, model.temperature) + (push * SUP_SLOPE if outside else 0.0)
        rate = leaks[step % len(leaks)]
        path.append((1 - rate) * state + rate * drive)
    return np.array(path)


def _step_by_step(
    model: Model, path: NDArray[Any], unrolled: Backpropagation, shift: int = 0
) -> tuple[FloatArray, FloatArray]:
    """T times (1/β)(change of s_is_j, then of s_i) + BPTT's contribution, for every nudged step: (n, N, N) and (n, N)."""
    pairs, units = [], []
    for t in range(len(path) - 1 - shift):
        part = unrolled.contribution(t + 1 + shift)
        change = (np.outer(path[t + 1], path[t + 1]) - np.outer(path[t], path[t])).imag / TINY
        np.fill_diagonal(change, 0.0)
        pairs.append(change + model.temperature * part.couplings)
        units.append((path[t + 1] - path[t]).imag / TINY + model.temperature * part.bias)
    return np.array(pairs), np.array(units)


def relaxation_rounding(
    model: Model, mean: FloatArray, leaks: FloatArray, steps: int, strength: float
) -> tuple[FloatArray, FloatArray]:
    """What floating point may add, by the recursions that it obeys: to T∂_βs(n), and to the state s(n) itself, (N,) each.

    A start that is not exactly at rest drifts by its residual a step; all that is added grows with |A| ≤ 1 − ε + ε(|J| +
    |β|)/4T, and the slope errs by M₂ times the field's error. The backward pass obeys the transposed recursion, whose
    contributions have the same majorant.
    """
    scaled = np.abs(model.couplings) / model.temperature
    terms = EPS * (model.size + 8)
    field_noise = terms * (scaled @ mean + np.abs(model.bias) / model.temperature + strength)
    residual = np.abs(firing_probability(model.local_field(mean), model.temperature) - mean)
    drift = error = response = np.zeros(model.size)
    for step in range(steps):
        rate = leaks[step % len(leaks)]
        field_error, pushed = scaled @ drift + strength * drift + field_noise, scaled @ response + 1
        fresh = SUP_CURVATURE * field_error * pushed + SUP_SLOPE * drift + terms * pushed
        error = (1 - rate) * error + rate * (SUP_SLOPE * (scaled @ error) + fresh)
        response = (1 - rate) * response + rate * SUP_SLOPE * pushed
        drift = (1 - rate) * drift + rate * (SUP_SLOPE * field_error + residual) + 4 * EPS
    return 4 * error + terms * response, drift + EPS


@claim(
    label="C4",
    title="EP is backpropagation through time, step by step",
    kind="inequality",
    hypotheses="J = Jᵀ; the nudge inside σ; start exactly at a fixed point; deterministic relaxation, any leaks in [0, 1]",
    norm="spectral",
    domain={
        **model_scalars(5, gain=Interval(0.02, 2.0)),
        "leak": Interval(0.05, 1.0),
        "steps": Interval(1, 8, integer=True),
        "log_nudging": Interval(math.log(1e-3), 0.0),
    },
    falsifiers=(
        Falsifier(
            "constant × 0.9", {**SHORT, "model": PEAKED_UNIT, "leak": 1.0, "log_nudging": math.log(1e-3), "seed": 0}
        ),
        Falsifier("the block order not reversed", {**SHORT, "model": CHAIN}),
        Falsifier("the state in place of the field", {**SHORT, "model": CHAIN}),
        Falsifier("one step later", {**SHORT, "model": CHAIN}),
        Falsifier("a nudge outside σ", {**SHORT, "model": CHAIN}, drops="the nudge inside σ"),
        Falsifier("a start off rest", {**SHORT, "model": CHAIN}, drops="start exactly at a fixed point"),
        Falsifier("leaky spikes", {**SHORT, "model": CHAIN, "leak": 1.0}, drops="deterministic relaxation"),
        Falsifier("asymmetric J", {**SHORT, "model": CHAIN}, drops="J = Jᵀ"),
    ),
    instances=120,
)
def equilibrium_propagation_is_backpropagation(
    model: Model, leak: float, steps: int, log_nudging: float, seed: int, mutation: str | None = None
) -> Evidence:
    """At β → 0, (1/β)[s_is_j(t+1) − s_is_j(t)] = −(BPTT's contribution of the use t+1 steps before the loss), leaks in reversed
    order; Δs_i(t)/β = −∂L/∂h_i; the cumulated update misses −(truncated BPTT) by at most bounds.relaxation_error.
    """
    cost, cost_on = _cost(model.size, seed)
    mean = fixed_point(model, start=np.full(model.size, 0.5), method="newton", tolerance=1e-15, throw=False).value
    if mutation in DROPPED:
        return Evidence(np.abs(DROPPED[mutation](model, cost, mean, leak, steps)).max(), 0.0, 1e-6)
    measured, bound, rounding, ceiling = [], [], [], []
    strength = math.exp(log_nudging)
    for leaks in _cycles(model.size, leak, seed):
        backwards = leaks if mutation == "the block order not reversed" else reversed_cycle(leaks, model.size, steps)
        unrolled = backpropagation_through_time(model, cost, steps=steps, leak=backwards, start=mean, cost_on=cost_on)
        path = _nudged_path(model, cost.force(model.size, cost_on), leaks, mean, steps, outside=False)
        if mutation == "the state in place of the field":
            state_errors = unrolled.fields / np.maximum(
                backwards[np.arange(steps) % len(backwards)] * firing_slope(mean, model.temperature), 1e-300
            )
            unrolled = unrolled._replace(fields=state_errors / model.temperature)
        pairs, units = _step_by_step(model, path, unrolled, shift=int(mutation == "one step later"))
        error, drift = relaxation_rounding(model, mean, leaks, steps, strength)
        measured += [np.abs(pairs).max(axis=0), np.abs(units).max(axis=0)]
        bound += [np.zeros_like(pairs[0]), np.zeros_like(units[0])]
        rounding += [error[:, None] + error, error]
        ceiling += [np.full_like(pairs[0], np.inf), np.full_like(units[0], np.inf)]
        if mutation is not None:
            continue
        for estimator in ("one-sided", "symmetric"):
            miss = _finite_miss(model, cost, cost_on, mean, leaks, strength, unrolled, estimator)
            stated = bounds.relaxation_error(
                model, cost, nudging=strength * model.temperature, steps=steps, leak=leaks, estimator=estimator,
                start=mean, cost_on=cost_on,
            )  # fmt: skip
            measured += [np.abs(miss[0]), np.abs(miss[1])]
            bound += [model.temperature * stated.couplings, model.temperature * stated.bias]
            state_error = 2 * drift / strength + error
            rounding += [state_error[:, None] + state_error, state_error]
            # either side lies within 1/β of 0
            ceiling += [np.full_like(miss[0], 2 / strength), np.full_like(miss[1], 2 / strength)]
    return Evidence(_flat(measured), _flat(bound), _flat(rounding), _flat(ceiling))


def _flat(parts: list[FloatArray]) -> FloatArray:
    return np.concatenate([np.ravel(part) for part in parts])


def _finite_miss(
    model: Model,
    cost: QuadraticCost,
    cost_on: str,
    mean: FloatArray,
    leaks: FloatArray,
    strength: float,
    unrolled: Backpropagation,
    estimator: str,
) -> tuple[FloatArray, FloatArray]:
    """T·(the cumulated finite-β update + truncated BPTT), (N, N) and (N,), from real relaxations."""
    steps = len(unrolled.fields)
    ends = [
        relax(model, steps=steps, leak=leaks, start=mean, cost=cost, cost_on=cost_on, nudging=sign * model.temperature)[
            -1
        ]
        for sign in (strength, -strength)
    ]
    low, width = (mean, strength) if estimator == "one-sided" else (ends[1], 2 * strength)
    change = ends[0] - low
    # s_is_j − s'_is'_j = Δ_is_j + s'_iΔ_j: the small differences first
    pairs = (np.outer(change, ends[0]) + np.outer(low, change)) / width
    np.fill_diagonal(pairs, 0.0)
    gradient = unrolled.truncated(steps)
    return pairs + model.temperature * gradient.couplings, change / width + model.temperature * gradient.bias


def _outside(model: Model, cost: QuadraticCost, mean: FloatArray, leak: float, steps: int) -> FloatArray:
    """The rate is nudged, s ← (1−ε)s + ε(σ(h/T) − βc/4T)."""
    unrolled = backpropagation_through_time(model, cost, steps=steps, leak=leak, start=mean)
    path = _nudged_path(model, cost.force(model.size, "rates"), leak_cycle(leak, model.size), mean, steps, outside=True)
    return _step_by_step(model, path, unrolled)[1]


def _off_rest(model: Model, cost: QuadraticCost, mean: FloatArray, leak: float, steps: int) -> FloatArray:
    """Both start at ½, which is not a fixed point."""
    start = np.full(model.size, 0.5)
    unrolled = backpropagation_through_time(model, cost, steps=steps, leak=leak, start=start)
    path = _nudged_path(
        model, cost.force(model.size, "rates"), leak_cycle(leak, model.size), start, steps, outside=False
    )
    return _step_by_step(model, path, unrolled)[1]


def _leaky_spikes(model: Model, cost: QuadraticCost, mean: FloatArray, leak: float, steps: int) -> FloatArray:
    """T ∂_β E[s_t] of leaky spikes from m, by central differences of their exact law, + BPTT truncated to t, t = 1 … n."""
    unrolled = backpropagation_through_time(model, cost, steps=steps, leak=leak, start=mean, cost_on="spikes")
    force, step = cost.force(model.size, "spikes")[1], 1e-4
    ends = []
    for sign in (1, -1):
        nudged = model.with_bias(model.bias - sign * step * model.temperature * force)
        paths, law = leaky_law(nudged, leak=leak, steps=steps, start=mean)
        ends.append(np.einsum("m,mtn->tn", law, paths))
    slopes = (ends[0] - ends[1]) / (2 * step)
    truncated = np.array([unrolled.truncated(t).bias for t in range(steps + 1)])
    return slopes + model.temperature * truncated


def _asymmetric(model: Model, cost: QuadraticCost, mean: FloatArray, leak: float, steps: int) -> FloatArray:
    """The couplings of the upper triangle halved in one direction: A^t G c against G(Aᵀ)^t c at the fixed point of that net."""
    one_way = model.couplings - 0.5 * np.triu(model.couplings)
    rates = mean
    for _ in range(2000):
        rates = firing_probability(rates @ one_way + model.bias, model.temperature)
    gain = leak * firing_slope(rates, model.temperature)
    jacobian = (1 - leak) * np.eye(model.size) + gain[:, None] * one_way.T
    slope, offset = cost.force(model.size, "rates")
    nudge = slope * rates + offset
    power = np.linalg.matrix_power(jacobian, steps - 1)
    changes = -power @ (gain * nudge) + gain * (power.T @ nudge)
    return symmetric_gradient(changes[:, None] * rates, changes).couplings


DROPPED = {
    "a nudge outside σ": _outside,
    "a start off rest": _off_rest,
    "leaky spikes": _leaky_spikes,
    "asymmetric J": _asymmetric,
}
