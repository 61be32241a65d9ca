"""Which leak follows a stream of events best: claim B10's optimum near the fixed points, and a sweep of trained nets.

Main results: study.

    python -m figures.leak_study

writes results/leaks.json: StochEP on 10,000 streams at each leak of the units, judged by validation streams alone, and
what B10 foretells of the net trained at the leak in the middle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dynamics.crnn.config import Experiment, fingerprint, load
from dynamics.crnn.network import Frames
from dynamics.crnn.result import recorded
from dynamics.crnn.run import prepare
from dynamics.crnn.tracking import tracking
from dynamics.crnn.train import train
from dynamics.provenance import provenance, write_json
from figures.learning import ROOT, mapped

RECORD = ROOT / "results" / "leaks.json"
EXPERIMENT = "saccades_stochastic_probabilities"
LEAKS = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0)
OVERRIDES = ("data.train_images=10000", "training.epochs=3")
# streams that are followed, and the leaks at which they are
STREAMS, FINE = 32, (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


def study(
    *,
    leaks: Sequence[float] = LEAKS,
    overrides: Sequence[str] = OVERRIDES,
    fine: Sequence[float] = FINE,
    processes: int = 2,
) -> dict[str, Any]:
    """Validation errors of a net trained at each leak, and how closely the middle one follows its streams at others."""
    base = load(ROOT / "experiments" / f"{EXPERIMENT}.toml", overrides, [0])
    fields = msgspec.to_builtins(base)
    experiments = [
        msgspec.convert({**fields, "network": {**fields["network"], "leak": leak}}, Experiment) for leak in leaks
    ]
    followed = [fine if n == len(leaks) // 2 else () for n in range(len(leaks))]
    return {"rows": mapped(_trained, experiments, followed, processes=processes)}


def _trained(experiment: Experiment, fine: Sequence[float]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        (run,) = prepare(experiment, Path(folder))
        document = train(run, lambda _: None)
        row: dict[str, Any] = {
            "leak": experiment.network.leak,
            "config_hash": fingerprint(experiment),
            "validation_accuracy": document["metrics"]["validation_accuracy"],
            "curve": document["curves"]["validation_accuracy"],
        }
        if len(fine):
            run, network = recorded(run.folder)
            streams = run.images(run.data.validation, np.arange(STREAMS))
            assert isinstance(streams, Frames)
            row["tracking"] = tracking(network, streams, leaks=fine, seed=run.seed)._asdict()
        return row


def main() -> None:
    """Write results/leaks.json."""
    write_json(RECORD, {**provenance(), **study()})


if __name__ == "__main__":
    main()
