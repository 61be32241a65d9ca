"""Where the time of a learning step and of a heat-bath sweep goes: each part alone, as often as the whole does it.

Main results: measure.

A part alone has the cache for itself, so that parts add up to less than the whole: what is missing is the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.ours import heat_bath, prepared
from benchmarks.problems import step_problem
from benchmarks.race import Setting
from dynamics.crnn.config import Deterministic, Stochastic
from dynamics.crnn.events import follow_pair, follow_spikes, lists_for, tabulate
from dynamics.crnn.fire import pair_probabilities, pair_spikes, probabilities, spikes
from dynamics.crnn.learning import estimate
from dynamics.crnn.wiring import accumulate_images, drive, scratch_for
from dynamics.glauber import BLOCK, COLUMNS, LANES
from dynamics.kernel import kernel
from dynamics.logit import rough_logit
from dynamics.panels import replica_words, rough_lines
from dynamics.philox import random_words
from dynamics.tiles import multiply_add

FREE, NUDGED, BATCH = 30, 10, 64
# times that a part runs between two looks at the clock, and how often that is done
TIMES, REPEATS = 200, 5
SEED, STREAM = 1, 2

# (name of the part, seconds once, times in the whole)
Parts = list[tuple[str, float, float]]


@cache
def repeated(part: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that runs another one `times` times: a call from Python costs more than some parts."""

    @kernel()
    def loop(times, arguments):
        for _ in range(times):
            part(*arguments)

    return loop


def least(run: Callable[[], object], times: int, *, quick: bool) -> float:
    """The least process CPU of a run of several, over `times`."""
    run()
    taken = []
    for _ in range(1 if quick else REPEATS):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken) / times


@kernel()
def _unit_words(drawn):
    """A step's words, of a step that the last words name: the same words again would be left out of the loop."""
    random_words(SEED, STREAM, drawn[0], 0, drawn)


@kernel()
def _lane_words(drawn):
    """A block's words, likewise."""
    for row in range(0, BLOCK, 4):
        replica_words(SEED, STREAM, drawn[row, 0], 0, 0, drawn[row : row + 4])


@kernel()
def _thresholds(drawn, thresholds):
    """A block's thresholds, as the sweep takes them."""
    for row in range(BLOCK):
        threshold, words = thresholds[row], drawn[row]
        for lane in range(LANES):
            threshold[lane] = rough_logit(words[lane])


@kernel()
def _block_fields(fields, places, couplings, size, panel):
    """A block's fields, as the sweep sums them."""
    for lane in range(0, LANES, COLUMNS):
        multiply_add(
            fields, lane, places, LANES, couplings, 0, places, size, BLOCK, panel, lane, COLUMNS, 1, 0, 0, size, 1, LANES
        )  # fmt: skip


