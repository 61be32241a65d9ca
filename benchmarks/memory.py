"""Peak memory of one learning step, EP's and backpropagation's, against the number of free steps.

Main results: peak, ratio_of_peaks, against_steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.contender import MissingPeer
from benchmarks.race import Setting, Side, Worker

OURS, PEER = "benchmarks.ours", "benchmarks.peers.laborieux"
CHANNELS, BATCH, FREE, NUDGED = (32, 64), 64, 100, 10
STEPS = (10, 30, 100, 300)
KINDS = {
    "ours, EP": (f"{OURS}:ep_step", {"pooling": "average", "nudged": NUDGED}),
    "ours, BPTT": (f"{OURS}:bptt_step", {}),
    "Laborieux, EP": (f"{PEER}:ep_step", {"pooling": "average", "nudged": NUDGED}),
    "Laborieux, BPTT": (f"{PEER}:bptt_step", {}),
}


def peak(kind: str, free: int, *, quick: bool = False) -> tuple[int, dict[str, str]]:
    """(bytes, greeting): the largest resident memory of a process that takes a step, less one's that took a small one.

    The small step is of two images (the peer's `squeeze` fails on one) and two free steps, so that code, libraries and compilation
    are in both.
    """
    factory, arguments = KINDS[kind]
    shared: Mapping[str, Any] = {**arguments, "channels": (3, 4) if quick else CHANNELS}
    least = {name: 1 for name in ("nudged",) if name in arguments}
    sizes = ({**shared, "batch": 2, "free": 2, **least}, {**shared, "batch": 4 if quick else BATCH, "free": free})
    peaks, greeting = [], {}
    for size in sizes:
        with Worker(Side(factory, size), 1) as worker:
            greeting = worker.greeting
            worker.ask("run 1")
            peaks.append(worker.ask("memory")["peak"])
    return peaks[1] - peaks[0], greeting


def ratio_of_peaks(threads: int, setting: Setting) -> dict[str, Any]:
    """Peak of the peer's BPTT over peak of our EP, both through 100 free steps; one thread whatever `threads` says."""
    pairs = []
    for _ in range(1 if setting.quick else 3):
        theirs, greeting = peak("Laborieux, BPTT", FREE, quick=setting.quick)
        pairs.append((max(peak("ours, EP", FREE, quick=setting.quick)[0], 1), theirs, greeting))
    ratios = [theirs / ours for ours, theirs, _ in pairs]
    spread = {
        "ratio": median(ratios), "low": min(ratios), "high": max(ratios), "ours": median(pair[0] for pair in pairs),
        "theirs": median(pair[1] for pair in pairs),
    }  # fmt: skip
    return {"bytes": spread, "repeats": len(pairs), **pairs[-1][2]}


def against_steps(setting: Setting) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """[{kind, free, bytes}] for every kind and number of free steps, and the kinds left out with their reasons."""
    points, missing = [], {}
    for kind in KINDS:
        try:
            points += [
                {"kind": kind, "free": free, "bytes": peak(kind, free, quick=setting.quick)[0]}
                for free in ((4,) if setting.quick else STEPS)
            ]
        except MissingPeer as reason:
            missing[f"memory of {kind}"] = str(reason)
    return points, missing
