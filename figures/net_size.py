"""Validation error against width, depth, epochs and feedback, StochEP and BPTT (results/sizes.json).

Caption: on 10,000 images a wider net helps little, a pooled second layer not at all, more epochs most; weak feedback brings EP
near backpropagation. 10,000 training images of Fashion-MNIST, one seed; validation error (points, 95 % Wilson intervals of
5,000 images) and training error of the last epoch (dotted) against (a) the channels of the first of two layers, the second has
twice as many; (b) the number of layers of 16, 32 and 64 channels, with the stronger feedback of 1/4; (c) the epochs, each
training with its own rates falling to 0; (d) the second layer's temperature over the first's, its weights in proportion, so
that what is handed down and the gain of loops shrink with it. (e) The local radius of the relaxation about the nets of (d), at
leak 0.5. Three epochs and 16 and 32 channels where nothing is said.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import page
from figures.learning import Rule, errors
from figures.size_study import DEPTHS, FEEDBACKS, LENGTHS, RECORD, RULES, WIDTHS, Net

INPUTS = ("results/sizes.json",)

LOOKS = dict(zip(RULES, (Rule("StochEP", "StochEP", page.LINEAR), Rule("BPTT", "BPTT", page.BOUND)), strict=True))
FEEDBACK = "feedback"
PANELS: dict[str, list[tuple[Net, float]]] = {
    "channels": [(net, net.channels[0]) for net in WIDTHS],
    "layers": [(net, len(net.channels)) for net in DEPTHS],
    "epochs": [(net, net.epochs) for net in LENGTHS],
    FEEDBACK: [(net, net.feedback) for net in FEEDBACKS],
}


def compute(*, record: Path = RECORD, report: page.Report = page.silent) -> dict[str, Any]:
    """The recorded study."""
    report(1.0)
    return {"rows": msgspec.json.decode(record.read_bytes())["rows"] if record.is_file() else []}


def draw(data: dict[str, Any]) -> Figure:
    """Four panels of errors, and the local radius."""
    with page.style():
        if not data["rows"]:
            return page.nothing("no record: python -m figures.size_study makes one")
        rows = {(row["rule"], Net(tuple(row["channels"]), row["epochs"], row["feedback"])): row for row in data["rows"]}
        figure, (*axes, radius) = page.page(1, 5, height=2.4)
        for axis, (label, points) in zip(axes, PANELS.items(), strict=True):
            for rule, look in LOOKS.items():
                _curve(axis, [(where, rows[rule, net]) for net, where in points], look)
            axis.set(xlabel=label, ylabel="error (%)")
        for rule, look in LOOKS.items():
            found = [(where, rows[rule, net]["radius"]) for net, where in PANELS[FEEDBACK]]
            radius.plot(*zip(*found, strict=True), "o-", color=look.colour, markersize=2.5)
        radius.set(xlabel=FEEDBACK, ylabel="local radius")
        for axis, points in zip((*axes, radius), (*PANELS.values(), PANELS[FEEDBACK]), strict=True):
            axis.set_xscale("log")
            page.log_ticks(axis.xaxis, [where for _, where in points])
        for axis in (axes[-1], radius):
            axis.set_xticks([net.feedback for net in FEEDBACKS], [str(Fraction(net.feedback)) for net in FEEDBACKS])
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _curve(axis: Axes, found: list[tuple[float, dict[str, Any]]], look: Rule) -> None:
    where = [place for place, _ in found]
    valid = errors([row["validation_accuracy"] for _, row in found])
    page.points(axis, where, valid, color=look.colour)
    axis.plot(where, [one["value"] for one in valid], color=look.colour, label=look.label)
    axis.plot(where, [100 * row["train_error"] for _, row in found], color=look.colour, linewidth=0.6, linestyle=":")


def main() -> None:
    """Compute and write figures/out/net_size.*."""
    page.publish("net_size", compute(), draw)


if __name__ == "__main__":
    main()