def _step(
    channels: tuple[int, int], stochastic: bool, batch: int, timed: Callable[..., float], quick: bool
) -> dict[str, Any]:
    """A learning step on one image."""
    shared: dict[str, Any] = {"threshold": problems.THRESHOLD, "leak": 1.0}
    rule: Any = Deterministic(nudging=problems.NUDGING, steps_free=FREE, steps_nudged=NUDGED, window=1)
    if stochastic:
        shared = {"threshold": problems.SPIKING_THRESHOLDS, "leak": problems.LEAK}
        rule = Stochastic(
            nudging=problems.NUDGING, steps_free=FREE, steps_nudged=NUDGED, window=problems.WINDOW, estimator="probabilities"
        )  # fmt: skip
    made, replicas = prepared(step_problem(channels, batch, SEED), "average", np.float32), np.arange(batch)
    images, net = made.images, made.network(**shared)
    whole = least(
        lambda: estimate(rule, made.network(**shared), images, made.targets, seed=SEED, replicas=replicas), batch, quick=quick
    )  # fmt: skip
    generator, units = np.random.default_rng(SEED), net.architecture.units
    field, half, state = (generator.normal(size=units).astype(np.float32) for _ in range(3))
    half *= np.float32(0.01)
    temperature, leak = net.per_unit(net.temperature), net.per_unit(net.leak)
    bits, drawn = np.empty(units, np.int32), np.zeros(4 * (-(-units // 4)), np.uint32)
    out, other, *spare = (np.empty(units, np.float32) for _ in range(6))
    scratch, rates = scratch_for(net.wiring), generator.random((2, batch, units), np.float32)
    drives = timed(drive, (state, net.wiring, scratch, out))
    parts: Parts = [
        ("probabilities of one phase", timed(probabilities, (field, temperature, 1 / temperature, bits, out)), FREE),
        ("of two", timed(pair_probabilities, (field, half, temperature, 1 / temperature, bits, tuple(spare), out, other)), NUDGED),
        ("input's drive", least(lambda: net.constants(images), batch, quick=quick), 1),
        ("gradient", least(lambda: accumulate_images(images, rates[0], rates[1], net.wiring), batch, quick=quick), 1),
        ("weights as panels", least(lambda: made.network(**shared).wiring, batch, quick=quick), 1),
    ]  # fmt: skip
    if not stochastic:
        parts.insert(0, ("drives among the layers", drives, FREE + 2 * NUDGED))
    else:
        fired = (generator.random(units) < 0.1).astype(np.float32)
        apart = (0.5 * (generator.random(units) < 0.002)).astype(np.float32)
        sums = tuple(np.zeros(size, np.float32) for size in (net.wiring.up, net.wiring.down) * 2)
        lists, tables = lists_for(net.tables), net.tables
        parts = [
            ("spikes' drives of one phase", timed(follow_spikes, (fired, leak, net.wiring, tables, lists, *sums[:2])), FREE - 1),
            ("of two", timed(follow_pair, (fired, apart, leak, net.wiring, tables, lists, *sums)), NUDGED - 1),
            ("drives where phases begin", drives, 2),
            ("random words", timed(_unit_words, (drawn,)), FREE + NUDGED),
            ("spikes of one phase", timed(spikes, (drawn, out, other)), FREE),
            ("of two", timed(pair_spikes, (drawn, drawn, out, other, *spare[:2])), NUDGED),
            *parts,
            ("weights as tables", least(lambda: tabulate(net.architecture, net.weights, net.wiring), batch, quick=quick), 1),
        ]  # fmt: skip
    kind = "stochastic" if stochastic else "deterministic"
    return _shares(f"{kind} conv EP step {channels[0]}→{channels[1]}", "image", whole, parts)


def _sweep(size: int, timed: Callable[..., float], quick: bool) -> dict[str, Any]:
    """A sweep of 64 chains over their units in order."""
    sweeps = 2 if quick else max(10, 50_000 // size)
    contender = heat_bath(size, LANES, sweeps)
    blocks = -(-size // BLOCK)
    fields, thresholds, panel = (rough_lines(rows, LANES) for rows in (BLOCK, BLOCK, size))
    drawn, couplings = np.zeros((BLOCK, LANES), np.uint32), np.zeros(BLOCK * size, np.float32)
    _lane_words(drawn)
    block = (fields.reshape(-1), np.arange(BLOCK), couplings, size, panel.reshape(-1))
    parts: Parts = [
        ("fields of eight units", timed(_block_fields, block), blocks),
        ("random words", timed(_lane_words, (drawn,)), blocks),
        ("thresholds", timed(_thresholds, (drawn, thresholds)), blocks),
    ]
    return _shares(f"heat bath, N = {size}, {LANES} chains", "sweep", least(contender.run, sweeps, quick=quick), parts)


def _shares(work: str, unit: str, whole: float, parts: Parts) -> dict[str, Any]:
    """{work, unit, seconds, parts: [{part, seconds, share}]}, the rest last: firing of the eight units, copies, cache misses."""
    listed, before = [], ""
    for name, once, times in parts:
        # "of two" means the part before it, for two phases at once
        before = name if name != "of two" else before.replace("one phase", "two phases")
        listed.append({"part": before, "seconds": once * times, "share": once * times / whole})
    rest = whole - sum(part["seconds"] for part in listed)
    return {
        "work": work, "unit": unit, "seconds": whole,
        "parts": [*listed, {"part": "rest", "seconds": rest, "share": rest / whole}],
    }  # fmt: skip


def measure(setting: Setting) -> list[dict[str, Any]]:
    """One entry a work: conv EP steps, deterministic and stochastic, and heat-bath sweeps."""
    quick = setting.quick
    times = 2 if quick else TIMES

    def timed(part: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
        return least(lambda: repeated(part)(times, arguments), times, quick=quick)

    pairs, sizes = (((3, 4),), (16,)) if quick else (((16, 32), (32, 64)), (100, 1000))
    steps = [
        _step(pair, stochastic, 2 if quick else BATCH, timed, quick) for pair in pairs for stochastic in (False, True)
    ]
    return steps + [_sweep(size, timed, quick) for size in sizes]
