"""Collocation of the leaky chain's transfer operator: exact where another exact law exists, linear noise as the leak vanishes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics import exact_law, leaky_law, leaky_stationary, sample
from dynamics.enumeration import nudged_bias
from meanfield import Model, QuadraticCost, bounds, fixed_point, implicit_gradient, leading_bias, linear_noise

pytestmark = pytest.mark.exact

FALSE_ALARM = 1e-9
SEEDS = st.integers(0, 2**31 - 1)


@given(size=st.integers(1, 2), gain=st.floats(0, 0.4), leak=st.floats(0.85, 1.0), seed=SEEDS)
def test_stationary_moments_are_the_long_time_limit_of_the_histories(network, size, gain, leak, seed):
    model = network(size, gain, 0.0, seed)
    steps = 14 // size
    paths, probabilities = leaky_law(model, leak=leak, steps=steps)
    mean = probabilities @ paths[:, -1]
    centred = paths[:, -1] - mean
    stationary = leaky_stationary(model, leak=leak)
    # coupled traces approach at this rate, and a covariance moves by at most twice the traces' distance
    left = 2 * size * (1 - leak * (1 - model.row_gain)) ** steps + 1e-11
    np.testing.assert_allclose(stationary.mean, mean, rtol=0, atol=left)
    np.testing.assert_allclose(stationary.covariance, centred.T @ (probabilities[:, None] * centred), rtol=0, atol=left)


@given(size=st.integers(1, 2), gain=st.floats(0, 0.9), seed=SEEDS)
def test_with_leak_one_the_traces_are_littles_spikes(network, size, gain, seed):
    model = network(size, gain, 0.0, seed)
    stationary, little = leaky_stationary(model, leak=1.0), exact_law(model, dynamics="little")
    np.testing.assert_allclose(stationary.mean, little.mean, atol=1e-11)
    np.testing.assert_allclose(stationary.covariance, little.covariance, atol=1e-11)


@given(leak=st.floats(0.01, 1), copies=st.integers(1, 4), field=st.floats(-5, 5))
def test_an_uncoupled_unit_has_the_variance_of_a_leaky_average(leak, copies, field):
    stationary = leaky_stationary(Model([[0.0]], [field]), leak=leak, copies=copies)
    p = 1 / (1 + math.exp(-field))
    assert np.isclose(stationary.mean[0], p, atol=1e-11)
    assert np.isclose(stationary.covariance[0, 0], leak / (2 - leak) * p * (1 - p) / copies, atol=1e-11)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(("gain", "seed"), [(0.5, 0), (0.8, 1), (0.6, 2)])
def test_linear_noise_is_approached_with_slope_one_in_the_leak(network, gain, seed, copies):
    model = network(2, gain, 0.4, seed)
    mean, off = fixed_point(model, method="newton").value, []
    for leak in (0.02, 0.01):
        exact = leaky_stationary(model, leak=leak, copies=copies)
        covariance, shift = linear_noise(model, mean, leak, copies)
        off.append((np.abs(exact.covariance / covariance - 1).max(), np.abs((exact.mean - mean) / shift - 1).max()))
    for wide, narrow in zip(*off, strict=True):
        assert narrow < 0.05
        assert abs(math.log2(wide / narrow) - 1) < 0.15


@given(
    gain=st.floats(0, 0.9),
    leaks=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
    copies=st.integers(1, 3),
    seed=SEEDS,
)
def test_stationary_bounds_hold_for_mixed_leaks(network, gain, leaks, copies, seed):
    model = network(2, gain, 0.0, seed)
    stationary, mean = leaky_stationary(model, leak=leaks, copies=copies), fixed_point(model).value
    shift = stationary.mean - mean
    arguments = {"leak": leaks, "copies": copies}
    assert (np.abs(shift) <= bounds.leaky_mean_error(model, **arguments) + 1e-10).all()
    assert (np.abs(stationary.covariance) <= bounds.leaky_covariance_matrix(model, **arguments) + 1e-10).all()
    assert np.trace(stationary.covariance) + shift @ shift <= bounds.leaky_tracking(model, **arguments) + 1e-10


@pytest.mark.statistical
def test_sampled_traces_average_to_the_stationary_mean(network):
    model, leaks = network(2, 0.7, 0.0, 5), [0.3, 0.6]
    drawn = sample(model, dynamics="leaky", steps=200, replicas=20_000, seed=1, leak=leaks)
    radius = math.sqrt(math.log(4 / FALSE_ALARM) / (2 * 20_000))
    assert (np.abs(drawn.mean - leaky_stationary(model, leak=leaks).mean) < radius).all()


def test_three_units_are_too_many():
    with pytest.raises(ValueError, match="collocation serves at most 2 units, got 3"):
        leaky_stationary(Model(np.zeros((3, 3)), np.zeros(3)), leak=0.5)


@pytest.mark.parametrize("leak", [0.0, 1.5, math.nan, [0.5, 0.5, 0.5]])
def test_bad_leak_is_refused(leak):
    with pytest.raises(ValueError, match="leak must"):
        leaky_stationary(Model([[0, 1.0], [1.0, 0]], [0, 0]), leak=leak)


@pytest.mark.parametrize(("gain", "seed"), [(0.5, 0), (0.8, 1), (0.3, 5)])
def test_an_estimates_bias_is_that_of_the_nudging_and_of_the_leak(network, gain, seed):
    model, cost = network(2, gain, 0.4, seed), QuadraticCost([1], [1.0])
    target = implicit_gradient(model, cost, "spikes").couplings[0, 1]

    def estimate(read, nudging):
        up, down = (read(model.with_bias(nudged_bias(model, cost, sign * nudging))) for sign in (1, -1))
        return -(up - down) / (2 * nudging)

    def exact(nudged, leak):
        law = leaky_stationary(nudged, leak=leak)
        return law.covariance[0, 1] + law.mean[0] * law.mean[1]

    def leaked(nudged):
        mean = fixed_point(nudged, method="newton", tolerance=1e-14).value
        covariance, shift = linear_noise(nudged, mean, 1e-6)
        return (covariance[0, 1] + mean @ shift[::-1]) / 1e-6

    off = []
    for small in (0.02, 0.01):
        stated = small**2 * leading_bias(model, cost, nudging=1.0, cost_on="spikes").couplings[0, 1]
        stated += small * estimate(leaked, 1e-2)
        found = estimate(lambda nudged, leak=small: exact(nudged, leak), small) - target
        off.append(abs(found / stated - 1))
    # what is left falls like the leak
    assert off[0] < 0.05
    assert off[1] < 0.6 * off[0]
