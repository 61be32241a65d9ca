"""Learning the embedded digits by StochEP, deterministic EP and the exact gradient (results/digits_*; thm:C1, thm:C4).

Caption: (a) cost on the training images and (b) error on the validation images against the epoch, mean over seeds with
the range of seeds as a band; (c) test error of each seed after the last epoch, 95 % Wilson intervals. One architecture,
start, order of images, optimiser and number of updates for all rules; the seeds stand above the panels. SMOKE marks a
short run made for want of results that match the experiment files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dynamics.crnn.config import Experiment, fingerprint, load
from dynamics.crnn.train import prepare, train
from figures import page

ROOT = Path(__file__).resolve().parents[1]
LABELS = {
    "digits_stochastic": "StochEP, traces",
    "digits_stochastic_probabilities": "StochEP, probabilities",
    "digits_deterministic": "deterministic EP",
    "digits_implicit": "exact gradient",
}
SHORT = dict(zip(LABELS, ("traces", "probab.", "determ.", "exact"), strict=True))
COLOURS = dict(zip(LABELS, (page.LEAKY, page.LINEAR, page.MEAN_FIELD, page.BOUND), strict=True))
SMOKE = ("training.epochs=3", "training.batch=64", "training.rates=[0.2, 0.1]")


def compute(
    *,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    smoke: tuple[str, ...] = SMOKE,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Curves of every digits experiment with matching results, or, where there is none at all, of short runs."""
    files = {name: experiments / f"{name}.toml" for name in LABELS}
    loaded = {name: load(path) for name, path in files.items() if path.is_file()}
    if not loaded:
        raise ValueError(f"{experiments} holds no digits_*.toml: run this figure from a checkout of the project")
    runs = {name: _recorded(experiment, results) for name, experiment in loaded.items()}
    short = not any(runs.values())
    if short:
        for done, name in enumerate(loaded):
            runs[name] = _trained(load(files[name], smoke, [0]))
            report((done + 1) / len(loaded))
    report(1.0)
    return {
        "smoke": short,
        "rules": [_rule(name, found) for name, found in runs.items() if found],
        "missing": sorted(name for name, found in runs.items() if not found),
    }


def draw(data: dict[str, Any]) -> Figure:
    """Training cost, validation error, test error."""
    with page.style():
        figure, (cost, validation, test) = page.page(1, 3, height=2.9)
        for place, rule in enumerate(data["rules"]):
            colour = COLOURS[rule["name"]]
            for axis, curves in ((cost, rule["train_cost"]), (validation, 1 - np.array(rule["validation_accuracy"]))):
                values = np.array(curves) * (100.0 if axis is validation else 1.0)
                epochs = np.arange(1, values.shape[1] + 1)
                axis.plot(epochs, values.mean(axis=0), color=colour, label=LABELS[rule["name"]])
                axis.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
            count = len(rule["test"])
            where = place + (np.arange(count) - (count - 1) / 2) * 0.15
            errors = [
                {"value": 100 * (1 - seed["value"]), "low": 100 * (1 - seed["high"]), "high": 100 * (1 - seed["low"])}
                for seed in rule["test"]
            ]
            page.points(test, where, errors, color=colour)
        cost.set(xlabel="epoch", ylabel="cost on training images", yscale="log")
        validation.set(xlabel="epoch", ylabel="validation error (%)")
        # linear below 1 %, so that a perfect epoch has its place
        validation.set_yscale("symlog", linthresh=1.0, linscale=0.5)
        validation.set_ylim(bottom=0.0)
        test.set(ylabel="test error (%)", ylim=(0, None), xlim=(-0.5, len(data["rules"]) - 0.5))
        test.set_xticks(range(len(data["rules"])), [SHORT[rule["name"]] for rule in data["rules"]])
        page.log_ticks(cost.yaxis, (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
        page.log_ticks(validation.yaxis, (0, 1, 2, 5, 10, 20, 50, 100))
        for axis in (cost, validation):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, labels = cost.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        figure.suptitle(_title(data), fontsize=8)
        if data["smoke"]:
            page.smoke(figure)
    return figure


def _title(data: dict[str, Any]) -> str:
    seeds = sorted({seed["seed"] for rule in data["rules"] for seed in rule["test"]})
    images = data["rules"][0]["test"][0]["n"]
    text = f"digits, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}, {images} test images"
    if data["missing"]:
        text += f"; no matching results of {', '.join(data['missing'])}"
    return text


def _recorded(experiment: Experiment, results: Path) -> list[dict[str, Any]]:
    """The result documents of an experiment whose configuration is the file's, by seed."""
    documents = []
    for path in sorted(results.glob(f"{experiment.name}/*/result.json")):
        document = msgspec.json.decode(path.read_bytes())
        if document["config_hash"] == fingerprint(experiment):
            documents.append(document)
    return sorted(documents, key=lambda document: document["seed"])


def _trained(experiment: Experiment) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        return [train(run, lambda _: None) for run in prepare(experiment, Path(folder))]


def _rule(name: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "config_hash": documents[0]["config_hash"],
        "train_cost": [document["curves"]["train_cost"] for document in documents],
        "validation_accuracy": [document["curves"]["validation_accuracy"] for document in documents],
        "test": [{"seed": document["seed"], **document["metrics"]["test_accuracy"]} for document in documents],
    }


def main() -> None:
    """Compute and write figures/out/digits_learning.*."""
    page.publish("digits_learning", compute(), draw)


if __name__ == "__main__":
    main()
