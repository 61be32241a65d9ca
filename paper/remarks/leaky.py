"""Remarks of the section on leaky spikes."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import binom

from dynamics.enumeration import leaky_law
from dynamics.transfer import leaky_stationary
from meanfield import bounds
from meanfield.equations import SUP_CURVATURE, activity_variance, firing_probability
from meanfield.model import FloatArray, Model
from meanfield.response import linear_noise
from meanfield.solve import fixed_point


def _pair(coupling: float, bias: list[float]) -> Model:
    return Model([[0.0, coupling], [coupling, 0.0]], bias)


def _b4() -> dict[str, float | list[float]]:
    """With mixed leaks ℓ₂ does not contract with the least leak: not the map, and not the moments of a noisy unit."""
    coupling, leaks, copies, centre = 3.6, np.array([1.0, 0.1]), np.array([400, 1]), np.full(2, 0.5)
    model = _pair(coupling, [-coupling / 2, -coupling / 2])
    start = np.array([0.5, 0.6])
    moved = (1 - leaks) * start + leaks * firing_probability(model.local_field(start), model.temperature)
    rate = 1 - leaks.min() * (1 - model.gain)
    # s_0 = m* = (½, ½): E‖s_2 − m*‖² by the counts of the first step's spikes
    counts = [np.arange(number + 1) for number in copies]
    grid = np.stack(np.meshgrid(*counts, indexing="ij"), axis=-1)
    law = np.multiply.outer(*[binom.pmf(count, number, 0.5) for count, number in zip(counts, copies, strict=True)])
    traces = (1 - leaks) * centre + leaks * grid / copies
    probability = firing_probability(model.local_field(traces), model.temperature)
    drift = (1 - leaks) * traces + leaks * probability - centre
    square = np.sum(drift**2 + leaks**2 * activity_variance(probability) / copies, axis=-1)
    return {
        "coupling": coupling,
        "gain": model.gain,
        "bias": model.bias[0],
        "leaks": leaks.tolist(),
        "start": start[1],
        "stretch": float(np.linalg.norm(moved - centre) / np.linalg.norm(start - centre)),
        "moment": np.sum(law * square) / (np.sum(leaks**2 / (4 * copies)) * (1 + rate**2)),
        "rate": rate,
    }


def _b5() -> dict[str, float | list[float]]:
    """How near pairs come to the bounds on covariance and bias, and a negative covariance."""
    attractive, leaks = _pair(1.0, [-0.5, -0.5]), [0.3, 0.03, 0.003]
    covariances = [
        leaky_stationary(attractive, leak=leak).covariance[0, 1]
        / bounds.leaky_covariance_matrix(attractive, leak=leak)[0, 1]
        for leak in leaks
    ]
    couplings, biases, steepest = [0.3, 0.1, 0.03], [], math.log(2 + math.sqrt(3))
    for coupling in couplings:
        pair = _pair(coupling, [steepest - coupling / 2, -coupling * firing_probability(steepest, 1.0)])
        error = leaky_stationary(pair, leak=0.5).mean - fixed_point(pair, method="newton").value
        biases.append(abs(error[0]) / bounds.leaky_mean_error(pair, leak=0.5)[0])
    repulsive_leak = 0.3
    return {
        "leaks": leaks,
        "covariances": covariances,
        "couplings": couplings,
        "biases": biases,
        "repulsive_leak": repulsive_leak,
        "repulsive": leaky_stationary(_pair(-2.0, [1.0, 1.0]), leak=repulsive_leak).covariance[0, 1],
    }


def _b8() -> dict[str, float]:
    """The tail bound of one unit's first step, and a pair whose time average needs the factor (1 − κ_a)²."""
    unit, radius = Model([[0.0]], [0.0]), 0.5
    paths, law = leaky_law(unit, leak=1.0, steps=1)
    last = paths[:, -1, 0]
    tail = law[np.abs(last - law @ last) >= radius].sum()
    bound = 2 * math.exp(-(radius**2) / (2 * bounds.leaky_covariance_matrix(unit, leak=1.0, steps=1)[0, 0]))
    gain, steps = 0.8, 9
    paths, law = leaky_law(_pair(4 * gain, [-2 * gain, -2 * gain]), leak=1.0, steps=steps)
    average = paths[:, 1:].mean(axis=1).sum(axis=1) / math.sqrt(2)
    return {"tail": tail / bound, "gain": gain, "average": 4 * steps * (law @ (average - law @ average) ** 2)}


