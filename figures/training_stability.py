"""What temperature does to training: relaxation, failures, noise, smoothness (results/stability.json, results/fashion_*; thm:D2).

Caption: loops gain as nets learn, and both too cold and too hot training fail; in between noise does not harm. (a, b) full-size
nets as they learn: largest |eigenvalue| of the leaky map near the fixed points of eight validation images, and Euclidean norms
of the weights between the free layers, means over seeds. (c–f) A small conv net on the digits, trained again at each
temperature, β/T kept: with its weights kept (solid) the loop gain falls as T rises, with its gain kept (dashed) T is the width
of a neuron against its input alone. (c) Share of runs that fail (more than half of the validation images wrong, or no numbers
any more), 95 % Wilson intervals. (d) Local radius after training, each seed. (e) Variance of one batch's gradient over its
mean's square before training, images and spikes together. (f) How many times faster than the weights the gradient changes along
itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from figures import page
from figures.fashion_learning import TAUGHT as FULL
from figures.learning import ROOT, gathered
from figures.stability_study import FAILED, PATHS, RECORD

INPUTS = ("results/stability.json", "results/fashion_*/*/result.json", "experiments/fashion_*.toml")

RULES = {
    "stability_deterministic": ("deterministic EP", page.MEAN_FIELD, "o"),
    "stability_stochastic": ("StochEP", page.LEAKY, "^"),
}
LINES = dict(zip(PATHS, ("-", "--"), strict=True))


def compute(
    *,
    record: Path = RECORD,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Curves of the full-size runs, and the small net's runs, by rule, path and temperature."""
    report(1.0)
    found = gathered(FULL, results=results, experiments=experiments)
    curves = {
        name: {key: [document["curves"][key] for document in documents] for key in ("radius", "contraction", "norms")}
        for name, documents in found.items()
        if documents
    }
    if not record.is_file():
        return {
            "curves": curves,
            "missing": f"{record.name} is not here: python -m figures.stability_study",
            "cells": [],
        }
    runs = msgspec.json.decode(record.read_bytes())["runs"]
    keys = sorted({(run["rule"], run["path"], run["temperature"]) for run in runs})
    cells = [
        _cell(*key, [run for run in runs if (run["rule"], run["path"], run["temperature"]) == key]) for key in keys
    ]
    return {"curves": curves, "missing": None, "cells": cells}


def _cell(rule: str, path: str, temperature: float, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one rule at one temperature on one path: the share of failures with its interval, and each seed's numbers."""
    failed = sum(run["diverged"] or run["error"] > FAILED for run in runs)
    interval = binomtest(failed, len(runs)).proportion_ci(0.95, method="wilson")
    return {
        "rule": rule, "path": path, "temperature": temperature,
        "failed": {"value": failed / len(runs), "low": float(interval.low), "high": float(interval.high), "n": len(runs)},
        "radius": [run["radius"][-1] for run in runs if run["radius"]],
        "noise": [run["start"]["noise"] for run in runs],
        "roughness": [run["start"]["roughness"] for run in runs],
    }  # fmt: skip


def draw(data: dict[str, Any]) -> Figure:
    """Six panels; those of the small net say so where it is not recorded."""
    with page.style():
        figure, axes = page.page(2, 3, height=5.0)
        for name, curves in data["curves"].items():
            rule = FULL[name]
            for axis, key in ((axes[0], "radius"), (axes[1], "norms")):
                values = np.array(curves[key], dtype=float)
                values = values[:, :, 1] if key == "norms" else values
                axis.plot(
                    np.arange(1, values.shape[1] + 1), values.mean(axis=0), color=rule.colour, linestyle=rule.line,
                    label=rule.label,
                )  # fmt: skip
        axes[0].axhline(1.0, color=page.BOUND, linewidth=0.6)
        axes[0].set(xlabel="epoch", ylabel="local radius")
        axes[1].set(xlabel="epoch", ylabel="‖w₂‖")
        if data["missing"]:
            axes[2].text(0.5, 0.5, data["missing"], ha="center", va="center", wrap=True, transform=axes[2].transAxes)
        for rule, (label, colour, marker) in RULES.items():
            for path, line in LINES.items():
                cells = [cell for cell in data["cells"] if (cell["rule"], cell["path"]) == (rule, path)]
                if cells:
                    _small(axes[2:], cells, {"color": colour, "marker": marker}, line, f"{label}, {path}")
        for axis, text in zip(
            axes[2:], ("share of runs that fail", "local radius at the end", "noise / signal", "roughness"), strict=True
        ):
            axis.set(xlabel="temperature", ylabel=text, xscale="log")
        for axis in axes[4:]:
            axis.set_yscale("log")
        handles = [axis.get_legend_handles_labels() for axis in (axes[0], axes[5])]
        figure.legend(
            [one for found, _ in handles for one in found], [one for _, found in handles for one in found],
            loc="outside lower center", ncols=4,
        )  # fmt: skip
    return figure


def _small(axes: list[Axes], cells: list[dict[str, Any]], look: dict[str, Any], line: str, label: str) -> None:
    temperatures = np.array([cell["temperature"] for cell in cells])
    page.points(axes[0], temperatures, [cell["failed"] for cell in cells], **look, markersize=3)
    axes[0].plot(temperatures, [cell["failed"]["value"] for cell in cells], color=look["color"], linestyle=line)
    for axis, key in zip(axes[1:], ("radius", "noise", "roughness"), strict=True):
        every = [[value for value in cell[key] if value is not None] for cell in cells]
        kept = [(t, values) for t, values in zip(temperatures, every, strict=True) if values]
        for temperature, values in kept:
            axis.plot([temperature] * len(values), values, linestyle="none", markersize=2, alpha=0.5, **look)
        axis.plot(
            [t for t, _ in kept], [np.median(v) for _, v in kept], color=look["color"], linestyle=line, label=label
        )


def main() -> None:
    """Compute and write figures/out/training_stability.*."""
    page.publish("training_stability", compute(), draw)


if __name__ == "__main__":
    main()
