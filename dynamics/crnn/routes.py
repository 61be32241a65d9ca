"""Max pooling: where the largest drives of all windows are, and what each unit above sends back there.

Main results: route, route_pair, spread, spread_pair, room.

Of a window's places only one, another one for each channel, is heard above and sends back. Two phases s± = m ± d whose largest
drives are at one place hear and send m and d as they are, so that their difference is as exact as without pooling.
"""

from __future__ import annotations

import numpy as np

from dynamics.kernel import kernel


def room(pooled: int, above: int) -> int:
    """Numbers of working memory that routes need."""
    return 2 * pooled * above + 4 * above


@kernel()
def places_in(layer, memory):
    """Two arrays (pooled places, above) of int32 in working memory: where each phase's largest drives are."""
    size = layer.rows_pooled * layer.columns_pooled * layer.above
    # in float64 a view as int32 is twice as long
    return memory[:size].view(np.int32)[:size], memory[size : 2 * size].view(np.int32)[:size]


@kernel()
def _best(layer, memory):
    """Four rows of channels in working memory, behind `places_in`."""
    start, above = 2 * layer.rows_pooled * layer.columns_pooled * layer.above, layer.above
    rows = memory[start : start + 4 * above]
    return rows[:above], rows[above : 2 * above], rows[2 * above : 3 * above], rows[3 * above :]


@kernel()
def _place(layer, pooled, k):
    """The k-th place of a window."""
    y = pooled // layer.columns_pooled * layer.pool + k // layer.pool
    return y * layer.columns_out + pooled % layer.columns_pooled * layer.pool + k % layer.pool


@kernel()
def _take(values, place, best, where):
    """best = values and where = place at the channels where they are larger."""
    for o in range(best.shape[0]):
        larger = values[o] > best[o]
        best[o] = values[o] if larger else best[o]
        where[o] = place if larger else where[o]


@kernel()
def _take_pair(means, halves, sign, place, best, best_half, where):
    """`_take` of means + sign · halves, whose two parts are kept apart."""
    for o in range(best.shape[0]):
        larger = means[o] + sign * halves[o] > best[o] + sign * best_half[o]
        best[o] = means[o] if larger else best[o]
        best_half[o] = halves[o] if larger else best_half[o]
        where[o] = place if larger else where[o]


@kernel()
def route(layer, drives, largest, pitch, memory):
    """largest (pooled places, pitch) += each window's largest of drives (places, wide_above); the first place of equal ones."""
    above, best, places = layer.above, _best(layer, memory)[0], places_in(layer, memory)[0]
    for pooled in range(layer.rows_pooled * layer.columns_pooled):
        where, first = places[pooled * above : (pooled + 1) * above], _place(layer, pooled, 0)
        best[:] = drives[first * layer.wide_above : first * layer.wide_above + above]
        where[:] = np.int32(first)
        for k in range(1, layer.pool * layer.pool):
            place = _place(layer, pooled, k)
            _take(drives[place * layer.wide_above :], np.int32(place), best, where)
        target = largest[pooled * pitch : pooled * pitch + above]
        for o in range(above):
            target[o] += best[o]


@kernel()
def route_pair(layer, drives, half_drives, largest, half_largest, pitch, memory):
    """`route` of drives ± half_drives: mean and half difference of the largest of either phase, and both phases' places.

    Where both are at one place the difference is that of the drives, to the bit.
    """
    above, one, two = layer.above, drives.dtype.type(1.0), drives.dtype.type(2.0)
    upper, upper_half, lower, lower_half = _best(layer, memory)
    upper_places, lower_places = places_in(layer, memory)
    for pooled in range(layer.rows_pooled * layer.columns_pooled):
        first = _place(layer, pooled, 0)
        upper_where, lower_where = (
            upper_places[pooled * above : (pooled + 1) * above],
            lower_places[pooled * above : (pooled + 1) * above],
        )
        upper_where[:] = np.int32(first)
        lower_where[:] = np.int32(first)
        upper[:] = drives[first * layer.wide_above : first * layer.wide_above + above]
        lower[:] = upper
        upper_half[:] = half_drives[first * layer.wide_above : first * layer.wide_above + above]
        lower_half[:] = upper_half
        for k in range(1, layer.pool * layer.pool):
            place = _place(layer, pooled, k)
            drive, half_drive = drives[place * layer.wide_above :], half_drives[place * layer.wide_above :]
            _take_pair(drive, half_drive, one, np.int32(place), upper, upper_half, upper_where)
            _take_pair(drive, half_drive, -one, np.int32(place), lower, lower_half, lower_where)
        target, half_target = largest[pooled * pitch : pooled * pitch + above], half_largest[pooled * pitch :]
        for o in range(above):
            target[o] += ((upper[o] + lower[o]) + (upper_half[o] - lower_half[o])) / two
        for o in range(above):
            half_target[o] += ((upper[o] - lower[o]) + (upper_half[o] + lower_half[o])) / two


@kernel()
def spread(layer, sources, memory, wide):
    """wide (places, wide_above) = 0 but sources (pooled places, above) at the places that `route` found."""
    above, places = layer.above, places_in(layer, memory)[0]
    zero = wide.dtype.type(0.0)
    wide[: layer.rows_out * layer.columns_out * layer.wide_above] = zero
    for pooled in range(layer.rows_pooled * layer.columns_pooled):
        where, source = places[pooled * above : (pooled + 1) * above], sources[pooled * above :]
        for k in range(layer.pool * layer.pool):
            place = np.int32(_place(layer, pooled, k))
            target = wide[place * layer.wide_above : place * layer.wide_above + above]
            for o in range(above):
                target[o] = source[o] if where[o] == place else zero


@kernel()
def _meet(mean, half, upper, lower, place, target):
    """target = what mean + half sends where upper is the place, and mean − half where lower is: half the sum, or the mean.

    With mean and half in each other's place it is half the difference.
    """
    zero, two = target.dtype.type(0.0), target.dtype.type(2.0)
    for o in range(target.shape[0]):
        up, down = upper[o] == place, lower[o] == place
        apart = (mean[o] + half[o]) / two if up else zero
        apart = (mean[o] - half[o]) / two if down else apart
        target[o] = mean[o] if up and down else apart


@kernel()
def spread_pair(layer, sources, half_sources, memory, wide, half_wide):
    """`spread` of sources ± half_sources at the places that `route_pair` found: mean and half difference."""
    above = layer.above
    upper_places, lower_places = places_in(layer, memory)
    wide[: layer.rows_out * layer.columns_out * layer.wide_above] = 0.0
    half_wide[: layer.rows_out * layer.columns_out * layer.wide_above] = 0.0
    for pooled in range(layer.rows_pooled * layer.columns_pooled):
        here = pooled * above
        mean, half, upper, lower = sources[here:], half_sources[here:], upper_places[here:], lower_places[here:]
        for k in range(layer.pool * layer.pool):
            place = np.int32(_place(layer, pooled, k))
            to = place * layer.wide_above
            _meet(mean, half, upper, lower, place, wide[to : to + above])
            _meet(half, mean, upper, lower, place, half_wide[to : to + above])
