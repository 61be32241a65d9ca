"""BPTT by hand is the derivative of the unrolled relaxation, and what EP's nudged phases retrace (C4)."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv
from dynamics.crnn.bptt import backpropagate
from dynamics.crnn.config import Backpropagation
from dynamics.crnn.learning import estimate
from dynamics.crnn.network import Frames, Spiking
from dynamics.crnn.readout import costs
from tests.dynamics.crnn.stacks import architectures, batch, network

STEPS, WINDOW = 6, 2


def loss(net, images, targets):
    average = net.phase(net.start(len(targets)), net.input(images), steps=STEPS, window=WINDOW)
    penalty = sum(net.rate_penalty * average[:, place].mean() for place in net.architecture.places)
    return costs(net.outputs(average), *net.readout, targets).mean() + penalty


@pytest.mark.exact
@settings(max_examples=25)
@given(architectures(), st.integers(0, 2**16), st.booleans(), st.sampled_from([0.0, 1.5]))
def test_it_is_the_slope_of_the_unrolled_loss(architecture, seed, changing, penalty):
    """Central differences along random directions, weights, biases and readout together."""
    net = network(architecture, seed, rate_penalty=penalty)
    images, targets = batch(net, seed)
    if changing:
        images = Frames(np.random.default_rng(seed).random((3, 4, architecture.inputs)), hold=2, leak=0.7)
    found = estimate(Backpropagation(steps=STEPS, window=WINDOW), net, images, targets, seed=0, replicas=np.arange(3))
    generator, step = np.random.default_rng([seed, 2]), 1e-4
    for _ in range(3):
        along, across = generator.normal(size=net.weights.size), generator.normal(size=net.bias.size)
        ends = [
            loss(replace(net, weights=net.weights + s * along, bias=net.bias + s * across), images, targets)
            for s in (step, -step)
        ]
        expected = (ends[0] - ends[1]) / (2 * step)
        scale = np.linalg.norm(found.weights) + np.linalg.norm(found.bias)
        slope = found.weights @ along + found.bias @ across
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-6 * scale + 1e-10)
    # the cost that is reported is C alone
    plain = loss(replace(net, rate_penalty=0.0), images, targets)
    assert found.cost.mean() == pytest.approx(plain, rel=1e-12)


@pytest.mark.exact
def test_one_unit_has_the_slope_that_the_chain_rule_gives():
    """s' = (1−ε)s + ε σ((ws_0 + b − θ)/T), L = ½(s_2 − y)²: ∂L/∂b = (s_2 − y)(1 − (1−ε)²)σ', of the weight s_0 times it."""
    leak, temperature, image, target = 0.3, 0.5, 0.8, 0.1
    net = network(Architecture.dense(1, 1), 2, leak=leak, temperature=temperature)
    found = backpropagate(net, np.array([[image]]), np.array([[target]]), steps=2, window=1)
    chance = 1 / (1 + np.exp(-(net.weights[0] * image + net.bias[0] - net.threshold) / temperature))
    kept = (1 - leak) ** 2
    last = kept * net.rest + (1 - kept) * chance
    slope = (last - target) * (1 - kept) * chance * (1 - chance) / temperature
    assert found.average[0, 0] == pytest.approx(last, rel=1e-13)
    assert found.bias[0] == pytest.approx(slope, rel=1e-12)
    assert found.weights[0] == pytest.approx(slope * image, rel=1e-12)


@pytest.mark.exact
@pytest.mark.parametrize("changing", [False, True])
def test_torch_differentiates_the_same_path(changing):
    torch = pytest.importorskip("torch", reason="torch, the peer, is not installed: pip install torch==2.13.0")
    architecture = Architecture((2, 8, 8), (Conv(3, 3, padding=1, pool=2), Conv(4, 2, stride=2)), classes=5)
    net = network(architecture, 5, leak=(0.4, 0.7), temperature=(0.5, 0.8))
    images, targets = batch(net, 5)
    sequence = np.random.default_rng(1).random((3, 3, architecture.inputs)) if changing else images[:, None]
    given_ = Frames(sequence, hold=2) if changing else images
    found = estimate(Backpropagation(steps=STEPS, window=WINDOW), net, given_, targets, seed=0, replicas=np.arange(3))

    def leaf(array):
        return torch.tensor(array, dtype=torch.float64, requires_grad=True)

    weights = [leaf(own.copy()) for own in architecture.arrays(net.weights)]
    bias = [leaf(own.copy()) for own in architecture.bias_arrays(net.bias)]
    below = torch.tensor(sequence.reshape(3, -1, 8, 8, 2).transpose(0, 1, 4, 2, 3).copy())
    conv, pool = torch.nn.functional.conv2d, torch.nn.functional.avg_pool2d
    states = [torch.full((3, *shape), net.rest, dtype=torch.float64) for shape in architecture.shapes]
    kept = []
    for step in range(STEPS):
        image = below[:, min(step // 2, below.shape[1] - 1)]
        first = pool(conv(image, weights[0], padding=1), 2) + bias[0][:, None, None] - 0.2
        first = first + torch.nn.functional.conv_transpose2d(states[1], weights[1], stride=2)
        second = conv(states[0], weights[1], stride=2) + bias[1][:, None, None] - 0.2
        states = [
            (1 - leak) * state + leak * torch.sigmoid(field / temperature)
            for state, field, leak, temperature in zip(states, (first, second), (0.4, 0.7), (0.5, 0.8), strict=True)
        ]
        kept.append(states[1])
    mean = torch.stack(kept[-WINDOW:]).mean(dim=0).permute(0, 2, 3, 1).reshape(3, -1)
    cost = torch.nn.functional.cross_entropy(mean @ weights[2] + bias[2], torch.tensor(targets.argmax(axis=1)))
    cost.backward()
    expected = torch.cat([own.grad.ravel() for own in weights]).numpy()
    np.testing.assert_allclose(found.weights, expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(found.bias, torch.cat([own.grad for own in bias]).numpy(), rtol=1e-9, atol=1e-13)
    assert found.cost.mean() == pytest.approx(cost.item(), rel=1e-12)


@pytest.mark.exact
def test_through_spikes_it_runs_the_spiking_phase_and_uses_its_probabilities_slopes():
    """One step from rest: ∂L/∂h = ε σ'(h) ∂C/∂s, whatever the spike; the averages are the phase's own."""
    architecture = Architecture.dense(4, 3)
    net = network(architecture, 2)
    images, targets = batch(net, 2)
    noise = Spiking(7, 1, np.arange(3))
    found = backpropagate(net, images, targets, steps=1, window=1, spiking=noise)
    states = net.start(3)
    traces = net.phase(states, net.constants(images), steps=1, window=1, spiking=noise)
    np.testing.assert_array_equal(found.average, traces)
    probability = 1 / (1 + np.exp(-net.constants(images) / 0.5))
    slope = 0.5 * probability * (1 - probability) / 0.5 * (traces - targets)
    np.testing.assert_allclose(found.bias, slope.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.weights.reshape(4, 3), images.T @ slope / 3, rtol=1e-12)
    longer = backpropagate(net, images, targets, steps=9, window=4, spiking=noise)
    np.testing.assert_array_equal(
        longer.average, net.phase(net.start(3), net.constants(images), steps=9, window=4, spiking=noise)
    )


@pytest.mark.exact
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread here")
def test_the_sum_over_images_does_not_depend_on_threads():
    net = network(Architecture((1, 6, 6), (Conv(3, 3, pool=2),), classes=3), 3, dtype=np.float32)
    images, targets = batch(net, 3, count=13)
    before, found = numba.get_num_threads(), []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        found.append(backpropagate(net, images, targets, steps=5, window=2))
    numba.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert one.dtype == np.float32
        assert (one == other).all()


def test_max_pooling_is_refused():
    net = network(Architecture((1, 6, 6), (Conv(2, 3, pool=2, pooling="max"),), classes=3), 3)
    images, targets = batch(net, 3)
    with pytest.raises(ValueError, match="max pooling is outside the theory"):
        backpropagate(net, images, targets, steps=3, window=1)
