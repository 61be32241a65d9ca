"""Each window's largest drive is found and answered at its place, in one phase and in two at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.crnn import routes
from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.wiring import wire

pytestmark = pytest.mark.exact


@st.composite
def layers(draw):
    """A pooling layer whose channels and places need not fill vectors or windows, in either dtype."""
    side, pool = (draw(st.integers(3, 8)), draw(st.integers(3, 8))), draw(st.integers(2, 3))
    layer = Conv(draw(st.sampled_from([1, 3, 16, 18])), 1, pool=pool, pooling="max")
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    architecture = Architecture((1, *side), (layer, Dense(2)))
    return wire(architecture, np.zeros(architecture.weights), dtype).layers[0], dtype


def windows(layer):
    """The places of each window, (pooled places, pool²)."""
    grid = np.arange(layer.rows_out * layer.columns_out).reshape(layer.rows_out, layer.columns_out)
    kept = grid[: layer.rows_pooled * layer.pool, : layer.columns_pooled * layer.pool]
    split = kept.reshape(layer.rows_pooled, layer.pool, layer.columns_pooled, layer.pool).transpose(0, 2, 1, 3)
    return split.reshape(-1, layer.pool**2)


def largest_of(layer, drives):
    """(largest, place), both (pooled places, above), of drives (places, above)."""
    seen = drives[windows(layer)]
    chosen = seen.argmax(axis=1)
    return seen.max(axis=1), np.take_along_axis(windows(layer), chosen, axis=1)


def spread_of(layer, places, sources):
    """(places, above): 0 but the sources at their places."""
    found = np.zeros((layer.rows_out * layer.columns_out, layer.above), sources.dtype)
    np.add.at(found, (places, np.arange(layer.above)), sources)
    return found


def numbers(layer, generator, dtype):
    """Whole numbers, many of them equal: drives and halves (places, wide_above), sources and halves (pooled places, above)."""
    places, pooled = layer.rows_out * layer.columns_out, layer.rows_pooled * layer.columns_pooled
    drives = generator.integers(-3, 4, size=(2, places, layer.wide_above)).astype(dtype)
    return drives, generator.integers(-4, 5, size=(2, pooled, layer.above)).astype(dtype)


@given(layer=layers(), seed=st.integers(0, 2**31 - 1))
def test_the_largest_of_a_window_is_heard_and_its_place_alone_is_sent_to(layer, seed):
    layer, dtype = layer
    (drives, wide), (sources, before) = numbers(layer, np.random.default_rng(seed), dtype)
    memory = np.full(routes.room(len(sources), layer.above), np.nan, dtype)
    heard = before.copy()
    routes.route(layer, drives.ravel(), heard.ravel(), layer.above, memory)
    largest, places = largest_of(layer, drives[:, : layer.above])
    assert np.array_equal(heard - before, largest)
    routes.spread(layer, sources.ravel(), memory, wide.ravel())
    assert np.array_equal(wide[:, : layer.above], spread_of(layer, places, sources))
    assert not wide[:, layer.above :].any()


@given(layer=layers(), seed=st.integers(0, 2**31 - 1))
def test_two_phases_are_routed_each_on_its_own_as_mean_and_half_difference(layer, seed):
    layer, dtype = layer
    generator = np.random.default_rng(seed)
    drives, sources = numbers(layer, generator, dtype)
    wide, heard = numbers(layer, generator, dtype)
    before = heard.copy()
    memory = np.full(routes.room(sources.shape[1], layer.above), np.nan, dtype)
    routes.route_pair(
        layer, drives[0].ravel(), drives[1].ravel(), heard[0].ravel(), heard[1].ravel(), layer.above, memory
    )
    routes.spread_pair(layer, sources[0].ravel(), sources[1].ravel(), memory, wide[0].ravel(), wide[1].ravel())
    ends, sent = [], []
    for sign in (1, -1):
        largest, places = largest_of(layer, (drives[0] + sign * drives[1])[:, : layer.above])
        ends.append(largest)
        sent.append(spread_of(layer, places, sources[0] + sign * sources[1]))
    assert np.array_equal(heard - before, [(ends[0] + ends[1]) / 2, (ends[0] - ends[1]) / 2])
    assert np.array_equal(wide[..., : layer.above], [(sent[0] + sent[1]) / 2, (sent[0] - sent[1]) / 2])
    assert not wide[..., layer.above :].any()


def test_a_small_difference_at_one_place_is_kept_to_the_bit():
    architecture = Architecture((1, 2, 2), (Conv(1, 1, pool=2, pooling="max"), Dense(2)))
    layer = wire(architecture, np.zeros(architecture.weights), np.float64).layers[0]
    drives, halves = np.zeros((2, 4 * layer.wide_above))
    drives[layer.wide_above], halves[layer.wide_above] = 1.0, 1e-30
    heard, half_heard, memory = np.zeros(1), np.zeros(1), np.zeros(routes.room(1, 1))
    routes.route_pair(layer, drives, halves, heard, half_heard, 1, memory)
    assert (heard[0], half_heard[0]) == (1.0, 1e-30)
    routes.spread_pair(layer, np.array([0.5]), np.array([1e-30]), memory, drives, halves)
    assert (drives[layer.wide_above], halves[layer.wide_above]) == (0.5, 1e-30)
