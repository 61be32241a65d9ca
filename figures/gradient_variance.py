"""Variance of the symmetric gradient estimate against nudging, coupled and independent phases (thm:C8).

Caption: variance of one pair of phases, summed over the couplings, times T² (all depends on β/T). Independent phases fall
like β⁻² (guide). Coupled phases share starts and uniforms: (a) whole spikes under Glauber stay under C8's bound (black
line), which is O(1/β); (b) traces of leaky spikes under C8's O(1) + O(ε/β), for two leaks. Points: mean over runs with
95 % intervals. (c) How much coupling saves: the ratio of the two variances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from dynamics import estimate_gradient
from figures import page
from figures.networks import FAMILIES
from meanfield import Model, QuadraticCost, bounds

RUNS = 6


def compute(
    *,
    size: int = 12,
    temperature: float = 1.0,
    nudgings: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    leaks: Sequence[float] = (0.05, 0.2),
    samples: int = 768,
    seed: int = 4,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Variance for Glauber and for leaky spikes at each leak; nudgings in units of the temperature."""
    network = FAMILIES["sk"](size, seed)
    model = network.at(temperature)
    settings: list[tuple[str, float]] = [("glauber", 0.0), *(("leaky", leak) for leak in leaks)]
    rows = []
    for dynamics, leak in settings:
        for ratio in nudgings:
            nudging = ratio * temperature
            row = {"dynamics": dynamics, "leak": leak, "nudging_over_temperature": ratio}
            for coupled in (True, False):
                row["coupled" if coupled else "independent"] = _variance(
                    model, network.cost, dynamics, leak, nudging, coupled, samples, seed
                )
            stated = bounds.coupled_variance(model, network.cost, nudging=nudging, dynamics=dynamics, leak=leak or 0.2)
            row["bound"] = float(np.triu(stated.couplings, 1).sum())
            rows.append(row)
            report(len(rows) / (len(settings) * len(nudgings)))
    return {
        "size": size, "temperature": temperature, "absolute_gain": model.absolute_gain, "samples": samples, "runs": RUNS,
        "seed": seed, "rows": rows,
    }  # fmt: skip


def draw(data: dict[str, Any]) -> Figure:
    """Glauber, leaky spikes, and the saving."""
    glauber = [row for row in data["rows"] if row["dynamics"] == "glauber"]
    leaks = sorted({row["leak"] for row in data["rows"] if row["dynamics"] == "leaky"})
    leaky = [[row for row in data["rows"] if (row["dynamics"], row["leak"]) == ("leaky", leak)] for leak in leaks]
    unit = data["temperature"] ** 2
    x = [row["nudging_over_temperature"] for row in glauber]
    with page.style():
        figure, (spikes, traces, saving) = page.page(1, 3, height=2.7)
        _draw_series(spikes, x, glauber, unit, page.GLAUBER, ("independent", "coupled", "C8, coupled"), "-")
        for rows, leak, colour, line in zip(leaky, leaks, (page.LEAKY, page.LINEAR), ("-", "--"), strict=False):
            _draw_series(traces, x, rows, unit, colour, ("", f"$ε={leak:g}$", f"C8, $ε={leak:g}$"), line)
        for axis, rows in ((spikes, glauber), (traces, leaky[-1])):
            page.guide(axis, (x[0], x[2]), -2, rows[0]["independent"]["value"] * unit * 2.5, "$β^{-2}$")
            axis.set_ylabel(r"$T^2\,\Sigma_{i<j}$ variance of one pair")
        page.guide(spikes, (x[0], x[2]), -1, glauber[0]["coupled"]["value"] * unit * 0.4, "$β^{-1}$")
        spikes.set_title("Glauber, spikes", loc="center")
        traces.set_title("leaky spikes, traces", loc="center")
        kinds = [(glauber, page.GLAUBER, "Glauber")]
        kinds += [
            (rows, colour, f"leaky, $ε={leak:g}$")
            for rows, leak, colour in zip(leaky, leaks, (page.LEAKY, page.LINEAR), strict=False)
        ]
        for rows, colour, label in kinds:
            page.points(saving, x, [_ratio(row) for row in rows], color=colour, label=label)
        saving.axhline(1.0, color=page.GREY, linewidth=0.8)
        saving.set_title("saving by coupling", loc="center")
        saving.set_ylabel("variance independent / coupled")
        for axis in (spikes, traces, saving):
            axis.set(xscale="log", yscale="log", xlabel="nudging $β/T$")
            page.log_ticks(axis.xaxis, x)
        for axis in (spikes, traces):
            low, high = axis.get_ylim()
            axis.set_ylim(low, high * 5)
            axis.legend(loc="upper right", ncols=2 if axis is traces else 1)
        saving.legend()
    return figure


def _variance(
    model: Model,
    cost: QuadraticCost,
    dynamics: str,
    leak: float,
    nudging: float,
    coupled: bool,
    samples: int,
    seed: int,
) -> dict[str, float]:
    """{value, low, high}: Σ_{i<j} samples · standard_error², mean over RUNS seeds with its 95 % Student interval."""
    steps = 40 if dynamics == "glauber" else int(np.ceil(6 / (leak * (1 - model.gain))))
    totals = []
    for run in range(RUNS):
        estimate = estimate_gradient(
            model, cost, dynamics=dynamics, nudging=nudging, coupled=coupled, samples=samples, seed=seed * 1000 + run,
            leak=leak or 0.2, steps_free=steps, steps_nudged=steps,
        )  # fmt: skip
        totals.append(samples * float((np.triu(estimate.standard_error.couplings, 1) ** 2).sum()))
    mean = float(np.mean(totals))
    reach = float(student.ppf(0.975, RUNS - 1) * np.std(totals, ddof=1) / np.sqrt(RUNS))
    return {"value": mean, "low": mean - reach, "high": mean + reach}


def _draw_series(
    axis: Any,
    x: list[float],
    rows: list[dict[str, Any]],
    unit: float,
    colour: str,
    labels: tuple[str, str, str],
    line: str,
) -> None:
    for key, face, label in (("independent", "white", labels[0]), ("coupled", colour, labels[1])):
        scaled = [{end: row[key][end] * unit for end in ("value", "low", "high")} for row in rows]
        page.points(axis, x, scaled, color=colour, markerfacecolor=face, label=label)
    axis.plot(
        x, [row["bound"] * unit for row in rows], color=page.BOUND, linestyle=line, linewidth=1.0, label=labels[2]
    )


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
