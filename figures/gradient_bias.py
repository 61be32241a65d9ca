"""Bias of the mean-field EP gradient against the exact Gibbs gradient (thm:C5, thm:C6, thm:C7, thm:A1b).

Caption: relative error of the coupling gradient against temperature. (a–c) Cost on spikes, three families of couplings:
mean field (blue) and Onsager-corrected (orange) for N = 16 (solid) and 8 (dashed); points are sampled Glauber StochEP
(coupled, symmetric, β = T/2; bars: 95 % intervals of the error without sampling noise; green line: the error predicted
for an unbiased sampler, its noise and the nudging's own bias). Grey: κ_a ≥ 1 for N = 16; hatched: several fixed points.
(d) Fields b ∝ T: one power of T less. (e) Leaky spikes, cost on rates: the estimate sits on the line of its mean-field
limit against each reference; (f) its residual split in units of the exact gradient of spikes: leak (points, vanishing
with ε), law (mean field against Gibbs, rates loss), cost (rates loss against spikes loss).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dynamics import Estimate, estimate_gradient, exact_gradient, exact_law
from figures import page
from figures.bias_study import fixed_points, quietly, relative_error, sampled_error, sweeps
from figures.networks import FAMILIES, Network
from meanfield import Gradient, Model, QuadraticCost, equilibrium_gradient, implicit_gradient

# Nudging in units of the temperature: everything depends on β/T alone.
NUDGING, NUDGING_LEAKY = 0.5, 0.2
# Glauber's sweeps a phase where thm:B3 proves no shorter mixing time.
MOST_SWEEPS = 40
TICKS = (0.25, 0.5, 1, 2, 4)


def compute(
    *,
    sizes: Sequence[int] = (8, 16),
    temperatures: Sequence[float] = (0.3, 0.6, 1.2, 2.4, 4.8),
    fine: int = 25,
    samples: int = 16384,
    leaks: Sequence[float] = (0.05, 0.1, 0.2, 0.4, 0.8),
    seed: int = 1,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Errors along `fine` temperatures (lines) and at `temperatures` (samples of `samples` coupled pairs)."""
    dense = np.geomspace(min(temperatures) * 0.8, max(temperatures) * 1.25, fine)
    panels, total = [], len(FAMILIES) * len(sizes) + 2
    for name in FAMILIES:
        for size in sizes:
            network = FAMILIES[name](size, seed)
            panels.append({
                "couplings": name, "size": size, "lines": _lines(network, dense, scaled_bias=False),
                "sampled": [_sampled(network, T, samples, seed) for T in temperatures],
            })  # fmt: skip
            report(len(panels) / total)
    scaled = _lines(FAMILIES["sk"](max(sizes), seed), dense, scaled_bias=True)
    small = FAMILIES["sk"](min(sizes), seed)
    leaky = _leaky_against_temperature(small, dense, temperatures, samples, seed)
    report((total - 1) / total)
    split = _leaky_against_leak(small.at(1.0), small.cost, leaks, samples, seed)
    report(1.0)
    return {
        "seed": seed, "samples": samples, "nudging_over_temperature": {"glauber": NUDGING, "leaky": NUDGING_LEAKY},
        "panels": panels, "scaled_bias": scaled,
        "leaky": leaky, "split": split,
    }  # fmt: skip


def draw(data: dict[str, Any]) -> Figure:
    """Three families above; scaled fields, leaky spikes and the split of their residual below."""
    with page.style():
        figure, axes = page.page(2, 3, height=5.0)
        for axis, name in zip(axes, FAMILIES, strict=False):
            _draw_family(axis, [panel for panel in data["panels"] if panel["couplings"] == name], name)
        axes[0].set_ylabel("relative error ‖ĝ − g‖/‖g‖")
        _draw_scaled(axes[3], data["scaled_bias"])
        _draw_leaky(axes[4], data["leaky"])
        _draw_split(axes[5], data["split"])
        entries = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
        # columns are filled first, so one kind of line a column, the largest network on top
        kinds = ("mean field", "Onsager", "Glauber sampled", "exact + noise")
        labels = [text for kind in kinds for text in reversed(entries) if text.startswith(kind)]
        figure.legend([entries[text] for text in labels], labels, loc="outside upper center", ncols=4)
    return figure


