"""Bias of the mean-field estimators against the nudging, with what is predicted and what is proven (thm:C2, thm:C2b, thm:C3).

Caption: largest bias over the couplings, relative to the largest entry of dC(m*)/dJ. (a) Measured (points) on the leading terms
from derivatives of the implicit function (lines), with fitted slopes; a random sign of the nudging is, in expectation, the
symmetric estimator. (b) The same points under the proven bounds: in closed form (dotted), with the leading coefficient exact
(dashed), with 16 exact coefficients (solid). Vertical lines: certified radii and the nearest singularity. (c) Tightness of these
bounds over random networks, nudged by 5 % to 95 % of the closed form's radius: exact coefficients and a certified disc turn
bounds that are loose by orders of magnitude into predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import page
from figures.networks import Network, family
from meanfield import (
    Gradient,
    HypothesisError,
    Model,
    QuadraticCost,
    bounds,
    equilibrium_gradient,
    implicit_gradient,
    leading_bias,
)
from proofs_numeric.instances import model_scalars, random_cost, random_model
from proofs_numeric.singularity import nearest_singularity
from proofs_numeric.verdicts import exponent_interval

# name: (estimator, points, power of the nudging, colour)
ESTIMATORS: dict[str, tuple[str, int, int, str]] = {
    "one-sided": ("one-sided", 2, 1, page.ONSAGER),
    "symmetric": ("symmetric", 2, 2, page.MEAN_FIELD),
    "holomorphic, 4 points": ("holomorphic", 4, 4, page.GLAUBER),
    "holomorphic, 8 points": ("holomorphic", 8, 8, page.LEAKY),
}
ORDERS = {"closed form": 0, "leading coefficient": 1, "16 coefficients": 16}
LOOKS = {"closed form": ":", "leading coefficient": "--", "16 coefficients": "-"}


def compute(
    *,
    size: int = 8,
    temperature: float = 1.0,
    shares: Sequence[float] = tuple(np.geomspace(0.02, 0.97, 18)),
    instances: int = 120,
    seed: int = 3,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Biases, leading terms and bounds of one network at shares of its certified radius; tightness over `instances` networks."""
    network = family("layered", size, seed)
    model = network.at(temperature)
    local = bounds.local_holomorphy_radius(model, network.cost)
    radii = {
        "closed form": bounds.holomorphy_radius(model, network.cost) if model.row_gain < 1 else None,
        "certified": local,
        "singularity": nearest_singularity(model, network.cost, "rates", local)[0],
    }
    nudgings = [float(share) * local for share in shares]
    lines = []
    for done, (name, (estimator, points, power, _)) in enumerate(ESTIMATORS.items()):
        asked = {"estimator": estimator, "points": points}
        lines.append({"name": name, **_slope(model, network, asked, power, local)})
        lines[-1]["rows"] = [_row(model, network.cost, nudging, asked) for nudging in nudgings]
        report(0.5 * (done + 1) / len(ESTIMATORS))
    tightness = _tightness(instances, seed, report)
    return {
        "size": size, "temperature": temperature, "seed": seed, "row_gain": model.row_gain, "radii": radii,
        "lines": lines, "tightness": tightness,
    }  # fmt: skip


def draw(data: dict[str, Any]) -> Figure:
    """Three panels: leading terms, bounds, distribution of the tightness."""
    with page.style():
        figure, (left, middle, right) = page.page(1, 3, height=3.2)
        for axes in (left, middle):
            axes.set(xscale="log", yscale="log", xlabel="nudging $β$", ylim=(1e-13, 1e4))
            _draw_points(axes, data, slopes=axes is left)
        left.set_ylabel("relative bias of $dC/dJ$")
        for line in data["lines"]:
            colour, rows = ESTIMATORS[line["name"]][3], line["rows"]
            x = [row["nudging"] for row in rows]
            left.plot(x, [row["leading"] for row in rows], color=colour, linewidth=0.9)
            for name, look in LOOKS.items():
                heights = [row["bounds"][name] for row in rows]
                middle.plot(
                    x, [np.nan if h is None else h for h in heights], color=colour, linestyle=look, linewidth=0.9
                )
        _draw_radii(middle, data["radii"])
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        _draw_tightness(right, data["tightness"])
    return figure


def _slope(model: Model, network: Network, asked: dict[str, Any], power: int, radius: float) -> dict[str, float]:
    """The fitted exponent of the entry with the largest leading bias, and its interval."""
    exact = implicit_gradient(model, network.cost).couplings
    lead = leading_bias(model, network.cost, nudging=radius, **asked).couplings
    entry = np.unravel_index(np.abs(lead).argmax(), lead.shape)
    step = 0.5 if power < 3 else 0.7 if power < 6 else 0.8
    scales = [0.5 * radius * step**k for k in range(6)]
    found = [
        abs(equilibrium_gradient(model, network.cost, nudging=scale, **asked).couplings[entry] - exact[entry])
        for scale in scales
    ]
    bracket = exponent_interval(scales, found)
    return {"slope": 0.5 * (bracket.low + bracket.high), "low": bracket.low, "high": bracket.high}


