"""Leaks of one's own, and pruning by noise, against the package's linear noise, direct norms and a numerical optimum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from dynamics.phases import relax
from meanfield import Model, fixed_point, susceptibility
from meanfield.response import contraction_rate, linear_noise
from proofs_numeric.comparators.heterogeneous_leaks import (
    balanced_noise,
    edges,
    keeping_probabilities,
    mean_distortion,
    noise_scores,
    relaxation_rates,
    resistance_scores,
    scaled_hessian,
)

pytestmark = pytest.mark.exact

LEAKS = np.array([0.2, 0.9, 0.5, 0.3])


@pytest.fixture
def point(network) -> tuple[Model, np.ndarray]:
    model = network(4, 0.7, 0.4, 3, norm="spectral")
    return model, fixed_point(model, tolerance=1e-14, method="newton").value


def test_the_scaled_hessian_is_the_inverse_susceptibility(point):
    model, mean = point
    root = np.sqrt(mean * (1 - mean) / model.temperature)
    inverse = root[:, None] * np.linalg.inv(scaled_hessian(model, mean)) * root
    np.testing.assert_allclose(inverse, susceptibility(model, mean), atol=1e-13)


def test_rates_are_the_eigenvalues_of_the_linear_map(point):
    model, mean = point
    bent = np.eye(4) - (mean * (1 - mean))[:, None] * model.couplings / model.temperature
    direct = np.sort(np.linalg.eigvals(LEAKS[:, None] * bent).real)
    rates = relaxation_rates(scaled_hessian(model, mean), LEAKS)
    np.testing.assert_allclose(rates, direct, atol=1e-13)
    assert np.abs(1 - rates).max() == pytest.approx(contraction_rate(model, mean, LEAKS))


def test_relaxation_with_mixed_leaks_ends_at_the_same_point_at_the_slowest_rate(point):
    model, mean = point
    path = np.abs(relax(model, steps=400, leak=LEAKS) - mean).max(axis=1)
    assert path[-1] < 1e-12
    slowest = np.abs(1 - relaxation_rates(scaled_hessian(model, mean), LEAKS)).max()
    assert (path[60] / path[40]) ** (1 / 20) == pytest.approx(slowest, abs=2e-2)


@pytest.mark.parametrize("copies", [1, 3])
def test_with_one_leak_balanced_noise_is_linear_noise(point, copies):
    model, mean = point
    root = np.sqrt(mean * (1 - mean))
    noise = balanced_noise(scaled_hessian(model, mean), np.full(4, 0.3), 0.3 / copies)
    np.testing.assert_allclose(root[:, None] * noise * root, linear_noise(model, mean, 0.3, copies)[0], atol=1e-14)


def test_balanced_noise_is_the_sum_of_the_noise_of_all_past_steps_in_full(point):
    model, mean = point
    variance, temperature, ratio = mean * (1 - mean), model.temperature, 0.1
    copies = LEAKS / ratio
    step = np.eye(4) - LEAKS[:, None] * (np.eye(4) - variance[:, None] * model.couplings / temperature)
    total, power = np.zeros((4, 4)), np.eye(4)
    for _ in range(3000):
        total += power @ np.diag(LEAKS**2 * variance / copies) @ power.T
        power = step @ power
    root = np.sqrt(variance)
    np.testing.assert_allclose(
        root[:, None] * balanced_noise(scaled_hessian(model, mean), LEAKS, ratio) * root, total, atol=1e-12
    )
    stated = np.linalg.inv(np.diag(temperature / variance) - model.couplings)
    stated = stated + np.linalg.inv(np.diag(temperature * (2 / LEAKS - 1) / variance) + model.couplings)
    np.testing.assert_allclose(ratio * temperature / 2 * stated, total, atol=1e-12)


def test_scores_are_the_distortions_and_the_variances_they_stand_for(point):
    model, mean = point
    response = susceptibility(model, mean)
    factor = np.linalg.cholesky(response)
    first, second = edges(model.couplings)
    assert len(first) == 6
    assert (first < second).all()
    for k, (i, j) in enumerate(zip(first, second, strict=True)):
        change = np.zeros((4, 4))
        change[i, j] = change[j, i] = model.couplings[i, j]
        assert noise_scores(model, response)[k] == pytest.approx(np.linalg.norm(factor.T @ change @ factor))
        difference = np.zeros(4)
        difference[[i, j]] = 1, -np.sign(model.couplings[i, j])
        expected = abs(model.couplings[i, j]) * difference @ response @ difference
        assert resistance_scores(model, response)[k] == pytest.approx(expected)


def test_absent_couplings_are_no_edges():
    first, second = edges(np.array([[0.0, 0.0, 2.0], [0.0, 0.0, -1.0], [2.0, -1.0, 0.0]]))
    assert list(zip(first, second, strict=True)) == [(0, 2), (1, 2)]


@pytest.mark.parametrize("kept", [0.4, 2.0, 3.5, 5.0])
def test_keeping_probabilities_fill_up_to_certainty_and_are_a_numerical_optimum(kept):
    scores = np.array([0.3, 2.0, 0.1, 0.9, 0.9])
    found = keeping_probabilities(scores, kept)
    assert found.sum() == pytest.approx(kept)
    assert (found <= 1).all()
    free = found < 1 - 1e-12
    np.testing.assert_allclose(found[free] / scores[free], (found / scores)[free].max(initial=0.0))
    best = minimize(
        lambda p: mean_distortion(scores, p),
        np.full(5, kept / 5),
        bounds=[(1e-6, 1.0)] * 5,
        constraints={"type": "eq", "fun": lambda p: p.sum() - kept},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert mean_distortion(scores, found) <= best.fun + 1e-7 * (1 + best.fun)
    assert mean_distortion(scores, found) == pytest.approx(best.fun, rel=1e-3, abs=1e-6)


def test_distortion_is_that_of_independent_unbiased_weights():
    # one edge: weight J/p with probability p, else 0; E(J' − J)² = J²(1/p − 1)
    assert mean_distortion(np.array([3.0]), np.array([0.25])) == pytest.approx(0.25 * 81 + 0.75 * 9)
