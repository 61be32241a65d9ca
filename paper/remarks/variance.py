"""Remarks of the section on the variance of estimates."""

from __future__ import annotations

import numpy as np

from dynamics.coupling import joint_law
from dynamics.enumeration import all_states, exact_law, nudged_bias, transition_matrix
from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Model, QuadraticCost


def _c8b() -> dict[str, float | list[float]]:
    """p₁z₂ along a Glauber chain, and Δp₁ of coupled chains after one sweep, vary more than the spikes do."""
    pair = Model([[0.0, -8.86], [-8.86, 0.0]], [6.12, 5.42])
    states = all_states(2)
    chance = firing_probability(pair.local_field(states), pair.temperature)
    readings = np.stack([chance[:, 0] * states[:, 1], states[:, 0] * chance[:, 1]])
    spikes = _asymptotic_variance(pair, states.prod(axis=1))
    net = Model([[0.0, 15.13, -3.74], [15.13, 0.0, 21.59], [-3.74, 21.59, 0.0]], [-6.09, -18.17, -8.91])
    nudging = 0.275
    return {
        "pair_coupling": pair.couplings[0, 1],
        "pair_bias": pair.bias.tolist(),
        "first": _asymptotic_variance(pair, readings[0]) / spikes,
        "second": _asymptotic_variance(pair, readings[1]) / spikes,
        "symmetrised": _asymptotic_variance(pair, readings.mean(axis=0)) / spikes,
        "net_couplings": net.couplings[np.triu_indices(3, 1)].tolist(),
        "net_bias": net.bias.tolist(),
        "nudging": nudging,
        "sweep": _after_one_sweep(net, nudging),
    }


def _asymptotic_variance(model: Model, values: FloatArray) -> float:
    """n times the variance of a mean over n random-scan Glauber updates, n → ∞: 2⟨f, g⟩ − ⟨f, f⟩ with (I − K)g = f."""
    law = exact_law(model).probabilities
    centred = values - law @ values
    solved = np.linalg.solve(np.eye(len(law)) - transition_matrix(model) + law, centred)
    return float(law @ (2 * centred * solved - centred**2))


def _after_one_sweep(net: Model, nudging: float) -> float:
    """Variance of Δp₁ over that of Δz₁ between phases nudged by ±β after one coupled random-scan sweep from equilibrium."""
    cost = QuadraticCost([2], [1.0])
    raised, lowered = (net.with_bias(nudged_bias(net, cost, sign * nudging)) for sign in (1, -1))
    joint = joint_law(raised, lowered, exact_law(net).probabilities, dynamics="glauber", steps=1, coupled=True)
    states = all_states(net.size)
    chances = [firing_probability(phase.local_field(states), phase.temperature)[:, 0] for phase in (raised, lowered)]
    changes = [np.subtract.outer(*chances), np.subtract.outer(states[:, 0], states[:, 0])]
    smooth, plain = (np.sum(joint * change**2) - np.sum(joint * change) ** 2 for change in changes)
    return smooth / plain


REMARKS = {"C8b": _c8b}
