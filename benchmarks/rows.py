"""The table of goals: what each row races, how its results are held equal, and how far ahead ours must be.

Main results: ROWS, Row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.memory import ratio_of_peaks
from benchmarks.race import Outcome, Setting, Side, Unequal, Worker, race

Record = dict[str, Any]

OURS, LABORIEUX, SCELLIER = "benchmarks.ours", "benchmarks.peers.laborieux", "benchmarks.peers.scellier"
NUMPY, TORCH, DWAVE, THRML = (
    f"benchmarks.peers.{name}" for name in ("plain_numpy", "plain_torch", "dwave", "thrml_jax")
)
SMALL, LARGE = (16, 32), (32, 64)
PHASES = {"free": 30, "nudged": 10}
TINY = {"channels": (3, 4), "batch": 2}
# OpenBLAS's own choice, and that for AVX2, which is the faster one on some processors with AVX-512
BLAS_KERNELS = (None, "Haswell")
# agreement in float64 (Laborieux's cost and Scellier's target pass through float32) and in float32, where Layer 1 cancels
EXACT, ROUNDED = 1e-6, 1e-3
# of a statistical comparison: no value further apart than so many standard errors, exceeded by chance in fewer than one of 10⁶ runs
DEVIATIONS = 6.5
ACTIVITY = (0.08, 0.12)


@dataclass(frozen=True)
class Row:
    """A line of the table. measure(threads, setting) -> {clock: {ratio, low, high, …}, blas, …}; pool: of the conv layers.

    floor, goal: what the ratio must never fall below, and is to reach, by `clock` on one thread; None where it is shown only.
    single: it runs on one thread alone.
    """

    name: str
    work: str
    peer: str
    measure: Callable[[int, Setting], Record]
    floor: float | None = None
    goal: float | None = None
    pool: str | None = None
    clock: str = "cpu"
    single: bool = False

    def records(self, setting: Setting) -> list[Record]:
        """A record for each number of threads and each clock, in the form of results/bench.json."""
        made = []
        for threads in (1,) if self.single else setting.threads:
            found = self.measure(threads, setting)
            for clock in sorted({"cpu", "wall", self.clock} & found.keys()):
                judged = clock == self.clock and threads == 1
                made.append(
                    {
                        "name": self.name, "work": self.work, "peer": self.peer, "floor": self.floor if judged else None,
                        "goal": self.goal if judged else None, "pool": self.pool, "threads": threads,
                        "clock": clock, "blas": found["blas"], "library": found["library"], "repeats": found["repeats"],
                        **found[clock],
                    }
                )  # fmt: skip
        return made


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """‖a − b‖/‖b‖."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def same_gradients(ours: Outcome, theirs: Outcome, *, leave: str = "") -> None:
    """Every gradient in float64, and the last matrix's, in which nothing cancels, in float32; Unequal otherwise."""
    limits = {name: EXACT for name in theirs if name.startswith("float64.") and name != f"float64.{leave}"}
    for name, limit in {**limits, "float32.weights.2": ROUNDED}.items():
        if not distance(ours[name], theirs[name]) <= limit:
            apart = distance(ours[name], theirs[name])
            raise Unequal(f"results differ: {name} by {apart:.1e} of its size, {limit:.0e} at most is rounding")


def same_sparse_gradients(ours: Outcome, theirs: Outcome) -> None:
    """same_gradients, spike for spike, of a net whose activity is what the row says."""
    same_gradients(ours, theirs)
    activity = float(ours["float64.activity"].mean())
    # the thresholds are those of the row's nets, not of a quick run's
    if len(ours["float64.weights.0"]) > TINY["channels"][0] and not ACTIVITY[0] <= activity <= ACTIVITY[1]:
        raise Unequal(f"the net's activity must lie in {ACTIVITY}, got {activity:.3f}: mend SPIKING_THRESHOLDS")


def same_arrays(ours: Outcome, theirs: Outcome, *, limit: float) -> None:
    """Every array to `limit` of its size; Unequal otherwise."""
    for name in theirs:
        if not distance(ours[name], theirs[name]) <= limit:
            raise Unequal(
                f"results differ: {name} by {distance(ours[name], theirs[name]):.1e} of its size, at most {limit:.0e}"
            )


