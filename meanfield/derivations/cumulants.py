"""What EP at a finite nudging descends, in the cumulants of the cost under the free law (paper: C5).

Main results: one_sided_objective, symmetric_objective, their terms variance_term … fifth_term, fourth_cumulant, fifth_cumulant.
Definitions typed in: the generating function ⟨e^{tC}⟩ by its moments, and A_β − A_0 = −T ln⟨e^{−βC/T}⟩.
"""

from __future__ import annotations

import sympy as sp

from meanfield import symbols
from meanfield.symbols import Expression, cost_variance, mean_cost, nudging, temperature, third_moment

ORDER = 5
_tilt = sp.Dummy("tilt", real=True)


def taylor_coefficients(expression: Expression) -> list[Expression]:
    """The derivatives at tilt 0, orders 0 to ORDER."""
    polynomial = sp.series(expression, _tilt, 0, ORDER + 1).removeO()
    return [sp.expand(polynomial.coeff(_tilt, k) * sp.factorial(k)) for k in range(ORDER + 1)]


def exponential_series(coefficients: tuple[Expression, ...]) -> Expression:
    """Σ_k coefficients[k] t^k/k!."""
    return sum((value * _tilt**k / sp.factorial(k) for k, value in enumerate(coefficients)), sp.Integer(0))


# κ_k = ∂^k ln⟨e^{tC}⟩ at t = 0; shifting the cost moves κ_1 alone, so central moments serve for all others
_central_moments = (1, 0, cost_variance, third_moment, symbols.fourth_moment, symbols.fifth_moment)
_, _, second_cumulant, third_cumulant, fourth_cumulant, fifth_cumulant = taylor_coefficients(
    sp.log(exponential_series(_central_moments))
)

_cumulants = (0, mean_cost, cost_variance, third_moment, symbols.fourth_cumulant, symbols.fifth_cumulant)


def free_energy_difference(nudge: Expression) -> Expression:
    """A_β − A_0 = −T ln⟨e^{−βC/T}⟩ up to κ_5."""
    return -temperature * exponential_series(_cumulants).subs(_tilt, -nudge / temperature)


one_sided_objective = sp.expand(free_energy_difference(nudging) / nudging)
symmetric_objective = sp.expand((free_energy_difference(nudging) - free_energy_difference(-nudging)) / (2 * nudging))

variance_term, third_term, fourth_term, fifth_term = (
    one_sided_objective.coeff(cumulant) * cumulant for cumulant in _cumulants[2:]
)
