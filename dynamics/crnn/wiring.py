"""The weights as the kernels read them: every layer a strided convolution of images with their channels last.

Main results: Wiring, wire, effective_kernel, scratch_for, input_drive, drive, add_input, add_drives, add_within, collect, narrow,
accumulate, accumulate_images, unpack.

Average pooling after a convolution is one convolution: its kernel is w summed over the windows, Σ_{a,b<pool} w[i − a·stride,
j − b·stride]/pool², its stride stride·pool; truncated windows stay truncated. A dense layer is a convolution of a 1 × 1 image
with as many channels as units below. Max pooling stays apart: the drives at all places, then the largest of each window.
All kernels work on one image, so that they may run on any number of threads.

Blocking: all work is `multiply_add` on panels of two vectors of columns. What rises: a row of the tile is a place above, the sum
runs over the window below, the columns are channels above; a panel of the kernel streams from L2 once for eight places. What
falls: a row is a place above, the sum runs over its channels, the columns are one row of the window below, to which they are
added, so that strides and overlaps cost nothing and a panel (channels × 2 vectors, 8 KiB for 64 in float32) stays in L1. The
gradient: a row is a place in a kernel's row, the sum runs over the places above. A dense layer is a single row, `add_product`. The
kernels lie in memory panel after panel, in the order in which they are read, each panel from a multiple of 64 bytes; widths are
filled up with zeros to whole vectors. Drives are summed in that width, `up` and `down`, and brought into the field by `collect`.
The plain forms that the tests compare with are those of dynamics.crnn.convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import DTypeLike, NDArray

from dynamics.crnn import routes, winograd
from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.routes import route, route_pair, spread, spread_pair
from dynamics.crnn.winograd import fall, rise
from dynamics.kernel import kernel
from dynamics.tiles import LINE, MOST_VECTORS, add_product, aligned, lanes, multiply_add, padded_width

Array = NDArray[np.floating]

_FIELDS = (
    "start_below", "height", "width", "channels", "padding", "stride", "rows", "columns",
    "start_above", "rows_out", "columns_out", "above", "pool", "rows_pooled", "columns_pooled",
    "wide_above", "wide_reach", "rising", "falling", "corners", "product",
    "tall", "pitch", "tiles_down", "tiles_across", "taps", "tile", "up", "down",
)  # fmt: skip
# records, so that layer.height means the same to the compiler and without it
Layer = np.dtype((np.record, [(name, np.int64) for name in _FIELDS]))

# Blocks of images whose gradients are summed apart, then in order: a fixed number, so that threads cannot matter.
BLOCKS = 8


class Wiring(NamedTuple):
    """layers: a Layer each; rising and falling: all kernels as panels, from below to above and back.

    rising: (rows·columns·channels, above) a layer; falling: (above, columns·channels) for each row of a kernel, but for the
    first layer, whose input is clamped. corners: where each place's window begins in the padded image below; counting: 0, 1, ….
    padded and full: numbers of the largest padded image below and of the largest drive before pooling; up and down: of what all
    layers' drives are summed in, see `add_drives`; product: numbers of a gradient, (rows, columns, channels, above) a layer,
    above filled up to wide_above; spare: of working memory for the convolutions, routing: for dynamics.crnn.routes; routes:
    whether a layer among the free ones pools by the largest. Where tiles_down is not 0 the kernels are transformed ones, see
    dynamics.crnn.winograd. links (L, 3): where two coupled stretches of the state begin and how long they are; rivals (R, 3): where
    a layer's begins, its places and the units of one, which are coupled among each other; a coupling for each of both.
    """

    layers: NDArray[np.void]
    rising: Array
    falling: Array
    corners: NDArray[np.int64]
    counting: NDArray[np.int64]
    padded: int
    full: int
    up: int
    down: int
    product: int
    spare: int
    routing: int
    routes: bool
    links: NDArray[np.int64]
    link_couplings: Array
    rivals: NDArray[np.int64]
    rival_couplings: Array


def wire(
    architecture: Architecture, weights: Array, dtype: DTypeLike, *, entry: Callable[[Array], Array] | None = None
) -> Wiring:
    """The wiring of all layers but the readout, for states of `dtype`; weights (architecture.weights,).

    entry: changes every entry of every kernel, pooled ones after pooling: numpy.abs for drives by |J|, numpy.square for those of
    variances. Such wirings, and all in float64, sum products directly, so that a drive by |J| has no negative part.
    """
    layers = np.zeros(len(architecture.layers), dtype=Layer)
    rising, falling, corners = [], [], []
    padded = full = product = spare = routing = up = down = 0
    arrays = architecture.arrays(weights)
    for n, (table, layer) in enumerate(zip(layers, architecture.layers, strict=True)):
        below, above = (architecture.input, *architecture.shapes)[n], architecture.shapes[n]
        effective = effective_kernel(layer, arrays[n].astype(dtype))
        if isinstance(layer, Conv):
            pool = 1 if layer.pooling == "average" else layer.pool
            stride, padding = layer.stride * layer.pool // pool, layer.padding
            (channels, height, width), (_, *pooled) = below, above
        else:
            pool, stride, padding = 1, 1, 0
            channels, height, width, pooled = architecture.weight_shapes[n][0], 1, 1, [1, 1]
        if entry is not None:
            effective = entry(effective)
        rows, columns, _, units = effective.shape
        inner = [
            (side + 2 * padding - reach) // stride + 1 if pool > 1 else out
            for side, reach, out in zip((height, width), (rows, columns), pooled, strict=True)
        ]
        reach = columns * channels
        wide_above, wide_reach = padded_width(units, dtype), padded_width(reach, dtype)
        tall, across = height + 2 * padding, width + 2 * padding
        taps, tile, tiles = winograd.taps(rows, stride), 0, (0, 0)
        if entry is None and n > 0 and winograd.saves(dtype, effective.shape, stride, inner):
            tile, tiles = winograd.tile(taps), winograd.tiles(inner, taps)
            tall, across = (
                max(a, b) for a, b in zip((tall, across), winograd.reached(tiles, taps, stride), strict=True)
            )
        pitch = across * channels
        start = sum(architecture.sizes[: n - 1]) if n else 0
        values = (
            start, height, width, channels, padding, stride, rows, columns, sum(architecture.sizes[:n]), *inner, units,
            pool, *pooled, wide_above, wide_reach, *(sum(map(len, parts)) for parts in (rising, falling, corners)), product,
            tall, pitch, *tiles, taps, tile, up, down,
        )  # fmt: skip
        for name, value in zip(_FIELDS, values, strict=True):
            table[name] = value
        if any(tiles):
            kernels = winograd.transformed(effective, stride)
            rising.append(_panels(kernels, units))
            falling.append(_panels(kernels.transpose(0, 2, 1), kernels.shape[1]))
            spare = max(spare, winograd.scratch_size(tiles, taps, *kernels.shape[1:]))
        else:
            rising.append(_panels(effective.reshape(1, -1, units), wide_above))
            # what falls from a single place is one row's product with the whole kernel
            step = wide_reach if [*inner, rows, columns] == [1] * 4 else None
            if n:
                falling.append(_panels(effective.reshape(rows, reach, units).transpose(0, 2, 1), wide_reach, step))
        if pool > 1:
            routing = max(routing, routes.room(math.prod(pooled), units))
        corners.append(np.add.outer(np.arange(inner[0]) * pitch, np.arange(inner[1]) * channels).ravel() * stride)
        size = padded_width(tall * pitch + wide_reach - reach, dtype)
        padded, full = max(padded, size), max(full, inner[0] * inner[1] * wide_above)
        product += rows * reach * wide_above
        up, down = up + pooled[0] * pooled[1] * wide_above, down + (size if n else 0)
    counting = np.arange(max(int((layers["columns"] * layers["channels"]).max()), max(map(len, corners))))
    return Wiring(
        layers, _aligned_together(rising, dtype), _aligned_together(falling, dtype), np.concatenate(corners), counting,
        padded, full, up, down, product, spare, routing, bool((layers["pool"][1:] > 1).any()),
        *_within(architecture, dtype, entry),
    )  # fmt: skip


def _within(
    architecture: Architecture, dtype: DTypeLike, entry: Callable[[Array], Array] | None
) -> tuple[NDArray[np.int64], Array, NDArray[np.int64], Array]:
    """links, their couplings, rivals, their couplings."""
    places, links, rivals, rivalry = architecture.places, [], [], []
    for link in architecture.links:
        lower, upper = places[link.lower - 1], places[link.upper - 1]
        links.append((lower.start, upper.start, lower.stop - lower.start))
    for layer, place, strength in zip(architecture.layers, places, architecture.lateral, strict=False):
        if layer.biases > 1:
            rivals.append((place.start, (place.stop - place.start) // layer.biases, layer.biases))
            rivalry.append(-strength / (layer.biases - 1))
    couplings = [np.array(values, dtype) for values in ([link.strength for link in architecture.links], rivalry)]
    if entry is not None:
        couplings = [entry(values) for values in couplings]
    tables = [np.array(rows, np.int64).reshape(-1, 3) for rows in (links, rivals)]
    return tables[0], couplings[0], tables[1], couplings[1]


def _panels(matrices: Array, wide: int, step: int | None = None) -> Array:
    """(count, K, N) as the tiles read it, flat: N filled up to `wide`, then panel after panel of (K, step), two vectors wide."""
    count, depth, width = matrices.shape
    whole = np.zeros((count, depth, wide), dtype=matrices.dtype)
    whole[:, :, :width] = matrices
    step = step or MOST_VECTORS * lanes(matrices.dtype)
    panels = [whole[:, :, start : start + step].reshape(count, -1) for start in range(0, wide, step)]
    return np.concatenate(panels, axis=1).ravel()


def _aligned_together(parts: list[Array], dtype: DTypeLike) -> Array:
    """The parts end to end, from a multiple of LINE bytes."""
    whole = aligned(np.empty(sum(map(len, parts)) + LINE, dtype=dtype))
    np.concatenate([np.empty(0, dtype), *parts], out=whole)
    return whole


def effective_kernel(layer: Conv | Dense, weights: Array) -> Array:
    """(rows', columns', below, above): convolution and average pooling in one, or a dense layer; weights as in its array."""
    if isinstance(layer, Dense):
        return weights[None, None]
    weights = weights.transpose(2, 3, 1, 0)
    if layer.pooling != "average":
        return weights
    reach = layer.kernel + (layer.pool - 1) * layer.stride
    effective = np.zeros((reach, reach, *weights.shape[2:]), dtype=weights.dtype)
    for window in _windows(layer, effective):
        window += weights / layer.pool**2
    return effective


def _windows(layer: Conv, effective: Array) -> list[Array]:
    """The views of a pooled kernel that the places of one pooling window see."""
    places = [slice(a * layer.stride, a * layer.stride + layer.kernel) for a in range(layer.pool)]
    return [effective[rows, columns] for rows in places for columns in places]


def unpack(architecture: Architecture, packed: Array) -> Array:
    """∂L/∂w (weights,) without the readout's from ∂L/∂(kernels) as `accumulate` leaves them: the adjoint of packing."""
    arrays, start = [], 0
    for layer, shape in zip(architecture.layers, architecture.weight_shapes, strict=False):
        if isinstance(layer, Conv):
            reach = layer.kernel + (layer.pool - 1) * layer.stride if layer.pooling == "average" else layer.kernel
            units, lead = shape[0], (reach, reach, shape[1])
        else:
            units, lead = shape[1], (shape[0],)
        wide = (*lead, padded_width(units, packed.dtype))
        effective = packed[start : start + math.prod(wide)].reshape(wide)[..., :units]
        start += math.prod(wide)
        if isinstance(layer, Conv):
            if layer.pooling == "average":
                effective = sum(_windows(layer, effective)) / layer.pool**2
            effective = effective.transpose(3, 2, 0, 1)
        arrays.append(effective.ravel())
    return np.concatenate(arrays)


