"""Convolutions by fewer products are the plain ones: to the bit on whole numbers, to a few roundings on others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config
from numba.core.errors import TypingError

from dynamics.crnn import winograd
from dynamics.crnn.architecture import Architecture, Conv
from dynamics.crnn.convolution import convolve
from dynamics.crnn.wiring import drive, scratch_for, wire

pytestmark = pytest.mark.exact

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="without the compiler the plain loop is all there is")
LANES = 16
SANDWICHES = {
    "below": (winograd.below, winograd.below_plain, 4, 4, False),
    "below_back": (winograd.below_back, winograd.below_back_plain, 4, 4, True),
    "above": (winograd.above, winograd.above_plain, 4, 2, False),
    "above_back": (winograd.above_back, winograd.above_back_plain, 2, 4, False),
}


def stack(kernel_side, stride, padding, pool, channels, above, side):
    """A first layer that only sets the size, then the layer in question."""
    return Architecture((1, *side), (Conv(channels, 1), Conv(above, kernel_side, stride, padding, pool)), 3)


def convolved(architecture, weights, below):
    """The second layer's drive, (places, above) flat, in float64 by the plain convolution and pooling."""
    layer, (channels, *side) = architecture.layers[1], architecture.shapes[0]
    maps = below.astype(np.float64).reshape(*side, channels).transpose(2, 0, 1)[None]
    drives = convolve(
        maps, architecture.arrays(weights.astype(np.float64))[1], stride=layer.stride, padding=layer.padding
    )
    rows, columns = (size // layer.pool for size in drives.shape[2:])
    kept = drives[0, :, : rows * layer.pool, : columns * layer.pool]
    pooled = kept.reshape(len(kept), rows, layer.pool, columns, layer.pool).mean(axis=(2, 4))
    return pooled.transpose(1, 2, 0).ravel()


@st.composite
def layers(draw):
    kernel_side, stride, pool = draw(
        st.sampled_from([(3, 1, 1), (5, 2, 1), (6, 2, 1), (5, 1, 2), (6, 1, 4), (9, 3, 1)])
    )
    channels, above = draw(st.sampled_from([16, 32])), draw(st.sampled_from([16, 32, 48]))
    side = draw(st.tuples(st.integers(9, 14), st.integers(9, 14)))
    return stack(kernel_side, stride, draw(st.integers(0, 2)), pool, channels, above, side)


@settings(deadline=None)
@given(architecture=layers(), whole=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_drives_both_ways_are_those_of_the_plain_convolution(architecture, whole, seed):
    generator = np.random.default_rng(seed)
    weights, state = generator.normal(size=architecture.weights), generator.normal(size=architecture.units)
    if whole:
        weights, state = (16 * generator.integers(-2, 3, size=array.shape) for array in (weights, state))
    weights, state = weights.astype(np.float32), state.astype(np.float32)
    wiring, direct = wire(architecture, weights, np.float32), wire(architecture, weights, np.float64)
    assert wiring.layers["tiles_down"][1] > 0
    assert direct.layers["tiles_down"][1] == 0
    field, exact = np.zeros(architecture.units, np.float32), np.zeros(architecture.units)
    scratch = scratch_for(wiring)
    # what it holds means nothing
    scratch[:] = np.nan
    drive(state, wiring, scratch, field)
    drive(state.astype(np.float64), direct, scratch_for(direct), exact)
    here, there = architecture.places
    np.testing.assert_allclose(exact[there], convolved(architecture, weights, state[here]), rtol=1e-12, atol=1e-12)
    size = np.zeros(architecture.units)
    drive(
        np.abs(state.astype(np.float64)),
        wire(architecture, weights, np.float64, entry=np.abs),
        scratch_for(direct),
        size,
    )
    assert np.array_equal(field, exact) if whole else np.abs(field - exact).max() <= 2e-6 * size.max()


@pytest.mark.parametrize(
    ("dtype", "shape", "stride", "saves"),
    [
        (np.float32, (3, 3, 16, 16), 1, True), (np.float32, (5, 6, 8, 32), 2, True), (np.float32, (4, 6, 8, 32), 2, False),
        (np.float32, (3, 3, 15, 16), 1, False), (np.float32, (3, 3, 16, 24), 1, False), (np.float32, (2, 3, 16, 16), 1, False),
        (np.float32, (7, 7, 16, 16), 2, False), (np.float64, (3, 3, 16, 16), 1, False), (np.float32, (3, 3, 4, 16), 4, False),
    ],
)  # fmt: skip
def test_it_is_used_for_three_taps_a_phase_and_whole_vectors(dtype, shape, stride, saves):
    assert winograd.saves(dtype, shape, stride) is saves


def test_tiles_cover_all_places_and_read_three_taps_further():
    assert winograd.tiles((5, 4)) == (3, 2)
    assert winograd.reached((3, 2), 2) == (16, 12)
    assert winograd.scratch_size((3, 2), 64, 32) == 16 * 6 * 96 + 4 * 32


@compiled
@pytest.mark.parametrize("name", SANDWICHES)
def test_a_patch_in_registers_is_its_plain_loop_and_writes_nowhere_else(name):
    fast, plain, reach, sides, adds = SANDWICHES[name]
    generator = np.random.default_rng(3)
    values = generator.integers(-9, 10, size=1200).astype(np.float32)
    found = generator.integers(-9, 10, size=1200).astype(np.float32)
    expected, before = found.copy(), found.copy()
    places = (7, 3 * LANES * sides, 2 * LANES), (5, 2 * LANES * reach, LANES + 3)
    fast(found, *places[0], values, *places[1])
    plain(expected, *places[0], values, *places[1])
    assert np.array_equal(found, expected)
    to, row, column = places[0]
    written = [to + i * row + j * column + lane for i in range(sides) for j in range(sides) for lane in range(LANES)]
    rest = np.setdiff1d(np.arange(1200), written)
    assert np.array_equal(found[rest], before[rest])
    matrix = getattr(winograd, name.removesuffix("_back").upper())
    matrix = matrix.T if name.endswith("_back") else matrix
    patch = np.array(
        [[values[5 + a * places[1][1] + b * places[1][2] :][:LANES] for b in range(reach)] for a in range(reach)]
    )
    wanted = np.einsum("ia,jb,abl->ijl", matrix, matrix, patch)
    assert np.array_equal(found[written] - (before[written] if adds else 0), wanted.ravel())


@compiled
def test_patches_of_two_dtypes_are_refused():
    with pytest.raises(TypingError, match="one dtype"):
        winograd.below(np.zeros(1200, np.float32), 0, 64, 16, np.zeros(1200), 0, 64, 16)
