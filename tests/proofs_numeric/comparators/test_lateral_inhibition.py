"""Turned gradients against numerical derivatives of circuits without symmetry, and their largest angle against a search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from proofs_numeric.comparators.feedback_scaling import circuit_at
from proofs_numeric.comparators.lateral_inhibition import (
    estimate_and_gradient,
    half_angle,
    largest_turn,
    rest_shift,
    shunted_jacobian,
    shunted_turn,
    stiffness_and_turn,
)

pytestmark = pytest.mark.exact

COUPLINGS = np.array([[0.0, 1.4, -0.9], [-0.6, 0.0, 0.8], [1.1, 0.3, 0.0]])
FIELD, TEMPERATURE = np.array([0.4, -0.7, 1.2]), 0.8


@pytest.fixture
def circuit():
    return circuit_at(COUPLINGS, FIELD, TEMPERATURE)


def rest(couplings: np.ndarray, bias: np.ndarray, nudging: float = 0.0, force: np.ndarray | None = None) -> np.ndarray:
    """The rest by many damped steps, with a constant nudge."""
    state = np.full(bias.size, 0.5)
    push = 0.0 if force is None else nudging * force
    for _ in range(4000):
        state = 0.5 * state + 0.5 * expit((couplings @ state + bias - push) / TEMPERATURE)
    return state


def test_the_shift_of_the_rest_is_its_slope(circuit):
    push = np.array([0.2, -1.0, 0.5])
    found = rest_shift(lambda s: COUPLINGS @ s + circuit[0].bias, COUPLINGS, FIELD, push, TEMPERATURE)
    ends = [rest(COUPLINGS, circuit[0].bias + sign * 1e-5 * push) for sign in (1, -1)]
    np.testing.assert_allclose(found, TEMPERATURE * (ends[0] - ends[1]) / 2e-5, atol=1e-9)


def test_estimate_and_gradient_are_those_of_nudged_and_moved_networks(circuit):
    force = np.array([0.3, 0.0, -0.8])
    bias = circuit[0].bias
    estimate, gradient = estimate_and_gradient(lambda s: COUPLINGS @ s + bias, COUPLINGS, FIELD, force, TEMPERATURE)
    nudged = [rest(COUPLINGS, bias, sign * 1e-5, force) for sign in (1, -1)]
    np.testing.assert_allclose(estimate, -TEMPERATURE * (nudged[0] - nudged[1]) / 2e-5, atol=1e-9)
    losses = [[force @ rest(COUPLINGS, bias + sign * 1e-5 * unit) for sign in (1, -1)] for unit in np.eye(3)]
    expected = TEMPERATURE * (np.array(losses)[:, 0] - np.array(losses)[:, 1]) / 2e-5
    np.testing.assert_allclose(gradient, expected, atol=1e-9)
    # THEORY's form: e = (I − VJ/T)⁻¹ V (I − VJ/T)ᵀ V⁻¹ g
    variance = expit(FIELD) * expit(-FIELD)
    system = np.eye(3) - variance[:, None] * COUPLINGS / TEMPERATURE
    np.testing.assert_allclose(
        estimate, np.linalg.solve(system, variance * (system.T @ (gradient / variance))), atol=1e-12
    )
    assert np.abs(estimate - gradient).max() > 0.01


def test_stiffness_and_turn_are_the_parts_of_the_scaled_jacobian():
    stiffness, turn = stiffness_and_turn(COUPLINGS, FIELD, TEMPERATURE)
    variance = expit(FIELD) * expit(-FIELD)
    symmetric, odd = 0.5 * (COUPLINGS + COUPLINGS.T), 0.5 * (COUPLINGS - COUPLINGS.T)
    root = np.sqrt(variance)
    full = np.diag(TEMPERATURE / variance) - symmetric
    np.testing.assert_allclose(stiffness, root[:, None] * full * root / TEMPERATURE, atol=1e-14)
    np.testing.assert_allclose(turn, root[:, None] * odd * root / TEMPERATURE, atol=1e-14)


def test_the_largest_turn_is_the_largest_that_a_search_finds():
    stiffness, turn = stiffness_and_turn(3 * COUPLINGS, FIELD, TEMPERATURE)
    stiffness = stiffness + 0.5 * np.eye(3)
    largest, extreme = largest_turn(stiffness, turn)
    generator = np.random.default_rng(0)

    def tangent(gradient: np.ndarray) -> tuple[float, float]:
        return half_angle(stiffness, np.linalg.solve(stiffness - turn, (stiffness + turn) @ gradient), gradient)

    found = [tangent(one) for one in generator.normal(size=(4000, 3))]
    assert max(one for one, _ in found) <= largest + 1e-12
    assert max(one for one, _ in found) > 0.99 * largest
    assert np.abs([lengthened for _, lengthened in found]).max() < 1e-12
    assert tangent(extreme)[0] == pytest.approx(largest)


def test_the_half_angle_of_vectors_of_equal_length():
    tangent, lengthened = half_angle(np.eye(2), np.array([1.0, 0.0]), np.array([math.cos(0.8), math.sin(0.8)]))
    assert tangent == pytest.approx(math.tan(0.4))
    assert lengthened == pytest.approx(0, abs=1e-14)
    assert half_angle(np.diag([9.0, 1.0]), np.array([1.0, 0.0]), np.array([0.0, 1.0]))[1] == pytest.approx(2)


@pytest.mark.parametrize("strength", [2.0, 3.9, 4.1])
def test_excitation_and_inhibition_turn_by_twice_the_arc_tangent_of_their_gain(strength):
    """J = ((0, −w), (w, 0)) at m = ½ and T = 1: k = w/4, and the estimate opposes its gradient beyond w = 4."""
    couplings, field = np.array([[0.0, -strength], [strength, 0.0]]), np.zeros(2)
    stiffness, turn = stiffness_and_turn(couplings, field, 1.0)
    assert largest_turn(stiffness, turn)[0] == pytest.approx(strength / 4)
    bias = -couplings @ np.full(2, 0.5)
    estimate, gradient = estimate_and_gradient(
        lambda s: couplings @ s + bias, couplings, field, np.array([1.0, 0.0]), 1.0
    )
    assert (estimate @ gradient > 0) == (strength < 4)
    # with the sign of the inhibitory neuron turned it is exact
    np.testing.assert_allclose(estimate * [1, -1], gradient, atol=1e-14)


def test_the_shunted_jacobian_is_the_slope_of_the_fields():
    couplings, pool, mean = 0.5 * (COUPLINGS + COUPLINGS.T), np.array([0.3, 0.1, 0.6]), np.array([0.2, 0.7, 0.5])
    jacobian, drive, divisor = shunted_jacobian(couplings, pool, mean)

    def fields(state: np.ndarray) -> np.ndarray:
        return couplings @ state / (1 + pool @ state)

    numerical = np.array([(fields(mean + move) - fields(mean - move)) / 2e-6 for move in 1e-6 * np.eye(3)]).T
    np.testing.assert_allclose(jacobian, numerical, atol=1e-9)
    np.testing.assert_allclose(drive, fields(mean))
    assert divisor == pytest.approx(1 + 0.3 * 0.2 + 0.1 * 0.7 + 0.6 * 0.5)


def test_the_turn_of_a_shared_gain_is_that_of_its_jacobian_and_vanishes_for_a_pool_along_the_drive():
    couplings, pool = 0.5 * (COUPLINGS + COUPLINGS.T), np.array([0.3, 0.1, 0.6])
    mean = expit(FIELD)
    stated, stiffness = shunted_turn(couplings, pool, FIELD, TEMPERATURE)
    jacobian, drive, _ = shunted_jacobian(couplings, pool, mean)
    expected, turn = stiffness_and_turn(jacobian, FIELD, TEMPERATURE)
    np.testing.assert_allclose(stiffness, expected, atol=1e-15)
    assert stated == pytest.approx(largest_turn(stiffness, turn)[0])
    assert stated > 0.01
    assert shunted_turn(couplings, 0.4 * drive, FIELD, TEMPERATURE)[0] == pytest.approx(0, abs=1e-14)
