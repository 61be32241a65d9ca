"""What the paper's experiments say: tables and pictures of the recorded runs, read from results/ alone.

Main results: record, draw.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dynamics.crnn.config import Backpropagation, ConvTable, Stochastic, load
from figures import (
    certificates,
    digits_learning,
    event_stream,
    fashion_gradient,
    fashion_learning,
    fashion_rules,
    net_size,
    page,
    reach_learning,
    sparsity,
    training_cost,
    training_stability,
)  # fmt: skip
from figures.learning import ROOT, Rule, gathered

FAMILIES: dict[str, dict[str, Rule]] = {
    "full": fashion_learning.RULES,
    "reach": reach_learning.RULES,
    "rules": fashion_rules.RULES,
    "streams": event_stream.RULES,
    "digits": digits_learning.RULES,
}
# StochEP and BPTT of each family whose recipe the text tells
RECIPES = {
    "full": ("fashion_stochastic_probabilities", "fashion_bptt"),
    "reach": ("reach_stochastic_probabilities", "reach_bptt"),
    "rules": ("fashion10k_stochastic_probabilities", "fashion10k_bptt"),
    "streams": ("saccades_stochastic_probabilities", "saccades_bptt_spikes"),
}
PICTURES = {
    "fashion_learning": fashion_learning, "reach_learning": reach_learning, "fashion_rules": fashion_rules,
    "net_size": net_size, "sparsity": sparsity, "event_stream": event_stream, "training_stability": training_stability,
    "training_cost": training_cost, "certificates": certificates, "fashion_gradient": fashion_gradient,
}  # fmt: skip


def record() -> dict[str, Any]:
    """Of each family the recorded experiments: errors in per cent with their intervals, by seed, and what else a table shows.

    recipes: of each family whose recipe the text tells, channels, epochs, images, phases, BPTT's steps. sparse: the dense net and
    the sparsest within a point of it. certified: of each family of certified nets their number and the largest proven end of κ, and
    of all nets how many bounds and approximations met their measurement.
    """
    rows = {
        family: [_row(rules[name], documents) for name, documents in gathered(rules).items() if documents]
        for family, rules in FAMILIES.items()
    }
    return {
        **rows,
        "recipes": {family: _recipe(*names) for family, names in RECIPES.items()},
        "sparse": _sparse(),
        "certified": _certified(),
    }


def _sparse() -> dict[str, Any] | None:
    """Mean rate and test error in per cent of the dense net and of the sparsest at most a point worse; None without runs."""
    settings = {name: rows for name, rows in sparsity.compute()["settings"].items() if rows}
    if sparsity.BASE not in settings:
        return None
    means = {name: sparsity.mean(rows) for name, rows in settings.items()}
    dense = means[sparsity.BASE]
    rate, error = min(found for found in means.values() if found[1] <= dense[1] + 1)
    return {"dense_rate": 100 * dense[0], "dense_error": dense[1], "rate": 100 * rate, "error": error}


def _certified() -> dict[str, Any]:
    nets = certificates.compute()["nets"]
    gains: dict[str, list[float]] = {}
    for net in nets:
        gains.setdefault(net["family"], []).append(net["gains"][0][1])
    said = [one for net in nets for one in net["predictions"]]
    bounds = [one for one in said if one["kind"] == "bound"]
    ratios = [one["measured"] / one["predicted"] for one in said if one["kind"] == "approximation"]
    return {
        "nets": len(nets),
        "families": {
            family: {"nets": len(found), "gain": max(found), "below": sum(gain < 1 for gain in found)}
            for family, found in gains.items()
        },
        "bounds": len(bounds),
        "kept": sum(one["measured"] <= one["predicted"] + 2 * one["standard_error"] for one in bounds),
        "approximations": len(ratios),
        "ratios": [min(ratios), max(ratios)] if ratios else None,
    }


def _recipe(learning: str, unrolled: str) -> dict[str, Any]:
    experiment, other = (load(ROOT / "experiments" / f"{name}.toml") for name in (learning, unrolled))
    network, rule = experiment.network, experiment.rule
    assert isinstance(rule, Stochastic)
    assert isinstance(other.rule, Backpropagation)
    assert isinstance(network.temperature, tuple)
    return {
        "channels": [layer.channels for layer in network.layers if isinstance(layer, ConvTable)],
        "feedback": str(Fraction(network.temperature[1] / network.temperature[0])),
        "epochs": experiment.training.epochs,
        "images": experiment.data.train_images,
        "free": rule.steps_free,
        "nudged": rule.steps_nudged,
        "window": rule.window,
        "unrolled": other.rule.steps,
    }


def _row(rule: Rule, documents: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [100 * (1 - document["metrics"]["test_accuracy"]["value"]) for document in documents]
    ends = [document["metrics"]["test_accuracy"] for document in documents]
    radii = [document["curves"]["radius"][-1] for document in documents]
    return {
        "label": rule.label,
        "seeds": len(documents),
        "images": ends[0]["n"],
        "epochs": documents[0]["config"]["training"]["epochs"],
        "error": float(np.mean(errors)),
        "least": min(errors),
        "largest": max(errors),
        # of one seed, as wide as the widest
        "interval": 50 * max(end["high"] - end["low"] for end in ends),
        "train": 100 * float(np.mean([document["curves"]["train_error"][-1] for document in documents])),
        "rates": np.mean([document["curves"]["rates"][-1] for document in documents], axis=0).tolist(),
        "radius": None if None in radii else float(np.mean(radii)),
        "milliseconds": float(
            np.mean([
                1e3 * document["wall"]["seconds"] / document["wall"]["updates"] / document["config"]["training"]["batch"]
                for document in documents
            ])
        ),
    }  # fmt: skip


def draw(folder: Path) -> None:
    """Write the pictures as NAME.png."""
    for name, figure in PICTURES.items():
        (folder / f"{name}.png").write_bytes(page.rendered(figure.draw(figure.compute()), "png"))
