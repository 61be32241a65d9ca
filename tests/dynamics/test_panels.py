"""Replicas side by side are the plain step of each, whatever the sizes; thresholds are what a uniform is compared with."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics import leaky, little, sample
from dynamics.panels import lines, local_fields, packed_couplings, replica_words, unit_thresholds
from dynamics.philox import STREAM_FREE, words
from tests.dynamics.chains import COST, NUDGING, SEED, STEPS, net, noise_of

pytestmark = pytest.mark.exact


@pytest.mark.parametrize("replicas", [1, 37])
@pytest.mark.parametrize("size", [7, 16, 41])
@pytest.mark.parametrize(("dynamics", "copies"), [("little", 1), ("leaky", 1), ("leaky", 3)])
def test_parallel_updates_of_many_replicas_are_the_plain_step_of_each(dynamics, copies, size, replicas):
    model = net(size)
    cost_on = "rates" if dynamics == "leaky" else "spikes"
    slope, offset = COST.force(size, cost_on)
    start = np.random.default_rng(1).uniform(size=(replicas, size))
    start = start if dynamics == "leaky" else np.round(start)
    leak = np.linspace(0.1, 1, size)
    drawn = sample(
        model, dynamics=dynamics, steps=STEPS, replicas=replicas, seed=SEED, start=start, cost=COST, nudging=NUDGING,
        leak=leak, copies=copies,
    )  # fmt: skip
    force, field, spikes = (slope, offset, NUDGING, model.temperature), np.empty(size), np.empty(size)
    for replica, state in enumerate(start.copy()):
        for now in range(STEPS):
            noise = noise_of(now, replica, copies * size)
            if dynamics == "little":
                little.step(state, model.couplings, model.bias, *force, noise, field)
            else:
                leaky.step(state, spikes, model.couplings, model.bias, *force, leak, noise, field)
        np.testing.assert_allclose(drawn.states[replica], state, rtol=0, atol=1e-15)
        if drawn.spikes is not None and dynamics == "leaky":
            np.testing.assert_array_equal(drawn.spikes[replica], spikes)


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (3, 16), (16, 17), (11, 40)])
def test_local_fields_are_bias_and_couplings_times_states(rows, size):
    model, states = net(size), np.random.default_rng(0).uniform(size=(rows, size))
    packed = packed_couplings(model.couplings)
    fields = lines(rows, len(packed) // size * 16)
    assert fields.ctypes.data % 64 == 0
    fields[:] = np.nan
    local_fields(states, packed, model.bias, np.arange(rows), fields)
    np.testing.assert_allclose(fields[:, :size], model.local_field(states), rtol=0, atol=1e-13)
    assert not fields[:, size:].any()


def test_thresholds_are_those_of_the_units_uniforms():
    expected = np.array([noise_of(2, replica, 8) for replica in range(3, 12)])
    expected = 0.7 * np.log(expected / (1 - expected))
    thresholds = np.empty(8)
    for replica in range(9):
        unit_thresholds(SEED, STREAM_FREE, 2, 3 + replica, 0.7, np.empty(8, np.uint32), thresholds)
        np.testing.assert_allclose(thresholds, expected[replica], rtol=1e-12)
    by_unit = np.empty((4, 9), np.uint32)
    for group in range(2):
        replica_words(SEED, STREAM_FREE, 2, group, 3, by_unit)
        for replica, of_replica in enumerate(by_unit.T):
            assert tuple(of_replica) == words(SEED, STREAM_FREE, 2, group, 3 + replica)
