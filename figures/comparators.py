"""Learning rules side by side: relative error against relaxations, for three losses; what a synapse reads and a unit keeps.

Caption: six random layered nets of 5 to 9 units at κ = 0.6, nudging 0.2 T and the same width for evolution strategies (ES): median
(points) and range over the nets. (a) The cost of rates at the mean-field fixed point, (b) the mean cost of spikes under Gibbs,
(c) the cost of the same weights without feedback: three losses with three gradients, never mixed. Solid: √(bias² + noise²) as
relaxations are spent on one estimate, like R^{-1/2} down to the bias; dashed: at the best of five nudgings up to 3.2 T for each R;
dotted: the bias of rules without noise. (a) Symmetric and holomorphic EP are ahead of every rule with noise; leaky StochEP passes
one-sided and continual EP only after thousands of relaxations and ends at the bias of its leak; BPTT is exact (drawn at 10⁻⁶).
(b) Shared noise beats independent noise and ES, firing probabilities beat spikes; but the three-factor covariance, with a
broadcast scalar, has no bias and less noise than any of them at this nudging. At the best nudging firing probabilities are ahead of
it for up to some two thousand relaxations and fall behind beyond. Onsager-corrected EP has after six relaxations the error that
they have after as many, and keeps it. (c) FRE is nearer than predictive coding, whose nudging has another unit; damped
targets are as near for two passes, and difference targets do not point along the gradient. (d) Legend: relaxations of one
estimate, what a synapse reads, states kept per unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import page
from meanfield.model import FloatArray
from proofs_numeric.comparators import harness

FAMILIES = {
    "EP": page.MEAN_FIELD, "StochEP": page.GLAUBER, "three-factor": page.BOUND, "evolution strategies": page.ONSAGER,
    "backpropagation": page.GREY, "predictive coding": page.LINEAR, "targets": page.LEAKY,
}  # fmt: skip
# One marker a rule within its panel, so that the page reads in grey.
MARKERS = {
    "one-sided EP": "o", "symmetric EP": "s", "holomorphic EP": "D", "continual EP": "<", "leaky StochEP": "^",
    "ES, exact losses": "X", "truncated BPTT": "*", "symmetric EP, mean field": "s", "Onsager-corrected EP": "p",
    "coupled StochEP": "o", "coupled StochEP, probabilities": "^", "independent StochEP": "v",
    "three-factor covariance": "P", "ES, one sample a loss": "x", "FRE": ">", "predictive coding": "o",
    "predictive coding, clamped": "s", "difference targets": "d", "damped Gauss–Newton targets": "h",
}  # fmt: skip
TITLES = {
    "rates": "cost of rates at the fixed point", "spikes": "mean cost of spikes under Gibbs",
    "from below": "cost of the pass from below",
}  # fmt: skip
OPEN = ("independent StochEP", "ES, exact losses", "one-sided EP", "predictive coding, clamped")
# From here down an error counts as none.
FLOOR = 1e-6


def compute(
    *,
    networks: Sequence[tuple[int, ...]] = harness.NETWORKS,
    nudging: float = 0.2,
    nudgings: Sequence[float] = (0.4, 0.8, 1.6, 3.2),
    samples: int = 4096,
    steps: int = 24,
    seed: int = 0,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """The comparison at one nudging, its summary, and the error of every rule with noise at the best of all nudgings."""
    rows: list[dict[str, Any]] = []
    rules, every = list(harness.NAMES), [nudging, *nudgings]
    for done, strength in enumerate(every):
        rows += harness.compare(
            networks=networks, nudging=strength, samples=samples, steps=steps, seed=seed, rules=rules,
            report=lambda part, done=done: report((done + part) / len(every)),
        )  # fmt: skip
        rules = noisy(rows)
    budgets = np.geomspace(1.0, 1e6, 25)
    shown = [row for row in rows if row["nudging"] == nudging]
    return {
        "nudging": nudging, "nudgings": sorted(every), "steps": steps, "seed": seed, "rows": rows,
        "networks": ["-".join(map(str, layers)) for layers in networks], "summary": harness.summary(shown),
        "relaxations": budgets.tolist(), "best": {rule: best(rows, rule, budgets).tolist() for rule in noisy(rows)},
    }  # fmt: skip


def noisy(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rules whose estimates scatter."""
    return list(dict.fromkeys(row["rule"] for row in rows if row["deviation"] > 0))


def best(rows: Sequence[dict[str, Any]], rule: str, relaxations: FloatArray) -> FloatArray:
    """The error after each number of relaxations at the nudging that suits the network best, its median over networks."""
    networks: dict[str, list[FloatArray]] = {}
    for row in rows:
        if row["rule"] == rule:
            networks.setdefault(row["network"], []).append(harness.error_after(row, relaxations))
    return np.median([np.min(errors, axis=0) for errors in networks.values()], axis=0)


