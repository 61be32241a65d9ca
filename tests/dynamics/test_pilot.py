"""A pilot knows the gradient's norm and noise, and what bias a nudging would have, from free samples alone."""

import numpy as np
import pytest

from dynamics import exact_equilibrium_gradient, exact_gradient, three_factor_variance
from dynamics.pilot import run_pilot, squared_norm
from meanfield import Model, QuadraticCost

NET = Model([[0.0, 0.9, -0.6], [0.9, 0.0, 0.5], [-0.6, 0.5, 0.0]], [0.4, -0.7, 0.3], 0.8)
COST = QuadraticCost([2, 1], [1.0, 0.3])


@pytest.fixture(scope="module")
def pilot():
    return run_pilot(NET, COST, dynamics="glauber", steps=30, seed=3, count=1 << 16)


@pytest.mark.statistical
def test_norm_and_noise_are_the_exact_ones(pilot):
    gradient = exact_gradient(NET, COST).couplings
    norm = np.linalg.norm(np.triu(gradient))
    assert 0.9 * norm < pilot.norm < 1.01 * norm
    exact = 1e6 * np.triu(three_factor_variance(NET, COST, samples=10**6).couplings).sum()
    assert pilot.noise == pytest.approx(exact, rel=0.03)
    np.testing.assert_allclose(pilot.gradients.mean(axis=0), gradient, atol=5 * np.sqrt(exact / (1 << 16)))


@pytest.mark.statistical
@pytest.mark.parametrize("estimator", ["symmetric", "one-sided"])
def test_reweighted_samples_show_the_bias_of_a_finite_nudging(pilot, estimator):
    gradient = exact_gradient(NET, COST).couplings
    mean = exact_equilibrium_gradient(NET, COST, nudging=1.2, estimator=estimator).couplings
    exact = np.linalg.norm(mean - gradient) / np.linalg.norm(gradient)
    assert pilot.reweighted_bias(NET, COST, 1.2, estimator) == pytest.approx(exact, rel=0.15)


@pytest.mark.exact
def test_a_squared_norm_from_noisy_estimates_has_no_noise_of_its_own():
    generator = np.random.default_rng(0)
    for size in (0.3, 3.0):
        truth = np.zeros((5, 5))
        truth[0, 1] = truth[1, 0] = size
        noise = np.triu(generator.normal(size=(400, 8, 5, 5)), 1)
        values = [squared_norm(truth + one + one.transpose(0, 2, 1)) for one in noise]
        squares, spreads = np.array(values).T
        assert abs(squares.mean() - size**2) < 4 * squares.std() / 20
        # the jackknife errs to the safe side where there is little to find
        assert spreads.mean() > 0.9 * squares.std()
    assert spreads.mean() == pytest.approx(squares.std(), rel=0.2)
