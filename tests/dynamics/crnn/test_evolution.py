"""Evolution strategies' estimate is what its formula says, tends to the exact slope along its directions, and repeats."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Backpropagation, EvolutionStrategies
from dynamics.crnn.evolution import STREAM_EVOLUTION, directions, evolve
from dynamics.crnn.learning import estimate
from dynamics.crnn.network import Frames
from dynamics.crnn.readout import costs
from dynamics.philox import normal, words
from tests.dynamics.crnn import stacks
from tests.dynamics.crnn.stacks import architectures

# of the whole file
FALSE_ALARM = 1e-9
RUN = {"steps": 12, "window": 5}


def parameters(net, width=1.0):
    """How many weights the free layers have, and width/√(fan in) of each of their parameters, weights first."""
    architecture = net.architecture
    layers = len(architecture.layers)
    sizes = [np.prod(shape) for shape in architecture.weight_shapes[:layers]]
    own = np.broadcast_to(width, layers) / np.sqrt(architecture.fan_in[:layers])
    return sum(sizes), np.concatenate([np.repeat(own, sizes), np.repeat(own, architecture.bias_sizes[:layers])])


@pytest.mark.exact
@settings(max_examples=12)
@given(architectures(), st.integers(0, 2**16), st.sampled_from([0.0, 1.5]))
def test_at_a_vanishing_width_it_is_the_exact_slope_along_each_direction(architecture, seed, penalty):
    """ĝ → (1/S) Σ_k ⟨∇L, Dε_k⟩ D⁻¹ε_k, ∇L by BPTT of the same relaxation: of conv nets, readouts and penalties too."""
    net = stacks.network(architecture, seed, rate_penalty=penalty)
    images, targets = stacks.batch(net, seed)
    shared = {"seed": seed, "replicas": np.arange(7, 10)}
    exact = estimate(Backpropagation(**RUN), net, images, targets, **shared)
    width = tuple(1e-4 * (1 + np.arange(len(architecture.layers))))
    found = estimate(EvolutionStrategies(pairs=3, width=width, **RUN), net, images, targets, **shared)
    weights, widths = parameters(net, width)
    biases = len(widths) - weights
    slope = np.concatenate([exact.weights[:weights], exact.bias[:biases]])
    noise = directions(len(widths), pairs=3, **shared)
    expected = ((noise @ (widths * slope))[:, None] * noise).mean(axis=0) / widths
    got = np.concatenate([found.weights[:weights], found.bias[:biases]])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * abs(expected).max() + 1e-9)
    # the readout learns as under the other rules
    np.testing.assert_allclose(found.weights[weights:], exact.weights[weights:], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.bias[biases:], exact.bias[biases:], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.free, exact.free, rtol=1e-12)


@pytest.mark.exact
def test_at_a_finite_width_it_is_its_formula():
    net = stacks.network(Architecture.dense(4, 3, 2, classes=3), 2)
    images, targets = stacks.batch(net, 2)
    rule, shared = EvolutionStrategies(pairs=2, width=0.8, **RUN), {"seed": 5, "replicas": np.arange(3)}
    weights, unit = parameters(net)
    expected = np.zeros(len(unit))
    for noise in directions(len(unit), pairs=2, **shared):
        losses = []
        for sign in (1, -1):
            by = sign * 0.8 * unit * noise
            moved = replace(net, weights=net.weights.copy(), bias=net.bias.copy())
            moved.weights[:weights] += by[:weights]
            moved.bias[: len(unit) - weights] += by[weights:]
            states = moved.phase(moved.start(3), moved.input(images), **RUN)
            losses.append(costs(moved.outputs(states), *net.readout, targets).mean())
        expected += (losses[0] - losses[1]) / (2 * 0.8) * noise / unit / 2
    found = evolve(rule, net, images, targets, **shared)
    np.testing.assert_allclose(np.concatenate(found[:2]), expected, rtol=1e-10)


@pytest.mark.exact
def test_directions_belong_to_an_update_not_to_the_order_of_its_images():
    replicas = np.array([9, 4, 7])
    three = directions(11, seed=2, replicas=replicas, pairs=3)
    np.testing.assert_array_equal(directions(11, seed=2, replicas=replicas[::-1], pairs=2), three[:2])
    np.testing.assert_array_equal(directions(5, seed=2, replicas=replicas, pairs=1), three[:1, :5])
    drawn = words(2, STREAM_EVOLUTION, 1, 3, 4)
    assert three[1, 6:8].tolist() == [normal(drawn[0], drawn[1]), normal(drawn[2], drawn[3])]
    others = [
        directions(11, seed=2, replicas=replicas + 1, pairs=3),
        directions(11, seed=3, replicas=replicas, pairs=3),
    ]
    assert all((other != three).all() for other in others)


@pytest.mark.statistical
def test_directions_are_standard_normal_and_independent_so_that_the_smoothed_slope_is_met_in_the_mean():
    """Kolmogorov and Smirnov on all numbers, then on the products of pairs of neighbours made normal by rotation."""
    drawn = directions(2000, seed=1, replicas=np.array([3]), pairs=20)
    across = (drawn[::2] + drawn[1::2]) / np.sqrt(2)
    along = (drawn[:, ::2] + drawn[:, 1::2]) / np.sqrt(2)
    for sample in (drawn, across, along):
        assert kstest(sample.ravel(), "norm").pvalue > FALSE_ALARM / 3


@pytest.mark.exact
def test_spikes_of_both_networks_of_a_pair_are_of_one_noise():
    """At a width that flips no spike the costs are equal, and the slope is exactly 0; at a larger one it is not."""
    net = stacks.network(Architecture.dense(4, 3, 2), 3)
    images, targets = stacks.batch(net, 3)
    shared = {"seed": 5, "replicas": np.arange(3)}
    small, large = (
        estimate(EvolutionStrategies(pairs=2, width=width, spiking=True, **RUN), net, images, targets, **shared)
        for width in (1e-12, 0.5)
    )
    assert not small.weights.any()
    assert large.weights.any()
    np.testing.assert_array_equal(small.free, large.free)
    still = estimate(EvolutionStrategies(pairs=2, width=0.5, **RUN), net, images, targets, **shared)
    assert (still.free != large.free).all()


@pytest.mark.exact
def test_it_takes_streams_and_single_precision():
    net = stacks.network(Architecture.dense(4, 3, 2), 3, dtype=np.float32)
    images, targets = stacks.batch(net, 3)
    rule, shared = EvolutionStrategies(pairs=1, width=0.1, **RUN), {"seed": 5, "replicas": np.arange(3)}
    found = estimate(rule, net, Frames(images[:, None]), targets, **shared)
    still = estimate(rule, net, images, targets, **shared)
    assert {found.weights.dtype, found.bias.dtype, found.free.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found.weights, still.weights, rtol=1e-3, atol=1e-4)
