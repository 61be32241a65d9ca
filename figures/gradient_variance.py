"""Variance of gradient estimates at equal numbers of relaxations, by how phases share and what is read (thm:C8, thm:C8b).

Caption: variance of the symmetric estimate, summed over the couplings, times T² and times the phases that one replica relaxes
(3 coupled or warm, 4 independent, 1 three-factor): what a budget of relaxations buys. (a) Glauber: independent phases and
phases that start warm but have noise of their own scatter like β⁻², coupled ones like β⁻¹ and under C8's bound (black); firing
probabilities in place of spikes save a further factor. The three-factor estimate does not depend on β. (b) Leaky spikes,
coupled: products of traces scatter like ε/β, without a plateau, and less than whole spikes; products of firing probabilities
scatter least. (c) How many times fewer relaxations coupling needs. Points: mean over runs with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from dynamics import estimate_gradient
from figures import page
from figures.networks import FAMILIES
from meanfield import Model, QuadraticCost, bounds

RUNS = 6
GLAUBER_SWEEPS = 40
VARIANTS: dict[str, dict[str, Any]] = {
    "independent": {"coupled": False},
    "warm": {"coupled": False, "warm": True},
    "coupled": {},
    "probabilities": {"statistic": "probabilities"},
}
LOOK: dict[str, dict[str, Any]] = {
    "independent": {"marker": "o", "markerfacecolor": "white", "label": "independent"},
    "warm": {"marker": "s", "markerfacecolor": "white", "markersize": 2.8, "label": "warm"},
    "spikes": {"marker": "D", "markersize": 2.8, "color": page.GREY, "label": "coupled, spikes"},
    "probabilities": {"marker": "^", "color": page.ONSAGER, "label": "coupled, probabilities"},
    "coupled": {"marker": "o"},
}


def compute(
    *,
    size: int = 12,
    temperature: float = 1.0,
    nudgings: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    leaks: Sequence[float] = (0.05, 0.2),
    samples: int = 384,
    seed: int = 4,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Variance × phases relaxed for Glauber and for leaky spikes at each leak; nudgings in units of the temperature."""
    network = FAMILIES["sk"](size, seed)
    model = network.at(temperature)
    settings: list[tuple[str, float]] = [("glauber", 0.0), *(("leaky", leak) for leak in leaks)]
    rows = []
    for dynamics, leak in settings:
        variants = VARIANTS if dynamics == "glauber" else {**VARIANTS, "spikes": {"statistic": "spikes"}}
        if dynamics == "leaky" and leak != max(leaks):
            # drawn for the sake of its leak alone
            variants = {name: VARIANTS[name] for name in ("independent", "coupled")}
        for ratio in nudgings:
            nudging = ratio * temperature
            row: dict[str, Any] = {"dynamics": dynamics, "leak": leak, "nudging_over_temperature": ratio}
            for name, variant in variants.items():
                told = {"dynamics": dynamics, "leak": leak or 0.2, "nudging": nudging, **variant}
                row[name] = _variance(model, network.cost, samples, seed, told)
            stated = bounds.coupled_variance(model, network.cost, nudging=nudging, dynamics=dynamics, leak=leak or 0.2)
            # a coupled replica relaxes one free and two nudged phases
            row["bound"] = 3 * float(np.triu(stated.couplings, 1).sum())
            rows.append(row)
            report(len(rows) / (len(settings) * len(nudgings)))
    three_factor = {"dynamics": "glauber", "estimator": "three-factor"}
    return {
        "size": size, "temperature": temperature, "absolute_gain": model.absolute_gain, "samples": samples, "runs": RUNS,
        "seed": seed, "rows": rows, "three_factor": _variance(model, network.cost, samples, seed, three_factor),
    }  # fmt: skip


def _variance(model: Model, cost: QuadraticCost, samples: int, seed: int, told: dict[str, Any]) -> dict[str, float]:
    """{value, low, high}: Σ_{i<j} samples · standard_error² · phases relaxed, mean over RUNS seeds with its 95 % interval."""
    steps = GLAUBER_SWEEPS
    if told["dynamics"] == "leaky":
        steps = int(np.ceil(6 / (told["leak"] * (1 - model.gain))))
    totals = []
    for run in range(RUNS):
        estimate = estimate_gradient(
            model, cost, samples=samples, seed=seed * 1000 + run, steps_free=steps, steps_nudged=steps, **told
        )
        variance = samples * float((np.triu(estimate.standard_error.couplings, 1) ** 2).sum())
        totals.append(variance * estimate.relaxations / (samples * steps))
    mean = float(np.mean(totals))
    reach = float(student.ppf(0.975, RUNS - 1) * np.std(totals, ddof=1) / np.sqrt(RUNS))
    return {"value": mean, "low": mean - reach, "high": mean + reach}


