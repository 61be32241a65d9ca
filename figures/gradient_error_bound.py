"""The mean-field gradient's error and its bounds, and where Onsager's term pays (thm:C6, thm:C6b, thm:C7).

Caption: the error of the mean-field gradient of a cost on spikes against Gibbs' exact one (blue), its a-priori bound C6
(black, dashed) and its a-posteriori bound C6b (black), as Euclidean norms over the couplings relative to the gradient's:
(a) against T on one SK network; (b) against N at κ_a = ½, medians over instances. C6b keeps the leading terms and follows
the error within a small factor down to the T⁻² law; C6 does not. (c, d) Tightness, the largest measured/bound over the
entries, against κ_a and N on the claims' own distribution of networks: medians with 10 to 90 % bands. (e) Error of
Onsager-corrected EP over that of plain EP against κ: it gains a factor of order 1/κ, and loses on some networks above
κ ≈ 2. (f) Multiply-adds a synapse until the undamped iteration has settled to 1e-6 (medians), and the shares of networks
where the corrected gradient is worse (dashed) and where the corrected iteration never settles (dotted).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynamics import exact_gradient
from figures import page
from figures.bias_study import quietly, relative_error
from figures.networks import sk
from meanfield import ConvergenceError, Gradient, Model, QuadraticCost, bounds, fixed_point, implicit_gradient
from proofs_numeric.instances import FIELDS, SHAPES, random_cost, random_model

# The dependence on N is shown at this κ_a.
SIZE_GAIN = 0.5
# Shape and field of the networks that Onsager's term is tried on: dense couplings of both signs, fields of order T.
DENSE, UNIT_FIELD = 4, 2
SETTLED, MOST_STEPS = 1e-6, 400
# Multiply-adds a synapse and step: the field in both directions, and again for the squared couplings.
WORK = {"none": 2, "onsager": 4}


def compute(
    *,
    size: int = 8,
    temperatures: Sequence[float] = tuple(float(t) for t in np.geomspace(0.3, 16.0, 18)),
    sizes: Sequence[int] = (2, 3, 4, 5, 6, 7, 8),
    gains: Sequence[float] = (0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.97),
    strengths: Sequence[float] = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0),
    instances: int = 20,
    seed: int = 0,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Errors and bounds against T and N, their ratios against κ_a and N, and Onsager's gain and cost against κ."""
    network = sk(size, seed)
    rows = [{"temperature": t, **_errors(network.at(t), network.cost)} for t in temperatures]
    report(0.1)
    by_size = [
        {"size": count, **_medians([_errors(*_network(count, SIZE_GAIN, k, DENSE, UNIT_FIELD, seed)) for k in range(instances)])}
        for count in sizes
    ]  # fmt: skip
    report(0.3)
    tightness = {}
    for done, (name, values) in enumerate((("gain", gains), ("size", sizes))):
        tightness[name] = []
        for value in values:
            draws = [
                _tightness(
                    *_network(value if name == "size" else None, value if name == "gain" else None, k, None, None, seed)
                )
                for k in range(instances)
            ]
            tightness[name].append({name: value, **_bands(draws)})
        report(0.3 + 0.2 * (done + 1))
    onsager = []
    for done, strength in enumerate(strengths):
        cells = [_onsager(*_network(size, strength, k, DENSE, UNIT_FIELD, seed, "spectral")) for k in range(instances)]
        onsager.append({"gain": strength, **_gains_and_costs(cells)})
        report(0.7 + 0.3 * (done + 1) / len(strengths))
    return {
        "size": size, "seed": seed, "instances": instances, "against_temperature": rows, "against_size": by_size,
        "tightness": tightness, "onsager": onsager,
    }  # fmt: skip


def _network(
    size: float | None,
    gain: float | None,
    instance: int,
    shape: int | None,
    field: int | None,
    seed: int,
    norm: str = "absolute",
) -> tuple[Model, QuadraticCost]:
    """A network and a cost of the claims' distribution; None draws that scalar too. Shapes without couplings are left out."""
    generator = np.random.default_rng([seed, instance])
    drawn = int(generator.integers(2, 9)), float(generator.uniform(0.02, 0.98))
    kinds = int(generator.integers(0, len(SHAPES) - 1)), int(generator.integers(0, len(FIELDS)))
    number = int(generator.integers(2**31))
    model = random_model(
        norm, size=int(drawn[0] if size is None else size), gain=drawn[1] if gain is None else gain, log_temperature=0.0,
        shape=kinds[0] if shape is None else shape, field=kinds[1] if field is None else field, seed=number,
    )  # fmt: skip
    return model, random_cost(model.size, number)


