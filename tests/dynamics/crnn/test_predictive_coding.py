"""Predictive coding's estimate is the slope of its least energy at any nudging, and backpropagation's as the nudging vanishes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import PredictiveCoding
from dynamics.crnn.learning import estimate
from dynamics.crnn.network import Frames
from dynamics.crnn.predictive_coding import forward
from dynamics.crnn.readout import answers, costs
from tests.dynamics.crnn import stacks

pytestmark = pytest.mark.exact

# of two answers, inside the dynamics and outside, with layers of their own temperatures and penalties
NETS = [Architecture.dense(5, 4, 3, 2), Architecture.dense(4, 3, 2, classes=3), Architecture.dense(3, 2)]


def network(architecture, seed=1):
    layers = len(architecture.layers)
    temperature, penalty = (tuple(np.linspace(low, high, layers)) for low, high in ((0.4, 0.7), (0.5, 0.1)))
    net = stacks.network(architecture, seed, temperature=temperature, rate_penalty=penalty)
    return replace(net, threshold=tuple(np.linspace(0.1, 0.3, layers)))


def found(net, rule):
    images, targets = stacks.batch(net, 1)
    return estimate(rule, net, images, targets, seed=0, replicas=np.arange(len(images)))


def layers(net, flat):
    """Weights, bias less threshold and temperature of each free layer, its penalty a unit; from all parameters in one vector."""
    architecture = net.architecture
    weights, bias = flat[: net.weights.size], flat[net.weights.size :]
    parts = (
        architecture.arrays(weights),
        architecture.bias_arrays(bias),
        net.threshold,
        net.temperature,
        net.rate_penalty,
    )
    return [(w, b - t, s, p / len(b)) for w, b, t, s, p in zip(*parts, strict=False)]


def cost(net, flat, states, targets):
    """Mean cost of the states, a list of layers, penalty included; the readout is in `flat`."""
    penalty = sum(p * state.sum(axis=1) for (*_, p), state in zip(layers(net, flat), states, strict=True))
    moved = replace(net, weights=flat[: net.weights.size], bias=flat[net.weights.size :])
    return costs(states[-1], *moved.readout, targets) + penalty


def passed(net, flat, images):
    states = [images]
    for weights, bias, temperature, _ in layers(net, flat):
        states.append(1 / (1 + np.exp(-(states[-1] @ weights + bias) / temperature)))
    return states[1:]


def differences(function, flat, step):
    return np.array(
        [(function(flat + step * unit) - function(flat - step * unit)) / (2 * step) for unit in np.eye(flat.size)]
    )


@pytest.mark.parametrize("architecture", NETS)
def test_as_the_nudging_vanishes_it_is_backpropagation_of_the_pass_with_an_error_of_first_order(architecture):
    """thm:G9, beyond linear layers."""
    net = network(architecture)
    images, targets = stacks.batch(net, 1)
    flat = np.concatenate([net.weights, net.bias])
    exact = differences(lambda v: cost(net, v, passed(net, v, images), targets).mean(), flat, 1e-5)
    errors = []
    for nudging in (2e-3, 1e-3, 1e-6):
        one = found(net, PredictiveCoding(nudging=nudging, rate=0.3, steps=400))
        errors.append(abs(np.concatenate([one.weights, one.bias]) - exact).max())
    assert errors[0] == pytest.approx(2 * errors[1], rel=0.02)
    assert errors[1] < 0.01 * abs(exact).max()
    assert errors[2] < 1e-6


@pytest.mark.parametrize("architecture", NETS)
def test_at_any_nudging_it_is_the_slope_of_the_least_energy_over_the_nudging(architecture):
    net, nudging = network(architecture), 0.8
    images, targets = stacks.batch(net, 1)
    places = architecture.places

    def least(flat):
        def energy(x, n):
            states = [x[place] for place in places]
            errors, below = 0.0, images[n]
            for (weights, bias, temperature, _), state in zip(layers(net, flat), states, strict=True):
                errors += ((state - 1 / (1 + np.exp(-(below @ weights + bias) / temperature))) ** 2).sum() / 2
                below = state
            return errors + nudging * cost(net, flat, [state[None] for state in states], targets[[n]])[0]

        starts = np.concatenate(passed(net, flat, images), axis=1)
        return np.mean([minimize(energy, start, (n,), tol=1e-12).fun for n, start in enumerate(starts)])

    flat = np.concatenate([net.weights, net.bias])
    own = architecture.weights - architecture.sizes[-1] * architecture.classes
    one = found(net, PredictiveCoding(nudging=nudging, rate=0.3, steps=400))
    chosen = [0, own - 1, flat.size - architecture.biases, flat.size - architecture.classes - 1]
    for place in chosen:
        unit = np.eye(flat.size)[place]
        slope = (least(flat + 1e-3 * unit) - least(flat - 1e-3 * unit)) / (2e-3 * nudging)
        assert np.concatenate([one.weights, one.bias])[place] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_one_step_of_inference_moves_the_outputs_alone():
    """From the pass every error is 0, so that only the nudge acts: −rate · β · ∂C/∂x_L, layers below still at rest."""
    net = replace(network(Architecture.dense(5, 4, 3, 2)), rate_penalty=0.0)
    images, targets = stacks.batch(net, 1)
    one = found(net, PredictiveCoding(nudging=0.7, rate=0.2, steps=1))
    hidden, output = (one.free[:, place] for place in net.architecture.places[1:])
    pushed = 0.2 * (output - targets) * output * (1 - output) / net.temperature[-1] / len(images)
    lower, middle, upper = net.architecture.arrays(one.weights)
    np.testing.assert_allclose(upper, hidden.T @ pushed, rtol=1e-12)
    assert abs(lower).max() == abs(middle).max() == 0.0


def test_the_free_phase_is_the_pass_from_below():
    net = network(NETS[1])
    images, targets = stacks.batch(net, 1)
    one = found(net, PredictiveCoding(nudging=0.5, rate=0.1, steps=3))
    states = passed(net, np.concatenate([net.weights, net.bias]), images)
    np.testing.assert_allclose(one.free, np.concatenate(states, axis=1), rtol=1e-13)
    np.testing.assert_array_equal(forward(net, images), one.free)
    np.testing.assert_allclose(net.answers(one.free), answers(states[-1], *net.readout), rtol=1e-13)
    np.testing.assert_allclose(one.cost, costs(states[-1], *net.readout, targets), rtol=1e-13)


def test_no_bit_depends_on_the_threads_of_blas():
    net = stacks.network(Architecture.dense(300, 300, 10), 1)
    images, targets = stacks.batch(net, 1, count=200)
    rule, found = PredictiveCoding(nudging=0.5, rate=0.1, steps=2), []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            one = estimate(rule, net, images, targets, seed=0, replicas=np.arange(200))
            found.append([one.weights, one.bias, one.free, forward(net, images)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_states_have_the_dtype_of_the_weights():
    net = stacks.network(NETS[1], 1, dtype=np.float32)
    one = found(net, PredictiveCoding(nudging=0.5, rate=0.1, steps=3))
    assert {one.weights.dtype, one.bias.dtype, one.free.dtype} == {np.dtype(np.float32)}


def test_a_changing_input_is_refused():
    net = network(NETS[0])
    images, targets = stacks.batch(net, 1)
    rule = PredictiveCoding(nudging=0.5, rate=0.1, steps=3)
    with pytest.raises(ValueError, match="predictive coding computes in one pass, which a changing input has not"):
        estimate(rule, net, Frames(images[:, None]), targets, seed=0, replicas=np.arange(3))
