"""What chains that run side by side share: the fields of many replicas at once, and their noise as thresholds of the field.

Main results: packed_couplings, local_fields, unit_thresholds, replica_words, GROUP.

Replicas go in groups, so that a coupling that is read serves up to eight of them: their fields are the tiles of
dynamics.tiles, in panels of 16 columns, packed so that a panel stays in cache while the group passes. A field is summed in
the order of the units, whatever the group, and nothing else joins replicas: a replica's path does not depend on how many there
are. The plain forms are each dynamics' `step`, firing_probability, and `uniforms` of dynamics.philox.
"""

from __future__ import annotations

import numpy as np

from dynamics.kernel import kernel
from dynamics.logit import logit
from dynamics.philox import random_words, to_unit, words
from dynamics.tiles import LINE, MOST_ROWS, aligned, multiply_add

# Replicas that share a panel of couplings while it is in cache.
GROUP = 16
# Numbers in a cache line, and columns of a panel.
VECTOR = LINE // 8
PANEL = 2 * VECTOR


@kernel()
def lines(rows, width):
    """Zeros (rows, width) that begin at a cache line."""
    return aligned(np.zeros(rows * width + LINE))[: rows * width].reshape(rows, width)


@kernel()
def rough_lines(rows, width):
    """`lines` in float32."""
    return aligned(np.zeros(rows * width + LINE, np.float32))[: rows * width].reshape(rows, width)


@kernel()
def packed_couplings(couplings):
    """(panels·N, 16): columns 16p … 16p + 15 of the couplings are rows pN … (p + 1)N − 1, zeros beyond the last column."""
    size = couplings.shape[0]
    panels = (size + PANEL - 1) // PANEL
    packed = lines(panels * size, PANEL)
    for panel in range(panels):
        first = panel * PANEL
        columns = min(PANEL, size - first)
        packed[panel * size : (panel + 1) * size, :columns] = couplings[:, first : first + columns]
    return packed


@kernel()
def local_fields(states, packed, bias, places, fields):
    """fields (rows, 16·panels) = bias + states (rows, N) · couplings as packed above; places is 0 … rows − 1."""
    rows, size = states.shape
    width = fields.shape[1]
    fields[:rows, :size] = bias
    fields[:rows, size:] = 0.0
    flat_fields, flat_states, flat_packed = fields.reshape(-1), states.reshape(-1), packed.reshape(-1)
    for column in range(0, width, PANEL):
        for row in range(0, rows, MOST_ROWS):
            multiply_add(
                flat_fields, row * width + column, places, width, flat_states, row * size, places, size,
                min(MOST_ROWS, rows - row), flat_packed, column * size, PANEL, 1, 0, 0, size, 1, PANEL,
            )  # fmt: skip


@kernel()
def unit_thresholds(seed, stream, step, replica, temperature, drawn, thresholds):
    """thresholds (4·groups,) = T logit(u) of the `uniforms` of dynamics.philox, unit by unit; drawn (4·groups,) uint32."""
    random_words(seed, stream, step, replica, drawn)
    for unit in range(drawn.shape[0]):
        thresholds[unit] = temperature * logit(to_unit(drawn[unit]))


@kernel()
def replica_words(seed, stream, step, group, first_replica, drawn):
    """drawn (4, replicas) uint32: the words of units 4·group … 4·group + 3, replica by replica."""
    first, second, third, fourth = drawn[0], drawn[1], drawn[2], drawn[3]
    for lane in range(drawn.shape[1]):
        # rows of their own, or the loop would not become vectors
        first[lane], second[lane], third[lane], fourth[lane] = words(seed, stream, step, group, first_replica + lane)
