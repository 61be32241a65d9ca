"""The inner loop of every convolution: a few rows of a matrix product, summed in registers.

Main results: multiply_add, multiply_add_plain, multiply_each, multiply_each_plain, add_product, add_product_plain, padded_width,
aligned, LINE, MOST_ROWS.

A tile is up to eight rows (places of the image, or rows of a kernel) by two vectors of 64 bytes (32 channels in float32): 16
sums that stay in registers over the whole sum, so that each vector read serves eight rows and each number read serves 32
columns. What a row reads and where it is added comes from a table, so that convolution, transpose and gradient are one loop
without a copied patch of the image. The rows are shared out evenly: 49 places are seven tiles of seven. The tile is written as
LLVM vectors, which become AVX-512 registers where there are any and several smaller ones elsewhere. Uncompiled, the plain loop
runs instead. A single row has a loop of its own, `add_product`: its sums are too few to hide how long an addition takes, so that
several partial sums run side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.errors import TypingError
from numba.extending import intrinsic as _intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import DTypeLike

from dynamics.kernel import kernel

# its stubs know nothing of the typing context that it supplies as the first argument
intrinsic: Any = _intrinsic

# Bytes of a vector, and of a cache line.
LINE = 64
MOST_ROWS, MOST_VECTORS = 8, 2
# sums of a single row that run side by side: columns, or parts of the sum
CHAINS = 8


def lanes(dtype: DTypeLike) -> int:
    """Numbers in a vector."""
    return LINE // np.dtype(dtype).itemsize


def padded_width(width: int, dtype: DTypeLike) -> int:
    """`width` numbers rounded up to whole vectors."""
    return -(-width // lanes(dtype)) * lanes(dtype)


@kernel()
def aligned(memory):
    """The part of an array (n + LINE,) that begins at a multiple of LINE bytes, (n,)."""
    offset = (-memory.ctypes.data % LINE) // memory.itemsize
    return memory[offset : offset + memory.shape[0] - LINE]


@kernel()
def multiply_add_plain(
    out, out_start, out_places, out_step, a, a_start, a_places, a_step, count, b, b_start, width,
    outer, a_outer, b_outer, inner, a_inner, b_inner,
):  # fmt: skip
    """What `multiply_add` computes, product by product; ValueError for other widths than it takes."""
    if width * out.itemsize != LINE and width * out.itemsize != MOST_VECTORS * LINE:
        raise ValueError("a tile is one or two whole vectors wide")
    for m in range(count):
        to, origin = out_start + out_places[m] * out_step, a_start + a_places[m] * a_step
        for i in range(outer):
            for k in range(inner):
                start = b_start + i * b_outer + k * b_inner
                out[to : to + width] += a[origin + i * a_outer + k * a_inner] * b[start : start + width]


@kernel()
def multiply_each_plain(
    batch, out, out_start, out_places, out_step, out_batch, a, a_start, a_places, a_step, a_batch, count, b, b_start, b_batch,
    width, inner,
):  # fmt: skip
    """What `multiply_each` computes, product by product."""
    for n in range(batch):
        multiply_add_plain(
            out, out_start + n * out_batch, out_places, out_step, a, a_start + n * a_batch, a_places, a_step, count, b,
            b_start + n * b_batch, width, 1, 0, 0, inner, 1, width,
        )  # fmt: skip


@intrinsic
def _tile(
    typing, rows, vectors, batch, out_batch, a_batch, b_batch, out, out_start, out_places, out_step, a, a_start, a_places, a_step,
    first, last, b, b_start, outer, a_outer, b_outer, inner, a_inner, b_inner,
):  # fmt: skip
    """`multiply_add` for rows first … min(first + rows − 1, last), and `vectors` vectors, for each of a batch."""
    arrays = (out, out_places, a, a_places, b)
    if any(not isinstance(array, types.Array) or array.layout != "C" for array in arrays):
        raise TypingError(f"tiles need contiguous arrays, got {arrays}: pass numpy.ascontiguousarray of them")
    if not out.dtype == a.dtype == b.dtype:
        raise TypingError(f"tiles need one dtype, got {out.dtype}, {a.dtype} and {b.dtype}")
    whole = types.int64
    signature = types.void(
        whole, whole, whole, whole, whole, whole, out, whole, out_places, whole, a, whole, a_places, whole, whole, whole, b, whole,
        whole, whole, whole, whole, whole, whole,
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """One piece of code for each number of rows and of vectors, and a jump to the one asked for."""
        pointers = {n: make_array(signature.args[n])(context, builder, arguments[n]).data for n in (6, 8, 10, 12, 16)}
        given = [pointers.get(n, argument) for n, argument in enumerate(arguments)]
        end = builder.append_basic_block("tile.end")
        case = builder.add(builder.mul(given[0], ir.IntType(64)(MOST_VECTORS)), given[1])
        jump = builder.switch(case, end)
        for rows in range(1, MOST_ROWS + 1):
            for vectors in range(1, MOST_VECTORS + 1):
                block = builder.append_basic_block(f"tile.{rows}.{vectors}")
                jump.add_case(ir.IntType(64)(rows * MOST_VECTORS + vectors), block)
                builder.position_at_end(block)
                with cgutils.for_range(builder, given[2], intp=ir.IntType(64)) as n:
                    moved = list(given[6:])
                    for place, step in zip((1, 5, 11), given[3:6], strict=True):
                        moved[place] = builder.add(moved[place], builder.mul(n.index, step))
                    _emit(builder, context.get_value_type(out.dtype), out.dtype.bitwidth // 8, rows, vectors, *moved)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


def spread(builder: Any, vector: Any, value: Any) -> Any:
    """`value` in every lane."""
    anything = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(anything, value, ir.IntType(32)(0)), anything, zeros)


def _fused(builder: Any, vector: Any, size: int) -> Any:
    """The function a·b + c of vectors."""
    name = f"llvm.fmuladd.v{vector.count}f{8 * size}"
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)


def _vector_at(builder: Any, vector: Any, base: Any, offset: Any, column: int) -> Any:
    """Where the vector number `column` after an offset lies."""
    place = builder.gep(base, [builder.add(offset, ir.IntType(64)(column * vector.count))])
    return builder.bitcast(place, vector.as_pointer())


def _emit(
    builder: Any, number: Any, size: int, rows: int, vectors: int, out: Any, out_start: Any, out_places: Any, out_step: Any,
    a: Any, a_start: Any, a_places: Any, a_step: Any, first: Any, last: Any, b: Any, b_start: Any, outer: Any, a_outer: Any,
    b_outer: Any, inner: Any, a_inner: Any, b_inner: Any,
) -> None:  # fmt: skip
    """The instructions of a tile: sums in `rows` × `vectors` variables, two nested loops, and additions to memory."""
    integer, vector = ir.IntType(64), ir.VectorType(number, LINE // size)
    fused = _fused(builder, vector, size)
    places, sources = [], []
    for row in range(rows):
        place = builder.add(first, integer(row))
        places.append(builder.select(builder.icmp_signed("<", place, last), place, last))
        source = builder.load(builder.gep(a_places, [places[row]]))
        sources.append(builder.gep(a, [builder.add(a_start, builder.mul(source, a_step))]))
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for row in sums:
        for total in row:
            builder.store(ir.Constant(vector, [0.0] * vector.count), total)
    with cgutils.for_range(builder, outer, intp=integer) as i:
        a_row, b_row = builder.mul(i.index, a_outer), builder.add(b_start, builder.mul(i.index, b_outer))
        with cgutils.for_range(builder, inner, intp=integer) as k:
            a_entry = builder.add(a_row, builder.mul(k.index, a_inner))
            b_entry = builder.add(b_row, builder.mul(k.index, b_inner))
            columns = [
                builder.load(_vector_at(builder, vector, b, b_entry, column), align=size) for column in range(vectors)
            ]
            for source, row in zip(sources, sums, strict=True):
                value = spread(builder, vector, builder.load(builder.gep(source, [a_entry])))
                for total, column in zip(row, columns, strict=True):
                    builder.store(builder.call(fused, [value, column, builder.load(total)]), total)
    for row in range(rows):
        with builder.if_then(builder.icmp_signed("<=", builder.add(first, integer(row)), last), likely=True):
            target = builder.load(builder.gep(out_places, [places[row]]))
            to = builder.add(out_start, builder.mul(target, out_step))
            for column, total in enumerate(sums[row]):
                place = _vector_at(builder, vector, out, to, column)
                builder.store(builder.fadd(builder.load(place, align=size), builder.load(total)), place, align=size)


@kernel()
def add_product_plain(out, to, a, a_start, count, table, start, width):
    """What `add_product` computes, row by row."""
    total = np.zeros(width, table.dtype)
    for k in range(count):
        total += a[a_start + k] * table[start + k * width : start + (k + 1) * width]
    out[to : to + width] += total


@intrinsic
def _columns(typing, vectors, column, out, to, a, a_start, count, table, start, width):
    """`add_product` for `vectors` vectors from `column`, at most CHAINS."""
    arrays = (out, a, table)
    if any(not isinstance(array, types.Array) or array.layout != "C" for array in arrays):
        raise TypingError(f"products need contiguous arrays, got {arrays}: pass numpy.ascontiguousarray of them")
    if not out.dtype == a.dtype == table.dtype:
        raise TypingError(f"products need one dtype, got {out.dtype}, {a.dtype} and {table.dtype}")
    whole = types.int64
    signature = types.void(whole, whole, out, whole, a, whole, whole, table, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """One piece of code for each number of vectors, and a jump to the one asked for."""
        pointers = {n: make_array(signature.args[n])(context, builder, arguments[n]).data for n in (2, 4, 7)}
        given = [pointers.get(n, argument) for n, argument in enumerate(arguments)]
        end = builder.append_basic_block("product.end")
        jump = builder.switch(given[0], end)
        for vectors in range(1, CHAINS + 1):
            block = builder.append_basic_block(f"product.{vectors}")
            jump.add_case(ir.IntType(64)(vectors), block)
            builder.position_at_end(block)
            _emit_row(builder, context.get_value_type(out.dtype), out.dtype.bitwidth // 8, vectors, *given[1:])
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


def _emit_row(
    builder: Any, number: Any, size: int, vectors: int, column: Any, out: Any, to: Any, a: Any, a_start: Any, count: Any,
    table: Any, start: Any, width: Any,
) -> None:  # fmt: skip
    """The instructions: `parts` rows at a time, each into sums of its own, then the rows left over, then the sum of the parts."""
    integer, vector, parts = ir.IntType(64), ir.VectorType(number, LINE // size), CHAINS // vectors
    fused = _fused(builder, vector, size)
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(parts)]
    for total in (total for part in sums for total in part):
        builder.store(ir.Constant(vector, [0.0] * vector.count), total)
    first, source = builder.add(start, column), builder.gep(a, [a_start])

    def add(row: Any, part: list[Any]) -> None:
        value = spread(builder, vector, builder.load(builder.gep(source, [row])))
        entry = builder.add(first, builder.mul(row, width))
        for k, total in enumerate(part):
            read = builder.load(_vector_at(builder, vector, table, entry, k), align=size)
            builder.store(builder.call(fused, [value, read, builder.load(total)]), total)

    together = builder.sdiv(count, integer(parts))
    with cgutils.for_range(builder, together, intp=integer) as rows:
        for k, part in enumerate(sums):
            add(builder.add(builder.mul(rows.index, integer(parts)), integer(k)), part)
    done = builder.mul(together, integer(parts))
    with cgutils.for_range(builder, builder.sub(count, done), intp=integer) as rows:
        add(builder.add(done, rows.index), sums[0])
    for k in range(vectors):
        place = _vector_at(builder, vector, out, builder.add(to, column), k)
        total = builder.load(sums[0][k])
        for part in sums[1:]:
            total = builder.fadd(total, builder.load(part[k]))
        builder.store(builder.fadd(builder.load(place, align=size), total), place, align=size)


@kernel()
def _add_product(out, to, a, a_start, count, table, start, width):
    """out[to + n] += Σ_{k<count} a[a_start + k] · table[start + k · width + n] for n < width, whole vectors."""
    lanes = LINE // table.itemsize
    vectors = width // lanes
    for column in range(0, vectors, CHAINS):
        _columns(min(CHAINS, vectors - column), column * lanes, out, to, a, a_start, count, table, start, width)


@kernel(inline=True)
def _multiply_add(
    out, out_start, out_places, out_step, a, a_start, a_places, a_step, count, b, b_start, width,
    outer, a_outer, b_outer, inner, a_inner, b_inner,
):  # fmt: skip
    """out[c_m + n] += Σ_{i<outer} Σ_{k<inner} a[a_m + i·a_outer + k·a_inner] · b[b_start + i·b_outer + k·b_inner + n].

    c_m = out_start + out_places[m]·out_step and a_m likewise, for m < count and n < width, one or two whole vectors. The rows
    of out may overlap: they are added one after the other.
    """
    tiles = (count + MOST_ROWS - 1) // MOST_ROWS
    rows, vectors = (count + tiles - 1) // tiles, width * out.itemsize // LINE
    for first in range(0, count, rows):
        _tile(
            rows, vectors, 1, 0, 0, 0, out, out_start, out_places, out_step, a, a_start, a_places, a_step, first, count - 1, b,
            b_start, outer, a_outer, b_outer, inner, a_inner, b_inner,
        )  # fmt: skip


@kernel()
def _multiply_each(
    batch, out, out_start, out_places, out_step, out_batch, a, a_start, a_places, a_step, a_batch, count, b, b_start, b_batch,
    width, inner,
):  # fmt: skip
    """`multiply_add` of Σ_{k<inner} a[a_m + k] · b[b_start + k·width + n] for each of a batch of matrices, out_batch, … apart."""
    tiles = (count + MOST_ROWS - 1) // MOST_ROWS
    rows, vectors = (count + tiles - 1) // tiles, width * out.itemsize // LINE
    for first in range(0, count, rows):
        _tile(
            rows, vectors, batch, out_batch, a_batch, b_batch, out, out_start, out_places, out_step, a, a_start, a_places, a_step,
            first, count - 1, b, b_start, 1, 0, 0, inner, 1, width,
        )  # fmt: skip


multiply_add = multiply_add_plain if config.DISABLE_JIT else _multiply_add
add_product = add_product_plain if config.DISABLE_JIT else _add_product
multiply_each = multiply_each_plain if config.DISABLE_JIT else _multiply_each
