"""Certified discs in the nudging: closed form, strips, majorant; each is safe, and exact where the singularity is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import lambertw

from meanfield import HypothesisError, Model, QuadraticCost, bounds, fixed_point
from meanfield.bounds.holomorphy import (
    Majorant,
    Strips,
    certificates,
    certified_strength,
    least_solution,
    strip_modulus,
)
from meanfield.equations import firing_probability

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 7), st.integers(0, 2**31 - 1)
GAINS = st.floats(0, 0.9)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
READINGS = pytest.mark.parametrize("cost_on", ["rates", "spikes"])
COST = QuadraticCost([0], [0.9])


def free_unit(bias: float = 0.0, temperature: float = 1.0) -> Model:
    return Model([[0.0]], [bias], temperature)


def majorant_of(field: float) -> Majorant:
    return next(system for system in certificates(free_unit(field), COST, "rates") if isinstance(system, Majorant))


@READINGS
@given(size=SIZES, gain=GAINS, target=st.floats(0, 1), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_closed_form_is_the_maximum_over_the_strip(network, cost_on, size, gain, target, log_temperature, seed):
    model, cost = network(size, gain, log_temperature, seed, norm="row"), QuadraticCost([0], [target])
    y = np.linspace(0, math.pi, 7001)[1:-1]
    reach = model.temperature * (y - 2 * model.row_gain * np.tan(y / 2))
    if cost_on == "rates":
        stated = (reach / np.where(y <= math.pi / 2, 1.0, 1 / np.sin(y))).max()
    else:
        stated = reach.max() / abs(0.5 - target) if target != 0.5 else math.inf
    assert np.isclose(bounds.holomorphy_radius(model, cost, cost_on), stated, rtol=1e-3)


@READINGS
@given(size=SIZES, gain=GAINS, target=st.floats(0, 1), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_local_radius_is_no_less_than_the_closed_form(network, cost_on, size, gain, target, log_temperature, seed):
    model, cost = network(size, gain, log_temperature, seed, norm="row"), QuadraticCost([0], [target])
    assert bounds.local_holomorphy_radius(model, cost, cost_on) >= bounds.holomorphy_radius(model, cost, cost_on)


@given(bias=st.floats(-20, 20), target=st.floats(0, 1), log_temperature=LOG_TEMPERATURES)
def test_local_radius_of_a_free_unit_reaches_its_pole(bias, target, log_temperature):
    # σ((b − βc)/T) has its poles at βc = b ± iπT
    temperature, slope = math.exp(log_temperature), abs(0.5 - target)
    model = free_unit(bias * temperature, temperature)
    radius = bounds.local_holomorphy_radius(model, QuadraticCost([0], [target]), "spikes")
    if slope == 0:
        assert radius == math.inf
    else:
        pole = temperature * math.hypot(bias, math.pi) / slope
        assert 0.998 * pole <= radius <= pole * (1 + 1e-9)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_radii_on_rates_come_near_the_branch_point(target):
    # b = 0, T = 1, t = 0: β = −u(1 + e^{−u}) folds where e^u = u − 1
    u = 1 - lambertw(-math.e)
    fold = abs(u * (1 + np.exp(-u)))
    for radius in (bounds.local_holomorphy_radius, bounds.holomorphy_radius):
        assert 0.93 * fold < radius(free_unit(), QuadraticCost([0], [target])) <= fold


@given(power=st.integers(-10, 10), seed=SEEDS)
def test_local_radius_depends_on_ratios_to_the_temperature_alone(rescaled, power, seed):
    one, other = (bounds.local_holomorphy_radius(model, COST) / model.temperature for model in rescaled(power, seed))
    assert np.isclose(one, other, rtol=1e-12)


def test_a_cost_without_a_slope_at_rest_never_moves_anything():
    assert bounds.local_holomorphy_radius(free_unit(0.7), QuadraticCost([0], [0.5]), "spikes") == math.inf
    at_rest = float(firing_probability(0.7, 1.0))
    assert bounds.local_holomorphy_radius(free_unit(0.7), QuadraticCost([0], [at_rest])) > 1e6


# κ_∞ = 2 and 1.5
@pytest.mark.parametrize("coupling", [8.0, 6.0])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_local_radius_needs_no_contraction(start, coupling):
    model, begin = Model([[0, coupling], [coupling, 0]], [-coupling / 2, -coupling / 2]), [start, start]
    with pytest.raises(HypothesisError, match="κ_∞"):
        bounds.holomorphy_radius(model, COST)
    radius = bounds.local_holomorphy_radius(model, COST, start=begin)
    assert 0.1 < radius < 100
    free = fixed_point(model, start=begin).value
    nudged = fixed_point(model, start=free, cost=COST, nudging=0.95 * radius, method="newton").value
    # still on the side it started from
    assert np.all((nudged - 0.5) * (free - 0.5) > 0)


def test_at_a_marginal_point_no_disc_is_certified():
    with pytest.raises(
        HypothesisError, match=r"needs κ_a < 1 or I − VJ/T invertible, got κ_a = 1 and a singular matrix"
    ):
        bounds.local_holomorphy_radius(Model([[0, 4.0], [4.0, 0]], [-2.0, -2.0]), COST, start=[0.5, 0.5])


@given(height=st.floats(0.01, 3.1), target=st.floats(0, 1))
def test_strips_know_how_far_the_activity_can_be_from_its_target(height, target):
    system = Strips(np.zeros((1, 1)), np.ones(1), np.array([-target]))
    u = np.linspace(-40, 40, 2001)[:, None] + 1j * np.linspace(0, height, 101)
    activity = firing_probability(u, 1.0)
    reach = system.image(np.array([height]), 1.0)[0]
    farthest = np.abs(activity - target).max()
    assert farthest <= reach * (1 + 1e-9)
    # attained, but for narrow strips that do not fill the disc of diameter [0, 1]: there the ends 0 and 1 do
    assert farthest >= reach * (1 - 2e-2)
    modulus = system.activity_bound(np.array([height]))[0]
    assert np.abs(activity).max() <= modulus * (1 + 1e-9)
    assert modulus == strip_modulus(np.array([height]))[0]


@READINGS
@given(size=SIZES, gain=GAINS, strength=st.floats(0, 3), seed=SEEDS)
def test_jacobians_are_the_derivatives_of_the_systems(network, cost_on, size, gain, strength, seed):
    model = network(size, gain, 0.3, seed)
    for system in certificates(model, QuadraticCost([0], [0.3]), cost_on):
        x = np.random.default_rng(seed).uniform(0.05, 0.9, size=size) * system.limit
        moves = 1e-6 * np.eye(size)
        numeric = [(system.image(x + d, strength) - system.image(x - d, strength)) / 2e-6 for d in moves]
        np.testing.assert_allclose(system.jacobian(x, strength), np.transpose(numeric), rtol=1e-6, atol=1e-7)


@READINGS
@given(size=SIZES, gain=GAINS, share=st.floats(0.05, 0.98), seed=SEEDS)
def test_least_solutions_solve_their_systems_and_end_at_the_radius(network, cost_on, size, gain, share, seed):
    model = network(size, gain, 0.3, seed)
    for system in certificates(model, COST, cost_on):
        largest = certified_strength(system)
        found = least_solution(system, share * largest)
        image = system.image(found, share * largest)
        assert (image <= found).all()
        assert (found < system.limit).all()
        np.testing.assert_allclose(image, found, rtol=1e-5)
        again = least_solution(system, share * largest, least_solution(system, 0.5 * share * largest))
        np.testing.assert_allclose(again, found, rtol=1e-6)
        assert least_solution(system, largest + 2e-3 * system.largest_strength) is None


@given(width=st.floats(0.01, 2.0))
def test_majorant_of_an_unbiased_unit_is_a_tangent(width):
    # tanh's coefficients alternate, so their absolute values are tan's
    change = majorant_of(0.0).activity_change(np.array([width]))
    np.testing.assert_allclose(change, 0.5 * math.tan(width / 2), rtol=1e-6)


@given(width=st.floats(0.01, 4.0))
def test_majorant_of_a_saturated_unit_is_an_exponential(width):
    change = majorant_of(-30.0).activity_change(np.array([width]))
    np.testing.assert_allclose(change, firing_probability(-30.0, 1.0) * math.expm1(width), rtol=1e-6)
    np.testing.assert_allclose(majorant_of(30.0).activity_change(np.array([width])), change, rtol=1e-12)


@given(field=st.floats(-30, 30), share=st.floats(0.01, 0.99), angle=st.floats(0, math.pi))
def test_majorant_bounds_the_activation_on_every_disc_short_of_its_pole(field, share, angle):
    system = majorant_of(field)
    width = share * math.hypot(field, math.pi)
    np.testing.assert_allclose(system.limit, math.hypot(field, math.pi), rtol=1e-12)
    moved = firing_probability(field + width * np.exp(1j * angle), 1.0) - firing_probability(field, 1.0)
    assert abs(moved) <= system.activity_change(np.array([width]))[0] * (1 + 1e-9) + 1e-15
