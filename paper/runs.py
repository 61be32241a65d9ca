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
    event_stream,
    fashion_gradient,
    fashion_learning,
    fashion_rules,
    neighbour_rules,
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
    "digits": neighbour_rules.looks("digits"),
    "options": {
        name: rule
        for name, rule in neighbour_rules.looks("fashion10k").items()
        if name.endswith(neighbour_rules.STOCHEP) or name not in fashion_rules.RULES
    },
}
# families whose updates figures.rule_time_study times
TIMED = ("digits", "options")
# StochEP and BPTT of each family whose recipe the text tells
RECIPES = {
    "full": ("fashion_stochastic_probabilities", "fashion_bptt"),
    "reach": ("reach_stochastic_probabilities", "reach_bptt"),
    "rules": ("fashion10k_stochastic_probabilities", "fashion10k_bptt"),
    "streams": ("saccades_stochastic_probabilities", "saccades_bptt_spikes"),
}
RECIPE_NAMES = {"fashion_stochastic_probabilities": "stochep", "fashion_bptt": "bptt"}
PICTURES = {
    "fashion_learning": fashion_learning, "reach_learning": reach_learning, "fashion_rules": fashion_rules,
    "net_size": net_size, "sparsity": sparsity, "event_stream": event_stream, "training_stability": training_stability,
    "training_cost": training_cost, "certificates": certificates, "fashion_gradient": fashion_gradient,
    "neighbour_rules": neighbour_rules,
}  # fmt: skip


def record() -> dict[str, Any]:
    """What the section on recorded runs tells.

    By family the recorded experiments, errors in per cent. paired: by another rule of the full-size family the mean difference
    of StochEP's error from its of the same seed, and its standard error; options_paired the same by option. times: by data set and
    label what an update takes over StochEP's. recipes: of each
    family whose recipe the text tells. sizes: errors on validation images by net and rule. leaks: the same by leak, and how far
    B10 is from what was measured. gradient: what the error of the full-size gradient consists of. sparse: the net without
    measures and the sparsest within a point of it. stability: failures of the small nets. certified: by family gains, and how
    predictions met their measurement.
    """
    found = {
        family: {name: documents for name, documents in gathered(rules).items() if documents}
        for family, rules in FAMILIES.items()
    }
    times = {family: found["times"] for family, found in neighbour_rules.compute().items()}
    timed = {row["name"]: row["milliseconds"] for rows in times.values() for row in rows}
    return {
        **{
            family: [
                _row(FAMILIES[family][name], documents, timed.get(name) if family in TIMED else None)
                for name, documents in rows.items()
            ]
            for family, rows in found.items()
        },
        "paired": _paired(found["full"], "fashion_stochastic_probabilities", FAMILIES["full"]),
        "options_paired": _paired(found["options"], "fashion10k_stochastic_probabilities", FAMILIES["options"]),
        "times": {
            family: {neighbour_rules.looks(family)[row["name"]].label: row["ratio"] for row in rows}
            for family, rows in times.items()
        },
        "recipes": {family: _recipe(*names) for family, names in RECIPES.items()},
        "sizes": _sizes(),
        "leaks": _leaks(),
        "gradient": _gradient(),
        "sparse": _sparse(),
        "stability": _stability(),
        "certified": _certified(),
    }


def _paired(found: dict[str, list[dict[str, Any]]], name: str, rules: dict[str, Rule]) -> dict[str, dict[str, float]]:
    """By label of another rule: mean and standard error of the test error of `name` minus its, in points, over seeds of both."""
    errors = {
        name: {document["seed"]: _test_error(document) for document in documents} for name, documents in found.items()
    }
    own = errors.pop(name, {})
    paired = {}
    for another, other in errors.items():
        gaps = np.array([own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())])
        if gaps.size > 1:
            error = float(gaps.std(ddof=1) / np.sqrt(gaps.size))
            paired[rules[another].label] = {"gap": float(gaps.mean()), "error": error}
    return paired


def _test_error(document: dict[str, Any]) -> float:
    """In per cent."""
    return 100 * (1 - document["metrics"]["test_accuracy"]["value"])


def _sizes() -> list[dict[str, Any]]:
    """By channels, epochs and feedback the errors of StochEP and BPTT on validation images, in per cent."""
    nets: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in net_size.compute()["rows"]:
        channels = "→".join(map(str, row["channels"]))
        net = nets.setdefault(
            (channels, row["epochs"], row["feedback"]),
            {"channels": channels, "epochs": row["epochs"], "feedback": str(Fraction(row["feedback"]))},
        )
        net[RECIPE_NAMES[row["rule"]]] = 100 * (1 - row["validation_accuracy"]["value"])
    return list(nets.values())


def _leaks() -> dict[str, Any] | None:
    rows = event_stream.compute()["leaks"]
    if not rows:
        return None
    tracking = next(row["tracking"] for row in rows if row.get("tracking"))
    measured = np.array(tracking["measured"])
    excess = np.array(tracking["predicted"]) / measured
    followed = np.array(tracking["followed"]) / measured
    return {
        "errors": [[row["leak"], 100 * (1 - row["validation_accuracy"]["value"])] for row in rows],
        "excess": [float(excess.min()), float(excess.max())],
        "followed": float(100 * np.abs(followed - 1).max()),
        "best": tracking["best"],
        "followed_best": tracking["leaks"][int(np.argmin(tracking["followed"]))],
        "measured_best": tracking["leaks"][int(measured.argmin())],
    }


