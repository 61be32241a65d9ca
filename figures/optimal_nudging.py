"""Mean square error against nudging, its optimum against samples, and estimators at equal relaxations (thm:C9).

Caption: whole spikes, three units, exact moments. (a) Mean square error of the symmetric estimate against nudging for three
numbers of samples, coupled (filled) and independent phases (open); dashed: C9's a²β⁴ + v/(Sβ^q) with exact coefficients;
stars: its optimum. (b) The least error over the nudging: all four estimators fall with C9's powers of S (dashed), the
exponents fitted to the exact minima beside them; three-factor like 1/S. (c) The relative error, at the best nudging, that a
number of relaxations buys: shared noise beats a shared start, firing probabilities beat spikes, and the three-factor
estimate, without bias, overtakes all. (d) Sampled: relaxations that a relative noise of 10 % costs at nudging β = T, against
network size; 95 % intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

from dynamics import (
    coupled_variance_coefficient,
    estimate_gradient,
    exact_estimator_moments,
    exact_gradient,
    exact_law,
    nudging_series,
    three_factor_variance,
)
from dynamics.enumeration import all_states
from figures import page
from figures.networks import FAMILIES, Network
from meanfield import Gradient, Model, QuadraticCost, Tradeoff, implicit_gradient
from meanfield.model import FloatArray
from meanfield.tradeoff import orders

# Kind: (estimator, coupled, warm, statistic), None for what is not nudged.
KINDS: dict[str, tuple[str, bool, bool, str] | None] = {
    "symmetric, coupled": ("symmetric", True, False, "spikes"),
    "symmetric, independent": ("symmetric", False, False, "spikes"),
    "one-sided, coupled": ("one-sided", True, False, "spikes"),
    "one-sided, independent": ("one-sided", False, False, "spikes"),
    "warm start": ("symmetric", False, True, "spikes"),
    "coupled, probabilities": ("symmetric", True, False, "probabilities"),
    "three-factor": None,
}
POWERS = tuple(KINDS)[:4]
COMPARED = ("coupled, probabilities", "three-factor", "symmetric, coupled", "warm start", "symmetric, independent")
LOOKS = {
    "symmetric, coupled": (page.GLAUBER, "o"), "symmetric, independent": (page.GLAUBER, "s"),
    "one-sided, coupled": (page.MEAN_FIELD, "o"), "one-sided, independent": (page.MEAN_FIELD, "s"),
    "warm start": (page.LINEAR, "D"), "coupled, probabilities": (page.LEAKY, "^"), "three-factor": (page.BOUND, "v"),
}  # fmt: skip
RUNS = 4
WANTED = 0.1


def compute(
    *,
    temperature: float = 1.0,
    nudgings: int = 22,
    steps: int = 24,
    samples: Sequence[float] = (1e2, 1e4, 1e6),
    sizes: Sequence[int] = (10, 30, 100, 300),
    replicas: int = 256,
    seed: int = 4,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Exact errors of three units for every kind, C9's leading order beside them, and sampled noise of larger networks."""
    network = FAMILIES["sk"](3, seed)
    model = network.at(temperature)
    grid = temperature * np.geomspace(0.03, 8.0, nudgings)
    target = exact_gradient(model, network.cost)
    norm = float(np.linalg.norm(_upper(target)))
    exact = {}
    for name, kind in KINDS.items():
        if kind is not None:
            exact[name] = _exact(model, network.cost, kind, grid, steps, target)
        report(0.5 * (len(exact)) / len(KINDS))
    three_factor = 1e6 * float(_upper(three_factor_variance(model, network.cost, samples=10**6)).sum())
    leading = {name: _leading(model, network.cost, *orders(*_pair(name)), _pair(name)[0]) for name in POWERS}
    many = np.geomspace(1e2, 1e7, 11)
    sampled = []
    for done, size in enumerate(sizes, start=1):
        sampled += _sampled(FAMILIES["sk"](size, seed), temperature, steps, replicas, seed)
        report(0.5 + 0.5 * done / len(sizes))
    return {
        "temperature": temperature, "steps": steps, "norm": norm, "nudgings": grid.tolist(), "samples": list(samples),
        "exact": exact, "three_factor": three_factor, "leading": {name: list(one) for name, one in leading.items()},
        "optima": {name: _optima(grid, exact[name], many) for name in exact}, "many": many.tolist(), "sampled": sampled,
        "seed": seed, "replicas": replicas,
    }  # fmt: skip


