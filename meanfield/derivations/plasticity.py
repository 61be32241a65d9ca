"""What a synapse reads: EP's update by differentiation (paper: E1), and its STDP form, products of traces and of their
changes (paper: E4).

Main results: coupling_update, foreign_symbols, midpoint_change, left_point_change, product_change.
"""

from __future__ import annotations

import sympy as sp

from meanfield.derivations.energy import energy
from meanfield.symbols import Expression, Net, drive, neighbour_drive, neighbour_trace, nudging, trace


def coupling_update(of: Net, unit: int, neighbour: int) -> Expression:
    """−(1/β)[∂E/∂J_ij at the nudged states − at the free phase's means]: descent on the one-sided estimate of dL/dJ_ij."""
    slope = sp.diff(energy(of), of.couplings[unit, neighbour])
    free = slope.subs(dict(zip(of.states, of.means, strict=True)))
    return sp.expand(-(slope - free) / nudging)


def foreign_symbols(of: Net, unit: int, neighbour: int) -> set[Expression]:
    """Symbols in the update of J_ij beside the nudging and the two units' own states in the two phases."""
    own = {nudging, of.states[unit], of.states[neighbour], of.means[unit], of.means[neighbour]}
    return coupling_update(of, unit, neighbour).free_symbols - own


# one step takes the pair of traces to (drive, neighbour_drive)
_steps = (drive - trace, neighbour_drive - neighbour_trace)


def paired_change(at: Expression, neighbour_at: Expression) -> Expression:
    """s_i Δs_j + s_j Δs_i with the traces read at the given points of the step."""
    return sp.expand(at * _steps[1] + neighbour_at * _steps[0])


product_change = sp.expand(drive * neighbour_drive - trace * neighbour_trace)
midpoint_change = paired_change((trace + drive) / 2, (neighbour_trace + neighbour_drive) / 2)
left_point_change = paired_change(trace, neighbour_trace)
