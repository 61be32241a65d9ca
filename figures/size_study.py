"""How far width, depth, epochs and feedback take a net on Fashion-MNIST, by StochEP and by BPTT: validation errors of one seed.

Main results: study, Net, WIDTHS, DEPTHS, LENGTHS, FEEDBACKS.

    python -m figures.size_study

writes results/sizes.json. Each layer's temperature, threshold, weights and rate are `feedback` times those of the layer below,
and the nudging is kept in proportion to the last layer's temperature: what a layer hands up, over the temperature there, is the
same at any `feedback`, what it hands down shrinks with it, and so does the gain of every loop. 1/512 is the experiments'. A third
layer is not pooled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dynamics.crnn.config import Experiment, fingerprint, load
from dynamics.crnn.run import prepare
from dynamics.crnn.train import train
from dynamics.provenance import provenance, write_json
from figures.learning import ROOT, mapped

RECORD = ROOT / "results" / "sizes.json"
RULES = ("fashion_stochastic_probabilities", "fashion_bptt")
OVERRIDES = ("data.train_images=10000",)


class Net(NamedTuple):
    """Channels of each layer, epochs, and each layer's temperature over that of the layer below."""

    channels: tuple[int, ...]
    epochs: int
    feedback: float = 1 / 512


WIDTHS = (Net((8, 16), 3), Net((16, 32), 3), Net((32, 64), 3))
# a layer in the middle hears of a nudging by few spikes more or less, the fewer the weaker the feedback
DEPTHS = (Net((16,), 3, 1 / 4), Net((16, 32), 3, 1 / 4), Net((16, 32, 64), 3, 1 / 4))
LENGTHS = tuple(Net((16, 32), epochs) for epochs in (1, 3, 9))
FEEDBACKS = tuple(Net((16, 32), 3, feedback) for feedback in (1 / 512, 1 / 32, 1 / 4, 1.0))


def study(
    *,
    rules: Sequence[str] = RULES,
    nets: Sequence[Net] = (*WIDTHS, *DEPTHS, *LENGTHS, *FEEDBACKS),
    overrides: Sequence[str] = OVERRIDES,
    processes: int = 2,
) -> dict[str, Any]:
    """One row a rule and net, each net once: its errors, rates, local radius and seconds."""
    # the widest first, so that no process waits long for the other at the end
    chosen = sorted(set(nets), key=lambda net: (max(net.channels), len(net.channels), net.epochs), reverse=True)
    cases = [(rule, net) for net in chosen for rule in rules]
    found = mapped(_trained, [_experiment(*case, overrides) for case in cases], processes=processes)
    return {"rows": [{"rule": rule, **net._asdict(), **row} for (rule, net), row in zip(cases, found, strict=True)]}


def _experiment(rule: str, net: Net, overrides: Sequence[str]) -> Experiment:
    """The rule's experiment with this net, seed 0."""
    base = load(ROOT / "experiments" / f"{rule}.toml", overrides, [0])
    fields = msgspec.to_builtins(base)
    network, rates = fields["network"], fields["training"]["rates"]
    first, second = network["layers"]
    kinds = [first, second, {**second, "kernel": 3, "padding": 1, "pool": 1}]
    depth, last = len(net.channels), network["temperature"][-1]
    # of the layers above the first, what each holds in the unit of its own temperature
    ratios = network["scales"][1] / network["temperature"][1], rates[1] / network["temperature"][1]
    temperatures = [network["temperature"][0] * net.feedback**n for n in range(depth)]
    scales, inner_rates = ([ratio * temperature for temperature in temperatures[1:]] for ratio in ratios)
    network |= {
        "layers": [{**kind, "channels": count} for kind, count in zip(kinds, net.channels, strict=False)],
        "temperature": temperatures,
        "threshold": [network["threshold"][0] * net.feedback**n for n in range(depth)],
        "scales": [network["scales"][0], *scales, network["scales"][-1]],
    }
    fields["training"] |= {"epochs": net.epochs, "rates": [rates[0], *inner_rates, rates[-1]]}
    if "nudging" in fields["rule"]:
        fields["rule"]["nudging"] *= temperatures[-1] / last
    return msgspec.convert(fields, Experiment)


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
