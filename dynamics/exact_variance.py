"""Exact variances of gradient estimates: Glauber phases that have run for ever, and the three-factor estimate.

Main results: stationary_estimator_moments, coupled_variance_coefficient, three_factor_variance (thm:C9).

Two chains that share site and uniform form one chain on pairs of states. All its rates are analytic in the nudging β > 0, so
the variance of an estimate from such a pair has an exact leading coefficient, that of 1/β.
"""

from __future__ import annotations

import numpy as np

from dynamics.coupling import EstimatorMoments, gradient_of, reading
from dynamics.enumeration import all_states, exact_law, nudged_bias
from meanfield.equations import firing_probability, firing_slope
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, whole_number

MAX_PAIR_UNITS, MAX_MOMENT_UNITS = 5, 12


def stationary_estimator_moments(
    model: Model, cost: QuadraticCost, *, nudging: float, estimator: str = "symmetric", coupled: bool = True
) -> EstimatorMoments:
    """E and Var of one replica's estimate from two Glauber phases that have run for ever, random scan, whole spikes.

    "symmetric" at ±β, "one-sided" at β and 0; coupled phases share site and uniform. The limit of exact_estimator_moments as
    steps_nudged grows. N ≤ 5; ValueError on bad input. Paper: thm:C9.
    """
    _check(model, nudging, estimator)
    lower = -nudging if estimator == "symmetric" else 0.0
    models = [model.with_bias(nudged_bias(model, cost, value)) for value in (nudging, lower)]
    if coupled:
        law = _stationary(pair_chain(*models)).reshape(1 << model.size, -1)
    else:
        law = np.outer(*(exact_law(one).probabilities for one in models))
    states = all_states(model.size)
    values = -reading(states, states, states) / (nudging - lower)
    change = values[:, None] - values[None, :]
    mean = np.tensordot(law, change, axes=2)
    return EstimatorMoments(
        gradient_of(mean, model.size), gradient_of(np.tensordot(law, (change - mean) ** 2, axes=2), model.size)
    )


def coupled_variance_coefficient(model: Model, cost: QuadraticCost) -> Gradient:
    """A = lim E(Δs)²/Δβ as the difference Δβ of the two nudgings vanishes: variance A/β one-sided, A/2β symmetric.

    A_ij = Σ_o (|c_o|/NT) E[σ'(h_o/T) Φ_ij(z with z_o = 1, z with z_o = 0)], Φ the expected sum over all later updates of
    (Δ z_iz_j)² of two free coupled chains. A ≥ |∂⟨C⟩/∂θ| entry by entry, equal when J ≥ 0 and the c_o have one sign; no other
    coupling of whole spikes goes below that. N ≤ 5, else ValueError. Paper: thm:C9.
    """
    _check(model, 1.0, "symmetric")
    size, states = model.size, all_states(model.size)
    values = reading(states, states, states)
    change = ((values[:, None] - values[None, :]) ** 2).reshape(-1, values.shape[1])
    index = np.arange(1 << size)
    apart = (index[:, None] != index[None, :]).ravel()
    within = pair_chain(model, model)[np.ix_(apart, apart)]
    summed = np.zeros_like(change)
    summed[apart] = np.linalg.solve(np.eye(len(within)) - within, change[apart])
    law, chance = exact_law(model).probabilities, firing_probability(model.local_field(states), model.temperature)
    slope = firing_slope(chance, model.temperature)
    _, offset = cost.force(size, "spikes")
    total = np.zeros(change.shape[1])
    for unit in np.flatnonzero(offset):
        split = (index | (1 << unit)) * len(index) + (index & ~(1 << unit))
        total += abs(offset[unit]) / size * ((law * slope[:, unit]) @ summed[split])
    return gradient_of(total, size)


def three_factor_variance(model: Model, cost: QuadraticCost, *, samples: int) -> Gradient:
    """Variance of the sample covariance −Cov(∂E/∂θ, C)/T of S free samples: [(μ₂₂ − μ₁₁²)/S + (μ₂₀μ₀₂ + μ₁₁²)/S(S−1)]/T².

    μ_kl the central moments of ∂E/∂θ and C under exp(−E/T). N ≤ 12, else ValueError. Paper: thm:C9.
    """
    if model.size > MAX_MOMENT_UNITS:
        raise ValueError(f"{model.size} units are too many to enumerate here, the limit is {MAX_MOMENT_UNITS}")
    count = whole_number("samples", samples, 2)
    law, states = exact_law(model).probabilities, all_states(model.size)
    values, linear = reading(states, states, states), states @ cost.force(model.size, "spikes")[1]
    values, linear = values - law @ values, linear - law @ linear
    joint, both = law @ (values * linear[:, None]), law @ (values * linear[:, None]) ** 2
    product = (law @ values**2) * (law @ linear**2)
    variance = (both - joint**2) / count + (product + joint**2) / (count * (count - 1))
    return gradient_of(variance / model.temperature**2, model.size)


def pair_chain(raised: Model, lowered: Model) -> FloatArray:
    """P[(z⁺, z⁻), ·] of one random-scan update that redraws one unit of both with one uniform, (4^N, 4^N), z⁺ · 2^N + z⁻."""
    size, states = raised.size, all_states(raised.size)
    count = len(states)
    up, down = (firing_probability(one.local_field(states), one.temperature) for one in (raised, lowered))
    first, second = np.divmod(np.arange(count**2), count)
    chain = np.zeros((count**2, count**2))
    for unit in range(size):
        bit = 1 << unit
        high, low = up[first, unit], down[second, unit]
        both = np.minimum(high, low)
        for left, right, weight in (
            (bit, bit, both), (bit, 0, high - both), (0, bit, low - both), (0, 0, 1 - np.maximum(high, low)),
        ):  # fmt: skip
            chain[np.arange(count**2), ((first & ~bit) | left) * count + ((second & ~bit) | right)] += weight / size
    return chain


def _stationary(chain: FloatArray) -> FloatArray:
    """The only law with law·chain = law: one closed class, since every pair can reach (0, 0)."""
    count = len(chain)
    return np.linalg.solve((np.eye(count) - chain).T + 1.0, np.ones(count))


def _check(model: Model, nudging: float, estimator: str) -> None:
    if estimator not in ("one-sided", "symmetric"):
        raise ValueError(f"estimator must be 'one-sided' or 'symmetric', got {estimator!r}")
    if not np.isfinite(nudging) or nudging == 0:
        raise ValueError(f"nudging must be finite and non-zero, got {nudging}: the {estimator} estimator divides by it")
    if model.size > MAX_PAIR_UNITS:
        raise ValueError(
            f"{model.size} units have 4^{model.size} pairs of states, too many here (limit {MAX_PAIR_UNITS} units): "
            "use estimate_gradient"
        )
