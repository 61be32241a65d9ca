"""Activity against error: threshold, annealed threshold and a penalty on rates (results/sparse_*, results/fashion10k_*).

Caption: a penalty on rates halves the activity at less than a point of error; thresholds cost more. Test error against the mean
firing rate, spikes a unit and step over all free units, of StochEP on 10,000 images of Fashion-MNIST, measured on the training
images of the last epoch; each seed with its 95 % Wilson interval. Lines join settings of one kind in the order of their
strength. The grey step is the least error of any setting that fires no more, by means over seeds; shaded, at most 10 % of the
time and at most one point above the densest net's error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynamics.crnn.config import load
from figures import page
from figures.learning import ROOT, errors, recorded

INPUTS = (
    "results/sparse_*/*/result.json", "results/fashion10k_stochastic_probabilities/*/result.json", "experiments/sparse_*.toml",
    "experiments/fashion10k_stochastic_probabilities.toml",
)  # fmt: skip

# kind -> its experiments in the order of strength, the first of each the one that all share
BASE = "fashion10k_stochastic_probabilities"
KINDS = {
    "threshold": ("sparse_threshold_2", "sparse_threshold_3", "sparse_threshold_4"),
    "annealed threshold": ("sparse_anneal_2", "sparse_anneal_3"),
    "penalty on rates": ("sparse_penalty_1", "sparse_penalty_3", "sparse_penalty_10"),
}
COLOURS = dict(zip(KINDS, (page.MEAN_FIELD, page.ONSAGER, page.GLAUBER), strict=True))


def compute(
    *,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Rate and test error of every recorded seed of every setting."""
    report(1.0)
    names = [BASE, *(name for kind in KINDS.values() for name in kind)]
    return {"settings": {name: _setting(experiments / f"{name}.toml", results) for name in names}}


def _setting(path: Path, results: Path) -> list[dict[str, Any]]:
    experiment = load(path)
    sizes = np.array(experiment.architecture((1, 28, 28), 10).sizes)
    return [
        {
            "seed": document["seed"],
            "rate": float(np.dot(document["curves"]["rates"][-1], sizes) / sizes.sum()),
            **document["metrics"]["test_accuracy"],
        }
        for document in recorded(experiment, results)
    ]


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (rate, error), those that no other beats in both, by rising rate."""
    kept: list[tuple[float, float]] = []
    for rate, error in sorted(points):
        if not kept or error < kept[-1][1]:
            kept.append((rate, error))
    return kept


def draw(data: dict[str, Any]) -> Figure:
    """One panel."""
    with page.style():
        settings = {name: rows for name, rows in data["settings"].items() if rows}
        if BASE not in settings:
            return page.nothing(
                "no recorded run matches experiments/fashion10k_stochastic_probabilities.toml: stochep train makes one"
            )
        figure, (axis,) = page.page(1, 1, width=4.5, height=3.2)
        means = {name: mean(rows) for name, rows in settings.items()}
        _cloud(axis, settings[BASE], page.BOUND)
        for kind, names in KINDS.items():
            found = [name for name in names if name in settings]
            for name in found:
                _cloud(axis, settings[name], COLOURS[kind])
            line = np.array([means[name] for name in [BASE, *found]])
            axis.plot(100 * line[:, 0], line[:, 1], color=COLOURS[kind], label=kind)
        best = np.array(front(list(means.values())))
        axis.step(100 * best[:, 0], best[:, 1], where="post", color=page.GREY, linewidth=2, alpha=0.4, zorder=0)
        low, high = axis.get_ylim()
        axis.fill_between([0, 10], low, means[BASE][1] + 1, color="#EEEEEE", zorder=-1)
        axis.set(xlabel="mean firing rate (%)", ylabel="test error (%)", ylim=(low, high), xlim=(0, None))
        axis.legend()
    return figure


def mean(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Mean rate and mean test error in per cent, over seeds."""
    return float(np.mean([row["rate"] for row in rows])), float(100 * (1 - np.mean([row["value"] for row in rows])))


def _cloud(axis: Axes, rows: list[dict[str, Any]], colour: str) -> None:
    page.points(axis, [100 * row["rate"] for row in rows], errors(rows), color=colour)


def main() -> None:
    """Compute and write figures/out/sparsity.*."""
    page.publish("sparsity", compute(), draw)


if __name__ == "__main__":
    main()
