"""Peak memory of one learning step, EP's and backpropagation's, against the number of free steps.

Main results: ratio_of_peaks, against_steps.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.contender import MissingPeer
from benchmarks.race import Setting, Side, Worker

OURS, PEER = "benchmarks.ours", "benchmarks.peers.laborieux"
CHANNELS, BATCH, FREE, NUDGED = (32, 64), 64, 100, 10
STEPS = (10, 30, 100, 300)
# the smallest difference that can be seen
PAGE = 4096
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


def least(kind: str, *, quick: bool = False) -> tuple[int, dict[str, str]]:
    """`resident` of a step so small that code, libraries and compilation are all there is: two images, two free steps."""
    # the peer's `squeeze` fails on one image
    return resident(kind, 2, 2, quick=quick)


def ratio_of_peaks(threads: int, setting: Setting) -> dict[str, Any]:
    """Peak of the peer's BPTT over peak of our EP, both through 100 free steps, each above its `least`."""
    batch, free, quick = (4, 4, True) if setting.quick else (BATCH, FREE, False)
    pairs, greeting = [], {}
    for _ in range(1 if quick else 3):
        peaks = []
        for kind in ("ours, EP", "Laborieux, BPTT"):
            base, greeting = least(kind, quick=quick)
            peaks.append(max(resident(kind, batch, free, quick=quick)[0] - base, PAGE))
        pairs.append(peaks)
    ratios = [theirs / ours for ours, theirs in pairs]
    middle = {name: median(column) for name, column in zip(("ours", "theirs"), zip(*pairs, strict=True), strict=True)}
    spread = {"ratio": median(ratios), "low": min(ratios), "high": max(ratios), **middle}
    return {"bytes": spread, "repeats": len(pairs), **greeting}


def against_steps(setting: Setting) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """[{kind, free, bytes above the least}] for every kind and number of free steps; the kinds left out with their reasons."""
    points, missing = [], {}
    batch, steps = (4, (4,)) if setting.quick else (BATCH, STEPS)
    for kind in KINDS:
        try:
            base, _ = least(kind, quick=setting.quick)
            for free in steps:
                peak, _ = resident(kind, batch, free, quick=setting.quick)
                points.append({"kind": kind, "free": free, "bytes": max(peak - base, PAGE)})
        except MissingPeer as reason:
            missing[f"memory of {kind}"] = str(reason)
    return points, missing
