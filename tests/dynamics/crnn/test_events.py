"""What spikes drive is the drive of the same spikes as numbers, and the field as a trace is the drive of the traces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn import events
from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.events import (
    add_spikes,
    follow_pair,
    follow_spikes,
    list_nibbles,
    list_units,
    lists_for,
    pack,
    spike_drive_images,
    tabulate,
)
from dynamics.crnn.network import Network
from dynamics.crnn.relaxation import input_drive_images
from dynamics.crnn.wiring import collect, drive, scratch_for, wire
from tests.dynamics.crnn.stacks import architectures

pytestmark = pytest.mark.exact

DTYPES, SEEDS = st.sampled_from([np.float32, np.float64]), st.integers(0, 2**31 - 1)
# of few spikes, which are listed as units, and of many, which are listed as nibbles
ACTIVITIES = st.sampled_from([0.0, 0.05, 0.15, 0.3, 0.6, 1.0])


def whole(generator, *shape):
    """Whole numbers and quarters: every sum of their products is exact, whatever its order."""
    return generator.integers(-8, 9, shape).astype(np.float64) * 4


def prepared(architecture, weights, dtype):
    wiring = wire(architecture, weights.astype(dtype), dtype)
    tables = tabulate(architecture, weights.astype(dtype), wiring)
    return wiring, tables, lists_for(tables)


def fired(generator, count, activity, dtype):
    return (generator.random(count) < activity).astype(dtype)


@settings(deadline=None)
@given(architecture=architectures(), dtype=DTYPES, activity=ACTIVITIES, seed=SEEDS)
def test_what_spikes_drive_is_the_drive_of_the_spikes_as_numbers_to_the_bit(architecture, dtype, activity, seed):
    generator, zero = np.random.default_rng(seed), dtype(0)
    wiring, tables, lists = prepared(architecture, whole(generator, architecture.weights), dtype)
    spikes = fired(generator, architecture.units, activity, dtype)
    up, down, other_up, other_down = (np.zeros(size, dtype) for size in (wiring.up, wiring.down) * 2)
    for n, place in enumerate(architecture.places):
        add_spikes(
            spikes[place], dtype(1), dtype(0.5), n + 1, wiring, tables, lists, dtype(0.5), up, down, dtype(-2), other_up, other_down
        )  # fmt: skip
    found, other, expected = np.zeros((3, architecture.units), dtype)
    collect(up, down, wiring, found)
    collect(other_up, other_down, wiring, other)
    drive(spikes, wiring, scratch_for(wiring), expected)
    assert np.array_equal(found, 0.5 * expected)
    assert np.array_equal(other, -2 * expected)
    single = np.zeros_like(up), np.zeros_like(down)
    add_spikes(
        -spikes[architecture.places[0]],
        dtype(-1),
        dtype(0.5),
        1,
        wiring,
        tables,
        lists,
        dtype(1),
        *single,
        zero,
        *single,
    )
    alone, expected = np.zeros((2, architecture.units), dtype)
    collect(*single, wiring, alone)
    spikes[architecture.sizes[0] :] = 0
    drive(spikes, wiring, scratch_for(wiring), expected)
    assert np.array_equal(alone, expected)


@settings(deadline=None)
@given(architecture=architectures(), dtype=DTYPES, activity=ACTIVITIES, seed=SEEDS)
def test_spikes_of_the_input_drive_the_first_layer_as_numbers_do_to_the_bit(architecture, dtype, activity, seed):
    generator = np.random.default_rng(seed)
    wiring, tables, _ = prepared(architecture, whole(generator, architecture.weights), dtype)
    spikes = fired(generator, (3, architecture.inputs), activity, dtype)
    found, expected = generator.integers(0, 3, (2, 1, architecture.units)).astype(dtype) * np.ones((2, 3, 1), dtype)
    found[:] = expected
    spike_drive_images(spikes, wiring, tables, found)
    input_drive_images(spikes, wiring, expected)
    assert np.array_equal(found, expected)


@given(channels=st.integers(1, 140), places=st.integers(1, 4), activity=ACTIVITIES, dtype=DTYPES, seed=SEEDS)
def test_lists_name_every_unit_that_fired_and_every_group_with_its_pattern_place_by_place(
    channels, places, activity, dtype, seed
):
    spikes = fired(np.random.default_rng(seed), (places, channels), activity, dtype)
    words, groups = -(-channels // 64), -(-channels // 4)
    bits, names, firsts = (
        np.empty(places * words, np.uint64),
        np.empty(spikes.size, np.int32),
        np.empty(places + 1, np.int64),
    )
    pack(spikes.ravel(), dtype(1), dtype(0.5), places, channels, bits)
    unpacked = [[int(bits[p * words + c // 64]) >> (c % 64) & 1 for c in range(channels)] for p in range(places)]
    assert np.array_equal(unpacked, spikes)
    count = list_units(-2 * spikes.ravel(), dtype(-1), dtype(1), places, channels, names, firsts)
    assert names[:count].tolist() == np.flatnonzero(spikes).tolist()
    assert firsts.tolist() == [0, *np.cumsum(spikes.sum(axis=1)).astype(int).tolist()]
    count = list_nibbles(bits, places, channels, names, firsts)
    padded = np.zeros((places, 4 * groups))
    padded[:, :channels] = spikes
    patterns = (padded.reshape(places * groups, 4) @ [1, 2, 4, 8]).astype(int)
    assert names[:count].tolist() == [16 * k + pattern for k, pattern in enumerate(patterns.tolist()) if pattern]
    assert firsts.tolist() == [0, *np.cumsum((patterns > 0).reshape(places, groups).sum(axis=1)).tolist()]


@settings(deadline=None)
@given(architecture=architectures(), seed=SEEDS, activity=ACTIVITIES)
def test_the_field_as_a_trace_is_the_drive_of_the_traces_with_a_leak_a_layer(architecture, seed, activity):
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=architecture.weights)
    wiring, tables, lists = prepared(architecture, weights, np.float64)
    leak = architecture.per_unit(generator.uniform(0.1, 1.0, len(architecture.layers)).tolist())
    traces = np.zeros((3, architecture.units))
    ups, downs = np.zeros((2, wiring.up)), np.zeros((2, wiring.down))
    up, down = np.zeros(wiring.up), np.zeros(wiring.down)
    for _ in range(6):
        pair = [fired(generator, architecture.units, activity, np.float64) for _ in range(2)]
        pulses = np.array([(pair[0] + pair[1]) / 2, (pair[0] - pair[1]) / 2, pair[0]])
        traces = (1 - leak) * traces + leak * pulses
        follow_pair(pulses[0], pulses[1], leak, wiring, tables, lists, ups[0], downs[0], ups[1], downs[1])
        follow_spikes(pulses[2], leak, wiring, tables, lists, up, down)
    found = np.zeros((3, architecture.units))
    for field, rising, falling in zip(found, (*ups, up), (*downs, down), strict=True):
        collect(rising, falling, wiring, field)
    expected = np.zeros_like(found)
    for field, trace in zip(expected, traces, strict=True):
        drive(trace, wiring, scratch_for(wiring), field)
    np.testing.assert_allclose(found, expected, atol=1e-13 * np.abs(weights).sum())


def test_rounding_does_not_pile_up_in_a_field_that_is_a_trace():
    generator, architecture = np.random.default_rng(0), Architecture((1, 8, 8), (Conv(16, 3, pool=2), Dense(16)))
    weights = generator.normal(size=architecture.weights).astype(np.float32)
    wiring, tables, lists = prepared(architecture, weights, np.float32)
    leak, trace = np.full(architecture.units, np.float32(0.1)), np.zeros(architecture.units)
    up, down, apart = np.zeros(wiring.up, np.float32), np.zeros(wiring.down, np.float32), []
    exact = wire(architecture, weights, np.float64)
    for step in range(3000):
        pulses = fired(generator, architecture.units, 0.2, np.float32)
        trace = (1 - float(leak[0])) * trace + float(leak[0]) * pulses
        follow_spikes(pulses, leak, wiring, tables, lists, up, down)
        if step % 500 == 499:
            found, expected = np.zeros(architecture.units, np.float32), np.zeros(architecture.units)
            collect(up, down, wiring, found)
            drive(trace, exact, scratch_for(exact), expected)
            apart.append(np.abs(found - expected).max() / np.abs(expected).max())
    # a step's rounding, some 1e-7, decays with the leak: at most tenfold
    assert max(apart) < 2e-6


def test_few_spikes_are_listed_as_units_and_many_as_nibbles():
    architecture = Architecture((1, 4, 4), (Conv(8, 3), Dense(2)))
    wiring, tables, lists = prepared(architecture, np.ones(architecture.weights), np.float64)
    units = architecture.sizes[0]
    most = int(events.SPARSE * units)
    for count, step in ((most, 1), (most + 1, 16)):
        spikes, up = np.zeros(units), np.zeros(wiring.up)
        # one a group: as nibbles their names are 16 · group + 1, as units 4 · group
        spikes[4 * np.arange(count)] = 1.0
        down = np.zeros(wiring.down)
        add_spikes(spikes, 1.0, 0.5, 1, wiring, tables, lists, 1.0, up, down, 0.0, up, down)
        assert lists.names[:count].tolist() == [(4 if step == 1 else 16) * k + (step == 16) for k in range(count)]


def test_a_network_with_max_pooling_has_no_tables_and_one_with_average_pooling_has():
    for pooling in ("max", "average"):
        architecture = Architecture((1, 6, 6), (Conv(2, 3), Conv(2, 3, pool=2, pooling=pooling), Dense(2)))
        net = Network(architecture, np.ones(architecture.weights), np.zeros(architecture.biases), 0.5, 0.0, 0.5)
        assert (net.tables.values.size == 0) == (pooling == "max")
