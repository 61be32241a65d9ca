"""What spikes drive: the rows of the weights that fired, summed, in place of all products.

Main results: Tables, tabulate, lists_for, Lists, add_spikes, SPARSE.

The field of leaky spikes is a trace of its own: with s ← (1−ε)s + ε z, the drive J s becomes (1−ε) J s + ε J z. So only J z is
computed, z binary, a sum of the rows of J whose unit fired. A layer's spikes are listed place by place, channels last, as units
or, where many fire, packed as bits, 64 a word, and listed as groups of four with the pattern of the four: a nibble's row is the
sum of its units' rows, taken from a table sixteen times as long. Every window of a convolution then reads one stretch of the
list a row, every unit above adds one stretch of the window below, both by `add_rows`. Events cost in proportion to activity;
nibbles hardly depend on it, at most one row for four units. A layer lists nibbles where more than SPARSE of its units fire. The
plain form is `drive` of the spikes as numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import DTypeLike, NDArray

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.gather import add_rows, signs, trailing_zeros
from dynamics.crnn.wiring import Wiring, effective_kernel, narrow
from dynamics.kernel import kernel
from dynamics.tiles import LINE, aligned, padded_width

Array = NDArray[np.floating]

NIBBLE = 4
PATTERNS = 1 << NIBBLE
WORD = 64
# activity above which nibbles are the fewer rows read, by a margin that pays for their longer table
SPARSE = 0.2


class Tables(NamedTuple):
    """values: all rows; plan: all jobs of `add_rows`; jobs (layers, 2, 2): the first of a layer, rising and falling, and the end.

    places and channels (1 + layers,): of the input and of each layer's units, channels last. Rows rising: (rows, columns · names a
    place below, wide_above); falling: (rows, names a place above, wide_reach). A place has `channels` names of units, or 16 for
    each four.
    """

    values: Array
    plan: NDArray[np.int64]
    jobs: NDArray[np.int64]
    places: NDArray[np.int64]
    channels: NDArray[np.int64]

    @classmethod
    def none(cls, dtype: DTypeLike) -> Tables:
        """Tables of nothing, for phases without spikes."""
        whole = np.empty(0, np.int64)
        return cls(np.empty(0, dtype), whole, np.empty((0, 2, 2), np.int64), whole, whole)


class Lists(NamedTuple):
    """The spikes of one layer: bits (words,), names (units,) in ascending order, firsts (places + 1,) where each place's begin."""

    bits: NDArray[np.uint64]
    names: NDArray[np.int32]
    firsts: NDArray[np.int64]


def tabulate(architecture: Architecture, weights: Array, wiring: Wiring) -> Tables:
    """The tables of all layers, for average pooling; weights (architecture.weights,) are those of the wiring."""
    dtype, arrays = wiring.rising.dtype, architecture.arrays(weights)
    shapes = (architecture.input, *architecture.shapes)
    channels, places = np.array([shape[0] for shape in shapes]), np.array([math.prod(shape[1:]) for shape in shapes])
    jobs, parts, plan, length = np.zeros((len(architecture.layers), 2, 2), np.int64), [], [], 0
    for n, layer in enumerate(architecture.layers):
        effective = effective_kernel(layer, arrays[n].astype(dtype))
        rows, columns, below, above = effective.shape
        # a dense layer sees the units below as the channels of one place
        ratio = below // channels[n]
        kernels = (
            effective.reshape(rows * columns * ratio, channels[n], above),
            np.ascontiguousarray(effective.reshape(rows, columns * below, above).swapaxes(1, 2)),
        )
        routes = _rising(wiring.layers[n], ratio), _falling(wiring.layers[n])
        for direction in range(2 if n else 1):
            to, begin, end, row = routes[direction]
            bases = []
            for table in _tables(kernels[direction], padded_width(kernels[direction].shape[2], dtype)):
                bases.append(length + row * table[0].size)
                parts.append(table.ravel())
                length += table.size
            start = sum(map(len, plan))
            plan.append(np.stack([to, begin, end, *bases], axis=1))
            jobs[n, direction] = start, start + len(to)
    values = aligned(np.empty(length + LINE, dtype=dtype))
    np.concatenate(parts, out=values)
    return Tables(values, np.concatenate(plan).ravel(), jobs, places, channels)


