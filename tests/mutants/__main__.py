"""Mutation testing: do the mirrored tests notice when the code is wrong?

    python -m tests.mutants [--seed 1] [--sample 400] [--processes 2] [--packages meanfield …] [--out results/mutation.json]

A uniform sample of the mutants of each package is run, each against the tests of its module. What was run is kept in .mutants/,
named by the sources of the module and of its tests, so that an unchanged one is not run again. Exit code 1 when a package's killed
share is below 95 %, its lower 95 % limit below 90 %, or a module has no mutants.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import tomllib
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.mutants import server
from tests.mutants.campaign import Campaign, Result
from tests.mutants.mirrors import PACKAGES

LEAST_KILLED, LEAST_LIMIT = 0.95, 0.90
REASONS = Path(__file__).with_name("reasons.toml")
NO_REASON = "none given: a test is missing"


def lower_limit(killed: int, sampled: int) -> float:
    """Clopper and Pearson's lower limit of a share, at one-sided confidence 95 %."""
    from scipy.stats import beta

    return float(beta.ppf(0.05, killed, sampled - killed + 1)) if killed else 0.0


def summary(results: list[Result], population: Counter[str], reasons: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """A package's part of the record."""
    outcomes = Counter(result.outcome for result in results)
    alive = [result for result in results if result.outcome in (server.SURVIVED, server.UNTESTED)]
    killed = len(results) - len(alive)
    by_module = {
        module: {
            "mutants": population[module],
            "sampled": sum(result.mutant.path == module for result in results),
            "killed": sum(result.mutant.path == module and result not in alive for result in results),
        }
        for module in sorted(population)
    }
    return {
        "mutants": sum(population.values()),
        "sampled": len(results),
        "killed": killed,
        "timeouts": outcomes[server.TIMEOUT],
        "survived": len(alive),
        "killed_share": killed / len(results),
        "lower_limit": lower_limit(killed, len(results)),
        "modules": by_module,
        "survivors": [
            {
                "file": result.mutant.path,
                "line": result.mutant.first,
                "scope": result.mutant.scope,
                "original": result.mutant.identity[2],
                "mutant": result.mutant.identity[3],
                "outcome": result.outcome,
                "reason": reasons.get(result.mutant.identity, NO_REASON),
            }
            for result in sorted(alive, key=lambda result: (result.mutant.path, result.mutant.first))
        ],
    }


def load_reasons() -> dict[tuple[str, ...], str]:
    rows = tomllib.loads(REASONS.read_text()).get("survivor", []) if REASONS.exists() else []
    return {(row["file"], row["scope"], row["original"], row["mutant"]): row["reason"] for row in rows}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="another seed, another sample")
    parser.add_argument("--sample", type=int, default=400, help="mutants of each package")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop each package then: what was run is a sample too"
    )
    parser.add_argument("--packages", nargs="+", choices=PACKAGES, default=PACKAGES)
    parser.add_argument("--modules", nargs="+", default=[], help="look at these files only, and record nothing")
    parser.add_argument("--out", type=Path, default=Path("results/mutation.json"))
    options = parser.parse_args()
    begin = time.monotonic()
    server.preload()
    campaign = Campaign(Path.cwd(), options.processes)
    reasons = load_reasons()
    record: dict[str, Any] = {
        "seed": options.seed,
        "sample": options.sample,
        "tools": {name: version(name) for name in ("mutmut", "cosmic-ray")},
        "limit": "Clopper-Pearson, one-sided 95 %",
        "packages": {},
    }
    enough = True
    for package in options.packages:
        population, sample = campaign.draw(package, options.seed, options.sample, options.modules)
        if not sample:
            continue
        part = summary(campaign.run(sample, 60 * options.minutes), population, reasons)
        record["packages"][package] = part
        enough &= part["killed_share"] >= LEAST_KILLED and part["lower_limit"] >= LEAST_LIMIT
        print(
            f"{package}: {part['killed']} of {part['sampled']} mutants killed ({part['killed_share']:.1%}, at least"
            f" {part['lower_limit']:.1%}), {part['timeouts']} by timeout"
        )
    if options.modules:
        print(json.dumps([part["survivors"] for part in record["packages"].values()], indent=1, ensure_ascii=False))
        return 0
    record["left_out"] = campaign.left_out
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"{options.out} written after {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
