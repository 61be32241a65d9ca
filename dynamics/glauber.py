"""Glauber (heat-bath) dynamics: one site at a time, z_i ~ Bern(σ(h_i/T)); leaves exp(−E/T) invariant (thm:B1).

Main results: step, sample, sweep_in_order.

In order 0 … N−1 all replicas redraw the same unit: 16 of them are the lanes of vectors. The fields of eight units are one tile of
dynamics.crnn.tiles, which reads each coupling once for all lanes; among the eight, a redrawn unit corrects those after it. At
random sites every replica keeps its own field, N additions for a flip. Both sum fields afresh, each sweep or each block: no
drift, and a split run sees the same bits as an unbroken one. `step` is the plain form of an update.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dynamics.activations import firing_probability
from dynamics.crnn.fire import random_words
from dynamics.crnn.tiles import MOST_ROWS, multiply_add
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.logit import logit
from dynamics.panels import GROUP, PANEL, VECTOR, lines, local_fields, packed_couplings, replica_thresholds
from dynamics.philox import site, to_unit

LANES, BLOCK = PANEL, MOST_ROWS


@kernel()
def step(state, field, couplings, unit, force, temperature, uniform):
    """Redraw one unit from its conditional law and keep field = Jz + b up to date; O(N) when it flips, O(1) otherwise."""
    fired = 1.0 if uniform < firing_probability(field[unit] + force, temperature) else 0.0
    change = fired - state[unit]
    if change != 0.0:
        state[unit] = fired
        for j in range(field.shape[0]):
            field[j] += change * couplings[unit, j]


@kernel()
def _redraw_block(panel, fields, thresholds, change, first, couplings, slope, offset, nudgings):
    """Redraw the units from `first` on that `fields` and `thresholds` (≤ 8, lanes) are of, in all lanes of panel (N, lanes)."""
    for row in range(fields.shape[0]):
        unit = first + row
        state, field, threshold = panel[unit], fields[row], thresholds[row]
        unit_slope, unit_offset = slope[unit], offset[unit]
        for lane in range(state.shape[0]):
            force = cost_force(state[lane], unit_slope, unit_offset, nudgings[lane])
            fired = 1.0 if field[lane] + force > threshold[lane] else 0.0
            change[lane] = fired - state[lane]
            state[lane] = fired
        for later in range(row + 1, fields.shape[0]):
            coupling, field = couplings[unit, first + later], fields[later]
            for lane in range(state.shape[0]):
                field[lane] += coupling * change[lane]


@kernel()
def sweep_in_order(
    states, couplings, bias, slope, offset, nudgings, temperatures, seed, stream, first_step, steps, first_replica
):
    """Sweeps over the units in order; states (replicas, N), at most 16 replicas."""
    replicas, size = states.shape
    lanes = VECTOR if replicas <= VECTOR else LANES
    panel, fields, thresholds = lines(size, lanes), lines(BLOCK, lanes), lines(BLOCK, lanes)
    drawn, change, places = np.empty((4, lanes), np.uint32), np.empty(lanes), np.arange(BLOCK)
    strengths, warmth = np.zeros(lanes), np.ones(lanes)
    strengths[:replicas], warmth[:replicas] = nudgings, temperatures
    panel[:, :replicas] = states.T
    flat_fields, flat_couplings, flat_panel = fields.reshape(-1), couplings.reshape(-1), panel.reshape(-1)
    for now in range(first_step, first_step + steps):
        for first in range(0, size, BLOCK):
            count = min(BLOCK, size - first)
            for row in range(count):
                fields[row] = bias[first + row]
            multiply_add(
                flat_fields, 0, places, lanes, flat_couplings, first * size, places, size, count, flat_panel, 0, lanes,
                1, 0, 0, size, 1, lanes,
            )  # fmt: skip
            for row in range(0, count, 4):
                group, four = (first + row) // 4, thresholds[row : row + 4]
                replica_thresholds(seed, stream, now, group, first_replica, warmth, drawn, four)
            _redraw_block(panel, fields[:count], thresholds, change, first, couplings, slope, offset, strengths)
    states[:] = panel[:, :replicas].T


@kernel()
def _sweep(state, field, couplings, slope, offset, nudging, temperature, drawn, thresholds):
    """N updates at random sites of one replica; drawn are the words of its updates, a site's and a uniform's each."""
    for update in range(thresholds.shape[0]):
        thresholds[update] = temperature * logit(to_unit(drawn[2 * update + 1]))
    for update in range(thresholds.shape[0]):
        unit = site(drawn[2 * update], state.shape[0])
        force = cost_force(state[unit], slope[unit], offset[unit], nudging)
        fired = 1.0 if field[unit] + force > thresholds[update] else 0.0
        change = fired - state[unit]
        if change != 0.0:
            state[unit] = fired
            coupling = couplings[unit]
            for j in range(state.shape[0]):
                field[j] += change * coupling[j]


@kernel()
def _at_random(
    states, couplings, packed, bias, slope, offset, nudgings, temperatures, seed, stream, first_step, steps,
    first_replica,
):  # fmt: skip
    """Sweeps of N updates at random sites; states (replicas, N)."""
    replicas, size = states.shape
    fields, places = lines(replicas, packed.shape[0] // size * PANEL), np.arange(replicas)
    drawn, thresholds = np.empty(2 * size + 2 * (size % 2), np.uint32), np.empty(size)
    for now in range(first_step, first_step + steps):
        local_fields(states, packed, bias, places, fields)
        for r in range(replicas):
            random_words(seed, stream, now, first_replica + r, drawn)
            _sweep(states[r], fields[r], couplings, slope, offset, nudgings[r], temperatures[r], drawn, thresholds)


@kernel(parallel=True)
def sample(
    states, couplings, bias, slope, offset, nudgings, temperatures, systematic, seed, stream, first_step, steps,
    first_replica,
):  # fmt: skip
    """Advance states (replicas, N) in place by `steps` sweeps of N updates, at random sites or in order 0 … N−1.

    Replica r has temperatures[r] and the cost force of nudgings[r]; its noise is (seed, stream; step, unit, first_replica + r).
    """
    replicas = states.shape[0]
    packed = couplings if systematic else packed_couplings(couplings)
    for group in prange((replicas + GROUP - 1) // GROUP):
        first = group * GROUP
        last = min(first + GROUP, replicas)
        nudge = (slope, offset, nudgings[first:last], temperatures[first:last])
        when = (seed, stream, first_step, steps, first_replica + first)
        if systematic:
            sweep_in_order(states[first:last], couplings, bias, *nudge, *when)
        else:
            _at_random(states[first:last], couplings, packed, bias, *nudge, *when)
