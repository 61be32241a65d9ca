"""A patch in registers is its plain loop, and both are products with the matrix on either side."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core import config
from numba.core.errors import TypingError

from dynamics.crnn.patches import sandwich
from dynamics.crnn.winograd import interpolation

pytestmark = pytest.mark.exact

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="without the compiler the plain loop is all there is")
LANES = 16
# of three taps and of five, whose entries are sums of few powers of two: exact in float32
BELOW, ABOVE, LARGE_BELOW, LARGE_ABOVE = (interpolation(taps)[n].astype(float) for taps in (3, 5) for n in (1, 2))


@compiled
@pytest.mark.parametrize(
    "matrix", [BELOW, BELOW.T, ABOVE, ABOVE.T, -ABOVE, LARGE_BELOW, LARGE_BELOW.T, LARGE_ABOVE, LARGE_ABOVE.T]
)
@pytest.mark.parametrize("adds", [False, True])
def test_a_patch_in_registers_is_its_plain_loop_and_writes_nowhere_else(matrix, adds):
    fast, plain = sandwich(matrix, add=adds)
    sides, reach = matrix.shape
    generator = np.random.default_rng(3)
    values, found = generator.integers(-9, 10, size=(2, 4000)).astype(np.float32)
    expected, before = found.copy(), found.copy()
    places = (7, 3 * LANES * sides, 2 * LANES), (5, 2 * LANES * reach, LANES + 3)
    fast(found, *places[0], values, *places[1])
    plain(expected, *places[0], values, *places[1])
    assert np.array_equal(found, expected)
    to, row, column = places[0]
    written = [to + i * row + j * column + lane for i in range(sides) for j in range(sides) for lane in range(LANES)]
    rest = np.setdiff1d(np.arange(4000), written)
    assert np.array_equal(found[rest], before[rest])
    patch = np.array(
        [[values[5 + a * places[1][1] + b * places[1][2] :][:LANES] for b in range(reach)] for a in range(reach)]
    )
    wanted = np.einsum("ia,jb,abl->ijl", matrix, matrix, patch)
    assert np.array_equal(found[written] - (before[written] if adds else 0), wanted.ravel())


@compiled
def test_patches_of_two_dtypes_or_not_contiguous_are_refused():
    fast, _ = sandwich(BELOW, add=False)
    good = np.zeros(4000, np.float32)
    for out, values in (
        (good, np.zeros(4000)),
        (np.zeros(8000, np.float32)[::2], good),
        (good, np.zeros(8000, np.float32)[::2]),
    ):
        with pytest.raises(TypingError, match="contiguous arrays of one dtype"):
            fast(out, 0, 64, 16, values, 0, 64, 16)
