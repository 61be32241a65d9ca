"""What N-point holomorphic EP misses, against the nudging, and where it stops converging (thm:C5c, thm:C2, thm:C2b).

Caption: relative error of the coupling gradient for N complex nudgings on a circle. (a) Exact Gibbs statistics, cost on spikes:
points are errors, lines the leading term a_{1+N}|β|^N; the legend gives fitted exponents with their intervals. Up to the
nearest zero β_0 of the partition function (solid; proven by ball arithmetic where that is installed; at least πT/R_C,
dashed) more points help; beyond it all N tend to the error −T∂Σ1/β_k of the zeros inside (grey). (b) The same at mean-field
fixed points, with the radii that thm:C2 (dashed) and thm:C2b (solid) prove. (c) The zeros of Z(β), the strip that has none,
and the disc of convergence.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from dynamics import exact_equilibrium_gradient, exact_gradient, nearest_zero, nudging_series, partition_zeros
from dynamics.enumeration import all_states
from figures import page
from figures.bias_study import relative_error
from figures.networks import FAMILIES
from meanfield import Gradient, Model, QuadraticCost, bounds, equilibrium_gradient, implicit_gradient
from meanfield.learning_rule import leading_bias
from meanfield.model import FloatArray
from meanfield.solve import ConvergenceError
from proofs_numeric.rigorous import installed
from proofs_numeric.verdicts import exponent_interval

POINTS = (2, 4, 6, 8)
COLOURS = (page.MEAN_FIELD, page.ONSAGER, page.GLAUBER, page.LEAKY)
# The fit uses nudgings from this share of the radius downwards, by this ratio.
FIT_FROM, FIT_RATIO, FITTED = 0.4, 1.25, 7
# Errors relative to the gradient that floating point resolves.
RESOLVED = 1e-13


def compute(
    *,
    size: int = 8,
    temperature: float = 1.0,
    nudgings: int = 25,
    seed: int = 1,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Errors at `nudgings` radii |β|, their leading terms and exponents, and the zeros; couplings SK, nudging over T."""
    network = FAMILIES["sk"](size, seed)
    # slopes without a common measure: Z(β) is no polynomial in disguise
    model, cost = network.at(temperature), QuadraticCost(network.cost.outputs, [0.95, 0.2])
    radius = abs(nearest_zero(model, cost))
    gibbs = _curves(model, cost, radius, nudgings, mean_field=False)
    report(0.4)
    local = bounds.local_holomorphy_radius(model, cost, "spikes")
    field = _curves(model, cost, local, nudgings, mean_field=True)
    report(0.8)
    strip = bounds.zero_free_radius(model, cost)
    zeros = partition_zeros(model, cost, within=6.5 * strip)
    beyond = radius * np.linspace(1.02, 2.0, 60)
    return {
        "size": size, "seed": seed, "temperature": temperature, "gibbs": gibbs, "mean_field": field,
        "zero_free": strip / temperature, "nearest": radius / temperature, "certified": _certified(model, cost),
        "holomorphy": bounds.holomorphy_radius(model, cost, "spikes") / temperature, "local_holomorphy": local / temperature,
        "zeros": [[float(zero.real) / temperature, float(zero.imag) / temperature] for zero in zeros],
        "beyond": {"nudging": (beyond / temperature).tolist(), "error": _beyond(model, cost, beyond)},
    }  # fmt: skip


def draw(data: dict[str, Any]) -> Figure:
    """Gibbs, mean field, zeros in the complex plane."""
    with page.style():
        figure, (gibbs, field, plane) = page.page(1, 3, height=2.75)
        _draw_curves(gibbs, data["gibbs"], "Gibbs")
        _draw_curves(field, data["mean_field"], "mean field")
        gibbs.plot(
            data["beyond"]["nudging"], data["beyond"]["error"], color=page.GREY, linewidth=2.5, alpha=0.7, zorder=1
        )
        gibbs.set_ylabel(r"relative error $\|\hat g-g\|/\|g\|$")
        proven = data["certified"] is not None
        _mark(gibbs, data["zero_free"], "--", r"$\pi T/R_C$")
        _mark(gibbs, data["nearest"], "-", r"$|\beta_0|$, proven" if proven else r"$|\beta_0|$")
        _mark(field, data["holomorphy"], "--", "C2")
        _mark(field, data["local_holomorphy"], "-", "C2b")
        _draw_plane(plane, data)
    return figure


def _curves(model: Model, cost: QuadraticCost, radius: float, count: int, *, mean_field: bool) -> dict[str, Any]:
    """Errors on a mesh of nudgings up to twice the radius, with leading coefficients and fitted exponents, for each N."""
    exact = implicit_gradient(model, cost, "spikes") if mean_field else exact_gradient(model, cost)
    norm = float(np.linalg.norm(exact.couplings))
    strengths = radius * np.geomspace(0.03, 2.0, count)
    scales = FIT_FROM * radius * FIT_RATIO ** -np.arange(FITTED)
    rows = []
    for points in POINTS:
        errors = [_error(model, cost, exact, float(strength), points, mean_field) for strength in strengths]
        fitted = [_error(model, cost, exact, float(scale), points, mean_field) for scale in scales]
        interval = exponent_interval(scales, np.array(fitted))
        coefficient = float(np.linalg.norm(_leading(model, cost, points, mean_field))) / norm
        rows.append({
            "points": points, "error": errors, "coefficient": coefficient * model.temperature**points,
            "exponent": {"low": interval.low, "high": interval.high},
        })  # fmt: skip
    return {"nudging": (strengths / model.temperature).tolist(), "rows": rows}


