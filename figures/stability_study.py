"""Does temperature smooth the landscape and stabilise training? One small conv net, many temperatures, trained again and again.

Main results: study, PATHS.

    python -m figures.stability_study

writes results/stability.json. Temperature moves the loop gain J/T, the drive and the nudging over T at once (thm:F2). It is moved
along two paths, β/T kept on both: *weights kept*, where gain and drive both fall as T rises, and *gain kept*, where the weights
between free layers begin as much larger as T is, their rates by its square, so that they move by the same share of themselves:
there T is the width of a neuron against its input alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dynamics.crnn.config import Backpropagation, Experiment, fingerprint, load
from dynamics.crnn.gradient_quality import repeated
from dynamics.crnn.network import Array, Network
from dynamics.crnn.result import recorded
from dynamics.crnn.run import Run, prepare
from dynamics.crnn.train import Divergence, train
from dynamics.provenance import provenance, write_json
from figures.learning import ROOT, mapped

RECORD = ROOT / "results" / "stability.json"
RULES = ("stability_deterministic", "stability_stochastic")
PATHS = ("weights kept", "gain kept")
FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
# a run has failed when more of the validation images than these are wrong after it
FAILED = 0.5
BATCHES, IMAGES, REPEATS = 12, 32, 4
# of the weights, the step over which a gradient is asked how much it changed
STEP = 1e-3
REFERENCE = Backpropagation(steps=60, window=1)


def study(
    *,
    rules: Sequence[str] = RULES,
    paths: Sequence[str] = PATHS,
    factors: Sequence[float] = FACTORS,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (),
    processes: int = 2,
) -> dict[str, Any]:
    """Every run of `rules` × `paths` × `factors` × seeds: whether it failed, how it relaxed, and its gradients before and after."""
    cases = [(rule, path, factor) for rule in rules for path in paths for factor in factors]
    experiments = [_experiment(*case, overrides, seeds) for case in cases]
    found = mapped(_trained, experiments, processes=processes)
    rows = [
        {
            "rule": rule,
            "path": path,
            "temperature": experiment.network.temperature,
            "config_hash": fingerprint(experiment),
            **row,
        }
        for (rule, path, _), experiment, each in zip(cases, experiments, found, strict=True)
        for row in each
    ]
    return {"failed": FAILED, "batches": BATCHES, "images": IMAGES, "repeats": REPEATS, "step": STEP, "runs": rows}


def _experiment(rule: str, path: str, factor: float, overrides: Sequence[str], seeds: Sequence[int]) -> Experiment:
    """The rule's experiment at `factor` times its temperature, along a path."""
    base = load(ROOT / "experiments" / f"{rule}.toml", overrides, seeds)
    network, training = base.network, base.training
    grown = factor if path == "gain kept" else 1.0
    inner = range(1, len(network.layers))
    scales = [scale * (grown if n in inner else 1.0) for n, scale in enumerate(network.scales)]
    rates = [rate * (grown**2 if n in inner else 1.0) for n, rate in enumerate(training.rates)]
    fields = msgspec.to_builtins(base)
    fields["network"] |= {"temperature": fields["network"]["temperature"] * factor, "scales": scales}
    fields["training"] |= {"rates": rates}
    fields["rule"] |= {"nudging": fields["rule"]["nudging"] * factor}
    return msgspec.convert(fields, Experiment)


def _trained(experiment: Experiment) -> list[dict[str, Any]]:
    """One row a seed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for run in prepare(experiment, Path(folder)):
            row: dict[str, Any] = {"seed": run.seed, "start": _gradients(run, run.network(run.state))}
            try:
                curves = train(run, lambda _: None)["curves"]
            except Divergence:
                rows.append({**row, "diverged": True, "error": None, "radius": [], "contraction": [], "end": None})
                continue
            _, network = recorded(run.folder)
            rows.append({
                **row, "diverged": False, "error": 1.0 - curves["validation_accuracy"][-1], "radius": curves["radius"],
                "contraction": curves["contraction"], "end": _gradients(run, network),
            })  # fmt: skip
    return rows


def _gradients(run: Run, network: Network) -> dict[str, float | None]:
    """noise: variance of a batch's estimate over its mean's square, images and spikes together; spikes: the spikes' share of it.

    roughness: how many times faster than the weights, both relative, the exact gradient changes along itself, median over batches.
    """
    images, chosen = run.data.train, np.random.default_rng([run.seed, 0]).permutation(len(run.data.train.labels))
    batches = [chosen[n * IMAGES : (n + 1) * IMAGES] for n in range(BATCHES)]
    taken = [(images.batch(own), np.eye(run.data.classes)[images.labels[own]]) for own in batches]
    repeats = REPEATS if run.experiment.spikes else 1
    # batch, repeat, weight
    found = np.array([
        repeated(run.experiment.rule, network, *own, seed=run.seed + 1000 * n, repeats=repeats) for n, own in enumerate(taken)
    ])  # fmt: skip
    within = float(found.var(axis=1, ddof=1).sum(axis=-1).mean()) if repeats > 1 else 0.0
    between = float(found.mean(axis=1).var(axis=0, ddof=1).sum()) - within / repeats
    square = float((found.mean(axis=(0, 1)) ** 2).sum()) - (between + within / repeats) / BATCHES
    noise = (between + within) / square if square > 0 else None
    return {
        "noise": noise,
        "spikes": within / (between + within) if between + within > 0 else None,
        "roughness": float(np.median([_roughness(network, *own) for own in taken])),
    }


def _roughness(network: Network, images: Array, targets: Array) -> float:
    """(‖∇L(w + δ) − ∇L(w)‖/‖∇L(w)‖)/(‖δ‖/‖w‖) for δ along −∇L(w), ‖δ‖ = STEP·‖w‖, the deterministic loss through 60 steps."""
    (gradient,) = repeated(REFERENCE, network, images, targets, seed=0, repeats=1)
    length = np.linalg.norm(gradient)
    if length == 0.0:
        return 0.0
    moved = network.weights - STEP * np.linalg.norm(network.weights) * gradient / length
    (other,) = repeated(REFERENCE, replace(network, weights=moved), images, targets, seed=0, repeats=1)
    return float(np.linalg.norm(other - gradient) / length / STEP)


def main() -> None:
    """Write results/stability.json."""
    write_json(RECORD, {**provenance(), **study()})


if __name__ == "__main__":
    main()