def _lines(network: Network, temperatures: np.ndarray, *, scaled_bias: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"temperature": temperatures.tolist(), "mean_field": [], "onsager": []}
    result |= {"absolute_gain": [], "fixed_points": []}
    for temperature in temperatures:
        model = network.at(temperature, scaled_bias=scaled_bias)
        target = exact_gradient(model, network.cost)
        for key, correction in (("mean_field", "none"), ("onsager", "onsager")):
            gradient = _implicit(model, network.cost, "spikes", correction)
            result[key].append(relative_error(gradient, target))
        result["absolute_gain"].append(model.absolute_gain)
        result["fixed_points"].append(fixed_points(model))
    return result


def _implicit(model: Model, cost: QuadraticCost, cost_on: str, correction: str = "none") -> Gradient:
    return quietly(lambda: implicit_gradient(model, cost, cost_on, correction=correction))


def _sampled(network: Network, temperature: float, samples: int, seed: int) -> dict[str, Any]:
    """Glauber's error, and the root-mean-square error predicted for it: the bias at finite nudging and the noise."""
    model, nudging = network.at(temperature), NUDGING * temperature
    target = exact_gradient(model, network.cost)
    steps = sweeps(model, MOST_SWEEPS)
    cell = sampled_error(
        estimate_gradient(
            model, network.cost, nudging=nudging, samples=samples, seed=seed, steps_free=steps, steps_nudged=steps
        ),
        target,
    )
    raised, lowered = (exact_law(model, cost=network.cost, nudging=sign * nudging) for sign in (1, -1))
    pairs = [law.covariance + np.outer(law.mean, law.mean) for law in (raised, lowered)]
    finite = (pairs[1] - pairs[0]) / (2 * nudging)
    np.fill_diagonal(finite, 0.0)
    bias = relative_error(Gradient(finite, np.zeros(model.size)), target)
    return {"temperature": temperature, **cell, "nudging_bias": bias, "predicted": float(np.hypot(bias, cell["floor"]))}


def _leaky_against_temperature(
    network: Network, dense: np.ndarray, temperatures: Sequence[float], samples: int, seed: int, leak: float = 0.05
) -> dict[str, Any]:
    """The rates-cost mean field and the sampled leaky estimate, each against Gibbs' two losses; and the two losses' distance."""
    lines: dict[str, list[float]] = {"law": [], "cost": [], "both": [], "fixed_points": []}
    for temperature in dense:
        model = network.at(temperature)
        limit = _implicit(model, network.cost, "rates")
        rates, spikes = (exact_gradient(model, network.cost, cost_on=kind) for kind in ("rates", "spikes"))
        lines["law"].append(relative_error(limit, rates))
        lines["both"].append(relative_error(limit, spikes))
        lines["cost"].append(relative_error(rates, spikes))
        lines["fixed_points"].append(fixed_points(model))
    points = []
    for temperature in temperatures:
        model = network.at(temperature)
        targets = {
            "limit": _implicit(model, network.cost, "rates"),
            "law": exact_gradient(model, network.cost, cost_on="rates"), "both": exact_gradient(model, network.cost),
        }  # fmt: skip
        estimate = _leaky(model, network.cost, leak, samples, seed)
        errors = {key: sampled_error(estimate, target) for key, target in targets.items()}
        points.append({"temperature": temperature, **errors})
    return {"leak": leak, "size": network.size, "temperature": dense.tolist(), "lines": lines, "points": points}


