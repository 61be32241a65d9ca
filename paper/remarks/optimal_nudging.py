"""Remarks of the section on the nudging with the least error."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import root_scalar
from scipy.stats import chi2, norm

from dynamics.pair_transfer import stationary_trace_moments
from meanfield.equations import activity_variance, cost_force, firing_curvature
from meanfield.learning_rule import leading_bias
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.response import implicit_gradient
from meanfield.solve import fixed_point

SEED = 0
# Steps of each simulated replica over which its traces are averaged.
STEPS = 4000
# β in the central difference of the leak's bias.
STEP = 1e-3


def _c9() -> dict[str, float]:
    """The x² from which on Z² is less likely to stay below it than the mean of two squares; x for 95 %."""
    share = 0.95
    crossing = root_scalar(lambda square: chi2.cdf(square, 1) - chi2.cdf(2 * square, 2), bracket=(1.0, 2.0))
    return {
        "square": crossing.root,
        "margin": float(norm.ppf((1 + share) / 2)),
        "percent": 100 * share,
    }


def _c9b() -> dict[str, float | list[float]]:
    """Bias and variance of ordered phases are aβ² + eε and εv/β; disordered ones have more variance where β ≪ ε."""
    pair, leaks = Model([[0.0, 1.5], [1.5, 0.0]], [0.4, -0.9]), [0.1, 0.02, 0.004]
    found: dict[str, float | list[float]] = {
        "pair_coupling": pair.couplings[0, 1],
        "pair_bias": pair.bias.tolist(),
        "pair_leaks": leaks,
    }
    for cost_on in ("rates", "spikes"):
        found[f"{cost_on}_bias"], found[f"{cost_on}_variance"] = _against_theory(pair, leaks, cost_on)
    net = Model([[0.0, 0.9, -0.6], [0.9, 0.0, 0.5], [-0.6, 0.5, 0.0]], [0.4, -0.7, 0.3])
    nudgings, replicas, errors = [0.4, 0.1, 0.025], 1000, []
    found |= {"net_couplings": net.couplings[np.triu_indices(3, 1)].tolist(), "net_bias": net.bias.tolist()}
    for name, leak in (("large", 0.2), ("middle", 0.05), ("small", 0.0125)):
        ratios, deviations = _simulated(net, leak, np.array(nudgings), replicas)
        found |= {f"{name}_leak": leak, f"{name}_variances": ratios.tolist()}
        errors.append(deviations.max())
    return found | {"nudgings": nudgings, "replicas": replicas, "sampling_error": max(errors)}


def _against_theory(pair: Model, leaks: list[float], cost_on: str) -> tuple[list[float], list[float]]:
    """Bias over aβ² + eε and variance over εv/β of J₁₂'s estimate at ε = β."""
    cost = QuadraticCost([1], [0.0])
    target = implicit_gradient(pair, cost, cost_on).couplings[0, 1]
    curvature = leading_bias(pair, cost, nudging=1.0, cost_on=cost_on).couplings[0, 1]
    leaked = (_leak_bias(pair, cost, cost_on, STEP) - _leak_bias(pair, cost, cost_on, -STEP)) / (2 * STEP)
    biases, variances = [], []
    for leak in leaks:
        moments = stationary_trace_moments(pair, cost, nudging=leak, leak=leak, cost_on=cost_on)
        biases.append((moments.mean.couplings[0, 1] - target) / (curvature * leak**2 + leaked * leak))
        variances.append(moments.variance.couplings[0, 1] / _trace_noise(pair, cost, cost_on))
    return biases, variances


def _linearised(
    model: Model, cost: QuadraticCost, cost_on: str, nudging: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The nudged fixed point, v, the field's Jacobian and B there, at T = 1."""
    mean = fixed_point(model, method="newton", tolerance=1e-14, cost=cost, nudging=nudging, cost_on=cost_on).value
    variance = activity_variance(mean)
    couplings = model.couplings - nudging * np.diag(cost.force(model.size, cost_on)[0])
    return mean, variance, couplings, np.eye(model.size) - variance[:, None] * couplings


def _trace_noise(model: Model, cost: QuadraticCost, cost_on: str) -> float:
    """v₁₂ = wᵀΣ¹w."""
    mean, variance, _, system = _linearised(model, cost, cost_on, 0.0)
    slope, offset = cost.force(model.size, cost_on)
    response = np.linalg.solve(system, variance * (slope * mean + offset))
    noise = solve_continuous_lyapunov(system, np.diag(np.abs(response)) / 2)
    return float(mean[1::-1] @ noise[:2, :2] @ mean[1::-1])


def _leak_bias(pair: Model, cost: QuadraticCost, cost_on: str, nudging: float) -> float:
    """−(Σ₁₂ + m₁δ₂ + m₂δ₁)/ε at the nudged fixed point, as ε → 0."""
    mean, variance, couplings, system = _linearised(pair, cost, cost_on, nudging)
    covariance = solve_continuous_lyapunov(system, np.diag(variance))
    bend = firing_curvature(mean, pair.temperature) * np.diag(couplings @ covariance @ couplings) / 2
    return -float(covariance[0, 1] + mean @ np.linalg.solve(system, bend)[::-1])


def _simulated(net: Model, leak: float, nudgings: FloatArray, replicas: int) -> tuple[FloatArray, FloatArray]:
    """Variance of J₁₂'s estimate over εv₁₂/β for each β, and its standard error, from time averages of coupled traces."""
    generator, cost = np.random.default_rng(SEED), QuadraticCost([2], [1.0])
    slope, offset = (part[:, None] for part in cost.force(net.size, "rates"))
    strengths = np.concatenate([nudgings, -nudgings])[:, None, None]
    start = fixed_point(net, method="newton").value
    traces = np.tile(start[:, None], (len(strengths), 1, replicas))
    settled, pause = int(12 / leak), int(0.5 / leak)
    readings = STEPS // pause
    total, square = np.zeros((2, len(nudgings), replicas))
    for step in range(settled + pause * readings):
        field = net.couplings @ traces + net.bias[:, None] + cost_force(traces, slope, offset, strengths)
        # a logistic number below h is a uniform one below σ(h)
        traces += leak * ((generator.logistic(size=(net.size, replicas)) < field) - traces)
        if step >= settled and (step - settled) % pause == 0:
            products = traces[:, 0] * traces[:, 1]
            change = products[: len(nudgings)] - products[len(nudgings) :]
            total += change / readings
            square += change**2 / readings
    mean = total.mean(axis=1, keepdims=True)
    spread = (square - 2 * mean * total + mean**2) / (4 * nudgings * leak * _trace_noise(net, cost, "rates"))[:, None]
    return spread.mean(axis=1), spread.std(axis=1) / np.sqrt(replicas)


REMARKS = {"C9": _c9, "C9b": _c9b}
