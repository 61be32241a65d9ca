"""Fashion-MNIST at full size: StochEP, deterministic EP and BPTT on one conv net (results/fashion_*; thm:F1, thm:F2).

Caption: (a) cost on the training images, drawn anew each epoch, and (b) error on 5,000 validation images against the epoch,
mean over seeds with the range of seeds as a band; (c) test error of each seed after the last epoch, 95 % Wilson intervals.
One architecture, start, order and drawing of images, optimiser, schedule and number of updates for all rules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from figures import page
from figures.learning import ROOT, Rule, draw_learning, gathered, summary

RULES = {
    "fashion_bptt": Rule("BPTT", "BPTT", page.BOUND),
    "fashion_deterministic": Rule("deterministic EP", "determ.", page.MEAN_FIELD),
    "fashion_bptt_spikes": Rule("BPTT through spikes", "BPTT, spikes", page.GREY),
    "fashion_stochastic_probabilities": Rule("StochEP, probabilities", "probab.", page.LINEAR),
    "fashion_stochastic_traces": Rule("StochEP, traces", "traces", page.LEAKY),
    "fashion_stochastic_spikes": Rule("StochEP, spikes", "spikes", page.GLAUBER),
}


def compute(
    *,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Curves and test errors of the recorded runs that match their experiment files."""
    report(1.0)
    return summary(gathered(RULES, results=results, experiments=experiments))


def draw(data: dict[str, Any]) -> Figure:
    """Training cost, validation error, test error; a page that says so where nothing is recorded."""
    with page.style():
        if not data["rules"]:
            return page.nothing("no recorded run matches experiments/fashion_*.toml: stochep train makes one")
        figure = draw_learning(data, RULES, "Fashion-MNIST")
        page.log_ticks(figure.axes[0].yaxis, (0.15, 0.2, 0.3, 0.4, 0.5))
        page.log_ticks(figure.axes[1].yaxis, (7, 8, 10, 12, 15, 20))
    return figure


def main() -> None:
    """Compute and write figures/out/fashion_learning.*."""
    page.publish("fashion_learning", compute(), draw)


if __name__ == "__main__":
    main()
