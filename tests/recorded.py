"""What claims said of a few seeded instances when last recorded, so that a check cannot change its mind unnoticed.

    python -m tests.recorded

writes tests/recorded.json anew: to be done, and the difference read, when a check is meant to look at something else. One
record is, for each part of an evidence, its number of entries, their sum, and the sum of ln(1 + |entry|), which sees small ones.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from proofs_numeric import CLAIMS
from proofs_numeric.claim import Claim
from proofs_numeric.rigorous import companion, installed

FILE = Path(__file__).with_name("recorded.json")
# of the domain; claims that take long are looked at less
INSTANCES = 12
SLOW = {"B9": 5, "B11": 2, "B11b": 4, "C9b": 3, "C3": 3, "C6b": 3, "B4": 4, "B5": 4, "C9": 3, "E2": 2, "A6": 3}
BALLS = 2
# whatever the number of claims: what a verdict may spend of the false alarms moves its interval
ALPHA = 1e-12

Record = dict[str, dict[str, list[float]]]


def evidences(claim: Claim) -> Record:
    """The record of one claim: by the name of what was looked at, by part."""
    found: Record = {}
    with threadpool_limits(limits=1):
        generator = np.random.default_rng([0, *claim.label.encode()])
        for number in range(SLOW.get(claim.label, INSTANCES)):
            scalars = {name: interval.draw(generator) for name, interval in claim.domain.items()}
            found[f"instance {number}"] = _evidence(claim, scalars)
        for falsifier in claim.falsifiers:
            found[falsifier.mutation] = _evidence(claim, falsifier.instance, falsifier.mutation)
            if not falsifier.drops:
                found[f"without {falsifier.mutation}"] = _evidence(claim, falsifier.instance)
        if claim.sampled is not None:
            scalars = {name: interval.draw(generator) for name, interval in claim.sampled.domain.items()}
            decision = claim.sampled.decide(str(claim.norm), scalars, ALPHA)
            found["sampled"] = {
                "interval": _summed([decision.interval.low, decision.interval.high]),
                "n": _summed(decision.n),
            }
        if installed():
            found |= _balls(claim)
    return found


def _evidence(claim: Claim, scalars: Any, mutation: str | None = None) -> dict[str, list[float]]:
    evidence = claim.evaluate({**scalars, "alpha": ALPHA}, mutation)
    return {part: _summed(getattr(evidence, part)) for part in ("measured", "bound", "rounding", "ceiling")}


def _balls(claim: Claim) -> Record:
    """Midpoints of what the claim's companion in ball arithmetic encloses, at its least precision."""
    from proofs_numeric.balls.arithmetic import precision

    balls = companion(claim.label)
    if balls is None:
        return {}
    generator = np.random.default_rng([1, *claim.label.encode()])
    given: list[tuple[str, Any, dict[str, str]]] = []
    for number in range(BALLS):
        draw = {name: interval.draw(generator) for name, interval in balls.domain.items()}
        given.append((f"balls {number}", draw, {}))
    given += [
        (f"balls, {mutation}", instance, {"mutation": mutation})
        for mutation, instance, _ in balls.falsifiers
        if mutation != "constant × 0.9"
    ]
    found: Record = {}
    for name, scalars, mutated in given:
        arguments = claim._arguments(scalars)
        wanted = balls.function.__code__.co_varnames[: balls.function.__code__.co_argcount]
        with precision(128):
            rows = balls.function(**{k: v for k, v in arguments.items() if k in wanted}, **mutated, bits=128)
            found[name] = {
                part: _summed([float(ball.mid()) for ball in np.asarray(getattr(rows, part), dtype=object).ravel()])
                for part in ("measured", "bound")
            }
    return found


def _summed(values: ArrayLike) -> list[float]:
    entries = np.asarray(values, dtype=np.float64).ravel()
    finite = entries[np.isfinite(entries)]
    return [float(finite.size), float(finite.sum()), float(np.log1p(np.abs(finite)).sum())]


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
