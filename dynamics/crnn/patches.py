"""A patch of vectors between two constant matrices, in registers: the transforms of dynamics.crnn.winograd.

Main results: sandwich.

All vectors of 64 bytes of a patch are read, combined along both sides, and written: two accesses to memory a vector, where sums
row by row would take ten. Factors of ±1 are additions and subtractions. Written as LLVM vectors; uncompiled, the plain loop runs
instead.
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
from numpy.typing import NDArray

from dynamics.kernel import kernel
from dynamics.tiles import LINE

# its stubs know nothing of the typing context that it supplies as the first argument
intrinsic: Any = _intrinsic


def sandwich(matrix: NDArray[np.floating], add: bool) -> tuple[Any, Any]:
    """(fast, plain): out = M X Mᵀ, or added to what is there, for a patch X of vectors and a constant matrix.

    X[a, b] is the LINE bytes at values[first + a · row + b · column], out[i, j] those at out[to + i · out_row + j · out_column].
    """
    sides, reach = matrix.shape

    @kernel()
    def plain(out, to, out_row, out_column, values, first, row, column):
        lanes = LINE // values.itemsize
        for i in range(sides):
            for j in range(sides):
                total = np.zeros(lanes, values.dtype)
                for a in range(reach):
                    for b in range(reach):
                        start = first + a * row + b * column
                        total += values[start : start + lanes] * values.dtype.type(matrix[i, a] * matrix[j, b])
                place = to + i * out_row + j * out_column
                if add:
                    total += out[place : place + lanes]
                out[place : place + lanes] = total

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

            fused = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{vector.count}f{8 * size}"
            )

            def summed(weights: Any, vectors: list[Any]) -> Any:
                total = None
                for weight, term in zip(weights.tolist(), vectors, strict=True):
                    if total is None and weight:
                        total = (
                            term if weight == 1 else builder.fmul(ir.Constant(vector, [weight] * vector.count), term)
                        )
                    elif abs(weight) == 1:
                        total = builder.fadd(total, term) if weight > 0 else builder.fsub(total, term)
                    elif weight:
                        total = builder.call(fused, [ir.Constant(vector, [weight] * vector.count), term, total])
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
