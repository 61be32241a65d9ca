"""Linear response is the derivative of the fixed point, and the implicit gradient that of the cost at it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics import relax
from meanfield import (
    Model,
    QuadraticCost,
    contraction_rate,
    equilibrium_gradient,
    fixed_point,
    implicit_gradient,
    linear_noise,
    susceptibility,
)

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 6), st.integers(0, 2**31 - 1)
GAINS = st.floats(0, 0.4)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
CORRECTIONS = pytest.mark.parametrize("correction", ["none", "onsager"])
COSTS_ON = pytest.mark.parametrize(("cost_on", "reading"), [("rates", "on_rates"), ("spikes", "on_mean_spikes")])


def cost_of(size: int) -> QuadraticCost:
    return QuadraticCost(range(max(1, size // 2)), np.linspace(0.1, 0.9, max(1, size // 2)))


def solved(model: Model, correction: str = "none", bias: np.ndarray | float = 0.0) -> np.ndarray:
    return fixed_point(model.with_bias(model.bias + bias), correction=correction, method="newton").value


@CORRECTIONS
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_susceptibility_is_the_derivative_of_the_fixed_point(network, correction, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    moves = 1e-5 * model.temperature * np.eye(size)
    numeric = [(solved(model, correction, move) - solved(model, correction, -move)) / 2e-5 for move in moves]
    response = susceptibility(model, solved(model, correction), correction) * model.temperature
    np.testing.assert_allclose(response, np.transpose(numeric), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(response, response.T)


@given(size=SIZES, gain=st.floats(0, 0.98), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_susceptibility_is_at_most_the_inverse_of_the_missing_curvature(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, norm="curvature")
    response = susceptibility(model, solved(model))
    limit = 1 / (4 * model.temperature - model.spectrum[-1])
    assert np.linalg.norm(response, 2) <= limit * (1 + 1e-9)
    assert np.linalg.eigvalsh(response)[0] >= -1e-12 * limit


def test_susceptibility_of_the_marginal_pair_is_refused():
    # J = 4T and m = ½: I − VJ/T is singular
    with pytest.raises(ValueError, match="linear response diverges: I − VJ/T is singular at κ = 1"):
        susceptibility(Model([[0, 4.0], [4.0, 0]], [-2.0, -2.0]), np.array([0.5, 0.5]))


@COSTS_ON
@CORRECTIONS
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_implicit_gradient_is_the_derivative_of_the_cost(
    network, differentiate, correction, cost_on, reading, size, gain, log_temperature, seed
):
    model, cost = network(size, gain, log_temperature, seed), cost_of(size)
    numeric = differentiate(model, lambda moved: getattr(cost, reading)(solved(moved, correction)))
    gradient = implicit_gradient(model, cost, cost_on, correction=correction)
    for exact, difference in zip(gradient, numeric, strict=True):
        np.testing.assert_allclose(model.temperature * exact, model.temperature * difference, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(gradient.couplings, gradient.couplings.T)
    assert not np.diagonal(gradient.couplings).any()


@COSTS_ON
@CORRECTIONS
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric", "holomorphic"])
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_equilibrium_gradient_tends_to_the_implicit_one(
    network, estimator, correction, cost_on, reading, size, gain, log_temperature, seed
):
    model, cost = network(size, gain, log_temperature, seed), cost_of(size)
    nudging = model.temperature * {"one-sided": 1e-6, "symmetric": 1e-4, "holomorphic": 1e-2}[estimator]
    estimate = equilibrium_gradient(
        model, cost, nudging=nudging, estimator=estimator, correction=correction, cost_on=cost_on
    )
    for value, exact in zip(estimate, implicit_gradient(model, cost, cost_on, correction=correction), strict=True):
        np.testing.assert_allclose(model.temperature * value, model.temperature * exact, rtol=0, atol=2e-6)


@CORRECTIONS
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@given(power=st.integers(-10, 10), seed=SEEDS)
def test_gradients_depend_on_ratios_to_the_temperature_alone(network, correction, cost_on, power, seed):
    model, cost, scale = network(4, 0.4, 0.0, seed), cost_of(4), 2.0**power
    scaled = Model(scale * model.couplings, scale * model.bias, scale * model.temperature)
    pairs = [
        [implicit_gradient(m, cost, cost_on, correction=correction) for m in (model, scaled)],
        [
            equilibrium_gradient(m, cost, nudging=0.3 * m.temperature, correction=correction, cost_on=cost_on)
            for m in (model, scaled)
        ],
    ]
    for one, other in pairs:
        for value, rescaled in zip(one, other, strict=True):
            np.testing.assert_allclose(value, scale * rescaled, rtol=1e-9, atol=1e-11)


def test_a_saturated_network_has_no_gradient():
    model, cost = Model([[0, 1.0], [1.0, 0]], [1e6, -1e6], 1e-3), cost_of(2)
    for gradient in (implicit_gradient(model, cost), equilibrium_gradient(model, cost, nudging=1e-4)):
        assert not gradient.couplings.any()
        assert not gradient.bias.any()


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_gradients_follow_the_fixed_point_that_the_start_chooses(start):
    model, cost = Model([[0, 8.0], [8.0, 0]], [-4.0, -4.0]), QuadraticCost([0], [0.25])
    begin = [start, start]
    mean = fixed_point(model, start=begin).value
    exact = implicit_gradient(model, cost, start=begin)
    v = mean[0] * (1 - mean[0])
    # by symmetry ∂m_0/∂b_0 = v/(1 − 64v²)
    assert np.isclose(exact.bias[0], (mean[0] - 0.25) * v / (1 - (8 * v) ** 2), rtol=1e-6)
    estimate = equilibrium_gradient(model, cost, nudging=1e-3, start=begin)
    np.testing.assert_allclose(estimate.bias, exact.bias, rtol=1e-3)


@given(size=SIZES, gain=st.floats(0, 0.9), leak=st.floats(0.1, 1.0), seed=SEEDS)
def test_contraction_rate_is_the_rate_of_the_linearised_relaxation(network, size, gain, leak, seed):
    model = network(size, gain, 0.0, seed, norm="spectral")
    mean = solved(model)
    rate = contraction_rate(model, mean, leak)
    assert rate <= 1 - leak * (1 - model.gain) + 1e-12
    moves = 1e-6 * np.eye(size)
    step = [(relax(model, start=mean + d, steps=1, leak=leak)[1] - relax(model, start=mean - d, steps=1, leak=leak)[1]) / 2e-6
            for d in moves]  # fmt: skip
    assert np.isclose(np.abs(np.linalg.eigvals(np.transpose(step))).max(), rate, atol=1e-6)


@given(size=SIZES, gain=st.floats(0, 0.9), leak=st.floats(0.01, 1.0), copies=st.integers(1, 5), seed=SEEDS)
def test_linear_noise_is_its_closed_form_for_one_leak(network, size, gain, leak, copies, seed):
    model = network(size, gain, 0.7, seed, norm="spectral")
    mean = solved(model)
    v = mean * (1 - mean)
    system = np.eye(size) - v[:, None] * model.couplings / model.temperature
    expected = leak / copies * np.linalg.solve(system, np.linalg.solve(2 * np.eye(size) - leak * system, np.diag(v)))
    covariance, _ = linear_noise(model, mean, leak, copies)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-12)


@given(size=SIZES, gain=st.floats(0, 0.9), seed=SEEDS)
def test_linear_noise_tends_to_the_linear_response(network, size, gain, seed):
    model = network(size, gain, 0.7, seed, norm="spectral")
    mean = solved(model)
    covariance, _ = linear_noise(model, mean, 1e-7)
    np.testing.assert_allclose(covariance / 1e-7, 0.5 * model.temperature * susceptibility(model, mean), atol=1e-6)


def test_linear_noise_refuses_an_unstable_point():
    with pytest.raises(ValueError, match="fixed point is not stable: its local rate is 1"):
        linear_noise(Model([[0, 8.0], [8.0, 0]], [-4.0, -4.0]), np.array([0.5, 0.5]), 0.2)


@pytest.mark.parametrize("leak", [0.0, -0.1, 1.5, math.nan, [0.5, 0.5, 0.5]])
@pytest.mark.parametrize("function", [linear_noise, contraction_rate])
def test_bad_leak_is_refused(function, leak):
    with pytest.raises(ValueError, match="leak must"):
        function(Model([[0, 1.0], [1.0, 0]], [0.0, 0.0]), np.array([0.6, 0.6]), leak)


@pytest.mark.parametrize("copies", [0, -1, 1.5])
def test_bad_copies_are_refused(copies):
    with pytest.raises(ValueError, match=f"copies must be a whole number of at least 1, got {copies}"):
        linear_noise(Model([[0, 1.0], [1.0, 0]], [0.0, 0.0]), np.array([0.6, 0.6]), 0.2, copies)
