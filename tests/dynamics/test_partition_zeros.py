"""Complex zeros of the partition function: closed forms, counts, what they do to holomorphic EP."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics import (
    cost_law,
    exact_equilibrium_gradient,
    exact_gradient,
    nearest_zero,
    nudging_series,
    partition_zeros,
)
from dynamics.enumeration import all_states
from dynamics.partition_zeros import nearest_zeros
from meanfield import Model, QuadraticCost, bounds

pytestmark = pytest.mark.exact

SEEDS = st.integers(0, 2**31 - 1)
COST = QuadraticCost([0, 2], [0.9, 0.2])
WHOLE = QuadraticCost([0, 1, 2], [1.0, 0.0, 1.0])


def weights(model: Model, cost: QuadraticCost, nudging: complex) -> np.ndarray:
    """exp(−(E + βc·z)/T) of every state, over the largest modulus."""
    states = all_states(model.size)
    slopes = np.zeros(model.size)
    slopes[cost.outputs] = 0.5 - cost.target
    exponents = -(model.energy(states) + nudging * (states @ slopes)) / model.temperature
    return np.exp(exponents - exponents.real.max())


@given(bias=st.floats(-60, 60), temperature=st.floats(0.01, 50), target=st.floats(0, 0.49))
def test_one_unit_has_the_zeros_of_one_plus_an_exponential(bias, temperature, target):
    model, cost = Model([[0.0]], [bias * temperature], temperature), QuadraticCost([0], [target])
    expected = temperature * complex(bias, math.pi) / (0.5 - target)
    assert abs(nearest_zero(model, cost) - expected) < 1e-10 * abs(expected)


@given(seed=SEEDS)
def test_one_output_of_any_network_has_the_zero_of_its_mean(network, seed):
    model, cost = network(4, 1.5, 0.4, seed), QuadraticCost([2], [0.8])
    log_masses = cost_law(model, cost).log_masses
    logit = log_masses[1] - log_masses[0]
    expected = model.temperature * math.hypot(math.pi, logit) / 0.3
    assert math.isclose(abs(nearest_zero(model, cost)), expected, rel_tol=1e-10)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_commensurate_slopes_make_a_polynomial_with_the_same_zeros(network, seed):
    # c·z ∈ {−½·2, …, ½}: with x = e^{−β/2T}, Z is a cubic in x over x²
    model = network(4, 1.5, 0.4, seed)
    law = cost_law(model, WHOLE)
    coefficients = np.zeros(4)
    np.add.at(coefficients, np.rint(2 * law.values).astype(int) + 2, np.exp(law.log_masses))
    roots = -2 * model.temperature * np.log(np.roots(coefficients[::-1]).astype(complex))
    period = 4j * math.pi * model.temperature
    every = np.concatenate([roots + k * period for k in range(-3, 4)])
    within = 1.7 * bounds.zero_free_radius(model, WHOLE) * 3
    every = every[(every.imag > 1e-9) & (np.abs(every) <= within)]
    found = partition_zeros(model, WHOLE, within=within)
    assert found.size == every.size
    np.testing.assert_allclose(np.abs(found), np.sort(np.abs(every)), rtol=1e-8)
    assert math.isclose(abs(nearest_zero(model, WHOLE)), np.abs(every).min(), rel_tol=1e-9)


@settings(max_examples=15)
@given(size=st.integers(3, 6), seed=SEEDS)
def test_a_zero_is_a_zero_beyond_the_zero_free_strip_and_the_list_is_sorted(network, size, seed):
    model = network(size, 1.5, 0.4, seed)
    within = 4 * bounds.zero_free_radius(model, COST)
    zeros = partition_zeros(model, COST, within=within)
    assert (np.diff(np.abs(zeros)) >= 0).all()
    assert (zeros.imag >= bounds.zero_free_radius(model, COST) * (1 - 1e-12)).all()
    assert (np.abs(zeros) <= within).all()
    for zero in zeros:
        terms = weights(model, COST, zero)
        assert abs(terms.sum()) < 1e-9 * np.abs(terms).sum()
    if zeros.size:
        assert np.isclose(abs(zeros[0]), abs(nearest_zero(model, COST)), rtol=1e-9)


def test_at_the_symmetric_point_zeros_mirror_each_other():
    # Z ∝ cosh w + e², w = −½β: antiferromagnetic pair at b = −½J1
    model, cost = Model([[0.0, -4.0], [-4.0, 0.0]], [2.0, 2.0]), QuadraticCost([0, 1], [1.0, 1.0])
    zeros, expected = nearest_zeros(model, cost), 2 * complex(math.acosh(math.exp(2)), math.pi)
    np.testing.assert_allclose(zeros, [expected, -expected.conjugate()], rtol=1e-10)
    assert nearest_zero(model, cost) == zeros[0]


def test_multiple_zeros_count_as_often_as_they_vanish():
    # (1 + e^{−w/2})²
    model, cost = Model(np.zeros((2, 2)), np.zeros(2)), QuadraticCost([0, 1], [1.0, 1.0])
    zeros = partition_zeros(model, cost, within=20.0)
    np.testing.assert_allclose(zeros, 2j * math.pi * np.array([1, 1, 3, 3]), atol=1e-6)
    assert abs(nearest_zero(model, cost) - 2j * math.pi) < 1e-6


def test_frozen_rates_cost_has_its_own_zeros(network):
    model, cost = network(3, 1.0, 0.3, 4), QuadraticCost([1], [0.8])
    mean = float(np.exp(cost_law(model, cost).log_masses[1]))
    ratio = abs(nearest_zero(model, cost, cost_on="rates")) / abs(nearest_zero(model, cost))
    assert math.isclose(ratio, 0.3 / abs(mean - 0.8), rel_tol=1e-9)
    within = 1.01 * abs(nearest_zero(model, cost, cost_on="rates"))
    assert partition_zeros(model, cost, within=within, cost_on="rates").size == 1


def test_a_constant_cost_has_no_zero():
    assert nearest_zero(Model([[0.0]], [0.3]), QuadraticCost([0], [0.5])) == complex(math.inf)


def test_the_strip_has_no_zero(network):
    model = network(4, 1.0, 0.3, 4)
    assert partition_zeros(model, COST, within=0.99 * bounds.zero_free_radius(model, COST)).size == 0


@pytest.mark.parametrize("within", [0.0, -1.0, math.nan])
def test_a_bad_disc_is_refused(network, within):
    with pytest.raises(ValueError, match=re.escape("within must be positive and finite")):
        partition_zeros(network(4, 1.0, 0.3, 4), COST, within=within)


def test_a_cost_that_never_varies_in_floating_point_is_refused():
    said = "the cost's law is concentrated beyond what floating point can tell from one value"
    with pytest.raises(ValueError, match=re.escape(said)):
        nearest_zero(Model([[0.0]], [1e7]), QuadraticCost([0], [0.0]))


def test_taylor_coefficients_grow_like_powers_of_the_nearest_zero(network):
    model = network(4, 1.0, 0.3, 4)
    zero = nearest_zero(model, COST)
    series = np.array([term.bias[0] for term in nudging_series(model, COST, order=60)])
    scaled = np.abs(series * np.abs(zero) ** np.arange(1, 61))
    assert 0.1 < scaled[-20:].max() / scaled[10:30].max() < 10


def test_inside_the_nearest_zero_more_points_converge_and_outside_they_miss_by_the_zeros(network):
    model = network(4, 1.0, 0.3, 6)
    zeros = partition_zeros(model, COST, within=6 * bounds.zero_free_radius(model, COST))
    exact = exact_gradient(model, COST)

    def error(nudging: float) -> np.ndarray:
        estimate = exact_equilibrium_gradient(model, COST, nudging=nudging, estimator="holomorphic", points=256)
        return estimate.bias - exact.bias

    assert np.abs(error(0.8 * abs(zeros[0]))).max() < 1e-12
    assert abs(zeros[1]) > 1.2 * abs(zeros[0])
    # thm:C5c (v): −T ∂_b Σ 1/β_k with ∂_b β_k = −∂_b Z/∂_β Z, over the zero and its conjugate
    terms, states = weights(model, COST, zeros[0]), all_states(model.size)
    slopes = np.zeros(model.size)
    slopes[COST.outputs] = 0.5 - COST.target
    moved = (terms @ states) / (terms @ (states @ slopes))
    stated = 2 * (model.temperature * moved / zeros[0] ** 2).real
    np.testing.assert_allclose(error(math.sqrt(abs(zeros[0] * zeros[1]))), stated, rtol=1e-6)


def test_under_little_more_points_miss_by_half_of_the_zeros_of_the_doubled_network():
    model, cost, nudging = Model([[0.0, 1.1], [1.1, 0.0]], [0.3, -0.5], 1.0), QuadraticCost([1], [0.0]), 6.6
    doubled = Model(np.kron([[0.0, 1.0], [1.0, 0.0]], model.couplings), np.tile(model.bias, 2), 1.0)
    twice = QuadraticCost([1, 3], [0.0, 0.0])
    zeros, states = partition_zeros(doubled, twice, within=nudging), all_states(4)
    assert zeros.size == 2
    # ∂β_k/∂J_12 = −∂_J Z/∂_β Z: J_12 couples neuron 1 of either time with neuron 2 of the other
    slope = 0.0
    for zero in zeros:
        terms = weights(doubled, twice, zero)
        moved = (
            terms
            @ (states[:, 0] * states[:, 3] + states[:, 1] * states[:, 2])
            / (terms @ states[:, [1, 3]].sum(axis=1) / 2)
        )
        slope -= 2 * (moved / zero**2).real
    within = exact_gradient(model, cost, dynamics="little").couplings[0, 1]
    beyond = exact_equilibrium_gradient(
        model, cost, nudging=nudging, estimator="holomorphic", points=4096, dynamics="little"
    ).couplings[0, 1]
    assert beyond == pytest.approx(within - 0.5 * slope, rel=1e-6)
    assert abs(beyond - (within - slope)) > 0.05
