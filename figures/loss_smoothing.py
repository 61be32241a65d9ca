"""The loss landscape from T = 0 to T = 1 (thm:D1, thm:D2, thm:D3).

Caption: temperature turns a step function into a landscape with slopes. (a–c) Mean cost of the spikes over the biases of the two
hidden units that drive the outputs most: at T = 0 (the states of least energy) it is piecewise constant, so its gradient is zero or
does not exist; at T > 0 it is smooth. (d) The same along b_1. (e) Largest slope and (f) largest curvature along b_1, against
temperature: points, exact; black, D2's bounds R_C/4T and M₂R_C/T², which hold at every temperature; blue, the mean field's cost and
D1's bound, which ends where λ_max(J) = 4T. Cooling steepens the landscape until nearly all of it is flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynamics.enumeration import all_states
from figures import page
from figures.networks import FAMILIES, Network
from meanfield import Model, bounds, implicit_gradient
from meanfield.equations import SUP_CURVATURE
from meanfield.model import FloatArray

MAPS = (0.0, 0.15, 1.0)
SLICES = (0.0, 0.05, 0.15, 0.4, 1.0)


def compute(
    *,
    size: int = 8,
    reach: float = 2.0,
    grid: int = 81,
    temperatures: Sequence[float] = tuple(np.geomspace(0.02, 4.0, 16)),
    seed: int = 1,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Maps over (b_1, b_2), slices along b_1 and their extremes; couplings SK, biases in the unit of the couplings."""
    network = FAMILIES["sk"](size, seed)
    axis = np.linspace(-reach, reach, grid)
    first, second = _drivers(network)
    plane = np.zeros((grid, grid, size))
    plane[:, :, first], plane[:, :, second] = axis[None, :], axis[:, None]
    maps = [_slice(network, plane.reshape(-1, size), first, temperature)[0].reshape(grid, grid) for temperature in MAPS]
    line = np.zeros((10 * grid, size))
    line[:, first] = np.linspace(-reach, reach, 10 * grid)
    rows = []
    for temperature in temperatures:
        rows.append(_row(network, line, first, float(temperature)))
        report(len(rows) / len(temperatures))
    offset = network.cost.force(size, "spikes")[1]
    return {
        "size": size, "seed": seed, "reach": reach, "cost_range": float(np.abs(offset).sum()),
        "critical_temperature": float(np.linalg.eigvalsh(network.couplings)[-1]) / 4,
        "maps": [{"temperature": t, "cost": values.tolist()} for t, values in zip(MAPS, maps, strict=True)],
        "line": line[:, first].tolist(),
        "slices": [{"temperature": t, "cost": _slice(network, line, first, t)[0].tolist()} for t in SLICES],
        "rows": rows,
    }  # fmt: skip


def _drivers(network: Network) -> tuple[int, int]:
    """The two units without a target whose couplings to the outputs are largest."""
    strength = np.abs(network.couplings[:, network.cost.outputs]).sum(axis=1)
    strength[network.cost.outputs] = -1.0
    first, second = np.argsort(-strength)[:2]
    return int(first), int(second)


