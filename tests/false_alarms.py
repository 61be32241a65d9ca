"""Fresh seeds for every statistical claim: none may fail.

    python -m tests.false_alarms [--runs 200] [--out results/false_alarms.json]

Each run draws new instances and new noise, judges the claim on one instance of its domain and on all of its sampled companion's,
and leaves its falsifiers aside. Exit code 1 when a run finds a violation, or cannot decide.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from proofs_numeric import CLAIMS
from proofs_numeric.verdicts import FALSE_ALARMS, ledger

RUNS, FIRST_SEED = 200, 1000


def statistical_labels() -> list[str]:
    return [label for label, claim in CLAIMS.items() if claim.statistical]


def verdicts(label: str, seed: int) -> list[str]:
    """The statistical verdicts of a claim with this seed."""
    claim, generator = CLAIMS[label], np.random.default_rng([seed, *label.encode()])
    found = []
    if "alpha" in inspect.signature(claim.function).parameters:
        found.append(claim.evaluate({name: span.draw(generator) for name, span in claim.domain.items()}).verdict)
    if claim.sampled:
        for _ in range(claim.sampled.instances):
            scalars = {name: span.draw(generator) for name, span in claim.sampled.domain.items()}
            found.append(claim.sampled.decide(str(claim.norm), scalars, claim.alpha).verdict)
    return found


def rerun(label: str, runs: int) -> dict[str, Any]:
    """The verdicts of so many runs, and what they spent."""
    with ledger() as spent:
        found = Counter(verdict for seed in range(FIRST_SEED, FIRST_SEED + runs) for verdict in verdicts(label, seed))
    return {"runs": runs, **{kind: found[kind] for kind in ("holds", "violated", "undecided")}, "spent": sum(spent)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.false_alarms", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--out", type=Path, default=Path("results/false_alarms.json"))
    options = parser.parse_args()
    claims = {}
    for label in statistical_labels():
        claims[label] = rerun(label, options.runs)
        print(label, claims[label], flush=True)
    record = {"false_alarms_of_one_check": FALSE_ALARMS, "first_seed": FIRST_SEED, "claims": claims}
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    return int(any(row["violated"] or row["undecided"] for row in claims.values()))


if __name__ == "__main__":
    sys.exit(main())
