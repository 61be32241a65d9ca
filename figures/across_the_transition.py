"""Leaky spikes below, at and above the transition κ = 1: what bounds and predicts them there (thm:A5c, thm:B11b, thm:B11, thm:B4).

Caption: traces started at a fixed point m* and run for many relaxation times, against the global gain κ (J fixed, temperature
lowered). Top: tracking error. Middle: shift of the means. Points: simulation, 95 % intervals, filled: all replicas, open:
those that are still nearest to m*. Orange dashed: linear noise (B11), from local slopes alone. Black: the global bound (B4,
B5), which stops at κ = 1 (shaded beyond). Blue: the bound in the ball about m* (B11b), solid where the noise fits into
the ball, dotted where it does not. Bottom: global gain, gain in the ball, local gain, and the share of replicas that have
passed to another fixed point (hatched: several exist): near the transition the linear theory fails because spikes wander
between states, and deeper it holds again until rare passages take over.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from dynamics import sample
from figures import page
from figures.networks import FAMILIES
from meanfield import HypothesisError, Model, MultistabilityWarning, bounds, contraction_rate, fixed_point, linear_noise

NAMES = ("ferromagnet", "sk", "layered")
TITLES = {"ferromagnet": r"$J_{ij}=2/N$", "sk": r"$J_{ij}\sim\mathcal{N}(0,1/N)$", "layered": "layered"}
# The noise fits into a ball when the bound on its mean square is below this share of the radius': out at one time with at
# most this probability.
FITS = 0.5
SHARES = np.geomspace(0.1, 2.0, 16)
# fewer replicas than this give no interval
FEWEST = 30


def compute(
    *,
    size: int = 12,
    gains: Sequence[float] = (0.3, 0.45, 0.65, 0.85, 0.97, 1.1, 1.25, 1.5, 1.8, 2.2, 3.0),
    leak: float = 0.1,
    steps: int = 400,
    replicas: int = 800,
    seed: int = 2,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """One row a family and a gain: simulated moments beside the global bounds, the ball's and the linear noise theory."""
    cells = [(name, gain) for name in NAMES for gain in gains]
    rows = []
    for done, (name, gain) in enumerate(cells):
        network = FAMILIES[name](size, seed)
        model = network.at(network.at(1.0).gain / gain)
        rows.append({"couplings": name, "gain": gain, **_row(model, leak, steps, replicas, seed)})
        report((done + 1) / len(cells))
    return {"size": size, "leak": leak, "steps": steps, "replicas": replicas, "seed": seed, "rows": rows}


def _row(model: Model, leak: float, steps: int, replicas: int, seed: int) -> dict[str, Any]:
    point = fixed_point(model, start=np.zeros(model.size), method="newton").value
    states = sample(model, dynamics="leaky", leak=leak, steps=steps, replicas=replicas, seed=seed, start=point).states
    others = _other_stable_points(model, point)
    squares = ((states - point) ** 2).sum(axis=1)
    passed = np.zeros(replicas, dtype=bool)
    for other in others:
        passed |= ((states - other) ** 2).sum(axis=1) < squares
    covariance, shift = linear_noise(model, point, leak)
    shifts = (states - point) @ np.sign(shift) / model.size
    return {
        "local_gain": _local_gain(model, point), "stable_points": 1 + len(others),
        "passed": {"value": float(passed.mean()), **_share_interval(passed)},
        "tracking": _interval(squares / model.size), "tracking_stayed": _interval(squares[~passed] / model.size),
        "tracking_linear": float(np.trace(covariance) + shift @ shift) / model.size,
        "shift": _interval(shifts), "shift_stayed": _interval(shifts[~passed]),
        "shift_linear": float(np.abs(shift).mean()),
        **_global_bounds(model, leak), **_ball(model, point, leak, steps),
    }  # fmt: skip