def _slice(
    network: Network, shifts: FloatArray, unit: int, temperature: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(⟨C⟩, ∂⟨C⟩/∂b_unit, ∂²⟨C⟩/∂b_unit²) at b + shift, shifts (M, N), (M,) each.

    At T = 0 the cost of the state of least energy, and no slopes.
    """
    states = all_states(network.size)
    costs = network.cost.on_spikes(states)
    energies = network.at(1.0).energy(states) - shifts @ states.T
    if temperature == 0:
        return costs[energies.argmin(axis=1)], np.full(len(shifts), np.nan), np.full(len(shifts), np.nan)
    weights = np.exp((energies.min(axis=1, keepdims=True) - energies) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    mean, cost = weights @ states[:, unit], weights @ costs
    slope = (weights @ (states[:, unit] * costs) - mean * cost) / temperature
    # z² = z: the third cumulant of (z, z, C) is (1 − 2μ) Cov(z, C)
    return cost, slope, (1 - 2 * mean) * slope / temperature


def _row(network: Network, line: FloatArray, unit: int, temperature: float) -> dict[str, float | None]:
    """Largest |slope| and |curvature| along the line with their bounds; the mean field's where D1 holds, else None."""
    _, slope, curvature = _slice(network, line, unit, temperature)
    model = network.at(temperature)
    row: dict[str, float | None] = {
        "temperature": temperature,
        "slope": float(np.abs(slope).max()),
        "curvature": float(np.abs(curvature).max()),
        "mean_field_slope": None,
        "mean_field_slope_bound": None,
    }
    if model.spectrum[-1] < 4 * temperature:
        points = [model.with_bias(model.bias + shift) for shift in line[::10]]
        row["mean_field_slope"] = max(_mean_field_slope(point, network, unit) for point in points)
        offset = np.linalg.norm(network.cost.force(network.size, "spikes")[1])
        row["mean_field_slope_bound"] = max(float(offset) * bounds.response_norm(point) for point in points)
    return row


def _mean_field_slope(model: Model, network: Network, unit: int) -> float:
    return float(np.abs(implicit_gradient(model, network.cost, "spikes").bias[unit]))


def draw(data: dict[str, Any]) -> Figure:
    """Three maps over slices, slopes and curvatures."""
    reach = data["reach"]
    with page.style():
        figure, axes = page.page(2, 3, height=4.6)
        low = min(np.min(one["cost"]) for one in data["maps"])
        high = max(np.max(one["cost"]) for one in data["maps"])
        images = [
            panel.imshow(
                one["cost"], extent=(-reach, reach, -reach, reach), origin="lower", cmap="cividis", vmin=low, vmax=high,
                interpolation="nearest",
            )
            for panel, one in zip(axes[:3], data["maps"], strict=True)
        ]  # fmt: skip
        for panel, one in zip(axes[:3], data["maps"], strict=True):
            panel.set(xlabel="shift of $b_1$", ylabel="shift of $b_2$")
            panel.set_title(f"$T={one['temperature']:g}$", loc="center")
        figure.colorbar(images[0], ax=axes[:3], label=r"mean cost $\langle C\rangle$", shrink=0.9)
        along, slope, curvature = axes[3:]
        looks = zip(data["slices"], ("#000000", page.ONSAGER, page.LEAKY, page.GLAUBER, page.MEAN_FIELD), strict=True)
        for one, colour in looks:
            along.plot(data["line"], one["cost"], color=colour, label=f"$T={one['temperature']:g}$")
        along.set(xlabel="shift of $b_1$", ylabel=r"$\langle C\rangle$")
        along.set_ylim(top=1.5 * max(max(one["cost"]) for one in data["slices"]))
        along.legend(ncols=2, loc="upper left")
        _extremes(slope, curvature, data)
    return figure


def _extremes(slope: Any, curvature: Any, data: dict[str, Any]) -> None:
    """Largest slopes and curvatures as points, bounds as lines."""
    rows, scale = data["rows"], data["cost_range"]
    x = np.array([row["temperature"] for row in rows])
    slope.plot(x, scale / (4 * x), color=page.BOUND)
    slope.plot(x, [row["slope"] for row in rows], "o", color=page.GLAUBER)
    smooth = [row for row in rows if row["mean_field_slope"] is not None]
    warm = [row["temperature"] for row in smooth]
    slope.plot(warm, [row["mean_field_slope_bound"] for row in smooth], color=page.MEAN_FIELD)
    slope.plot(warm, [row["mean_field_slope"] for row in smooth], "s", color=page.MEAN_FIELD, markersize=2.5)
    curvature.plot(x, SUP_CURVATURE * scale / x**2, color=page.BOUND)
    curvature.plot(x, [row["curvature"] for row in rows], "o", color=page.GLAUBER)
    for panel, label in ((slope, r"largest $|\partial\langle C\rangle/\partial b_1|$"),
                         (curvature, r"largest $|\partial^2\langle C\rangle/\partial b_1^2|$")):  # fmt: skip
        panel.set(xscale="log", yscale="log", xlabel="temperature $T$", ylabel=label)
        page.log_ticks(panel.xaxis, (0.02, 0.1, 0.5, 2))
    slope.set_ylim(top=30 * max(row["slope"] for row in rows) * 10)
    page.shade(slope, x[0], data["critical_temperature"], "λ$_{max}$ > 4T")
    marks = [Line2D([], [], color=page.GLAUBER, marker="o", linestyle=""), Line2D([], [], color=page.BOUND),
             Line2D([], [], color=page.MEAN_FIELD, marker="s", markersize=2.5)]  # fmt: skip
    slope.legend(marks, ["spikes", "D2", "mean field, D1"], loc="upper right")
    curvature.legend(marks[:2], ["spikes", "D2"], loc="upper right")


def main() -> None:
    """Compute and write figures/out/loss_smoothing.*."""
    page.publish("loss_smoothing", compute(), draw)


if __name__ == "__main__":
    main()
