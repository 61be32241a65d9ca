"""Streams of events: the leak that follows them best, StochEP and BPTT (results/leaks.json, results/saccades_*; thm:B10).

Caption: a leak near a third follows the stream best, which B10 foretells once the lag is that of the deterministic path;
backpropagation through time stays ahead on streams. (a) distance of leaky spikes from the moving fixed point, √E‖s − m*‖², of a
net trained on streams, at other leaks: points, measured over 32 validation streams with two standard errors; black, lag plus
noise as B10 has them, read with the local gain and the local variance; blue, with the lag of the deterministic path in place of
B10's, which adds up all drifts as if they pointed one way; dotted, the leak whose blue distance is least. (b) Validation error
of a net trained at each leak on 10,000 streams, 95 % Wilson intervals. (c) Validation error against the epoch of the recorded
runs, mean and range over seeds; (d) their test errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynamics.crnn.tracking import Tracking
from figures import page
from figures.leak_study import RECORD
from figures.learning import ROOT, Rule, draw_curves, draw_tests, errors, gathered, summary

INPUTS = ("results/leaks.json", "results/saccades_*/*/result.json", "experiments/saccades_*.toml")

RULES = {
    "saccades_stochastic_probabilities": Rule("StochEP, probabilities", "StochEP", page.LINEAR),
    "saccades_bptt_spikes": Rule("BPTT through spikes", "BPTT, spikes", page.GREY),
}


def compute(
    *,
    record: Path = RECORD,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """The recorded study of leaks, and the recorded runs."""
    report(1.0)
    rows = msgspec.json.decode(record.read_bytes())["rows"] if record.is_file() else []
    return {"leaks": rows, **summary(gathered(RULES, results=results, experiments=experiments))}


def draw(data: dict[str, Any]) -> Figure:
    """Distance and error against the leak, learning, test error; whichever of the two halves is recorded."""
    with page.style():
        if not (data["leaks"] or data["rules"]):
            return page.nothing("no record: python -m figures.leak_study, stochep train experiments/saccades_*.toml")
        figure, (distance, swept, learning, test) = page.page(1, 4, height=2.6)
        for missing, axis in ((not data["leaks"], distance), (not data["rules"], learning)):
            if missing:
                axis.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axis.transAxes)
        if data["leaks"]:
            _draw_leaks(distance, swept, data["leaks"])
        if data["rules"]:
            _draw_learning(learning, test, data["rules"])
            figure.legend(*learning.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_leaks(distance: Axes, swept: Axes, rows: list[dict[str, Any]]) -> None:
    (found,) = [Tracking(**row["tracking"]) for row in rows if "tracking" in row]
    look: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": page.LEAKY}
    distance.errorbar(found.leaks, found.measured, 2 * np.array(found.standard_error), **look)
    distance.plot(found.leaks, found.predicted, color=page.BOUND)
    distance.plot(found.leaks, found.followed, color=page.MEAN_FIELD)
    distance.set(ylabel="√E‖s − m*‖²", yscale="log")
    page.log_ticks(distance.yaxis, (10, 20, 50, 100, 200, 500))
    validation = errors([row["validation_accuracy"] for row in rows])
    page.points(swept, [row["leak"] for row in rows], validation, color=page.LINEAR)
    swept.set(ylabel="validation error (%)")
    for axis in (distance, swept):
        axis.axvline(found.best_followed, color=page.GREY, linestyle=":")
        axis.set(xlabel="leak ε", xscale="log")
        page.log_ticks(axis.xaxis, (0.1, 0.2, 0.5, 1.0))


def _draw_learning(learning: Axes, test: Axes, rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        draw_curves(learning, 100 * (1 - np.array(rule["validation_accuracy"])), RULES[rule["name"]])
    learning.set(xlabel="epoch", ylabel="validation error (%)")
    draw_tests(test, rules, RULES, rotation=90)


def main() -> None:
    """Compute and write figures/out/event_stream.*."""
    page.publish("event_stream", compute(), draw)


if __name__ == "__main__":
    main()
