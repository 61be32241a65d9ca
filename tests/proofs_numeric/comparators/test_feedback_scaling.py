"""Gauges, chains, and EP with scaled feedback against numerical derivatives and against a plain backpropagation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from meanfield import HypothesisError
from proofs_numeric.comparators.feedback_scaling import (
    Circuit,
    chain_couplings,
    chain_steps,
    circuit_at,
    distance_from_backpropagation,
    gauge,
    nudged_errors,
    unrolled_gradient,
)

pytestmark = pytest.mark.exact

WEIGHTS = [np.array([[1.0, -0.5], [0.3, 0.8]]), np.array([[0.7, 1.1]])]


def test_a_chain_feeds_forward_whole_and_back_scaled():
    couplings = chain_couplings(WEIGHTS, [0.1, 0.2])
    np.testing.assert_array_equal(couplings[2:4, :2], WEIGHTS[0])
    np.testing.assert_array_equal(couplings[:2, 2:4], 0.1 * WEIGHTS[0].T)
    np.testing.assert_array_equal(couplings[4:, 2:4], WEIGHTS[1])
    np.testing.assert_array_equal(couplings[2:4, 4:], 0.2 * WEIGHTS[1].T)
    assert (couplings[4:, :2] == 0).all()
    assert (couplings[:2, 4:] == 0).all()


def test_the_gauge_of_a_chain_is_the_product_of_its_factors():
    np.testing.assert_allclose(gauge(chain_couplings(WEIGHTS, [0.1, 0.2])), [1, 1, 0.1, 0.1, 0.02])


def test_the_gauge_of_excitation_and_inhibition_has_both_signs():
    np.testing.assert_allclose(gauge(np.array([[0.0, -2.0], [2.0, 0.0]])), [1, -1])


def test_a_residual_link_has_a_gauge_only_with_the_product_of_the_factors():
    couplings = chain_couplings(WEIGHTS, [0.1, 0.2])
    couplings[4, 0], couplings[0, 4] = 0.9, 0.02 * 0.9
    np.testing.assert_allclose(gauge(couplings), [1, 1, 0.1, 0.1, 0.02])
    couplings[0, 4] = 0.1 * 0.9
    with pytest.raises(HypothesisError, match="cycle"):
        gauge(couplings)


def test_a_link_without_its_return_has_no_gauge():
    with pytest.raises(HypothesisError, match="does not hear"):
        gauge(np.array([[0.0, 1.0], [0.0, 0.0]]))


def test_unconnected_units_have_gauge_one():
    np.testing.assert_array_equal(gauge(np.zeros((3, 3))), 1.0)


def test_a_circuit_rests_where_it_was_put():
    circuit, mean = circuit_at(chain_couplings(WEIGHTS, [0.3, 0.6]), np.array([0.2, -1.0, 0.5, 2.0, -0.3]), 0.7)
    np.testing.assert_allclose(circuit.step(mean), mean, atol=1e-15)
    np.testing.assert_allclose(mean, expit([0.2, -1.0, 0.5, 2.0, -0.3]))
    pushed = circuit.step(mean, 0.4, np.eye(5)[0])
    assert pushed[0] == pytest.approx(0.6 * mean[0] + 0.4 * expit(0.2 + 1 / 0.7))


@pytest.fixture
def instance():
    circuit, mean = circuit_at(chain_couplings(WEIGHTS, [0.3, 0.6]), np.array([0.2, -1.0, 0.5, 2.0, -0.3]), 0.7)
    return circuit, mean, (np.array([0, 0, 0, 0, 1.0]), np.array([0, 0, 0, 0, -0.9]))


def run(circuit: Circuit, mean: np.ndarray, force, nudging: float, steps: int, leak: float) -> np.ndarray:
    state = mean
    for _ in range(steps):
        field = circuit.couplings @ state + circuit.bias - nudging * (force[0] * state + force[1])
        state = (1 - leak) * state + leak * expit(field / circuit.temperature)
    return state


def test_errors_are_minus_the_slopes_of_the_nudged_states(instance):
    circuit, mean, force = instance
    errors, pairs = nudged_errors(circuit, mean, force, steps=4, leak=0.6)
    up, down = (run(circuit, mean, force, sign * 1e-5, 4, 0.6) for sign in (1, -1))
    np.testing.assert_allclose(errors, -0.7 * (up - down) / 2e-5, atol=1e-9)
    np.testing.assert_allclose(pairs, -0.7 * (np.outer(up, up) - np.outer(down, down)) / 2e-5, atol=1e-9)


def test_the_unrolled_gradient_is_the_slope_of_the_loss(instance):
    circuit, mean, force = instance

    def loss(other: Circuit) -> float:
        state = run(other, mean, force, 0.0, 4, 0.6)
        return float(0.5 * force[0] @ state**2 + force[1] @ state)

    moved = np.zeros((5, 5))
    moved[2, 0], moved[0, 2] = 1.0, 0.3
    found = unrolled_gradient(circuit, mean, force, moved, steps=4, leak=0.6)
    ends = [loss(Circuit(circuit.couplings + sign * 1e-5 * moved, circuit.bias, 0.7)) for sign in (1, -1)]
    assert found == pytest.approx(0.7 * (ends[0] - ends[1]) / 2e-5, abs=1e-9)
    unit = np.eye(5)[3]
    ends = [loss(Circuit(circuit.couplings, circuit.bias + sign * 1e-5 * unit, 0.7)) for sign in (1, -1)]
    found = unrolled_gradient(circuit, mean, force, unit, steps=4, leak=0.6)
    assert found == pytest.approx(0.7 * (ends[0] - ends[1]) / 2e-5, abs=1e-9)
    assert abs(found) > 1e-3


def test_residual_links_that_keep_an_energy_do_not_fight_the_decay():
    """The raw error is f^{L−l} times the gradient with and without a link from the first to the last layer."""
    force = (np.array([0, 0, 0, 0, 1.0]), np.array([0, 0, 0, 0, -0.9]))
    for link in (0.0, 0.9):
        couplings = chain_couplings(WEIGHTS, [0.1, 0.1])
        couplings[4, 0], couplings[0, 4] = link, 0.01 * link
        circuit, mean = circuit_at(couplings, np.array([0.2, -1.0, 0.5, 2.0, -0.3]), 0.7)
        errors, _ = nudged_errors(circuit, mean, force, steps=60, leak=1.0)
        exact = [unrolled_gradient(circuit, mean, force, unit, steps=60, leak=1.0) for unit in np.eye(5)]
        np.testing.assert_allclose(errors, np.array([0.01, 0.01, 0.1, 0.1, 1.0]) * exact, rtol=1e-10)
        assert abs(exact[0]) > 1e-3


def test_fewer_steps_as_feedback_weakens_down_to_one_a_layer():
    steps = [chain_steps(6, 4, factor, 0.9, 1e-6) for factor in (1.0, 1e-2, 1e-4, 1e-8, 1e-300)]
    assert all(np.diff(steps) < 0)
    assert steps[0] == pytest.approx(math.log(math.sqrt(6) / 2e-6) / math.log(1 / 0.9))
    assert 3 < steps[-1] < 3.05
    assert chain_steps(6, 4, 1e-4, 0.9, 10.0) > 0
    assert chain_steps(1, 1, 1.0, 0.5, 10.0) == 0
    with pytest.raises(HypothesisError, match="smaller factor"):
        chain_steps(6, 4, 1.0, 1.1, 1e-6)


def backpropagated(weights, bias, temperature, target) -> tuple[np.ndarray, np.ndarray]:
    """Rates of the pass from below and gradient in the biases of ½‖last − target‖², as everyone writes it."""
    ends = np.cumsum([0, weights[0].shape[1], *(len(one) for one in weights)])
    layers = [expit(bias[: ends[1]] / temperature)]
    for layer, weight in enumerate(weights):
        field = weight @ layers[-1] + bias[ends[layer + 1] : ends[layer + 2]]
        layers.append(expit(field / temperature))
    errors = [(layers[-1] - target) * layers[-1] * (1 - layers[-1]) / temperature]
    for weight, rates in zip(weights[::-1], layers[-2::-1], strict=True):
        errors.insert(0, weight.T @ errors[0] * rates * (1 - rates) / temperature)
    return np.concatenate(layers), np.concatenate(errors)


@pytest.mark.parametrize("factor", [1e-4, 0.05])
def test_the_net_with_weak_feedback_is_within_its_bounds_of_backpropagation_and_they_shrink_with_the_factor(factor):
    temperature, target = 0.9, np.array([0.3])
    slope, offset = np.array([0, 0, 0, 0, 1.0]), np.array([0, 0, 0, 0, -0.3])
    bias = np.array([0.1, -0.2, 0.3, -0.6, 0.2])
    couplings = chain_couplings(WEIGHTS, [factor, factor])
    mean = np.full(5, 0.5)
    for _ in range(500):
        mean = expit((couplings @ mean + bias) / temperature)
    slopes = mean * (1 - mean) / temperature
    gradient = np.linalg.solve(np.eye(5) - slopes[:, None] * couplings.T, slopes * (slope * mean + offset))
    rates, exact = backpropagated(WEIGHTS, bias, temperature, target)
    away, miss = distance_from_backpropagation(WEIGHTS, bias, temperature, factor, slope, offset)
    assert (np.abs(mean - rates) <= away).all()
    assert (np.abs(gradient - exact) <= miss).all()
    assert np.abs(mean - rates).max() > 0.2 * away.max()
    assert np.abs(gradient - exact).max() > 0.05 * miss.max()
    half = distance_from_backpropagation(WEIGHTS, bias, temperature, factor / 2, slope, offset)
    np.testing.assert_allclose(half[0], away / 2, rtol=3 * factor)
    np.testing.assert_allclose(half[1], miss / 2, rtol=6 * factor)


def test_the_distance_of_a_chain_of_two_units_is_what_its_recursion_says_by_hand():
    weight, factor, bias, target, temperature = 1.3, 1e-7, np.array([0.4, -0.2]), 0.8, 0.7
    fields = np.array([bias[0], weight * expit(bias[0] / temperature) + bias[1]]) / temperature
    rates = expit(fields)
    slopes, bends = rates * (1 - rates) / temperature, rates * (1 - rates) * np.abs(1 - 2 * rates) / temperature**2
    slope, offset = np.array([0.0, 1.0]), np.array([0.0, -target])
    away, miss = distance_from_backpropagation([np.array([[weight]])], bias, temperature, factor, slope, offset)
    low = slopes[0] * factor * weight
    high = slopes[1] * weight * low
    np.testing.assert_allclose(away, [low, high], rtol=1e-5)
    cost, above = abs(rates[1] - target), slopes[1] * (rates[1] - target)
    last = bends[1] * weight * low * cost + slopes[1] * (high + factor * weight * slopes[0] * weight * slopes[1] * cost)
    first = bends[0] * factor * weight * abs(weight * above) + slopes[0] * weight * last
    np.testing.assert_allclose(miss, [first, last], rtol=1e-5)


def test_the_distance_is_refused_where_feedback_may_run_away():
    strong = [30 * one for one in WEIGHTS]
    with pytest.raises(HypothesisError, match="smaller factor"):
        distance_from_backpropagation(strong, np.zeros(5), 1.0, 1.0, np.eye(5)[4], np.zeros(5))
