"""What an update of each recorded rule takes, in steps of the network and in seconds: StochEP, its neighbours and its options.

Main results: study, Measured.

    python -m figures.rule_time_study

writes results/rule_times.json. The experiments of figures.neighbour_rules, seed 0, each continues its own training for some
updates; one update of each in turn, all in one process of one thread, by the time that the processor spent on it. A ratio to
StochEP is of the same round, so that what slows the machine for a while slows both.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from dynamics.crnn.config import fingerprint, load
from dynamics.crnn.cost import steps
from dynamics.crnn.run import prepare
from dynamics.crnn.train import update
from dynamics.provenance import provenance, write_json
from figures.learning import ROOT
from figures.neighbour_rules import RULES, STOCHEP, TIMES, looks

# Updates before the first that counts, which compile and take memory; rounds that count.
WARM, ROUNDS = 2, 41


class Measured(NamedTuple):
    """One experiment: steps of the network an image (None: until a tolerance) and milliseconds an image, the median of the rounds.

    ratio, low, high: over StochEP of the family in the same round, median and quartiles.
    """

    name: str
    config_hash: str
    steps: int | None
    milliseconds: float
    ratio: float
    low: float
    high: float


def study(
    *, families: Sequence[str] = tuple(RULES), overrides: Sequence[str] = (), rounds: int = ROUNDS
) -> dict[str, Any]:
    """A row an experiment, family by family in the figure's order."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return {"rounds": rounds, "rows": [row for family in families for row in _raced(family, overrides, rounds)]}
    finally:
        numba.set_num_threads(threads)


def _raced(family: str, overrides: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    experiments = [load(ROOT / "experiments" / f"{name}.toml", overrides, [0]) for name in looks(family)]
    with tempfile.TemporaryDirectory() as folder:
        runs = [prepare(experiment, Path(folder))[0] for experiment in experiments]
    states, seconds = [run.state for run in runs], np.empty((WARM + rounds, len(runs)))
    for row in seconds:
        for place, run in enumerate(runs):
            begin = time.process_time()
            states[place] = update(run, states[place])
            row[place] = time.process_time() - begin
    counted = seconds[WARM:]
    ratios = counted / counted[:, [list(looks(family)).index(f"{family}_{STOCHEP}")]]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75), axis=0).tolist()
    return [
        Measured(
            name, fingerprint(experiment), steps(experiment.rule),
            1e3 * float(np.median(counted[:, place])) / experiment.training.batch, middle[place], low[place], high[place],
        )._asdict()
        for place, (name, experiment) in enumerate(zip(looks(family), experiments, strict=True))
    ]  # fmt: skip


def main() -> None:
    """Write results/rule_times.json."""
    write_json(TIMES, {**provenance(), **study()})


if __name__ == "__main__":
    main()
