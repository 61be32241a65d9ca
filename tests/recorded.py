"""What claims said of a few seeded instances when last recorded, so that a check cannot change its mind unnoticed.

    python -m tests.recorded

writes tests/recorded.json anew: to be done, and the difference read, when a check is meant to look at something else. One
record is the sum of an evidence's measured values, bounds, roundings and ceilings.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from proofs_numeric import CLAIMS
from proofs_numeric.claim import Claim, Evidence

FILE = Path(__file__).with_name("recorded.json")
PARTS = ("measured", "bound", "rounding", "ceiling")
# of the domain; claims that take long are looked at once
INSTANCES, SLOW = (
    12,
    {"B9": 1, "B11": 1, "B11b": 2, "C9b": 2, "C3": 3, "C6b": 3, "B4": 4, "B5": 4, "C9": 3, "E2": 2, "A6": 3},
)
# whatever the number of claims: what a verdict may spend of the false alarms moves its interval
ALPHA = 1e-12


def evidences(claim: Claim) -> dict[str, Any]:
    """The record of one claim, by the name of what was looked at."""
    found: dict[str, Any] = {}
    with threadpool_limits(limits=1):
        generator = np.random.default_rng([0, *claim.label.encode()])
        for number in range(SLOW.get(claim.label, INSTANCES)):
            scalars = {name: interval.draw(generator) for name, interval in claim.domain.items()}
            found[f"instance {number}"] = _summed(claim.evaluate({**scalars, "alpha": ALPHA}))
        for falsifier in claim.falsifiers:
            scalars = {**falsifier.instance, "alpha": ALPHA}
            found[falsifier.mutation] = _summed(claim.evaluate(scalars, falsifier.mutation))
            if not falsifier.drops:
                found[f"without {falsifier.mutation}"] = _summed(claim.evaluate(scalars))
    return found


def _summed(evidence: Evidence) -> list[float | None]:
    """Sums over the finite entries of each part, None where a part has none."""
    sums: list[float | None] = []
    for part in PARTS:
        values = np.asarray(getattr(evidence, part), dtype=np.float64).ravel()
        finite = values[np.isfinite(values)]
        sums.append(float(finite.sum()) if finite.size else None)
    return sums


def main() -> None:
    record = {}
    for label, claim in CLAIMS.items():
        begin = time.process_time()
        record[label] = evidences(claim)
        print(f"{label} {time.process_time() - begin:.1f} s", file=sys.stderr)
    rows = ",\n".join(f" {json.dumps(label)}: {json.dumps(rows, ensure_ascii=False)}" for label, rows in record.items())
    FILE.write_text("{\n" + rows + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