def draw(data: dict[str, Any]) -> Figure:
    """One panel a loss, and a table that is their legend."""
    with page.style():
        figure, axes = page.page(2, 2, height=6.6)
        for axis, loss in zip(axes, harness.LOSSES, strict=False):
            for line in data["summary"]:
                if line["loss"] == loss:
                    _draw_rule(axis, line, data)
            axis.set(
                xscale="log", yscale="log", xlabel=f"relaxations of {data['steps']} sweeps", ylabel="relative error"
            )
            axis.set_title(TITLES[loss], loc="center")
        axes[2].set_xlim(0.04, 30)
        for axis, start in ((axes[0], 2.0), (axes[1], 2.0)):
            low, high = axis.get_ylim()
            page.guide(axis, (1e4, 1e6), -0.5, 0.35 * high, "$R^{-1/2}$")
            axis.set(xlim=(0.7 * start, 2e6), ylim=(max(low, 0.6 * FLOOR), high))
        _draw_table(axes[3], data["summary"])
    return figure


def _draw_rule(axis: Axes, line: dict[str, Any], data: dict[str, Any]) -> None:
    """Points with ranges over networks; the line of the median; dashed, at the best nudging; dotted, the bias as a floor."""
    rule, colour = line["rule"], FAMILIES[line["family"]]
    rows = [row for row in data["rows"] if row["rule"] == rule and row["nudging"] == data["nudging"]]
    start, grid = line["relaxations"]["median"], np.array(data["relaxations"])
    look = {
        "color": colour,
        "marker": MARKERS[rule],
        "markersize": 4,
        "markerfacecolor": "white" if rule in OPEN else colour,
    }
    if rule not in data["best"]:
        errors = [max(row["bias"], FLOOR) for row in rows]
        page.points(axis, [start], [_range(errors)], **look)
        axis.plot([start, 40 * start], [np.median(errors)] * 2, color=colour, linewidth=0.6, linestyle=":")
        return
    ends = np.concatenate([[start], grid[grid > start]])
    errors = np.array([harness.error_after(row, ends) for row in rows])
    axis.plot(ends, np.median(errors, axis=0), color=colour, linewidth=0.9)
    axis.plot(
        grid[grid > start], np.array(data["best"][rule])[grid > start], color=colour, linewidth=0.8, linestyle="--"
    )
    marks = [start, *[budget for budget in (1e2, 1e4, 1e6) if budget > start]]
    found = [_range([float(harness.error_after(row, mark)) for row in rows]) for mark in marks]
    found[0] = _range([float(np.hypot(row["bias"], row["deviation"])) for row in rows])
    page.points(axis, marks, found, **look)


def _range(values: Sequence[float]) -> dict[str, float]:
    return {"value": float(np.median(values)), "low": min(values), "high": max(values)}


def _draw_table(axis: Axes, lines: Sequence[dict[str, Any]]) -> None:
    """Marker, name, relaxations of one estimate, what a synapse reads beyond its two neurons, what a unit keeps."""
    axis.set(xlim=(0, 1), ylim=(len(lines) - 0.4, -1.6))
    axis.axis("off")
    columns = {"relaxations": 0.62, "reads": 0.66, "keeps": 0.93}
    reads = {harness.NEURONS: "its two neurons", harness.SCALAR: "+ a scalar", harness.ELSEWHERE: "+ other weights"}
    sides = {"relaxations": "right", "reads": "left", "keeps": "left"}
    for name, x in columns.items():
        axis.text(x, -1, name, fontsize=6, fontweight="bold", ha=sides[name], va="center")
    for y, line in enumerate(lines):
        colour = FAMILIES[line["family"]]
        axis.plot(
            0.0, y, color=colour, marker=MARKERS[line["rule"]], markersize=4, clip_on=False, linestyle="none",
            markerfacecolor="white" if line["rule"] in OPEN else colour,
        )  # fmt: skip
        cells = [f"{line['relaxations']['median']:.2g}", reads[line["local"]], line["memory"]]
        axis.text(0.03, y, line["rule"], fontsize=6, va="center")
        for (name, x), text in zip(columns.items(), cells, strict=True):
            axis.text(x, y, text, fontsize=6, ha=sides[name], va="center")
        if y and line["loss"] != lines[y - 1]["loss"]:
            axis.axhline(y - 0.5, color=page.GREY, linewidth=0.5)


def main() -> None:
    """Compute and write figures/out/comparators.*."""
    page.publish("comparators", compute(), draw)


if __name__ == "__main__":
    main()
