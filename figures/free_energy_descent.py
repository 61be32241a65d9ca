"""Mean-field free energy along deterministic relaxation, with the descent that is guaranteed (thm:A4).

Caption: F(m_t) − F* along m ← (1−ε)m + εσ(h/T). (a) Random couplings with κ > 1: points are the path, the line above each
is what A4 leaves after the guaranteed drops, F(m_0) − F* − (4Tε − ½ε²(4T+λ⁻)) Σ‖σ(h/T) − m‖². (b) A complete
antiferromagnet, one fixed point but λ⁻ > 4T: below the step limit 8T/(4T+λ⁻) F falls, beyond it F rises and settles on a
two-cycle. (c) The smallest drop over ‖σ(h/T) − m‖² along a path never lies below A4's factor, and touches it at the limit.
The paths are deterministic: the points carry no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynamics import relax
from figures import page
from meanfield import Model, bounds, fixed_point, free_energy
from meanfield.equations import firing_probability

# Beyond this closeness to the fixed point drops are rounding.
RESOLVED = 1e-7


def compute(
    *,
    size: int = 32,
    leaks: Sequence[float] = (0.1, 0.3, 0.8),
    steps: int = 40,
    grid: int = 19,
    seed: int = 5,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Paths of two networks and the tightness of the guaranteed descent over a grid of leaks."""
    networks = {"random": _random(size, seed), "antiferromagnet": _antiferromagnet()}
    limit = step_limit(networks["antiferromagnet"])
    result: dict[str, Any] = {"seed": seed, "steps": steps}
    chosen = {"random": leaks, "antiferromagnet": [0.7 * limit, 0.95 * limit, 1.05 * limit, 1.5 * limit]}
    dense = np.linspace(0.05, 1.0, grid)
    for done, (name, model) in enumerate(networks.items()):
        start = (
            np.random.default_rng([seed, 1]).uniform(0.2, 0.8, size=model.size)
            if name == "random"
            else np.full(model.size, 0.6)
        )
        result[name] = {
            "gain": model.gain, "step_limit": step_limit(model), "temperature": model.temperature,
            "size": model.size, "paths": [_path(model, start, leak, steps) for leak in chosen[name]],
            "factors": [_factor(model, start, float(leak), steps) for leak in dense],
        }  # fmt: skip
        report((done + 1) / len(networks))
    return result


def step_limit(model: Model) -> float:
    """8T/(4T + λ⁻), below which F descends (thm:A4)."""
    lowest = max(0.0, -float(model.spectrum[0]))
    return 8 * model.temperature / (4 * model.temperature + lowest)


def draw(data: dict[str, Any]) -> Figure:
    """Random couplings, antiferromagnet, tightness."""
    with page.style():
        figure, (falling, limited, factors) = page.page(1, 3, height=2.7)
        for path, colour in zip(data["random"]["paths"], (page.MEAN_FIELD, page.ONSAGER, page.GLAUBER), strict=False):
            shown = [k for k, gap in enumerate(path["gap"]) if gap > 1e-6]
            falling.plot(shown, [path["guaranteed"][k] for k in shown], color=colour)
            falling.plot(
                shown, [path["gap"][k] for k in shown], "o", color=colour, markersize=2.5, label=f"$ε={path['leak']:g}$"
            )
        falling.set(yscale="log", xlabel="step $t$", ylabel=r"$F(m_t)-F^*$")
        falling.set_title(f"random, $N={data['random']['size']}$, $κ={data['random']['gain']:.1f}$", loc="center")
        falling.set_ylim(1e-6, 2e3)
        falling.legend(
            title="points: path, line: guaranteed", title_fontsize=7, loc="upper right", ncols=3, handletextpad=0.2
        )
        anti = data["antiferromagnet"]
        looks = zip(anti["paths"], (page.MEAN_FIELD, page.GLAUBER, page.LINEAR, page.ONSAGER), "os^D", strict=True)
        for path, colour, marker in looks:
            ratio = path["leak"] / anti["step_limit"]
            shown = [k for k, gap in enumerate(path["gap"]) if gap > 1e-6]
            limited.plot(
                shown, [path["gap"][k] for k in shown], color=colour, marker=marker, markersize=2.5, linewidth=0.6,
                label=f"$ε$ = {ratio:.2f} × step limit",
            )  # fmt: skip
        limited.set(yscale="log", xlabel="step $t$", ylabel=r"$F(m_t)-F^*$")
        limited.set_title(f"antiferromagnet, $κ={anti['gain']:.1f}$", loc="center")
        limited.set_ylim(1e-6, 2e3)
        limited.legend(loc="upper right")
        for name, colour in (("random", page.MEAN_FIELD), ("antiferromagnet", page.ONSAGER)):
            rows = data[name]["factors"]
            unit = data[name]["temperature"]
            x, smallest = [row["leak"] for row in rows], [row["smallest"] / unit for row in rows]
            factors.plot(x, [row["bound"] / unit for row in rows], color=colour)
            factors.plot(x, smallest, "o", color=colour, markersize=2.5)
        factors.axhline(0.0, color=page.GREY, linewidth=0.8)
        factors.axvline(anti["step_limit"], color=page.GREY, linewidth=0.8, linestyle="--")
        factors.text(
            anti["step_limit"] + 0.02, -3.0, "step limit", rotation=90, va="center", fontsize=6.5, color="#555555"
        )
        factors.text(0.6, 2.75, "random", color=page.MEAN_FIELD, ha="center", fontsize=7)
        factors.text(0.76, -1.5, "antiferro-\nmagnet", color=page.ONSAGER, va="center", fontsize=7)
        factors.set(xlabel="leak $ε$", ylabel=r"drop of $F\,/\,T\|σ(h/T)-m\|^2$")
        black = [Line2D([], [], color="black"), Line2D([], [], color="black", marker="o", markersize=2.5, linestyle="")]
        factors.legend(black, ["A4", "smallest seen"], loc="lower left")
        factors.set_ylim(
            top=max(row["smallest"] for row in data["random"]["factors"]) / data["random"]["temperature"] * 1.3
        )
    return figure


