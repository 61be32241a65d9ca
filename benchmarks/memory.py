"""Peak memory of one learning step, EP's and backpropagation's, against the number of free steps.

Main results: peaks, ratio_of_peaks, against_steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.contender import MissingPeer
from benchmarks.race import Setting, Side, Worker

OURS, PEER = "benchmarks.ours", "benchmarks.peers.laborieux"
CHANNELS, BATCH, FREE, NUDGED = (32, 64), 64, 100, 10
STEPS = (10, 30, 100, 300)
# of tiny nets, enough to be seen
QUICK_BATCH = 256
KINDS = {
    "ours, EP": (f"{OURS}:ep_step", {"pooling": "average", "nudged": NUDGED}),
    "ours, BPTT": (f"{OURS}:bptt_step", {}),
    "Laborieux, EP": (f"{PEER}:ep_step", {"pooling": "average", "nudged": NUDGED}),
    "Laborieux, BPTT": (f"{PEER}:bptt_step", {}),
}


def resident(kind: str, batch: int, free: int, *, quick: bool = False) -> tuple[int, dict[str, str]]:
    """(bytes, greeting): the largest resident memory of a process that takes one step on one thread."""
    factory, arguments = KINDS[kind]
    side = Side(factory, {**arguments, "channels": (3, 4) if quick else CHANNELS, "batch": batch, "free": free})
    with Worker(side, 1) as worker:
        greeting = worker.greeting
        worker.ask("run 1")
        return worker.ask("memory")["peak"], greeting


def peaks(kind: str, batch: int, steps: Sequence[int], *, quick: bool = False) -> tuple[list[int], dict[str, str]]:
    """(bytes a number of free steps, greeting): `resident` above that of a step of two images and two free steps.

    Code and libraries are in both, and a first process has filled the compiler's cache, for compiling takes more than a step.
    RuntimeError where nothing is left.
    """
    # the peer's `squeeze` fails on one image
    base, greeting = [resident(kind, 2, 2, quick=quick) for _ in range(2)][1]
    found = [resident(kind, batch, free, quick=quick)[0] - base for free in steps]
    if min(found) <= 0:
        raise RuntimeError(
            f"{kind}: no memory to be seen above a small step's, {found} bytes for {list(steps)} free steps"
        )
    return found, greeting


def ratio_of_peaks(threads: int, setting: Setting) -> dict[str, Any]:
    """Peak of the peer's BPTT over peak of our EP, both through 100 free steps."""
    batch, free = (QUICK_BATCH, 4) if setting.quick else (BATCH, FREE)
    # the same number again and again: one base serves all repeats
    steps = [free] * (1 if setting.quick else setting.repeats)
    theirs, greeting = peaks("Laborieux, BPTT", batch, steps, quick=setting.quick)
    ours, _ = peaks("ours, EP", batch, steps, quick=setting.quick)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    spread = {
        "ratio": median(ratios), "low": min(ratios), "high": max(ratios), "ours": median(ours), "theirs": median(theirs),
    }  # fmt: skip
    return {"bytes": spread, "repeats": len(ratios), **greeting}


def against_steps(setting: Setting) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """[{kind, free, bytes}] for every kind and number of free steps; the kinds left out with their reasons."""
    points, missing = [], {}
    batch, steps = (QUICK_BATCH, (4,)) if setting.quick else (BATCH, STEPS)
    for kind in KINDS:
        try:
            found, _ = peaks(kind, batch, steps, quick=setting.quick)
        except MissingPeer as reason:
            missing[f"memory of {kind}"] = str(reason)
            continue
        points += [{"kind": kind, "free": free, "bytes": size} for free, size in zip(steps, found, strict=True)]
    return points, missing
