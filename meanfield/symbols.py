"""The only place where SymPy symbols are made: a symbol's name is the argument's name in equations and kernels.

Main results: one symbol a quantity, pair (a unit and its neighbour), net (any size).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sympy as sp

# SymPy's own annotations lose track of expressions after one operation
Expression = Any
Column = Any

# a unit and its neighbour
state, neighbour_state = sp.symbols("state neighbour_state", real=True)
mean_activity, neighbour_activity = sp.symbols("mean_activity neighbour_activity", positive=True)
bias, neighbour_bias, coupling = sp.symbols("bias neighbour_bias coupling", real=True)
local_field = sp.Symbol("local_field", real=True)
variance, neighbour_variance = sp.symbols("variance neighbour_variance", nonnegative=True)
field_variance, spike_variance = sp.symbols("field_variance spike_variance", nonnegative=True)
probability, temperature = sp.symbols("probability temperature", positive=True)

# cost and nudging
target, slope, offset, nudging = sp.symbols("target slope offset nudging", real=True)
second_derivative, third_derivative = sp.symbols("second_derivative third_derivative", real=True)
# the cost under the free law: mean, central moments, and the cumulants that differ from them
mean_cost, third_moment, fifth_moment = sp.symbols("mean_cost third_moment fifth_moment", real=True)
cost_variance, fourth_moment = sp.symbols("cost_variance fourth_moment", nonnegative=True)
fourth_cumulant, fifth_cumulant = sp.symbols("fourth_cumulant fifth_cumulant", real=True)
# derivatives in the nudging, at 0, of a unit's mean and of its field
activity_first, activity_second = sp.symbols("activity_first activity_second", real=True)
field_first, field_second = sp.symbols("field_first field_second", real=True)

# mean square error a²β^2p + v/(Sβ^q) of an estimate, and an error E that it may have
bias_scale, noise_scale = sp.symbols("bias_scale noise_scale", positive=True)
rise, fall = sp.symbols("rise fall", positive=True)
samples, wanted_error = sp.symbols("samples wanted_error", positive=True)
bend, lift = sp.symbols("bend lift", real=True)
power = sp.Symbol("power", positive=True)

# dynamics
trace, drive, neighbour_trace, neighbour_drive = sp.symbols("trace drive neighbour_trace neighbour_drive", real=True)
leak = sp.Symbol("leak", positive=True)
gain = sp.Symbol("gain", real=True)
contraction_rate = sp.Symbol("contraction_rate", positive=True)
curvature, negative_curvature = sp.symbols("curvature negative_curvature", nonnegative=True)
copies = sp.Symbol("copies", positive=True)
steps = sp.Symbol("steps", integer=True, nonnegative=True)

# Plefka's expansion at strength α: odds e^λ of the holding fields λ, pair_factor e^{αJ/T}
odds, neighbour_odds, pair_factor = sp.symbols("odds neighbour_odds pair_factor", positive=True)


class Net(NamedTuple):
    """A small symbolic net: states, means of the product law, biases (columns) and symmetric couplings."""

    states: Column
    means: Column
    biases: Column
    couplings: Expression


pair = Net(
    states=sp.Matrix([state, neighbour_state]),
    means=sp.Matrix([mean_activity, neighbour_activity]),
    biases=sp.Matrix([bias, neighbour_bias]),
    couplings=sp.Matrix([[0, coupling], [coupling, 0]]),
)


def net(size: int) -> Net:
    """A generic net with a symbol for every state, mean, bias and coupling; symmetric, zero diagonal."""

    def column(name: str, **assumption: bool) -> Column:
        return sp.Matrix([sp.Symbol(f"{name}_{unit}", **assumption) for unit in range(size)])

    def coupling_between(i: int, j: int) -> Expression:
        return sp.Integer(0) if i == j else sp.Symbol(f"coupling_{min(i, j)}_{max(i, j)}", real=True)

    return Net(
        states=column("state", real=True),
        means=column("mean_activity", positive=True),
        biases=column("bias", real=True),
        couplings=sp.Matrix(size, size, coupling_between),
    )
