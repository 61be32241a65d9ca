"""Relative gradient error of every estimator against the exact Gibbs gradient, for any couplings: `stochep bias`.

Main results: checked, compute, Setting, setting, measured, draw, table, relative_error, sampled_error (thm:C5, thm:C6,
thm:C7). The cost is on spikes throughout, and an error is ‖estimate − g‖/‖g‖ over the couplings, g = ∂⟨C⟩/∂J under exp(−E/T).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from dynamics import Estimate, estimate_gradient, exact_gradient
from dynamics.enumeration import MAX_UNITS
from dynamics.tables import LARGEST
from figures import page
from figures.networks import Network
from meanfield import (
    ConvergenceError,
    Gradient,
    HypothesisError,
    Model,
    MultistabilityWarning,
    QuadraticCost,
    bounds,
    equilibrium_gradient,
    fixed_point,
)  # fmt: skip
from meanfield.model import whole_number

MEAN_FIELD = ("one-sided", "symmetric", "holomorphic")
SAMPLED = ("sampled", "leaky")
ESTIMATORS = (*MEAN_FIELD, "onsager", *SAMPLED)
# Leak of the leaky estimate: its own error is then well below that of its cost on rates (thm:A1b).
LEAK = 0.1
REFERENCES = ("exact", "sampled")
# A sampled reference uses this many times the samples of an estimate.
REFERENCE_SAMPLES = 16
# That one array of a sampled reference holds, 0.5 GiB.
MOST_NUMBERS = 2**26
# Colour and line of a mean-field estimator, colour and name of a sampled one.
LOOKS = {
    "one-sided": (page.MEAN_FIELD, ":"), "symmetric": (page.MEAN_FIELD, "-"), "holomorphic": (page.LINEAR, "--"),
    "onsager": (page.ONSAGER, "-"), "sampled": (page.GLAUBER, "Glauber"), "leaky": (page.LEAKY, "leaky spikes"),
}  # fmt: skip
# Sweeps of a phase where thm:B3 proves no mixing time, or a longer one.
MOST_SWEEPS = 200
# More temperatures than this do not fit as ticks.
MOST_TICKS = 7
# A noise vector of standard errors s stays within (1 + z)‖s‖ with at least 97.5 % (Gaussian isoperimetry, λ_max ≤ trace);
# estimate and reference together: 95 %.
RADIUS = 1 + 1.96


def compute(
    network: Network,
    *,
    temperatures: Sequence[float],
    nudgings: Sequence[float],
    estimators: Sequence[str] = ESTIMATORS,
    samples: int = 16384,
    seed: int = 0,
    reference: str = "exact",
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """One row for each temperature, nudging and estimator: {value, low, high} of its relative error, κ, κ_a, fixed points.

    low and high: 95 % interval of the error without sampling noise, equal to value where nothing is sampled. value is
    None, with a note, where a nudged fixed point is lost. Raises ValueError on bad input, before any work.
    """
    models = checked(network, temperatures, nudgings, estimators, samples, reference)
    whole_number("seed", seed, 0)
    rows: list[dict[str, Any]] = []
    references = []
    for done, model in enumerate(models, start=1):
        shared = setting(model, network.cost, reference, samples, seed)
        references.append({"temperature": model.temperature, "relative_error": shared.blur})
        rows += [
            measured(shared, nudging, estimator, samples, seed) for nudging in nudgings for estimator in estimators
        ]
        report(done / len(models))
    return {
        "couplings": network.name, "size": network.size, "outputs": network.cost.outputs.tolist(),
        "target": network.cost.target.tolist(), "reference": reference, "reference_errors": references,
        "samples": samples, "seed": seed, "rows": rows,
    }  # fmt: skip


class Setting(NamedTuple):
    """What all rows of one temperature share: the model, the Gibbs gradient of its cost, known to within `blur` of its norm."""

    model: Model
    cost: QuadraticCost
    target: Gradient
    blur: float
    fixed_points: int


def setting(model: Model, cost: QuadraticCost, reference: str, samples: int, seed: int) -> Setting:
    """The reference, exact or from 16 · `samples` samples, and how many mean-field fixed points there are.

    Raises ValueError where the reference is zero.
    """
    target, radius = _reference(model, cost, reference, samples, seed)
    return Setting(model, cost, target, radius / _norm(target), fixed_points(model))


def measured(shared: Setting, nudging: float, estimator: str, samples: int, seed: int) -> dict[str, Any]:
    """One estimator's {temperature, nudging, estimator, value, low, high, floor, note, gain, absolute_gain, fixed_points}.

    A pure function of its arguments: equal on any threads and in any order.
    """
    model = shared.model
    return {
        "temperature": model.temperature, "nudging": nudging, "estimator": estimator,
        **_cell(shared, nudging, estimator, samples, seed),
        "gain": model.gain, "absolute_gain": model.absolute_gain, "fixed_points": shared.fixed_points,
    }  # fmt: skip


def relative_error(estimate: Gradient, target: Gradient) -> float:
    """‖estimate − target‖/‖target‖ over the couplings."""
    return float(np.linalg.norm(estimate.couplings - target.couplings)) / _norm(target)


def sampled_error(estimate: Estimate, target: Gradient) -> dict[str, float]:
    """{value, low, high, floor}: an estimate's error, the 95 % interval of its error without noise, and its noise.

    floor is ‖standard error‖/‖target‖, the root-mean-square error of an unbiased estimator with this much noise.
    """
    floor = float(np.linalg.norm(estimate.standard_error.couplings)) / _norm(target)
    return {**_interval(relative_error(estimate.value, target), RADIUS * floor, 0.0), "floor": floor}


def sweeps(model: Model, most: int = MOST_SWEEPS, dynamics: str = "glauber") -> int:
    """Sweeps of one phase: the mixing time to 1e-3 (thm:B3, thm:B5), `most` where it is longer or not proven."""
    try:
        count = min(bounds.mixing_sweeps(model, dynamics=dynamics, leak=LEAK), most)
    except HypothesisError:
        count = most
    return count


def fixed_points(model: Model) -> int:
    """How many mean-field fixed points the solver finds."""
    return 1 + len(quietly(lambda: fixed_point(model, method="newton")).others)


def quietly(solve: Callable[[], Any]) -> Any:
    """solve() where several fixed points are no surprise: they are counted and shown instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultistabilityWarning)
        return solve()


