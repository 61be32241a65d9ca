"""The bias of equilibrium propagation at finite nudging: its order, its proven bound, its refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics import exact_gradient
from meanfield import (
    Model,
    QuadraticCost,
    bounds,
    equilibrium_gradient,
    fixed_point,
    implicit_gradient,
    leading_bias,
)

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 6), st.integers(0, 2**31 - 1)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
COST = QuadraticCost([0, 2], [0.9, 0.2])
COSTS_ON = pytest.mark.parametrize("cost_on", ["rates", "spikes"])


def relative_error(model: Model, exact, **arguments) -> float:
    estimate = equilibrium_gradient(model, COST, **arguments)
    return float(np.linalg.norm(estimate.couplings - exact.couplings) / np.linalg.norm(exact.couplings))


@COSTS_ON
@pytest.mark.parametrize("correction", ["none", "onsager"])
@pytest.mark.parametrize(
    ("estimator", "points", "order", "nudging"),
    [
        ("one-sided", 8, 1, 2e-3),
        ("symmetric", 8, 2, 2e-2),
        ("holomorphic", 2, 2, 2e-2),
        ("holomorphic", 3, 3, 5e-2),
        ("holomorphic", 4, 4, 1e-1),
        ("holomorphic", 6, 6, 3e-1),
    ],
)
def test_bias_has_the_order_of_the_estimator(network, correction, cost_on, estimator, points, order, nudging):
    model = network(4, 0.4, 0.0, 12)
    exact = implicit_gradient(model, COST, cost_on, correction=correction)
    wide, narrow = (
        relative_error(
            model, exact, nudging=size, estimator=estimator, points=points, correction=correction, cost_on=cost_on
        )
        for size in (nudging, nudging / 2)
    )
    assert abs(math.log2(wide / narrow) - order) < 0.1


def test_two_holomorphic_points_are_the_symmetric_estimator(network):
    model = network(4, 0.5, 0.4, 3)
    one = equilibrium_gradient(model, COST, nudging=0.3, estimator="holomorphic", points=2)
    other = equilibrium_gradient(model, COST, nudging=0.3, estimator="symmetric")
    np.testing.assert_allclose(one.couplings, other.couplings, atol=1e-12)
    np.testing.assert_allclose(one.bias, other.bias, atol=1e-12)


@COSTS_ON
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric", "holomorphic"])
@given(
    size=SIZES, gain=st.floats(0, 0.95), share=st.floats(0.02, 0.98), points=st.integers(2, 9),
    log_temperature=LOG_TEMPERATURES, seed=SEEDS,
)  # fmt: skip
def test_bias_stays_below_its_bound_inside_the_radius(
    network, cost_on, estimator, size, gain, share, points, log_temperature, seed
):
    model = network(size, gain, log_temperature, seed, norm="row")
    cost = QuadraticCost([0], [0.95])
    nudging = share * bounds.holomorphy_radius(model, cost, cost_on)
    estimate = equilibrium_gradient(model, cost, nudging=nudging, estimator=estimator, points=points, cost_on=cost_on)
    error = np.abs(estimate.couplings - implicit_gradient(model, cost, cost_on).couplings).max()
    bound = bounds.estimator_bias(model, cost, nudging=nudging, estimator=estimator, points=points, cost_on=cost_on)
    assert error <= bound + 1e-9 / nudging


@pytest.mark.parametrize("seed", range(3))
def test_the_onsager_correction_wins_one_order_of_temperature_and_needs_its_pair_term(network, seed):
    base, errors = network(6, 0.4, 0.0, seed), {"none": [], "onsager": [], "without pair term": []}
    for temperature in (40.0, 80.0):
        model, nudging = Model(base.couplings, base.bias, temperature), 1e-4 * temperature
        up, down = (
            fixed_point(
                model, correction="onsager", cost=COST, nudging=strength, cost_on="spikes", method="newton"
            ).value
            for strength in (nudging, -nudging)
        )
        found = {
            correction: implicit_gradient(model, COST, "spikes", correction=correction).couplings
            for correction in ("none", "onsager")
        }
        found["without pair term"] = (np.outer(down, down) - np.outer(up, up)) / (2 * nudging) * (1 - np.eye(6))
        exact = exact_gradient(model, COST).couplings
        for name, value in found.items():
            errors[name].append(np.linalg.norm(value - exact) / np.linalg.norm(exact))
    falls = {name: math.log2(values[0] / values[1]) for name, values in errors.items()}
    assert abs(falls["none"] - 2) < 0.2
    assert falls["onsager"] > 2.8
    assert falls["without pair term"] < 2.2


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
def test_a_single_unit_learns_by_its_bias_alone(cost_on):
    model, cost = Model([[0.0]], [0.4], 0.5), QuadraticCost([0], [0.9])
    gradient = equilibrium_gradient(model, cost, nudging=1e-4, cost_on=cost_on)
    m = 1 / (1 + math.exp(-0.8))
    slope = m - 0.9 if cost_on == "rates" else 0.5 - 0.9
    assert gradient.couplings.tolist() == [[0.0]]
    assert np.isclose(gradient.bias[0], m * (1 - m) / 0.5 * slope, rtol=1e-6)


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
@pytest.mark.parametrize("correction", ["none", "onsager"])
def test_extreme_temperatures_are_ordinary(network, temperature, correction):
    model = network(4, 0.4, math.log(temperature), 5)
    estimate = equilibrium_gradient(
        model, COST, nudging=0.1 * temperature, estimator="holomorphic", points=12, correction=correction
    )
    exact = implicit_gradient(model, COST, correction=correction)
    np.testing.assert_allclose(temperature * estimate.couplings, temperature * exact.couplings, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"nudging": 0.0}, "nudging must be a finite non-zero real number, got 0.0"),
        ({"nudging": math.nan}, "nudging must be a finite non-zero real number, got nan"),
        ({"nudging": math.inf}, "nudging must be a finite non-zero real number, got inf"),
        ({"nudging": 0.1j}, "nudging must be a finite non-zero real number, got 0.1j"),
        (
            {"nudging": 0.1, "estimator": "central"},
            "^estimator must be one of one-sided, symmetric, holomorphic, got 'central'$",
        ),
        ({"nudging": 0.1, "points": 1}, "points must be at least 2, got 1"),
        ({"nudging": 0.1, "correction": "tap"}, "correction must be 'none' or 'onsager', got 'tap'"),
        ({"nudging": 0.1, "cost_on": "z"}, "cost_on must be 'rates' or 'spikes', got 'z'"),
        ({"nudging": 0.1, "start": [2.0, 0.0, 0.0, 0.0]}, r"start must lie in \[0, 1\], got 2.0"),
    ],
)
def test_bad_argument_is_refused_with_the_value(network, arguments, said):
    with pytest.raises(ValueError, match=said):
        equilibrium_gradient(network(4, 0.3, 0.0, 0), COST, **arguments)


def test_output_beyond_the_network_is_refused(network):
    for gradient in (lambda m: implicit_gradient(m, COST), lambda m: equilibrium_gradient(m, COST, nudging=0.1)):
        with pytest.raises(ValueError, match="outputs name unit 2, but the network has 2 units"):
            gradient(network(2, 0.3, 0.0, 0))


@COSTS_ON
@pytest.mark.parametrize("correction", ["none", "onsager"])
@pytest.mark.parametrize(
    ("estimator", "points", "nudging"),
    [("one-sided", 8, 1e-3), ("symmetric", 8, 1e-2), ("holomorphic", 3, 5e-2), ("holomorphic", 4, 1e-1)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_leading_bias_is_the_bias_at_small_nudging(network, correction, cost_on, estimator, points, nudging, sign):
    model = network(4, 0.4, 0.0, 12)
    reading = {"correction": correction, "cost_on": cost_on}
    asked = {"nudging": sign * nudging, "estimator": estimator, "points": points, **reading}
    estimate, exact = equilibrium_gradient(model, COST, **asked), implicit_gradient(model, COST, **reading)
    for found, stated, lead in zip(estimate, exact, leading_bias(model, COST, **asked), strict=True):
        assert np.abs(found - stated - lead).max() < 0.02 * np.abs(lead).max()


@pytest.mark.parametrize(("estimator", "factor"), [("one-sided", -2.0), ("symmetric", 4.0), ("holomorphic", 32.0)])
def test_leading_bias_is_a_power_of_the_nudging(network, estimator, factor):
    model = network(4, 0.4, 0.7, 3)
    one, other = (leading_bias(model, COST, nudging=nudging, estimator=estimator, points=5) for nudging in (0.1, -0.2))
    for small, large in zip(one, other, strict=True):
        np.testing.assert_allclose(large, factor * small, rtol=1e-9, atol=1e-18)


def test_leading_bias_follows_the_start():
    model, begin = Model([[0, 8.0], [8.0, 0]], [-4.0, -4.0]), [0.0, 0.0]
    cost, asked = QuadraticCost([0], [0.25]), {"nudging": 1e-3, "estimator": "symmetric", "start": [0.0, 0.0]}
    bias = equilibrium_gradient(model, cost, **asked).bias - implicit_gradient(model, cost, start=begin).bias
    np.testing.assert_allclose(leading_bias(model, cost, **asked).bias, bias, rtol=1e-2, atol=1e-12)


def test_leading_bias_refuses_what_the_estimator_refuses():
    model = Model([[0, 1.0], [1.0, 0]], [0.0, 0.0])
    for bad, message in (
        ({"nudging": 0.0}, "nudging must be"),
        ({"nudging": 0.1, "estimator": "central"}, "estimator must be one of"),
        ({"nudging": 0.1, "estimator": "holomorphic", "points": 1}, "points must be at least 2"),
    ):
        with pytest.raises(ValueError, match=message):
            leading_bias(model, QuadraticCost([0], [0.5]), **bad)
