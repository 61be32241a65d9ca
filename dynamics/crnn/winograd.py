"""Convolutions of three taps a side by fewer products: Winograd's F(2 × 2, 3 × 3), strides by their phases.

Main results: saves, tiles, reached, transformed, scratch_size, rise, fall.

A convolution of stride S whose kernel is at most 3S a side is S² convolutions of stride 1 with 3 × 3 kernels, summed: phase
(p, q) reads the places (p + S·, q + S·) of the image below and of the kernel. Two by two places above need 36 products a pair of
channels and phase; with d the 4 × 4 places below them, g the kernel and 4 × 4 matrices they are Aᵀ[(G g Gᵀ) ∘ (Bᵀ d B)]A, 16
products (Winograd 1980; Lavin, Gray 2016, arXiv 1509.09308). The sums over phases and channels are 16 matrix products, one a
frequency, of `multiply_add`; the transforms are sums of whole rows. What falls is the transpose, step by step, with the same
G g Gᵀ, so that the couplings stay symmetric to rounding. All constants are 0, ±½, ±1: float32 loses about two bits against the
direct sum. The plain form that the tests compare with is dynamics.crnn.convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dynamics.crnn.patches import sandwich
from dynamics.kernel import kernel
from dynamics.tiles import LINE, MOST_VECTORS, lanes, multiply_add

# places above a tile, a side; places below it, a side, and with that frequencies
TILE, REACH = 2, 4
FREQUENCIES = REACH * REACH
TAPS = 3

# G, Bᵀ and Aᵀ
_KERNEL = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]])
BELOW = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
ABOVE = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])

# Bᵀ d B, A m Aᵀ and their transposes
_below, _ = sandwich(BELOW, add=False)
_below_back, _ = sandwich(BELOW.T, add=True)
_above, _ = sandwich(ABOVE, add=False)
_above_back, _ = sandwich(ABOVE.T, add=False)


def transformed(kernels: NDArray[np.floating], stride: int) -> NDArray[np.floating]:
    """G g Gᵀ of every phase, (FREQUENCIES, stride · stride · below, above), of kernels (rows, columns, below, above)."""
    rows, columns, below, above = kernels.shape
    missing = [(0, TAPS * stride - side) for side in (rows, columns)]
    phases = np.pad(kernels, (*missing, (0, 0), (0, 0))).reshape(TAPS, stride, TAPS, stride, below, above)
    matrix = _KERNEL.astype(kernels.dtype)
    half = np.tensordot(matrix, phases, axes=(1, 0))
    whole = np.tensordot(matrix, half, axes=(1, 2))
    return whole.transpose(1, 0, 2, 3, 4, 5).reshape(FREQUENCIES, stride * stride * below, above)


def saves(dtype: DTypeLike, shape: tuple[int, ...], stride: int) -> bool:
    """Whether this is used: kernels (rows, columns, below, above) of three taps a phase and whole vectors of channels, float32.

    Float64 is for where every bit counts.
    """
    *sides, channels, above = shape
    fits = stride * channels % lanes(dtype) == 0 == above % lanes(dtype)
    return np.dtype(dtype) == np.float32 and fits and all(-(-side // stride) == TAPS for side in sides)


def tiles(places: Sequence[int]) -> tuple[int, int]:
    """How many tiles cover (rows, columns) of places above, down and across."""
    return -(-places[0] // TILE), -(-places[1] // TILE)


def reached(tiles: tuple[int, int], stride: int) -> tuple[int, int]:
    """How many (rows, columns) of the padded image below the tiles read."""
    down, across = ((TILE * count + TAPS - 1) * stride for count in tiles)
    return down, across


def scratch_size(tiles: tuple[int, int], depth: int, above: int) -> int:
    """Numbers of working memory that `rise` and `fall` need."""
    return FREQUENCIES * tiles[0] * tiles[1] * (depth + above) + TILE * TILE * above


@kernel()
def _multiply(layer, depth, width_out, values, kernels, panel, counting, sums):
    """sums (FREQUENCIES, tiles, width_out) = values (FREQUENCIES, tiles, depth) · kernels (FREQUENCIES, depth, width_out)."""
    tiles, step = layer.tiles_down * layer.tiles_across, MOST_VECTORS * LINE // sums.itemsize
    sums[: FREQUENCIES * tiles * width_out] = 0.0
    for frequency in range(FREQUENCIES):
        for start in range(0, width_out, step):
            width = min(step, width_out - start)
            multiply_add(
                sums, frequency * tiles * width_out + start, counting, width_out, values, frequency * tiles * depth, counting,
                depth, tiles, kernels, panel, width, 1, 0, 0, depth, 1, width,
            )  # fmt: skip
            panel += depth * width


@kernel()
def rise(layer, padded, kernels, counting, scratch, field):
    """field (places, above) += kernel ⋆ padded; padded (tall, pitch)."""
    tiles, row = layer.tiles_down * layer.tiles_across, layer.stride * layer.channels
    depth, lanes = layer.stride * row, LINE // field.itemsize
    values, sums = scratch, scratch[FREQUENCIES * tiles * depth :]
    places = sums[FREQUENCIES * tiles * layer.above :]
    for tile in range(tiles):
        corner = TILE * ((tile // layer.tiles_across) * layer.stride * layer.pitch + (tile % layer.tiles_across) * row)
        for phase in range(layer.stride):
            for k in range(0, row, lanes):
                _below(
                    values, tile * depth + phase * row + k, REACH * tiles * depth, tiles * depth,
                    padded, corner + phase * layer.pitch + k, layer.stride * layer.pitch, row,
                )  # fmt: skip
    _multiply(layer, depth, layer.above, values, kernels, layer.rising, counting, sums)
    block = tiles * layer.above
    for tile in range(tiles):
        for k in range(0, layer.above, lanes):
            _above(places, k, TILE * layer.above, layer.above, sums, tile * layer.above + k, REACH * block, block)
        for a in range(TILE):
            for b in range(TILE):
                y, x = TILE * (tile // layer.tiles_across) + a, TILE * (tile % layer.tiles_across) + b
                if y < layer.rows_out and x < layer.columns_out:
                    target = field[(y * layer.columns_out + x) * layer.above :]
                    source = places[(a * TILE + b) * layer.above :]
                    for k in range(layer.above):
                        target[k] += source[k]


@kernel()
def fall(layer, sources, kernels, counting, scratch, padded):
    """padded (tall, pitch) += the transpose of `rise` at sources (places, above)."""
    tiles, row = layer.tiles_down * layer.tiles_across, layer.stride * layer.channels
    depth, lanes = layer.stride * row, LINE // padded.itemsize
    values, sums = scratch, scratch[FREQUENCIES * tiles * depth :]
    places = sums[FREQUENCIES * tiles * layer.above :]
    block = tiles * layer.above
    for tile in range(tiles):
        for a in range(TILE):
            for b in range(TILE):
                y, x = TILE * (tile // layer.tiles_across) + a, TILE * (tile % layer.tiles_across) + b
                target = places[(a * TILE + b) * layer.above : (a * TILE + b + 1) * layer.above]
                if y < layer.rows_out and x < layer.columns_out:
                    place = (y * layer.columns_out + x) * layer.above
                    target[:] = sources[place : place + layer.above]
                else:
                    target[:] = 0.0
        for k in range(0, layer.above, lanes):
            _above_back(sums, tile * layer.above + k, REACH * block, block, places, k, TILE * layer.above, layer.above)
    _multiply(layer, layer.above, depth, sums, kernels, layer.falling, counting, values)
    block = tiles * depth
    for tile in range(tiles):
        corner = TILE * ((tile // layer.tiles_across) * layer.stride * layer.pitch + (tile % layer.tiles_across) * row)
        for phase in range(layer.stride):
            for k in range(0, row, lanes):
                _below_back(
                    padded, corner + phase * layer.pitch + k, layer.stride * layer.pitch, row,
                    values, tile * depth + phase * row + k, REACH * block, block,
                )  # fmt: skip
