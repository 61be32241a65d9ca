"""Plefka's expansion of a pair at fixed means, Onsager's field and the pair statistic (paper: A6, C7).

Main results: free_energy_coefficients, pair_free_energy_correction, pair_free_energy_third_order,
pair_onsager_field, onsager_field, onsager_self_slope, pair_onsager_slope, pair_statistic, onsager_pair_statistic.
"""

from __future__ import annotations

import sympy as sp

from meanfield.derivations.energy import mean_pair_energy
from meanfield.derivations.field import pair_field_variance
from meanfield.derivations.self_consistency import pair_free_energy
from meanfield.symbols import (
    Column,
    Expression,
    coupling,
    field_variance,
    mean_activity,
    neighbour_activity,
    neighbour_odds,
    odds,
    pair_factor,
    temperature,
)

_odds = (odds, neighbour_odds)
_means = (mean_activity, neighbour_activity)

# Σ_z exp(αJzz'/T + λz + λ'z'): the holding fields absorb the biases
held_partition = 1 + odds + neighbour_odds + pair_factor * odds * neighbour_odds


def by_holding_fields(expression: Expression) -> Column:
    """∂/∂λ and ∂/∂λ', where odds = e^λ."""
    return sp.Matrix([factor * sp.diff(expression, factor) for factor in _odds])


def by_strength(expression: Expression) -> Expression:
    """∂/∂α at fixed holding fields, where pair_factor = e^{αJ/T}."""
    return coupling / temperature * pair_factor * sp.diff(expression, pair_factor)


def holding_drift() -> Column:
    """dλ/dα from differentiating the constraint ⟨z⟩ = ∂ln Z/∂λ = m, which holds for every α."""
    held = by_holding_fields(sp.log(held_partition)).applyfunc(sp.factor)
    covariance = sp.Matrix([by_holding_fields(mean).T for mean in held]).applyfunc(sp.factor)
    return (-covariance.inv() * held.applyfunc(by_strength)).applyfunc(sp.factor)


def free_energy_coefficients(order: int) -> list[Expression]:
    """G⁽ᵏ⁾(0)/k!, k = 1 … order, of G(α) = −T ln Σ_z exp(−αE/T + λ·z) + Tλ·m with λ(α) such that ⟨z⟩ = m."""
    drift = holding_drift()
    uncoupled = {pair_factor: 1} | {factor: mean / (1 - mean) for factor, mean in zip(_odds, _means, strict=True)}
    # dG/dα = ∂G/∂α, as ∂G/∂λ = T(m − ⟨z⟩) = 0 along the path
    derivative = sp.factor(-temperature * by_strength(sp.log(held_partition)))
    coefficients = []
    for k in range(1, order + 1):
        at_zero: Expression = sp.factor(derivative.subs(uncoupled))
        coefficients.append(at_zero / sp.factorial(k))
        derivative = sp.factor(by_strength(derivative) + by_holding_fields(derivative).dot(drift))
    return coefficients


first_order, pair_free_energy_correction, pair_free_energy_third_order = free_energy_coefficients(3)

corrected_pair_free_energy = pair_free_energy + pair_free_energy_correction
# what the correction adds to the field: the stationary point is T logit m = Jm' + b + this
pair_onsager_field: Expression = sp.factor(-sp.diff(pair_free_energy_correction, mean_activity))
# per unit of Var_q(h) = J²v', which sums over the neighbours
_spread: Expression = pair_field_variance
onsager_field = sp.cancel(pair_onsager_field / _spread) * field_variance

onsager_self_slope = sp.diff(onsager_field, mean_activity)
pair_onsager_slope = sp.factor(sp.diff(pair_onsager_field, neighbour_activity))

pair_statistic = -sp.diff(mean_pair_energy, coupling)
onsager_pair_statistic = -sp.diff(mean_pair_energy + pair_free_energy_correction, coupling)