def _b11() -> dict[str, float | list[float]]:
    """What the linear noise approximation of a pair leaves, over (ε/K)², as the leak falls; with one and three copies."""
    pair, leaks, copies = _pair(2.0, [-0.6, 0.4]), [0.2, 0.1, 0.05, 0.025], (1, 3)
    mean = fixed_point(pair, method="newton").value
    left = np.zeros((len(copies), 2, len(leaks)))
    for k, number in enumerate(copies):
        for j, leak in enumerate(leaks):
            moments = leaky_stationary(pair, leak=leak, copies=number)
            covariance, shift = linear_noise(pair, mean, leak, number)
            remainders = np.abs(moments.covariance - covariance).max(), np.abs(moments.mean - mean - shift).max()
            left[k, :, j] = np.array(remainders) * (number / leak) ** 2
    changes = 100 * np.abs(left[1] / left[0] - 1).max(axis=1)
    return {
        "biases": pair.bias.tolist(),
        "leaks": leaks,
        "covariance": left[0, 0].tolist(),
        "bias": left[0, 1].tolist(),
        "covariance_change": changes[0],
        "bias_change": changes[1],
    }


def _b9() -> dict[str, float]:
    """Equal couplings w/N: the errors of mean field and TAP, their ratio, and how near the uniform bound they come."""
    size, field, weak_field, repulsive_field = 800, -0.7, -0.3, 1.5
    strong, strong_errors, _ = _equal_couplings(size, 2.0, field)
    weak, weak_errors, _ = _equal_couplings(size, 2.0, weak_field)
    _, errors, leading = _equal_couplings(size, -2.0, repulsive_field)
    # w → 0: |1 − 2m| v²/2 over M₂/8, in x = |1 − 2m|
    nearest = minimize_scalar(lambda x: -x * (1 - x**2) ** 2 / (4 * SUP_CURVATURE), bounds=(0, 1), method="bounded")
    return {
        "field": field,
        "strength": strong,
        "ratio": strong_errors[1] / strong_errors[0],
        "weak_field": weak_field,
        "weak_strength": weak,
        "weak_ratio": weak_errors[1] / weak_errors[0],
        "repulsive_field": repulsive_field,
        "repulsive_mean_field": errors[0] / leading[0],
        "repulsive_tap": errors[1] / leading[1],
        "nearest": -nearest.fun,
    }


def _equal_couplings(size: int, weight: float, field: float) -> tuple[float, FloatArray, FloatArray]:
    """For J_ij = w/N, b_i = b, T = 1: u = wv, the errors (mean field, TAP) of a mean, and their leading terms."""
    limit = fixed_point(_pair(weight, [field, field]), method="newton").value[0]
    strength = weight * limit * (1 - limit)
    active = np.arange(size + 1)
    exponent = weight * active * (active - 1) / (2 * size) + field * active
    exponent -= gammaln(active + 1) + gammaln(size - active + 1)
    law = np.exp(exponent - exponent.max())
    model = Model(weight / size * (1 - np.eye(size)), np.full(size, field))
    points = [fixed_point(model, method="newton", correction=correction).value[0] for correction in ("none", "onsager")]
    leading = (1 - 2 * limit) / (2 * size) * np.array([strength**2, strength**3]) / (1 - strength) ** 2
    return strength, law @ active / law.sum() / size - np.array(points), leading


REMARKS = {"B4": _b4, "B5": _b5, "B8": _b8, "B11": _b11, "B9": _b9}
