"""The weights as the kernels read them: every layer a strided convolution of images with their channels last.

Main results: Wiring, wire, scratch_for, input_drive, drive, accumulate, accumulate_images, unpack.

Average pooling after a convolution is one convolution: its kernel is w summed over the windows, Σ_{a,b<pool} w[i − a·stride,
j − b·stride]/pool², its stride stride·pool; truncated windows stay truncated. A dense layer is a convolution of a 1 × 1 image
with as many channels as units below. Max pooling stays apart: the drives at all places, then the largest of each window.
All kernels work on one image, so that they may run on any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import DTypeLike, NDArray

from dynamics.crnn.architecture import Architecture, Conv
from dynamics.kernel import kernel

Layer = np.dtype(
    [
        (name, np.int64)
        for name in (
            "start_below", "height", "width", "channels", "padding", "stride", "rows", "columns",
            "start_above", "rows_out", "columns_out", "above", "pool", "rows_pooled", "columns_pooled", "weights",
        )
    ]
)  # fmt: skip

# Blocks of images whose gradients are summed apart, then in order: a fixed number, so that threads cannot matter.
BLOCKS = 8


class Wiring(NamedTuple):
    """layers: a Layer each; rising: all kernels, each (rows, columns, channels, above).

    padded and full: numbers of the largest padded image below and of the largest drive before max pooling.
    """

    layers: NDArray[np.void]
    rising: NDArray[np.floating]
    padded: int
    full: int


def wire(architecture: Architecture, weights: NDArray[np.floating], dtype: DTypeLike) -> Wiring:
    """The wiring of all layers but the readout, for states of `dtype`; weights (architecture.weights,)."""
    layers = np.zeros(len(architecture.layers), dtype=Layer)
    kernels, offset = [], 0
    arrays = architecture.arrays(weights)
    for n, (table, layer) in enumerate(zip(layers, architecture.layers, strict=True)):
        below, above = (architecture.input, *architecture.shapes)[n], architecture.shapes[n]
        if isinstance(layer, Conv):
            effective = _pooled(layer, arrays[n].transpose(2, 3, 1, 0))
            pool = 1 if layer.pooling == "average" else layer.pool
            stride, padding = layer.stride * layer.pool // pool, layer.padding
            (channels, height, width), (_, *pooled) = below, above
        else:
            effective, pool, stride, padding = arrays[n][None, None], 1, 1, 0
            channels, height, width, pooled = architecture.weight_shapes[n][0], 1, 1, [1, 1]
        rows, columns = effective.shape[:2]
        inner = [
            (side + 2 * padding - reach) // stride + 1 if pool > 1 else out
            for side, reach, out in zip((height, width), (rows, columns), pooled, strict=True)
        ]
        start = sum(architecture.sizes[: n - 1]) if n else 0
        values = (
            start, height, width, channels, padding, stride, rows, columns,
            sum(architecture.sizes[:n]), *inner, effective.shape[3], pool, *pooled, offset,
        )  # fmt: skip
        for name, value in zip(Layer.names or (), values, strict=True):
            table[name] = value
        kernels.append(np.ascontiguousarray(effective).ravel())
        offset += kernels[-1].size
    padded = (layers["height"] + 2 * layers["padding"]) * (layers["width"] + 2 * layers["padding"]) * layers["channels"]
    full = layers["rows_out"] * layers["columns_out"] * layers["above"]
    return Wiring(layers, np.concatenate(kernels).astype(dtype), int(padded.max()), int(full.max()))


def _pooled(layer: Conv, weights: NDArray[np.floating]) -> NDArray[np.floating]:
    """(rows', columns', below, above): the kernel of convolution and average pooling in one."""
    if layer.pooling != "average":
        return weights
    reach = layer.kernel + (layer.pool - 1) * layer.stride
    effective = np.zeros((reach, reach, *weights.shape[2:]), dtype=weights.dtype)
    for window in _windows(layer, effective):
        window += weights / layer.pool**2
    return effective


def _windows(layer: Conv, effective: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    """The views of a pooled kernel that the places of one pooling window see."""
    places = [slice(a * layer.stride, a * layer.stride + layer.kernel) for a in range(layer.pool)]
    return [effective[rows, columns] for rows in places for columns in places]


def unpack(architecture: Architecture, packed: NDArray[np.floating]) -> NDArray[np.floating]:
    """∂L/∂w (weights,) without the readout's from ∂L/∂(kernels) as `accumulate` leaves them: the adjoint of packing."""
    arrays, start = [], 0
    for layer, shape in zip(architecture.layers, architecture.weight_shapes, strict=False):
        if isinstance(layer, Conv):
            reach = layer.kernel + (layer.pool - 1) * layer.stride if layer.pooling == "average" else layer.kernel
            effective = packed[start : start + reach**2 * shape[0] * shape[1]].reshape(reach, reach, shape[1], shape[0])
            total = effective
            if layer.pooling == "average":
                total = sum(_windows(layer, effective)) / layer.pool**2
            arrays.append(total.transpose(3, 2, 0, 1).ravel())
            start += effective.size
        else:
            arrays.append(packed[start : start + shape[0] * shape[1]])
            start += arrays[-1].size
    return np.concatenate(arrays)


