"""The STDP form of the update: products of traces and of their changes (paper: E4).

Main results: midpoint_change, left_point_change, product_change.
"""

from __future__ import annotations

import sympy as sp

from meanfield.symbols import Expression, drive, neighbour_drive, neighbour_trace, trace

# one step takes the pair of traces to (drive, neighbour_drive)
_steps = (drive - trace, neighbour_drive - neighbour_trace)


def paired_change(at: Expression, neighbour_at: Expression) -> Expression:
    """s_i Δs_j + s_j Δs_i with the traces read at the given points of the step."""
    return sp.expand(at * _steps[1] + neighbour_at * _steps[0])


product_change = sp.expand(drive * neighbour_drive - trace * neighbour_trace)
midpoint_change = paired_change((trace + drive) / 2, (neighbour_trace + neighbour_drive) / 2)
left_point_change = paired_change(trace, neighbour_trace)
