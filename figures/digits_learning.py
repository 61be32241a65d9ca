"""Learning the embedded digits by StochEP, deterministic EP and the exact gradient (results/digits_*; thm:C1, thm:C4).

Caption: on the digits leaky spikes reach what deterministic EP and the exact gradient reach. (a) cost on the training images
and (b) error on the validation images against the epoch, mean over seeds with the range of seeds as a band; (c) test error of
each seed after the last epoch, 95 % Wilson intervals. One architecture, start, order of images, optimiser and number of updates
for all rules; the seeds stand above the panels. SMOKE marks a short run made for want of results that match the experiment
files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dynamics.crnn.config import Experiment, load
from dynamics.crnn.run import prepare
from dynamics.crnn.train import train
from figures import page
from figures.learning import ROOT, Rule, draw_learning, gathered, summary

INPUTS = ("results/digits_*/*/result.json", "experiments/digits_*.toml")

RULES = {
    "digits_stochastic": Rule("StochEP, traces", "traces", page.LEAKY),
    "digits_stochastic_probabilities": Rule("StochEP, probabilities", "probab.", page.LINEAR),
    "digits_deterministic": Rule("deterministic EP", "determ.", page.MEAN_FIELD),
    "digits_implicit": Rule("exact gradient", "exact", page.BOUND),
}
SMOKE = ("training.epochs=3", "training.batch=64", "training.rates=[0.2, 0.1]")


def compute(
    *,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    smoke: tuple[str, ...] = SMOKE,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Curves of every digits experiment with matching results, or, where there is none at all, of short runs."""
    runs = gathered(RULES, results=results, experiments=experiments)
    short = not any(runs.values())
    if short:
        for done, name in enumerate(runs, start=1):
            runs[name] = _trained(load(experiments / f"{name}.toml", smoke, [0]))
            report(done / len(runs))
    report(1.0)
    return {"smoke": short, **summary(runs)}


def draw(data: dict[str, Any]) -> Figure:
    """Training cost, validation error, test error."""
    with page.style():
        figure = draw_learning(data, RULES, "digits")
        cost, validation = figure.axes[:2]
        validation.set_ylim(bottom=0.0)
        page.log_ticks(cost.yaxis, (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
        page.log_ticks(validation.yaxis, (0, 1, 2, 5, 10, 20, 50, 100))
        if data["smoke"]:
            page.smoke(figure)
    return figure


def _trained(experiment: Experiment) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        return [train(run, lambda _: None) for run in prepare(experiment, Path(folder))]


def main() -> None:
    """Compute and write figures/out/digits_learning.*."""
    page.publish("digits_learning", compute(), draw)


if __name__ == "__main__":
    main()
