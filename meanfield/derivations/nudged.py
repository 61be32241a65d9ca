"""The nudged fixed point differentiated three times in the nudging, by implicit differentiation (paper: C1, C3).

Main results: force_first, force_second, first_response_source, second_response_source, third_response_source.

m(β) = σ(h/T) with h = Jm + b + f, f = −β ∂C(m). The n-th derivative at β = 0 is σ'(h)Jm^(n) plus a source of lower
derivatives, so (I − VJ/T) m^(n) = source.
"""

from __future__ import annotations

import sympy as sp

from meanfield.derivations.activation import firing_probability, in_probability
from meanfield.derivations.cost import cost_force
from meanfield.symbols import (
    Expression,
    activity_first,
    activity_second,
    field_first,
    field_second,
    local_field,
    mean_activity,
    nudging,
    probability,
    state,
)

_activity, _field = (sp.Function(name)(nudging) for name in ("activity", "field"))
_ACTIVITY = (mean_activity, activity_first, activity_second)
_FIELD = (local_field, field_first, field_second)


def at_rest(expression: Expression, function: Expression, names: tuple[Expression, ...], order: int) -> Expression:
    """The n-th derivative in β at β = 0, the k-th derivative of the function being names[k]."""
    value = sp.diff(expression, nudging, order)
    for k in reversed(range(len(names))):
        value = value.subs(sp.Derivative(function, (nudging, k)) if k else function, names[k])
    return value.subs(nudging, 0)


def force(order: int) -> Expression:
    """d^n f/dβ^n of the nudge f = −β ∂C(m(β)): it holds m^(n−1) at most."""
    return sp.factor(at_rest(cost_force.subs(state, _activity), _activity, _ACTIVITY[:order], order))


def response_source(order: int) -> Expression:
    """d^n σ(h/T)/dβ^n with f^(n) for h^(n), at the free fixed point m = σ(h/T)."""
    derivative = at_rest(firing_probability.subs(local_field, _field), _field, (*_FIELD[:order], force(order)), order)
    terms = sp.collect(sp.expand(derivative), (field_first, field_second, force(order)), evaluate=False)
    return sum((part * in_probability(factor) for part, factor in terms.items()), sp.Integer(0)).subs(
        probability, mean_activity
    )


force_first, force_second = force(1), force(2)
first_response_source, second_response_source, third_response_source = map(response_source, (1, 2, 3))
