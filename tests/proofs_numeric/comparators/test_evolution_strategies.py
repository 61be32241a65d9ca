"""Evolution strategies against differences, one-dimensional integrals, linear programmes and samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.special import expit

from dynamics import exact_gradient, exact_law
from dynamics.exact_variance import coupled_variance_coefficient
from meanfield import Gradient, Model, QuadraticCost
from proofs_numeric.comparators import evolution_strategies as es

MODEL = Model([[0.0, 1.0], [1.0, 0.0]], [0.2, -0.5], 0.8)
COST = QuadraticCost([1, 0], [1.0, 0.2])
SCENE = es.landscape(MODEL, COST)
UNIT = es.landscape(Model([[0.0]], [0.6], 0.5), QuadraticCost([0], [0.0]))
# 5 comparisons of an average over pairs with its exact mean
FALSE_ALARM, COMPARISONS = 1e-9, 5


def model_at(parameters, model=MODEL):
    return Model([[0.0, parameters[0]], [parameters[0], 0.0]], parameters[1:], model.temperature)


@pytest.mark.exact
def test_losses_are_expected_costs_up_to_a_constant():
    points = SCENE.parameters + np.array([[0.0, 0.0, 0.0], [0.3, -1.0, 2.0]])
    expected = [COST.on_mean_spikes(exact_law(model_at(point)).mean) for point in points]
    np.testing.assert_allclose(np.diff(SCENE.losses(points)), np.diff(expected))
    np.testing.assert_allclose(SCENE.laws(points)[1], exact_law(model_at(points[1])).probabilities)


@pytest.mark.exact
def test_slope_is_the_exact_gradient_of_all_parameters_and_of_biases():
    exact = exact_gradient(MODEL, COST)
    np.testing.assert_allclose(es.slope(SCENE), [exact.couplings[0, 1], *exact.bias])
    np.testing.assert_allclose(es.slope(es.landscape(MODEL, COST, biases_only=True)), exact.bias)
    np.testing.assert_array_equal(es.flattened(Gradient(MODEL.couplings, MODEL.bias)), [1.0, 0.2, -0.5])


@pytest.mark.exact
def test_laplacian_slope_by_differences():
    step, wide = 1e-3, 5e-3

    def laplacian(point):
        unit = step * np.eye(3)
        return (
            sum(SCENE.losses(point + one) - 2 * SCENE.losses(point) + SCENE.losses(point - one) for one in unit)
            / step**2
        )

    found = [
        (laplacian(SCENE.parameters + one) - laplacian(SCENE.parameters - one)) / (2 * wide) for one in wide * np.eye(3)
    ]
    np.testing.assert_allclose(es.laplacian_slope(SCENE), found, rtol=1e-3, atol=1e-6)


def normal_mean(function):
    return quad(lambda x: function(x) * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi), -12, 12, epsabs=1e-13)[0]


@pytest.mark.exact
def test_moments_of_one_unit_are_one_dimensional_integrals():
    # C(z) = z/2 up to a constant, L = σ(b/T)/2
    sigma, temperature, bias = 0.3, 0.5, 0.6

    def rate(x):
        return expit((bias + sigma * x) / temperature)

    found = es.antithetic_moments(UNIT, sigma)
    change = lambda x: 0.5 * (rate(x) - rate(-x)) / (2 * sigma)  # noqa: E731
    assert found.mean[0] == pytest.approx(normal_mean(lambda x: change(x) * x), rel=1e-9)
    assert found.second == pytest.approx(normal_mean(lambda x: change(x) ** 2 * x * x), rel=1e-9)
    spread = normal_mean(lambda x: 0.25 * (rate(x) * (1 - rate(x)) + rate(-x) * (1 - rate(-x))) * x * x)
    assert found.noise == pytest.approx(spread / (4 * sigma**2), rel=1e-9)


@pytest.mark.exact
def test_one_sided_differences_have_the_same_mean_and_more_variance():
    both, one = (es.antithetic_moments(UNIT, 0.3, antithetic=kind) for kind in (True, False))
    np.testing.assert_allclose(one.mean, both.mean, rtol=1e-9)
    assert one.second > 2 * both.second


@pytest.mark.exact
def test_leading_bias_variance_and_noise():
    sigma = 1e-2
    found, gradient = es.antithetic_moments(SCENE, sigma, points=10), es.slope(SCENE)
    np.testing.assert_allclose((found.mean - gradient) / sigma**2, 0.5 * es.laplacian_slope(SCENE), rtol=2e-3)
    assert found.second / (gradient @ gradient) == pytest.approx(5, rel=1e-2)
    law = SCENE.laws(SCENE.parameters)
    spread = law @ SCENE.costs**2 - (law @ SCENE.costs) ** 2
    assert found.noise * sigma**2 == pytest.approx(1.5 * spread, rel=1e-2)


@pytest.mark.exact
def test_bounds_by_hand():
    assert es.bias_bound(3, 2.0, 0.1, 2.0) == pytest.approx(3 * 0.01 * 2 / (16 * 8))
    assert es.bias_bound(3, 2.0, 1e6, 0.5) == pytest.approx(2.0)
    assert es.second_moment_bound(3, 2.0, 0.5) == pytest.approx(5 * 3 * 4 / (16 * 0.25))


@pytest.mark.exact
def test_a_unit_at_half_attains_bias_and_second_moment():
    scene = es.landscape(Model([[0.0]], [0.0], 0.5), QuadraticCost([0], [0.0]))
    found = es.antithetic_moments(scene, 0.005)
    assert abs(found.mean[0] - es.slope(scene)[0]) / es.bias_bound(1, 0.5, 0.005, 0.5) == pytest.approx(1, abs=1e-3)
    assert found.second / es.second_moment_bound(1, 0.5, 0.5) == pytest.approx(1, abs=1e-3)


@pytest.mark.exact
def test_the_closest_coupling_is_the_optimum_of_the_linear_programme():
    generator = np.random.default_rng(1)
    costs = np.array([0.0, 1.0, 0.25, 1.0, -0.5])
    one, other = (generator.dirichlet(np.ones(5)) for _ in range(2))
    apart = (costs[:, None] - costs[None, :]) ** 2
    rows = [np.kron(row, np.ones(5)) for row in np.eye(5)] + [np.kron(np.ones(5), row) for row in np.eye(5)]
    best = linprog(apart.ravel(), A_eq=rows, b_eq=[*one, *other], bounds=(0, None))
    assert es.closest_coupling(one, other, costs) == pytest.approx(best.fun, abs=1e-9)
    assert es.closest_coupling(one, one, costs) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.exact
def test_cost_gap_is_the_least_difference_of_two_costs():
    scene = es.landscape(MODEL, QuadraticCost([0, 1], [1.0, 0.2]))
    # the costs are 0.5, 0, 0.5 + 0.3, 0.3 above the least but for a constant
    assert es.cost_gap(scene) == pytest.approx(0.2)
    assert es.cost_gap(UNIT) == pytest.approx(0.5)


@pytest.mark.exact
def test_the_gaussian_integral_of_the_lower_bound():
    # E ‖ε‖²|a·ε| = √(2/π)(d + 1)‖a‖: along a, x²|x| and d − 1 times |x|
    for count in (1, 2, 7):
        found = (
            2 * quad(lambda x, d=count: (x * x + d - 1) * x * math.exp(-0.5 * x * x), 0, 20)[0] / math.sqrt(2 * math.pi)
        )
        assert found == pytest.approx(math.sqrt(2 / math.pi) * (count + 1))


@pytest.mark.exact
def test_race_is_the_ratio_of_optimal_errors():
    model, cost = Model([[0.0, 0.8], [0.8, 0.0]], [-0.1, 0.3]), QuadraticCost([1], [1.0])
    found, scene = es.race(model, cost), es.landscape(model, cost)
    gradient = es.slope(scene)
    # EP in ordered networks: the coefficient of 1/β is ‖∇L‖₁/2
    rough = coupled_variance_coefficient(model, cost)
    assert es.flattened(rough).sum() == pytest.approx(np.abs(gradient).sum())
    biases = []
    for nudging in (0.02, 0.01):
        up, down = (exact_law(model, cost=cost, nudging=sign * nudging) for sign in (1, -1))
        pair = [law.covariance[0, 1] + law.mean[0] * law.mean[1] for law in (up, down)]
        estimate = -np.array([pair[0] - pair[1], *(up.mean - down.mean)]) / (2 * nudging)
        biases.append(np.linalg.norm(estimate - gradient) / nudging**2)
    bias = (4 * biases[1] - biases[0]) / 3
    smooth = 0.5 * np.linalg.norm(es.laplacian_slope(scene))
    noise = 0.5 * 4 * np.linalg.norm(gradient) / math.sqrt(2 * math.pi)

    def least(bend, rough, power):
        scales = np.exp(np.linspace(-8, 3, 40001))
        return (bend**2 * scales**4 + rough * scales**-power * 1e-4).min()

    expected = least(smooth, noise, 1) / least(bias, 0.5 * np.abs(gradient).sum(), 1)
    assert found.coupled == pytest.approx(expected, rel=1e-3)
    law = exact_law(model)
    pair = law.covariance[0, 1] + law.mean[0] * law.mean[1]
    spread = pair * (1 - pair) + (law.mean * (1 - law.mean)).sum()
    ours = 3 * 0.25 * law.mean[1] * (1 - law.mean[1]) / 2
    assert found.independent == pytest.approx(least(smooth, ours, 2) / least(bias, spread / 2, 2), rel=1e-3)
    assert found.parameters == 3


@pytest.mark.statistical
def test_estimates_have_the_exact_mean():
    pairs, sigma = 4000, 0.4
    exact = es.antithetic_moments(SCENE, sigma)
    found = es.estimate(SCENE, sigma, pairs=pairs, seed=5)
    # Chebyshev would do with 1e5 standard errors; the average of 4000 bounded-growth terms is nearly normal
    limit = 7 * math.sqrt(exact.second / pairs)
    assert np.abs(found - exact.mean).max() < limit
    np.testing.assert_array_equal(found, es.estimate(SCENE, sigma, pairs=pairs, seed=5))
    assert np.abs(found - es.estimate(SCENE, sigma, pairs=pairs, seed=6)).max() > 0