def same_law(ours: Outcome, theirs: Outcome) -> None:
    """Means of units and of products of neighbours, within DEVIATIONS standard errors; Unequal otherwise."""
    moments = []
    for states in (ours["states"], theirs["states"]):
        values = np.concatenate([states, states * np.roll(states, 1, axis=1)], axis=1)
        moments.append((values.mean(axis=0), values.var(axis=0) / len(values)))
    (mean, variance), (other, spread) = moments
    deviations = np.abs(mean - other) / np.sqrt(variance + spread + 1e-12)
    if not deviations.max() <= DEVIATIONS:
        raise Unequal(f"laws differ: a moment by {deviations.max():.1f} standard errors, at most {DEVIATIONS}")


def _sized(side: Side, setting: Setting, quick: Mapping[str, Any]) -> Side:
    return replace(side, arguments={**side.arguments, **quick}, blas_kernels=(None,)) if setting.quick else side


def _against(
    peer: str, function: str, arguments: Mapping[str, Any], agree: Callable[[Outcome, Outcome], None],
    quick: Mapping[str, Any] = TINY, **theirs: Any,
) -> Callable[[int, Setting], Record]:  # fmt: skip
    """Our function against the peer's of the same name and arguments, and `theirs`; `quick` are those of a quick run."""

    def measure(threads: int, setting: Setting) -> Record:
        kernels = BLAS_KERNELS if peer == NUMPY else (None,)
        sides = (
            Side(f"{OURS}:{function}", arguments),
            Side(f"{peer}:{function}", {**arguments, **theirs}, blas_kernels=kernels),
        )
        own, rival = (_sized(side, setting, quick) for side in sides)
        return race(own, rival, agree, threads=threads, setting=setting)

    return measure


def _threads(threads: int, setting: Setting) -> Record:
    """One thread's seconds over two threads', of a step that both compute to the same bit."""
    arguments = {"channels": LARGE, "pooling": "average", "batch": 64, **PHASES}
    two, one = (_sized(Side(f"{OURS}:ep_step", arguments, threads=count), setting, TINY) for count in (2, 1))
    found = race(two, one, partial(same_arrays, limit=0.0), threads=threads, setting=setting)
    return {name: value for name, value in found.items() if name != "cpu"}


def _precision(threads: int, setting: Setting) -> Record:
    """Layer 1's ‖g32 − g64‖/‖g64‖, the peer's over ours, each against its own float64, for fresh weights and images."""
    arguments = {"channels": (3, 4) if setting.quick else LARGE, "pooling": "average", "batch": 1, **PHASES}
    errors = []
    sides = [Side(f"{module}:ep_step", arguments) for module in (OURS, LABORIEUX)]
    with Worker(sides[1], threads) as peer, Worker(sides[0], threads) as own:
        greeting = peer.greeting
        for seed in range(1 if setting.quick else setting.repeats):
            outcomes = [worker.outcome(seed) for worker in (own, peer)]
            same_gradients(*outcomes)
            errors.append([distance(*(found[f"float{size}.weights.0"] for size in (32, 64))) for found in outcomes])
    ratios = [theirs / ours for ours, theirs in errors]
    middle = {name: median(column) for name, column in zip(("ours", "theirs"), zip(*errors, strict=True), strict=True)}
    spread = {"ratio": median(ratios), "low": min(ratios), "high": max(ratios), **middle}
    return {"error": spread, "repeats": len(errors), "blas": greeting["blas"], "library": greeting["library"]}


def _named(pair: tuple[int, int]) -> tuple[str, str]:
    return f"{pair[0]}-{pair[1]}", f"{pair[0]}→{pair[1]}"


