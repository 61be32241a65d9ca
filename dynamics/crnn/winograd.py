"""Convolutions of three or five taps a side by fewer products: Winograd's F(M × M, R × R), strides by their phases.

Main results: saves, taps, tile, tiles, reached, transformed, scratch_size, rise, fall, interpolation.

A convolution of stride S whose kernel is R S a side is S² convolutions of stride 1 with R × R kernels, summed: phase (p, q) reads
the places (p + S·, q + S·) of the image below and of the kernel. M × M places above need M²R² products a pair of channels and
phase; with d the (M + R − 1)² places below them and g the kernel they are Aᵀ[(G g Gᵀ) ∘ (Bᵀ d B)]A, (M + R − 1)² products: 16 for
36 with R = 3 and M = 2, 64 for 400 with R = 5 and M = 4 (Winograd 1980; Lavin, Gray 2016, arXiv 1509.09308). The sums over
phases and channels are matrix products, one a frequency; the transforms are sums of whole rows. What falls is the transpose, step
by step, with the same G g Gᵀ, so that the couplings stay symmetric to rounding. In float32 this is about as exact as the direct
sum for R = 3, whose constants are 0, ±½ and ±1, and loses one or two bits for R = 5. The plain form that the tests compare with is
dynamics.crnn.convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dynamics.crnn.patches import sandwich
from dynamics.kernel import kernel
from dynamics.tiles import LINE, MOST_VECTORS, lanes, multiply_each

# where the polynomials are read for so many taps a side; one more point is ∞
POINTS = {3: (0, 1, -1), 5: (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2))}


def tile(taps: int) -> int:
    """Places above a tile, a side."""
    return len(POINTS[taps]) + 2 - taps


def interpolation(taps: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(G, Bᵀ, Aᵀ) in Fractions: Aᵀ[(G g) ∘ (Bᵀ d)] are the tile's places above of d correlated with g.

    A row a point p: G has the powers of p over Π_{q≠p}(p − q), Bᵀ the coefficients of Π_{q≠p}(x − q), Aᵀ a column of powers; ∞ has
    the leading coefficients, and that of Π_q(x − q).
    """
    points, reach = POINTS[taps], len(POINTS[taps]) + 1
    powers = np.array([[Fraction(point) ** n for n in range(reach)] for point in points])
    last = np.array([[Fraction(int(n == reach - 1)) for n in range(reach)]])
    below = np.array(
        [_product([x for x in points if x != point], reach) for point in points] + [_product(points, reach)]
    )
    scales = np.array([sum(row * power) for row, power in zip(below, powers, strict=False)])
    matrix = np.concatenate([powers[:, :taps] / scales[:, None], last[:, reach - taps :]])
    return matrix, below, np.concatenate([powers[:, : tile(taps)], last[:, reach - tile(taps) :]]).T