def _row(model: Model, cost: QuadraticCost, nudging: float, asked: dict[str, Any]) -> dict[str, Any]:
    exact = implicit_gradient(model, cost).couplings
    unit = float(np.abs(exact).max())
    estimate = equilibrium_gradient(model, cost, nudging=nudging, **asked).couplings
    row: dict[str, Any] = {
        "nudging": nudging,
        "bias": float(np.abs(estimate - exact).max()) / unit,
        "leading": _largest(leading_bias(model, cost, nudging=nudging, **asked)) / unit,
        "bounds": {},
    }
    if asked["estimator"] == "symmetric":
        signs = [
            equilibrium_gradient(model, cost, nudging=s * nudging, estimator="one-sided").couplings for s in (1, -1)
        ]
        row["random_sign"] = float(np.abs(0.5 * (signs[0] + signs[1]) - exact).max()) / unit
    for name, order in ORDERS.items():
        try:
            if order:
                bound = _largest(bounds.local_estimator_bias(model, cost, nudging=nudging, order=order, **asked))
            else:
                bound = bounds.estimator_bias(model, cost, nudging=nudging, order=0, **asked)
        except HypothesisError:
            row["bounds"][name] = None
        else:
            row["bounds"][name] = bound / unit
    return row


def _largest(gradient: Gradient) -> float:
    return float(np.abs(gradient.couplings).max())


def _tightness(instances: int, seed: int, report: page.Report) -> dict[str, list[float]]:
    """Largest bias over the bound, sorted, for random networks, costs, estimators and nudgings; where digits can tell."""
    generator = np.random.default_rng([seed, instances])
    domain = model_scalars(6, smallest=2)
    found: dict[str, list[float]] = {name: [] for name in ORDERS}
    for done in range(instances):
        scalars: dict[str, Any] = {name: interval.draw(generator) for name, interval in domain.items()}
        model = random_model("row", **scalars)
        cost = random_cost(model.size, scalars["seed"])
        estimator, points, _, _ = list(ESTIMATORS.values())[generator.integers(len(ESTIMATORS))]
        asked = {
            "nudging": generator.uniform(0.05, 0.95) * bounds.holomorphy_radius(model, cost),
            "estimator": estimator, "points": points,
        }  # fmt: skip
        estimate, exact = equilibrium_gradient(model, cost, **asked), implicit_gradient(model, cost)
        bias = float(np.abs(estimate.couplings - exact.couplings).max())
        if bias > 1e-10 / asked["nudging"]:
            for name, order in ORDERS.items():
                found[name].append(bias / bounds.estimator_bias(model, cost, order=order, **asked))
        report(0.5 + 0.5 * (done + 1) / instances)
    return {name: sorted(values) for name, values in found.items()}


def _draw_points(axes: Axes, data: dict[str, Any], *, slopes: bool) -> None:
    for line in data["lines"]:
        rows = [row for row in line["rows"] if row["bias"] > 1e-13]
        text = (
            f"{line['name']}: slope {line['slope']:.2f} ± {0.5 * (line['high'] - line['low']):.2f}" if slopes else None
        )
        colour = ESTIMATORS[line["name"]][3]
        axes.plot(
            [row["nudging"] for row in rows],
            [row["bias"] for row in rows],
            "o",
            color=colour,
            markersize=2.5,
            label=text,
        )
        if line["name"] == "symmetric":
            axes.plot(
                [row["nudging"] for row in rows], [row["random_sign"] for row in rows], "o", color=colour, markersize=5,
                markerfacecolor="none", markeredgewidth=0.6, label="random sign, mean" if slopes else None,
            )  # fmt: skip


def _draw_radii(axes: Axes, radii: dict[str, float | None]) -> None:
    for (name, radius), look in zip(radii.items(), (":", "-", "-."), strict=True):
        if radius is not None:
            axes.axvline(radius, color=page.GREY, linestyle=look, linewidth=0.9)
            axes.text(radius, 2e-13, f" {name}", rotation=90, fontsize=5.5, color="#555555", ha="right", va="bottom")


def _draw_tightness(axes: Axes, tightness: dict[str, list[float]]) -> None:
    for name, values in tightness.items():
        shares = (np.arange(len(values)) + 0.5) / len(values)
        label = f"{name}\n(median {np.median(values):.2g})"
        axes.plot(values, shares, color=page.BOUND, linestyle=LOOKS[name], linewidth=1.0, label=label)
    axes.set(xscale="log", xlim=(1e-9, 2), ylim=(0, 1), xlabel="bias / bound", ylabel="share of networks")
    axes.legend(loc="upper left", fontsize=5.5)


def main() -> None:
    """Compute and write figures/out/nudging_bias.*."""
    page.publish("nudging_bias", compute(), draw)


if __name__ == "__main__":
    main()
