"""Sums of the rows of a table that lists name, in registers: the inner loop of everything that spikes drive.

Main results: add_rows, add_rows_plain, signs, trailing_zeros, JOB, MOST_COLUMNS.

A spike adds a row of the weights, so that only the rows of units that fired are read. What is added where is a plan of jobs, made
once: each sums the rows that one stretch of the list names and adds the sum to one or two places, with a factor each, for two
phases at once. Up to eight vectors of 64 bytes stay in registers over a stretch, and the loop over jobs lies inside, since a
stretch is short. Written as LLVM vectors; uncompiled, the plain loop runs instead.
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

from dynamics.kernel import kernel
from dynamics.tiles import LINE, spread

# its stubs know nothing of the typing context that it supplies as the first argument
intrinsic: Any = _intrinsic

# vectors that a sum holds at once
MOST_COLUMNS = 8
# numbers of a job: where its sum is added, the places between which its stretch lies, where its rows begin for either kind of name
JOB = 5
_TO, _BEGIN, _END, _BASE = range(4)


@kernel()
def add_rows_plain(out, factor, other, other_factor, width, table, names, firsts, kind, plan, first, last):
    """What `add_rows` computes, row by row."""
    for job in range(first, last):
        start = job * JOB
        total = np.zeros(width, table.dtype)
        for k in range(firsts[plan[start + _BEGIN]], firsts[plan[start + _END]]):
            row = plan[start + _BASE + kind] + names[k] * width
            total += table[row : row + width]
        to = plan[start + _TO]
        out[to : to + width] += factor * total
        if other_factor != 0.0:
            other[to : to + width] += other_factor * total


@intrinsic
def _columns(
    typing, vectors, column, out, factor, other, other_factor, width, table, names, firsts, kind, plan, first, last
):  # fmt: skip
    """`add_rows` for `vectors` vectors from `column`, at most MOST_COLUMNS."""
    arrays = (out, other, table, names, firsts, plan)
    if any(not isinstance(array, types.Array) or array.layout != "C" for array in arrays):
        raise TypingError(f"rows need contiguous arrays, got {arrays}: pass numpy.ascontiguousarray of them")
    if not out.dtype == other.dtype == table.dtype:
        raise TypingError(f"rows need one dtype, got {out.dtype}, {other.dtype} and {table.dtype}")
    whole, number = types.int64, table.dtype
    signature = types.void(
        whole, whole, out, number, other, number, whole, table, names, firsts, whole, plan, whole, whole
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """One piece of code for each number of vectors, and a jump to the one asked for."""
        bases = {n: make_array(signature.args[n])(context, builder, arguments[n]).data for n in (2, 4, 7, 8, 9, 11)}
        given = [bases.get(n, argument) for n, argument in enumerate(arguments)]
        end = builder.append_basic_block("rows.end")
        jump = builder.switch(given[0], end)
        for vectors in range(1, MOST_COLUMNS + 1):
            block = builder.append_basic_block(f"rows.{vectors}")
            jump.add_case(ir.IntType(64)(vectors), block)
            builder.position_at_end(block)
            _emit(builder, context.get_value_type(number), number.bitwidth // 8, vectors, *given[1:])
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


def _emit(
    builder: Any, number: Any, size: int, vectors: int, column: Any, out: Any, factor: Any, other: Any, other_factor: Any,
    width: Any, table: Any, names: Any, firsts: Any, kind: Any, plan: Any, first: Any, last: Any,
) -> None:  # fmt: skip
    """The instructions: for each job sums in `vectors` variables, a loop over its names, additions to memory."""
    integer, lanes = ir.IntType(64), LINE // size
    vector = ir.VectorType(number, lanes)

    def place(array: Any, offset: Any, k: int) -> Any:
        return builder.bitcast(builder.gep(array, [builder.add(offset, integer(k * lanes))]), vector.as_pointer())

    def entry(job: Any, offset: Any) -> Any:
        return builder.load(builder.gep(plan, [builder.add(builder.mul(job, integer(JOB)), offset)]))

    def add(array: Any, offset: Any, factors: Any) -> None:
        for k, total in enumerate(sums):
            there = place(array, offset, k)
            risen = builder.fadd(builder.load(there, align=size), builder.fmul(factors, builder.load(total)))
            builder.store(risen, there, align=size)

    sums = [cgutils.alloca_once(builder, vector) for _ in range(vectors)]
    factors, other_factors = spread(builder, vector, factor), spread(builder, vector, other_factor)
    two = builder.fcmp_unordered("!=", other_factor, ir.Constant(number, 0.0))
    with cgutils.for_range(builder, builder.sub(last, first), intp=integer) as jobs:
        job = builder.add(first, jobs.index)
        begin, end = (builder.load(builder.gep(firsts, [entry(job, integer(at))])) for at in (_BEGIN, _END))
        with builder.if_then(builder.icmp_signed("<", begin, end)):
            base = builder.add(entry(job, builder.add(integer(_BASE), kind)), column)
            for total in sums:
                builder.store(ir.Constant(vector, [0.0] * lanes), total)
            with cgutils.for_range(builder, builder.sub(end, begin), intp=integer) as k:
                name = builder.sext(builder.load(builder.gep(names, [builder.add(begin, k.index)])), integer)
                row = builder.add(base, builder.mul(name, width))
                for n, total in enumerate(sums):
                    read = builder.load(place(table, row, n), align=size)
                    builder.store(builder.fadd(builder.load(total), read), total)
            to = builder.add(entry(job, integer(_TO)), column)
            add(out, to, factors)
            with builder.if_then(two):
                add(other, to, other_factors)


@kernel()
def _add_rows(out, factor, other, other_factor, width, table, names, firsts, kind, plan, first, last):
    """For jobs first ≤ j < last: out[to_j + n] += factor · Σ_k table[base_j + names[k] · width + n], n < width, other likewise.

    k runs from firsts[begin_j] to firsts[end_j]; names are int32; (to, begin, end, base of kind 0, of kind 1)_j = plan[JOB · j …].
    width: whole vectors. other is left alone where other_factor is 0.
    """
    lanes = LINE // table.itemsize
    vectors = width // lanes
    parts = (vectors + MOST_COLUMNS - 1) // MOST_COLUMNS
    share = (vectors + parts - 1) // parts
    for start in range(0, vectors, share):
        _columns(
            min(share, vectors - start), start * lanes, out, factor, other, other_factor, width, table, names, firsts, kind, plan,
            first, last,
        )  # fmt: skip


@intrinsic
def _signs(typing, values, start, factor, least):
    """A uint64 whose bit k says that factor · values[start + k] > least, for one vector."""
    if not isinstance(values, types.Array) or values.layout != "C":
        raise TypingError(f"bits need a contiguous array, got {values}: pass numpy.ascontiguousarray of it")
    number, size = values.dtype, values.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(context.get_value_type(number), LINE // size)
        array = make_array(signature.args[0])(context, builder, arguments[0])
        read = builder.load(builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer()), align=size)
        above = builder.fcmp_ordered(
            ">", builder.fmul(spread(builder, vector, arguments[2]), read), spread(builder, vector, arguments[3])
        )
        return builder.zext(builder.bitcast(above, ir.IntType(LINE // size)), ir.IntType(64))

    return types.uint64(values, types.int64, number, number), generate


@kernel()
def _signs_plain(values, start, factor, least):
    """What `signs` computes."""
    word = np.uint64(0)
    for k in range(LINE // values.itemsize):
        word |= np.uint64(factor * values[start + k] > least) << np.uint64(k)
    return word


@intrinsic
def _trailing_zeros(typing, word):
    """The position of the lowest set bit of a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return types.int64(types.uint64), generate


def _trailing_zeros_plain(word: Any) -> int:
    """What `trailing_zeros` computes."""
    return (int(word) & -int(word)).bit_length() - 1


add_rows = add_rows_plain if config.DISABLE_JIT else _add_rows
signs = _signs_plain if config.DISABLE_JIT else _signs
trailing_zeros = _trailing_zeros_plain if config.DISABLE_JIT else _trailing_zeros