def _upper(gradient: Gradient) -> FloatArray:
    return gradient.couplings[np.triu_indices(len(gradient.bias), 1)]


def _pair(name: str) -> tuple[str, bool]:
    kind = KINDS[name]
    if kind is None:
        raise ValueError(f"{name!r} has no nudging")
    return kind[0], kind[1]


def _exact(
    model: Model, cost: QuadraticCost, kind: tuple[str, bool, bool, str], grid: FloatArray, steps: int, target: Gradient
) -> dict[str, list[float]]:
    """‖bias‖² and the variance of one replica at each nudging, summed over i < j."""
    estimator, coupled, warm, statistic = kind
    squares, variances = [], []
    for nudging in grid.tolist():
        moments = exact_estimator_moments(
            model, cost, nudging=nudging, steps_nudged=steps, estimator=estimator, coupled=coupled, warm=warm,
            statistic=statistic,
        )  # fmt: skip
        squares.append(float(((_upper(moments.mean) - _upper(target)) ** 2).sum()))
        variances.append(float(_upper(moments.variance).sum()))
    return {"square": squares, "variance": variances}


def _leading(model: Model, cost: QuadraticCost, bias_order: int, variance_order: int, estimator: str) -> Tradeoff:
    """C9's exact coefficients."""
    bias = float(np.linalg.norm(_upper(nudging_series(model, cost, order=3)[bias_order])))
    if variance_order == 1:
        scatter = float(_upper(coupled_variance_coefficient(model, cost)).sum())
        return Tradeoff(bias, bias_order, scatter * (1.0 if estimator == "one-sided" else 0.5), variance_order)
    law, states = exact_law(model).probabilities, all_states(model.size)
    mean = (states * law[:, None]).T @ states
    scatter = float(np.triu(mean * (1 - mean), 1).sum())
    return Tradeoff(bias, bias_order, scatter * (2.0 if estimator == "one-sided" else 0.5), variance_order)


def _optima(grid: FloatArray, exact: dict[str, list[float]], samples: FloatArray) -> dict[str, list[float]]:
    """The best nudging and its mean square error for each number of samples, between the grid's ends."""
    square, variance = (CubicSpline(np.log(grid), np.log(exact[key])) for key in ("square", "variance"))
    nudgings, errors = [], []
    for count in samples.tolist():
        found = minimize_scalar(
            lambda place, count=count: np.logaddexp(square(place), variance(place) - math.log(count)),
            bounds=(math.log(grid[0]), math.log(grid[-1])), method="bounded", options={"xatol": 1e-8},
        )  # fmt: skip
        nudgings.append(math.exp(found.x))
        errors.append(math.exp(found.fun))
    return {"nudging": nudgings, "error": errors}


def _sampled(network: Network, temperature: float, steps: int, replicas: int, seed: int) -> list[dict[str, Any]]:
    """Relaxations for a relative noise of WANTED, mean over RUNS seeds with its 95 % Student interval."""
    model = network.at(temperature)
    norm = float(np.linalg.norm(implicit_gradient(model, network.cost, "spikes", correction="onsager").couplings))
    rows = []
    for name in COMPARED:
        kind, needed = KINDS[name], []
        for run in range(RUNS):
            request: dict[str, Any] = {"estimator": "three-factor"}
            if kind is not None:
                request = dict(zip(("estimator", "coupled", "warm", "statistic"), kind, strict=True))
                request |= {"nudging": temperature, "steps_nudged": steps}
            estimate = estimate_gradient(
                model, network.cost, samples=replicas, seed=100 * seed + run, steps_free=steps, **request
            )
            noise = float(np.linalg.norm(estimate.standard_error.couplings)) / norm
            needed.append(estimate.relaxations * (noise / WANTED) ** 2)
        mean, spread = float(np.mean(needed)), float(np.std(needed, ddof=1))
        reach = float(student.ppf(0.975, RUNS - 1)) * spread / math.sqrt(RUNS)
        rows.append({"size": network.size, "kind": name, "value": mean, "low": mean - reach, "high": mean + reach})
    return rows


def relaxations(name: str, steps: int) -> int:
    """Sweeps of one replica with phases of `steps` sweeps."""
    kind = KINDS[name]
    if kind is None:
        return steps
    return 3 * steps if kind[1] or kind[2] else 4 * steps


