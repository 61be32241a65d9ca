"""Linear response of the mean-field fixed point of a pair, by implicit differentiation (paper: C1, B11).

Main results: pair_susceptibility, pair_cross_susceptibility.
"""

from __future__ import annotations

import sympy as sp

from meanfield.derivations.activation import firing_slope
from meanfield.derivations.field import local_fields
from meanfield.symbols import Column, pair, probability


def pair_response() -> Column:
    """dm/db of m = σ(h(m)/T), from (∂G/∂m) dm/db = −∂G/∂b with G = m − σ(h(m)/T); σ' at p = m."""
    fields = local_fields(pair).subs(dict(zip(pair.states, pair.means, strict=True)))
    slopes = sp.diag(*(firing_slope.subs(probability, mean) for mean in pair.means))
    by_means = sp.eye(2) - slopes * fields.jacobian(pair.means)
    by_biases = -slopes * fields.jacobian(pair.biases)
    return (-by_means.inv() * by_biases).applyfunc(sp.factor)


susceptibility = pair_response()
pair_susceptibility = susceptibility[0, 0]
pair_cross_susceptibility = susceptibility[1, 0]