def _errors(model: Model, cost: QuadraticCost) -> dict[str, float]:
    """Error and bounds over the couplings relative to the exact gradient's norm; bounds are NaN where κ_a ≥ 1."""
    exact = exact_gradient(model, cost)
    norm = float(np.linalg.norm(exact.couplings))
    values = {
        kind: quietly(
            lambda kind=kind: relative_error(implicit_gradient(model, cost, "spikes", correction=kind), exact)
        )
        for kind in ("none", "onsager")
    }
    apriori = local = math.nan
    if model.absolute_gain < 1:
        apriori = float(np.linalg.norm(bounds.gradient_error(model, cost).couplings)) / norm
        local = float(np.linalg.norm(bounds.local_gradient_error(model, cost).couplings)) / norm
    return {
        "mean_field": values["none"], "onsager": values["onsager"], "apriori": apriori, "local": local,
        "absolute_gain": model.absolute_gain,
    }  # fmt: skip


def _tightness(model: Model, cost: QuadraticCost) -> dict[str, float]:
    """Largest and middle measured/bound over a network's entries, both bounds; entries lost in rounding are left out."""
    exact, naive = exact_gradient(model, cost), implicit_gradient(model, cost, "spikes")
    error = _entries(Gradient(*(np.abs(one - other) for one, other in zip(exact, naive, strict=True))))
    result = {}
    for name, bound in (
        ("apriori", _entries(bounds.gradient_error(model, cost))),
        ("local", _entries(bounds.local_gradient_error(model, cost))),
    ):
        telling = bound > 1e-11
        ratios = error[telling] / bound[telling]
        result[name] = float(ratios.max()) if telling.any() else math.nan
        result[f"{name}_entry"] = float(np.median(ratios)) if telling.any() else math.nan
    return result


def _entries(gradient: Gradient) -> np.ndarray[Any, Any]:
    return np.concatenate([gradient.bias, gradient.couplings[np.triu_indices(gradient.bias.size, 1)]])


def _onsager(model: Model, cost: QuadraticCost) -> dict[str, float]:
    """Ratio of the two errors and both multiply-adds a synapse; inf where a fixed point is not found, or not settled on."""
    exact = exact_gradient(model, cost)
    error, work = {}, {}
    for kind in ("none", "onsager"):
        error[kind] = quietly(lambda kind=kind: _error(model, cost, exact, kind))
        run = quietly(lambda kind=kind: fixed_point(
            model, correction=kind, damping=0.0, tolerance=SETTLED, max_steps=MOST_STEPS, throw=False,
            start=np.full(model.size, 0.5),
        ))  # fmt: skip
        work[kind] = float(WORK[kind] * run.steps) if run.converged else math.inf
    return {"ratio": error["onsager"] / error["none"], "plain": work["none"], "corrected": work["onsager"]}


def _error(model: Model, cost: QuadraticCost, exact: Gradient, kind: str) -> float:
    try:
        return relative_error(implicit_gradient(model, cost, "spikes", correction=kind), exact)
    except (ConvergenceError, ValueError):
        return math.inf


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.median([row[key] for row in rows])) for key in rows[0]}


