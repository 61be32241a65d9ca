"""Signs, sides and angles of EP's estimates against relaxations that are run and fixed points that are solved for otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit

from dynamics import relax
from dynamics.backpropagation import backpropagation_through_time
from meanfield import Model, QuadraticCost, fixed_point
from meanfield.response import susceptibility
from meanfield.solve import ConvergenceError
from proofs_numeric.comparators import symmetric_nudging
from proofs_numeric.comparators.symmetric_nudging import (
    at_rest,
    descending_leak,
    displacement,
    largest_sine,
    logistic_change,
    logistic_slope,
    off_rest_error,
    relaxed_shift,
    sine,
    symmetric_turning_nudging,
    turning_nudging,
)

pytestmark = pytest.mark.exact


@pytest.fixture
def triple():
    couplings = np.array([[0.0, 1.2, -0.7], [1.2, 0.0, 0.9], [-0.7, 0.9, 0.0]])
    return Model(couplings, [0.3, -0.8, 0.1], 0.8), QuadraticCost([0, 2], [0.9, 0.2])


@pytest.mark.parametrize("field", [-40.0, -1.3, 0.0, 2.0, 35.0])
@pytest.mark.parametrize("change", [-50.0, -0.4, 0.0, 1e-3, 3.0])
def test_a_change_of_the_logistic_function_is_the_difference_of_its_values(field, change):
    found = float(logistic_change(np.array(field), np.array(change)))
    assert found == pytest.approx(expit(field + change) - expit(field), abs=1e-15)
    assert np.sign(found) == np.sign(change)


def test_a_tiny_change_keeps_all_its_digits():
    field, change = np.array([0.7, -30.0]), np.array([1e-20, -1e-19])
    np.testing.assert_allclose(logistic_change(field, change), change * expit(field) * expit(-field), rtol=1e-12)
    np.testing.assert_allclose(
        logistic_slope(np.array([0.7, 40.0])), [expit(0.7) * expit(-0.7), math.exp(-40)], rtol=1e-12
    )


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize("nudging", [-0.6, 2.5])
def test_a_displacement_is_what_the_relaxation_has_moved(triple, cost_on, nudging):
    model, cost = triple
    path = relax(model, steps=5, leak=0.7, start=at_rest(model), cost=cost, nudging=nudging, cost_on=cost_on)
    moved = displacement(model, cost, nudging=nudging, steps=5, leak=0.7, cost_on=cost_on)
    np.testing.assert_allclose(moved, path[-1] - path[0], atol=1e-14)


def test_a_small_nudging_displaces_along_truncated_backpropagation(triple):
    model, cost = triple
    moved = displacement(model, cost, nudging=1e-9, steps=4, leak=0.5)
    unrolled = backpropagation_through_time(model, cost, steps=4, leak=0.5, start=at_rest(model))
    np.testing.assert_allclose(-moved / 1e-9, unrolled.truncated(4).bias, rtol=1e-6)


def test_the_descending_leak_is_the_limit_of_the_nudged_network():
    lone, cost = Model([[0.0]], [0.0], 0.5), QuadraticCost([0], [0.3])
    assert descending_leak(lone, cost, nudging=4.0) == pytest.approx(8 * 0.5 / (4 * 0.5 + 4.0))
    assert descending_leak(lone, cost, nudging=4.0, cost_on="spikes") == 1.0
    assert descending_leak(lone, cost, nudging=-4.0) == 1.0


@pytest.mark.parametrize(("rate", "target"), [(0.9, 0.2), (0.9, 0.7), (0.1, 0.6), (0.2, 0.35)])
def test_the_turning_nudging_puts_the_first_step_on_the_target(rate, target):
    """Then the second step is back at m: the estimate after two steps is zero."""
    temperature = 0.7
    nudging = float(turning_nudging(np.array(rate), np.array(target), temperature))
    first = expit(logit(rate) - nudging * (rate - target) / temperature)
    assert first == pytest.approx(target)
    path = relax(
        Model([[0.0]], [temperature * logit(rate)], temperature),
        steps=4, start=[rate], cost=QuadraticCost([0], [target]), nudging=nudging,
    )  # fmt: skip
    np.testing.assert_allclose(path[::2, 0], rate, atol=1e-12)
    assert nudging >= 4 * temperature


def test_targets_at_the_ends_never_turn_an_estimate():
    assert np.isinf(turning_nudging(np.array([0.3, 0.6]), np.array([1.0, 0.0]), 1.0)).all()


@pytest.mark.parametrize(("rate", "target"), [(0.9, 0.7), (0.95, 0.6), (0.05, 0.3)])
def test_the_symmetric_turning_nudging_is_where_two_steps_agree(rate, target):
    temperature, field = 1.3, logit(rate)

    def gap(nudging: float) -> float:
        push = nudging * (rate - target) / temperature
        return expit(field - push) + expit(field + push) - 2 * target

    expected = brentq(gap, 1e-6, 200.0)
    found = symmetric_turning_nudging(np.array(rate), np.array(target), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("rate", "target"), [(0.9, 0.4), (0.2, 0.8), (0.7, 0.9), (0.3, 0.1)])
def test_the_symmetric_estimate_does_not_turn_unless_the_target_lies_between_a_half_and_the_rate(rate, target):
    assert np.isinf(symmetric_turning_nudging(np.array(rate), np.array(target), 1.0))
    model, cost = Model([[0.0]], [logit(rate)], 1.0), QuadraticCost([0], [target])
    for nudging in (0.5, 5.0, 50.0):
        for steps in range(1, 8):
            up, down = (displacement(model, cost, nudging=sign * nudging, steps=steps, leak=1.0)[0] for sign in (1, -1))
            assert (down - up) * (rate - target) > 0


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize("nudging", [-0.8, 0.3, 20.0])
def test_the_relaxed_shift_solves_the_nudged_equation(triple, cost_on, nudging):
    model, cost = triple
    moved, secants = relaxed_shift(model, cost, nudging=nudging, cost_on=cost_on)
    mean = at_rest(model)
    slope, offset = cost.force(3, cost_on)
    field = model.local_field(mean + moved) - nudging * (slope * (mean + moved) + offset)
    np.testing.assert_allclose(expit(field / 0.8), mean + moved, atol=1e-12)
    expected = mean * (1 - mean) * (logit(mean + moved) - logit(mean)) / moved
    np.testing.assert_allclose(secants, expected, rtol=1e-9)
    # the exact secant identity of thm:G1c
    stiffness = 0.8 * np.diag(secants / (mean * (1 - mean))) - model.couplings + nudging * np.diag(slope)
    np.testing.assert_allclose(stiffness @ moved, -nudging * (slope * mean + offset), atol=1e-12)


def test_the_relaxed_shift_is_that_of_the_solver_and_refuses_what_it_has_not_reached(triple, monkeypatch):
    model, cost = triple
    nudged = fixed_point(model, cost=cost, nudging=0.4, method="newton", tolerance=1e-14, throw=False).value
    np.testing.assert_allclose(relaxed_shift(model, cost, nudging=0.4)[0], nudged - at_rest(model), atol=1e-12)
    monkeypatch.setattr(symmetric_nudging, "NEWTON_STEPS", 1)
    with pytest.raises(ConvergenceError, match="smaller"):
        relaxed_shift(model, cost, nudging=20.0)


def test_the_largest_sine_is_reached_by_the_best_of_many_directions():
    generator = np.random.default_rng(3)
    raw = generator.normal(size=(2, 2, 2))
    stiffness, response = (one @ one.T + 0.2 * np.eye(2) for one in raw)
    angles = np.linspace(0, np.pi, 2001)
    found = [
        sine(stiffness, response @ force, np.linalg.solve(stiffness, force))
        for force in np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ]
    assert max(found) == pytest.approx(largest_sine(stiffness, response), rel=1e-5)
    assert max(found) <= largest_sine(stiffness, response) + 1e-12
    assert largest_sine(stiffness, 3 * np.linalg.inv(stiffness)) == pytest.approx(0, abs=1e-12)


def test_the_sine_is_the_euclidean_one_in_the_euclidean_metric():
    assert sine(np.eye(2), np.array([1.0, 0.0]), np.array([3.0, 3.0])) == pytest.approx(math.sqrt(0.5))
    assert sine(np.diag([4.0, 1.0]), np.array([1.0, 0.0]), np.array([1.0, 2.0])) == pytest.approx(math.sqrt(0.5))


def test_a_relaxed_one_sided_estimate_can_turn_in_the_euclidean_metric():
    """So the side is kept in the metric of the response, not in every one: λ_max(J) < 4T here."""
    model = Model([[0.0, -3.9], [-3.9, 0.0]], [-4.0, 0.75], 1.0)
    cost, mean = QuadraticCost([0, 1], [1.0, 0.73]), at_rest(model)
    moved, _ = relaxed_shift(model, cost, nudging=7.0)
    force = mean - cost.target
    assert -moved @ force > 0
    assert -moved @ susceptibility(model, mean) @ force < 0


def test_the_error_off_rest_vanishes_with_the_distance_and_the_nudging(triple):
    model, cost = triple
    asked = {"steps": 4, "leak": 0.6, "cost_on": "rates"}
    mean = at_rest(model)
    continued, symmetric = off_rest_error(model, cost, start=mean, nudging=1e-3, **asked)
    assert 0 < symmetric.max() < 1e-2 * continued.max() < 1e-4
    halved = off_rest_error(model, cost, start=mean, nudging=5e-4, **asked)
    np.testing.assert_allclose(halved[0], continued / 2, rtol=1e-2)
    np.testing.assert_allclose(halved[1], symmetric / 4, rtol=1e-2)
    away = [off_rest_error(model, cost, start=mean + shift, nudging=1e-9, **asked)[1] for shift in (0.02, 0.01)]
    np.testing.assert_allclose(away[0], 2 * away[1], rtol=1e-6)


def test_against_the_stopped_free_phase_the_drift_is_added(triple):
    model, cost = triple
    start, nudging = relax(model, steps=2, leak=0.5)[-1], 1e-3
    end, free = (relax(model, steps=3, leak=0.5, start=start, cost=cost, nudging=one)[-1] for one in (nudging, 0.0))
    assert np.abs((start - end) / nudging - (free - end) / nudging).max() > 10
    np.testing.assert_allclose((start - end) / nudging, (free - end) / nudging + (start - free) / nudging)
