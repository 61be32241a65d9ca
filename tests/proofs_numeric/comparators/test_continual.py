"""Continual EP against its energy, against numerical derivatives of the unrolled network, and against exact laws of spikes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from dynamics import relax
from dynamics.backpropagation import backpropagation_through_time
from dynamics.enumeration import leaky_law
from meanfield import Model, QuadraticCost
from meanfield.response import susceptibility
from proofs_numeric.comparators.continual import (
    continual_error,
    continual_phase,
    largest_ratio,
    noise_floor,
    plastic_stiffness,
    truncated_errors,
)
from proofs_numeric.comparators.symmetric_nudging import at_rest

pytestmark = pytest.mark.exact

LOOSE = {"steps": 4, "leak": 0.7}


@pytest.fixture
def triple():
    couplings = np.array([[0.0, 1.2, -0.7], [1.2, 0.0, 0.9], [-0.7, 0.9, 0.0]])
    return Model(couplings, [0.3, -0.8, 0.1], 0.8), QuadraticCost([0, 2], [0.9, 0.2])


def statistics(state: np.ndarray) -> np.ndarray:
    """φ: all s_i and all s_is_j, i < j."""
    upper = np.triu_indices(state.size, 1)
    return np.concatenate([state, np.outer(state, state)[upper]])


def hidden_energy(model: Model, state: np.ndarray, mean: np.ndarray, ratio: float) -> float:
    """E(s) − (ρ/2)‖φ(s) − φ(m)‖²."""
    return float(model.energy(state) - 0.5 * ratio * ((statistics(state) - statistics(mean)) ** 2).sum())


def slopes(function, point: np.ndarray, step: float = 1e-5) -> np.ndarray:
    return np.array([
        (function(point + move) - function(point - move)) / (2 * step) for move in step * np.eye(point.size)
    ])  # fmt: skip


def test_without_learning_the_phase_is_the_nudged_relaxation(triple):
    model, cost = triple
    phase = continual_phase(model, cost, nudging=0.3, ratio=0.0, **LOOSE)
    path = relax(model, start=at_rest(model), cost=cost, nudging=0.3, **LOOSE)
    np.testing.assert_allclose(phase.states, path, atol=1e-14)
    np.testing.assert_array_equal(phase.couplings, model.couplings)


def test_the_weights_telescope(triple):
    model, cost = triple
    phase, mean = continual_phase(model, cost, nudging=0.3, ratio=0.5, **LOOSE), at_rest(model)
    end = phase.states[-1]
    expected = model.couplings + 0.5 * (np.outer(end, end) - np.outer(mean, mean)) * (1 - np.eye(3))
    np.testing.assert_allclose(phase.couplings, expected, atol=1e-14)
    np.testing.assert_allclose(phase.bias, model.bias + 0.5 * (end - mean), atol=1e-14)
    assert np.abs(phase.couplings - model.couplings).max() > 1e-3


def test_every_step_follows_the_hidden_energy(triple):
    """The field of step t is minus the slope of E − (ρ/2)‖φ − φ(m)‖² + βC at s_t, C = ½‖s_o − y‖²."""
    model, cost = triple
    ratio, nudging, mean = 0.5, 0.3, at_rest(model)
    phase = continual_phase(model, cost, nudging=nudging, ratio=ratio, steps=4, leak=1.0)
    for before, after in zip(phase.states[:-1], phase.states[1:], strict=True):
        field = -slopes(lambda state: hidden_energy(model, state, mean, ratio) + nudging * cost.on_rates(state), before)
        np.testing.assert_allclose(after, expit(field / model.temperature), atol=1e-9)


def test_the_plastic_stiffness_is_the_curvature_of_what_is_learnt(triple):
    model, _ = triple
    mean = at_rest(model)

    def learnt(state: np.ndarray) -> float:
        return 0.5 * float(((statistics(state) - statistics(mean)) ** 2).sum())

    curvature = np.array([
        (slopes(learnt, mean + move) - slopes(learnt, mean - move)) / 2e-4 for move in 1e-4 * np.eye(3)
    ])  # fmt: skip
    np.testing.assert_allclose(plastic_stiffness(mean), curvature, atol=1e-5)
    assert np.linalg.eigvalsh(plastic_stiffness(mean))[-1] <= 1 + 2 * mean @ mean


def test_the_largest_ratio_is_where_the_linear_response_diverges(triple):
    model, _ = triple
    mean, critical = at_rest(model), largest_ratio(model)
    stiffness = 0.8 * np.diag(1 / (mean * (1 - mean))) - model.couplings
    assert np.linalg.eigvalsh(stiffness - critical * plastic_stiffness(mean))[0] == pytest.approx(0, abs=1e-12)
    assert critical >= (4 * 0.8 - model.spectrum[-1]) / (1 + 2 * mean @ mean)


def test_above_the_largest_ratio_the_phase_leaves_rest_and_below_it_does_not(triple):
    model, cost = triple
    critical = largest_ratio(model)
    ends = [
        np.abs(np.diff(continual_phase(
            model, cost, nudging=1e-7, ratio=share * critical, steps=400, leak=1.0
        ).states[[0, -1]], axis=0)).max()
        for share in (0.9, 1.2)
    ]  # fmt: skip
    assert ends[0] < 1e-5
    assert ends[1] > 1e-2


def test_the_relaxed_update_is_the_preconditioned_gradient(triple):
    model, cost = triple
    mean, ratio, nudging = at_rest(model), 0.4, 1e-7
    phase = continual_phase(model, cost, nudging=nudging, ratio=ratio, steps=300, leak=1.0)
    slope, offset = cost.force(3, "rates")
    response = susceptibility(model, mean)
    expected = np.linalg.solve(np.linalg.inv(response) - ratio * plastic_stiffness(mean), slope * mean + offset)
    np.testing.assert_allclose(-(phase.states[-1] - mean) / nudging, expected, rtol=1e-5)


def test_truncated_errors_are_backpropagation_at_rest(triple):
    model, cost = triple
    mean = at_rest(model)
    slope, offset = cost.force(3, "rates")
    errors = truncated_errors(model.couplings, mean * (1 - mean) / 0.8, slope * mean + offset, steps=5, leak=0.6)
    unrolled = backpropagation_through_time(model, cost, steps=5, leak=0.6, start=mean)
    for uses in range(1, 6):
        np.testing.assert_allclose(errors[uses - 1], unrolled.truncated(uses).bias, atol=1e-13)


def test_truncated_errors_go_back_through_the_transpose():
    """Unit 1 hears unit 0 and does not answer: the error of the last use is unit 1's, that of the one before reaches unit 0."""
    errors = truncated_errors(
        np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([0.25, 0.2]), np.array([0.0, 1.0]), steps=2, leak=1.0
    )
    np.testing.assert_allclose(errors, [[0.0, 0.2], [0.25 * 2.0 * 0.2, 0.2]])


