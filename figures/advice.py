"""What reaches a wanted gradient error with the fewest relaxations, temperature by temperature: `stochep bias --recommend`.

Main results: checked, compute, table, reached (thm:C9).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from dynamics import Recommendation, estimate_gradient, exact_gradient, recommendations
from dynamics.recommendation import check_wish
from figures import page
from figures.bias_study import relative_error, sweeps
from figures.networks import Network
from meanfield import Model

COLUMNS = (
    "temperature", "estimator", "phases", "statistic", "nudging", "samples", "sweeps", "relaxations", "bias", "noise",
    "predicted error", "note",
)  # fmt: skip


def compute(
    network: Network,
    *,
    temperatures: Sequence[float],
    error: float,
    dynamics: str = "glauber",
    seed: int = 0,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Every candidate at every temperature, the one with the fewest relaxations first; a row with a note where none exists.

    Phases run for the proven mixing time, at most 200 sweeps. Raises ValueError when no temperature has a candidate, or on bad
    input.
    """
    models = checked(network, temperatures, error, dynamics)
    rows: list[dict[str, Any]] = []
    refusals = []
    for done, model in enumerate(models, start=1):
        steps = sweeps(model, dynamics=dynamics if dynamics == "leaky" else "glauber")
        try:
            found = recommendations(
                model, network.cost, error=error, dynamics=dynamics, steps_free=steps, steps_nudged=steps, seed=seed
            )
            rows += [
                {"temperature": model.temperature, "recommended": one is found[0], "note": None, **one._asdict()}
                for one in found
            ]
        except ValueError as refusal:
            refusals.append(refusal)
            rows.append({"temperature": model.temperature, "recommended": False, "note": str(refusal)})
        report(done / len(models))
    if len(refusals) == len(models):
        raise refusals[0]
    return {
        "couplings": network.name, "size": network.size, "outputs": network.cost.outputs.tolist(),
        "target": network.cost.target.tolist(), "error": error, "dynamics": dynamics, "seed": seed, "rows": rows,
    }  # fmt: skip


def checked(network: Network, temperatures: Sequence[float], error: float, dynamics: str) -> list[Model]:
    """The models to advise on; ValueError names the first input that cannot be used."""
    if len(temperatures) == 0:
        raise ValueError("--temperatures needs at least one value")
    check_wish(error, dynamics)
    return [network.at(temperature) for temperature in temperatures]


def reached(network: Network, temperature: float, one: Recommendation, *, runs: int, seed: int) -> dict[str, float]:
    """Errors of `runs` estimates as recommended, against the exact gradient: {share within the wanted one, rms, largest}."""
    model = network.at(temperature)
    target = exact_gradient(model, network.cost)
    errors = np.array([
        relative_error(estimate_gradient(model, network.cost, seed=seed + run, **one.arguments()).value, target)
        for run in range(runs)
    ])  # fmt: skip
    return {
        "share": float((errors <= one.error).mean()), "rms": float(np.sqrt((errors**2).mean())), "largest": float(errors.max()),
    }  # fmt: skip


def table(data: dict[str, Any]) -> Table:
    """The rows for a terminal; ▸ marks what is recommended."""
    title = (
        f"{data['couplings']}, N = {data['size']}: ways to a gradient error of {data['error']:g} ‖g‖ with {data['dynamics']}, "
        "fewest relaxations first; at least 95 % of the runs stay within it"
    )
    lines = Table(title=title, title_justify="left")
    for column in COLUMNS:
        lines.add_column(
            column, justify="left" if column in ("estimator", "statistic", "note") else "right", no_wrap=True
        )
    for row in data["rows"]:
        if row["note"]:
            lines.add_row(f"{row['temperature']:g}", *[""] * (len(COLUMNS) - 2), row["note"])
            continue
        nudged = row["nudging"] is not None
        lines.add_row(
            f"{row['temperature']:g}", f"{'▸' if row['recommended'] else ' '} {row['estimator']}",
            ("coupled" if row["coupled"] else "independent") if nudged else "free", row["statistic"],
            f"{row['nudging']:.3g}" if nudged else "–", f"{row['samples']}",
            f"{row['steps_free']}+{row['steps_nudged']}" if nudged else f"{row['steps_free']}", f"{row['relaxations']:.3g}",
            f"{row['predicted_bias']:.2g}", f"{row['predicted_noise']:.2g}", f"{row['predicted_error']:.2g}", "",
        )  # fmt: skip
    return lines