def draw(data: dict[str, Any]) -> Figure:
    """Error against temperature, a panel for each nudging: mean-field estimators as lines, sampled ones as points."""
    nudgings = sorted({row["nudging"] for row in data["rows"]})
    with page.style():
        figure, panels = page.page(1, len(nudgings), width=max(3.6, 2.6 * len(nudgings)), height=3.0)
        for panel, nudging in zip(panels, nudgings, strict=True):
            panel.set(xscale="log", yscale="log", xlabel="temperature $T$")
            panel.set_title(f"nudging β = {nudging:g}", loc="center")
            for estimator, (colour, line) in LOOKS.items():
                rows = [
                    row for row in data["rows"]
                    if (row["estimator"], row["nudging"]) == (estimator, nudging) and row["value"] is not None
                ]  # fmt: skip
                rows.sort(key=lambda row: row["temperature"])
                x, y = [row["temperature"] for row in rows], [row["value"] for row in rows]
                if rows and estimator in SAMPLED:
                    page.points(panel, x, drawable(rows), color=colour, label=f"{line}, 95 %")
                    noise = [row["floor"] for row in rows]
                    panel.plot(x, noise, color=colour, linewidth=0.7, linestyle="--", label=f"noise of {line}")
                elif rows:
                    panel.plot(x, y, color=colour, linestyle=line, marker=".", label=f"mean field, {estimator}")
            shade_failures(panel, data["rows"])
            temperatures = sorted({row["temperature"] for row in data["rows"]})
            if len(temperatures) <= MOST_TICKS:
                page.log_ticks(panel.xaxis, temperatures)
        panels[0].set_ylabel("relative gradient error ‖ĝ − g‖/‖g‖")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(nudgings) == 1 else 4)
    return figure


