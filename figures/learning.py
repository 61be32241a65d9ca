"""Recorded runs of one family of experiments: what their results hold, how learning is drawn, how studies train many nets.

Main results: ROOT, Rule, gathered, recorded, summary, family, draw_learning, draw_curves, draw_tests, draw_errors,
errors, mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numba
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dynamics.crnn.config import Experiment, fingerprint, load
from figures import page

ROOT = Path(__file__).resolve().parents[1]


class Rule(NamedTuple):
    """How an experiment is called in a legend and below a column, its colour and its line."""

    label: str
    short: str
    colour: str
    line: str = "-"


def gathered(
    rules: dict[str, Rule], *, results: Path = ROOT / "results", experiments: Path = ROOT / "experiments"
) -> dict[str, list[dict[str, Any]]]:
    """The result documents of each experiment that has its file, by seed; ValueError where none has."""
    loaded = {name: load(experiments / f"{name}.toml") for name in rules if (experiments / f"{name}.toml").is_file()}
    if not loaded:
        pattern = f"{next(iter(rules)).partition('_')[0]}_*.toml"
        raise ValueError(f"{experiments} holds no {pattern}: run this figure from a checkout of the project")
    return {name: recorded(experiment, results) for name, experiment in loaded.items()}


def recorded(experiment: Experiment, results: Path = ROOT / "results") -> list[dict[str, Any]]:
    """The result documents of an experiment whose configuration is the file's, by seed."""
    documents = [msgspec.json.decode(path.read_bytes()) for path in results.glob(f"{experiment.name}/*/result.json")]
    own = [document for document in documents if document["config_hash"] == fingerprint(experiment)]
    return sorted(own, key=lambda document: document["seed"])


def summary(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Curves and test errors, as draw_learning takes them."""
    return {
        "rules": [_rule(name, documents) for name, documents in found.items() if documents],
        "missing": sorted(name for name, documents in found.items() if not documents),
    }


def _rule(name: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "config_hash": documents[0]["config_hash"],
        "train_cost": [document["curves"]["train_cost"] for document in documents],
        "validation_accuracy": [document["curves"]["validation_accuracy"] for document in documents],
        "test": [{"seed": document["seed"], **document["metrics"]["test_accuracy"]} for document in documents],
    }


def family(
    rules: dict[str, Rule], what: str, *, cost: Sequence[float], error: Sequence[float]
) -> tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], Figure]]:
    """compute and draw of a figure of recorded runs alone; cost and error: ticks of the two learning curves."""

    def compute(
        *,
        results: Path = ROOT / "results",
        experiments: Path = ROOT / "experiments",
        report: page.Report = page.silent,
    ) -> dict[str, Any]:
        """Curves and test errors of the recorded runs that match their experiment files."""
        report(1.0)
        return summary(gathered(rules, results=results, experiments=experiments))

    def draw(data: dict[str, Any]) -> Figure:
        """Training cost, validation error, test error; a page that says so where nothing is recorded."""
        with page.style():
            if not data["rules"]:
                pattern = f"experiments/{next(iter(rules)).partition('_')[0]}_*.toml"
                return page.nothing(f"no recorded run matches {pattern}: stochep train makes one")
            figure = draw_learning(data, rules, what)
            page.log_ticks(figure.axes[0].yaxis, cost)
            page.log_ticks(figure.axes[1].yaxis, error)
        return figure

    return compute, draw


def draw_learning(data: dict[str, Any], rules: dict[str, Rule], what: str) -> Figure:
    """Training cost, validation error, test error of each seed; under the caller's style."""
    figure, (cost, validation, test) = page.page(1, 3, height=2.9)
    for found in data["rules"]:
        rule = rules[found["name"]]
        for axis, curves in ((cost, found["train_cost"]), (validation, 1 - np.array(found["validation_accuracy"]))):
            draw_curves(axis, np.array(curves) * (100.0 if axis is validation else 1.0), rule)
    cost.set(xlabel="epoch", ylabel="cost on training images", yscale="log")
    validation.set(xlabel="epoch", ylabel="validation error (%)")
    # linear below 1 %, so that a perfect epoch has its place
    validation.set_yscale("symlog", linthresh=1.0, linscale=0.5)
    draw_tests(test, data["rules"], rules, rotation=90 if len(data["rules"]) > 3 else 0)
    handles, labels = cost.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    figure.suptitle(_title(data, what), fontsize=8)
    return figure


def draw_curves(axis: Axes, curves: NDArray[np.float64], rule: Rule) -> None:
    """Mean and range over seeds (seeds, epochs) against the epoch."""
    epochs = np.arange(1, curves.shape[1] + 1)
    axis.plot(epochs, curves.mean(axis=0), color=rule.colour, linestyle=rule.line, label=rule.label)
    axis.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=rule.colour, alpha=0.2, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_tests(axis: Axes, found: list[dict[str, Any]], rules: dict[str, Rule], *, rotation: float) -> None:
    """Test errors of each seed of each rule found, rule beside rule."""
    looks = [rules[one["name"]] for one in found]
    for place, (one, look) in enumerate(zip(found, looks, strict=True)):
        draw_errors(axis, place, one["test"], look.colour)
    axis.set(ylabel="test error (%)", ylim=(0, None), xlim=(-0.5, len(found) - 0.5))
    axis.set_xticks(range(len(found)), [look.short for look in looks], rotation=rotation)


def mapped(function: Callable[..., Any], *arguments: Sequence[Any], processes: int) -> list[Any]:
    """[function(*a), …] by processes of one thread each, started afresh since a fork may not use OpenMP again."""
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=numba.set_num_threads, initargs=(1,)
    ) as pool:
        return list(pool.map(function, *arguments))


def draw_errors(axes: Axes, place: float, seeds: list[dict[str, float]], colour: str) -> None:
    """One point a seed with its 95 % Wilson interval, in per cent, side by side about a place."""
    count = len(seeds)
    where = place + (np.arange(count) - (count - 1) / 2) * 0.15
    page.points(axes, where, errors(seeds), color=colour)


def errors(accuracies: list[dict[str, float]]) -> list[dict[str, float]]:
    """{value, low, high} of the errors in per cent, of accuracies with their intervals."""
    return [
        {"value": 100 * (1 - one["value"]), "low": 100 * (1 - one["high"]), "high": 100 * (1 - one["low"])}
        for one in accuracies
    ]


def _title(data: dict[str, Any], what: str) -> str:
    seeds = sorted({seed["seed"] for rule in data["rules"] for seed in rule["test"]})
    images = data["rules"][0]["test"][0]["n"]
    text = f"{what}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}, {images:,} test images"
    if data["missing"]:
        text += f"; no matching results of {', '.join(data['missing'])}"
    return text
