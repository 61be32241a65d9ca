"""The tile that sums in registers computes what its plain loop does, at every number of rows and place in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config
from numba.core.errors import TypingError

from dynamics.tiles import (
    CHAINS,
    LINE,
    add_product,
    add_product_plain,
    aligned,
    lanes,
    multiply_add,
    multiply_add_plain,
    multiply_each,
    multiply_each_plain,
    padded_width,
)

pytestmark = pytest.mark.exact

DTYPES = [np.float32, np.float64]
compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="without the compiler the plain loop is all there is")


def whole(generator, size, dtype):
    """Whole numbers, whose sums of products are exact in any order."""
    return generator.integers(-3, 4, size=size).astype(dtype)


@compiled
@settings(deadline=None)
@given(
    dtype=st.sampled_from(DTYPES), count=st.integers(1, 25), vectors=st.integers(1, 2), sums=st.tuples(*[st.integers(0, 3)] * 2),
    steps=st.tuples(*[st.integers(0, 5)] * 3), starts=st.tuples(*[st.integers(0, 9)] * 3), seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_a_tile_is_its_plain_loop_to_the_bit_and_writes_nowhere_else(dtype, count, vectors, sums, steps, starts, seed):
    generator = np.random.default_rng(seed)
    (outer, inner), (a_step, a_outer, a_inner), (out_start, a_start, b_start) = sums, steps, starts
    width = vectors * lanes(dtype)
    # rows of `out` in any order, some of them overlapping
    out_places, a_places = generator.integers(0, 40, size=(2, count))
    a, b = whole(generator, 300, dtype), whole(generator, 9 + 9 * width + width, dtype)
    got = whole(generator, 9 + 40 * 7 + 2 * width, dtype)
    wanted = got.copy()
    arguments = (
        out_start, out_places, 7, a, a_start, a_places, a_step, count, b, b_start, width,
        outer, a_outer, 3 * width, inner, a_inner, width,
    )  # fmt: skip
    multiply_add(got, *arguments)
    multiply_add_plain(wanted, *arguments)
    assert np.array_equal(got, wanted)


@compiled
@settings(deadline=None)
@given(
    dtype=st.sampled_from(DTYPES), batch=st.integers(0, 3), count=st.integers(1, 17), vectors=st.integers(1, 2),
    inner=st.integers(0, 3), seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_a_batch_of_tiles_is_each_of_its_matrix_products(dtype, batch, count, vectors, inner, seed):
    generator = np.random.default_rng(seed)
    width = vectors * lanes(dtype)
    a, b = (whole(generator, shape, dtype) for shape in ((batch, count, inner), (batch, inner, width)))
    before, places = whole(generator, (count, batch, width + 1), dtype), np.arange(count)
    for each in (multiply_each, multiply_each_plain):
        found = before.ravel().copy()
        each(
            batch, found, 0, places, batch * (width + 1), width + 1, a.ravel(), 0, places, inner, count * inner, count,
            b.ravel(), 0, inner * width, width, inner,
        )  # fmt: skip
        wanted = before.copy()
        wanted[:, :, :width] += (a @ b).transpose(1, 0, 2)
        assert np.array_equal(found.reshape(before.shape), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_plain_loop_is_a_matrix_product(dtype):
    generator = np.random.default_rng(0)
    a, b = whole(generator, (5, 7), dtype), whole(generator, (7, lanes(dtype)), dtype)
    out = whole(generator, (5, lanes(dtype)), dtype)
    expected = out + a @ b
    width = b.shape[1]
    multiply_add_plain(
        out.ravel(), 0, np.arange(5), width, a.ravel(), 0, np.arange(5), 7, 5, b.ravel(), 0, width, 1, 0, 0, 7, 1, width
    )
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [0, 0.5, 3])
def test_the_plain_loop_refuses_other_widths_than_one_or_two_vectors(dtype, vectors):
    width = int(vectors * lanes(dtype))
    out, places = np.zeros(3 * lanes(dtype), dtype), np.arange(1)
    with pytest.raises(ValueError, match="one or two whole vectors"):
        multiply_add_plain(out, 0, places, width, out, 0, places, 1, 1, out, 0, width, 1, 0, 0, 1, 1, width)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_that_are_not_of_one_dtype_or_not_contiguous_are_refused(dtype):
    width, places = lanes(dtype), np.arange(4)
    good = np.zeros(4 * width, dtype)
    for out, a, message in (
        (np.zeros(8 * width, dtype)[::2], good, "contiguous"),
        (good, np.zeros(4 * width, np.float16), "one dtype"),
    ):
        with pytest.raises(TypingError, match=message):
            multiply_add(out, 0, places, width, a, 0, places, 1, 4, good, 0, width, 1, 0, 0, 1, 1, width)


@pytest.mark.parametrize("dtype", DTYPES)
def test_aligned_memory_begins_at_a_line_and_widths_fill_whole_vectors(dtype):
    for spare in range(5):
        memory = aligned(np.zeros(100 + LINE, dtype)[spare:])
        assert memory.shape == (100 - spare,)
        assert memory.ctypes.data % LINE == 0
    size = np.dtype(dtype).itemsize
    assert [padded_width(width, dtype) * size for width in (1, LINE // size, LINE // size + 1)] == [
        LINE,
        LINE,
        2 * LINE,
    ]


@given(
    dtype=st.sampled_from(DTYPES), vectors=st.integers(1, 2 * CHAINS + 3), count=st.integers(0, 40),
    starts=st.tuples(*[st.integers(0, 5)] * 3), seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_a_rows_product_is_its_plain_loop_to_the_bit_and_writes_nowhere_else(dtype, vectors, count, starts, seed):
    generator, width = np.random.default_rng(seed), vectors * lanes(dtype)
    # whole numbers, whose sums of products are exact in any order
    a = generator.integers(-8, 9, count + 8).astype(dtype)
    table = generator.integers(-8, 9, (count + 1) * width + 8).astype(dtype)
    found = generator.integers(-8, 9, width + 16).astype(dtype)
    expected, before = found.copy(), found.copy()
    to, a_start, start = starts
    add_product(found, to, a, a_start, count, table, start, width)
    add_product_plain(expected, to, a, a_start, count, table, start, width)
    assert np.array_equal(found, expected)
    rows = table[start : start + count * width].reshape(count, width)
    assert np.array_equal(found[to : to + width] - before[to : to + width], a[a_start : a_start + count] @ rows)
    assert np.array_equal(np.delete(found, np.s_[to : to + width]), np.delete(before, np.s_[to : to + width]))


@compiled
def test_products_of_two_dtypes_and_of_scattered_numbers_are_refused():
    whole, few = np.zeros(32), np.zeros(32, np.float32)
    with pytest.raises(TypingError, match="products need one dtype, got float64, float64 and float32"):
        add_product(whole, 0, whole, 0, 1, few, 0, 8)
    with pytest.raises(
        TypingError, match=r"products need contiguous arrays, got .*: pass numpy\.ascontiguousarray of them"
    ):
        add_product(whole, 0, whole[::2], 0, 1, whole, 0, 8)