@kernel()
def scratch_for(wiring):
    """Working memory for one image at a time; what it holds means nothing between calls."""
    return np.empty(2 * wiring.padded + 3 * wiring.full, dtype=wiring.rising.dtype)


@kernel()
def _pad(layer, values, padded):
    """padded (height + 2 padding, width + 2 padding, channels) = values (height, width, channels) amid zeros, both flat."""
    border, breadth = layer.padding, layer.width * layer.channels
    pitch = (layer.width + 2 * border) * layer.channels
    padded[: (layer.height + 2 * border) * pitch] = 0.0
    for y in range(layer.height):
        place = (y + border) * pitch + border * layer.channels
        padded[place : place + breadth] = values[y * breadth : (y + 1) * breadth]


@kernel()
def _rise(layer, padded, rising, out):
    """out (rows_out, columns_out, above) += kernel ⋆ padded."""
    pitch = (layer.width + 2 * layer.padding) * layer.channels
    reach = layer.columns * layer.channels
    for y in range(layer.rows_out):
        for x in range(layer.columns_out):
            place = (y * layer.columns_out + x) * layer.above
            corner = y * layer.stride * pitch + x * layer.stride * layer.channels
            for i in range(layer.rows):
                for k in range(reach):
                    value = padded[corner + i * pitch + k]
                    weight = layer.weights + (i * reach + k) * layer.above
                    for o in range(layer.above):
                        out[place + o] += value * rising[weight + o]


@kernel()
def _fall(layer, above, rising, padded):
    """padded += the transpose of `_rise` at above (rows_out, columns_out, above)."""
    pitch = (layer.width + 2 * layer.padding) * layer.channels
    reach = layer.columns * layer.channels
    for y in range(layer.rows_out):
        for x in range(layer.columns_out):
            place = (y * layer.columns_out + x) * layer.above
            corner = y * layer.stride * pitch + x * layer.stride * layer.channels
            for i in range(layer.rows):
                for k in range(reach):
                    weight = layer.weights + (i * reach + k) * layer.above
                    for o in range(layer.above):
                        padded[corner + i * pitch + k] += above[place + o] * rising[weight + o]


@kernel()
def _correlate(layer, padded, above, product):
    """product (rows, columns, channels, above) += ∂⟨above, kernel ⋆ padded⟩/∂kernel."""
    pitch = (layer.width + 2 * layer.padding) * layer.channels
    reach = layer.columns * layer.channels
    for y in range(layer.rows_out):
        for x in range(layer.columns_out):
            place = (y * layer.columns_out + x) * layer.above
            corner = y * layer.stride * pitch + x * layer.stride * layer.channels
            for i in range(layer.rows):
                for k in range(reach):
                    value = padded[corner + i * pitch + k]
                    weight = layer.weights + (i * reach + k) * layer.above
                    for o in range(layer.above):
                        product[weight + o] += value * above[place + o]


@kernel()
def _route(layer, drives, largest, sources, routed):
    """largest += each window's largest drive; routed = 0 but sources at its place; the first where several are equal."""
    routed[: layer.rows_out * layer.columns_out * layer.above] = 0.0
    for y in range(layer.rows_pooled):
        for x in range(layer.columns_pooled):
            for o in range(layer.above):
                corner = (y * layer.columns_out + x) * layer.pool * layer.above + o
                best = corner
                for a in range(layer.pool):
                    for b in range(layer.pool):
                        place = corner + (a * layer.columns_out + b) * layer.above
                        if drives[place] > drives[best]:
                            best = place
                unit = (y * layer.columns_pooled + x) * layer.above + o
                largest[unit] += drives[best]
                routed[best] = sources[unit]


