"""How the cost of our kernels grows with the size of what they are given.

Main results: measure.
"""

from __future__ import annotations

from typing import Any

from benchmarks.race import Setting, Side
from benchmarks.roofline import best_seconds

OURS = "benchmarks.ours"
STEP = {"channels": (32, 64), "pooling": "average", "batch": 64, "free": 30, "nudged": 10}
TINY = {**STEP, "channels": (3, 4), "batch": 2}
CHAINS, UPDATES = 64, 3_000_000


def measure(setting: Setting) -> list[dict[str, Any]]:
    """[{name, against, unit, clock, points: [{x, seconds}]}]: seconds a unit of work, one thread but where threads are counted."""
    quick = setting.quick
    step = TINY if quick else STEP
    sizes = (20, 40) if quick else (30, 100, 300, 1000, 2000)
    states = (10, 12) if quick else (16, 20, 24, 28)
    pairs = ((2, 3), (3, 4)) if quick else ((8, 16), (16, 32), (32, 64), (64, 128))
    free, batches = ((2, 4), (1, 2)) if quick else ((10, 30, 100, 300), (1, 4, 16, 64, 256))
    curves = [
        _curve("heat bath", "units", "update", setting, [
            (size, Side(f"{OURS}:heat_bath", {"size": size, "chains": CHAINS, "sweeps": sweeps}), size * CHAINS * sweeps)
            for size in sizes
            for sweeps in (max(1, (UPDATES // 100 if quick else UPDATES) // (size * CHAINS)),)
        ]),
        _curve("enumeration", "units", "state", setting, [
            (size, Side(f"{OURS}:enumeration", {"size": size}), 1 << size) for size in states
        ]),
        _curve("conv EP step", "channels of layer 1", "image", setting, [
            (pair[0], _step({**step, "channels": pair}), step["batch"]) for pair in pairs
        ]),
        _curve("conv EP step", "free steps", "image", setting, [
            (count, _step({**step, "free": count}), step["batch"]) for count in free
        ]),
        _curve("conv EP step", "batch", "image", setting, [
            (count, _step({**step, "batch": count}), count) for count in batches
        ]),
        _curve("conv EP step", "threads", "image", setting, [
            (count, _step(step, count), step["batch"]) for count in (1, 2)
        ], clock="wall"),
    ]  # fmt: skip
    return curves


def _step(arguments: dict[str, Any], threads: int | None = None) -> Side:
    return Side(f"{OURS}:ep_step", arguments, threads)


def _curve(
    name: str, against: str, unit: str, setting: Setting, points: list[tuple[int, Side, int]], clock: str = "cpu"
) -> dict[str, Any]:
    found = [{"x": x, "seconds": best_seconds(side, setting, clock=clock) / units} for x, side, units in points]
    return {"name": name, "against": against, "unit": unit, "clock": clock, "points": found}
