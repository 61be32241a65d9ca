"""Leading bias of the finite-nudge estimators of g'(0), by Taylor expansion (paper: C3).

Main results: one_sided_bias, symmetric_bias.
"""

from __future__ import annotations

import sympy as sp

from meanfield.symbols import Expression, nudging, second_derivative, third_derivative

_value, _slope = sp.symbols("value slope", real=True)


def statistic(nudge: Expression) -> Expression:
    """g(β) up to β³: the Taylor polynomial whose derivatives at 0 are named."""
    derivatives = (_value, _slope, second_derivative, third_derivative)
    return sum((value * nudge**k / sp.factorial(k) for k, value in enumerate(derivatives)), sp.Integer(0))


def leading_bias(estimate: Expression) -> Expression:
    """The lowest power of the nudging in estimate − g'(0)."""
    return sp.expand(sp.cancel(estimate) - _slope).as_leading_term(nudging)


one_sided_bias = leading_bias((statistic(nudging) - statistic(sp.Integer(0))) / nudging)
symmetric_bias = leading_bias((statistic(nudging) - statistic(-nudging)) / (2 * nudging))