@kernel()
def _full_drive(layer, padded, rising, drives):
    """drives (rows_out, columns_out, above) = kernel ⋆ padded."""
    drives[: layer.rows_out * layer.columns_out * layer.above] = 0.0
    _rise(layer, padded, rising, drives)


@kernel()
def input_drive(image, wiring, scratch, field):
    """field (units of the first layer, …) += P(w_0 ⋆ image), image (inputs,); constant while the image is."""
    layer = wiring.layers[0]
    padded, drives, routed = scratch, scratch[2 * wiring.padded :], scratch[2 * wiring.padded + wiring.full :]
    _pad(layer, image, padded)
    if layer.pool == 1:
        _rise(layer, padded, wiring.rising, field)
    else:
        _full_drive(layer, padded, wiring.rising, drives)
        _route(layer, drives, field, field, routed)


@kernel()
def drive(state, wiring, scratch, field):
    """field (units,) += P(w_{n−1} ⋆ s^{n−1}) + (w_n ⋆)ᵀ Pᵀ s^{n+1} among the free layers; state (units,)."""
    padded, spread = scratch, scratch[wiring.padded :]
    drives, routed = scratch[2 * wiring.padded :], scratch[2 * wiring.padded + wiring.full :]
    for n in range(1, wiring.layers.shape[0]):
        layer = wiring.layers[n]
        below, above = layer.start_below, layer.start_above
        _pad(layer, state[below:above], padded)
        if layer.pool == 1:
            sources = state[above:]
            _rise(layer, padded, wiring.rising, field[above:])
        else:
            sources = routed
            _full_drive(layer, padded, wiring.rising, drives)
            _route(layer, drives, field[above:], state[above:], routed)
        pitch, breadth = (layer.width + 2 * layer.padding) * layer.channels, layer.width * layer.channels
        spread[: (layer.height + 2 * layer.padding) * pitch] = 0.0
        _fall(layer, sources, wiring.rising, spread)
        for y in range(layer.height):
            place = (y + layer.padding) * pitch + layer.padding * layer.channels
            for k in range(breadth):
                field[below + y * breadth + k] += spread[place + k]


@kernel()
def accumulate(image, mean, slope, wiring, scratch, product):
    """product (kernels,) += Σ_layers ∂/∂kernel of ⟨slope above, kernel ⋆ mean below⟩ + ⟨mean above, kernel ⋆ slope below⟩.

    mean, slope (units,); the input (inputs,) is clamped, its slope 0. Max pooling reads its places off the means.
    """
    padded_mean, padded_slope = scratch, scratch[wiring.padded :]
    drives, routed = scratch[2 * wiring.padded :], scratch[2 * wiring.padded + wiring.full :]
    routed_slope = scratch[2 * wiring.padded + 2 * wiring.full :]
    for n in range(wiring.layers.shape[0]):
        layer = wiring.layers[n]
        below, above = layer.start_below, layer.start_above
        mean_above, slope_above = mean[above:], slope[above:]
        _pad(layer, image if n == 0 else mean[below:above], padded_mean)
        if layer.pool > 1:
            _full_drive(layer, padded_mean, wiring.rising, drives)
            spare = np.empty(layer.rows_pooled * layer.columns_pooled * layer.above, dtype=product.dtype)
            _route(layer, drives, spare, slope[above:], routed_slope)
            _route(layer, drives, spare, mean[above:], routed)
            mean_above, slope_above = routed, routed_slope
        _correlate(layer, padded_mean, slope_above, product)
        if n > 0:
            _pad(layer, slope[below:above], padded_slope)
            _correlate(layer, padded_slope, mean_above, product)


@kernel(parallel=True)
def _accumulate_blocks(images, means, slopes, wiring, products):
    """`accumulate` over the images of each block, block by block of products (BLOCKS, kernels)."""
    count, blocks = images.shape[0], products.shape[0]
    for block in prange(blocks):
        scratch = scratch_for(wiring)
        for image in range(count * block // blocks, count * (block + 1) // blocks):
            accumulate(images[image], means[image], slopes[image], wiring, scratch, products[block])


def accumulate_images(
    images: NDArray[np.floating], means: NDArray[np.floating], slopes: NDArray[np.floating], wiring: Wiring
) -> NDArray[np.floating]:
    """`accumulate` summed over images (B, inputs), means and slopes (B, units): (kernels,), the same for any threads."""
    products = np.zeros((BLOCKS, wiring.rising.size), dtype=wiring.rising.dtype)
    _accumulate_blocks(images, means, slopes, wiring, products)
    return products.sum(axis=0)
