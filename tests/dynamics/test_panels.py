"""Replicas side by side are the plain step of each, whatever the sizes; thresholds are what a uniform is compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynamics import glauber, leaky, little, sample
from dynamics.crnn.tiles import multiply_add
from dynamics.logit import logit, rough_logit
from dynamics.panels import lines, local_fields, packed_couplings, replica_words, rough_lines, unit_thresholds
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
    by_unit = np.empty((4, 9), np.uint32)
    for group in range(2):
        replica_words(SEED, STREAM_FREE, 2, group, 3, by_unit)
        for replica, of_replica in enumerate(by_unit.T):
            assert tuple(of_replica) == words(SEED, STREAM_FREE, 2, group, 3 + replica)


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
    rough = np.array([rough_logit(cell) for cell in cells.astype(np.uint32)])
    error = np.abs(rough - exact)
    assert error.max() < 2.1e-6
    # the part of a window that is for thresholds, a temperature's rounding and a product's included
    assert (error + 2 * 2.0**-24 * np.abs(exact)).max() < 2.0**-17


@pytest.mark.parametrize("size", [5, 40, 300])
def test_float32_fields_err_by_less_than_their_windows(size):
    model, lanes = net(size), 32
    strong, slope, offset = np.array([-2.0, 0.5]), np.linspace(-1, 1, size), np.linspace(2, -2, size)
    hottest = 1.7
    couplings, bias, rough_slope, rough_offset, windows = glauber.rough_network(
        model.couplings, model.bias, slope, offset, strong, np.array([0.3, hottest])
    )
    for given, rounded in (
        (model.couplings, couplings),
        (model.bias, bias),
        (slope, rough_slope),
        (offset, rough_offset),
    ):
        np.testing.assert_array_equal(rounded, (given / hottest).astype(np.float32))
    states = rough_lines(size, lanes)
    states[:] = np.random.default_rng(0).uniform(size=(size, lanes)) < 0.5
    fields = rough_lines(8, lanes)
    worst = np.zeros(size)
    for first in range(0, size, 8):
        count = min(8, size - first)
        fields[:] = 0.0
        multiply_add(
            fields.ravel(), 0, np.arange(8), lanes, couplings.ravel(), first * size, np.arange(8), size, count,
            states.ravel(), 0, lanes, 1, 0, 0, size, 1, lanes,
        )  # fmt: skip
        exact = model.couplings[first : first + count] @ states.astype(float) / hottest
        worst[first : first + count] = np.abs(fields[:count] - exact).max(axis=1)
    assert (worst < windows - 2.0**-17).all()
    assert (worst > (windows - 2.0**-17) / 1000).any()
    # |b| and |force|, sixteen times each
    bare = glauber.rough_network(
        np.zeros((1, 1)), np.array([-3.0]), np.array([0.5]), np.array([-1.0]), strong, np.ones(1)
    )[4]
    assert bare[0] == pytest.approx(1.01 * 2.0**-24 * 16 * (3 + 2 * 1.5) + 2.0**-17, rel=1e-6)


def sweeps(model: Model, windows: float | None, temperatures: np.ndarray) -> np.ndarray:
    """States after 20 sweeps in order, with the windows of rough_network or others."""
    nothing, nudgings = np.zeros(model.size), np.zeros(len(temperatures))
    *rounded, own = glauber.rough_network(model.couplings, model.bias, nothing, nothing, nudgings, temperatures)
    own = own if windows is None else np.full_like(own, windows)
    states = np.zeros((len(temperatures), model.size))
    glauber.sweep_in_order(
        states, model.couplings, model.bias, nothing, nothing, (*rounded, own), nudgings, temperatures, temperatures.max(),
        SEED, STREAM_FREE, 0, 20, 0,
    )  # fmt: skip
    return states


def test_no_spike_depends_on_float32():
    """Windows that leave everything to float64 give the same states; windows too narrow do not, where float32 is far off."""
    temperatures = np.linspace(0.2, 1.0, 32)
    model = net(120)
    np.testing.assert_array_equal(sweeps(model, None, temperatures), sweeps(model, np.inf, temperatures))
    # fields that nearly cancel: float32 sees only the large halves
    large = np.zeros((41, 41))
    large[0, 1:21], large[0, 21:] = 3e8 + 1 / 3, -3e8
    balanced = Model(large + large.T, np.concatenate([[0.0], np.full(40, 1e12)]))
    own, exact, rough = (sweeps(balanced, windows, np.ones(32)) for windows in (None, np.inf, 0.0))
    np.testing.assert_array_equal(own, exact)
    assert (rough != exact).any()


def test_couplings_beyond_float32_are_left_to_float64():
    couplings = np.zeros((3, 3))
    couplings[0, 1] = couplings[1, 0] = 1e300
    couplings[0, 2] = couplings[2, 0] = -1e300
    drawn = sample(Model(couplings, [0.0, 1e301, 1e301]), scan="systematic", steps=3, replicas=40, seed=SEED)
    assert (drawn.states[:, 1:] == 1).all()
    np.testing.assert_array_equal(drawn.states[:, 0], [noise_of(2, replica, 3)[0] < 0.5 for replica in range(40)])
