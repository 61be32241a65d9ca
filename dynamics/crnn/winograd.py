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
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.errors import TypingError
from numba.extending import intrinsic as _intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import DTypeLike, NDArray

from dynamics.crnn.tiles import LINE, MOST_VECTORS, lanes, multiply_add
from dynamics.kernel import kernel

# its stubs know nothing of the typing context that it supplies as the first argument
intrinsic: Any = _intrinsic

# places above a tile, a side; places below it, a side, and with that frequencies
TILE, REACH = 2, 4
FREQUENCIES = REACH * REACH
TAPS = 3

# G, Bᵀ and Aᵀ
_KERNEL = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]])
BELOW = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
ABOVE = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])


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
    return tuple((TILE * count + TAPS - 1) * stride for count in tiles)


def scratch_size(tiles: tuple[int, int], depth: int, above: int) -> int:
    """Numbers of working memory that `rise` and `fall` need."""
    return FREQUENCIES * tiles[0] * tiles[1] * (depth + above) + TILE * TILE * above


def _sandwich(matrix: NDArray[np.integer], add: bool) -> tuple[Any, Any]:
    """(fast, plain): out = M X Mᵀ, or added to what is there, for a patch X of vectors and a constant matrix of 0 and ±1.

    X[a, b] is the LINE bytes at values[first + a · row + b · column], out[i, j] those at out[to + i · out_row + j · out_column].
    """
    sides, reach = matrix.shape

    @kernel()
    def plain(out, to, out_row, out_column, values, first, row, column):
        for lane in range(LINE // values.itemsize):
            for i in range(sides):
                for j in range(sides):
                    total = values.dtype.type(0)
                    for a in range(reach):
                        for b in range(reach):
                            total += matrix[i, a] * matrix[j, b] * values[first + a * row + b * column + lane]
                    place = to + i * out_row + j * out_column + lane
                    out[place] = out[place] + total if add else total

    @intrinsic
    def compiled(typing, out, to, out_row, out_column, values, first, row, column):
        if not (out.layout == values.layout == "C" and out.dtype == values.dtype):
            raise TypingError(f"patches need contiguous arrays of one dtype, got {out} and {values}")
        whole = types.int64

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            bases = [make_array(signature.args[n])(context, builder, arguments[n]).data for n in (0, 4)]
            size = out.dtype.bitwidth // 8
            vector = ir.VectorType(context.get_value_type(out.dtype), LINE // size)

            def place(base: Any, origin: Any, row: Any, i: int, column: Any, j: int) -> Any:
                integer = ir.IntType(64)
                offset = builder.add(builder.mul(row, integer(i)), builder.mul(column, integer(j)))
                return builder.bitcast(builder.gep(base, [builder.add(origin, offset)]), vector.as_pointer())

            def summed(weights: Any, vectors: list[Any]) -> Any:
                total = None
                for weight, term in zip(weights.tolist(), vectors, strict=True):
                    if weight and total is None:
                        total = term if weight > 0 else builder.fsub(ir.Constant(vector, [0.0] * vector.count), term)
                    elif weight:
                        total = builder.fadd(total, term) if weight > 0 else builder.fsub(total, term)
                return total

            origin, *apart = arguments[5:]
            patch = [
                [builder.load(place(bases[1], origin, apart[0], a, apart[1], b), align=size) for b in range(reach)]
                for a in range(reach)
            ]
            half = [
                [summed(matrix[i], [patch[a][b] for a in range(reach)]) for b in range(reach)] for i in range(sides)
            ]
            origin, *apart = arguments[1:4]
            for i in range(sides):
                for j in range(sides):
                    to = place(bases[0], origin, apart[0], i, apart[1], j)
                    total = summed(matrix[j], half[i])
                    if add:
                        total = builder.fadd(builder.load(to, align=size), total)
                    builder.store(total, to, align=size)
            return context.get_dummy_value()

        return types.void(out, whole, whole, whole, values, whole, whole, whole), generate

    @kernel()
    def fast(out, to, out_row, out_column, values, first, row, column):
        compiled(out, to, out_row, out_column, values, first, row, column)

    return (plain if config.DISABLE_JIT else fast), plain


below, below_plain = _sandwich(BELOW, add=False)
below_back, below_back_plain = _sandwich(BELOW.T, add=True)
above, above_plain = _sandwich(ABOVE, add=False)
above_back, above_back_plain = _sandwich(ABOVE.T, add=False)


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
                below(
                    values, tile * depth + phase * row + k, REACH * tiles * depth, tiles * depth,
                    padded, corner + phase * layer.pitch + k, layer.stride * layer.pitch, row,
                )  # fmt: skip
    _multiply(layer, depth, layer.above, values, kernels, layer.rising, counting, sums)
    block = tiles * layer.above
    for tile in range(tiles):
        for k in range(0, layer.above, lanes):
            above(places, k, TILE * layer.above, layer.above, sums, tile * layer.above + k, REACH * block, block)
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
            above_back(sums, tile * layer.above + k, REACH * block, block, places, k, TILE * layer.above, layer.above)
    _multiply(layer, layer.above, depth, sums, kernels, layer.falling, counting, values)
    block = tiles * depth
    for tile in range(tiles):
        corner = TILE * ((tile // layer.tiles_across) * layer.stride * layer.pitch + (tile % layer.tiles_across) * row)
        for phase in range(layer.stride):
            for k in range(0, row, lanes):
                below_back(
                    padded, corner + phase * layer.pitch + k, layer.stride * layer.pitch, row,
                    values, tile * depth + phase * row + k, REACH * block, block,
                )  # fmt: skip
