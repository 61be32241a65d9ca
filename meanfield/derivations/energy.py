"""The energy, and what a product law makes of it (paper: A1).

Main results: energy, product_expectation, multilinearity_gap, self_term_gap, activity_variance.
Definitions typed in: the energy −½ sᵀJs − bᵀs and the product law; all else follows.
"""

from __future__ import annotations

from itertools import product

import sympy as sp

from meanfield.symbols import Column, Expression, Net, mean_activity, pair, state


def energy(of: Net) -> Expression:
    """E(s) = −½ sᵀJs − bᵀs."""
    quadratic = (of.states.T * of.couplings * of.states)[0] / 2
    return sp.expand(-quadratic - of.biases.dot(of.states))


def product_expectation(expression: Expression, states: Column, means: Column) -> Expression:
    """E_q f(z) = Σ_z Π_i m_i^{z_i}(1 − m_i)^{1−z_i} f(z), summed over all of {0,1}^n."""
    total = sp.Integer(0)
    for spikes in product((0, 1), repeat=len(states)):
        weight = sp.prod(mean if spike else 1 - mean for mean, spike in zip(means, spikes, strict=True))
        total += weight * expression.subs(dict(zip(states, spikes, strict=True)))
    return sp.expand(total)


def unit_expectation(expression: Expression) -> Expression:
    """E_q f(z) of one unit."""
    return product_expectation(expression, sp.Matrix([state]), sp.Matrix([mean_activity]))


def multilinearity_gap(of: Net) -> Expression:
    """E_q E(z) − E(m), zero for every coupling matrix without a diagonal."""
    at_means = energy(of).subs(dict(zip(of.states, of.means, strict=True)))
    return sp.expand(product_expectation(energy(of), of.states, of.means) - at_means)


pair_energy = energy(pair)
mean_pair_energy = product_expectation(pair_energy, pair.states, pair.means)

# ½s² is not multilinear: this much is lost when means replace spikes
self_term_gap = sp.factor(unit_expectation(state**2 / 2) - mean_activity**2 / 2)
activity_variance = sp.factor(unit_expectation(state**2) - unit_expectation(state) ** 2)
