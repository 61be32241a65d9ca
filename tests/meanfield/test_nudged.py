"""The series of the nudged fixed point sums to it, and its derivatives are those of implicit differentiation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield import Model, QuadraticCost, bounds, fixed_point, implicit_gradient
from meanfield.equations import onsager_pair_statistic, pair_statistic
from meanfield.nudged import nudged_series, statistic_derivative

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 6), st.integers(0, 2**31 - 1)
GAINS = st.floats(0, 0.4)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
READINGS = pytest.mark.parametrize("cost_on", ["rates", "spikes"])
CORRECTIONS = pytest.mark.parametrize("correction", ["none", "onsager"])
COST = QuadraticCost([0], [0.9])
BISTABLE = Model([[0, 8.0], [8.0, 0]], [-4.0, -4.0])


def horner(coefficients: np.ndarray, x: float) -> np.ndarray:
    value = np.zeros_like(coefficients[0])
    for coefficient in coefficients[::-1]:
        value = value * x + coefficient
    return value


@READINGS
@CORRECTIONS
@given(size=SIZES, gain=GAINS, share=st.floats(-0.3, 0.3), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_series_sums_to_the_nudged_fixed_point(network, correction, cost_on, size, gain, share, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    reading = {"correction": correction, "cost_on": cost_on}
    series = nudged_series(model, COST, order=40, **reading)
    nudging = share * bounds.local_holomorphy_radius(model, COST, cost_on)
    mean = fixed_point(model, cost=COST, nudging=nudging, method="newton", **reading).value
    np.testing.assert_allclose(horner(series.activity, nudging / series.unit), mean, rtol=0, atol=1e-9)
    if correction == "onsager":
        pairs = onsager_pair_statistic(mean[:, None], mean, model.couplings, model.temperature)
    else:
        pairs = pair_statistic(mean[:, None], mean)
    np.fill_diagonal(pairs, 0.0)
    np.testing.assert_allclose(horner(series.couplings, nudging / series.unit), -pairs, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(series.bias, -series.activity)


@READINGS
@CORRECTIONS
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_first_coefficient_is_the_gradient(network, correction, cost_on, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    first = nudged_series(model, COST, order=1, correction=correction, cost_on=cost_on).coefficient(1)
    for found, exact in zip(first, implicit_gradient(model, COST, cost_on, correction=correction), strict=True):
        np.testing.assert_allclose(model.temperature * found, model.temperature * exact, rtol=0, atol=1e-13)


@READINGS
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_derivatives_by_implicit_differentiation_are_the_coefficients(
    network, cost_on, size, gain, log_temperature, seed
):
    model = network(size, gain, log_temperature, seed)
    series = nudged_series(model, COST, order=3, cost_on=cost_on)
    for order in (1, 2, 3):
        scale = model.temperature**order
        derivative = statistic_derivative(model, COST, order=order, cost_on=cost_on)
        for found, coefficient in zip(derivative, series.coefficient(order), strict=True):
            np.testing.assert_allclose(
                scale * found, scale * math.factorial(order) * coefficient, rtol=1e-10, atol=1e-13
            )
        assert not np.diagonal(derivative.couplings).any()


@given(power=st.integers(-3, 3), seed=SEEDS)
def test_coefficients_do_not_depend_on_the_unit(network, power, seed):
    model = network(4, 0.4, 0.3, seed)
    one, other = (nudged_series(model, COST, order=6, unit=unit) for unit in (None, 2.0**power))
    assert (one.unit, other.unit) == (model.temperature, 2.0**power)
    np.testing.assert_array_equal(one.activity[0], other.activity[0])
    for order in range(7):
        for found, same in zip(one.coefficient(order), other.coefficient(order), strict=True):
            np.testing.assert_allclose(found, same, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_series_is_about_the_fixed_point_that_the_start_chooses(start):
    begin = [start, start]
    series = nudged_series(BISTABLE, COST, order=3, start=begin)
    np.testing.assert_allclose(series.activity[0], fixed_point(BISTABLE, start=begin).value, atol=1e-10)
    third = statistic_derivative(BISTABLE, COST, order=3, start=begin)
    np.testing.assert_allclose(third.couplings, 6 * series.coefficient(3).couplings, rtol=1e-8)


def test_order_zero_is_the_free_point():
    series = nudged_series(Model([[0, 1.0], [1.0, 0]], [0.3, -0.2]), COST, order=0)
    assert series.activity.shape == (1, 2)
    assert series.couplings.shape == (1, 2, 2)


@pytest.mark.parametrize("order", [-1, 1.5, True])
def test_bad_order_of_the_series_is_refused(order):
    with pytest.raises(ValueError, match=f"order must be a whole number of at least 0, got {order}"):
        nudged_series(BISTABLE, COST, order=order, start=[0.0, 0.0])


@pytest.mark.parametrize("unit", [0.0, -1.0, math.nan])
def test_bad_unit_is_refused(unit):
    with pytest.raises(ValueError, match=f"unit must be positive and finite, got {unit}"):
        nudged_series(BISTABLE, COST, order=1, unit=unit, start=[0.0, 0.0])


def test_derivatives_above_the_third_or_below_the_first_are_refused():
    with pytest.raises(ValueError, match="order must be 1, 2 or 3, got 4: nudged_series gives the higher ones"):
        statistic_derivative(BISTABLE, COST, order=4)
    with pytest.raises(ValueError, match="order must be a whole number of at least 1, got 0"):
        statistic_derivative(BISTABLE, COST, order=0)
