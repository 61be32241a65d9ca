"""How far leaky spikes stay from the deterministic fixed point, against the leak (thm:B4, thm:B5, thm:B11).

Caption: stationary traces of leaky spikes with K spiking copies a neuron. (a) Tracking error E‖s − m*‖² with the bound B4;
(b) largest eigenvalue of the covariance with the dimension-free bound B5; (c) shift of the means
averaged over units, each with the sign that B11 predicts, with B5's bound. Points: simulation, 95 % intervals, an arrow
where one reaches 0; solid lines: bounds; dashed: linear noise (B11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from dynamics import sample
from figures import page
from figures.networks import FAMILIES, Network
from meanfield import Model, bounds, fixed_point, linear_noise

# A phase ends this many relaxation times 1/(ε(1−κ)) after its start at the fixed point.
RELAXATION_TIMES = 6
GROUPS = 20


def compute(
    *,
    size: int = 12,
    temperature: float = 0.75,
    leaks: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    copies: Sequence[int] = (1, 4),
    replicas: int = 10000,
    seed: int = 2,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Moments of `replicas` traces for every family, leak and K, beside the bounds and the linear noise theory."""
    cells = [(name, count, leak) for name in ("sk", "ferromagnet") for count in copies for leak in leaks]
    rows = []
    for done, (name, count, leak) in enumerate(cells):
        model = _network(name, size, seed).at(temperature)
        rows.append({"couplings": name, "copies": count, "leak": leak, **_row(model, leak, count, replicas, seed)})
        report((done + 1) / len(cells))
    gains = {row["couplings"]: (row["gain"], row["absolute_gain"]) for row in rows}
    return {"size": size, "temperature": temperature, "seed": seed, "gains": gains, "rows": rows}


def draw(data: dict[str, Any]) -> Figure:
    """Two rows, one a family; three columns: tracking error, covariance, mean."""
    columns = (
        ("tracking", r"tracking error $\mathrm{E}\,\|s-m^*\|^2$", "tracking_bound", "tracking_linear"),
        ("spread", r"$\lambda_{\max}(\mathrm{Cov}\ s)$", "spread_bound", "spread_linear"),
        ("shift", r"mean shift $\frac{1}{N}\,\|\mathrm{E}\,s-m^*\|_1$", "shift_bound", "shift_linear"),
    )
    with page.style():
        figure, axes = page.page(2, 3, height=4.4)
        for line, name in enumerate(("sk", "ferromagnet")):
            for axis, (key, label, bound, linear) in zip(axes[3 * line :], columns, strict=False):
                _draw_panel(axis, [row for row in data["rows"] if row["couplings"] == name], key, bound, linear)
                axis.set_ylabel(label)
                if key == "shift":
                    axis.set_ylim(bottom=0.5 * min(row[linear] for row in data["rows"] if row["couplings"] == name))
                title = {"sk": r"$J_{ij}\sim\mathcal{N}(0,1/N)$", "ferromagnet": r"$J_{ij}=2/N$"}[name]
                kappa, absolute = data["gains"][name]
                axis.set_title(f"{title}, $κ$={kappa:.2f}, $κ_a$={absolute:.2f}", loc="center", fontsize=7)
        for axis in axes[3:]:
            axis.set_xlabel("leak $ε$")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=6)
    return figure


def _network(name: str, size: int, seed: int) -> Network:
    """The ferromagnet in a field that keeps its units off ½, where the mean's shift would vanish with σ''."""
    network = FAMILIES[name](size, seed)
    return network._replace(bias=network.bias - 0.6) if name == "ferromagnet" else network


def _row(model: Model, leak: float, copies: int, replicas: int, seed: int) -> dict[str, Any]:
    point = fixed_point(model).value
    steps = int(np.ceil(RELAXATION_TIMES / (leak * (1 - model.gain))))
    states = sample(
        model, dynamics="leaky", leak=leak, steps=steps, replicas=replicas, seed=seed, copies=copies, start=point
    ).states
    covariance, shift = linear_noise(model, point, leak, copies)
    return {
        "replicas": replicas, "steps": steps, "gain": model.gain, "absolute_gain": model.absolute_gain,
        "tracking": _interval(((states - point) ** 2).sum(axis=1)),
        "tracking_bound": bounds.leaky_tracking(model, leak=leak, copies=copies),
        "tracking_linear": float(np.trace(covariance) + shift @ shift),
        "spread": _largest_variance(states),
        "spread_bound": bounds.leaky_covariance(model, leak=leak, copies=copies),
        "spread_linear": float(np.linalg.eigvalsh(covariance)[-1]),
        "shift": _interval((states - point) @ np.sign(shift) / model.size),
        "shift_bound": float(bounds.leaky_mean_error(model, leak=leak, copies=copies).mean()),
        "shift_linear": float(np.abs(shift).mean()),
    }  # fmt: skip


def _interval(values: np.ndarray) -> dict[str, float]:
    """{value, low, high}: mean and its 95 % Student interval."""
    mean = float(values.mean())
    reach = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": mean, "low": mean - reach, "high": mean + reach}


def _largest_variance(states: np.ndarray) -> dict[str, float]:
    """λ_max(Cov s): variance along the leading direction of the *other* half, so that choosing it adds no bias upwards."""
    half = len(states) // 2
    variances = []
    for chosen, kept in ((states[:half], states[half:]), (states[half:], states[:half])):
        direction = np.linalg.eigh(np.cov(chosen.T))[1][:, -1]
        groups = np.array_split(kept @ direction, GROUPS)
        variances += [group.var(ddof=1) for group in groups]
    return _interval(np.array(variances))


def _draw_panel(axis: Any, rows: list[dict[str, Any]], key: str, bound: str, linear: str) -> None:
    axis.set(xscale="log", yscale="log")
    looks = {0: (page.MEAN_FIELD, page.MEAN_FIELD), 1: (page.ONSAGER, "white")}
    for place, count in enumerate(sorted({row["copies"] for row in rows})):
        chosen = [row for row in rows if row["copies"] == count]
        colour, face = looks[place]
        x = [row["leak"] for row in chosen]
        axis.plot(x, [row[bound] for row in chosen], color=colour, label=f"bound, $K={count}$")
        axis.plot(
            x,
            [row[linear] for row in chosen],
            color=colour,
            linestyle="--",
            linewidth=0.9,
            label=f"linear noise, $K={count}$",
        )
        page.points(
            axis, x, [row[key] for row in chosen], color=colour, markerfacecolor=face, label=f"simulation, $K={count}$"
        )
    page.log_ticks(axis.xaxis, sorted({row["leak"] for row in rows}))


def main() -> None:
    """Compute and write figures/out/tracking_error.*."""
    page.publish("tracking_error", compute(), draw)


if __name__ == "__main__":
    main()