def draw(data: dict[str, Any]) -> Figure:
    """Glauber, leaky spikes, and the saving."""
    glauber = [row for row in data["rows"] if row["dynamics"] == "glauber"]
    leaks = sorted({row["leak"] for row in data["rows"] if row["dynamics"] == "leaky"})
    leaky = [[row for row in data["rows"] if (row["dynamics"], row["leak"]) == ("leaky", leak)] for leak in leaks]
    unit = data["temperature"] ** 2
    x = [row["nudging_over_temperature"] for row in glauber]
    with page.style():
        figure, (spikes, traces, saving) = page.page(1, 3, height=3.1)
        _draw_panel(spikes, x, glauber, unit, page.GLAUBER, "coupled, spikes", ("independent", "warm", "probabilities"))
        value = data["three_factor"]
        spikes.axhline(
            value["value"] * unit, color=page.MEAN_FIELD, linewidth=1.0, linestyle=(0, (1, 1)), label="three-factor"
        )
        spikes.axhspan(value["low"] * unit, value["high"] * unit, color=page.MEAN_FIELD, alpha=0.2, linewidth=0)
        _draw_panel(
            traces, x, leaky[-1], unit, page.LEAKY, f"coupled, traces, $ε={leaks[-1]:g}$",
            ("independent", "warm", "spikes", "probabilities"),
        )  # fmt: skip
        if len(leaky) > 1:
            _points(traces, x, leaky[0], "coupled", unit, color=page.LINEAR, label=f"coupled, traces, $ε={leaks[0]:g}$")
        page.guide(spikes, (x[0], x[2]), -2, glauber[0]["independent"]["value"] * unit * 2.5, "$β^{-2}$")
        page.guide(spikes, (x[0], x[2]), -1, glauber[0]["coupled"]["value"] * unit * 0.35, "$β^{-1}$")
        page.guide(traces, (x[0], x[2]), -1, leaky[-1][0]["coupled"]["value"] * unit * 2.5, "$β^{-1}$")
        spikes.set_title("Glauber", loc="center")
        spikes.set_ylabel(r"$T^2\,\Sigma_{i<j}$ variance $\times$ phases relaxed")
        traces.set_title("leaky spikes", loc="center")
        kinds = [(glauber, page.GLAUBER, "Glauber, spikes")]
        kinds += [
            (rows, colour, f"traces, $ε={leak:g}$")
            for rows, leak, colour in zip(reversed(leaky), reversed(leaks), (page.LEAKY, page.LINEAR), strict=False)
        ]
        for rows, colour, label in kinds:
            page.points(saving, x, [_ratio(row) for row in rows], color=colour, label=label)
        saving.axhline(1.0, color=page.GREY, linewidth=0.8)
        saving.set_title("saving by coupling", loc="center")
        saving.set_ylabel("relaxations, independent / coupled")
        for axis in (spikes, traces, saving):
            axis.set(xscale="log", yscale="log", xlabel="nudging $β/T$")
            page.log_ticks(axis.xaxis, x)
        for axis in (spikes, traces):
            low, high = axis.get_ylim()
            axis.set_ylim(low, high * 300)
            axis.legend(loc="upper right", fontsize=6)
        saving.legend()
    return figure


def _draw_panel(
    axis: Axes, x: list[float], rows: list[dict[str, Any]], unit: float, colour: str, label: str, others: Sequence[str]
) -> None:
    """One dynamics' estimates and the bound on its coupled one."""
    for name in others:
        _points(axis, x, rows, name, unit, **{"color": colour, **LOOK[name]})
    _points(axis, x, rows, "coupled", unit, color=colour, label=label)
    axis.plot(
        x, [row["bound"] * unit for row in rows], color=page.BOUND, linewidth=1.0, label=label.replace("coupled", "C8")
    )


def _points(axis: Axes, x: list[float], rows: list[dict[str, Any]], name: str, unit: float, **look: Any) -> None:
    scaled = [{end: row[name][end] * unit for end in ("value", "low", "high")} for row in rows]
    page.points(axis, x, scaled, **look)


def _ratio(row: dict[str, Any]) -> dict[str, float]:
    """Ratio of two independent means by propagating their relative errors."""
    above, below = row["independent"], row["coupled"]
    value = above["value"] / below["value"]
    spread = value * np.hypot(*((part["high"] - part["value"]) / part["value"] for part in (above, below)))
    return {"value": value, "low": value - float(spread), "high": value + float(spread)}


def main() -> None:
    """Compute and write figures/out/gradient_variance.*."""
    page.publish("gradient_variance", compute(), draw)


if __name__ == "__main__":
    main()
