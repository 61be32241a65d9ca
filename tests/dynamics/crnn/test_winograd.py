"""Convolutions by fewer products are the plain ones: to the bit on whole numbers for three taps, to a few roundings else."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dynamics.crnn import winograd
from dynamics.crnn.architecture import Architecture, Conv
from dynamics.crnn.convolution import convolve, convolve_transposed
from dynamics.crnn.winograd import fall, interpolation, rise
from dynamics.crnn.wiring import drive, scratch_for, wire

pytestmark = pytest.mark.exact

# in float32, of Σ|w s|
ERRORS = {3: 2e-6, 5: 4e-6}


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
        st.sampled_from(
            [(3, 1, 1), (5, 2, 1), (6, 2, 1), (5, 1, 2), (6, 1, 4), (9, 3, 1), (5, 1, 1), (10, 2, 1), (8, 1, 2)]
        )
    )
    channels, above = draw(st.sampled_from([16, 32])), draw(st.sampled_from([16, 32, 48]))
    side = draw(st.tuples(st.integers(9, 14), st.integers(9, 14)))
    return stack(kernel_side, stride, draw(st.integers(0, 2)), pool, channels, above, side)


@settings(deadline=None)
@given(architecture=layers(), whole=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_drives_both_ways_are_those_of_the_plain_convolution(architecture, whole, seed):
    generator = np.random.default_rng(seed)
    weights, state = generator.normal(size=architecture.weights), generator.normal(size=architecture.units)
    wiring = wire(architecture, weights.astype(np.float32), np.float32)
    assume(wiring.layers["tiles_down"][1] > 0)
    taps = wiring.layers["taps"][1]
    whole &= taps == 3
    if whole:
        weights, state = (16 * generator.integers(-2, 3, size=array.shape) for array in (weights, state))
    weights, state = weights.astype(np.float32), state.astype(np.float32)
    wiring, direct = wire(architecture, weights, np.float32), wire(architecture, weights, np.float64)
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
    assert np.array_equal(field, exact) if whole else np.abs(field - exact).max() <= ERRORS[taps] * size.max()


@pytest.mark.parametrize("taps", [3, 5])
def test_the_transforms_are_a_correlation_in_exact_rationals(taps):
    matrix, below, above = interpolation(taps)
    places, reach = above.shape
    assert (matrix.shape, below.shape) == ((reach, taps), (reach, reach))
    kernel = [Fraction(3 * k * k - 7 * k + 1) for k in range(taps)]
    values = [Fraction(k**3 - 11 * k, 2) for k in range(reach)]
    found = above @ ((matrix @ kernel) * (below @ values))
    assert found.tolist() == [sum(kernel[k] * values[place + k] for k in range(taps)) for place in range(places)]


@pytest.mark.parametrize(
    ("dtype", "shape", "stride", "places", "saves"),
    [
        (np.float32, (3, 3, 16, 16), 1, (4, 4), True), (np.float32, (5, 6, 8, 32), 2, (4, 4), True),
        (np.float32, (4, 6, 8, 32), 2, (4, 4), False), (np.float32, (3, 3, 15, 16), 1, (4, 4), False),
        (np.float32, (3, 3, 16, 24), 1, (4, 4), False), (np.float32, (2, 3, 16, 16), 1, (4, 4), False),
        (np.float32, (7, 7, 16, 16), 2, (4, 4), False), (np.float64, (3, 3, 16, 16), 1, (4, 4), False),
        (np.float32, (3, 3, 4, 16), 4, (4, 4), False), (np.float32, (5, 5, 16, 16), 1, (4, 4), True),
        (np.float32, (5, 5, 16, 16), 1, (3, 1), True), (np.float32, (5, 5, 16, 16), 1, (2, 1), False),
        (np.float32, (3, 3, 16, 16), 1, (1, 1), False),
    ],
)  # fmt: skip
def test_it_is_used_where_it_takes_fewer_products_of_whole_vectors(dtype, shape, stride, places, saves):
    assert winograd.saves(dtype, shape, stride, places) is saves


def test_tiles_cover_all_places_and_read_the_other_taps_further():
    assert [winograd.tile(taps) for taps in (3, 5)] == [2, 4]
    assert winograd.tiles((5, 4), 3) == (3, 2)
    assert winograd.tiles((5, 4), 5) == (2, 1)
    assert winograd.reached((3, 2), 3, 2) == (16, 12)
    assert winograd.reached((2, 1), 5, 1) == (12, 8)
    assert winograd.scratch_size((3, 2), 3, 64, 32) == 16 * 6 * 96 + 4 * 32
    assert winograd.scratch_size((2, 1), 5, 64, 32) == 64 * 2 * 96 + 16 * 32


@pytest.mark.parametrize(
    ("kernel_side", "stride", "padding", "channels", "above", "side"),
    [
        (3, 1, 1, 16, 16, (3, 4)),
        (5, 2, 0, 8, 32, (7, 9)),
        (6, 2, 1, 16, 16, (6, 8)),
        (3, 1, 0, 32, 48, (5, 4)),
        (5, 1, 0, 16, 32, (9, 10)),
        (10, 2, 3, 8, 16, (13, 9)),
    ],
)
def test_what_rises_is_the_convolution_and_what_falls_its_transpose(
    kernel_side, stride, padding, channels, above, side
):
    """One layer alone, on whole numbers: to the bit for three taps, with nothing left over of what the working memory held."""
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
    slack = 0 if layer.taps == 3 else ERRORS[5] * 32 * 3 * channels * kernel_side**2
    np.testing.assert_allclose(field - 1, convolved(architecture, weights, state[here]), rtol=0, atol=slack)
    spread = np.ones(padded.size, np.float32)
    fall(layer, state[there], wiring.falling, wiring.counting, scratch, spread)
    rows, columns = architecture.shapes[1][1:]
    returned = convolve_transposed(
        state[there].reshape(rows, columns, above).transpose(2, 0, 1)[None].astype(np.float64),
        architecture.arrays(weights.astype(np.float64))[1], shape=side, stride=stride, padding=padding,
    )[0]  # fmt: skip
    returned = returned.transpose(1, 2, 0).reshape(side[0], -1)
    slack *= above / channels
    np.testing.assert_allclose((spread - 1).reshape(padded.shape)[inner], returned, rtol=0, atol=slack)