def _product(roots: Sequence[Fraction | int], count: int) -> list[Fraction]:
    """The coefficients of Π(x − root), lowest first, filled up to `count`."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found + [Fraction(0)] * (count - len(found))


# Bᵀ d B, A m Aᵀ and their transposes
_KERNEL, _BELOW, _ABOVE = ({taps: interpolation(taps)[n].astype(float) for taps in POINTS} for n in range(3))
_below_3, _below_5 = (sandwich(matrix, add=False)[0] for matrix in _BELOW.values())
_below_back_3, _below_back_5 = (sandwich(matrix.T, add=True)[0] for matrix in _BELOW.values())
_above_3, _above_5 = (sandwich(matrix, add=False)[0] for matrix in _ABOVE.values())
_above_back_3, _above_back_5 = (sandwich(matrix.T, add=False)[0] for matrix in _ABOVE.values())


def taps(side: int, stride: int) -> int:
    """Of a phase of a kernel."""
    return -(-side // stride)


def transformed(kernels: NDArray[np.floating], stride: int) -> NDArray[np.floating]:
    """G g Gᵀ of every phase, (frequencies, stride · stride · below, above), of kernels (rows, columns, below, above)."""
    rows, columns, below, above = kernels.shape
    count = taps(rows, stride)
    missing = [(0, count * stride - side) for side in (rows, columns)]
    phases = np.pad(kernels, (*missing, (0, 0), (0, 0))).reshape(count, stride, count, stride, below, above)
    half = np.tensordot(_KERNEL[count], phases, axes=(1, 0))
    whole = np.tensordot(_KERNEL[count], half, axes=(1, 2)).astype(kernels.dtype)
    return whole.transpose(1, 0, 2, 3, 4, 5).reshape(-1, stride * stride * below, above)


def saves(dtype: DTypeLike, shape: tuple[int, ...], stride: int, places: Sequence[int]) -> bool:
    """Whether this is used for kernels (rows, columns, below, above) and (rows, columns) of places above.

    In float32, for 3 or 5 taps a phase, whole vectors of channels, and fewer products. Float64 is for where every bit counts.
    """
    *sides, channels, above = shape
    fits = stride * channels % lanes(dtype) == 0 == above % lanes(dtype)
    counts = {taps(side, stride) for side in sides}
    if np.dtype(dtype) != np.float32 or not fits or len(counts) > 1 or not counts <= POINTS.keys():
        return False
    (count,) = counts
    return math.prod(tiles(places, count)) * (tile(count) + count - 1) ** 2 < math.prod(places) * count**2


def tiles(places: Sequence[int], taps: int) -> tuple[int, int]:
    """How many tiles cover (rows, columns) of places above, down and across."""
    return -(-places[0] // tile(taps)), -(-places[1] // tile(taps))


def reached(tiles: tuple[int, int], taps: int, stride: int) -> tuple[int, int]:
    """How many (rows, columns) of the padded image below the tiles read."""
    down, across = ((tile(taps) * count + taps - 1) * stride for count in tiles)
    return down, across


def scratch_size(tiles: tuple[int, int], taps: int, depth: int, above: int) -> int:
    """Numbers of working memory that `rise` and `fall` need for kernels (frequencies, depth, above)."""
    return (tile(taps) + taps - 1) ** 2 * tiles[0] * tiles[1] * (depth + above) + tile(taps) ** 2 * above


@kernel()
def _reach(layer):
    """Places below a tile, a side and phase: its square is the number of frequencies."""
    return layer.tile + layer.taps - 1


@kernel()
def _corner(layer, tile):
    """Where in the padded image the places below a tile begin."""
    y, x = tile // layer.tiles_across, tile % layer.tiles_across
    return layer.tile * layer.stride * (y * layer.pitch + x * layer.channels)


@kernel()
def _place(layer, tile, k):
    """The number of a tile's place k < layer.tile² above; −1 beyond the edge."""
    y = layer.tile * (tile // layer.tiles_across) + k // layer.tile
    x = layer.tile * (tile % layer.tiles_across) + k % layer.tile
    return y * layer.columns_out + x if y < layer.rows_out and x < layer.columns_out else -1


@kernel()
def _shared(layer, scratch):
    """Working memory in three: (tiles, frequencies, depth), (tiles, frequencies, above), a tile's places above."""
    tiles = _reach(layer) ** 2 * layer.tiles_down * layer.tiles_across
    middle = tiles * layer.stride * layer.stride * layer.channels
    end = middle + tiles * layer.above
    return scratch[:middle], scratch[middle:end], scratch[end : end + layer.tile * layer.tile * layer.above]


@kernel()
def _multiply(layer, depth, width_out, values, kernels, panel, counting, sums):
    """sums (tiles, frequencies, width_out) = values (tiles, frequencies, depth) · kernels (frequencies, depth, width_out)."""
    tiles, step = layer.tiles_down * layer.tiles_across, MOST_VECTORS * LINE // sums.itemsize
    frequencies = _reach(layer) ** 2
    sums[:] = 0.0
    for start in range(0, width_out, step):
        multiply_each(
            frequencies, sums, start, counting, frequencies * width_out, width_out, values, 0, counting, frequencies * depth, depth,
            tiles, kernels, panel + depth * start, depth * width_out, min(step, width_out - start), depth,
        )  # fmt: skip


@kernel()
def rise(layer, padded, kernels, counting, scratch, field):
    """field (places, above) += kernel ⋆ padded; padded (tall, pitch)."""
    tiles, row = layer.tiles_down * layer.tiles_across, layer.stride * layer.channels
    depth, above, lanes, reach = layer.stride * row, layer.above, LINE // field.itemsize, _reach(layer)
    values, sums, places = _shared(layer, scratch)
    for tile in range(tiles):
        for phase in range(layer.stride):
            corner, first = _corner(layer, tile) + phase * layer.pitch, tile * reach * reach * depth + phase * row
            for k in range(0, row, lanes):
                if layer.taps == 3:
                    _below_3(
                        values, first + k, reach * depth, depth, padded, corner + k, layer.stride * layer.pitch, row
                    )
                else:
                    _below_5(
                        values, first + k, reach * depth, depth, padded, corner + k, layer.stride * layer.pitch, row
                    )
    _multiply(layer, depth, above, values, kernels, layer.rising, counting, sums)
    for tile in range(tiles):
        first = tile * reach * reach * above
        for k in range(0, above, lanes):
            if layer.taps == 3:
                _above_3(places, k, layer.tile * above, above, sums, first + k, reach * above, above)
            else:
                _above_5(places, k, layer.tile * above, above, sums, first + k, reach * above, above)
        for k in range(layer.tile * layer.tile):
            place = _place(layer, tile, k)
            if place >= 0:
                _add(field[place * above : (place + 1) * above], places[k * above :])


@kernel()
def fall(layer, sources, kernels, counting, scratch, padded):
    """padded (tall, pitch) += the transpose of `rise` at sources (places, above)."""
    tiles, row = layer.tiles_down * layer.tiles_across, layer.stride * layer.channels
    depth, above, lanes, reach = layer.stride * row, layer.above, LINE // padded.itemsize, _reach(layer)
    values, sums, places = _shared(layer, scratch)
    for tile in range(tiles):
        first = tile * reach * reach * above
        for k in range(layer.tile * layer.tile):
            place, target = _place(layer, tile, k), places[k * above : (k + 1) * above]
            if place >= 0:
                target[:] = sources[place * above : (place + 1) * above]
            else:
                target[:] = 0.0
        for k in range(0, above, lanes):
            if layer.taps == 3:
                _above_back_3(sums, first + k, reach * above, above, places, k, layer.tile * above, above)
            else:
                _above_back_5(sums, first + k, reach * above, above, places, k, layer.tile * above, above)
    _multiply(layer, above, depth, sums, kernels, layer.falling, counting, values)
    for tile in range(tiles):
        for phase in range(layer.stride):
            corner, first = _corner(layer, tile) + phase * layer.pitch, tile * reach * reach * depth + phase * row
            for k in range(0, row, lanes):
                if layer.taps == 3:
                    _below_back_3(
                        padded, corner + k, layer.stride * layer.pitch, row, values, first + k, reach * depth, depth
                    )
                else:
                    _below_back_5(
                        padded, corner + k, layer.stride * layer.pitch, row, values, first + k, reach * depth, depth
                    )


@kernel()
def _add(target, source):
    """target += the beginning of source."""
    for k in range(target.shape[0]):
        target[k] += source[k]
