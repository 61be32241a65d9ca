"""Rows summed in registers are the rows summed one by one, and bits are comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config
from numba.core.errors import TypingError

from dynamics.crnn.gather import JOB, MOST_COLUMNS, add_rows, add_rows_plain, signs, trailing_zeros
from dynamics.kernel import kernel
from dynamics.tiles import lanes

pytestmark = pytest.mark.exact

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="without the compiler the plain loop is all there is")
DTYPES = st.sampled_from([np.float32, np.float64])


@kernel()
def lowest_bit(word):
    return trailing_zeros(word)


@kernel()
def bits_of(values, start, factor, least):
    return signs(values, start, factor, least)


@given(
    dtype=DTYPES, vectors=st.integers(1, 2 * MOST_COLUMNS + 1), lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    kind=st.integers(0, 1), other_factor=st.sampled_from([0.0, -0.5]), seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_rows_in_registers_are_rows_one_by_one_and_jobs_outside_the_range_wait(
    dtype, vectors, lengths, kind, other_factor, seed
):
    generator, width, rows = np.random.default_rng(seed), vectors * lanes(dtype), 6
    table = generator.normal(size=3 * rows * width).astype(dtype)
    firsts = np.concatenate([[0], np.cumsum(lengths)])
    names = generator.integers(0, rows, max(1, firsts[-1])).astype(np.int32)
    jobs = len(lengths)
    to, stretch = generator.permutation(jobs) * width, np.arange(jobs)
    bases = np.full((2, jobs), [[0], [2 * rows * width]])
    plan = np.stack([to, stretch, stretch + 1, *bases], axis=1).ravel()
    assert plan.size == jobs * JOB
    found = generator.normal(size=(2, jobs * width)).astype(dtype)
    expected, before = found.copy(), found.copy()
    first, last = generator.integers(0, jobs + 1, 2)
    factors = dtype(0.7), dtype(other_factor)
    arguments = width, table, names, firsts, kind, plan, min(first, last), max(first, last)
    add_rows(found[0], factors[0], found[1], factors[1], *arguments)
    add_rows_plain(expected[0], factors[0], expected[1], factors[1], *arguments)
    assert np.array_equal(found, expected)
    for job in range(min(first, last), max(first, last)):
        to = plan[job * JOB]
        start = 2 * rows * width * kind
        chosen = [table[start + name * width :][:width] for name in names[firsts[job] : firsts[job + 1]]]
        total = np.sum(chosen, axis=0) if chosen else np.zeros(width)
        for factor, array, was in zip(factors, found, before, strict=True):
            np.testing.assert_allclose(array[to : to + width], was[to : to + width] + factor * total, atol=1e-5)


@compiled
def test_rows_of_two_dtypes_and_scattered_ones_are_refused():
    whole, few = np.zeros(64), np.zeros(64, np.float32)
    plan, firsts, names = np.zeros(JOB, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int32)
    with pytest.raises(TypingError, match="rows need one dtype, got float64, float64 and float32"):
        add_rows(whole, 1.0, whole, 0.0, 8, few, names, firsts, 0, plan, 0, 1)
    with pytest.raises(
        TypingError, match=r"rows need contiguous arrays, got .*: pass numpy\.ascontiguousarray of them"
    ):
        add_rows(whole[::2], 1.0, whole, 0.0, 8, whole, names, firsts, 0, plan, 0, 1)
    with pytest.raises(TypingError, match=r"bits need a contiguous array, got .*: pass numpy\.ascontiguousarray of it"):
        bits_of(whole[::2], 0, 1.0, 0.0)


@given(word=st.integers(1, 2**64 - 1))
def test_trailing_zeros_count_up_to_the_lowest_bit(word):
    assert lowest_bit(np.uint64(word)) == f"{word:b}"[::-1].index("1")


@given(dtype=DTYPES, start=st.integers(0, 9), factor=st.sampled_from([1.0, -1.0, 2.0]), seed=st.integers(0, 2**31 - 1))
def test_bits_are_comparisons_of_one_vector(dtype, start, factor, seed):
    values = np.random.default_rng(seed).choice([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, np.nan], 40).astype(dtype)
    word = int(bits_of(values, start, dtype(factor), dtype(0.25)))
    above = factor * values[start : start + lanes(dtype)] > 0.25
    assert word == sum(1 << k for k in np.flatnonzero(above).tolist())