@kernel()
def scratch_for(wiring):
    """Working memory for one image at a time; what it holds means nothing between calls."""
    return aligned(np.empty(_routing(wiring) + wiring.routing + LINE, dtype=wiring.rising.dtype))


@kernel()
def _spare(wiring):
    """Where working memory for convolutions begins, after a padded image and what `drive` and `pair_drive` sum."""
    return wiring.padded + 2 * (wiring.up + wiring.down)


@kernel()
def _places(wiring):
    """Where three times the memory of a drive before pooling begins."""
    return _spare(wiring) + wiring.spare


@kernel()
def _routing(wiring):
    """Where working memory for routes begins."""
    return _places(wiring) + 3 * wiring.full


@kernel()
def _pad(layer, values, padded):
    """padded (tall, pitch) = values (height, width · channels) amid zeros, both flat."""
    border, breadth = layer.padding, layer.width * layer.channels
    padded[: layer.tall * layer.pitch] = 0.0
    for y in range(layer.height):
        place = (y + border) * layer.pitch + border * layer.channels
        padded[place : place + breadth] = values[y * breadth : (y + 1) * breadth]


@kernel()
def _widen(layer, values, wide):
    """wide (places, wide_above) = values (places, above) and zeros, both flat."""
    for place in range(layer.rows_out * layer.columns_out):
        to, origin = place * layer.wide_above, place * layer.above
        wide[to : to + layer.above] = values[origin : origin + layer.above]
        wide[to + layer.above : to + layer.wide_above] = 0.0


