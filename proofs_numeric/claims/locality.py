"""Family E, locality and memory: what a synapse reads, and what a phase stores.

Main results: thm:E1, thm:E2.
"""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamics.backpropagation import backpropagated_gradient, backpropagation_through_time
from dynamics.crnn import convolution
from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Deterministic, Stochastic
from dynamics.crnn.learning import Response, gradient, respond
from dynamics.crnn.network import Network
from dynamics.pairing import Phase, difference_sums, read_phase
from dynamics.phases import Noise, advance, bind, free_phase, relax
from dynamics.philox import STREAM_NUDGED
from meanfield.equations import activity_variance
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
CHAIN = ([[0.0, 2.0, 0.0], [2.0, 0.0, -1.5], [0.0, -1.5, 0.0]], [-0.4, 0.3, 0.9], 1.0)
# dynamics and the statistic it is read by
READINGS = (("leaky", "traces"), ("leaky", "probabilities"), ("little", "spikes"), ("glauber", "spikes"))


@claim(
    label="E1",
    title="locality of the update",
    kind="identity",
    hypotheses="the states of the two phases are given; each coupling is a parameter of its own, or shared by listed pairs",
    norm="absolute",
    domain=model_scalars(6, smallest=3),
    falsifiers=(
        Falsifier("the three-factor rule", {"model": CHAIN, "seed": 3}),
        Falsifier("the implicit gradient", {"model": CHAIN, "seed": 3}),
        Falsifier("one pair for a shared weight", {"model": CHAIN, "seed": 3}, drops="a parameter of its own"),
    ),
    instances=60,
)
def update_is_local(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """EP's update of J_ij is a function of the states of i and j in the two phases: no symbol of another unit occurs in it,
    and overwriting every other unit's states with NaN changes no bit of it, in sampled, layered and convolutional nets.
    """
    generator = np.random.default_rng([seed, 71])
    first, second = (int(k) for k in generator.permutation(model.size)[:2])
    if mutation == "the three-factor rule":
        return Evidence(_three_factor_reads(model, first, second), 0.0)
    if mutation == "the implicit gradient":
        return Evidence(_implicit_reads(model, first, second), 0.0)
    counts = [
        _foreign_symbol_count(),
        _sampled_reads(model, seed, first, second),
        _layered_reads(seed),
        _convolutional_reads(seed, everywhere=mutation != "one pair for a shared weight"),
    ]
    return Evidence(np.array(counts, dtype=np.float64), 0.0)


@cache
def _foreign_symbol_count() -> int:
    """Symbols of other units in any update of a net of four, derived by differentiating its energy."""
    # SymPy takes half a second to import
    from meanfield.derivations.plasticity import foreign_symbols
    from meanfield.symbols import net

    whole = net(4)
    return sum(len(foreign_symbols(whole, i, j)) for i, j in itertools.combinations(range(4), 2))


def _sampled_reads(model: Model, seed: int, first: int, second: int) -> int:
    """How many of the sums over replicas of synapse (first, second) change when all other units become NaN."""
    dynamics, statistic = READINGS[seed % len(READINGS)]
    setting, strength = bind(model, dynamics, cost=random_cost(model.size, seed)), 0.3 * model.temperature
    start = free_phase(setting, steps=5, replicas=6, noise=Noise(seed % 2**31))
    raised, lowered = (
        read_phase(setting, start, 3, Noise(seed % 2**31, STREAM_NUDGED), np.full(6, nudging), statistic)
        for nudging in (strength, -strength)
    )
    others = np.setdiff1d(np.arange(model.size), [first, second])
    scale = np.full(6, 1 / (2 * strength))
    whole = difference_sums(raised, lowered, scale)
    alone = difference_sums(_poisoned(raised, others), _poisoned(lowered, others), scale)
    kept = [(first, second), (first, second), [first, second], [first, second]]
    return sum(int((before[k] != after[k]).sum()) for before, after, k in zip(whole, alone, kept, strict=True))


def _poisoned(phase: Phase, others: NDArray[Any]) -> Phase:
    parts = [part.copy() for part in phase]
    for part in parts:
        part[:, others] = np.nan
    return Phase(*parts)


def _layered_reads(seed: int) -> int:
    """The same for one random weight of each matrix of a layered network, and for the biases of its units."""
    generator = np.random.default_rng([seed, 72])
    architecture = Architecture.dense(3, 4, 3, 2)
    weights, bias = architecture.draw_weights(generator, [2.0] * 3), generator.normal(size=architecture.units)
    network = Network(architecture, weights, bias, 0.5, 0.1, 0.4)
    images, targets = generator.uniform(size=(3, 3)), np.eye(2)[[0, 1, 0]]
    shared = {"steps_free": 8, "steps_nudged": 6, "window": 2, "nudging": 0.3}
    rule = Stochastic(estimator="traces", **shared) if seed % 2 else Deterministic(**shared)
    response = respond(rule, network, images, targets, seed=seed, replicas=np.arange(3))
    whole = gradient(network, response)
    changed = 0
    for layer, matrix in enumerate(architecture.arrays(whole[0])):
        j, k = int(generator.integers(matrix.shape[0])), int(generator.integers(matrix.shape[1]))
        pixels, mean, slope = (np.full_like(part, np.nan) for part in (images, response.mean, response.slope))
        kept = [architecture.places[layer].start + k]
        if layer == 0:
            pixels[:, j] = images[:, j]
        else:
            kept.append(architecture.places[layer - 1].start + j)
        mean[:, kept], slope[:, kept] = response.mean[:, kept], response.slope[:, kept]
        alone = gradient(network, Response(mean, slope, response.free, pixels))
        changed += int(architecture.arrays(alone[0])[layer][j, k] != matrix[j, k])
        changed += int((alone[1][kept] != whole[1][kept]).sum())
    return changed


def _convolutional_reads(seed: int, everywhere: bool) -> int:
    """The same for a shared weight w[o, c, i, j]: it reads channels o and c alone, at the pairs of places that it couples.

    everywhere=False keeps one of these pairs only.
    """
    generator = np.random.default_rng([seed, 73])
    images, outputs = generator.normal(size=(2, 3, 5, 4)), generator.normal(size=(2, 2, 4, 3))
    o, c, i, j = (int(generator.integers(high)) for high in (2, 3, 2, 2))
    whole = convolution.convolution_gradient(images, outputs, kernel=(2, 2))
    below, above = generator.normal(size=images.shape), generator.normal(size=outputs.shape)
    places = (slice(None), slice(None)) if everywhere else (slice(0, 1), slice(0, 1))
    above[:, o] = outputs[:, o] if everywhere else 0.0
    above[:, o, *places] = outputs[:, o, *places]
    below[:, c, i : i + 4, j : j + 3][:, *places] = images[:, c, i : i + 4, j : j + 3][:, *places]
    alone = convolution.convolution_gradient(below, above, kernel=(2, 2))
    return int(alone[o, c, i, j] != whole[o, c, i, j])


def _three_factor_reads(model: Model, first: int, second: int) -> int:
    """−Cov(s_is_j, C)/T of eight states: how many other units change it when they alone are replaced."""
    states = np.random.default_rng(74).integers(0, 2, size=(8, model.size)).astype(float)
    cost = QuadraticCost(np.arange(model.size), np.full(model.size, 0.2))

    def rule(spikes: FloatArray) -> float:
        return float(np.cov(spikes[:, first] * spikes[:, second], cost.on_spikes(spikes))[0, 1])

    return _readers(rule, states, first, second)


def _implicit_reads(model: Model, first: int, second: int) -> int:
    """a_im_j + a_jm_i with (I − VJ/T)a = V∂C/T: how many other units' means change it."""
    means = fixed_point(model, start=np.full(model.size, 0.5), method="newton").value

    def rule(rates: FloatArray) -> float:
        variance = activity_variance(rates[0])
        system = np.eye(model.size) - variance[:, None] * model.couplings / model.temperature
        adjoint = np.linalg.solve(system, variance * (rates[0] - 0.2) / model.temperature)
        return float(adjoint[first] * rates[0, second] + adjoint[second] * rates[0, first])

    return _readers(rule, means[None], first, second)


def _readers(rule: Callable[[FloatArray], float], states: FloatArray, first: int, second: int) -> int:
    count = 0
    for other in set(range(states.shape[1])) - {first, second}:
        moved = states.copy()
        moved[:, other] = 1 - moved[::-1, other]
        count += rule(moved) != rule(states)
    return count


# Growth of BPTT's memory that is looked for, and what the interpreter may move on its own: numbers, frames, one page in all.
GROWTH, INTERPRETER = 2**18, 4096.0


@claim(
    label="E2",
    title="memory against steps",
    kind="identity",
    hypotheses="EP keeps the last state of a phase; BPTT keeps the states that it passed through (no recomputation)",
    norm="absolute",
    means="numeric",
    domain={**model_scalars(16), "leak": Interval(0.05, 1.0)},
    falsifiers=(
        Falsifier("EP keeps its path", {"model": CHAIN, "seed": 0, "leak": 0.5}, drops="EP keeps the last state"),
        Falsifier("BPTT in constant memory", {"model": CHAIN, "seed": 0, "leak": 0.5}),
        Falsifier("half of 8N bytes a step", {"model": CHAIN, "seed": 0, "leak": 0.5}),
    ),
    instances=15,
)
def memory_against_steps(model: Model, leak: float, seed: int, mutation: str | None = None) -> Evidence:
    """From n to 3n steps a phase, the measured peak memory of EP grows by 0 bytes, that of BPTT by 8N bytes a step (16N when
    it hands back every step's contribution); in layered networks EP's stays as it is, too.
    """
    cost = random_cost(model.size, seed)
    steps = math.ceil(GROWTH / (16 * model.size))
    slope = {"BPTT in constant memory": 0, "half of 8N bytes a step": 4}.get(mutation or "", 8) * model.size
    last = _last_of_path if mutation == "EP keeps its path" else advance

    def equilibrium_propagation(count: int) -> None:
        free = last(model, steps=count, leak=leak)
        strength = 0.1 * model.temperature
        ends = [last(model, steps=count, leak=leak, start=free, cost=cost, nudging=b) for b in (strength, -strength)]
        (np.outer(ends[0], ends[0]) - np.outer(ends[1], ends[1])) / (-2 * strength)

    def lean(count: int) -> None:
        backpropagated_gradient(model, cost, steps=count, leak=leak)

    def whole(count: int) -> None:
        backpropagation_through_time(model, cost, steps=count, leak=leak)

    network = _small_network(seed)
    constants = network.constants(np.full((2, network.architecture.inputs), 0.5))

    def layered(count: int) -> None:
        states = network.start(2)
        network.phase(states, constants, steps=count, window=1)
        network.phase(states, constants, steps=count, window=1, targets=np.eye(2), nudging=0.1)

    measured = [
        _growth(equilibrium_propagation, steps),
        _growth(lean, steps),
        _growth(whole, steps),
        _growth(layered, steps // 50),
    ]
    stated = np.array([0, 2 * slope * steps, 4 * slope * steps, 0])
    return Evidence(np.abs(np.array(measured) - stated), 0.0, INTERPRETER)


def _last_of_path(*arguments: Any, **options: Any) -> FloatArray:
    return relax(*arguments, **options)[-1]


def _small_network(seed: int) -> Network:
    architecture = Architecture.dense(3, 4, 2)
    weights = architecture.draw_weights(np.random.default_rng([seed, 75]), [1.0, 1.0])
    return Network(architecture, weights, np.zeros(architecture.units), 1.0, 0.0, 0.5)


def _growth(work: Callable[[int], None], steps: int) -> int:
    """Peak of the bytes traced (NumPy's included) while work(3·steps) runs, less that of work(steps)."""
    work(2)
    return _peak(work, 3 * steps) - _peak(work, steps)


def _peak(work: Callable[[int], None], steps: int) -> int:
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work(steps)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()
