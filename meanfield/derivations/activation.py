"""The firing probability of a unit in its field, its slopes, and their suprema (paper: §1, D3).

Main results: firing_probability, firing_slope, firing_curvature, firing_third, firing_fourth, sup_slope, sup_curvature,
sup_third, noisy_heaviside.
Definitions typed in: the weight exp(−energy/temperature), the logistic density.
"""

from __future__ import annotations

import sympy as sp

from meanfield.symbols import Expression, local_field, probability, state, temperature


def heat_bath() -> Expression:
    """P(z = 1 | h) = w(1)/(w(0) + w(1)), w(z) = exp(−E(z)/T) with E = −hz, written with one exponential."""
    weight: Expression = sp.exp(local_field * state / temperature)
    odds_against = sp.expand(weight.subs(state, 0) / weight.subs(state, 1))
    return 1 / (1 + odds_against)


def in_probability(expression: Expression) -> Expression:
    """Eliminate the field from an expression with p = σ(h/T)."""
    (field,) = sp.solve(sp.Eq(firing_probability, probability), local_field)
    return sp.factor(sp.simplify(expression.subs(local_field, field)))


def supremum(of_probability: Expression) -> Expression:
    """sup over all fields of |f(p)| at T = 1; the field runs over the line as p runs over (0, 1)."""
    function = of_probability.subs(temperature, 1)
    roots: list[Expression] = sp.real_roots(sp.Poly(sp.diff(function, probability), probability))
    candidates = [root for root in roots if 0 <= root <= 1] + [sp.Integer(0), sp.Integer(1)]
    return sp.Max(*(sp.simplify(abs(function.subs(probability, point))) for point in candidates))


firing_probability = heat_bath()
firing_slope = in_probability(sp.diff(firing_probability, local_field))
firing_curvature = in_probability(sp.diff(firing_probability, local_field, 2))
firing_third = in_probability(sp.diff(firing_probability, local_field, 3))
firing_fourth = in_probability(sp.diff(firing_probability, local_field, 4))

sup_slope = supremum(firing_slope)
sup_curvature = supremum(firing_curvature)
sup_third = supremum(firing_third)

# D3: the Heaviside of a field with logistic noise of scale T, averaged over the noise
_noise = sp.Dummy("noise", real=True)
_logistic_density = sp.exp(-_noise / temperature) / (temperature * (1 + sp.exp(-_noise / temperature)) ** 2)
noisy_heaviside = sp.integrate(_logistic_density, (_noise, -local_field, sp.oo))