@kernel()
def _add(target, source):
    """target += source, entry by entry: a loop over two slices becomes vectors, one over offsets does not."""
    for k in range(target.shape[0]):
        target[k] += source[k]


@kernel()
def _single(layer):
    """Whether a layer is dense, or as good as that: one place above, which sees one place below."""
    return layer.rows_out * layer.columns_out * layer.rows * layer.columns == 1


@kernel()
def _rise(layer, padded, wiring, drives):
    """drives (places, wide_above) += kernel ⋆ padded."""
    reach = layer.columns * layer.channels
    places, step = layer.rows_out * layer.columns_out, MOST_VECTORS * LINE // drives.itemsize
    corners = wiring.corners[layer.corners : layer.corners + places]
    panel = layer.rising
    for start in range(0, layer.wide_above, step):
        width = min(step, layer.wide_above - start)
        if _single(layer):
            add_product(drives, start, padded, 0, reach, wiring.rising, panel, width)
            panel += reach * width
            continue
        multiply_add(
            drives, start, wiring.counting, layer.wide_above, padded, 0, corners, 1, places, wiring.rising, panel, width,
            layer.rows, layer.pitch, reach * width, reach, 1, width,
        )  # fmt: skip
        panel += layer.rows * reach * width


@kernel()
def _fall(layer, sources, pitch_above, wiring, padded):
    """padded += the transpose of `_rise` at sources (places, pitch_above), of which the first `above` count."""
    step = MOST_VECTORS * LINE // padded.itemsize
    places = layer.rows_out * layer.columns_out
    corners = wiring.corners[layer.corners : layer.corners + places]
    panel = layer.falling
    if _single(layer):
        add_product(padded, 0, sources, 0, layer.above, wiring.falling, panel, layer.wide_reach)
        return
    for i in range(layer.rows):
        for start in range(0, layer.wide_reach, step):
            width = min(step, layer.wide_reach - start)
            multiply_add(
                padded, i * layer.pitch + start, corners, 1, sources, 0, wiring.counting, pitch_above, places, wiring.falling,
                panel, width, 1, 0, 0, layer.above, 1, width,
            )  # fmt: skip
            panel += layer.above * width


