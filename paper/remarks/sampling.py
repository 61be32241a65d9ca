"""Remarks of the section on samplers and their distance from the mean field."""

from __future__ import annotations

import math

import numpy as np

from dynamics.enumeration import all_states, exact_law, product_law, transition_matrix
from meanfield import bounds
from meanfield.equations import SUP_CURVATURE, firing_probability
from meanfield.model import Model
from meanfield.solve import fixed_point

PAIR = np.array([[0.0, 2.0], [2.0, 0.0]])


def _b1() -> dict[str, float]:
    """The sweep (1, 2) of a pair is not reversible; two coupled neurons updated in parallel leave exp(−E/T)."""
    model = Model(PAIR, np.zeros(2))
    law, sweep = exact_law(model).probabilities, transition_matrix(model, dynamics="systematic")
    moved = law @ transition_matrix(model, dynamics="little")
    return {
        "forward": law[0] * sweep[0, 1],
        "back": law[1] * sweep[1, 0],
        "moved": np.abs(moved - law).max(),
        "distance": np.abs(exact_law(model, dynamics="little").probabilities - law).sum() / 2,
    }


def _b2() -> dict[str, float]:
    """Peretto's formula fails for a one-way coupling, and for a symmetric one without exp(bᵀz/T); nor is it Gibbs' law."""
    states = all_states(2)
    fields = states @ np.triu(PAIR).T
    formula = np.prod(1 + np.exp(fields), axis=1)
    # every row of a high power is the stationary law
    stationary = np.linalg.matrix_power(product_law(firing_probability(fields, 1.0)), 64)[0]
    model = Model(PAIR, [1.0, 0.0])
    law = exact_law(model, dynamics="little").probabilities
    unbiased = law * np.exp(-states @ model.bias)
    return {
        "asymmetric": np.abs(stationary - formula / formula.sum()).max(),
        "unbiased": np.abs(unbiased / unbiased.sum() - law).max(),
        "gibbs": np.abs(exact_law(model).probabilities - law).max(),
    }


def _b3() -> dict[str, float]:
    """On a star one update moves states that differ at the centre apart, where ‖C‖₂ would have them approach."""
    leaves, influence = 9, 0.3
    weight = 4 * math.atanh(influence)
    couplings = np.zeros((leaves + 1, leaves + 1))
    couplings[0, 1:] = couplings[1:, 0] = weight
    model = Model(couplings, [0.0] + [-weight / 2] * leaves)
    expected = transition_matrix(model, dynamics="glauber") @ all_states(model.size).sum(axis=1)
    norm = float(np.linalg.norm(model.influence, 2))
    return {
        "influence": influence,
        "distance": expected[1] - expected[0],
        "norm": norm,
        "contraction": 1 - (1 - norm) / model.size,
    }


def _b6() -> dict[str, float | list[float]]:
    """The residual's constant is sharp; the inverse is needed; on a frustrated cycle κ is below one and κ_a is not."""
    weight, field = 1e-3, 0.1
    weak = Model([[0.0, weight], [weight, 0.0]], [field - weight / 2, -weight * float(firing_probability(field, 1.0))])
    law = exact_law(weak)
    fields = weak.local_field(law.mean)
    residual = law.mean - firing_probability(fields, 1.0)
    bound = (abs(fields[0]) + weight / 3) / 16 * weight**2 * law.covariance[1, 1]

    j12, j13, j23, bias = 0.00793, 0.0851, 3.8789, [-0.26661, -2.08003, -1.40411]
    strong = Model([[0.0, j12, j13], [j12, 0.0, j23], [j13, j23, 0.0]], bias)
    error = np.abs(exact_law(strong).mean - fixed_point(strong).value)
    absolute = np.abs(strong.couplings)
    without_inverse = SUP_CURVATURE / 2 * np.diagonal(absolute @ bounds.covariance(strong) @ absolute)

    cycle = np.array([2.6, 2.6, 2.6, -2.6])
    # J_12, J_23, J_34, J_41
    around = np.diag(cycle[:3], 1) + np.diag(cycle[3:], -3)
    frustrated = Model(around + around.T, np.zeros(4))
    return {
        "field": field,
        "sharpness": abs(residual[0]) / bound,
        "J_12": j12,
        "J_13": j13,
        "J_23": j23,
        "bias": bias,
        "absolute_gain": strong.absolute_gain,
        "without_inverse": error[0] / without_inverse[0],
        "cycle": cycle.tolist(),
        "cycle_gain": frustrated.gain,
        "cycle_absolute_gain": frustrated.absolute_gain,
    }


def _b7() -> dict[str, float]:
    """Little's bound on covariances is zero for a pair, Gibbs' covariance is not."""
    return {"covariance": exact_law(Model(PAIR, [-1.0, -1.0])).covariance[0, 1]}


def _b7b() -> dict[str, float]:
    """Little's same-time product of a pair against Gibbs'."""
    model = Model(PAIR, [-1.0, -1.0])
    product = exact_law(model).probabilities[3]
    return {"wrong": product - exact_law(model, dynamics="little").probabilities[3], "product": product}


REMARKS = {"B1": _b1, "B2": _b2, "B3": _b3, "B6": _b6, "B7": _b7, "B7b": _b7b}