def _leaky(model: Model, cost: QuadraticCost, leak: float, samples: int, seed: int) -> Estimate:
    """The coupled estimate from traces, each phase eight relaxation times long."""
    steps = int(np.ceil(8 / (leak * max(0.25, 1 - model.gain))))
    return estimate_gradient(
        model, cost, dynamics="leaky", leak=leak, nudging=NUDGING_LEAKY * model.temperature, samples=samples, seed=seed,
        steps_free=steps, steps_nudged=steps,
    )  # fmt: skip


def _leaky_against_leak(
    model: Model, cost: QuadraticCost, leaks: Sequence[float], samples: int, seed: int
) -> dict[str, Any]:
    """The residual's parts in units of ‖exact gradient of the spikes loss‖: leak and nudging sampled, law and cost exact."""
    limit = _implicit(model, cost, "rates")
    finite = equilibrium_gradient(model, cost, nudging=NUDGING_LEAKY * model.temperature)
    rates, spikes = (exact_gradient(model, cost, cost_on=kind) for kind in ("rates", "spikes"))
    unit = float(np.linalg.norm(spikes.couplings))
    scale = float(np.linalg.norm(limit.couplings)) / unit
    points = []
    for leak in leaks:
        cell = sampled_error(_leaky(model, cost, leak, round(samples * leak / min(leaks)), seed), finite)
        ratio = float(np.linalg.norm(finite.couplings)) / unit
        points.append({"leak": leak} | {key: cell[key] * ratio for key in ("value", "low", "high", "floor")})
    return {
        "temperature": model.temperature, "points": points, "nudging": relative_error(finite, limit) * scale,
        "law": float(np.linalg.norm(limit.couplings - rates.couplings)) / unit, "cost": relative_error(rates, spikes),
    }  # fmt: skip


def _draw_family(axis: Any, panels: list[dict[str, Any]], name: str) -> None:
    titles = {"sk": r"$J_{ij}\sim\mathcal{N}(0,1/N)$", "ferromagnet": r"$J_{ij}=2/N$", "layered": "layered"}
    axis.set(xscale="log", yscale="log", xlabel="temperature $T$")
    axis.set_title(titles[name], loc="center")
    for panel in panels:
        large = panel["size"] == max(other["size"] for other in panels)
        lines, size = panel["lines"], f"$N={panel['size']}$"
        for key, colour, text in (("mean_field", page.MEAN_FIELD, "mean field"), ("onsager", page.ONSAGER, "Onsager")):
            axis.plot(
                lines["temperature"], lines[key], color=colour, linestyle="-" if large else "--", label=f"{text}, {size}",
                linewidth=1.2 if large else 0.9,
            )  # fmt: skip
        x = [point["temperature"] for point in panel["sampled"]]
        predicted = [point["predicted"] for point in panel["sampled"]]
        axis.plot(
            x,
            predicted,
            color=page.GLAUBER,
            linestyle="-" if large else "--",
            linewidth=0.8,
            label=f"exact + noise, {size}",
        )
        page.points(
            axis, np.array(x) * (1.0 if large else 0.93), panel["sampled"], color=page.GLAUBER,
            markerfacecolor=page.GLAUBER if large else "white", label=f"Glauber sampled, {size}",
        )  # fmt: skip
    temperature = panels[-1]["lines"]["temperature"]
    high = panels[-1]["lines"]
    for key, exponent in (("mean_field", -2), ("onsager", -3)):
        page.guide(axis, temperature[-9::8], exponent, high[key][-9] * 1.6, f"$T^{{{exponent}}}$")
    axis.set_xlim(temperature[0], temperature[-1] * 1.25)
    page.log_ticks(axis.xaxis, TICKS)
    _shade(axis, panels[-1]["lines"])


def _shade(axis: Any, lines: dict[str, Any]) -> None:
    temperature = lines["temperature"]
    critical = lines["absolute_gain"][0] * temperature[0]
    if critical > temperature[0]:
        page.shade(axis, temperature[0], critical, "")
        axis.text(
            critical * 0.97, 0.03, "κ$_a$ ≥ 1", transform=axis.get_xaxis_transform(), ha="right", va="bottom", fontsize=6.5,
            color="#555555", rotation=90,
        )  # fmt: skip
    several = [T for T, count in zip(temperature, lines["fixed_points"], strict=True) if count > 1]
    if several:
        page.shade(axis, temperature[0], max(several), "several fixed points", hatch=True)