@kernel()
def _correlate(layer, padded, wide, wiring, product):
    """product (rows, columns, channels, wide_above) += ∂⟨wide, kernel ⋆ padded⟩/∂kernel; wide (places, wide_above)."""
    reach = layer.columns * layer.channels
    step = MOST_VECTORS * LINE // product.itemsize
    for i in range(layer.rows):
        for start in range(0, layer.wide_above, step):
            multiply_add(
                product, layer.product + i * reach * layer.wide_above + start, wiring.counting, layer.wide_above,
                padded, i * layer.pitch, wiring.counting, 1, reach, wide, start, min(step, layer.wide_above - start),
                layer.rows_out, layer.stride * layer.pitch, layer.columns_out * layer.wide_above,
                layer.columns_out, layer.stride * layer.channels, layer.wide_above,
            )  # fmt: skip


@kernel()
def narrow(layer, wide, field):
    """field (pooled places, above) += wide (pooled places, wide_above), both flat."""
    if layer.wide_above == layer.above:
        _add(field[: layer.rows_pooled * layer.columns_pooled * layer.above], wide)
        return
    for place in range(layer.rows_pooled * layer.columns_pooled):
        to = place * layer.above
        _add(field[to : to + layer.above], wide[place * layer.wide_above :])


@kernel()
def risen_size(wiring):
    """Numbers that `add_input` adds to: the first of wiring.up."""
    layer = wiring.layers[0]
    return layer.rows_pooled * layer.columns_pooled * layer.wide_above