def _gradient() -> dict[str, Any] | None:
    """Of the trained net, at the nudging used: by layer the parts of the error, and the cosine of one estimate by variant."""
    data = fashion_gradient.compute()
    if not data["panels"]:
        return None
    panel = next(panel for panel in data["panels"] if panel["network"] == "trained")
    used = min(panel["nudgings"], key=lambda one: abs(np.log(one["nudging"] / data["rule"]["nudging"])))
    return {
        "images": data["images"],
        "budget": {layer: {name: part["value"] for name, part in parts.items()} for layer, parts in panel["budget"].items()},
        "single": {
            variant: {layer: found["single"]["value"] for layer, found in layers.items()}
            for variant, layers in used["variants"].items()
        },
    }  # fmt: skip


def _sparse() -> dict[str, Any] | None:
    """Mean rate and test error in per cent of the net without measures and of the sparsest at most a point worse."""
    settings = {name: rows for name, rows in sparsity.compute()["settings"].items() if rows}
    if sparsity.BASE not in settings:
        return None
    means = {name: sparsity.mean(rows) for name, rows in settings.items()}
    plain = means[sparsity.BASE]
    name = min((name for name, found in means.items() if found[1] <= plain[1] + 1), key=lambda name: means[name][0])
    return {
        "plain_rate": 100 * plain[0], "plain_error": plain[1], "rate": 100 * means[name][0], "error": means[name][1],
        "seeds": len(settings[name]),
    }  # fmt: skip


def _stability() -> dict[str, Any] | None:
    """Of the small nets: seeds a cell, and in how many of the cells spikes failed less often, as often, more often than rates."""
    cells = training_stability.compute()["cells"]
    if not cells:
        return None
    failed = {(cell["rule"], cell["path"], cell["temperature"]): cell["failed"]["value"] for cell in cells}
    spiking, plain = sorted({rule for rule, *_ in failed}, reverse=True)
    gaps = [share - failed[plain, path, heat] for (rule, path, heat), share in failed.items() if rule == spiking]
    return {"cells": len(gaps), "less": sum(gap < 0 for gap in gaps), "more": sum(gap > 0 for gap in gaps)}


def _certified() -> dict[str, Any]:
    nets = certificates.compute()["nets"]
    families: dict[str, list[dict[str, Any]]] = {}
    for net in nets:
        families.setdefault(net["family"], []).append(net)
    said = [one for net in nets for one in net["predictions"]]
    bounds = [one for one in said if one["kind"] == "bound"]
    linear = [100 * abs(one["measured"] / one["predicted"] - 1) for one in said if one["kind"] == "approximation"]
    excess = [one["predicted"] / one["measured"] for one in bounds]
    return {
        "nets": len(nets),
        "families": {
            family: {
                "nets": len(found),
                "gain": [min(net["gains"][0][0] for net in found), max(net["gains"][0][1] for net in found)],
                "absolute": min(net["gains"][1][0] for net in found),
                "below": sum(net["gains"][0][1] < 1 for net in found),
                "above": sum(net["gains"][0][0] > 1 for net in found),
            }
            for family, found in families.items()
        },
        "linear": max(linear, default=None),
        "bounds": len(bounds),
        "kept": sum(one["measured"] <= one["predicted"] + 2 * one["standard_error"] for one in bounds),
        "excess": [min(excess), max(excess)] if excess else None,
    }


def _recipe(learning: str, unrolled: str) -> dict[str, Any]:
    experiment, other = (load(ROOT / "experiments" / f"{name}.toml") for name in (learning, unrolled))
    network, rule = experiment.network, experiment.rule
    assert isinstance(rule, Stochastic)
    assert isinstance(other.rule, Backpropagation)
    assert isinstance(network.temperature, tuple)
    assert isinstance(network.threshold, tuple)
    return {
        "channels": [layer.channels for layer in network.layers if isinstance(layer, ConvTable)],
        "feedback": str(Fraction(network.temperature[1] / network.temperature[0])),
        "temperatures": _list(*(str(Fraction(value)) for value in network.temperature)),
        "thresholds": _list(*(str(Fraction(value)) for value in network.threshold)),
        "leak": str(network.leak),
        "nudging": f"{rule.nudging / network.temperature[-1]:g}",
        "rates": _list(*(f"{rate:.2g}" for rate in experiment.training.rates)),
        "batch": experiment.training.batch,
        "epochs": experiment.training.epochs,
        "images": experiment.data.train_images,
        "free": rule.steps_free,
        "nudged": rule.steps_nudged,
        "window": rule.window,
        "unrolled": other.rule.steps,
        "read": other.rule.window,
        "steps": experiment.inference.steps,
        "tested": experiment.inference.window,
    }


def _list(*words: str) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1]


def _row(rule: Rule, documents: list[dict[str, Any]], timed: float | None) -> dict[str, Any]:
    errors = [_test_error(document) for document in documents]
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
        # of the whole training, the fastest seed's, unless updates were timed by themselves
        "milliseconds": timed
        or min(
            1e3 * document["wall"]["seconds"] / document["wall"]["updates"] / document["config"]["training"]["batch"]
            for document in documents
        ),
    }  # fmt: skip


def draw(folder: Path) -> None:
    """Write the pictures as NAME.png."""
    for name, figure in PICTURES.items():
        (folder / f"{name}.png").write_bytes(page.rendered(figure.draw(figure.compute()), "png"))
