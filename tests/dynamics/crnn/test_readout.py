"""The two costs, their slopes by finite differences, and the answers read from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn.readout import answers, cost_slope, costs


def readout(units, classes, seed):
    """A state (1, units), W (units, classes), c (classes,) and a target on the simplex, or (units,) without classes."""
    generator = np.random.default_rng(seed)
    target = generator.dirichlet(np.ones(classes)) if classes else generator.random(units)
    return generator.random((1, units)), generator.normal(size=(units, classes)), generator.normal(size=classes), target


@pytest.mark.exact
@settings(max_examples=30)
@given(st.integers(1, 6), st.sampled_from([0, 1, 2, 5]), st.integers(0, 2**16))
def test_the_slope_is_the_costs_by_finite_differences(units, classes, seed):
    state, weights, bias, target = readout(units, classes, seed)
    slope = np.empty(units)
    cost_slope(state[0], weights, bias, target, np.empty(classes), slope)
    moved = 1e-5 * np.eye(units)
    targets = np.tile(target, (units, 1))
    numeric = (costs(state + moved, weights, bias, targets) - costs(state - moved, weights, bias, targets)) / 2e-5
    np.testing.assert_allclose(slope, numeric, atol=1e-8)


@pytest.mark.exact
@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**16))
def test_a_softmax_answer_is_a_distribution_whose_logarithm_is_the_cost(units, classes, seed):
    state, weights, bias, _ = readout(units, classes, seed)
    odds = answers(state, weights, bias)
    np.testing.assert_allclose(odds.sum(), 1.0, rtol=1e-14)
    for label in range(classes):
        cost = costs(state, weights, bias, np.eye(classes)[[label]])
        np.testing.assert_allclose(cost, -np.log(odds[:, label]), atol=1e-12)


@pytest.mark.exact
def test_without_classes_the_answer_is_the_activity_and_the_cost_half_the_squared_distance():
    outputs, none = np.array([[0.5, 0.25], [1.0, 0.0]]), (np.empty((2, 0)), np.empty(0))
    assert (answers(outputs, *none) == outputs).all()
    np.testing.assert_array_equal(costs(outputs, *none, np.array([[1.0, 0.25], [0.0, 1.0]])), [0.125, 1.0])


@pytest.mark.exact
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_a_thousand_overflow_nothing(dtype):
    weights, bias = np.array([[1000.0, -1000.0]], dtype), np.zeros(2, dtype)
    state, target = np.ones((1, 1), dtype), np.array([[0.0, 1.0]], dtype)
    slope = np.empty(1, dtype)
    cost_slope(state[0], weights, bias, target[0], np.empty(2, dtype), slope)
    assert slope[0] == 2000.0
    assert costs(state, weights, bias, target)[0] == 2000.0
    assert (answers(state, weights, bias) == [[1.0, 0.0]]).all()
