"""Remarks of the section on neighbours that change the network."""

from __future__ import annotations

import math

import numpy as np

from meanfield.equations import activity_variance
from meanfield.model import FloatArray, Model
from meanfield.solve import fixed_point
from proofs_numeric.comparators.heterogeneous_leaks import (
    UNEVEN,
    edges,
    keeping_probabilities,
    mean_distortion,
    noise_scores,
    resistance_scores,
    scaled_hessian,
)
from proofs_numeric.comparators.memory_capacity import memory_capacity, memory_matrices
from proofs_numeric.instances import random_model

NETWORKS = 200
DENSE = 4
FERROMAGNETIC = 0


def _scaled(model: Model) -> tuple[Model, FloatArray]:
    """The couplings and the response in the coordinates V^−½x."""
    mean = fixed_point(model, method="newton").value
    root = np.sqrt(activity_variance(mean) / model.temperature)
    couplings = root[:, None] * model.couplings * root
    return Model((couplings + couplings.T) / 2, model.bias), np.linalg.inv(scaled_hessian(model, mean))


def _deleted(scaled: Model, response: FloatArray, scores: FloatArray) -> float:
    """‖E‖_F when the half of the edges with the least scores is deleted."""
    first, second = edges(scaled.couplings)
    gone = np.argsort(scores)[: len(scores) // 2]
    change = np.zeros_like(scaled.couplings)
    change[first[gone], second[gone]] = scaled.couplings[first[gone], second[gone]]
    change += change.T
    return math.sqrt(np.trace(response @ change @ response @ change))


def _g7c() -> dict[str, float]:
    """What other scores leave of four neurons of different rates; and plain deletion on random networks."""
    model, size = Model(*UNEVEN), 12
    scaled, response = _scaled(model)
    scores, magnitudes = noise_scores(scaled, response), np.abs(model.couplings[edges(model.couplings)])
    kept = 0.4 * len(scores)
    least, magnitude, resistance = (
        mean_distortion(scores, keeping_probabilities(rival, kept))
        for rival in (scores, magnitudes, resistance_scores(scaled, response))
    )
    ratios = []
    for seed in range(NETWORKS):
        drawn = random_model(
            "spectral",
            size=size,
            gain=0.9,
            log_temperature=0.0,
            shape=(FERROMAGNETIC, DENSE)[seed % 2],
            field=2,
            seed=seed,
        )
        scaled, response = _scaled(drawn)
        left = _deleted(scaled, response, np.abs(drawn.couplings[edges(drawn.couplings)]))
        ratios.append(left / _deleted(scaled, response, noise_scores(scaled, response)))
    return {
        "magnitude": magnitude / least,
        "resistance": resistance / least,
        "networks": NETWORKS,
        "size": size,
        "share": 100 * float(np.mean(np.array(ratios) > 1)),
        "factor": float(np.median(ratios)),
    }


def _g8b() -> dict[str, float | list[float]]:
    """Capacity with mixed leaks against one leak of the same geometric mean."""
    size, signals = 8, (0.3, 3.0, 30.0)
    ratios = np.empty((len(signals), NETWORKS))
    for seed in range(NETWORKS):
        model = random_model("spectral", size=size, gain=0.8, log_temperature=0.0, shape=DENSE, field=2, seed=seed)
        mean, generator = fixed_point(model, method="newton").value, np.random.default_rng([seed, 1])
        weights = generator.normal(size=size)
        logarithms = generator.uniform(math.log(0.05), math.log(0.8), size=size)
        leaks = np.minimum(0.2 * np.exp(logarithms - logarithms.mean()), 1.0)
        common = np.full(size, np.exp(np.log(leaks).mean()))
        hessian, variance = scaled_hessian(model, mean), activity_variance(mean)
        for row, signal in enumerate(signals):
            capacities = [
                memory_capacity(*memory_matrices(hessian, variance, choice, np.ones(size), signal * weights))
                for choice in (leaks, common)
            ]
            ratios[row, seed] = capacities[0] / capacities[1]
    return {
        "size": size,
        "signals": list(signals),
        "share": (100 * (ratios > 1).mean(axis=1)).tolist(),
        "factor": np.median(ratios, axis=1).tolist(),
    }


REMARKS = {"G7c": _g7c, "G8b": _g8b}
