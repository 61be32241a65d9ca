"""Family C, the mean-field gradient against the exact Gibbs gradient: its bias.

Main results: thm:C6, thm:C6b.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.enumeration import exact_gradient, exact_law
from meanfield import bounds
from meanfield.learning_rule import equilibrium_gradient
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from meanfield.response import implicit_gradient
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
LOG_NUDGING = Interval(math.log(0.01), math.log(10.0))
# units at their symmetric point, weakly coupled: the mean variance of a neighbour's field is all of the error
WEAK_PAIR = ([[0.0, 0.02], [0.02, 0.0]], [-0.01, -0.01], 1.0)
WARM_PAIR = ([[0.0, 0.08], [0.08, 0.0]], [-0.04, -0.04], 4.0)
BIASED_PAIR = ([[0.0, 0.02], [0.02, 0.0]], [1.0, 1.2], 1.0)
STRONG_TRIANGLE = ([[0.0, 1.2, 1.2], [1.2, 0.0, 1.2], [1.2, 1.2, 0.0]], [-0.7, -0.9, -1.6], 1.0)
FREE_PAIR = ([[0.0, 0.0], [0.0, 0.0]], [0.4, -0.3], 1.0)


def _entries(gradient: Gradient) -> FloatArray:
    """Its bias entries and each pair once, in one vector."""
    return np.concatenate([gradient.bias, gradient.couplings[np.triu_indices(gradient.bias.size, 1)]])


def _difference(one: Gradient, other: Gradient) -> FloatArray:
    return np.abs(_entries(one) - _entries(other))


def _exact_estimate(model: Model, cost: QuadraticCost, strengths: tuple[float, float]) -> Gradient:
    """[g(β₁) − g(β₂)]/(β₁ − β₂) of the Gibbs statistic g = (−⟨z_i z_j⟩, −⟨z_i⟩)."""
    laws = [exact_law(model, cost=cost, nudging=strength) for strength in strengths]
    pairs, means = ([law.covariance + np.outer(law.mean, law.mean) for law in laws], [law.mean for law in laws])
    width = strengths[0] - strengths[1]
    return Gradient((pairs[1] - pairs[0]) / width, (means[1] - means[0]) / width)


def _law_rounding(model: Model, nudging: float = 0.0) -> float:
    """Probabilities carry the rounding of energies in units of T; the response amplifies it at most by 1/(1 − κ_a)."""
    scale = (np.abs(model.couplings).sum() + np.abs(model.bias).sum() + model.size * nudging) / model.temperature
    return float(20 * EPS * (model.size + scale)) / max(1 - model.absolute_gain, 1e-3)


def _mutated(bound: Gradient, model: Model, mutation: str | None) -> Gradient:
    if mutation == "T⁻²":
        return Gradient(bound.couplings / model.temperature, bound.bias / model.temperature)
    if mutation == "k dropped":
        mean_part = np.outer(bound.bias, np.ones(model.size))
        return Gradient(mean_part + mean_part.T, bound.bias)
    return bound


@claim(
    label="C6",
    title="mean-field gradient against Gibbs' gradient",
    kind="inequality",
    hypotheses="κ_a = ‖|J|‖₂/(4T) < 1, cost on spikes",
    norm="absolute",
    domain={**model_scalars(8), "log_nudging": LOG_NUDGING},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": WEAK_PAIR, "seed": 1, "log_nudging": -4.0}),
        Falsifier("T⁻²", {"model": WARM_PAIR, "seed": 1, "log_nudging": -4.0}),
        Falsifier("k dropped", {"model": BIASED_PAIR, "seed": 1, "log_nudging": -4.0}),
        Falsifier(
            "cost on rates", {"model": FREE_PAIR, "seed": 1, "log_nudging": 0.0}, drops="the same cost in both systems"
        ),
    ),
    instances=150,
)
def gradient_bias(model: Model, seed: int, log_nudging: float, mutation: str | None = None) -> Evidence:
    """T|dC̄(m*)/db_i − ∂⟨C⟩/∂b_i| ≤ e_i and T|dC̄(m*)/dJ_ij − ∂⟨C⟩/∂J_ij| ≤ m_j e_i + m_i e_j + X̂_iδ_j + X̂_jδ_i + k_ij;
    with m̂ for m the same holds of the one-sided and the symmetric estimates of both systems at any finite nudging.
    """
    cost = random_cost(model.size, seed)
    temperature, nudging = model.temperature, model.temperature * math.exp(log_nudging)
    cost_on = "rates" if mutation == "cost on rates" else "spikes"
    free, nudged = bounds.gradient_error(model, cost), bounds.gradient_error(model, cost, nudging=nudging)
    measured = [_difference(implicit_gradient(model, cost, cost_on), exact_gradient(model, cost))]
    for estimator, strengths in (("one-sided", (nudging, 0.0)), ("symmetric", (nudging, -nudging))):
        estimate = equilibrium_gradient(model, cost, nudging=nudging, estimator=estimator, cost_on=cost_on)
        measured.append(_difference(estimate, _exact_estimate(model, cost, strengths)))
    stated = [_entries(_mutated(bound, model, mutation)) for bound in (free, nudged, nudged)]
    rounding = _law_rounding(model, nudging)
    return Evidence(
        temperature * np.concatenate(measured),
        temperature * np.concatenate(stated),
        np.repeat(
            [rounding, 4 * rounding * temperature / nudging, 4 * rounding * temperature / nudging], len(stated[0])
        ),
        ceiling=_size_limit(model, cost),
    )


def _size_limit(model: Model, cost: QuadraticCost) -> FloatArray:
    """The largest that two gradients of the claim can differ, over all biases: their sizes added."""
    _, offset = cost.force(model.size, "spikes")
    strength = np.abs(offset)
    linear = np.linalg.solve(np.eye(model.size) - np.abs(model.couplings) / (4 * model.temperature), strength / 4)
    pairs = linear[:, None] + linear + strength.sum() / 4
    return np.tile(_entries(Gradient(pairs, linear + strength.sum() / 4)), 3)


def _local_bound(model: Model, cost: QuadraticCost, mutation: str | None) -> Gradient:
    """thm:C6b's bound, or a part of it."""
    if mutation is None:
        return bounds.local_gradient_error(model, cost)
    centre, radius = bounds.gibbs_gradient(model, cost)
    if mutation == "leading terms alone":
        naive = implicit_gradient(model, cost, "spikes")
        return Gradient(np.abs(centre.couplings - naive.couplings), np.abs(centre.bias - naive.bias))
    return radius