def _global_bounds(model: Model, leak: float) -> dict[str, float | None]:
    tracking = bounds.leaky_tracking(model, leak=leak) / model.size if model.gain < 1 else None
    shift = float(bounds.leaky_mean_error(model, leak=leak).mean()) if model.absolute_gain < 1 else None
    return {"tracking_bound": tracking, "shift_bound": shift}


def _ball(model: Model, point: np.ndarray, leak: float, steps: int) -> dict[str, Any]:
    """What thm:B11b says in the ball with the least bound among those that the noise fits into."""
    try:
        first = bounds.local_contraction(model, point)
    except HypothesisError:
        return {"ball_gain": None, "ball_tracking": None, "ball_shift": None, "fits": False, "leave": 1.0}
    choices = [_in_ball(model, point, leak, first.radius * share) for share in SHARES if np.isfinite(first.radius)]
    fitting = [one for one in choices if one is not None and one["fits"]]
    best = min(fitting, key=lambda one: one["ball_tracking"]) if fitting else _in_ball(model, point, leak, first.radius)
    assert best is not None
    return {**best, "leave": bounds.exit_probability(model, point, leak=leak, steps=steps)}


def _in_ball(model: Model, point: np.ndarray, leak: float, radius: float) -> dict[str, Any] | None:
    """The bounds in one ball; None where it does not contract. ‖·‖₁/N ≤ ‖·‖₂/√N."""
    chosen = None if np.isinf(radius) else radius
    try:
        ball = bounds.local_contraction(model, point, radius=chosen)
    except HypothesisError:
        return None
    tracking = bounds.local_tracking(model, point, leak=leak, radius=chosen)
    shift = bounds.local_mean_error(model, point, leak=leak, radius=chosen)
    return {
        "ball_gain": ball.gain, "ball_tracking": tracking / model.size, "ball_shift": shift / float(np.sqrt(model.size)),
        "fits": bool(tracking / ball.slopes.max() <= FITS * ball.radius**2),
    }  # fmt: skip


def _local_gain(model: Model, point: np.ndarray) -> float:
    """The spectral radius of diag(v)J/T."""
    return contraction_rate(model, point)


def _other_stable_points(model: Model, point: np.ndarray) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultistabilityWarning)
        found = fixed_point(model, method="newton")
    return [
        other
        for other in (found.value, *found.others)
        if np.abs(other - point).max() > 1e-6 and _local_gain(model, other) < 1
    ]


def _interval(values: np.ndarray) -> dict[str, float] | None:
    """{value, low, high}: mean and its 95 % Student interval; None of too few."""
    if len(values) < FEWEST:
        return None
    mean = float(values.mean())
    reach = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": mean, "low": mean - reach, "high": mean + reach}


def _share_interval(hits: np.ndarray) -> dict[str, float]:
    """Wilson's 95 % interval of a share."""
    count, share, quantile = len(hits), float(hits.mean()), 1.96
    centre = (share + quantile**2 / (2 * count)) / (1 + quantile**2 / count)
    reach = quantile * np.sqrt(share * (1 - share) / count + quantile**2 / (4 * count**2)) / (1 + quantile**2 / count)
    return {"low": max(0.0, float(centre - reach)), "high": float(centre + reach)}


