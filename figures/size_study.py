"""How far width, depth and epochs take a net on Fashion-MNIST, by StochEP and by BPTT: validation errors of one seed.

Main results: study, widths, depths, LENGTHS.

    python -m figures.size_study

writes results/sizes.json. Each layer's temperature, threshold, weights and rate are a quarter of those of the layer below, as
in the experiments that it starts from, and so is the nudging of a net that is one layer deeper; a third layer is not pooled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dynamics.crnn.config import Experiment, fingerprint, load
from dynamics.crnn.train import prepare, train
from dynamics.provenance import provenance, write_json
from figures.learning import ROOT, mapped

RECORD = ROOT / "results" / "sizes.json"
RULES = ("fashion_stochastic_probabilities", "fashion_bptt")
# channels of each layer and epochs
WIDTHS = (((8, 16), 2), ((16, 32), 2), ((32, 64), 2))
DEPTHS = (((16,), 2), ((16, 32), 2), ((16, 32, 64), 2))
LENGTHS = (((8, 16), 1), ((8, 16), 2), ((8, 16), 4))
FALL = 0.25


def study(
    *,
    rules: Sequence[str] = RULES,
    nets: Sequence[tuple[tuple[int, ...], int]] = (*WIDTHS, *DEPTHS, *LENGTHS),
    overrides: Sequence[str] = (),
    processes: int = 2,
) -> dict[str, Any]:
    """One row a rule and net, each net once: the errors and the work of its training."""
    # the widest first, so that no process waits long for the other at the end
    chosen = sorted(set(nets), key=lambda net: (max(net[0]), len(net[0]), net[1]), reverse=True)
    cases = [(rule, channels, epochs) for channels, epochs in chosen for rule in rules]
    experiments = [_experiment(*case, overrides) for case in cases]
    found = mapped(_trained, experiments, processes=processes)
    rows = [
        {"rule": rule, "channels": channels, "epochs": epochs, **row}
        for (rule, channels, epochs), row in zip(cases, found, strict=True)
    ]
    return {"rows": rows}


def _experiment(rule: str, channels: tuple[int, ...], epochs: int, overrides: Sequence[str]) -> Experiment:
    """The rule's experiment with these channels and epochs, seed 0."""
    base = load(ROOT / "experiments" / f"{rule}.toml", overrides, [0])
    fields = msgspec.to_builtins(base)
    network, rates = fields["network"], fields["training"]["rates"]
    first, second = network["layers"]
    kinds = [first, second, {**second, "kernel": 3, "padding": 1, "pool": 1}]
    depth = len(channels)
    network |= {
        "layers": [{**kind, "channels": count} for kind, count in zip(kinds, channels, strict=False)],
        "temperature": _deeper(network["temperature"], depth),
        "threshold": _deeper(network["threshold"], depth),
        "scales": [*_deeper(network["scales"][:-1], depth), network["scales"][-1]],
    }
    fields["training"] |= {"epochs": epochs, "rates": [*_deeper(rates[:-1], depth), rates[-1]]}
    if "nudging" in fields["rule"]:
        fields["rule"]["nudging"] *= FALL ** (depth - 2)
    return msgspec.convert(fields, Experiment)


def _deeper(values: Sequence[float], depth: int) -> list[float]:
    """One value a layer, those of further layers each a quarter of the one before."""
    further = [values[-1] * FALL ** (n + 1) for n in range(depth - len(values))]
    return [*values[:depth], *further]


def _trained(experiment: Experiment) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        (run,) = prepare(experiment, Path(folder))
        document = train(run, lambda _: None)
    return {
        "config_hash": fingerprint(experiment),
        "validation_accuracy": document["metrics"]["validation_accuracy"],
        "train_error": document["curves"]["train_error"][-1],
        "rates": document["curves"]["rates"][-1],
        "radius": document["curves"]["radius"][-1],
        "seconds": document["wall"]["seconds"],
    }


def main() -> None:
    """Write results/sizes.json."""
    write_json(RECORD, {**provenance(), **study()})


if __name__ == "__main__":
    main()
