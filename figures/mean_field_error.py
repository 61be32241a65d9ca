"""How far the mean field is from Gibbs' means, against size and temperature (thm:A6, thm:B6, thm:B9).

Caption: max_i |E z_i − m_i*|, exact by enumeration (markers; for random couplings the mean over instances with its 95 %
interval), mean field (blue) and Onsager-corrected (orange), with the bound B6 (black line). (a) Against N at fixed T:
ferromagnets lose a factor N, couplings N(0, 1/N) do not. (b) Against T for fixed fields and (c) for fields b ∝ T, where
both the error and B6 fall like T⁻³ and T⁻². Grey: κ_a ≥ 1, where B6 claims nothing; hatched: several fixed points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from dynamics import exact_law
from figures import page
from figures.bias_study import fixed_points, quietly
from figures.networks import FAMILIES, Network
from meanfield import HypothesisError, Model, bounds, fixed_point

# The temperature of the dependence on N.
SIZE_TEMPERATURE = 2.0


def compute(
    *,
    sizes: Sequence[int] = (4, 6, 8, 12, 16, 20),
    instances: int = 8,
    size: int = 12,
    temperatures: Sequence[float] = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0, 5.66, 8.0),
    seed: int = 3,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Exact errors and B6, against N at T = 2 and against T at one size."""
    against_size: dict[str, list[dict[str, Any]]] = {"sk": [], "ferromagnet": []}
    for done, count in enumerate(sizes):
        for name, rows in against_size.items():
            networks = [
                _typical(FAMILIES[name](count, seed + k), name) for k in range(instances if name == "sk" else 1)
            ]
            rows.append({"size": count, **_averaged([_errors(network.at(SIZE_TEMPERATURE)) for network in networks])})
        report((done + 1) / (len(sizes) + 2))
    against_temperature = {}
    for done, scaled in enumerate((False, True)):
        for name in ("sk", "ferromagnet"):
            network = FAMILIES[name](size, seed)
            rows = []
            for temperature in temperatures:
                model = network.at(temperature, scaled_bias=scaled)
                rows.append({"temperature": temperature, "fixed_points": fixed_points(model), **_errors(model)})
            against_temperature[f"{name}, {'scaled' if scaled else 'fixed'}"] = rows
        report((len(sizes) + done + 1) / (len(sizes) + 2))
    return {
        "seed": seed, "instances": instances, "size": size, "against_size": against_size,
        "against_temperature": against_temperature,
    }  # fmt: skip


def draw(data: dict[str, Any]) -> Figure:
    """Error against N; against T with fixed fields; against T with scaled fields; ferromagnet above, random couplings below."""
    titles = {"ferromagnet": r"$J_{ij}=2/N$", "sk": r"$J_{ij}\sim\mathcal{N}(0,1/N)$"}
    with page.style():
        figure, axes = page.page(2, 3, height=4.4)
        for line, name in enumerate(("ferromagnet", "sk")):
            by_size, fixed, scaled = axes[3 * line : 3 * line + 3]
            _draw_rows(by_size, data["against_size"][name], "size")
            by_size.set(ylabel="$\\max_i\\,|\\mathrm{E}\\,z_i-m_i^*|$", xlabel="units $N$")
            by_size.set_title(f"{titles[name]}, $T={SIZE_TEMPERATURE:g}$", loc="center", fontsize=7)
            for axis, kind, exponent in ((fixed, "fixed", -3), (scaled, "scaled", -2)):
                rows = data["against_temperature"][f"{name}, {kind}"]
                _draw_rows(axis, rows, "temperature", exponent)
                axis.set_xlabel("temperature $T$")
                field = "$b$ fixed" if kind == "fixed" else r"$b\propto T$"
                axis.set_title(f"{titles[name]}, $N={data['size']}$, {field}", loc="center", fontsize=7)
        rows = data["against_size"]["ferromagnet"]
        page.guide(axes[0], (rows[2]["size"], rows[-1]["size"]), -1, rows[2]["mean_field"]["value"] * 2, "$N^{-1}$")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _typical(network: Network, name: str) -> Network:
    """For the dependence on N a ferromagnet whose units are alike, so that no size owes its error to one unit's field."""
    if name != "ferromagnet":
        return network
    return network._replace(bias=np.full(network.size, 0.2 - 0.5 * network.couplings.sum(axis=1).mean()))


def _errors(model: Model) -> dict[str, float]:
    """max_i |E z_i − m_i| plain and corrected, and B6's bound on the former, NaN outside its hypothesis."""
    mean = exact_law(model).mean
    errors = {
        key: float(
            np.abs(mean - quietly(lambda kind=kind: fixed_point(model, correction=kind, method="newton")).value).max()
        )
        for key, kind in (("mean_field", "none"), ("onsager", "onsager"))
    }
    try:
        bound = float(bounds.gibbs_mean_error(model).max())
    except HypothesisError:
        bound = float("nan")
    return {**errors, "bound": bound, "absolute_gain": model.absolute_gain}


def _averaged(errors: list[dict[str, float]]) -> dict[str, Any]:
    """Means over instances; mean_field and onsager as {value, low, high} with 95 % Student intervals, exact for one instance."""
    result: dict[str, Any] = {}
    for key in ("mean_field", "onsager", "bound", "absolute_gain"):
        values = np.array([error[key] for error in errors])
        mean, reach = float(values.mean()), 0.0
        if len(values) > 1:
            reach = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        plain = key in ("bound", "absolute_gain")
        result[key] = mean if plain else {"value": mean, "low": mean - reach, "high": mean + reach}
    return result


def _draw_rows(axis: Any, rows: list[dict[str, Any]], against: str, exponent: int | None = None) -> None:
    axis.set(xscale="log", yscale="log")
    x = [row[against] for row in rows]
    axis.plot(x, [row["bound"] for row in rows], color=page.BOUND, label="bound B6")
    for key, colour, text in (
        ("mean_field", page.MEAN_FIELD, "mean field"),
        ("onsager", page.ONSAGER, "Onsager-corrected"),
    ):
        values = [row[key] for row in rows]
        if against == "size":
            page.points(axis, x, values, color=colour, label=text)
        else:
            axis.plot(x, values, color=colour, linestyle="none", marker="o")
    if exponent is not None:
        page.guide(axis, (x[-5], x[-1]), exponent, rows[-5]["bound"] * 2.5, f"$T^{{{exponent}}}$")
        left, right = x[0] * 0.93, x[-1] * 1.45
        axis.set_xlim(left, right)
        page.shade(axis, left, rows[0]["absolute_gain"] * x[0], "")
        several = [row["temperature"] for row in rows if row["fixed_points"] > 1]
        if several:
            page.shade(axis, left, max(several) * 1.05, "several fixed points", hatch=True)
        page.log_ticks(axis.xaxis, (0.25, 0.5, 1, 2, 4, 8))
    else:
        page.log_ticks(axis.xaxis, x)


def main() -> None:
    """Compute and write figures/out/mean_field_error.*."""
    page.publish("mean_field_error", compute(), draw)


if __name__ == "__main__":
    main()
