"""The bias bounds at finite nudging: closed form over the strips, and exact coefficients with a bounded rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield import (
    HypothesisError,
    Model,
    QuadraticCost,
    bounds,
    equilibrium_gradient,
    implicit_gradient,
    leading_bias,
)

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 7), st.integers(0, 2**31 - 1)
GAINS = st.floats(0, 0.9)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
COST = QuadraticCost([0], [0.9])


@pytest.mark.parametrize(("estimator", "order"), [("one-sided", 1), ("symmetric", 2), ("holomorphic", 5)])
@given(size=SIZES, gain=GAINS, share=st.floats(0.01, 0.99), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_estimator_bias_is_at_most_its_formula_at_every_height(
    network, estimator, order, size, gain, share, log_temperature, seed
):
    model = network(size, gain, log_temperature, seed, norm="row")
    nudging = share * bounds.holomorphy_radius(model, COST)
    bound = bounds.estimator_bias(model, COST, nudging=-nudging, estimator=estimator, points=5)
    closed = bounds.estimator_bias(model, COST, nudging=nudging, estimator=estimator, points=5, order=0)
    for y in np.linspace(0.05, 3.1, 60):
        modulus = 1.0 if y <= math.pi / 2 else 1 / math.sin(y)
        radius = model.temperature * (y - 2 * model.row_gain * math.tan(y / 2)) / modulus
        if radius > nudging * (1 + 1e-3):
            ratio = (nudging / radius) ** order
            assert 0 < bound <= modulus**2 / radius * ratio / (1 - ratio) * (1 + 1e-3)
            assert bound <= closed <= modulus**2 / radius * ratio / (1 - ratio) * (1 + 1e-3)


def test_estimator_bias_grows_with_nudging_and_vanishes_with_it(pair):
    values = [bounds.estimator_bias(pair, COST, nudging=b, estimator="symmetric") for b in (0.0, 0.1, 0.2, 0.5)]
    assert values[0] == 0.0
    assert values == sorted(values)


def test_bias_is_refused_from_the_radius_on(pair):
    radius = bounds.holomorphy_radius(pair, COST)
    assert np.isfinite(bounds.estimator_bias(pair, COST, nudging=0.999 * radius, estimator="symmetric"))
    for nudging in (radius, -1.001 * radius, math.nan):
        with pytest.raises(HypothesisError, match=r"needs \|nudging\| < "):
            bounds.estimator_bias(pair, COST, nudging=nudging, estimator="symmetric")


@pytest.mark.parametrize("estimator", ["random-sign", "central"])
def test_unknown_estimator_is_refused(pair, estimator):
    with pytest.raises(ValueError, match=f"estimator must be one of .*, got '{estimator}'"):
        bounds.estimator_bias(pair, COST, nudging=0.1, estimator=estimator)


@pytest.mark.parametrize("points", [0, 1, -3])
def test_bias_of_too_few_points_is_refused(pair, points):
    with pytest.raises(ValueError, match=f"points must be .*at least 2, got {points}"):
        bounds.estimator_bias(pair, COST, nudging=0.1, estimator="holomorphic", points=points)


@given(power=st.integers(-10, 10), seed=SEEDS)
def test_bounds_depend_on_ratios_to_the_temperature_alone(rescaled, power, seed):
    model, other = rescaled(power, seed)
    for quantity in (
        lambda m: bounds.holomorphy_radius(m, COST) / m.temperature,
        lambda m: bounds.estimator_bias(m, COST, nudging=0.3 * m.temperature, estimator="symmetric") * m.temperature,
    ):
        np.testing.assert_allclose(quantity(model), quantity(other), rtol=1e-12)


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric", "holomorphic"])
@given(
    size=SIZES,
    gain=GAINS,
    share=st.floats(-0.95, 0.95).filter(lambda share: abs(share) > 0.02),
    order=st.integers(1, 12),
    points=st.integers(2, 6),
    seed=SEEDS,
)
def test_every_weights_bias_is_within_its_local_bound(
    network, estimator, cost_on, size, gain, share, order, points, seed
):
    model = network(size, gain, 0.4, seed)
    nudging = share * bounds.local_holomorphy_radius(model, COST, cost_on)
    asked = {"nudging": nudging, "estimator": estimator, "points": points, "cost_on": cost_on}
    estimate = equilibrium_gradient(model, COST, **asked)
    limits = bounds.local_estimator_bias(model, COST, order=order, **asked)
    for found, exact, limit in zip(estimate, implicit_gradient(model, COST, cost_on), limits, strict=True):
        assert (np.abs(found - exact) <= limit + 1e-12 / abs(nudging)).all()
    np.testing.assert_array_equal(limits.couplings, limits.couplings.T)
    assert not np.diagonal(limits.couplings).any()


@pytest.mark.parametrize(("estimator", "points"), [("one-sided", 2), ("symmetric", 2), ("holomorphic", 3)])
@given(seed=SEEDS)
def test_at_small_nudging_the_local_bound_is_the_leading_bias(network, estimator, points, seed):
    model = network(5, 0.5, 0.4, seed)
    asked = {"nudging": -1e-4 * bounds.local_holomorphy_radius(model, COST), "estimator": estimator, "points": points}
    lead, limits = leading_bias(model, COST, **asked), bounds.local_estimator_bias(model, COST, order=1, **asked)
    for stated, limit in zip(lead, limits, strict=True):
        assert (limit >= np.abs(stated) * (1 - 1e-12)).all()
        largest = np.abs(stated).argmax()
        assert limit.flat[largest] <= 1.1 * np.abs(stated).max()


@given(seed=SEEDS, share=st.floats(0.1, 0.6))
def test_more_exact_coefficients_leave_little_to_the_rest(network, seed, share):
    model = network(4, 0.5, 0.4, seed)
    asked = {"nudging": share * bounds.local_holomorphy_radius(model, COST), "estimator": "one-sided"}
    estimate, exact = equilibrium_gradient(model, COST, **asked), implicit_gradient(model, COST)
    bias = np.abs(estimate.couplings - exact.couplings).max()
    assert bounds.local_estimator_bias(model, COST, order=40, **asked).couplings.max() <= 1.001 * bias


def test_where_no_larger_disc_is_certified_the_closed_form_stands():
    # poles at β = ±2πi exactly: the closed form and the certificates end there together
    model, cost = Model(np.zeros((2, 2)), [0.0, 0.0]), QuadraticCost([0], [1.0])
    nudging = 0.9999 * bounds.holomorphy_radius(model, cost, "spikes")
    asked = {"nudging": nudging, "estimator": "symmetric", "cost_on": "spikes"}
    with pytest.raises(HypothesisError, match=r"needs \|nudging\| < 6.2.*, 0.2 % inside a certified disc, got 6.28"):
        bounds.local_estimator_bias(model, cost, **asked)
    assert bounds.estimator_bias(model, cost, **asked) == bounds.estimator_bias(model, cost, order=0, **asked) > 0


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_local_bias_needs_no_contraction_and_follows_the_start(start):
    model, begin = Model([[0, 8.0], [8.0, 0]], [-4.0, -4.0]), [start, start]
    asked = {"nudging": 0.1, "estimator": "symmetric"}
    with pytest.raises(HypothesisError, match="κ_∞"):
        bounds.estimator_bias(model, COST, **asked)
    estimate = equilibrium_gradient(model, COST, start=begin, **asked)
    exact = implicit_gradient(model, COST, start=begin)
    limits = bounds.local_estimator_bias(model, COST, start=begin, **asked)
    for found, stated, limit in zip(estimate, exact, limits, strict=True):
        bias = np.abs(found - stated)
        assert (bias <= limit + 1e-12).all()
        np.testing.assert_allclose(bias, limit, rtol=0.05, atol=1e-12)


def test_no_nudging_has_no_bias(pair):
    for part in bounds.local_estimator_bias(pair, COST, nudging=0.0, estimator="one-sided"):
        assert not part.any()


@pytest.mark.parametrize("nudging", [math.nan, math.inf])
def test_local_bias_of_an_infinite_nudging_is_refused(pair, nudging):
    with pytest.raises(ValueError, match=f"nudging must be finite, got {nudging}"):
        bounds.local_estimator_bias(pair, COST, nudging=nudging, estimator="symmetric")


def test_local_bias_needs_a_coefficient_and_a_known_estimator(pair):
    with pytest.raises(ValueError, match="order must be a whole number of at least 1, got 0"):
        bounds.local_estimator_bias(pair, COST, nudging=0.1, estimator="symmetric", order=0)
    with pytest.raises(ValueError, match="order must be a whole number of at least 0, got -1"):
        bounds.estimator_bias(pair, COST, nudging=0.1, estimator="symmetric", order=-1)
    with pytest.raises(ValueError, match=r"estimator must be one of .*, got 'central'"):
        bounds.local_estimator_bias(pair, COST, nudging=0.1, estimator="central")
