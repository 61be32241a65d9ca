"""Phases that have run for ever: their moments, the small-nudging limit of coupled variance, the three-factor's variance."""

import itertools

import numpy as np
import pytest

from dynamics import (
    coupled_variance_coefficient,
    estimate_gradient,
    exact_equilibrium_gradient,
    exact_estimator_moments,
    exact_gradient,
    exact_law,
    stationary_estimator_moments,
    three_factor_variance,
)
from dynamics.enumeration import all_states
from dynamics.exact_variance import pair_chain
from meanfield import Model, QuadraticCost

# a variance of 4096 samples errs by about 1/32 of itself: its tolerance 0.2 is six of these, for each of six entries
FALSE_ALARM = 1.2e-8
COST = QuadraticCost([2, 1], [1.0, 0.3])
NET = Model([[0.0, 0.9, -0.6], [0.9, 0.0, 0.5], [-0.6, 0.5, 0.0]], [0.4, -0.7, 0.3], 0.8)
UPPER = np.triu_indices(3, 1)


@pytest.mark.exact
@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("estimator", ["symmetric", "one-sided"])
def test_moments_are_the_limit_of_many_sweeps(estimator, coupled):
    for_ever = stationary_estimator_moments(NET, COST, nudging=0.3, estimator=estimator, coupled=coupled)
    long = exact_estimator_moments(NET, COST, nudging=0.3, estimator=estimator, coupled=coupled, steps_nudged=60)
    for one, other in zip((*for_ever.mean, *for_ever.variance), (*long.mean, *long.variance), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.exact
def test_the_mean_is_the_exact_finite_nudging_gradient_coupled_or_not():
    wanted = exact_equilibrium_gradient(NET, COST, nudging=0.4, estimator="one-sided")
    for coupled in (True, False):
        found = stationary_estimator_moments(NET, COST, nudging=0.4, estimator="one-sided", coupled=coupled).mean
        np.testing.assert_allclose(found.couplings, wanted.couplings, atol=1e-13)
        np.testing.assert_allclose(found.bias, wanted.bias, atol=1e-13)


@pytest.mark.exact
@pytest.mark.parametrize(("estimator", "scale"), [("symmetric", 2.0), ("one-sided", 1.0)])
def test_coupled_variance_is_its_coefficient_over_the_nudging(estimator, scale):
    coefficient = coupled_variance_coefficient(NET, COST)
    small, smaller = (
        scale * beta * stationary_estimator_moments(NET, COST, nudging=beta, estimator=estimator).variance.couplings
        for beta in (2e-3, 1e-3)
    )
    np.testing.assert_allclose((2 * smaller - small)[UPPER], coefficient.couplings[UPPER], rtol=1e-5)
    unit = scale * 1e-3 * stationary_estimator_moments(NET, COST, nudging=1e-3, estimator=estimator).variance.bias
    np.testing.assert_allclose(unit, coefficient.bias, rtol=3e-3)


@pytest.mark.exact
def test_no_coupling_beats_the_gradient_and_ferromagnets_reach_it():
    gradient, coefficient = exact_gradient(NET, COST), coupled_variance_coefficient(NET, COST)
    assert (coefficient.couplings >= np.abs(gradient.couplings) - 1e-14).all()
    assert (coefficient.couplings[UPPER] > 1.01 * np.abs(gradient.couplings)[UPPER]).any()
    ferromagnet = Model(np.abs(NET.couplings), NET.bias, 0.8)
    one_way = QuadraticCost([0, 2], [1.0, 0.9])
    gradient, coefficient = exact_gradient(ferromagnet, one_way), coupled_variance_coefficient(ferromagnet, one_way)
    np.testing.assert_allclose(coefficient.couplings, np.abs(gradient.couplings), atol=1e-14)
    np.testing.assert_allclose(coefficient.bias, np.abs(gradient.bias), atol=1e-14)


@pytest.mark.exact
def test_a_pair_of_chains_is_a_chain_with_both_marginals():
    other = Model(NET.couplings, NET.bias + np.array([0.0, 0.5, -0.5]), 0.8)
    chain = pair_chain(NET, other)
    np.testing.assert_allclose(chain.sum(axis=1), 1.0, atol=1e-14)
    folded = chain.reshape(8, 8, 8, 8)
    alone = pair_chain(NET, NET).reshape(8, 8, 8, 8).sum(axis=3)
    for second in range(8):
        np.testing.assert_allclose(folded.sum(axis=3)[:, second], alone[:, 0], atol=1e-14)
    same = pair_chain(NET, NET)
    diagonal = np.arange(8) * 9
    np.testing.assert_allclose(same[np.ix_(diagonal, diagonal)].sum(axis=1), 1.0, atol=1e-14)


@pytest.mark.exact
@pytest.mark.parametrize("samples", [2, 3])
def test_the_three_factor_variance_is_that_of_every_draw(samples):
    law, states = exact_law(NET).probabilities, all_states(3)
    linear = states @ COST.force(3, "spikes")[1]
    total, square = 0.0, 0.0
    for draw in itertools.product(range(8), repeat=samples):
        chosen, costs = states[list(draw)], linear[list(draw)]
        products = chosen[:, 0] * chosen[:, 2]
        estimate = np.cov(products, costs)[0, 1] / NET.temperature
        total += law[list(draw)].prod() * estimate
        square += law[list(draw)].prod() * estimate**2
    assert total == pytest.approx(exact_gradient(NET, COST).couplings[0, 2], rel=1e-12)
    found = three_factor_variance(NET, COST, samples=samples)
    assert found.couplings[0, 2] == found.couplings[2, 0] == pytest.approx(square - total**2, rel=1e-10)


@pytest.mark.statistical
def test_the_three_factor_standard_error_is_the_exact_one():
    estimate = estimate_gradient(NET, COST, estimator="three-factor", samples=4096, seed=5, steps_free=40)
    exact = three_factor_variance(NET, COST, samples=4096)
    np.testing.assert_allclose(estimate.standard_error.couplings[UPPER] ** 2, exact.couplings[UPPER], rtol=0.2)
    np.testing.assert_allclose(estimate.standard_error.bias**2, exact.bias, rtol=0.2)


@pytest.mark.exact
def test_bad_requests_are_answered_with_the_value():
    with pytest.raises(ValueError, match="'one-sided' or 'symmetric', got 'holomorphic'"):
        stationary_estimator_moments(NET, COST, nudging=0.1, estimator="holomorphic")
    for nudging in (0.0, np.nan):
        with pytest.raises(ValueError, match=f"non-zero, got {nudging}: the symmetric estimator divides"):
            stationary_estimator_moments(NET, COST, nudging=nudging)
    six = Model(np.zeros((6, 6)), np.zeros(6))
    with pytest.raises(ValueError, match=r"6 units have 4\^6 pairs of states, too many here \(limit 5 units\)"):
        coupled_variance_coefficient(six, QuadraticCost([0], [1.0]))
    thirteen = Model(np.zeros((13, 13)), np.zeros(13))
    with pytest.raises(ValueError, match="13 units are too many to enumerate here, the limit is 12"):
        three_factor_variance(thirteen, QuadraticCost([0], [1.0]), samples=5)
    with pytest.raises(ValueError, match=r"^samples must be"):
        three_factor_variance(NET, COST, samples=1)