def draw(data: dict[str, Any]) -> Figure:
    """Three columns, one a family; rows: tracking error, mean shift, gains and passages."""
    with page.style():
        figure, axes = page.page(3, 3, height=6.4)
        for column, name in enumerate(NAMES):
            rows = [row for row in data["rows"] if row["couplings"] == name]
            tracking, shift, gains = axes[column], axes[3 + column], axes[6 + column]
            tracking.set_title(TITLES[name], loc="center", fontsize=7)
            _draw_errors(tracking, rows, "tracking")
            _draw_errors(shift, rows, "shift")
            _draw_gains(gains, rows)
            for axis in (tracking, shift, gains):
                _shade(axis, rows, tracking is axis)
            gains.set_xlabel("$κ$")
        axes[0].set_ylabel(r"$\mathrm{E}\,\|s-m^*\|^2/N$")
        axes[3].set_ylabel(r"mean shift $\|\mathrm{E}\,s-m^*\|_1/N$")
        axes[6].set_ylabel("gain; share passed")
        handles: dict[str, Any] = {}
        for axis in (axes[0], axes[6]):
            found, labels = axis.get_legend_handles_labels()
            handles.update(zip(labels, found, strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=5)
    return figure


def _draw_errors(axis: Any, rows: list[dict[str, Any]], key: str) -> None:
    x = np.array([row["gain"] for row in rows])
    axis.set(xscale="log", yscale="log")
    axis.plot(x, [row[f"{key}_linear"] for row in rows], color=page.ONSAGER, linestyle="--", label="linear noise")
    _line(axis, x, [row[f"{key}_bound"] for row in rows], color=page.BOUND, label="global bound")
    ball = [row[f"ball_{key}"] for row in rows]
    fitting = [row[f"ball_{key}"] if row["fits"] else None for row in rows]
    _line(axis, x, ball, color=page.MEAN_FIELD, linestyle=":", linewidth=0.9, label="_ball")
    _line(axis, x, fitting, color=page.MEAN_FIELD, label="bound in the ball")
    for suffix, face, label in (("", page.LEAKY, "all replicas"), ("_stayed", "white", "those nearest to $m^*$")):
        chosen = [(row["gain"], row[f"{key}{suffix}"]) for row in rows if row[f"{key}{suffix}"] is not None]
        page.points(
            axis, [gain for gain, _ in chosen], [value for _, value in chosen], color=page.LEAKY,
            markerfacecolor=face, label=label, zorder=3 if suffix else 4,
        )  # fmt: skip
    lowest = min(row[f"{key}_linear"] for row in rows)
    axis.set_ylim(bottom=0.3 * lowest, top=2.0 if key == "tracking" else 5.0)
    page.log_ticks(axis.xaxis, [0.3, 0.5, 1.0, 2.0, 3.0])


def _draw_gains(axis: Any, rows: list[dict[str, Any]]) -> None:
    x = np.array([row["gain"] for row in rows])
    axis.set(xscale="log", ylim=(-0.05, 1.6))
    axis.axhline(1.0, color=page.GREY, linewidth=0.6)
    axis.plot(x, x, color=page.BOUND, label="global gain $κ$")
    _line(axis, x, [row["ball_gain"] for row in rows], color=page.MEAN_FIELD, label=r"$\hatκ$ in the ball")
    axis.plot(x, [row["local_gain"] for row in rows], color=page.ONSAGER, linestyle="--", label="local gain")
    several = [row for row in rows if row["stable_points"] > 1]
    page.points(
        axis, [row["gain"] for row in several], [row["passed"] for row in several], color=page.GLAUBER,
        label="share passed to another fixed point",
    )  # fmt: skip
    page.log_ticks(axis.xaxis, [0.3, 0.5, 1.0, 2.0, 3.0])


def _line(axis: Any, x: np.ndarray, values: Sequence[float | None], **look: Any) -> None:
    axis.plot(x, [np.nan if value is None else value for value in values], **look)


def _shade(axis: Any, rows: list[dict[str, Any]], named: bool) -> None:
    last = rows[-1]["gain"]
    axis.set_xlim(0.95 * rows[0]["gain"], 1.05 * last)
    if last > 1:
        page.shade(axis, 1.0, 1.05 * last, "")
    several = [row["gain"] for row in rows if row["stable_points"] > 1]
    if several:
        page.shade(axis, min(several), 1.05 * last, "several fixed points" if named else "", hatch=True, height=0.42)


def main() -> None:
    """Compute and write figures/out/across_the_transition.*."""
    page.publish("across_the_transition", compute(), draw)


if __name__ == "__main__":
    main()
