"""Targets against minimisers, differences and nudged fixed points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from meanfield import Model, QuadraticCost, fixed_point, implicit_gradient
from proofs_numeric.comparators import target_propagation as tp

pytestmark = pytest.mark.exact

WEIGHTS, INPUTS = tp.random_layers(3, 4, 0.3, 12)
GENERATOR = np.random.default_rng(0)
WIDE = GENERATOR.normal(size=(2, 4))
ERROR = np.array([0.4, -0.7])
MODEL = Model([[0.0, 1.2, -0.5], [1.2, 0.0, 0.8], [-0.5, 0.8, 0.0]], [0.3, -0.9, 0.4], 0.9)
COST = QuadraticCost([2, 0], [0.9, 0.1])


def test_layer_jacobians_are_the_slopes_of_the_forward_pass():
    temperature, step = 0.7, 1e-6
    activities = tp.forward_pass(WEIGHTS, INPUTS, temperature)
    found = tp.product(tp.layer_jacobians(WEIGHTS, activities, temperature))
    ends = [
        [tp.forward_pass(WEIGHTS, INPUTS + sign * step * one, temperature)[-1] for one in np.eye(len(INPUTS))]
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(found, (np.array(ends[0]) - ends[1]).T / (2 * step), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("damping", [0.01, 1.0, 50.0])
def test_damped_target_minimises_the_damped_error(damping):
    def left(target):
        return 0.5 * np.sum((ERROR + WIDE @ target) ** 2) + 0.5 * damping * target @ target

    best = minimize(left, np.zeros(4), method="BFGS", tol=1e-12).x
    np.testing.assert_allclose(tp.damped_target(WIDE, ERROR, damping), best, atol=1e-6)


def test_undamped_target_is_the_shortest_that_cancels_the_error():
    target = tp.damped_target(WIDE, ERROR, 0.0)
    np.testing.assert_allclose(WIDE @ target, -ERROR)
    # no part along the kernel
    np.testing.assert_allclose(np.linalg.svd(WIDE)[2][2:] @ target, 0.0, atol=1e-14)
    np.testing.assert_allclose(tp.damped_target(WIDE, ERROR, 1e-12), target, rtol=1e-6)


def test_strong_damping_leaves_the_gradient_at_the_stated_rate():
    gradient, largest = WIDE.T @ ERROR, np.linalg.norm(WIDE, 2) ** 2
    for damping in (1e2, 1e4):
        miss = np.linalg.norm(damping * tp.damped_target(WIDE, ERROR, damping) + gradient) / np.linalg.norm(gradient)
        assert 0.05 * largest / damping < miss < largest / damping


def test_invertible_layers_make_difference_targets_gauss_newton():
    factors = [GENERATOR.normal(size=(3, 3)) for _ in range(3)]
    error = GENERATOR.normal(size=3)
    np.testing.assert_allclose(
        tp.difference_target(factors, error), -np.linalg.solve(tp.product(factors), error), rtol=1e-9
    )
    np.testing.assert_allclose(tp.product(factors), factors[2] @ factors[1] @ factors[0])


def test_the_longest_detour_of_two_layers_is_kantorovichs():
    factors = [np.diag([1.0, 3.0]), np.ones((1, 2))]
    target = tp.difference_target(factors, np.ones(1))
    newton = tp.damped_target(tp.product(factors), np.ones(1), 0.0)
    assert tp.longest_detour(factors) == pytest.approx(0.5 * (3 + 1 / 3))
    assert np.linalg.norm(target) / np.linalg.norm(newton) == pytest.approx(tp.longest_detour(factors))


def test_the_conditions_of_all_layers_but_the_top_one_count():
    factors = [np.diag([1.0, 3.0]), np.diag([5.0, 1.0]), np.diag([7.0, 1.0])]
    assert tp.longest_detour(factors) == pytest.approx(0.5 * (15 + 1 / 15))
    assert tp.condition(np.array([[2.0, 0.0, 0.0], [0.0, 6.0, 0.0]])) == pytest.approx(3.0)
    assert tp.condition(np.outer([1.0, 2.0], [3.0, 1.0])) == pytest.approx(1.0)


def test_difference_targets_can_raise_the_loss_as_fast_as_stated():
    lower, top, error = np.array([[-1.0], [1.0]]), np.diag([1.0, 4.0]), np.ones(2)
    target = tp.difference_target([lower, top], error)
    rate = error @ (top @ lower) @ target / (error @ error)
    assert rate == pytest.approx(9 / 16)
    assert tp.loss_rates(top) == pytest.approx((-25 / 16, 9 / 16))
    newton = tp.damped_target(top @ lower, error, 0.0)
    assert error @ (top @ lower) @ newton < 0


def test_no_lower_layer_makes_difference_targets_leave_the_stated_rates():
    top = np.diag([1.0, 4.0])
    least, most = tp.loss_rates(top)
    rates = []
    for angle in np.linspace(0, math.pi, 61):
        for tilt in np.linspace(0, math.pi, 61):
            lower, error = np.array([[math.cos(angle)], [math.sin(angle)]]), np.array([math.cos(tilt), math.sin(tilt)])
            rates.append(error @ top @ lower @ tp.difference_target([lower, top], error))
    assert least - 1e-9 <= min(rates) < least + 0.01
    assert most - 0.01 < max(rates) <= most + 1e-9


def test_the_nudge_target_solves_the_linearised_mean_field():
    nudging = 0.6
    mean = fixed_point(MODEL).value
    slope, offset = COST.force(3, "rates")
    linear = np.diag(MODEL.temperature / (mean * (1 - mean))) - MODEL.couplings + nudging * np.diag(slope)
    expected = np.linalg.solve(linear, -nudging * (slope * mean + offset))
    np.testing.assert_allclose(tp.nudge_target(MODEL, COST, mean, nudging), expected)


def test_a_small_nudge_is_the_gradient_and_a_large_one_reaches_the_target():
    mean = fixed_point(MODEL).value
    small = tp.nudge_target(MODEL, COST, mean, 1e-7) / 1e-7
    np.testing.assert_allclose(small, -implicit_gradient(MODEL, COST).bias, rtol=1e-5)
    large = tp.nudge_target(MODEL, COST, mean, 1e9)
    np.testing.assert_allclose((mean + large)[COST.outputs], COST.target, atol=1e-6)


def test_what_the_nudge_target_misses_is_of_second_order_and_within_its_bound():
    mean = fixed_point(MODEL, tolerance=1e-15).value
    misses = []
    for nudging in (0.02, 0.01):
        nudged = fixed_point(MODEL, start=mean, cost=COST, nudging=nudging, tolerance=1e-15).value
        misses.append(np.linalg.norm(nudged - mean - tp.nudge_target(MODEL, COST, mean, nudging)))
        assert misses[-1] < tp.nudge_target_error(MODEL, COST, mean, nudging)
    assert math.log2(misses[0] / misses[1]) == pytest.approx(2, abs=0.05)


def test_bound_of_the_nudge_target_by_hand():
    # ‖J − βΓ‖ = 0.4 for one unit, g = 0.1/T
    unit = Model([[0.0]], [0.0], 0.5)
    cost = QuadraticCost([0], [0.0])
    found = tp.nudge_target_error(unit, cost, np.array([0.5]), 0.4)
    assert found == pytest.approx(1 / (6 * math.sqrt(3)) * (0.4 * 0.5 / 0.5) ** 2 / (2 * 0.8**3))
