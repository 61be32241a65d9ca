"""Backpropagation through time is the derivative of the unrolled loss, step by step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dynamics import advance, backpropagated_gradient, backpropagation_through_time, relax
from dynamics.backpropagation import reversed_cycle
from dynamics.crnn.convolution import average_pool_transposed, convolution_gradient, dense_twin
from meanfield import Model, QuadraticCost, bounds, fixed_point, implicit_gradient

pytestmark = pytest.mark.exact

COST = QuadraticCost([0, 2], [0.9, 0.1])
START = np.array([0.2, 0.9, 0.4, 0.7])
MIXED = np.array([1.0, 0.3, 0.05, 0.6])
BLOCKS = np.array([[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.7, 1.0], [0.2, 0.0, 0.9, 0.0]])
LEAKS = pytest.mark.parametrize("leak", [1.0, 0.3, MIXED, BLOCKS], ids=["one", "common", "mixed", "blocks"])
COSTS = pytest.mark.parametrize("cost_on", ["rates", "spikes"])


@pytest.fixture(scope="module")
def model(network) -> Model:
    return network(4, 0.7, 0.4, 3)


def value(cost_on, state):
    return COST.on_rates(state) if cost_on == "rates" else COST.on_mean_spikes(state)


@COSTS
@LEAKS
def test_the_whole_gradient_is_the_difference_quotient_of_the_unrolled_loss(model, differentiate, leak, cost_on):
    unrolled = backpropagation_through_time(model, COST, steps=7, leak=leak, start=START, cost_on=cost_on)
    quotients = differentiate(model, lambda moved: value(cost_on, relax(moved, steps=7, leak=leak, start=START)[-1]))
    gradient = unrolled.truncated(7)
    np.testing.assert_allclose(gradient.couplings, quotients.couplings, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(gradient.bias, quotients.bias, rtol=1e-7, atol=1e-10)
    assert unrolled.loss == value(cost_on, unrolled.states[-1])
    assert np.array_equal(unrolled.states, relax(model, steps=7, leak=leak, start=START))


@LEAKS
@pytest.mark.parametrize("before", [1, 2, 5])
def test_a_contribution_is_the_gradient_of_one_use_alone(model, differentiate, leak, before):
    """Only the step that lies `before` steps before the loss runs with the moved parameters."""
    steps = 5

    def loss(moved):
        state = START
        for step in range(steps):
            now = moved if step == steps - before else model
            rows = np.atleast_2d(leak * np.ones(4))
            state = relax(now, steps=1, leak=_first(rows, step), start=state)[-1]
        return COST.on_rates(state)

    part = backpropagation_through_time(model, COST, steps=steps, leak=leak, start=START).contribution(before)
    quotients = differentiate(model, loss)
    np.testing.assert_allclose(part.couplings, quotients.couplings, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(part.bias, quotients.bias, rtol=1e-6, atol=1e-10)


def _first(rows: np.ndarray, step: int) -> np.ndarray:
    """The cycle of leaks that begins with the row of `step`."""
    return np.roll(rows, -step, axis=0)


@LEAKS
def test_truncation_sums_the_last_contributions(model, leak):
    unrolled = backpropagation_through_time(model, COST, steps=6, leak=leak, start=START)
    couplings, bias = np.zeros((4, 4)), np.zeros(4)
    assert not unrolled.truncated(0).couplings.any()
    for uses in range(1, 7):
        part = unrolled.contribution(uses)
        couplings, bias = couplings + part.couplings, bias + part.bias
        np.testing.assert_allclose(unrolled.truncated(uses).couplings, couplings, rtol=1e-13, atol=1e-17)
        np.testing.assert_allclose(unrolled.truncated(uses).bias, bias, rtol=1e-13, atol=1e-17)


@COSTS
@LEAKS
def test_the_lean_gradient_is_the_whole_one(model, leak, cost_on):
    lean = backpropagated_gradient(model, COST, steps=6, leak=leak, start=START, cost_on=cost_on)
    whole = backpropagation_through_time(model, COST, steps=6, leak=leak, start=START, cost_on=cost_on).truncated(6)
    np.testing.assert_allclose(lean.couplings, whole.couplings, rtol=1e-13, atol=1e-17)
    np.testing.assert_allclose(lean.bias, whole.bias, rtol=1e-13, atol=1e-17)


def test_from_rest_the_gradient_of_many_steps_is_the_implicit_one(model):
    mean = fixed_point(model, method="newton").value
    unrolled = backpropagation_through_time(model, COST, steps=400, leak=0.5, start=mean)
    exact = implicit_gradient(model, COST)
    np.testing.assert_allclose(unrolled.truncated(400).couplings, exact.couplings, atol=1e-12)
    np.testing.assert_allclose(unrolled.truncated(400).bias, exact.bias, atol=1e-12)


def test_no_steps_leave_the_loss_of_the_start_and_no_gradient(model):
    unrolled = backpropagation_through_time(model, COST, steps=0, start=START)
    assert unrolled.loss == COST.on_rates(START)
    assert unrolled.fields.shape == (0, 4)
    assert not backpropagated_gradient(model, COST, steps=0, start=START).bias.any()


def test_the_default_is_one_parallel_step_of_discrete_time_ep_from_one_half(model):
    default = backpropagation_through_time(model, COST, steps=3)
    spelled = backpropagation_through_time(model, COST, steps=3, leak=1.0, start=np.full(4, 0.5), cost_on="rates")
    assert np.array_equal(default.fields, spelled.fields)
    lean = backpropagated_gradient(model, COST, steps=3)
    assert np.array_equal(
        lean.bias, backpropagated_gradient(model, COST, steps=3, leak=1.0, start=np.full(4, 0.5), cost_on="rates").bias
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_a_reversed_cycle_takes_the_rows_of_the_steps_from_the_last_to_the_first(steps):
    forwards = [BLOCKS[step % 3] for step in range(steps)]
    backwards = reversed_cycle(BLOCKS, 4, steps)
    assert np.array_equal([backwards[step % 3] for step in range(steps)], forwards[::-1])
    assert np.array_equal(reversed_cycle(0.3, 4, steps), np.full((1, 4), 0.3))


@pytest.mark.parametrize("uses", [0, 6, -1, 1.5])
def test_a_use_that_was_not_run_is_refused(model, uses):
    unrolled = backpropagation_through_time(model, COST, steps=5)
    with pytest.raises(ValueError, match="before must be"):
        unrolled.contribution(uses)
    if uses != 0:
        with pytest.raises(ValueError, match="uses must be"):
            unrolled.truncated(uses)
    assert unrolled.contribution(5).bias.shape == (4,)


def test_the_message_says_how_many_steps_there_are(model):
    unrolled = backpropagation_through_time(model, COST, steps=5)
    with pytest.raises(ValueError, match="before must be at most the 5 steps that were run, got 6"):
        unrolled.contribution(6)
    with pytest.raises(ValueError, match="uses must be at most the 5 steps that were run, got 7"):
        unrolled.truncated(7)


def test_bad_input_is_refused_before_any_step(model):
    with pytest.raises(ValueError, match="outputs name unit 7"):
        backpropagation_through_time(model, QuadraticCost([7], [0.5]), steps=2)
    with pytest.raises(ValueError, match="steps must be a whole number"):
        backpropagated_gradient(model, COST, steps=-1)
    with pytest.raises(ValueError, match="cost_on must be"):
        backpropagation_through_time(model, COST, steps=2, cost_on="traces")


@LEAKS
def test_advance_is_the_end_of_relax_to_the_bit(model, leak):
    for steps in (0, 1, 8):
        arguments = {"steps": steps, "leak": leak, "start": START, "cost": COST, "nudging": -0.3, "cost_on": "spikes"}
        assert np.array_equal(advance(model, **arguments), relax(model, **arguments)[-1])
    assert np.array_equal(advance(model, steps=3), relax(model, steps=3)[-1])


def test_a_unit_whose_leak_is_zero_waits(model):
    path = relax(model, steps=6, leak=BLOCKS, start=START)
    for step, (before, after) in enumerate(pairwise(path)):
        moved = before != after
        assert np.array_equal(moved, BLOCKS[step % 3] > 0)
    field = model.local_field(path[2]) / model.temperature
    target = 1 / (1 + np.exp(-field))
    np.testing.assert_allclose(path[3], (1 - BLOCKS[2]) * path[2] + BLOCKS[2] * target, rtol=1e-14)


def test_the_start_is_not_moved(model):
    start = START.copy()
    advance(model, steps=3, start=start)
    backpropagated_gradient(model, COST, steps=3, start=start)
    assert np.array_equal(start, START)


def test_a_shared_weights_nudged_phase_is_its_backpropagation():
    """A convolution with pooling: EP's update of w from the images of two phases is BPTT's, summed over the dense twin's places."""
    generator = np.random.default_rng(4)
    shape, out, strength = (4, 3), (1, 1), 1e-3
    weights = generator.normal(size=(2, 1, 3, 2))
    twin = dense_twin(weights, shape=shape, pool=2, padding=0)
    model = Model(twin.couplings, generator.normal(size=twin.size), 0.8)
    inner = model.size - 2
    cost = QuadraticCost([inner, inner + 1], [0.9, 0.3])
    mean = fixed_point(model, method="newton").value
    rows = np.zeros((2, model.size))
    rows[0, inner:], rows[1, :inner] = 1.0, 0.7
    for steps in (1, 2, 5):
        truncated = backpropagation_through_time(
            model, cost, steps=steps, leak=reversed_cycle(rows, model.size, steps), start=mean
        ).truncated(steps)
        ends = [
            relax(model, steps=steps, leak=rows, start=mean, cost=cost, nudging=nudging)[-1]
            for nudging in (strength, -strength)
        ]
        slopes = [
            convolution_gradient(
                end[None, :inner].reshape(1, 1, *shape),
                average_pool_transposed(end[None, inner:].reshape(1, 2, *out), size=2, shape=(2, 2)),
                kernel=(3, 2),
            )
            for end in ends
        ]
        update = (slopes[0] - slopes[1]) / (2 * strength)
        error = bounds.relaxation_error(model, cost, nudging=strength, steps=steps, leak=rows).couplings
        for index in np.ndindex(weights.shape):
            unit = np.zeros(weights.shape)
            unit[index] = 1.0
            places = np.triu(dense_twin(unit, shape=shape, pool=2).couplings)
            miss = abs(update[index] + (places * truncated.couplings).sum())
            assert miss <= (places * error).sum() + 1e-12
        assert np.abs(update).max() > 0.01 * (steps > 1)


@LEAKS
def test_reverse_mode_by_hand_equals_torchs(model, leak):
    torch = pytest.importorskip("torch", reason="the extra 'peers' is not installed")
    couplings = torch.tensor(model.couplings.copy(), requires_grad=True)
    bias = torch.tensor(model.bias.copy(), requires_grad=True)
    rows = torch.tensor(np.atleast_2d(leak * np.ones(4)))
    state = torch.tensor(START)
    for step in range(6):
        rate = rows[step % len(rows)]
        state = (1 - rate) * state + rate * torch.sigmoid((couplings @ state + bias) / model.temperature)
    loss = 0.5 * ((state[COST.outputs.tolist()] - torch.tensor(COST.target.copy())) ** 2).sum()
    loss.backward()
    one_way = couplings.grad.numpy()
    both = one_way + one_way.T
    np.fill_diagonal(both, 0.0)
    gradient = backpropagation_through_time(model, COST, steps=6, leak=leak, start=START).truncated(6)
    np.testing.assert_allclose(gradient.couplings, both, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(gradient.bias, bias.grad.numpy(), rtol=1e-12, atol=1e-16)