def drawable(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for `page.points`: an interval without an upper end (infinite, or None from a file) ends at ten times its value."""
    return [{**row, "high": 10 * row["value"] if row["high"] in (None, math.inf) else row["high"]} for row in rows]


def shade_failures(panel: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Mark the temperatures where κ_a ≥ 1, and those with several fixed points, in any of the rows; sets the abscissa's limits."""
    left, right = min(row["temperature"] for row in rows) * 0.9, max(row["temperature"] for row in rows) * 1.1
    panel.set_xlim(left, right)
    critical = max(row["absolute_gain"] * row["temperature"] for row in rows)
    if critical > left:
        page.shade(panel, left, min(critical, right), "κ$_a$ ≥ 1")
    several = [row["temperature"] for row in rows if row["fixed_points"] > 1]
    if several:
        page.shade(panel, left, max(several) * 1.02, "several fixed points", hatch=True, height=0.3)


def told(row: dict[str, Any]) -> tuple[str, str]:
    """A row's error and its interval, "" where they are one, in few digits; an end of infinity may be None."""
    value = "–" if row["value"] is None else f"{row['value']:.3g}"
    if row["low"] == row["high"]:
        return value, ""
    high = "∞" if row["high"] in (None, math.inf) else f"{row['high']:.2g}"
    return value, f"{row['low']:.2g} … {high}"


def note(row: dict[str, Any]) -> str:
    """What a row says of itself, several fixed points among it."""
    several = [f"{row['fixed_points']} fixed points"] * (row["fixed_points"] > 1)
    return "; ".join([*several, *[row["note"]] * bool(row["note"])])


def table(data: dict[str, Any]) -> Table:
    """The rows for a terminal."""
    lines = Table(title=_caption(data), title_justify="left")
    for column in ("temperature", "nudging", "estimator", "error", "95 % interval", "κ", "κ_a", "note"):
        lines.add_column(column, justify="left" if column in ("estimator", "note") else "right", no_wrap=True)
    for row in data["rows"]:
        lines.add_row(
            f"{row['temperature']:g}", f"{row['nudging']:g}", row["estimator"], *told(row), f"{row['gain']:.3f}",
            f"{row['absolute_gain']:.3f}", note(row),
        )  # fmt: skip
    return without_empty_notes(lines)


def without_empty_notes(lines: Table) -> Table:
    """The table without its last column, of notes, where it holds none."""
    if not any(lines.columns[-1].cells):
        lines.columns.pop()
    return lines


def _caption(data: dict[str, Any]) -> str:
    source = "exact, by enumeration"
    if data["reference"] == "sampled":
        worst = max(entry["relative_error"] for entry in data["reference_errors"])
        source = f"sampled, known to within {worst:.2g} of its norm"
    return f"{data['couplings']}, N = {data['size']}: error of the coupling gradient relative to Gibbs' ({source})"


def checked(
    network: Network,
    temperatures: Sequence[float],
    nudgings: Sequence[float],
    estimators: Sequence[str],
    samples: int,
    reference: str,
) -> list[Model]:
    """The models to study; ValueError names the first input that cannot be used."""
    for name, values in (("temperatures", temperatures), ("nudgings", nudgings), ("estimators", estimators)):
        if len(values) == 0:
            raise ValueError(f"--{name} needs at least one value")
    for nudging in nudgings:
        if not math.isfinite(nudging) or nudging == 0:
            raise ValueError(f"--nudgings must be finite and non-zero, got {nudging}: the estimators divide by it")
        if not 1 / LARGEST <= abs(nudging) <= LARGEST:
            raise ValueError(f"--nudgings must be between {1 / LARGEST:g} and {LARGEST:g} in size, got {nudging}")
    for estimator in estimators:
        if estimator not in ESTIMATORS:
            raise ValueError(f"--estimators must be among {', '.join(ESTIMATORS)}, got {estimator!r}")
    if reference not in REFERENCES:
        raise ValueError(f"--reference must be one of {', '.join(REFERENCES)}, got {reference!r}")
    whole_number("samples", samples, 2)
    check_samples(reference, samples, network.size)
    if reference == "exact" and network.size > MAX_UNITS:
        raise ValueError(
            f"--reference exact enumerates at most {MAX_UNITS} units, got {network.size}: use --reference sampled"
        )
    if not network.cost.force(network.size, "spikes")[1].any():
        raise ValueError("target must differ from ½ in some output, got ½ in all: the cost of spikes is constant there")
    return [network.at(temperature) for temperature in temperatures]


def check_samples(reference: str, samples: int, size: int) -> None:
    """ValueError when a sampled reference would keep more numbers than are made room for."""
    if reference == "sampled" and (numbers := REFERENCE_SAMPLES * samples * size) > MOST_NUMBERS:
        raise ValueError(
            f"reference 'sampled' keeps {REFERENCE_SAMPLES} × {samples} samples of {size} units, {numbers:,} numbers, more than "
            f"the {MOST_NUMBERS:,} that are made room for: ask for fewer samples"
        )


def _reference(model: Model, cost: QuadraticCost, kind: str, samples: int, seed: int) -> tuple[Gradient, float]:
    """The Gibbs gradient and the radius within which its couplings are known."""
    if kind == "exact":
        target, radius = exact_gradient(model, cost), 0.0
    else:
        estimate = estimate_gradient(
            model, cost, estimator="three-factor", samples=REFERENCE_SAMPLES * samples, seed=seed + 1,
            steps_free=sweeps(model),
        )  # fmt: skip
        target, radius = estimate.value, RADIUS * float(np.linalg.norm(estimate.standard_error.couplings))
    # of a tiny gradient the squares may vanish
    if _norm(target) == 0:
        raise ValueError(
            f"the coupling gradient is zero at temperature {model.temperature}, so no error is relative to it: "
            "raise the temperature or choose other outputs"
        )
    return target, radius


def _cell(shared: Setting, nudging: float, estimator: str, samples: int, seed: int) -> dict[str, Any]:
    model, cost, target, blur, _ = shared
    if estimator in SAMPLED:
        dynamics = "leaky" if estimator == "leaky" else "glauber"
        steps = sweeps(model, dynamics=dynamics)
        estimate = estimate_gradient(
            model, cost, dynamics=dynamics, nudging=nudging, samples=samples, seed=seed, leak=LEAK,
            steps_free=steps, steps_nudged=steps,
        )  # fmt: skip
        cell = sampled_error(estimate, target)
        note = "" if steps < MOST_SWEEPS else "mixing not proven"
        return {**cell, **_interval(cell["value"], RADIUS * cell["floor"], blur), "note": note}
    try:
        gradient = quietly(
            lambda: equilibrium_gradient(
                model,
                cost,
                nudging=nudging,
                cost_on="spikes",
                estimator=estimator if estimator in MEAN_FIELD else "symmetric",
                correction="onsager" if estimator == "onsager" else "none",
            )
        )
    except ConvergenceError:
        return {"value": None, "low": None, "high": None, "floor": None, "note": "nudged fixed point lost"}
    return {**_interval(relative_error(gradient, target), 0.0, blur), "floor": None, "note": ""}


def _interval(value: float, radius: float, blur: float) -> dict[str, float]:
    """Bounds on the true relative error when estimate and reference are known to within radius and blur of ‖reference‖."""
    high = (value + radius + blur) / (1 - blur) if blur < 1 else math.inf
    return {"value": value, "low": max(0.0, value - radius - blur) / (1 + blur), "high": high}


def _norm(gradient: Gradient) -> float:
    return float(np.linalg.norm(gradient.couplings))
