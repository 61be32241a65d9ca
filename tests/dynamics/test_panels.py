"""Replicas side by side are the plain step of each, whatever the sizes; thresholds are what a uniform is compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynamics import glauber, leaky, little, sample
from dynamics.logit import logit
from dynamics.panels import lines, local_fields, packed_couplings, replica_thresholds, unit_thresholds
from dynamics.philox import STREAM_FREE, site, to_unit, uniforms, words
from meanfield import Model, QuadraticCost

pytestmark = pytest.mark.exact

SEED, STEPS = 5 + (3 << 32), 3
COST, NUDGING = QuadraticCost([0], [0.9]), 0.8


def net(size: int) -> Model:
    generator = np.random.default_rng(size)
    weights = np.triu(generator.normal(size=(size, size)) / math.sqrt(size), 1)
    return Model(weights + weights.T, generator.normal(size=size), 0.7)


def noise_of(step: int, replica: int, count: int) -> np.ndarray:
    out = np.empty(count)
    uniforms(SEED, STREAM_FREE, step, replica, out)
    return out


def plain_glauber(model: Model, state: np.ndarray, replica: int, systematic: bool) -> None:
    offset = COST.force(model.size, "spikes")[1]
    for now in range(STEPS):
        field, noise = model.local_field(state), noise_of(now, replica, model.size)
        for update in range(model.size):
            unit, uniform = update, noise[update]
            if not systematic:
                drawn = words(SEED, STREAM_FREE, now, update // 2, replica)[2 * (update % 2) :]
                unit, uniform = int(site(drawn[0], model.size)), to_unit(drawn[1])
            glauber.step(state, field, model.couplings, unit, -NUDGING * offset[unit], model.temperature, uniform)


@pytest.mark.parametrize("replicas", [1, 8, 9, 37])
@pytest.mark.parametrize("size", [7, 16, 41])
@pytest.mark.parametrize("scan", ["systematic", "random"])
def test_heat_bath_of_many_replicas_is_the_plain_step_of_each(scan, size, replicas):
    model = net(size)
    start = (np.random.default_rng(1).uniform(size=(replicas, size)) < 0.5).astype(float)
    drawn = sample(model, scan=scan, steps=STEPS, replicas=replicas, seed=SEED, start=start, cost=COST, nudging=NUDGING)
    for replica, state in enumerate(start.copy()):
        plain_glauber(model, state, replica, scan == "systematic")
        np.testing.assert_array_equal(drawn.states[replica], state)


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
    by_unit, temperatures = np.empty((4, 9)), np.linspace(0.5, 2.0, 9)
    expected *= temperatures[:, None] / 0.7
    for group in range(2):
        replica_thresholds(SEED, STREAM_FREE, 2, group, 3, temperatures, np.empty((4, 9), np.uint32), by_unit)
        np.testing.assert_allclose(by_unit, expected[:, 4 * group : 4 * group + 4].T, rtol=1e-12)


def test_logit_is_right_to_the_last_places():
    generator = np.random.default_rng(0)
    middle, last = 1 << 31, (1 << 32) - 1
    cells = np.concatenate(
        [
            np.arange(1000),
            np.arange(middle - 1000, middle + 1000),
            np.arange(last - 1000, last + 1),
            generator.integers(0, last, 20_000),
            (2.0**32 * generator.uniform(size=20_000) ** 8).astype(int),
        ]
    )
    uniform = (cells + 0.5) / 2**32
    precise = uniform.astype(np.longdouble)
    exact = np.where(abs(precise - 0.5) < 0.1, 2 * np.arctanh(2 * precise - 1), np.log(precise / (1 - precise)))
    found = np.array([logit(u) for u in uniform])
    assert np.abs(found / exact - 1).max() < 4e-16
