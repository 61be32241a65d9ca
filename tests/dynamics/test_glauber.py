"""Heat bath of many replicas side by side is the plain step of each, and no spike depends on float32."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics import glauber, sample
from dynamics.panels import rough_lines
from dynamics.philox import STREAM_FREE, site, to_unit, words
from dynamics.tiles import multiply_add
from meanfield import Model
from tests.dynamics.chains import COST, NUDGING, SEED, STEPS, net, noise_of

pytestmark = pytest.mark.exact


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


@pytest.mark.parametrize("replicas", [1, 16, 17, 69])
@pytest.mark.parametrize("size", [7, 16, 41])
@pytest.mark.parametrize("scan", ["systematic", "random"])
def test_heat_bath_of_many_replicas_is_the_plain_step_of_each(scan, size, replicas):
    model = net(size)
    start = (np.random.default_rng(1).uniform(size=(replicas, size)) < 0.5).astype(float)
    drawn = sample(model, scan=scan, steps=STEPS, replicas=replicas, seed=SEED, start=start, cost=COST, nudging=NUDGING)
    for replica, state in enumerate(start.copy()):
        plain_glauber(model, state, replica, scan == "systematic")
        np.testing.assert_array_equal(drawn.states[replica], state)


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
