"""Learning with a biased and noisy gradient (family C).

Main results: thm:C10.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from dynamics.enumeration import all_states
from meanfield.bounds.smoothing import cost_range
from meanfield.model import FloatArray, Model, QuadraticCost
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars

EPS = float(np.finfo(float).eps)
FREE_UNIT = ([[0.0]], [0.0], 1.0)
# trajectories of one exact expectation: 4^(N·steps)
STEPS = {1: 5, 2: 3}
QUIET = {"seed": 0, "nudging": 0.5, "bias": 0.0, "spread": 0.0, "start": 0.0, "steps": 200}


@dataclass(frozen=True)
class SmallNet:
    """Gibbs' laws of a net of one or two units as functions of θ = (b, J_12), at stacks of θ, (M, d)."""

    features: FloatArray
    costs: FloatArray
    temperature: float

    @classmethod
    def of(cls, model: Model, cost: QuadraticCost) -> SmallNet:
        states = all_states(model.size)
        pairs = [states[:, [i]] * states[:, [j]] for i, j in itertools.combinations(range(model.size), 2)]
        return cls(np.hstack([states, *pairs]), cost.on_spikes(states), model.temperature)

    def law(self, parameters: FloatArray, nudging: float = 0.0) -> FloatArray:
        """Probabilities of all states, (M, 2^N), nudged by the cost."""
        exponents = (parameters @ self.features.T - nudging * self.costs) / self.temperature
        weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def loss(self, parameters: FloatArray) -> FloatArray:
        """⟨C⟩, (M,)."""
        return self.law(parameters) @ self.costs

    def gradient(self, parameters: FloatArray) -> FloatArray:
        """∂⟨C⟩/∂θ = Cov(φ, C)/T, (M, d)."""
        law = self.law(parameters)
        deviation = self.costs - (law @ self.costs)[:, None]
        return (law * deviation) @ self.features / self.temperature

    def estimates(self, parameters: FloatArray, nudging: float) -> tuple[FloatArray, FloatArray]:
        """Symmetric EP from one independent state a phase: its values (P, d) and their probabilities (M, P)."""
        raised, lowered = self.law(parameters, nudging), self.law(parameters, -nudging)
        values = (self.features[None, :, :] - self.features[:, None, :]) / (2 * nudging)
        chances = raised[:, :, None] * lowered[:, None, :]
        return values.reshape(-1, self.features.shape[1]), chances.reshape(len(parameters), -1)


@claim(
    label="C10",
    title="learning with a biased, noisy gradient",
    kind="inequality",
    hypotheses="L is L₁-smooth, η ≤ 1/L₁, ‖E[g|θ] − ∇L‖ ≤ B and E‖g − E[g|θ]‖² ≤ V along the way",
    norm="spectral",
    domain={
        **model_scalars(2, gain=Interval(0.02, 3.0)),
        "nudging": Interval(0.05, 2.0),
        "rate": Interval(0.05, 1.0),
        "bias": Interval(0.0, 1.0),
        "spread": Interval(0.0, 1.0),
        "start": Interval(-2.0, 2.0),
        "steps": Interval(1, 100, integer=True),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {**QUIET, "model": FREE_UNIT, "bias": 1.0, "spread": 0.5, "rate": 1.0}),
        Falsifier("B² dropped", {**QUIET, "model": FREE_UNIT, "bias": 1.0, "rate": 1.0}),
        Falsifier("η → η²", {**QUIET, "model": FREE_UNIT, "spread": 1.0, "rate": 0.5}),
        Falsifier("η ≤ 1/L₁ dropped", {**QUIET, "model": FREE_UNIT, "bias": 0.1, "rate": 2.1}, drops="η ≤ 1/L₁"),
    ),
    search=False,
)
def learning_descends(
    model: Model,
    seed: int,
    nudging: float,
    rate: float,
    bias: float,
    spread: float,
    start: float,
    steps: int,
    mutation: str | None = None,
) -> Evidence:
    """(1/K)Σ_{k<K}E‖∇L(θ_k)‖² ≤ 2(L₀ − inf L)/(ηK) + L₁ηV + B² for θ_{k+1} = θ_k − ηg_k: spikes' EP over all its outcomes, and
    the quadratic loss that attains it.
    """
    quadratic = _quadratic(rate, bias, spread, start, steps, mutation)
    if mutation == "η ≤ 1/L₁ dropped":
        return Evidence(*quadratic)
    network = _network(model, seed, nudging, rate, mutation)
    measured, bound = (
        np.concatenate([np.atleast_1d(a), np.atleast_1d(b)]) for a, b in zip(quadratic, network, strict=True)
    )
    return Evidence(measured, bound, 1e3 * EPS * (1 + np.abs(bound)))