def _draw_scaled(axis: Any, lines: dict[str, Any]) -> None:
    axis.set(xscale="log", yscale="log", xlabel="temperature $T$", ylabel="relative error ‖ĝ − g‖/‖g‖")
    axis.set_title(r"$J_{ij}\sim\mathcal{N}(0,1/N)$, $b\propto T$", loc="center")
    temperature = lines["temperature"]
    for key, colour, text, exponent in (
        ("mean_field", page.MEAN_FIELD, "mean field", -1), ("onsager", page.ONSAGER, "Onsager", -2),
    ):  # fmt: skip
        axis.plot(temperature, lines[key], color=colour, label=text)
        page.guide(axis, temperature[-9::8], exponent, lines[key][-9] * 1.6, f"$T^{{{exponent}}}$")
    axis.set_xlim(temperature[0], temperature[-1] * 1.25)
    page.log_ticks(axis.xaxis, TICKS)
    critical = np.interp(-1.0, -np.array(lines["absolute_gain"]), temperature)
    page.shade(axis, temperature[0], critical, "")
    axis.legend(loc="lower left")


def _draw_leaky(axis: Any, leaky: dict[str, Any]) -> None:
    axis.set(xscale="log", yscale="log", xlabel="temperature $T$")
    axis.set_title(f"leaky spikes, $N={leaky['size']}$, $ε={leaky['leak']:g}$", loc="center")
    x = [point["temperature"] for point in leaky["points"]]
    looks = {
        "both": (page.ONSAGER, "Gibbs, spikes loss"), "law": (page.MEAN_FIELD, "Gibbs, rates loss"),
        "limit": (page.LEAKY, "mean field, rates"),
    }  # fmt: skip
    for key, (colour, text) in looks.items():
        if key in leaky["lines"]:
            axis.plot(leaky["temperature"], leaky["lines"][key], color=colour)
        page.points(axis, x, [point[key] for point in leaky["points"]], color=colour, label=text)
    page.log_ticks(axis.xaxis, TICKS)
    axis.set_ylim(bottom=3e-4)
    axis.legend(title="against", title_fontsize=7, loc="lower left")


def _draw_split(axis: Any, split: dict[str, Any]) -> None:
    axis.set(xscale="log", yscale="log", xlabel="leak $ε$", ylabel=r"part of the residual / ‖$g$‖")
    axis.set_title(f"residual split, $T={split['temperature']:g}$", loc="center")
    x = [point["leak"] for point in split["points"]]
    for key, colour, text in (
        ("cost", page.ONSAGER, "cost"),
        ("law", page.MEAN_FIELD, "law"),
        ("nudging", page.GREY, "finite β"),
    ):
        axis.axhline(split[key], color=colour, linewidth=1.2)
        axis.annotate(text, (0.02, split[key]), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                      color=colour, fontsize=7)  # fmt: skip
    page.points(axis, x, split["points"], color=page.LEAKY, label="leak, sampled")
    axis.plot(
        x,
        [point["floor"] for point in split["points"]],
        color=page.LEAKY,
        linestyle=":",
        linewidth=0.9,
        label="sampling noise",
    )
    page.guide(axis, (x[0], x[-2]), 1.0, split["points"][-2]["value"] * x[0] / x[-2] * 0.5, "$ε$")
    page.log_ticks(axis.xaxis, x)
    axis.set_ylim(bottom=6e-4)
    axis.legend(loc="lower right")


def main() -> None:
    """Compute and write figures/out/gradient_bias.*."""
    page.publish("gradient_bias", compute(), draw)


if __name__ == "__main__":
    main()
