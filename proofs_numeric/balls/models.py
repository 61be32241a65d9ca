"""A model in balls, and the exact laws of small ones: Gibbs', Little's, product laws, and leaky spikes.

Main results: BallModel, law, Law, cost_gradient (thm:C5), free_energy (thm:A2), leaky_histories, leaky_moments (thm:B4,
thm:B5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from dynamics.enumeration import all_states
from meanfield.equations import activity_variance
from meanfield.model import Model, QuadraticCost
from proofs_numeric.balls.arithmetic import Balls, each, exact, logistic, squared

MOST_UNITS = 8
MOST_HISTORIES = 4096


@dataclass(frozen=True, eq=False)
class BallModel:
    """The couplings, bias and temperature of a Model as exact numbers."""

    couplings: Balls
    bias: Balls
    temperature: Any

    @classmethod
    def of(cls, model: Model) -> BallModel:
        """The same numbers; every float is one."""
        return cls(exact(model.couplings), exact(model.bias), arb(model.temperature))

    @property
    def size(self) -> int:
        """N."""
        return len(self.bias)

    def scaled_field(self, state: Any) -> Balls:
        """(Js + b)/T of a state (N,) or a stack (…, N)."""
        return (state @ self.couplings + self.bias) / self.temperature

    def probability(self, state: Any) -> Balls:
        """σ((Js + b)/T)."""
        return logistic(self.scaled_field(state))

    def energy(self, state: Any) -> Any:
        """−½ sᵀJs − bᵀs of a state (N,) or a stack (…, N)."""
        return -((state @ self.couplings) * state).sum(axis=-1) / 2 - state @ self.bias


@dataclass(frozen=True, eq=False)
class Law:
    """A law on {0,1}^N: states and probabilities in the order of all_states, mean (N,), covariance (N, N)."""

    states: Balls
    probabilities: Balls
    log_partition: Any

    @property
    def mean(self) -> Balls:
        """E z."""
        return self.probabilities @ self.states

    @property
    def covariance(self) -> Balls:
        """Cov z."""
        centred = self.states - self.mean
        return (centred * self.probabilities[:, None]).T @ centred

    def expectation(self, values: Balls) -> Any:
        """E f for the values of f, one a state."""
        return self.probabilities @ values


def law(model: Model, *, dynamics: str = "gibbs", cost: QuadraticCost | None = None, nudging: float = 0.0) -> Law:
    """exp(−(E + βC)/T)/Z, or Peretto's exp(bᵀz/T) Π(1 + exp(h_i/T)) with b → b − βc, enclosed by enumeration.

    log_partition is that of E + βC itself, the constant ½‖y‖² of the cost included, for Gibbs. N ≤ 8. Paper: thm:B1, thm:B2.
    """
    _check_size(model)
    if dynamics not in ("gibbs", "little"):
        raise ValueError(f"dynamics must be gibbs or little, got {dynamics!r}")
    balls, states = BallModel.of(model), exact(all_states(model.size))
    strength = arb(nudging)
    if cost is not None:
        offset = cost_coefficients(cost, model.size)
        balls = BallModel(balls.couplings, balls.bias - strength * offset, balls.temperature)
    if dynamics == "little":
        weights = each(arb.exp, states @ balls.bias / balls.temperature)
        return _normalised(states, weights * np.prod(1 + each(arb.exp, balls.scaled_field(states)), axis=1))
    gibbs = gibbs_law(balls)
    if cost is None:
        return gibbs
    constant = strength * squared(exact(cost.target)).sum() / (2 * balls.temperature)
    return Law(gibbs.states, gibbs.probabilities, gibbs.log_partition - constant)


def gibbs_law(balls: BallModel) -> Law:
    """exp(−E/T)/Z of a network whose numbers may be balls."""
    states = exact(all_states(balls.size))
    return _normalised(states, each(arb.exp, -balls.energy(states) / balls.temperature))


def _normalised(states: Balls, weights: Balls) -> Law:
    total = weights.sum()
    return Law(states, weights / total, total.log())


def product_law(means: Balls) -> Law:
    """⊗Bern(m)."""
    states = exact(all_states(len(means)))
    chances = states * means + (1 - states) * (1 - means)
    return Law(states, np.prod(chances, axis=1), arb(0))


def cost_coefficients(cost: QuadraticCost, size: int) -> Balls:
    """c = ½ − y on the outputs, so that the cost on spikes is cᵀz + ½‖y‖², (N,)."""
    cost.force(size, "spikes")
    coefficients = exact(np.zeros(size))
    coefficients[cost.outputs] = arb(1) / 2 - exact(cost.target)
    return coefficients


def cost_gradient(model: Model, cost: QuadraticCost) -> tuple[Balls, Balls]:
    """d⟨C⟩/dJ (N, N), J_ij and J_ji together, and d⟨C⟩/db (N,): Cov(z_iz_j, C)/T, Cov(z_i, C)/T. Paper: thm:C5."""
    gibbs = law(model)
    values = gibbs.states @ cost_coefficients(cost, model.size)
    centred = gibbs.probabilities * (values - gibbs.expectation(values)) / arb(model.temperature)
    couplings = (gibbs.states * centred[:, None]).T @ gibbs.states
    couplings[np.diag_indices(model.size)] = arb(0)
    return couplings, centred @ gibbs.states


def free_energy(model: BallModel, means: Balls) -> Any:
    """F(m) = E(m) + TΣ[m ln m + (1−m) ln(1−m)]; means that are exactly 0 or 1 contribute no entropy."""
    return model.energy(means) + model.temperature * sum(_neg_entropy(m) + _neg_entropy(1 - m) for m in means)


def _neg_entropy(chance: Any) -> Any:
    return arb(0) if chance.is_zero() else chance * chance.log()


def leaky_histories(
    model: Model, *, leak: float, steps: int, start: Balls
) -> Iterator[tuple[Balls, Balls, Balls, np.ndarray]]:
    """(s_t, probabilities, m_t, places of the histories one step shorter) over all spike histories, t = 1 … steps, K = 1.

    s_t (histories, N): leaky spikes; m_t (N,): deterministic EP from the same start.
    """
    _check_size(model)
    if 2 ** (model.size * steps) > MOST_HISTORIES:
        raise ValueError(f"2^(N steps) must be at most {MOST_HISTORIES}, got N = {model.size} and steps = {steps}")
    balls, epsilon = BallModel.of(model), arb(leak)
    spikes = exact(all_states(model.size))
    traces, weights, rates = start[None, :], exact(np.ones(1)), start
    for _ in range(steps):
        parents = np.repeat(np.arange(len(traces)), len(spikes))
        chance = balls.probability(traces)[:, None, :]
        weights = (weights[:, None] * np.prod(spikes * chance + (1 - spikes) * (1 - chance), axis=2)).ravel()
        traces = ((1 - epsilon) * traces[:, None, :] + epsilon * spikes).reshape(-1, model.size)
        rates = (1 - epsilon) * rates + epsilon * balls.probability(rates)
        yield traces, weights, rates, parents


def leaky_moments(model: Model, *, leak: float, steps: int, start: Balls) -> Iterator[tuple[Balls, Balls, Balls]]:
    """(E s_t, Cov s_t, m_t) for t = 1 … steps of leaky spikes and of deterministic EP, by all spike histories, K = 1."""
    for traces, weights, rates, _ in leaky_histories(model, leak=leak, steps=steps, start=start):
        mean = weights @ traces
        centred = traces - mean
        yield mean, (centred * weights[:, None]).T @ centred, rates


def variance(means: Balls) -> Balls:
    """m(1 − m)."""
    return activity_variance(means)


def _check_size(model: Model) -> None:
    if model.size > MOST_UNITS:
        raise ValueError(
            f"laws in balls are enumerated for N ≤ {MOST_UNITS}, got N = {model.size}: use dynamics.exact_law"
        )