def _bands(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """{value, low, high}: median, 10 % and 90 % quantile over the instances that have a value."""
    result = {}
    for key in rows[0]:
        values = np.array([row[key] for row in rows])
        values = values[~np.isnan(values)]
        low, middle, high = np.quantile(values, (0.1, 0.5, 0.9), method="nearest")
        result[key] = {"value": float(middle), "low": float(low), "high": float(high)}
    return result


def _gains_and_costs(cells: list[dict[str, float]]) -> dict[str, Any]:
    """Bands of the ratio and of both costs, None where they are infinite; the shares made worse and never settling."""
    bands: dict[str, Any] = _bands(cells)
    finite: Callable[[float], float | None] = lambda value: value if math.isfinite(value) else None  # noqa: E731
    return {
        **{key: {end: finite(value) for end, value in band.items()} for key, band in bands.items()},
        "worse": float(np.mean([cell["ratio"] > 1 for cell in cells])),
        "unsettled": float(np.mean([math.isinf(cell["corrected"]) for cell in cells])),
        "plain_unsettled": float(np.mean([math.isinf(cell["plain"]) for cell in cells])),
    }


def draw(data: dict[str, Any]) -> Figure:
    """Bounds against T and N, their tightness against κ_a and N, Onsager's gain and its cost against κ."""
    with page.style():
        figure, axes = page.page(2, 3, height=4.6)
        _draw_errors(axes[0], data["against_temperature"], "temperature")
        rows = data["against_temperature"]
        start = rows[0]["temperature"] * 0.93
        page.shade(axes[0], start, max(start, rows[0]["absolute_gain"] * rows[0]["temperature"]), r"$\kappa_a\geq 1$")
        axes[0].set_xlim(start, rows[-1]["temperature"] * 1.5)
        page.guide(
            axes[0], (rows[-5]["temperature"], rows[-1]["temperature"]), -2, rows[-5]["mean_field"] * 0.3, "$T^{-2}$"
        )
        page.log_ticks(axes[0].xaxis, [t for t in (0.5, 1, 2, 4, 8, 16) if t <= rows[-1]["temperature"]])
        axes[0].set(xlabel="temperature $T$", ylabel="relative gradient error")
        axes[0].set_title(f"SK, $N={data['size']}$, $b$ fixed", loc="center", fontsize=7)
        _draw_errors(axes[1], data["against_size"], "size")
        page.log_ticks(axes[1].xaxis, [row["size"] for row in data["against_size"]])
        axes[1].set(xlabel="units $N$")
        axes[1].set_title(rf"$\kappa_a={SIZE_GAIN:g}$, medians", loc="center", fontsize=7)
        for axis, name, label in ((axes[2], "gain", r"$\kappa_a=\Vert|J|\Vert_2/4T$"), (axes[3], "size", "units $N$")):
            _draw_tightness(axis, data["tightness"][name], name)
            axis.set(xlabel=label, ylabel="tightness, measured / bound", yscale="log", ylim=(1e-4, 1.5))
        _draw_gain(axes[4], data["onsager"])
        _draw_cost(axes[5], data["onsager"])
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def _draw_errors(axis: Axes, rows: list[dict[str, Any]], against: str) -> None:
    x = [row[against] for row in rows]
    axis.set(xscale="log", yscale="log")
    for key, colour, line, text in (
        ("apriori", page.BOUND, "--", "bound C6"),
        ("local", page.BOUND, "-", "bound C6b"),
        ("mean_field", page.MEAN_FIELD, "-", "mean field"),
        ("onsager", page.ONSAGER, "-", "Onsager-corrected"),
    ):
        marker = "o" if key in ("mean_field", "onsager") else None
        axis.plot(
            x, [row[key] for row in rows], color=colour, linestyle=line, marker=marker, markersize=2.5, label=text
        )


def _draw_tightness(axis: Axes, rows: list[dict[str, Any]], against: str) -> None:
    x = [row[against] for row in rows]
    for key, line in (("apriori", "--"), ("local", "-")):
        low, middle, high = ([max(row[key][end], 1e-9) for row in rows] for end in ("low", "value", "high"))
        axis.fill_between(x, low, high, color=page.GREY, alpha=0.15 if key == "apriori" else 0.3, linewidth=0)
        axis.plot(x, middle, color=page.BOUND, linestyle=line, marker="o", markersize=2.5)
    axis.axhline(0.1, color=page.GREY, linewidth=0.7, linestyle=":")


def _draw_gain(axis: Axes, rows: list[dict[str, Any]]) -> None:
    axis.set(xscale="log", yscale="log", xlabel=r"$\kappa=\Vert J\Vert_2/4T$", ylabel="error, corrected / plain")
    told = [row for row in rows if row["ratio"]["high"] is not None]
    x = [row["gain"] for row in told]
    axis.fill_between(
        x,
        [row["ratio"]["low"] for row in told],
        [row["ratio"]["high"] for row in told],
        color=page.ONSAGER,
        alpha=0.25,
        linewidth=0,
    )
    axis.plot(x, [row["ratio"]["value"] for row in told], color=page.ONSAGER, marker="o", markersize=2.5)
    axis.axhline(1.0, color=page.BOUND, linewidth=0.7)
    axis.text(0.04, 0.96, "hurts above 1", transform=axis.transAxes, va="top", fontsize=6.5)
    page.log_ticks(axis.xaxis, (0.1, 0.3, 1, 3))


def _draw_cost(axis: Axes, rows: list[dict[str, Any]]) -> None:
    axis.set(xscale="log", yscale="log", xlabel=r"$\kappa=\Vert J\Vert_2/4T$", ylabel="multiply-adds a synapse")
    for key, colour in (("plain", page.MEAN_FIELD), ("corrected", page.ONSAGER)):
        told = [row for row in rows if row[key]["value"] is not None]
        axis.plot(
            [row["gain"] for row in told], [row[key]["value"] for row in told], color=colour, marker="o", markersize=2.5
        )
    shares = axis.twinx()
    shares.set(ylim=(0, 1.02), ylabel="share of networks")
    x = [row["gain"] for row in rows]
    shares.plot(x, [row["worse"] for row in rows], color=page.GREY, linestyle="--")
    shares.plot(x, [row["unsettled"] for row in rows], color=page.GREY, linestyle=":")
    middle = len(rows) // 2 + 1
    shares.annotate(
        "never settles", (x[middle], rows[middle]["unsettled"]), (6, -6), textcoords="offset points", fontsize=6.5
    )
    shares.annotate("worse", (x[-1], rows[-1]["worse"]), (-2, 4), textcoords="offset points", ha="right", fontsize=6.5)
    page.log_ticks(axis.xaxis, (0.1, 0.3, 1, 3))
    page.log_ticks(axis.yaxis, (10, 20, 50, 100, 200, 500))


def main() -> None:
    """Compute and write figures/out/gradient_error_bound.*."""
    page.publish("gradient_error_bound", compute(), draw)


if __name__ == "__main__":
    main()