def _random(size: int, seed: int) -> Model:
    """J_ij ~ N(0, 1/N) at T = 0.35, where κ > 1 and A4 still holds."""
    rng = np.random.default_rng([seed, 0])
    upper = np.triu(rng.normal(size=(size, size)) / np.sqrt(size), 1)
    return Model(upper + upper.T, 0.1 * rng.normal(size=size), 0.35)


def _antiferromagnet(size: int = 6, strength: float = 0.8, temperature: float = 0.25) -> Model:
    """J = −w off the diagonal, b = −½J1: λ_max = w < 4T leaves one fixed point, m = ½, while λ⁻ = w(N − 1) limits the step."""
    couplings = np.full((size, size), -strength)
    np.fill_diagonal(couplings, 0.0)
    return Model(couplings, -0.5 * couplings.sum(axis=1), temperature)


def _energies(model: Model, start: np.ndarray, leak: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(F(m_t), ‖σ(h/T) − m_t‖²) along a path."""
    path = relax(model, steps=steps, leak=leak, start=start)
    residual = firing_probability(model.local_field(path), model.temperature) - path
    return np.array([free_energy(model, mean) for mean in path]), (residual**2).sum(axis=1)


def _path(model: Model, start: np.ndarray, leak: float, steps: int) -> dict[str, Any]:
    energies, residuals = _energies(model, start, leak, steps)
    # the fixed point that this path belongs to: where a small leak takes its start
    basin = relax(model, steps=4000, leak=min(leak, 0.5 * step_limit(model)), start=start)[-1]
    lowest = free_energy(model, fixed_point(model, start=np.clip(basin, 0.0, 1.0), method="newton").value)
    spent = float(bounds.descent(model, leak=leak)) * np.concatenate([[0.0], np.cumsum(residuals[:-1])])
    gap = energies - lowest
    return {"leak": float(leak), "gap": gap.tolist(), "guaranteed": (gap[0] - spent).tolist()}


def _factor(model: Model, start: np.ndarray, leak: float, steps: int) -> dict[str, float]:
    """A4's factor and min_t [F(m_t) − F(m_{t+1})]/‖σ(h/T) − m_t‖² while the residual is resolved."""
    energies, residuals = _energies(model, start, leak, steps)
    resolved = residuals[:-1] > RESOLVED
    smallest = float(((energies[:-1] - energies[1:])[resolved] / residuals[:-1][resolved]).min())
    return {"leak": leak, "bound": float(bounds.descent(model, leak=leak)), "smallest": smallest}


def main() -> None:
    """Compute and write figures/out/free_energy_descent.*."""
    page.publish("free_energy_descent", compute(), draw)


if __name__ == "__main__":
    main()