def _conv_rows() -> list[Row]:
    """Deterministic EP against both published implementations, and StochEP against a plain writing."""
    rows = []
    goals = {
        ("laborieux", "average"): {SMALL: (4.5, 8.0), LARGE: (3.5, 6.0)},
        ("laborieux", "max"): {SMALL: (6.0, 10.0), LARGE: (4.0, 6.0)},
        # the published network pools by the largest; that of the theory beside it
        ("scellier", "max"): {SMALL: (7.0, 12.0), LARGE: (5.5, 8.5)},
        ("scellier", "average"): {SMALL: (None, None), LARGE: (None, None)},
    }
    modules = {"laborieux": (LABORIEUX, "Laborieux"), "scellier": (SCELLIER, "Scellier, synchronous")}
    for (who, pooling), pairs in goals.items():
        for pair, (floor, goal) in pairs.items():
            short, long, steps = *_named(pair), {"channels": pair, "batch": 64, **PHASES}
            # the second kernel's gradient reads its maxima off the mean of the nudged states here, off each of them there:
            # equal to rounding unless a maximum moves
            agree = same_gradients if pooling == "average" else partial(same_gradients, leave="weights.1")
            # as the peer publishes it
            hard = {"activation": "hard_sigmoid"} if pooling == "max" else {}
            measure = _against(modules[who][0], "ep_step", {"pooling": pooling, **steps, **hard}, agree)
            units = "hard sigmoid" if hard else "logistic"
            work = f"conv EP step {long}, {pooling} pool, {units} units, batch 64, 30 + 2·10 steps, update"
            name, single = f"{who}-{pooling}-{short}", floor is None
            rows.append(Row(name, work, modules[who][1], measure, floor, goal, pooling, single=single))
    for pair in (SMALL, LARGE):
        short, long = _named(pair)
        measure = _against(LABORIEUX, "bptt_step", {"channels": pair, "batch": 64, "free": 30}, same_gradients)
        work = f"BPTT through 30 steps, conv {long}, average pool, logistic units, batch 64, update"
        rows.append(Row(f"laborieux-bptt-{short}", work, "Laborieux BPTT", measure, pool="average", single=True))
    for pair, floor, goal in ((LARGE, 5.0, 10.0), (SMALL, 5.0, 9.0)):
        short, long, steps = *_named(pair), {"channels": pair, "batch": 64, **PHASES}
        for fused in (False, True):
            measure = _against(TORCH, "stochastic_step", steps, same_sparse_gradients, fused=fused)
            kind, peer = ("stochastic-fused", "torch, pooling fused") if fused else ("stochastic", "plain torch")
            work = f"stochastic conv EP step {long}, activity 10 %, batch 64, 30 + 2·10 steps, update"
            limits = (None, None) if fused else (floor, goal)
            rows.append(Row(f"{kind}-{short}", work, peer, measure, *limits, "average", single=fused))
    return rows


def _other_rows() -> list[Row]:
    spikes = {"channels": LARGE, "batch": 64, "activity": 0.1}
    measure = _against(NUMPY, "spike_convolution", spikes, partial(same_arrays, limit=1e-5))
    work = "spike conv 32→64, 5×5 on 12×12, activity 10 %, batch 64"
    rows = [
        Row("spikes-32-64", work, "NumPy sgemm of given patches", measure, 3.5, 5.0),
        Row(
            "peak-memory", "peak memory of a step 32→64, batch 64, 100 free steps: BPTT there, EP here", "Laborieux BPTT",
            ratio_of_peaks, 50.0, 200.0, "average", "bytes", single=True,
        ),
    ]  # fmt: skip
    for size, sweeps, floor in ((100, 500, 7.0), (1000, 100, 6.0)):
        arguments = {"size": size, "chains": 64, "sweeps": sweeps}
        measure = _against(DWAVE, "heat_bath", arguments, same_law, {"size": 20, "chains": 8, "sweeps": 20})
        work = f"heat bath, dense couplings, N = {size}, 64 chains × {sweeps} sweeps in fixed order"
        # the peer has no threads
        rows.append(Row(f"heat-bath-{size}", work, "dwave-samplers", measure, floor, 14.0, single=True))
    arguments, tiny = {"size": 100, "chains": 64, "sweeps": 50}, {"size": 8, "chains": 8, "sweeps": 5}
    measure = _against(THRML, "heat_bath", arguments, same_law, tiny)
    work = "heat bath, dense couplings, N = 100, 64 chains × 50 sweeps in fixed order"
    rows.append(Row("thrml-100", work, "thrml, on the CPU", measure, single=True))
    measure = _against(NUMPY, "enumeration", {"size": 24}, partial(same_arrays, limit=1e-9), {"size": 14})
    work = "log Z, means, pair correlations, N = 24"
    rows.append(Row("enumeration-24", work, "NumPy matmul by chunks", measure, 150.0, 300.0))
    work = "two threads over one: conv EP step 32→64, average pool, batch 64"
    rows.append(Row("threads", work, "ours, one thread", _threads, 1.7, 1.9, "average", "wall", single=True))
    work = "layer-1 EP gradient 32→64, ‖float32 − float64‖/‖float64‖: theirs over ours"
    rows.append(Row("precision", work, "Laborieux", _precision, 1.0, 10.0, "average", "error", single=True))
    return rows


ROWS = {row.name: row for row in (*_conv_rows(), *_other_rows())}
