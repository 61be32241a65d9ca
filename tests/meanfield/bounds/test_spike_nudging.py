"""What a finite nudging costs EP under the spikes' own laws: where the partition function has no zero, and how large biases are."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from dynamics import cost_law, exact_equilibrium_gradient, exact_gradient, nudging_series
from meanfield import HypothesisError, Model, QuadraticCost, bounds
from meanfield.bounds.spike_nudging import aliased_terms, cost_range

pytestmark = pytest.mark.exact

SEEDS = st.integers(0, 2**31 - 1)
COST = QuadraticCost([0, 2], [0.9, 0.2])
ESTIMATORS = pytest.mark.parametrize(
    ("estimator", "points", "order"), [("one-sided", 8, 1), ("symmetric", 8, 2), ("holomorphic", 5, 5)]
)


def partition(model: Model, cost: QuadraticCost, nudging: complex) -> complex:
    """Z(β)/Z(0)."""
    law = cost_law(model, cost)
    return complex(np.exp(law.log_masses - nudging * law.values / model.temperature).sum())


def test_range_of_the_cost_is_the_sum_of_its_slopes(network):
    model = network(4, 0.5, 0.0, 1)
    assert math.isclose(cost_range(model, COST), 0.4 + 0.3)
    assert math.isclose(cost_range(model, COST, "little"), 2 * (0.4 + 0.3))
    assert math.isclose(cost_range(model, COST), np.ptp(cost_law(model, COST).values))


def test_zero_free_radius_is_reached_by_one_unit_of_mean_one_half():
    unit, cost = Model([[0.0]], [0.0], 0.7), QuadraticCost([0], [0.1])
    radius = bounds.zero_free_radius(unit, cost)
    assert math.isclose(radius, math.pi * 0.7 / 0.4)
    assert abs(partition(unit, cost, 1j * radius)) < 1e-15
    assert math.isclose(bounds.zero_free_radius(unit, cost, dynamics="little"), radius / 2)


@given(size=st.integers(3, 6), seed=SEEDS, share=st.floats(0, 1), real=st.floats(-30, 30))
def test_partition_function_has_no_zero_in_the_strip(network, size, seed, share, real):
    model = network(size, 2.0, 0.3, seed)
    nudging = complex(real, share * bounds.zero_free_radius(model, COST))
    # |Z(β)| ≥ cos(½π share) Z(Re β)
    smallest = math.cos(0.5 * math.pi * share) * abs(partition(model, COST, real))
    assert abs(partition(model, COST, nudging)) >= smallest * (1 - 1e-9) - 1e-15


def test_a_constant_cost_has_no_zeros_and_no_bias(network):
    model, cost = network(3, 0.5, 0.0, 2), QuadraticCost([0, 1], [0.5, 0.5])
    assert bounds.zero_free_radius(model, cost) == math.inf
    assert bounds.spike_estimator_bias(model, cost, nudging=100.0, estimator="symmetric") == 0.0


@pytest.mark.parametrize("dynamics", ["gibbs", "little"])
@ESTIMATORS
@given(size=st.integers(3, 5), share=st.floats(0.02, 0.95), seed=SEEDS)
def test_every_bias_stays_below_its_bound(network, dynamics, estimator, points, order, size, share, seed):
    model = network(size, 1.0, 0.3, seed)
    setting = {
        "nudging": share * bounds.zero_free_radius(model, COST, dynamics=dynamics),
        "estimator": estimator,
        "points": points,
        "dynamics": dynamics,
    }
    bound = bounds.spike_estimator_bias(model, COST, **setting)
    estimate = exact_equilibrium_gradient(model, COST, **setting)
    for found, exact in zip(estimate, exact_gradient(model, COST, dynamics=dynamics), strict=True):
        assert np.abs(found - exact).max() <= bound


@pytest.mark.parametrize("dynamics", ["gibbs", "little"])
@ESTIMATORS
@pytest.mark.parametrize("nudging", [0.2, -1.1])
def test_bias_bound_is_the_best_of_cauchys_estimates(network, dynamics, estimator, points, order, nudging):
    model = network(4, 1.0, 0.3, 5)
    spread, size = cost_range(model, COST, dynamics), abs(nudging)
    radius = math.pi * model.temperature / spread

    def estimate(circle: float) -> float:
        # half the range of ∂E/∂θ over the cosine, times the geometric series of the aliased coefficients
        largest = 0.5 / math.cos(circle * spread / (2 * model.temperature))
        return sum(largest / circle * (size / circle) ** (m * order) for m in range(1, 400))

    best = minimize_scalar(estimate, bounds=(size * 1.001, radius * 0.999), method="bounded").fun
    bound = bounds.spike_estimator_bias(
        model, COST, nudging=nudging, estimator=estimator, points=points, dynamics=dynamics
    )
    assert bound == pytest.approx(best, rel=1e-3)


@ESTIMATORS
def test_bias_bound_has_the_estimators_order(network, estimator, points, order):
    model = network(4, 1.0, 0.3, 5)
    wide, narrow = (
        bounds.spike_estimator_bias(model, COST, nudging=nudging, estimator=estimator, points=points)
        for nudging in (0.02, 0.01)
    )
    assert math.log2(wide / narrow) == pytest.approx(order, abs=0.1)


def test_beyond_the_strip_the_bias_bound_refuses(network):
    model = Model(np.zeros((3, 3)), np.zeros(3))
    radius = math.pi / 0.7
    assert bounds.spike_estimator_bias(model, COST, nudging=0.999 * radius, estimator="one-sided") > 0
    said = "this bound needs |nudging| < 4.48799, got 4.48799: raise the temperature or use less"
    with pytest.raises(HypothesisError, match=re.escape(said)):
        bounds.spike_estimator_bias(model, COST, nudging=radius, estimator="one-sided")


@pytest.mark.parametrize(
    ("bias", "estimator"),
    [(0.0, "one-sided"), (math.log(2 + math.sqrt(3)), "symmetric"), (-1.316957896924816, "symmetric")],
)
def test_objective_gap_is_tight_for_one_unit(bias, estimator):
    temperature, slope, nudging = 0.6, 0.4, 0.02
    unit, cost = Model([[0.0]], [bias * temperature], temperature), QuadraticCost([0], [0.1])
    mean = 1 / (1 + math.exp(-bias))

    def objective(strength: float) -> float:
        return -temperature / strength * math.log(1 + mean * math.expm1(-strength * slope / temperature))

    gap = objective(nudging) - slope * mean
    if estimator == "symmetric":
        gap = 0.5 * (objective(nudging) + objective(-nudging)) - slope * mean
    bound = bounds.objective_gap(unit, cost, nudging=-nudging, estimator=estimator)
    assert 0.99 * bound < abs(gap) <= bound


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: bounds.objective_gap(m, COST, nudging=0.1, estimator="holomorphic"),
         "estimator must be one-sided or symmetric, got 'holomorphic': use spike_estimator_bias"),
        (lambda m: bounds.objective_gap(m, COST, nudging=0.0, estimator="symmetric"), "non-zero real number, got 0.0"),
        (lambda m: bounds.spike_estimator_bias(m, COST, nudging=0.1, estimator="both"), "estimator must be one of"),
        (lambda m: bounds.zero_free_radius(m, COST, dynamics="leaky"), "dynamics must be 'gibbs' or 'little', got 'leaky'"),
    ],
)  # fmt: skip
def test_bad_requests_are_one_sentence(network, call, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        call(network(3, 0.5, 0.0, 1))


@pytest.mark.parametrize(("order", "first"), [(1, 1), (1, 2), (2, 2), (4, 1), (3, 3)])
@given(size=st.integers(3, 5), share=st.floats(0.05, 0.9), seed=SEEDS)
def test_aliased_terms_bound_the_rest_of_the_series(network, order, first, size, share, seed):
    model = network(size, 1.0, 0.3, seed)
    nudging = share * bounds.zero_free_radius(model, COST)
    series = nudging_series(model, COST, order=1 + order * (first + 6))
    rest = sum(np.abs(series[m * order].couplings) * nudging ** (m * order) for m in range(first, first + 7))
    assert rest.max() <= aliased_terms(model, COST, nudging=nudging, order=order, first=first)


def test_the_first_of_the_aliased_terms_dominates_at_small_nudgings(network):
    model = network(4, 1.0, 0.3, 5)
    one, two = (aliased_terms(model, COST, nudging=1e-3, order=2, first=first) for first in (1, 2))
    assert two < 1e-5 * one
    assert one == bounds.spike_estimator_bias(model, COST, nudging=1e-3, estimator="symmetric")