def draw(data: dict[str, Any]) -> Figure:
    """Error against nudging, optimum against samples, estimators at equal relaxations, against size."""
    with page.style():
        figure, (curves, powers, equal, large) = page.page(2, 2, height=5.6)
        _draw_curves(curves, data)
        _draw_powers(powers, data)
        _draw_equal(equal, data)
        for name in COMPARED:
            rows = [row for row in data["sampled"] if row["kind"] == name]
            colour, marker = LOOKS[name]
            x = [row["size"] for row in rows]
            page.points(large, x, rows, color=colour, marker=marker, markersize=3.5, linestyle="-", linewidth=0.7)
        large.set(xscale="log", yscale="log", xlabel="units $N$", ylabel="relaxations for 10 % noise, $β = T$")
        page.log_ticks(large.xaxis, sorted({row["size"] for row in data["sampled"]}))
    return figure


def _draw_curves(axis: Any, data: dict[str, Any]) -> None:
    grid, unit = np.array(data["nudgings"]), data["norm"] ** 2
    x = grid / data["temperature"]
    for name, face in (("symmetric, coupled", page.GLAUBER), ("symmetric, independent", "white")):
        square, variance = (np.array(data["exact"][name][key]) for key in ("square", "variance"))
        stated = Tradeoff(*data["leading"][name])
        for count in data["samples"]:
            colour, marker = LOOKS[name]
            axis.plot(
                x, (square + variance / count) / unit, color=colour, marker=marker, markersize=3, markerfacecolor=face,
                linestyle="none", label=name.split(", ")[1] if count == data["samples"][0] else None,
            )  # fmt: skip
            axis.plot(x, stated.mean_square_error(grid, count) / unit, color=colour, linestyle="--", linewidth=0.8)
            best = float(stated.best_nudging(count))
            axis.plot(
                best / data["temperature"], stated.least_error(count) / unit, marker="*", color=page.ONSAGER, markersize=7,
                zorder=4, linestyle="none",
            )  # fmt: skip
    lowest = min(float(Tradeoff(*data["leading"]["symmetric, coupled"]).least_error(n)) for n in data["samples"]) / unit
    axis.set(xscale="log", yscale="log", xlabel="nudging $β/T$", ylabel=r"mean square error $/\,\|g\|^2$")
    axis.set_ylim(lowest / 5, 3e3 * max(lowest, 1e-3))
    axis.legend(loc="lower right")


def _draw_powers(axis: Any, data: dict[str, Any]) -> None:
    many, unit = np.array(data["many"]), data["norm"] ** 2
    for name in POWERS:
        colour, marker = LOOKS[name]
        errors, stated = np.array(data["optima"][name]["error"]), Tradeoff(*data["leading"][name])
        fitted = np.polyfit(np.log(many[-3:]), np.log(errors[-3:]), 1)[0]
        face = colour if "coupled" in name else "white"
        axis.plot(
            many, errors / unit, color=colour, marker=marker, markersize=3, markerfacecolor=face, linestyle="none",
            label=f"{name}: $S^{{{fitted:.2f}}}$",
        )  # fmt: skip
        axis.plot(many, stated.least_error(many) / unit, color=colour, linestyle="--", linewidth=0.8)
    axis.plot(many, data["three_factor"] / many / unit, color=page.BOUND, linewidth=0.9, label="three-factor: $S^{-1}$")
    axis.set(xscale="log", yscale="log", xlabel="samples $S$", ylabel=r"least mean square error $/\,\|g\|^2$")
    axis.legend(loc="lower left", fontsize=6)


def _draw_equal(axis: Any, data: dict[str, Any]) -> None:
    many = np.array(data["many"])
    for name in COMPARED:
        colour, marker = LOOKS[name]
        errors = data["three_factor"] / many if KINDS[name] is None else np.array(data["optima"][name]["error"])
        axis.plot(
            many * relaxations(name, data["steps"]), np.sqrt(errors) / data["norm"], color=colour, marker=marker,
            markersize=3, linewidth=0.8, label=name,
        )  # fmt: skip
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="relaxations (sweeps × replicas)",
        ylabel="relative error at the best nudging",
    )
    axis.legend(loc="lower left", fontsize=6)


def main() -> None:
    """Compute and write figures/out/optimal_nudging.*."""
    page.publish("optimal_nudging", compute(), draw)


if __name__ == "__main__":
    main()
