"""A network and a cost are checked once, at the door, and the three readings of the cost never mix."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.enumeration import all_states, product_law
from meanfield import Model, QuadraticCost
from meanfield.model import leak_cycle, leak_vector

pytestmark = pytest.mark.exact

NAN, INF = math.nan, math.inf
PAIR = [[0.0, 1.0], [1.0, 0.0]]
SIZES, SEEDS = st.integers(1, 8), st.integers(0, 2**31 - 1)


def random_cost(size: int, seed: int) -> QuadraticCost:
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, size + 1))
    return QuadraticCost(generator.permutation(size)[:count], generator.uniform(size=count))


@pytest.mark.parametrize(
    ("couplings", "bias", "temperature", "said"),
    [
        ([[0.0, NAN], [NAN, 0.0]], [0, 0], 1.0, r"couplings must be finite, got nan at \[0, 1\]"),
        ([[0.0, 1.0], [1.0, NAN]], [0, 0], 1.0, r"couplings must be finite, got nan at \[1, 1\]"),
        ([[0.0, INF], [INF, 0.0]], [0, 0], 1.0, "couplings must be finite, got inf"),
        ([[0.0, -INF], [-INF, 0.0]], [0, 0], 1.0, "couplings must be finite, got -inf"),
        (PAIR, [0, NAN], 1.0, r"bias must be finite, got nan at \[1\]"),
        (PAIR, [-INF, 0], 1.0, r"bias must be finite, got -inf at \[0\]"),
        ([[0.0, 1.0], [1.5, 0.0]], [0, 0], 1.0, r"symmetric, got J\[0,1\] = 1.0 but J\[1,0\] = 1.5"),
        ([[0.0, 1.0], [np.nextafter(1.0, 2), 0.0]], [0, 0], 1.0, "symmetric, got J"),
        ([[0.0, 1.0], [1.0, -0.25]], [0, 0], 1.0, r"zero diagonal, got J\[1,1\] = -0.25"),
        ([[0.0, 1.0]], [0], 1.0, r"square .* got shape \(1, 2\)"),
        ([0.0, 1.0], [0, 0], 1.0, r"2 dimension\(s\), got shape \(2,\)"),
        ([[[0.0]]], [0], 1.0, r"got shape \(1, 1, 1\)"),
        (np.zeros((0, 0)), [], 1.0, r"at least one unit, got shape \(0, 0\)"),
        (PAIR, [0, 0, 0], 1.0, r"bias must have shape \(2,\).*got \(3,\)"),
        (PAIR, [[0, 0]], 1.0, r"bias must have 1 dimension\(s\), got shape \(1, 2\)"),
        (PAIR, 0.0, 1.0, r"bias must have 1 dimension\(s\), got shape \(\)"),
        ([["a", "b"], ["b", "a"]], [0, 0], 1.0, "couplings must be an array of real numbers"),
        ([[0.0, 1j], [1j, 0.0]], [0, 0], 1.0, "couplings must be an array of real numbers"),
        ([[0.0], [1.0, 0.0]], [0, 0], 1.0, "couplings must be an array of real numbers"),
        (PAIR, [0, 0], 0.0, "temperature must be positive and finite, got 0.0"),
        (PAIR, [0, 0], -0.0, "temperature must be positive and finite, got -0.0"),
        (PAIR, [0, 0], -1.0, "temperature must be positive and finite, got -1.0"),
        (PAIR, [0, 0], INF, "temperature must be positive and finite, got inf"),
        (PAIR, [0, 0], -INF, "temperature must be positive and finite, got -inf"),
        (PAIR, [0, 0], NAN, "temperature must be positive and finite, got nan"),
        (PAIR, [0, 0], "warm", "temperature must be a number, got 'warm'"),
        (PAIR, [0, 0], None, "temperature must be a number, got None"),
        (PAIR, [0, 0], 1 + 1j, "temperature must be a number"),
    ],
)
def test_bad_model_is_refused_with_the_value(couplings, bias, temperature, said):
    with pytest.raises(ValueError, match=said):
        Model(couplings, bias, temperature)


def test_complex_couplings_are_never_truncated_to_their_real_part():
    with pytest.raises(ValueError, match="couplings must be an array of real numbers"):
        Model(np.array([[0.0, 1j], [1j, 0.0]]), [0.0, 0.0])


@pytest.mark.parametrize(
    ("outputs", "target", "said"),
    [
        ([-1], [0.5], "non-negative unit indices, got -1"),
        ([0, 0], [0.5, 0.5], r"distinct, got \[0, 0\]"),
        ([0.0], [0.5], r"unit indices, got \[0.0\]"),
        ([0.5], [0.5], r"unit indices, got \[0.5\]"),
        ([NAN], [0.5], r"unit indices, got \[nan\]"),
        ([True, False], [0.5, 0.5], r"unit indices, got \[True, False\]"),
        (["a"], [0.5], r"unit indices, got \['a'\]"),
        ([], [], "non-empty"),
        (0, [0.5], "unit indices, got 0"),
        ([[0]], [0.5], r"unit indices, got \[\[0\]\]"),
        ([0], [1.5], r"target must lie in \[0, 1\], got 1.5"),
        ([0], [-1e-9], r"target must lie in \[0, 1\], got -1e-09"),
        ([0, 1], [0.5, NAN], "target must be finite, got nan"),
        ([0], [INF], "target must be finite, got inf"),
        ([0, 1], [0.5], r"one value per output, 2, got shape \(1,\)"),
        ([0], 0.5, r"target must have 1 dimension\(s\)"),
    ],
)
def test_bad_cost_is_refused_with_the_value(outputs, target, said):
    with pytest.raises(ValueError, match=said):
        QuadraticCost(outputs, target)


@pytest.mark.parametrize("reading", ["on_rates", "on_spikes", "on_mean_spikes"])
def test_output_beyond_the_network_is_refused_with_the_unit(reading):
    cost = QuadraticCost([3], [0.5])
    with pytest.raises(ValueError, match=r"outputs name unit 3, but the network has 3 units: 0 to 2$"):
        getattr(cost, reading)(np.zeros(3))
    with pytest.raises(ValueError, match="outputs name unit 3"):
        cost.force(3, "rates")


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, NAN])
def test_rates_are_no_spikes(value):
    with pytest.raises(ValueError, match=f"spikes must be 0 or 1, got {value}"):
        QuadraticCost([0], [0.5]).on_spikes(np.array([value, 1.0]))


def test_cost_is_on_rates_or_on_spikes():
    with pytest.raises(ValueError, match="cost_on must be 'rates' or 'spikes', got 'votes'"):
        QuadraticCost([0], [0.5]).force(2, "votes")


def test_arrays_are_copies_and_read_only():
    couplings, bias, outputs, target = np.array(PAIR), np.zeros(2), np.array([0, 1]), np.array([0.25, 0.75])
    model, cost = Model(couplings, bias), QuadraticCost(outputs, target)
    for given_, kept in (
        (couplings, model.couplings),
        (bias, model.bias),
        (outputs, cost.outputs),
        (target, cost.target),
    ):
        before = kept.copy()
        given_.flat[-1] = 7
        assert np.array_equal(kept, before)
        with pytest.raises(ValueError, match="read-only"):
            kept.flat[0] = 1
    with pytest.raises(AttributeError):
        model.temperature = 2.0
    with pytest.raises(AttributeError):
        cost.target = target


def test_integers_become_floats_and_one_unit_is_a_network():
    model = Model([[0]], [1], 2)
    assert model.couplings.dtype == model.bias.dtype == np.float64
    assert (model.size, model.gain, model.absolute_gain, model.row_gain) == (1, 0.0, 0.0, 0.0)


@given(size=SIZES, gain=st.floats(0, 3), log_temperature=st.floats(-6.9, 6.9), seed=SEEDS)
def test_energy_is_the_sum_over_pairs_and_the_field_its_flip_difference(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    states = all_states(size)
    pairs = sum(model.couplings[i, j] * states[:, i] * states[:, j] for i in range(size) for j in range(i))
    scale = 1e-12 * (np.abs(model.couplings).sum() + np.abs(model.bias).sum())
    np.testing.assert_allclose(model.energy(states), -pairs - states @ model.bias, rtol=0, atol=scale)
    for i in range(size):
        on, off = states.copy(), states.copy()
        on[:, i], off[:, i] = 1, 0
        np.testing.assert_allclose(
            model.local_field(states)[:, i], model.energy(off) - model.energy(on), rtol=0, atol=scale
        )


@given(size=SIZES, gain=st.floats(0.01, 3), seed=SEEDS)
def test_the_three_gains_are_ordered(network, size, gain, seed):
    model = network(size, gain, 0.0, seed)
    assert model.gain <= model.absolute_gain * (1 + 1e-12)
    assert model.absolute_gain <= model.row_gain * (1 + 1e-12)
    assert np.isclose(model.gain, np.linalg.norm(model.couplings, 2) / 4)
    assert np.allclose(model.influence, np.tanh(np.abs(model.couplings) / 4))


@given(size=SIZES, seed=SEEDS)
def test_all_readings_of_the_cost_agree_on_spikes(size, seed):
    cost, spikes = random_cost(size, seed), all_states(size)
    np.testing.assert_allclose(cost.on_rates(spikes), cost.on_spikes(spikes), atol=1e-14)
    np.testing.assert_allclose(cost.on_mean_spikes(spikes), cost.on_spikes(spikes), atol=1e-14)


@given(size=SIZES, seed=SEEDS)
def test_mean_spikes_is_the_expected_cost_and_exceeds_rates_by_half_the_variance(size, seed):
    cost, rates = random_cost(size, seed), np.random.default_rng(seed).uniform(size=size)
    expected = product_law(rates) @ cost.on_spikes(all_states(size))
    variance = (rates * (1 - rates))[cost.outputs].sum()
    assert np.isclose(cost.on_mean_spikes(rates), expected, atol=1e-13)
    assert np.isclose(cost.on_mean_spikes(rates) - cost.on_rates(rates), 0.5 * variance, atol=1e-13)


@pytest.mark.parametrize("reading", ["on_rates", "on_spikes", "on_mean_spikes"])
@pytest.mark.parametrize("batch", [(), (4,), (3, 2), (0,)])
def test_cost_of_a_batch_has_the_batch_shape(reading, batch):
    cost, states = QuadraticCost([2, 0], [0.3, 0.6]), np.random.default_rng(0).integers(0, 2, size=(*batch, 3))
    values = getattr(cost, reading)(states)
    assert np.shape(values) == batch
    for index in np.ndindex(batch):
        assert values[index] == getattr(cost, reading)(states[index])


@given(size=SIZES, seed=SEEDS)
@pytest.mark.parametrize(("cost_on", "reading"), [("rates", "on_rates"), ("spikes", "on_mean_spikes")])
def test_force_is_the_derivative_of_its_reading(cost_on, reading, size, seed):
    cost, rates = random_cost(size, seed), np.random.default_rng(seed).uniform(size=size)
    slope, offset = cost.force(size, cost_on)
    moves = 1e-4 * np.eye(size)
    # a central difference is exact for a quadratic
    numeric = (getattr(cost, reading)(rates + moves) - getattr(cost, reading)(rates - moves)) / 2e-4
    np.testing.assert_allclose(slope * rates + offset, numeric, atol=1e-10)


def test_leaks_are_a_fresh_vector_whatever_was_given():
    given = np.array([0.2, 1.0])
    assert leak_vector(0.3, 3).tolist() == [0.3, 0.3, 0.3]
    assert leak_vector(given, 2).tolist() == [0.2, 1.0]
    assert leak_vector(1.5, 2, 2.0).tolist() == [1.5, 1.5]
    leak_vector(given, 2)[0] = 0.9
    leak_vector(0.3, 3)[0] = 0.9
    assert given[0] == 0.2


@pytest.mark.parametrize(
    ("leak", "largest", "said"),
    [
        ([0.1, 0.2], 1.0, r"leak must be a number or have shape \(3,\), got shape \(2,\)"),
        (0.0, 1.0, r"leak must lie in \(0, 1\], got 0.0"),
        ([0.5, 1.1, 2.0], 1.0, r"leak must lie in \(0, 1\], got 1.1"),
        (2.1, 2.0, r"leak must lie in \(0, 2\], got 2.1"),
        (math.nan, 1.0, r"leak must lie in \(0, 1\], got nan"),
    ],
)
def test_a_leak_outside_its_range_is_refused_with_the_value(leak, largest, said):
    with pytest.raises(ValueError, match=said):
        leak_vector(leak, 3, largest)


def test_a_cycle_of_leaks_has_one_row_or_as_many_as_given():
    assert np.array_equal(leak_cycle(0.3, 2), [[0.3, 0.3]])
    assert np.array_equal(leak_cycle([0.3, 1.0], 2), [[0.3, 1.0]])
    rows = np.array([[1.0, 0.0], [0.0, 0.4], [0.2, 0.2]])
    cycle = leak_cycle(rows, 2)
    assert np.array_equal(cycle, rows)
    cycle[0, 0] = 0.5
    assert rows[0, 0] == 1.0


@pytest.mark.parametrize(
    ("leak", "message"),
    [
        (0.0, r"leak must lie in \(0, 1\], got 0.0"),
        ([[0.5, 1.5]], r"leak must lie in \[0, 1\], got 1.5"),
        ([[-0.1, 1.0]], r"leak must lie in \[0, 1\], got -0.1"),
        ([[np.nan, 1.0]], r"leak must lie in \[0, 1\], got nan"),
        ([[0.5, 0.0], [0.5, 0.0]], "leak is 0 for unit 1 in every row: give it a positive leak in one of them"),
        (np.ones((2, 3)), r"leak must be a number or have shape \(2,\) or \(period, 2\), got shape \(2, 3\)"),
        (np.ones((0, 2)), r"got shape \(0, 2\)"),
        (np.ones((1, 1, 2)), r"got shape \(1, 1, 2\)"),
    ],
)
def test_a_cycle_that_moves_no_unit_or_too_far_is_refused(leak, message):
    with pytest.raises(ValueError, match=message):
        leak_cycle(leak, 2)