def _bound(
    drop: float, smoothness: float, rate: float, spread: float, bias: float, steps: int, mutation: str | None
) -> float:
    """2·drop/(ηK) + L₁ηV + B², spread = V, bias = B."""
    power = 2 if mutation == "η → η²" else 1
    systematic = 0.0 if mutation == "B² dropped" else bias**2
    return 2 * drop / (rate * steps) + smoothness * rate**power * spread + systematic


def _quadratic(
    rate: float, bias: float, spread: float, start: float, steps: int, mutation: str | None
) -> tuple[float, float]:
    """L = ½θ² (L₁ = 1), g = θ + bias + noise of variance spread²: mean and variance of θ_k by their recursion."""
    mean, variance, total = start, 0.0, 0.0
    for _ in range(steps):
        total += mean**2 + variance
        mean, variance = mean - rate * (mean + bias), (1 - rate) ** 2 * variance + rate**2 * spread**2
    return total / steps, _bound(0.5 * start**2, 1.0, rate, spread**2, bias, steps, mutation)


def _network(
    model: Model, seed: int, nudging: float, rate: float, mutation: str | None
) -> tuple[list[float], list[float]]:
    """Symmetric EP under Gibbs on θ = (b, J_12), exact over all outcomes, the whole run and one step; in units of (R_C/T)²."""
    generator = np.random.default_rng([seed, 62])
    cost = QuadraticCost([model.size - 1], [generator.choice([0.0, 0.2, 1.0])])
    net, strength = SmallNet.of(model, cost), nudging * model.temperature
    first = np.concatenate([model.bias, model.couplings[np.triu_indices(model.size, 1)]])[None, :]
    reach, temperature = cost_range(model, cost), model.temperature
    # thm:D2 for all parameters: Var(uᵀφ) ≤ d/4
    smoothness = reach * first.size / (4 * temperature**2)
    learning_rate = rate / smoothness
    parameters, chances, total, bias, spread = first, np.ones(1), 0.0, 0.0, 0.0
    steps = STEPS[model.size]
    for _ in range(steps):
        gradient = net.gradient(parameters)
        total += float(chances @ (gradient**2).sum(axis=1))
        values, outcomes = net.estimates(parameters, strength)
        mean = outcomes @ values
        bias = max(bias, float(np.linalg.norm(mean - gradient, axis=1).max()))
        spread = max(spread, float((outcomes @ (values**2).sum(axis=1) - (mean**2).sum(axis=1)).max()))
        parameters = (parameters[:, None, :] - learning_rate * values[None, :, :]).reshape(-1, first.size)
        chances = (chances[:, None] * outcomes).ravel()
    drop = float(net.loss(first)[0]) - float(net.costs.min())
    square, descent = _one_step(net, first, strength, learning_rate, smoothness)
    unit = (temperature / reach) ** 2
    run = _bound(drop, smoothness, learning_rate, spread, bias, steps, mutation)
    return [unit * total / steps, unit * square], [unit * run, unit * descent]


def _one_step(net: SmallNet, first: FloatArray, nudging: float, rate: float, smoothness: float) -> tuple[float, float]:
    """‖∇L‖² ≤ 2(L − E L')/η + ‖E g − ∇L‖² + L₁η Var g, the step from which the theorem sums."""
    values, outcomes = net.estimates(first, nudging)
    gradient, mean = net.gradient(first)[0], outcomes[0] @ values
    variance = float(outcomes[0] @ ((values - mean) ** 2).sum(axis=1))
    descent = 2 * float(net.loss(first)[0] - outcomes[0] @ net.loss(first - rate * values)) / rate
    return float(gradient @ gradient), descent + float(((mean - gradient) ** 2).sum()) + smoothness * rate * variance