@kernel()
def add_input(image, wiring, scratch, up):
    """up += P(w_0 ⋆ image), (pooled places, wide_above); image (inputs,)."""
    layer, drives = wiring.layers[0], scratch[_places(wiring) :]
    if layer.pool == 1:
        add_rise(layer, image, wiring, scratch, up)
        return
    drives[: layer.rows_out * layer.columns_out * layer.wide_above] = 0.0
    add_rise(layer, image, wiring, scratch, drives)
    route(layer, drives, up, layer.wide_above, scratch[_routing(wiring) :])


@kernel()
def input_drive(image, wiring, scratch, field):
    """field (units of the first layer, …) += P(w_0 ⋆ image), image (inputs,); constant while the image is."""
    layer, up = wiring.layers[0], scratch[wiring.padded : wiring.padded + wiring.up]
    up[: risen_size(wiring)] = 0.0
    add_input(image, wiring, scratch, up)
    narrow(layer, up, field)


@kernel()
def add_rise(layer, below, wiring, scratch, drives):
    """drives (places, wide_above) += what rises from a layer's state below, before any pooling by the largest."""
    padded = scratch
    if layer.tall == layer.height and layer.pitch == layer.width * layer.channels:
        values = below
    else:
        _pad(layer, below, padded)
        values = padded
    if layer.tiles_down > 0:
        rise(layer, values, wiring.rising, wiring.counting, scratch[_spare(wiring) :], drives)
    else:
        _rise(layer, values, wiring, drives)


@kernel()
def add_fall(layer, sources, pitch, wiring, scratch, down):
    """down += what falls from sources (places, pitch), (tall, pitch) and a vector's rest."""
    if layer.tiles_down > 0:
        fall(layer, sources, wiring.falling, wiring.counting, scratch[_spare(wiring) :], down)
    else:
        _fall(layer, sources, pitch, wiring, down)