def distance(model: Model, cost: QuadraticCost, nudging: float, rate: float) -> float:
    """Of the update over β from minus truncated BPTT, in the neurons."""
    mean = at_rest(model)
    slope, offset = cost.force(model.size, "rates")
    phase = continual_phase(model, cost, nudging=nudging, ratio=rate / nudging, steps=4, leak=1.0)
    variance = mean * (1 - mean)
    errors = truncated_errors(model.couplings, variance / model.temperature, slope * mean + offset, steps=4, leak=1.0)[
        -1
    ]
    return float(np.abs((phase.states[-1] - mean) / nudging + errors).max())


def test_the_distance_is_of_order_one_in_the_rate_only_between_the_square_of_the_nudging_and_the_nudging(triple):
    model, cost = triple
    nudging = 1e-5
    between = [nudging**2 * 10**power for power in (2.0, 2.5, 3.0)]
    below = [nudging**2 * 10**power for power in (-3.0, -2.5, -2.0)]
    slope, flat = (
        np.diff(np.log([distance(model, cost, nudging, rate) for rate in rates])) / np.diff(np.log(rates))
        for rates in (between, below)
    )
    np.testing.assert_allclose(slope, 1.0, atol=0.02)
    np.testing.assert_allclose(flat, 0.0, atol=0.02)


def test_the_best_distance_at_a_rate_is_of_the_order_of_its_root(triple):
    model, cost = triple
    rates = [1e-8, 1e-7, 1e-6]
    best = [min(distance(model, cost, x * rate**0.5, rate) for x in np.geomspace(0.03, 30, 61)) for rate in rates]
    np.testing.assert_allclose(np.diff(np.log10(best)), 0.5, atol=0.03)


def test_the_stated_error_is_linear_in_both_rates(triple):
    model, cost = triple
    small = {"steps": 3, "leak": 0.5}
    (pairs, units), (_, alone), (_, twice) = (
        continual_error(model, cost, nudging=nudging, ratio=ratio, **small)
        for nudging, ratio in ((1e-9, 1e-4), (1e-5, 0.0), (1e-9, 2e-4))
    )
    np.testing.assert_allclose(twice, 2 * units, rtol=1e-3)
    np.testing.assert_allclose(alone, continual_error(model, cost, nudging=5e-6, ratio=0.0, **small)[1] * 2, rtol=1e-3)
    assert (pairs == pairs.T).all()
    assert (np.diagonal(pairs) == 0).all()


def test_the_stated_error_of_the_first_learning_step_is_exact_to_first_order():
    """One unit, two steps: (σ'/T)ρ(1)·(σ'/T)|c| of displacement that the learnt bias adds."""
    model, cost = Model([[0.0]], [0.4], 0.5), QuadraticCost([0], [0.1])
    mean = float(expit(0.8))
    gain = mean * (1 - mean) / 0.5
    _, units = continual_error(model, cost, nudging=1e-9, ratio=1e-5, steps=2, leak=1.0)
    assert units[0] == pytest.approx(1e-5 * gain * gain * (mean - 0.1), rel=1e-3)


@pytest.mark.parametrize("leak", [0.3, 1.0])
def test_the_floor_of_a_lone_unit_is_its_variance(leak):
    model = Model([[0.0]], [0.6], 1.0)
    paths, law = leaky_law(model, leak=leak, steps=5, start=[0.2])
    all_spikes, last = noise_floor(model, paths, law, leak)
    variance = float(expit(0.6) * expit(-0.6))
    exact = law @ paths[:, -1, 0] ** 2 - (law @ paths[:, -1, 0]) ** 2
    assert all_spikes[0] == pytest.approx(exact)
    assert all_spikes[0] == pytest.approx(leak / (2 - leak) * (1 - (1 - leak) ** 10) * variance)
    assert last[0] == pytest.approx(leak**2 * variance)


def test_attraction_adds_to_the_floor(triple):
    model, _ = triple
    ferro = Model(np.abs(model.couplings), model.bias, 0.8)
    paths, law = leaky_law(ferro, leak=0.4, steps=4, start=at_rest(ferro))
    end = paths[:, -1]
    variance = law @ end**2 - (law @ end) ** 2
    floor = noise_floor(ferro, paths, law, 0.4)[0]
    assert (floor < variance).all()
    assert (floor > 0.5 * variance).all()
