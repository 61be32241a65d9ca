"""What reaches a wanted gradient error with the fewest relaxations, temperature by temperature: `stochep bias --recommend`.

Main results: checked, compute, table, reached, served, UNSEEN (thm:C9). `python -m figures.advice` writes the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from dynamics import Recommendation, estimate_gradient, exact_gradient, recommendations
from dynamics.provenance import provenance, write_json
from dynamics.recommendation import check_wish
from figures import page
from figures.bias_study import relative_error, sweeps, without_empty_notes
from figures.networks import FAMILIES, Network
from meanfield import Model, QuadraticCost

COLUMNS = (
    "temperature", "estimator", "phases", "statistic", "nudging", "samples", "sweeps", "relaxations", "bias", "noise",
    "predicted error", "note",
)  # fmt: skip


# (family, size, seed, temperature, wanted error)
Case = tuple[str, int, int, float, float]
# Networks on which nothing was tuned; results/recommendation.json is the record of what was promised and what came.
UNSEEN: tuple[Case, ...] = (
    ("sk", 16, 11, 0.6, 0.2), ("sk", 10, 5, 3.0, 0.1), ("ferromagnet", 14, 2, 0.7, 0.15), ("ferromagnet", 8, 7, 2.0, 0.1),
    ("layered", 18, 4, 0.5, 0.2), ("layered", 9, 9, 1.5, 0.1), ("chain", 12, 1, 0.5, 0.15), ("star", 9, 2, 0.8, 0.15),
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


def served(case: Case, *, runs: int, most: float) -> list[dict[str, Any]]:
    """Whether the three cheapest recommendations for a case keep their promise, a row each; `most` relaxations for all runs."""
    name, size, seed, temperature, error = case
    network = unseen(name, size, seed)
    steps = sweeps(network.at(temperature))
    found = recommendations(
        network.at(temperature), network.cost, error=error, steps_free=steps, steps_nudged=steps, seed=seed
    )
    rows = []
    for one in found[:3]:
        if one.relaxations * runs <= most:
            outcome = reached(network, temperature, one, runs=runs, seed=10_000)
            rows.append({"case": case, "runs": runs, **one._asdict(), "share_reached": outcome.pop("share"), **outcome})
    return rows


def unseen(name: str, size: int, seed: int) -> Network:
    """A member of the studies' families, or a chain or a star with couplings J ~ N(0, 1)."""
    if name in FAMILIES:
        return FAMILIES[name](size, seed)
    generator = np.random.default_rng([seed, size])
    couplings = np.zeros((size, size))
    for unit in range(1, size):
        couplings[unit, unit - 1 if name == "chain" else 0] = generator.normal()
    cost = QuadraticCost([size - 1, 0], [0.9, 0.0])
    return Network(name, couplings + couplings.T, 0.3 * generator.normal(size=size), cost)


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
    return without_empty_notes(lines)


def main() -> None:
    """Write results/recommendation.json: UNSEEN, 40 runs each, in about four minutes of one core."""
    rows = [row for case in UNSEEN for row in served(case, runs=40, most=3e7)]
    write_json(Path("results/recommendation.json"), {**provenance(), "rows": rows})


if __name__ == "__main__":
    main()