Route = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _rising(layer: np.void, ratio: int) -> Route:
    """(to, begin, end, row): each row of each window reads the places begin … end − 1 of the layer below, `ratio` to a column.

    Name 0 of the layer's place 0 would read row · names a place.
    """
    i, y, x = (
        axis.ravel() for axis in np.indices((layer["rows"], layer["rows_out"], layer["columns_out"]), dtype=np.int64)
    )
    row, left = y * layer["stride"] + i - layer["padding"], x * layer["stride"] - layer["padding"]
    inside, origin = (row >= 0) & (row < layer["height"]), row * layer["width"]
    begin, end = np.maximum(left, 0), np.minimum(left + layer["columns"], layer["width"])
    found = (
        (y * layer["columns_out"] + x) * layer["wide_above"], (origin + begin) * ratio, (origin + end) * ratio,
        (i * layer["columns"] - origin - left) * ratio,
    )  # fmt: skip
    return tuple(part[inside] for part in found)


def _falling(layer: np.void) -> Route:
    """(to, begin, end, row): each place above adds to each row of its window."""
    i, y, x = (
        axis.ravel() for axis in np.indices((layer["rows"], layer["rows_out"], layer["columns_out"]), dtype=np.int64)
    )
    place = y * layer["columns_out"] + x
    to = (y * layer["stride"] + i) * layer["pitch"] + x * layer["stride"] * layer["channels"]
    return to, place, place + 1, i - place


@kernel()
def _tables(rows, wide):
    """(units, nibbles): rows (places, channels, width) filled up to `wide`, and the sum of each pattern's rows in each group.

    nibbles (places, groups · PATTERNS, wide); channel k of a group is bit k of its patterns.
    """
    places, channels, width = rows.shape
    groups = (channels + NIBBLE - 1) // NIBBLE
    units, nibbles = (
        np.zeros((places, groups * NIBBLE, wide), rows.dtype),
        np.zeros((places, groups * PATTERNS, wide), rows.dtype),
    )
    units[:, :channels, :width] = rows
    for place in range(places):
        for channel in range(groups * NIBBLE):
            first, bit, row = channel // NIBBLE * PATTERNS, 1 << channel % NIBBLE, units[place, channel]
            for pattern in range(first, first + bit):
                known, target = nibbles[place, pattern], nibbles[place, pattern + bit]
                for k in range(wide):
                    target[k] = known[k] + row[k]
    return units[:, :channels], nibbles