@claim(
    label="C6b",
    title="the same, a posteriori at the fixed point",
    kind="inequality",
    hypotheses="κ_a = ‖|J|‖₂/(4T) < 1, cost on spikes",
    norm="absolute",
    domain=model_scalars(8),
    falsifiers=(
        Falsifier("constant × 0.9", {"model": WEAK_PAIR, "seed": 1}),
        Falsifier("leading terms alone", {"model": STRONG_TRIANGLE, "seed": 1}),
        Falsifier("remainders alone", {"model": BIASED_PAIR, "seed": 1}),
    ),
    instances=100,
)
def local_gradient_bias(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """The Gibbs law's means, covariances and third cumulants are their expansions to second order about m*, up to
    remainders with the extremes of σ's derivatives over the fields that a unit can have; by linearity so is its
    gradient, and |mean-field gradient − Gibbs' gradient| ≤ |leading terms| + remainders, entrywise.
    """
    cost, temperature = random_cost(model.size, seed), model.temperature
    error = _difference(implicit_gradient(model, cost, "spikes"), exact_gradient(model, cost))
    stated = _entries(_local_bound(model, cost, mutation))
    return Evidence(
        temperature * error,
        temperature * stated,
        _law_rounding(model),
        ceiling=_size_limit(model, cost)[: len(stated)],
    )
