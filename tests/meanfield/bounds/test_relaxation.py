"""The bound on a finite nudging along the relaxation follows its recursion, and its constants cannot be lowered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield import Model, QuadraticCost, bounds, fixed_point
from meanfield.bounds.relaxation import derivative_bounds
from meanfield.equations import firing_probability

pytestmark = pytest.mark.exact

PEAK = math.log(2 + math.sqrt(3))
COST = QuadraticCost([0, 1], [0.9, 0.2])


def ends(model, start, steps, leak, cost, cost_on, nudging):
    """The nudged states after every step, in NumPy."""
    slope, offset = cost.force(model.size, cost_on)
    path = [start]
    for step in range(steps):
        rate = np.atleast_2d(leak)[step % len(np.atleast_2d(leak))]
        field = model.local_field(path[-1]) - nudging * (slope * path[-1] + offset)
        path.append((1 - rate) * path[-1] + rate * firing_probability(field, model.temperature))
    return np.array(path)


def test_a_free_unit_has_the_bound_of_one_taylor_step():
    cost = QuadraticCost([0], [1.0])
    for temperature in (1.0, 4.0):
        model = Model([[0.0]], [PEAK * temperature], temperature)
        for leak in (1.0, 0.25):
            tiny = 1e-9 * temperature
            both = [
                bounds.relaxation_error(
                    model, cost, nudging=tiny, steps=1, leak=leak, estimator=name, cost_on="spikes"
                ).bias[0]
                for name in ("one-sided", "symmetric")
            ]
            curvature = 1 / (6 * math.sqrt(3))
            probability = firing_probability(PEAK, 1.0)
            third = abs(probability * (1 - probability) * (1 - 6 * probability + 6 * probability**2))
            assert np.isclose(both[0], tiny / 2 * leak * curvature / 4 / temperature**2, rtol=1e-6)
            assert np.isclose(both[1], tiny**2 / 6 * leak * third / 8 / temperature**3, rtol=1e-6)


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@given(
    size=st.integers(2, 5), gain=st.floats(0, 0.9), strength=st.floats(0.05, 1.0), steps=st.integers(1, 6),
    seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_the_derivatives_along_the_path_are_below_their_bounds(network, cost_on, size, gain, strength, steps, seed):
    model = network(size, gain, 0.0, seed, norm="spectral")
    mean = fixed_point(model, method="newton").value
    leak = np.random.default_rng(seed).uniform(0.1, 1.0, size)
    stated = list(derivative_bounds(model, COST, mean, strength, steps, leak, cost_on))
    assert len(stated) == steps
    h = 0.01 * strength
    for centre in np.linspace(-0.97, 0.97, 5) * strength:
        below, at, above = (ends(model, mean, steps, leak, COST, cost_on, centre + shift) for shift in (-h, 0.0, h))
        for step in range(steps):
            first, second, _ = stated[step]
            # differences over an interval are averages of the derivative over it
            assert (np.abs(above - below)[step + 1] / (2 * h) <= first + 1e-12).all()
            assert (np.abs(above - 2 * at + below)[step + 1] / h**2 <= second + 1e-14 / h**2).all()


def test_the_recursion_of_one_step_after_another():
    """By hand for two units, the cost of rates and a schedule of two rows."""
    model = Model([[0.0, 0.8], [0.8, 0.0]], [0.1, -0.6])
    mean = fixed_point(model, method="newton").value
    leak = np.array([[0.5, 0.0], [0.3, 1.0]])
    cost, strength = QuadraticCost([1], [0.7]), 0.4
    stated = list(derivative_bounds(model, cost, mean, strength, 2, leak, "rates"))
    force = abs(mean[1] - 0.7)
    x = model.local_field(mean)

    def largest(low, high):
        grid = firing_probability(np.linspace(low, high, 20001), 1.0)
        v, s = grid * (1 - grid), 1 - 2 * grid
        return v.max(), np.abs(v * s).max(), np.abs(v * (1 - 6 * v)).max()

    assert np.array_equal(stated[0], np.zeros((3, 2)))
    field = min(0.7, force)
    steep, curved, skewed = largest(x[1] - strength * field, x[1] + strength * field)
    np.testing.assert_allclose(
        np.array(stated[1])[:, 1], [steep * field, curved * field**2, skewed * field**3], rtol=1e-6
    )
    # unit 0 has felt nothing yet: unit 1 waited in the first step
    assert not np.array(stated[1])[:, 0].any()
    third = list(derivative_bounds(model, cost, mean, strength, 3, leak, "rates"))[2]
    first, second, cubic = stated[1]
    push = 0.8 * first[1]
    steep, curved, skewed = largest(x[0] - strength * push, x[0] + strength * push)
    bend, twist = 0.8 * second[1], 0.8 * cubic[1]
    expected = [
        0.5 * steep * push,
        0.5 * (curved * push**2 + steep * bend),
        0.5 * (skewed * push**3 + 3 * curved * push * bend + steep * twist),
    ]
    np.testing.assert_allclose(np.array(third)[:, 0], expected, rtol=1e-6)
    fourth = list(derivative_bounds(model, cost, mean, strength, 4, leak, "rates"))[3]
    first, second, cubic = third
    push = 0.8 * first[0] + strength * first[1] + min(0.7, force + strength * first[1])
    bend = 0.8 * second[0] + strength * second[1] + 2 * first[1]
    twist = 0.8 * cubic[0] + strength * cubic[1] + 3 * second[1]
    steep, curved, skewed = largest(x[1] - strength * push, x[1] + strength * push)
    expected = [
        steep * push,
        curved * push**2 + steep * bend,
        skewed * push**3 + 3 * curved * push * bend + steep * twist,
    ]
    np.testing.assert_allclose(np.array(fourth)[:, 1], expected, rtol=1e-6)


@pytest.mark.parametrize("strength", [0.3, 30.0])
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric"])
def test_the_pair_bound_combines_the_derivatives_by_leibniz(network, estimator, strength):
    model = network(3, 0.6, 0.0, 5)
    mean = fixed_point(model, method="newton").value
    stated = bounds.relaxation_error(model, COST, nudging=-strength, steps=3, leak=0.5, estimator=estimator)
    U, W, Q = list(derivative_bounds(model, COST, mean, strength, 3, 0.5, "rates"))[-1]
    # a strong nudge would push some unit beyond 1
    assert (strength > 1) == ((mean + strength * U) > 1).any()
    top = np.minimum(1.0, mean + strength * U)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        if estimator == "one-sided":
            pair, unit = strength / 2 * (W[i] * top[j] + 2 * U[i] * U[j] + top[i] * W[j]), strength / 2 * W
        else:
            pair = Q[i] * top[j] + 3 * W[i] * U[j] + 3 * U[i] * W[j] + top[i] * Q[j]
            pair, unit = strength**2 / 6 * pair, strength**2 / 6 * Q
        assert np.isclose(stated.couplings[i, j], pair, rtol=1e-12)
        np.testing.assert_allclose(stated.bias, unit, rtol=1e-12)
    assert not np.diagonal(stated.couplings).any()


def test_orders_in_the_nudging_are_one_and_two(network):
    model = network(4, 0.5, 0.0, 2)
    for estimator, order in (("one-sided", 1), ("symmetric", 2)):
        coarse, fine = (
            bounds.relaxation_error(model, COST, nudging=nudging, steps=5, estimator=estimator).couplings[0, 1]
            for nudging in (2e-4, 1e-4)
        )
        assert np.isclose(coarse / fine, 2**order, rtol=1e-3)


def test_the_bound_is_uniform_in_the_steps_of_a_contraction(network):
    model = network(4, 0.5, 0.0, 2)
    many, more = (bounds.relaxation_error(model, COST, nudging=0.1, steps=steps).bias for steps in (300, 600))
    np.testing.assert_allclose(many, more, rtol=1e-9)


def test_energies_in_another_unit_change_the_bound_by_that_unit(rescaled):
    model, larger = rescaled(3, 4)
    one = bounds.relaxation_error(model, COST, nudging=0.2, steps=4, leak=0.7)
    other = bounds.relaxation_error(larger, COST, nudging=0.2 * 8, steps=4, leak=0.7)
    np.testing.assert_allclose(other.couplings, one.couplings / 8, rtol=1e-9)
    np.testing.assert_allclose(other.bias, one.bias / 8, rtol=1e-9)


def test_no_steps_have_no_error_and_a_start_chooses_the_fixed_point():
    assert not bounds.relaxation_error(Model([[0.0]], [0.3]), COST_ONE, nudging=0.1, steps=0).bias.any()
    bistable = Model([[0.0, 12.0], [12.0, 0.0]], [-6.5, -6.5])
    low, high = (
        bounds.relaxation_error(bistable, COST, nudging=0.1, steps=2, start=np.full(2, corner)).bias[0]
        for corner in (0.0, 1.0)
    )
    assert not np.isclose(low, high, rtol=0.1)


COST_ONE = QuadraticCost([0], [0.4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": "holomorphic"}, "estimator must be one of one-sided, symmetric, got 'holomorphic'"),
        ({"nudging": math.nan}, "nudging must be finite, got nan"),
        ({"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        ({"leak": 0.0}, r"leak must lie in \(0, 1\], got 0.0"),
    ],
)
def test_bad_input_is_refused_with_its_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        bounds.relaxation_error(Model([[0.0]], [0.3]), COST_ONE, **{"nudging": 0.1, "steps": 2, **arguments})
