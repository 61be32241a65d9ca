"""Convolutions by fewer products are the plain ones: to the bit on whole numbers, to a few roundings on others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn import winograd
from dynamics.crnn.architecture import Architecture, Conv
from dynamics.crnn.convolution import convolve, convolve_transposed
from dynamics.crnn.winograd import fall, rise
from dynamics.crnn.wiring import drive, scratch_for, wire

pytestmark = pytest.mark.exact


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


@pytest.mark.parametrize(
    ("kernel_side", "stride", "padding", "channels", "above", "side"),
    [(3, 1, 1, 16, 16, (3, 4)), (5, 2, 0, 8, 32, (7, 9)), (6, 2, 1, 16, 16, (6, 8)), (3, 1, 0, 32, 48, (5, 3))],
)
def test_what_rises_is_the_convolution_and_what_falls_its_transpose(
    kernel_side, stride, padding, channels, above, side
):
    """One layer alone, on whole numbers: to the bit, with nothing left over of what the working memory held."""
    architecture = stack(kernel_side, stride, padding, 1, channels, above, side)
    generator = np.random.default_rng(kernel_side + channels)
    weights = (16 * generator.integers(-2, 3, size=architecture.weights)).astype(np.float32)
    wiring = wire(architecture, weights, np.float32)
    layer, (here, there) = wiring.layers[1], architecture.places
    state = generator.integers(-3, 4, size=architecture.units).astype(np.float32)
    padded = np.zeros((int(layer.tall), int(layer.pitch)), np.float32)
    inner = slice(padding, padding + side[0]), slice(padding * channels, (padding + side[1]) * channels)
    padded[inner] = state[here].reshape(side[0], -1)
    scratch = np.full(wiring.spare, 7.0, np.float32)
    field = np.ones(architecture.sizes[1], np.float32)
    rise(layer, padded.ravel(), wiring.rising, wiring.counting, scratch, field)
    assert np.array_equal(field - 1, convolved(architecture, weights, state[here]))
    spread = np.ones(padded.size, np.float32)
    fall(layer, state[there], wiring.falling, wiring.counting, scratch, spread)
    rows, columns = architecture.shapes[1][1:]
    returned = convolve_transposed(
        state[there].reshape(rows, columns, above).transpose(2, 0, 1)[None].astype(np.float64),
        architecture.arrays(weights.astype(np.float64))[1], shape=side, stride=stride, padding=padding,
    )[0]  # fmt: skip
    assert np.array_equal((spread - 1).reshape(padded.shape)[inner], returned.transpose(1, 2, 0).reshape(side[0], -1))
