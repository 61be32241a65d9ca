"""Little's parallel dynamics: all units at once, z_i ~ Bern(σ(h_i(z)/T)); Peretto's stationary law (thm:B1, thm:B2).

Main results: step, sample. `step` is the plain form of an update; `sample` takes the fields of a group of replicas at once.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dynamics.activations import firing_probability
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.panels import GROUP, PANEL, lines, local_fields, packed_couplings, unit_thresholds


@kernel()
def step(state, couplings, bias, slope, offset, nudging, temperature, noise, field):
    """Redraw every unit given the whole previous state."""
    size = state.shape[0]
    field[:] = bias
    for j in range(size):
        if state[j] != 0.0:
            for i in range(size):
                field[i] += couplings[j, i]
    for i in range(size):
        force = cost_force(state[i], slope[i], offset[i], nudging)
        state[i] = 1.0 if noise[i] < firing_probability(field[i] + force, temperature) else 0.0


@kernel()
def _fire(state, field, thresholds, slope, offset, nudging):
    for i in range(state.shape[0]):
        force = cost_force(state[i], slope[i], offset[i], nudging)
        state[i] = 1.0 if field[i] + force > thresholds[i] else 0.0


@kernel(parallel=True)
def sample(
    states, couplings, bias, slope, offset, nudgings, temperature, seed, stream, first_step, steps, first_replica
):
    """Advance states (replicas, N) in place by `steps` parallel updates."""
    replicas, size = states.shape
    packed = packed_couplings(couplings)
    for group in prange((replicas + GROUP - 1) // GROUP):
        first = group * GROUP
        rows = states[first : min(first + GROUP, replicas)]
        fields, places = lines(GROUP, packed.shape[0] // size * PANEL), np.arange(GROUP)
        drawn, thresholds = np.empty((size + 3) // 4 * 4, np.uint32), np.empty((size + 3) // 4 * 4)
        for now in range(first_step, first_step + steps):
            local_fields(rows, packed, bias, places, fields)
            for r in range(rows.shape[0]):
                unit_thresholds(seed, stream, now, first_replica + first + r, temperature, drawn, thresholds)
                _fire(rows[r], fields[r], thresholds, slope, offset, nudgings[first + r])