@kernel()
def add_drives(state, wiring, scratch, up, down):
    """up (wiring.up,) and down (wiring.down,) += what rises and falls between the free layers, whole vectors wide; state (units,).

    `collect` brings them into the field. They are linear in the state but for max pooling.
    """
    drives, routing = scratch[_places(wiring) :], scratch[_routing(wiring) :]
    for n in range(1, wiring.layers.shape[0]):
        layer = wiring.layers[n]
        below, above = state[layer.start_below : layer.start_above], state[layer.start_above :]
        if layer.pool == 1:
            add_rise(layer, below, wiring, scratch, up[layer.up :])
            add_fall(layer, above, layer.above, wiring, scratch, down[layer.down :])
        else:
            drives[: layer.rows_out * layer.columns_out * layer.wide_above] = 0.0
            add_rise(layer, below, wiring, scratch, drives)
            route(layer, drives, up[layer.up :], layer.wide_above, routing)
            spread(layer, above, routing, drives)
            add_fall(layer, drives, layer.wide_above, wiring, scratch, down[layer.down :])


@kernel()
def _add_pair_drives(mean, half, wiring, scratch, up, down, half_up, half_down):
    """`add_drives` of two phases, mean ± half, as their mean and half difference."""
    drives, half_drives = scratch[_places(wiring) :], scratch[_places(wiring) + wiring.full :]
    routing = scratch[_routing(wiring) :]
    for n in range(1, wiring.layers.shape[0]):
        layer = wiring.layers[n]
        below, above = mean[layer.start_below : layer.start_above], mean[layer.start_above :]
        half_below, half_above = half[layer.start_below : layer.start_above], half[layer.start_above :]
        if layer.pool == 1:
            add_rise(layer, below, wiring, scratch, up[layer.up :])
            add_rise(layer, half_below, wiring, scratch, half_up[layer.up :])
            add_fall(layer, above, layer.above, wiring, scratch, down[layer.down :])
            add_fall(layer, half_above, layer.above, wiring, scratch, half_down[layer.down :])
        else:
            size = layer.rows_out * layer.columns_out * layer.wide_above
            drives[:size] = 0.0
            half_drives[:size] = 0.0
            add_rise(layer, below, wiring, scratch, drives)
            add_rise(layer, half_below, wiring, scratch, half_drives)
            route_pair(layer, drives, half_drives, up[layer.up :], half_up[layer.up :], layer.wide_above, routing)
            spread_pair(layer, above, half_above, routing, drives, half_drives)
            add_fall(layer, drives, layer.wide_above, wiring, scratch, down[layer.down :])
            add_fall(layer, half_drives, layer.wide_above, wiring, scratch, half_down[layer.down :])


@kernel()
def pair_drive(mean, half, wiring, scratch, field, half_field):
    """field += (h(m + d) + h(m − d))/2 and half_field += (h(m + d) − h(m − d))/2, all (units,), h as `drive` has it.

    The difference is exact relative to itself: linear in d but where d moves the place of a largest drive.
    """
    if not wiring.routes:
        drive(mean, wiring, scratch, field)
        drive(half, wiring, scratch, half_field)
        return
    sums = scratch[wiring.padded : _spare(wiring)]
    sums[:] = 0.0
    up, half_up, downs = sums[: wiring.up], sums[wiring.up : 2 * wiring.up], sums[2 * wiring.up :]
    down, half_down = downs[: wiring.down], downs[wiring.down :]
    _add_pair_drives(mean, half, wiring, scratch, up, down, half_up, half_down)
    collect(up, down, wiring, field)
    collect(half_up, half_down, wiring, half_field)
    add_within(mean, wiring, field)
    add_within(half, wiring, half_field)


@kernel()
def collect(up, down, wiring, field):
    """field (units,) += the drives that `add_drives` left."""
    for n in range(1, wiring.layers.shape[0]):
        layer = wiring.layers[n]
        breadth = layer.width * layer.channels
        narrow(layer, up[layer.up :], field[layer.start_above :])
        for y in range(layer.height):
            to = layer.start_below + y * breadth
            place = layer.down + (y + layer.padding) * layer.pitch + layer.padding * layer.channels
            _add(field[to : to + breadth], down[place : place + breadth])


