"""Neighbouring rules and options of the network, trained beside StochEP at one budget (results/digits_*, results/fashion10k_*).

Caption: (a, b) test error of each seed after the last epoch, 95 % Wilson intervals, on (a) the handwritten digits and (b) 10,000
images of Fashion-MNIST. A band: the range over seeds of StochEP with firing probabilities. Left of the dotted line rules, right
of it StochEP with an option of the network (lem:options); a third conv layer, or three hidden ones, is what residual links are
compared with. All of a panel share data, order of images, optimiser, schedule and number of updates; evolution strategies of one
pair also relaxations. (c, d) What an update takes over what StochEP's takes: processor time on one thread (points, the middle
half of rounds of one update each in turn) and steps of the network (crosses; the exact gradient goes on to a tolerance and has
none).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import page
from figures.learning import ROOT, Rule, draw_tests, errors, gathered, summary

INPUTS = (
    "results/digits_*/*/result.json", "results/fashion10k_*/*/result.json", "experiments/digits_*.toml",
    "experiments/fashion10k_*.toml", "results/rule_times.json",
)  # fmt: skip
# figures.rule_time_study writes it
TIMES = ROOT / "results" / "rule_times.json"

OPTIONS = {
    "leaks": Rule("leaks a neuron", "leaks", page.LEAKY),
    "lateral": Rule("lateral inhibition", "lateral", page.LEAKY),
    "divisive": Rule("divisive inhibition", "divisive", page.LEAKY),
    "feedback": Rule("weaker feedback", "feedback", page.LEAKY),
    "deep": Rule("deeper", "deeper", page.GREY),
    "residual": Rule("deeper, residual links", "residual", page.LEAKY),
}
STOCHEP = "stochastic_probabilities"
RULES = {
    "digits": {
        "digits_implicit": Rule("exact gradient", "exact", page.BOUND),
        "digits_deterministic": Rule("deterministic EP", "determ.", page.MEAN_FIELD),
        "digits_continual": Rule("continual EP", "continual", page.ONSAGER),
        "digits_predictive_coding": Rule("predictive coding", "PC", page.GLAUBER),
        "digits_evolution_32": Rule("evolution strategies, 32 pairs", "ES, 32", page.GREY),
        "digits_evolution": Rule("evolution strategies, 1 pair", "ES, 1", page.GREY),
        "digits_stochastic_probabilities": Rule("StochEP", "StochEP", page.LINEAR),
    },
    "fashion10k": {
        "fashion10k_bptt": Rule("BPTT", "BPTT", page.BOUND),
        "fashion10k_deterministic": Rule("deterministic EP", "determ.", page.MEAN_FIELD),
        "fashion10k_continual": Rule("continual EP", "continual", page.ONSAGER),
        "fashion10k_readout": Rule("readout alone", "readout", page.GREY),
        "fashion10k_stochastic_probabilities": Rule("StochEP", "StochEP", page.LINEAR),
    },
}
TITLES = {"digits": "handwritten digits", "fashion10k": "10,000 images of Fashion-MNIST"}


def looks(family: str) -> dict[str, Rule]:
    """The experiments of a panel in their order: rules, then StochEP's options."""
    return RULES[family] | {f"{family}_{name}": look for name, look in OPTIONS.items()}


def compute(
    *,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    times: Path = TIMES,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """By data set curves and test errors of the recorded runs that match their experiment files, and what their updates take."""
    timed = msgspec.json.decode(times.read_bytes())["rows"] if times.is_file() else []
    found = {}
    for number, family in enumerate(RULES, start=1):
        found[family] = summary(gathered(looks(family), results=results, experiments=experiments))
        digests = {one["name"]: one["config_hash"] for one in found[family]["rules"]}
        found[family]["times"] = [row for row in timed if digests.get(row["name"]) == row["config_hash"]]
        report(number / len(RULES))
    return found


def draw(data: dict[str, Any]) -> Figure:
    """Errors above, times below, a column a data set; a page that says so where nothing is recorded."""
    with page.style():
        if not any(found["rules"] for found in data.values()):
            return page.nothing("no recorded run matches experiments/digits_*.toml: stochep train makes one")
        figure, axes = page.page(2, 2, height=4.6)
        for above, below, (family, found) in zip(axes[:2], axes[2:], data.items(), strict=True):
            _errors(above, family, found)
            _times(below, family, found)
    return figure


def _errors(axis: Axes, family: str, found: dict[str, Any]) -> None:
    rules = looks(family)
    draw_tests(axis, found["rules"], rules, rotation=90)
    names = [one["name"] for one in found["rules"]]
    own = [one for one in found["rules"] if one["name"] == f"{family}_{STOCHEP}"]
    for one in own:
        values = [seed["value"] for seed in errors(one["test"])]
        axis.axhspan(min(values), max(values), color=page.LINEAR, alpha=0.15, linewidth=0)
    _part(axis, family, names)
    axis.autoscale(axis="y")
    axis.set(yscale="log")
    axis.set_title(TITLES[family], loc="center")
    # the names stand below the panel below
    axis.tick_params(labelbottom=False)
    page.log_ticks(axis.yaxis, (2, 3, 5, 10, 20, 30, 50, 90) if family == "digits" else (13, 14, 15, 17, 20, 25, 30))


def _part(axis: Axes, family: str, names: list[str]) -> None:
    """A line between rules and options."""
    rules = sum(name in RULES[family] for name in names)
    if rules < len(names):
        axis.axvline(rules - 0.5, color=page.GREY, linestyle=":")


def _times(axis: Axes, family: str, found: dict[str, Any]) -> None:
    rows, names = {row["name"]: row for row in found["times"]}, [one["name"] for one in found["rules"]]
    axis.axhline(1, color=page.LINEAR, alpha=0.4, linewidth=0.8)
    _part(axis, family, names)
    # an experiment without a time leaves its place empty
    own = rows.get(f"{family}_{STOCHEP}", {}).get("steps")
    for place, name in enumerate(names):
        if row := rows.get(name):
            measured = {"value": row["ratio"], "low": row["low"], "high": row["high"]}
            page.points(axis, [place], [measured], color=looks(family)[name].colour)
            if row["steps"] and own:
                axis.plot(place, row["steps"] / own, "x", color=page.GREY, markersize=4)
    axis.set(yscale="log", ylabel="update over StochEP's", xlim=(-0.5, len(names) - 0.5))
    page.log_ticks(axis.yaxis, (0.3, 0.5, 1, 2, 3, 5, 10, 20))
    axis.set_xticks(range(len(names)), [looks(family)[name].short for name in names], rotation=90)


def main() -> None:
    """Compute and write figures/out/neighbour_rules.*."""
    page.publish("neighbour_rules", compute(), draw)


if __name__ == "__main__":
    main()
