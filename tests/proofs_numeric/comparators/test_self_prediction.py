"""A network with a history current: its rest, its Jacobian, its noise and its gradients against independent computations."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics.enumeration import leaky_law
from meanfield import Model, QuadraticCost, fixed_point
from proofs_numeric.comparators.self_prediction import (
    SelfPrediction,
    _within,
    at_rest,
    augmented_jacobian,
    comparison_matrix,
    history_law,
    rest_gradients,
    step,
)

pytestmark = pytest.mark.exact

PREDICTION = SelfPrediction(0.4, 0.7, 0.6)
LEAK = 0.3


def settle(
    model: Model, prediction: SelfPrediction, nudge: np.ndarray | float = 0.0, into: str = "membrane"
) -> np.ndarray:
    """The rates after many steps from ½, a constant current `nudge` added inside the membrane or to the input current."""
    rates, current = np.full(model.size, 0.5), np.zeros(model.size)
    for _ in range(800):
        if into == "input":
            rates, current = step(model.with_bias(model.bias + nudge), prediction, rates, current, LEAK)
        else:
            # the current that the membrane sees is p + nudge, the one that decays is p
            moved = step(model, prediction, rates, current + nudge, LEAK)
            rates, current = moved[0], moved[1] - prediction.memory * nudge
    return rates


@pytest.mark.parametrize(("gain", "memory"), [(-1.0, 0.5), (np.nan, 0.5), (0.3, 1.0), (0.3, -0.1)])
def test_parameters_out_of_range_are_refused(gain, memory):
    with pytest.raises(ValueError, match=r"must (be above|lie in)"):
        SelfPrediction(gain, 0.0, memory)


def test_at_rest_neither_rates_nor_current_move_and_from_elsewhere_they_come(network):
    mean = np.array([0.2, 0.5, 0.9])
    model, current = at_rest(network(3, 0.3, 0.0, 4), PREDICTION, mean)
    rates, renewed = step(model, PREDICTION, mean, current, LEAK)
    np.testing.assert_allclose(rates, mean, atol=1e-14)
    np.testing.assert_allclose(renewed, current, atol=1e-13)
    assert PREDICTION.control(model) == pytest.approx(1.4 * model.gain + 0.7 / (4 * model.temperature))
    assert PREDICTION.control(model) < 1
    np.testing.assert_allclose(settle(model, PREDICTION), mean, atol=1e-10)


def test_repeating_the_input_alone_is_a_lower_temperature(network):
    model = network(4, 0.5, 0.2, 7)
    colder = Model(model.couplings, model.bias, model.temperature / 1.4)
    found = settle(model, SelfPrediction(0.4, 0.0, 0.6))
    np.testing.assert_allclose(found, fixed_point(colder).value, atol=1e-10)


def test_the_effective_couplings_are_those_of_the_rest(network):
    model = network(3, 0.4, 0.1, 5)
    rates = settle(model, PREDICTION)
    field = PREDICTION.effective_couplings(model.couplings) @ rates + 1.4 * model.bias
    np.testing.assert_allclose(1 / (1 + np.exp(-field / model.temperature)), rates, atol=1e-10)


def test_the_jacobian_is_the_derivative_of_a_step(network):
    mean, size = np.array([0.3, 0.6, 0.8]), 3
    model, current = at_rest(network(size, 0.5, 0.0, 2), PREDICTION, mean)
    start, change = np.concatenate([mean, current]), 1e-6
    columns = []
    for direction in change * np.eye(2 * size):
        ends = [
            np.concatenate(step(model, PREDICTION, state[:size], state[size:], LEAK))
            for state in (start + direction, start - direction)
        ]
        columns.append((ends[0] - ends[1]) / (2 * change))
    np.testing.assert_allclose(augmented_jacobian(model, PREDICTION, mean, LEAK), np.array(columns).T, atol=1e-9)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("leak", [0.1, 1.0])
@pytest.mark.parametrize("room", [0.9, 1.0, 1.1])
def test_every_time_scale_turns_unstable_at_the_same_condition(memory, leak, room):
    # a ferromagnetic pair at ½ with (1 + a)κ + c/4T = room
    model = Model([[0.0, 1.2], [1.2, 0.0]], [0.0, 0.0], 1.0)
    prediction = SelfPrediction(0.5, 4 * (room - 1.5 * 0.3), memory)
    radius = np.abs(np.linalg.eigvals(comparison_matrix(model, prediction, leak))).max()
    attained = np.abs(np.linalg.eigvals(augmented_jacobian(model, prediction, np.full(2, 0.5), leak))).max()
    assert radius == pytest.approx(attained, abs=1e-12)
    assert np.sign(np.round(radius - 1, 12)) == np.sign(np.round(room - 1, 12))


def test_without_a_current_the_histories_are_those_of_leaky_spikes(network):
    model, start = network(2, 0.5, 0.0, 3), np.array([0.2, 0.7])
    path = history_law(model, SelfPrediction(0.0, 0.0, 0.0), LEAK, 3, start, np.zeros(2))
    traces, law = leaky_law(model, leak=LEAK, steps=3, start=start)
    assert len(path) == 4
    np.testing.assert_allclose(path[-1][2] @ path[-1][0], law @ traces[:, -1], atol=1e-14)
    np.testing.assert_allclose(path[-1][2] @ path[-1][0] ** 2, law @ traces[:, -1] ** 2, atol=1e-14)
    assert not path[-1][1].any()


def test_after_one_step_the_means_are_those_of_the_rates_and_the_current_has_the_spikes_noise(network):
    model, start, current = network(2, 0.5, 0.0, 3), np.array([0.2, 0.7]), np.array([0.3, -0.4])
    traces, currents, law = history_law(model, PREDICTION, LEAK, 1, start, current)[1]
    rates, renewed = step(model, PREDICTION, start, current, LEAK)
    assert law.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(law @ traces, rates, atol=1e-14)
    np.testing.assert_allclose(law @ currents, renewed, atol=1e-14)
    output = (rates - (1 - LEAK) * start) / LEAK
    np.testing.assert_allclose(law @ (currents - renewed) ** 2, (0.4 * 0.7) ** 2 * output * (1 - output), atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradients_are_those_of_the_loss_and_of_nudged_relaxations(network, differentiate, seed):
    model = network(3, 0.4, 0.0, seed)
    cost, mean = QuadraticCost([0, 2], [0.1, 0.8]), settle(model, PREDICTION)
    estimate, gradient = rest_gradients(model, PREDICTION, mean, LEAK, cost, None)
    numeric = differentiate(model, lambda other: cost.on_rates(settle(other, PREDICTION)))
    np.testing.assert_allclose(gradient.bias, numeric.bias, atol=1e-6)
    np.testing.assert_allclose(gradient.couplings, numeric.couplings, atol=1e-6)
    np.testing.assert_allclose(estimate.bias, gradient.bias, atol=1e-10)
    np.testing.assert_allclose(estimate.couplings, gradient.couplings, atol=1e-10)
    force, strength = np.zeros(3), 1e-5
    force[[0, 2]] = mean[[0, 2]] - np.array([0.1, 0.8])
    ends = [settle(model, PREDICTION, sign * strength * force) for sign in (-1, 1)]
    change = (ends[0] - ends[1]) / (2 * strength)
    np.testing.assert_allclose(-1.4 * change, gradient.bias, atol=1e-6)
    # a nudge in the input current is repeated by the history: no factor 1 + a
    ends = [settle(model, PREDICTION, sign * strength * force, into="input") for sign in (-1, 1)]
    np.testing.assert_allclose(-(ends[0] - ends[1]) / (2 * strength), gradient.bias, atol=1e-6)


@pytest.mark.parametrize("shares", [(0.98, 0.98), (-0.98, -0.98), (0.5, -0.9), (0.0, 0.98)])
@pytest.mark.parametrize("gain", [0.02, 0.5, 0.98])
def test_the_claim_stays_within_its_condition(network, gain, shares):
    model = network(3, gain, 0.2, 4, norm="spectral")
    prediction = _within(model, *shares, 0.5)
    assert prediction.control(model) < 1
    assert np.abs(np.linalg.eigvals(comparison_matrix(model, prediction, 0.7))).max() < 1
    assert np.sign(prediction.output_gain) == np.sign(shares[1])