def _error(model: Model, cost: QuadraticCost, exact: Gradient, strength: float, points: int, mean_field: bool) -> float:
    """NaN where a nudged fixed point is lost."""
    setting: dict[str, Any] = {"nudging": strength, "estimator": "holomorphic", "points": points, "cost_on": "spikes"}
    try:
        estimate = (equilibrium_gradient if mean_field else exact_equilibrium_gradient)(model, cost, **setting)
    except ConvergenceError:
        return math.nan
    return relative_error(estimate, exact)


def _leading(model: Model, cost: QuadraticCost, points: int, mean_field: bool) -> FloatArray:
    """a_{1+N} of the coupling statistics."""
    if mean_field:
        return leading_bias(
            model, cost, nudging=1.0, estimator="holomorphic", points=points, cost_on="spikes"
        ).couplings
    return nudging_series(model, cost, order=points + 1)[-1].couplings


def _beyond(model: Model, cost: QuadraticCost, strengths: FloatArray) -> list[float]:
    """‖T∂Σ1/β_k‖ over the zeros inside each circle and their conjugates, relative to the gradient (thm:C5c (v))."""
    states = all_states(model.size)
    linear = states @ cost.force(model.size, "spikes")[1]
    norm = np.linalg.norm(exact_gradient(model, cost).couplings)
    off = ~np.eye(model.size, dtype=bool)
    energy, errors = model.energy(states), []
    moved = []
    for zero in partition_zeros(model, cost, within=float(strengths.max())):
        exponents = -(energy + zero * linear) / model.temperature
        terms = np.exp(exponents - exponents.real.max())
        # ∂β_k/∂J = −(∂Z/∂J)/(∂Z/∂β) = Σ w z zᵀ / Σ w c·z
        slope = (states * terms[:, None]).T @ states / (terms @ linear)
        moved.append((abs(zero), 2 * model.temperature * np.real(slope / zero**2) * off))
    for strength in strengths:
        total = sum((part for modulus, part in moved if modulus < strength), np.zeros_like(model.couplings))
        errors.append(float(np.linalg.norm(total) / norm))
    return errors


def _certified(model: Model, cost: QuadraticCost) -> dict[str, float] | None:
    """|β_0|/T proven by ball arithmetic, with the radius of its ball; None where python-flint is not installed."""
    if not installed():
        return None
    from proofs_numeric.balls import certify_nearest_zero

    modulus = certify_nearest_zero(model, cost).modulus / model.temperature
    return {"value": float(modulus.mid()), "radius": float(modulus.rad())}


def _draw_curves(axis: Any, curves: dict[str, Any], title: str) -> None:
    axis.set(xscale="log", yscale="log", xlabel=r"nudging $|\beta|/T$")
    axis.set_title(title, loc="center")
    x = np.array(curves["nudging"])
    for row, colour in zip(curves["rows"], COLOURS, strict=True):
        middle = 0.5 * (row["exponent"]["low"] + row["exponent"]["high"])
        reach = 0.5 * (row["exponent"]["high"] - row["exponent"]["low"])
        errors, leading = np.array(row["error"]), row["coefficient"] * x ** row["points"]
        seen = errors > RESOLVED
        axis.plot(x[seen], errors[seen], color=colour, linestyle="none", marker="o", markersize=2.5,
                  label=f"$N={row['points']}$: {middle:.2f}±{reach:.2f}")  # fmt: skip
        shown = (leading > RESOLVED) & (leading < 3.0)
        axis.plot(x[shown], leading[shown], color=colour, linewidth=0.9)
    axis.set_ylim(RESOLVED, 1e5)
    axis.legend(
        loc="upper left", title="fitted exponent", title_fontsize=6.5, fontsize=6.5, handletextpad=0.1, borderpad=0.0,
        frameon=True, edgecolor="none", framealpha=0.9,
    )  # fmt: skip


def _mark(axis: Any, where: float, line: str, text: str) -> None:
    axis.axvline(where, color=page.BOUND, linestyle=line, linewidth=0.9, zorder=0)
    axis.annotate(
        text, (where, 0.03), (-1.5, 0), xycoords=axis.get_xaxis_transform(), textcoords="offset points", rotation=90,
        fontsize=6.5, ha="right", va="bottom",
    )  # fmt: skip


def _draw_plane(axis: Any, data: dict[str, Any]) -> None:
    zeros = np.array(data["zeros"]).reshape(-1, 2)
    reach = 1.1 * max(np.abs(zeros).max(initial=0.0), data["nearest"])
    axis.axhspan(-data["zero_free"], data["zero_free"], color="#EEEEEE", zorder=0)
    axis.add_patch(Circle((0, 0), data["nearest"], fill=False, color=page.BOUND, linewidth=0.9))
    axis.add_patch(Circle((0, 0), data["zero_free"], fill=False, color=page.BOUND, linewidth=0.9, linestyle="--"))
    for sign in (1, -1):
        axis.plot(zeros[:, 0], sign * zeros[:, 1], linestyle="none", marker="x", color=page.ONSAGER)
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axis.set(xlabel=r"Re $\beta/T$", ylabel=r"Im $\beta/T$")
    axis.set_title(r"zeros of $Z(\beta)$, none in the strip", loc="center")


def main() -> None:
    """Compute and write figures/out/holomorphic_aliasing.*."""
    page.publish("holomorphic_aliasing", compute(), draw)


if __name__ == "__main__":
    main()
