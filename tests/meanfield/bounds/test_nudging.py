"""The radius of holomorphy is the best height of the strip, and the bias bounds follow from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield import HypothesisError, QuadraticCost, bounds

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 7), st.integers(0, 2**31 - 1)
GAINS = st.floats(0, 0.9)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
COST = QuadraticCost([0], [0.9])


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@given(size=SIZES, gain=GAINS, target=st.floats(0, 1), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_holomorphy_radius_is_the_maximum_over_the_strip(network, cost_on, size, gain, target, log_temperature, seed):
    model, cost = network(size, gain, log_temperature, seed, norm="row"), QuadraticCost([0], [target])
    y = np.linspace(0, math.pi, 7001)[1:-1]
    reach = model.temperature * (y - 2 * model.row_gain * np.tan(y / 2))
    if cost_on == "rates":
        stated = (reach / np.where(y <= math.pi / 2, 1.0, 1 / np.sin(y))).max()
    else:
        stated = reach.max() / abs(0.5 - target) if target != 0.5 else math.inf
    assert np.isclose(bounds.holomorphy_radius(model, cost, cost_on), stated, rtol=1e-3)


@pytest.mark.parametrize(("estimator", "order"), [("one-sided", 1), ("symmetric", 2), ("holomorphic", 5)])
@given(size=SIZES, gain=GAINS, share=st.floats(0.01, 0.99), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_estimator_bias_is_at_most_its_formula_at_every_height(
    network, estimator, order, size, gain, share, log_temperature, seed
):
    model = network(size, gain, log_temperature, seed, norm="row")
    nudging = share * bounds.holomorphy_radius(model, COST)
    bound = bounds.estimator_bias(model, COST, nudging=-nudging, estimator=estimator, points=5)
    for y in np.linspace(0.05, 3.1, 60):
        modulus = 1.0 if y <= math.pi / 2 else 1 / math.sin(y)
        radius = model.temperature * (y - 2 * model.row_gain * math.tan(y / 2)) / modulus
        if radius > nudging * (1 + 1e-3):
            ratio = (nudging / radius) ** order
            assert 0 < bound <= modulus**2 / radius * ratio / (1 - ratio) * (1 + 1e-3)


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
