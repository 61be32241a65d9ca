"""The local field as the slope of the energy, and its spread under the product law.

Main results: local_fields, pair_local_field, pair_mean_field, pair_field_variance.
"""

from __future__ import annotations

import sympy as sp

from meanfield.derivations.energy import energy, pair_energy, product_expectation
from meanfield.symbols import Column, Net, neighbour_activity, neighbour_state, pair, state


def local_fields(of: Net) -> Column:
    """h_i = −∂E/∂s_i for every unit of a net."""
    return sp.Matrix([-sp.diff(energy(of), unit) for unit in of.states])


pair_local_field = -sp.diff(pair_energy, state)
pair_mean_field = pair_local_field.subs(neighbour_state, neighbour_activity)
_second_moment = product_expectation(pair_local_field**2, pair.states, pair.means)
pair_field_variance = sp.factor(_second_moment - pair_mean_field**2)
