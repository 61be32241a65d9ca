"""Glauber (heat-bath) dynamics: one site at a time, z_i ~ Bern(σ(h_i/T)); leaves exp(−E/T) invariant (thm:B1).

Main results: step, sample, sweep_in_order.

In order 0 … N−1 all replicas redraw the same unit, up to 64 side by side in vectors. The fields of eight units are one tile of
dynamics.tiles, which reads each coupling once for all lanes; among the eight, a redrawn unit corrects those after it. This
is done in float32, and where the margin h − T logit(u) lies within what float32 may err, in float64: every spike is float64's. At
random sites every replica keeps its own field, N additions for a flip. Both sum fields afresh, each sweep or each block: no
drift, and a split run sees the same bits as an unbroken one. `step` is the plain form of an update.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from dynamics.activations import firing_probability
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.logit import logit, rough_logit
from dynamics.panels import GROUP, PANEL, VECTOR, lines, local_fields, packed_couplings, replica_words, rough_lines
from dynamics.philox import random_words, site, to_unit
from dynamics.tiles import MOST_ROWS, multiply_add

# Columns of a float32 tile, the most that go side by side, and the rows of a tile.
COLUMNS, LANES, BLOCK = 32, 64, MOST_ROWS
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


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
def whole_vectors(replicas):
    """Lanes for so many replicas: whole vectors of float32."""
    return (replicas + 2 * VECTOR - 1) // (2 * VECTOR) * 2 * VECTOR


@kernel()
def rough_network(couplings, bias, slope, offset, nudgings, temperatures):
    """(couplings, bias, slope, offset, windows (N,)) in float32, in units of the highest temperature.

    A margin h + force − T logit(u) that is computed from them errs by less than its unit's window: couplings are rounded by 2⁻²⁴ of
    themselves, each of N partial sums by 2⁻²⁴ of the most that its couplings reach, the sums after them (force, corrections among
    eight units) by 2⁻²⁴ of what the field reaches, and the threshold errs by 5e-6 < 2⁻¹⁷ (rough_logit 2.1e-6, two roundings).
    """
    size, hottest, strongest = bias.shape[0], temperatures.max(), np.abs(nudgings).max()
    windows = np.empty(size, np.float32)
    for unit in range(size):
        up, down, reached = 0.0, 0.0, 0.0
        for j in range(size):
            up += max(couplings[unit, j], 0.0)
            down += max(-couplings[unit, j], 0.0)
            reached += max(up, down)
        beside = abs(bias[unit]) + strongest * (abs(slope[unit]) + abs(offset[unit]))
        rounded = up + down + reached + 16 * (max(up, down) + beside)
        windows[unit] = 1.01 * 2.0**-24 * rounded / hottest + 2.0**-17
    scaled = (couplings / hottest).astype(np.float32), (bias / hottest).astype(np.float32)
    return *scaled, (slope / hottest).astype(np.float32), (offset / hottest).astype(np.float32), windows


@kernel()
def _settle(panel, unit, margins, changes, window, drawn, network, nudgings, temperatures):
    """Redraw in float64 the lanes of a unit whose margin is not beyond the window, the field summed in the order of the units."""
    couplings, bias, slope, offset = network
    for lane in range(panel.shape[1]):
        # infinity and NaN, where float32 does not hold the couplings, are not beyond it either
        if not abs(margins[lane]) > window:
            before = panel[unit, lane] - changes[lane]
            field = bias[unit] + cost_force(before, slope[unit], offset[unit], nudgings[lane])
            for j in range(panel.shape[0]):
                field += couplings[unit, j] * panel[j, lane]
            panel[unit, lane] = 1.0 if field > temperatures[lane] * logit(to_unit(drawn[lane])) else 0.0
            changes[lane] = panel[unit, lane] - before


@kernel()
def _redraw_block(panel, fields, thresholds, drawn, margins, changes, first, network, rough, nudged, rough_nudgings):
    """Redraw the units from `first` on that `fields` (≤ 8, lanes) are of, in all lanes of panel (N, lanes).

    What float32 leaves unsure is drawn in float64, so that no spike depends on float32; nudged: nudgings, temperatures.
    """
    lanes = panel.shape[1]
    couplings, _, slope, offset, windows = rough
    for row in range(fields.shape[0]):
        unit = first + row
        state, field, threshold = panel[unit], fields[row], thresholds[row]
        unit_slope, unit_offset, window, unsure = slope[unit], offset[unit], windows[unit], 0
        for lane in range(lanes):
            force = cost_force(state[lane], unit_slope, unit_offset, rough_nudgings[lane])
            margin = field[lane] + force - threshold[lane]
            fired = _ONE if margin > _ZERO else _ZERO
            margins[lane] = margin
            changes[lane] = fired - state[lane]
            state[lane] = fired
        for lane in range(lanes):
            unsure += 0 if abs(margins[lane]) > window else 1
        if unsure > 0:
            _settle(panel, unit, margins, changes, window, drawn[row], network, *nudged)
        for later in range(row + 1, fields.shape[0]):
            coupling, field = couplings[unit, first + later], fields[later]
            for lane in range(lanes):
                field[lane] += coupling * changes[lane]


@kernel()
def sweep_in_order(
    states, couplings, bias, slope, offset, rough, nudgings, temperatures, hottest, seed, stream, first_step, steps,
    first_replica,
):  # fmt: skip
    """Sweeps over the units in order; states (replicas, N), at most 64; rough: rough_network at `hottest` temperature."""
    replicas, size = states.shape
    lanes = whole_vectors(replicas)
    panel, fields, thresholds = rough_lines(size, lanes), rough_lines(BLOCK, lanes), rough_lines(BLOCK, lanes)
    drawn, margins = np.empty((BLOCK, lanes), np.uint32), np.empty(lanes, np.float32)
    changes = np.empty(lanes, np.float32)
    nudged, places = (np.zeros(lanes), np.ones(lanes)), np.arange(BLOCK)
    rough_nudgings, rough_temperatures = np.zeros(lanes, np.float32), np.ones(lanes, np.float32)
    for lane in range(replicas):
        nudged[0][lane], nudged[1][lane] = nudgings[lane], temperatures[lane]
        rough_nudgings[lane], rough_temperatures[lane] = nudgings[lane], temperatures[lane] / hottest
        for unit in range(size):
            panel[unit, lane] = states[lane, unit]
    flat_fields, flat_couplings, flat_panel = fields.reshape(-1), rough[0].reshape(-1), panel.reshape(-1)
    for now in range(first_step, first_step + steps):
        for first in range(0, size, BLOCK):
            count = min(BLOCK, size - first)
            for row in range(count):
                for lane in range(lanes):
                    fields[row, lane] = rough[1][first + row]
            for lane in range(0, lanes, COLUMNS):
                multiply_add(
                    flat_fields, lane, places, lanes, flat_couplings, first * size, places, size, count, flat_panel, lane,
                    min(COLUMNS, lanes - lane), 1, 0, 0, size, 1, lanes,
                )  # fmt: skip
            for row in range(0, count, 4):
                replica_words(seed, stream, now, (first + row) // 4, first_replica, drawn[row : row + 4])
            for row in range(count):
                threshold, row_words = thresholds[row], drawn[row]
                for lane in range(lanes):
                    threshold[lane] = rough_temperatures[lane] * rough_logit(row_words[lane])
            _redraw_block(
                panel, fields[:count], thresholds, drawn, margins, changes, first, (couplings, bias, slope, offset), rough,
                nudged, rough_nudgings,
            )  # fmt: skip
    for lane in range(replicas):
        for unit in range(size):
            states[lane, unit] = panel[unit, lane]


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
def _sample_in_order(
    states, couplings, bias, slope, offset, nudgings, temperatures, together, seed, stream, first_step, steps,
    first_replica,
):  # fmt: skip
    rough, hottest = rough_network(couplings, bias, slope, offset, nudgings, temperatures), temperatures.max()
    replicas = states.shape[0]
    for group in prange((replicas + together - 1) // together):
        first = group * together
        last = min(first + together, replicas)
        sweep_in_order(
            states[first:last], couplings, bias, slope, offset, rough, nudgings[first:last], temperatures[first:last],
            hottest, seed, stream, first_step, steps, first_replica + first,
        )  # fmt: skip


@kernel(parallel=True)
def _sample_at_random(
    states, couplings, bias, slope, offset, nudgings, temperatures, seed, stream, first_step, steps, first_replica
):
    packed, replicas = packed_couplings(couplings), states.shape[0]
    for group in prange((replicas + GROUP - 1) // GROUP):
        first = group * GROUP
        last = min(first + GROUP, replicas)
        _at_random(
            states[first:last], couplings, packed, bias, slope, offset, nudgings[first:last], temperatures[first:last],
            seed, stream, first_step, steps, first_replica + first,
        )  # fmt: skip


def sample(
    states, couplings, bias, slope, offset, nudgings, temperatures, systematic, seed, stream, first_step, steps,
    first_replica,
):  # fmt: skip
    """Advance states (replicas, N) in place by `steps` sweeps of N updates, at random sites or in order 0 … N−1.

    Replica r has temperatures[r] and the cost force of nudgings[r]; its noise is (seed, stream; step, unit, first_replica + r).
    """
    network, when = (
        (couplings, bias, slope, offset, nudgings, temperatures),
        (seed, stream, first_step, steps, first_replica),
    )
    if systematic:
        # as many side by side as leave each thread its share
        together = min(LANES, whole_vectors(-(-len(states) // get_num_threads())))
        _sample_in_order(states, *network, together, *when)
    else:
        _sample_at_random(states, *network, *when)