@kernel()
def lists_for(tables):
    """Room for the spikes of the largest layer."""
    words, units, places = 0, 0, 0
    for n in range(tables.places.shape[0]):
        words = max(words, tables.places[n] * ((tables.channels[n] + WORD - 1) // WORD))
        units = max(units, tables.places[n] * tables.channels[n])
        places = max(places, tables.places[n])
    return Lists(np.empty(words, np.uint64), np.empty(units, np.int32), np.empty(places + 1, np.int64))


@kernel()
def pack(values, factor, least, places, channels, bits):
    """Bits (places · words,) = factor · values > least, values (places, channels) flat; a place begins a word."""
    words, lanes = (channels + WORD - 1) // WORD, LINE // values.itemsize
    for place in range(places):
        for w in range(words):
            start = place * channels + w * WORD
            count, word = min(WORD, channels - w * WORD), np.uint64(0)
            # whole vectors: lanes is a power of two, and a division would cost more than the comparisons
            whole = count & -lanes
            for k in range(0, whole, lanes):
                word |= signs(values, start + k, factor, least) << np.uint64(k)
            for k in range(whole, count):
                word |= np.uint64(factor * values[start + k] > least) << np.uint64(k)
            bits[place * words + w] = word


@kernel()
def list_units(values, factor, least, places, channels, names, firsts):
    """The units that fired, factor · values > least, by their number in the layer; how many."""
    lanes, count = LINE // values.itemsize, 0
    whole = channels & -lanes
    for place in range(places):
        firsts[place] = count
        start = place * channels
        for first in range(start, start + whole, lanes):
            word = signs(values, first, factor, least)
            while word != np.uint64(0):
                names[count] = first + trailing_zeros(word)
                count += 1
                word &= word - np.uint64(1)
        for unit in range(start + whole, start + channels):
            if factor * values[unit] > least:
                names[count] = unit
                count += 1
    firsts[places] = count
    return count


@kernel()
def list_nibbles(bits, places, channels, names, firsts):
    """The groups of four in which a unit fired, by 16 · their number in the layer + their pattern; how many."""
    words, groups, count = (channels + WORD - 1) // WORD, (channels + NIBBLE - 1) // NIBBLE, 0
    for place in range(places):
        firsts[place] = count
        for group in range(groups):
            word = bits[place * words + group * NIBBLE // WORD]
            pattern = np.int64((word >> np.uint64(group * NIBBLE % WORD)) & np.uint64(PATTERNS - 1))
            if pattern > 0:
                names[count] = (place * groups + group) * PATTERNS + pattern
                count += 1
    firsts[places] = count
    return count


@kernel()
def add_spikes(
    values, sign, least, source, wiring, tables, lists, factor, up, down, other_factor, other_up, other_down
):  # fmt: skip
    """factor · `add_drives` of what fired in the input (source 0) or in free layer source − 1: sign · values > least, (units,).

    other_up and other_down likewise with other_factor, where that is not 0.
    """
    places, channels = tables.places[source], tables.channels[source]
    count, kind = list_units(values, sign, least, places, channels, lists.names, lists.firsts), 0
    if count > SPARSE * places * channels:
        pack(values, sign, least, places, channels, lists.bits)
        count, kind = list_nibbles(lists.bits, places, channels, lists.names, lists.firsts), 1
    if count == 0:
        return
    if source < wiring.layers.shape[0]:
        above = wiring.layers[source]
        add_rows(
            up[above.up :], factor, other_up[above.up :], other_factor, above.wide_above, tables.values, lists.names,
            lists.firsts, kind, tables.plan, tables.jobs[source, 0, 0], tables.jobs[source, 0, 1],
        )  # fmt: skip
    if source > 1:
        layer = wiring.layers[source - 1]
        add_rows(
            down[layer.down :], factor, other_down[layer.down :], other_factor, layer.wide_reach, tables.values, lists.names,
            lists.firsts, kind, tables.plan, tables.jobs[source - 1, 1, 0], tables.jobs[source - 1, 1, 1],
        )  # fmt: skip


@kernel()
def _decay(leak, wiring, up, down):
    """(1 − ε) of what rose and fell among the free layers, ε of the layer that it came from; leak (units,)."""
    one = leak.dtype.type(1.0)
    for n in range(1, wiring.layers.shape[0]):
        layer = wiring.layers[n]
        risen = up[layer.up : layer.up + layer.rows_pooled * layer.columns_pooled * layer.wide_above]
        risen *= one - leak[layer.start_below]
        fallen = down[layer.down : layer.down + layer.tall * layer.pitch]
        fallen *= one - leak[layer.start_above]


@kernel()
def follow_spikes(pulses, leak, wiring, tables, lists, up, down):
    """Move the drives of add_drives by a step, as `follow` moves the traces: pulses (units,) are 0 or 1."""
    zero, half, one = leak.dtype.type(0.0), leak.dtype.type(0.5), leak.dtype.type(1.0)
    _decay(leak, wiring, up, down)
    for n in range(wiring.layers.shape[0]):
        start = wiring.layers[n].start_above
        fired = pulses[start : start + tables.places[n + 1] * tables.channels[n + 1]]
        add_spikes(fired, one, half, n + 1, wiring, tables, lists, leak[start], up, down, zero, up, down)


@kernel()
def follow_pair(pulses, half_pulses, leak, wiring, tables, lists, up, down, half_up, half_down):
    """`follow_spikes` for the mean and half difference of two phases: 0, ½ or 1, and 0 or ±½.

    Spikes of both, of the first alone and of the second alone are three lists: coupled phases rarely differ.
    """
    zero, half, one = leak.dtype.type(0.0), leak.dtype.type(0.5), leak.dtype.type(1.0)
    quarter = half * half
    _decay(leak, wiring, up, down)
    _decay(leak, wiring, half_up, half_down)
    for n in range(wiring.layers.shape[0]):
        start = wiring.layers[n].start_above
        there = slice(start, start + tables.places[n + 1] * tables.channels[n + 1])
        both, apart, rate = pulses[there], half_pulses[there], half * leak[start]
        add_spikes(
            both, one, half + quarter, n + 1, wiring, tables, lists, leak[start], up, down, zero, half_up, half_down
        )
        add_spikes(apart, one, quarter, n + 1, wiring, tables, lists, rate, up, down, rate, half_up, half_down)
        add_spikes(apart, -one, quarter, n + 1, wiring, tables, lists, rate, up, down, -rate, half_up, half_down)


@kernel(parallel=True)
def spike_drive_images(spikes, wiring, tables, fields):
    """`input_drive_images` of binary images (B, inputs), from their spikes."""
    zero, half, one = fields.dtype.type(0.0), fields.dtype.type(0.5), fields.dtype.type(1.0)
    for image in prange(spikes.shape[0]):
        up, none, lists = np.zeros(wiring.up, fields.dtype), np.empty(0, fields.dtype), lists_for(tables)
        add_spikes(spikes[image], one, half, 0, wiring, tables, lists, one, up, none, zero, up, none)
        narrow(wiring.layers[0], up, fields[image])
