"""Memory against its definition: regressions of past inputs on the state, exact ranks, and the package's linear noise."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from meanfield import fixed_point
from meanfield.response import linear_noise
from proofs_numeric.comparators.heterogeneous_leaks import scaled_hessian
from proofs_numeric.comparators.memory_capacity import (
    SCENARIOS,
    exact_rank,
    fisher_memory,
    gramian,
    memory_capacity,
    memory_matrices,
    noiseless_capacity,
    rational_network,
)

pytestmark = pytest.mark.exact

COPIES = np.array([1.0, 3.0, 2.0])
LEAKS = np.array([0.2, 0.9, 0.5])
WEIGHTS = np.array([1.0, -0.4, 2.0])


@pytest.fixture
def linear(network) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (N, N), the input along D_εVw/T, and the noise of a step, in plain coordinates, T ≠ 1."""
    model = network(3, 0.7, 0.4, 3, norm="spectral")
    mean = fixed_point(model, tolerance=1e-14, method="newton").value
    variance = mean * (1 - mean)
    step = np.eye(3) - LEAKS[:, None] * scaled_in_full(model, mean)
    return step, LEAKS * variance * WEIGHTS, np.diag(LEAKS**2 * variance / COPIES)


def scaled_in_full(model, mean) -> np.ndarray:
    return np.eye(model.size) - (mean * (1 - mean))[:, None] * model.couplings / model.temperature


def matrices(network) -> tuple[np.ndarray, np.ndarray]:
    model = network(3, 0.7, 0.4, 3, norm="spectral")
    mean = fixed_point(model, tolerance=1e-14, method="newton").value
    return memory_matrices(scaled_hessian(model, mean), mean * (1 - mean), LEAKS, COPIES, WEIGHTS)


def test_capacity_is_the_sum_of_the_squared_correlations_of_the_best_readouts(linear, network):
    step, drive, noise = linear
    responses, spread, power = [], np.zeros((3, 3)), np.eye(3)
    for _ in range(2000):
        responses.append(power @ drive)
        spread += power @ noise @ power.T
        power = step @ power
    covariance = spread + sum(np.outer(one, one) for one in responses)
    # R² of u_{t−k} regressed on x_t is Cov(u, x) Cov(x)⁻¹ Cov(x, u)/Var u
    squares = [one @ np.linalg.solve(covariance, one) for one in responses]
    assert memory_capacity(*matrices(network)) == pytest.approx(sum(squares))
    fisher = sum(one @ np.linalg.solve(spread, one) for one in responses)
    assert fisher_memory(*matrices(network)) == pytest.approx(fisher)


def test_memory_matrices_are_the_linear_noise_in_scaled_coordinates(network):
    model = network(3, 0.7, 0.4, 3, norm="spectral")
    mean = fixed_point(model, tolerance=1e-14, method="newton").value
    variance = mean * (1 - mean)
    _, noise = memory_matrices(scaled_hessian(model, mean), variance, LEAKS, np.full(3, 2.0), WEIGHTS)
    root = np.sqrt(LEAKS * variance)
    np.testing.assert_allclose(root[:, None] * noise * root, linear_noise(model, mean, LEAKS, 2)[0], atol=1e-14)


def test_a_single_neuron_remembers_as_much_as_its_input_tells_in_one_step():
    signal, noise = memory_matrices(np.eye(1), np.array([0.25]), np.array([0.3]), np.array([2.0]), np.array([3.0]))
    assert fisher_memory(signal, noise) == pytest.approx(2 * 0.25 * 9)
    assert memory_capacity(signal, noise) == pytest.approx(4.5 / 5.5)


@pytest.mark.parametrize("scenario", range(len(SCENARIOS)))
def test_the_exact_gramian_is_the_sum_over_the_past(scenario):
    network = rational_network(scenario, 3, 5)
    assert len(network.couplings) == 3
    for leaks in network.leaks:
        step = np.array(network.transition(leaks), dtype=float)
        drive = np.array(network.drive(leaks), dtype=float)
        assert np.abs(np.linalg.eigvals(step)).max() < 1
        total, now = np.zeros((3, 3)), drive
        for _ in range(3000):
            total += np.outer(now, now)
            now = step @ now
        found = np.array(gramian(network.transition(leaks), network.drive(leaks)), dtype=float)
        np.testing.assert_allclose(found, total, atol=1e-10)


def test_modes_are_those_of_the_linear_map():
    network = rational_network(3, 4, 2)
    leaks = network.leaks[2]
    rates, excitations = network.modes(leaks)
    step = np.array(network.transition(leaks), dtype=float)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(np.eye(4) - step).real), rates, atol=1e-12)
    weights = np.array(network.variance, dtype=float) * np.array(network.weights, dtype=float) ** 2
    assert np.linalg.norm(excitations) ** 2 == pytest.approx(weights @ np.array(leaks, dtype=float))


def test_couplings_are_symmetric_without_self_coupling_and_contracting():
    for scenario in range(len(SCENARIOS)):
        for size in range(1, 5):
            network = rational_network(scenario, size, 3)
            matrix = np.array(network.couplings, dtype=float)
            np.testing.assert_array_equal(matrix, matrix.T)
            assert not np.diagonal(matrix).any()
            assert np.abs(matrix).sum(axis=1).max() < 4


def test_leaks_can_make_a_network_degenerate_that_is_not():
    network = rational_network(SCENARIOS.index("made degenerate by its leaks"), 3, 0)
    common, mixed = (network.modes(network.leaks[k])[0] for k in (0, 2))
    assert np.diff(common).min() > 1e-3
    assert np.diff(mixed).min() < 1e-12
    assert [exact_rank(gramian(network.transition(one), network.drive(one))) for one in network.leaks] == [3, 3, 2]


def test_the_rank_is_over_the_rationals():
    third = Fraction(1, 3)
    assert exact_rank([[third, third], [third, third]]) == 1
    assert exact_rank([[Fraction(1)] * 2] * 2) == 1
    assert exact_rank([[third, third], [third, third + Fraction(1, 10**30)]]) == 2
    assert exact_rank([[Fraction(0)] * 2] * 2) == 0
    assert exact_rank([[Fraction(0), third], [third, Fraction(0)]]) == 2


def test_only_distinct_and_excited_time_scales_count():
    rates = np.array([0.1, 0.3, 0.3, 0.8])
    assert noiseless_capacity(rates, np.ones(4)) == 3
    assert noiseless_capacity(rates, np.array([0.0, 1.0, 0.0, 0.0])) == 1
    assert noiseless_capacity(rates, np.array([1.0, 0.0, 0.0, 1.0])) == 2
    assert noiseless_capacity(np.array([0.5]), np.array([2.0])) == 1