@kernel()
def add_within(state, wiring, field):
    """field (units,) += what links send up and down and what rivals send each other; state (units,)."""
    for n in range(wiring.links.shape[0]):
        lower, upper, size = wiring.links[n]
        for unit in range(size):
            field[upper + unit] += wiring.link_couplings[n] * state[lower + unit]
            field[lower + unit] += wiring.link_couplings[n] * state[upper + unit]
    for n in range(wiring.rivals.shape[0]):
        start, places, units = wiring.rivals[n]
        for place in range(places):
            own, target = state[start + place * units :], field[start + place * units :]
            total = own[:units].sum()
            for unit in range(units):
                target[unit] += wiring.rival_couplings[n] * (total - own[unit])


@kernel()
def drive(state, wiring, scratch, field):
    """field (units,) += P(w_{n−1} ⋆ s^{n−1}) + (w_n ⋆)ᵀ Pᵀ s^{n+1} among the free layers, links and rivals; state (units,)."""
    middle = wiring.padded + wiring.up
    up, down = scratch[wiring.padded : middle], scratch[middle : middle + wiring.down]
    up[:] = 0.0
    down[:] = 0.0
    add_drives(state, wiring, scratch, up, down)
    collect(up, down, wiring, field)
    add_within(state, wiring, field)


@kernel()
def accumulate(image, mean, slope, wiring, scratch, product):
    """product (wiring.product,) += Σ_layers ∂/∂kernel of ⟨slope above, kernel ⋆ mean below⟩ + ⟨mean above, kernel ⋆ slope below⟩.

    mean, slope (units,); the input (inputs,) is clamped, its slope 0. Max pooling reads its places off the means.
    """
    padded, drives, routing = scratch, scratch[_places(wiring) :], scratch[_routing(wiring) :]
    mean_above, slope_above = drives[wiring.full :], drives[2 * wiring.full :]
    for n in range(wiring.layers.shape[0]):
        layer = wiring.layers[n]
        below, above = layer.start_below, layer.start_above
        seen = image if n == 0 else mean[below:above]
        _pad(layer, seen, padded)
        if layer.pool == 1:
            _widen(layer, mean[above:], mean_above)
            _widen(layer, slope[above:], slope_above)
        else:
            drives[: layer.rows_out * layer.columns_out * layer.wide_above] = 0.0
            add_rise(layer, seen, wiring, scratch, drives)
            # the largest themselves are of no use here: they lie where the slopes are spread next
            route(layer, drives, slope_above, layer.above, routing)
            spread(layer, slope[above:], routing, slope_above)
            spread(layer, mean[above:], routing, mean_above)
        _correlate(layer, padded, slope_above, wiring, product)
        if n > 0:
            _pad(layer, slope[below:above], padded)
            _correlate(layer, padded, mean_above, wiring, product)


@kernel(parallel=True)
def _accumulate_blocks(images, means, slopes, wiring, products):
    """`accumulate` over the images of each block, block by block of products (BLOCKS, wiring.product)."""
    count, blocks = images.shape[0], products.shape[0]
    for block in prange(blocks):
        scratch = scratch_for(wiring)
        for image in range(count * block // blocks, count * (block + 1) // blocks):
            accumulate(images[image], means[image], slopes[image], wiring, scratch, products[block])


def accumulate_images(images: Array, means: Array, slopes: Array, wiring: Wiring) -> Array:
    """`accumulate` summed over images (B, inputs), means and slopes (B, units): (wiring.product,), the same for any threads."""
    dtype = wiring.rising.dtype
    products = aligned(np.zeros(BLOCKS * wiring.product + LINE, dtype=dtype)).reshape(BLOCKS, wiring.product)
    images, means, slopes = (np.ascontiguousarray(values, dtype=dtype) for values in (images, means, slopes))
    _accumulate_blocks(images, means, slopes, wiring, products)
    return products.sum(axis=0)
