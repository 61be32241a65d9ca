"""What sampled EP converges to: contrasts of exact nudged statistics, their Taylor series, their precision."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from dynamics import cost_law, exact_equilibrium_gradient, exact_gradient, exact_law, nudging_series
from dynamics.enumeration import all_states
from dynamics.exact_nudging import tilted_change
from meanfield import Gradient, Model, QuadraticCost
from meanfield.learning_rule import contrast

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 6), st.integers(0, 2**31 - 1)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
DYNAMICS = pytest.mark.parametrize("dynamics", ["gibbs", "little"])
COSTS_ON = pytest.mark.parametrize("cost_on", ["spikes", "rates"])
ESTIMATORS = pytest.mark.parametrize(
    ("estimator", "points"), [("one-sided", 8), ("symmetric", 8), ("holomorphic", 2), ("holomorphic", 5)]
)


def random_cost(size: int, seed: int) -> QuadraticCost:
    rng = np.random.default_rng([seed, 9])
    outputs = rng.permutation(size)[: rng.integers(1, size + 1)]
    return QuadraticCost(outputs, rng.uniform(size=outputs.size))


def slopes_of(model: Model, cost: QuadraticCost, cost_on: str, dynamics: str) -> np.ndarray:
    slopes = np.zeros(model.size)
    at = 0.5 if cost_on == "spikes" else exact_law(model, dynamics=dynamics).mean[cost.outputs]
    slopes[cost.outputs] = at - cost.target
    return slopes


def statistic(model: Model, bias: np.ndarray, dynamics: str) -> Gradient:
    """−½⟨z_i z'_j + z'_i z_j⟩ and −⟨z_i⟩ by a plain sum over states, for a complex bias."""
    states, temperature = all_states(model.size), model.temperature
    field = (states @ model.couplings + bias) / temperature
    if dynamics == "gibbs":
        log_weights = (0.5 * np.einsum("zi,zi->z", states @ model.couplings, states) + states @ bias) / temperature
        following = states
    else:
        log_weights = states @ bias / temperature + np.log(1 + np.exp(field)).sum(axis=1)
        following = 1 / (1 + np.exp(-field))
    weights = np.exp(log_weights - log_weights.real.max())
    weights = weights / weights.sum()
    pairs = states.T @ (weights[:, None] * following)
    pairs = -0.5 * (pairs + pairs.T)
    np.fill_diagonal(pairs, 0.0)
    return Gradient(pairs, -weights @ states)


@DYNAMICS
@COSTS_ON
@ESTIMATORS
@given(size=SIZES, nudging=st.floats(0.05, 1.0), sign=st.sampled_from([1, -1]), seed=SEEDS)
def test_estimate_is_the_contrast_of_plain_sums(
    network, dynamics, cost_on, estimator, points, size, nudging, sign, seed
):
    model, cost, strength = network(size, 0.7, 0.4, seed), random_cost(size, seed), sign * nudging
    slopes = slopes_of(model, cost, cost_on, dynamics)
    expected = [np.zeros((size, size)), np.zeros(size)]
    for beta, weight in zip(*contrast(strength, estimator, points), strict=True):
        for total, part in zip(expected, statistic(model, model.bias - beta * slopes, dynamics), strict=True):
            total += (weight * part).real
    found = exact_equilibrium_gradient(
        model, cost, nudging=strength, estimator=estimator, points=points, dynamics=dynamics, cost_on=cost_on
    )
    for value, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, truth, rtol=0, atol=1e-12 / nudging)


@given(size=SIZES, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_gibbs_estimate_is_the_difference_of_exact_laws_at_every_temperature(network, size, log_temperature, seed):
    model, cost = network(size, 0.8, log_temperature, seed), random_cost(size, seed)
    nudging = 3.0 * model.temperature
    raised, lowered = (exact_law(model, cost=cost, nudging=strength) for strength in (nudging, -nudging))
    estimate = exact_equilibrium_gradient(model, cost, nudging=nudging)
    difference = [law.covariance + np.outer(law.mean, law.mean) for law in (raised, lowered)]
    pairs = (difference[1] - difference[0]) / (2 * nudging)
    np.fill_diagonal(pairs, 0.0)
    np.testing.assert_allclose(estimate.couplings, pairs, rtol=0, atol=1e-12 / nudging)
    np.testing.assert_allclose(
        estimate.bias, (lowered.mean - raised.mean) / (2 * nudging), rtol=0, atol=1e-12 / nudging
    )


@COSTS_ON
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric"])
@given(size=SIZES, seed=SEEDS)
def test_no_digit_is_lost_at_a_vanishing_nudging(network, cost_on, estimator, size, seed):
    model, cost = network(size, 0.7, 0.4, seed), random_cost(size, seed)
    estimate = exact_equilibrium_gradient(model, cost, nudging=1e-13, estimator=estimator, cost_on=cost_on)
    for value, truth in zip(estimate, exact_gradient(model, cost, cost_on=cost_on), strict=True):
        np.testing.assert_allclose(value, truth, rtol=0, atol=1e-12)


def test_no_digit_of_littles_gradient_is_lost_either(network):
    model = network(4, 0.7, 0.4, 3)
    cost = random_cost(4, 3)
    tiny, small = (
        exact_equilibrium_gradient(model, cost, nudging=nudging, estimator=estimator, dynamics="little")
        for nudging, estimator in ((1e-13, "one-sided"), (1e-3, "holomorphic"))
    )
    np.testing.assert_allclose(tiny.couplings, small.couplings, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tiny.bias, small.bias, rtol=0, atol=1e-12)


@DYNAMICS
def test_a_nudging_that_overrules_a_frozen_network_moves_it_whole(dynamics):
    # (1, 1) by 50 000 temperatures; a nudging of 40 in units of the couplings silences both units
    model, cost = Model([[0.0, 50.0], [50.0, 0.0]], [-20.0, -24.0], 1e-3), QuadraticCost([1], [0.2])
    gradient = exact_equilibrium_gradient(model, cost, nudging=40.0, estimator="one-sided", dynamics=dynamics)
    np.testing.assert_allclose(gradient.bias, [1 / 40, 1 / 40], rtol=1e-12)
    assert np.isclose(gradient.couplings[0, 1], 1 / 40, rtol=1e-12)
    assert gradient.couplings[0, 1] == gradient.couplings[1, 0]
    assert gradient.couplings[0, 0] == gradient.couplings[1, 1] == 0


@COSTS_ON
@given(size=SIZES, seed=SEEDS)
def test_series_sums_to_the_finite_nudge(network, cost_on, size, seed):
    model, cost, nudging = network(size, 0.7, 0.4, seed), random_cost(size, seed), 0.05
    series = nudging_series(model, cost, order=8, cost_on=cost_on)
    for estimator, step, first in (("one-sided", 1, 1), ("symmetric", 2, 1)):
        estimate = exact_equilibrium_gradient(model, cost, nudging=nudging, estimator=estimator, cost_on=cost_on)
        for part in (0, 1):
            total = sum(series[k - 1][part] * nudging ** (k - 1) for k in range(first, 9, step))
            np.testing.assert_allclose(estimate[part], total, rtol=0, atol=1e-12)


@COSTS_ON
def test_first_coefficient_is_the_exact_gradient_and_the_next_ones_are_the_leading_biases(network, cost_on):
    model, cost = network(5, 0.7, 0.0, 8), random_cost(5, 8)
    series, exact = nudging_series(model, cost, order=6, cost_on=cost_on), exact_gradient(model, cost, cost_on=cost_on)
    np.testing.assert_allclose(series[0].couplings, exact.couplings, atol=1e-15)
    np.testing.assert_allclose(series[0].bias, exact.bias, atol=1e-15)
    for estimator, points, order in (
        ("one-sided", 8, 1),
        ("symmetric", 8, 2),
        ("holomorphic", 3, 3),
        ("holomorphic", 5, 5),
    ):
        biases = [
            exact_equilibrium_gradient(
                model, cost, nudging=nudging, estimator=estimator, points=points, cost_on=cost_on
            ).bias
            - exact.bias
            for nudging in (0.2, 0.1)
        ]
        leading = series[order].bias * 0.1**order
        unit = np.abs(leading).argmax()
        assert abs(biases[1][unit] / leading[unit] - 1) < 0.1
        assert abs(math.log2(biases[0][unit] / biases[1][unit]) - order) < 0.2


def test_series_of_a_single_unit_is_the_logistic_functions():
    # ⟨−z⟩_β = −σ((b − βc)/T)
    bias, temperature, slope = 0.4, 0.7, 0.5 - 0.9
    mean = 1 / (1 + math.exp(-bias / temperature))
    variance, ratio = mean * (1 - mean), slope / temperature
    series = nudging_series(Model([[0.0]], [bias], temperature), QuadraticCost([0], [0.9]), order=3)
    expected = [
        variance * ratio,
        -variance * (1 - 2 * mean) * ratio**2 / 2,
        variance * (1 - 6 * variance) * ratio**3 / 6,
    ]
    np.testing.assert_allclose([float(term.bias[0]) for term in series], expected, rtol=1e-13)


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_series_scales_with_the_temperature(network, temperature):
    model, cost = network(4, 0.7, 0.0, 5), random_cost(4, 5)
    scaled = Model(temperature * model.couplings, temperature * model.bias, temperature)
    for k, (plain, other) in enumerate(
        zip(nudging_series(model, cost, order=4), nudging_series(scaled, cost, order=4), strict=True), 1
    ):
        np.testing.assert_allclose(other.bias * temperature**k, plain.bias, rtol=1e-9, atol=1e-15)


def test_a_constant_cost_teaches_nothing(network):
    model, cost = network(3, 0.7, 0.0, 1), QuadraticCost([0, 2], [0.5, 0.5])
    for gradient in (*nudging_series(model, cost, order=3), exact_equilibrium_gradient(model, cost, nudging=0.3)):
        assert not gradient.couplings.any()
        assert not gradient.bias.any()


@COSTS_ON
@given(size=SIZES, seed=SEEDS)
def test_cost_law_is_the_law_of_the_linear_cost(network, cost_on, size, seed):
    model, cost = network(size, 0.7, 0.4, seed), random_cost(size, seed)
    law, states, free = cost_law(model, cost, cost_on=cost_on), all_states(size), exact_law(model).probabilities
    assert law.values.shape == law.log_masses.shape == (1 << cost.outputs.size,)
    linear = states @ slopes_of(model, cost, cost_on, "gibbs")
    for power in (0, 1, 2, 3):
        assert np.isclose(np.exp(law.log_masses) @ law.values**power, free @ linear**power, rtol=1e-11, atol=1e-13)


def test_bit_k_of_a_pattern_is_the_kth_output():
    law = cost_law(Model(np.zeros((3, 3)), [900.0, 0.0, -900.0]), QuadraticCost([2, 0], [0.1, 0.3]))
    np.testing.assert_allclose(law.values, [0.0, 0.4, 0.2, 0.6])
    assert law.log_masses.argmax() == 0b10


@given(seed=SEEDS, scale=st.sampled_from([1e-12, 1e-3, 1.0, 30.0, 2000.0]), turn=st.booleans())
def test_tilted_change_is_the_change_of_a_law(seed, scale, turn):
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=7) * 5
    logs -= logsumexp(logs)
    exponents = scale * rng.normal(size=7) * (np.exp(0.3j) if turn else 1.0)
    change, tilt = tilted_change(logs, exponents)
    shifted = logs + exponents
    shifted = shifted - shifted.real.max()
    tilted = np.exp(shifted) / np.exp(shifted).sum()
    tolerance = 1e-11 * (1 + scale) / abs(np.exp(shifted).sum())
    np.testing.assert_allclose(change, tilted - np.exp(logs), rtol=0, atol=tolerance)
    assert abs(change.sum()) < tolerance * min(1.0, scale)
    np.testing.assert_allclose(np.exp(logs + tilt), tilted, rtol=0, atol=tolerance)


REFUSED = [
    (2, {"nudging": 0.0}, "nudging must be a finite non-zero real number, got 0.0: the estimators divide by it"),
    (2, {"nudging": 1j}, "nudging must be a finite non-zero real number, got 1j"),
    (2, {"estimator": "two-sided"}, "estimator must be one of one-sided, symmetric, holomorphic, got 'two-sided'"),
    (2, {"points": 1}, "points must be at least 2, got 1: two points are the symmetric estimator"),
    (2, {"dynamics": "leaky"}, "must be 'gibbs' or 'little', got 'leaky': only these have a law in closed form"),
    (2, {"cost_on": "both"}, "cost_on must be 'rates' or 'spikes', got 'both'"),
    (25, {}, "25 units have 2^25 states, too many to enumerate (limit 24 units): use sample or estimate_gradient"),
    (17, {"dynamics": "little"}, "17 units have 2^17 states, too many to enumerate (limit 16 units)"),
]


@pytest.mark.parametrize(("size", "arguments", "said"), REFUSED)
def test_bad_request_is_one_sentence(size, arguments, said):
    model, cost = Model(np.zeros((size, size)), np.zeros(size)), QuadraticCost([0], [0.9])
    with pytest.raises(ValueError, match=re.escape(said)):
        exact_equilibrium_gradient(model, cost, **({"nudging": 1.0, "estimator": "holomorphic"} | arguments))


def test_bad_order_is_one_sentence():
    with pytest.raises(ValueError, match="order must be a whole number of at least 1, got 0"):
        nudging_series(Model([[0.0]], [0.0]), QuadraticCost([0], [0.9]), order=0)
