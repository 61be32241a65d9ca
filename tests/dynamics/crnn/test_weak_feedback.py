"""What layers hand down, weakened through their temperatures (lem:weak-feedback)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.config import Backpropagation, Deterministic
from dynamics.crnn.learning import estimate
from dynamics.crnn.spectra import Drives, spectral_radius
from meanfield.equations import firing_probability
from meanfield.solve import ConvergenceError
from tests.dynamics.crnn import stacks
from tests.dynamics.crnn.stacks import architectures

pytestmark = pytest.mark.exact

CHAIN = Architecture((1, 6, 6), (Conv(3, 3, padding=1, pool=2), Conv(4, 2), Dense(5)), 3)


def weakened(net, share):
    """J(c), T(c), b(c) of the lemma: layer n's temperature, threshold and biases times c^(n−1), what it hands up times c^n."""
    architecture = net.architecture
    layers = len(architecture.layers)
    powers = share ** np.arange(layers)
    weights = [own * (powers[n] if n < layers else 1) for n, own in enumerate(architecture.arrays(net.weights))]
    bias = [own * (powers[n] if n < layers else 1) for n, own in enumerate(architecture.bias_arrays(net.bias))]
    return replace(
        net,
        weights=np.concatenate([own.ravel() for own in weights]),
        bias=np.concatenate(bias),
        temperature=tuple(net.temperature * powers),
        threshold=tuple(net.threshold * powers),
    )


def gains(net):
    drives = Drives(net)
    signed = drives.root[:, None] * net.couplings * drives.root
    absolute = spectral_radius(drives.scaled("absolute", drives.root), drives.size, steps=2000)
    return np.linalg.norm(signed, 2), 0.5 * (absolute.low + absolute.high)


@settings(max_examples=20)
@given(architectures(), st.integers(0, 2**16), st.sampled_from([0.5, 0.1, 1 / 512]))
def test_gains_shrink_with_the_root_of_the_feedback(architecture, seed, share):
    net = stacks.network(architecture, seed)
    np.testing.assert_allclose(
        gains(weakened(net, share)), np.sqrt(share) * np.array(gains(net)), rtol=1e-4, atol=1e-12
    )


@settings(max_examples=20)
@given(architectures(), st.integers(0, 2**16), st.sampled_from([0.3, 0.03, 0.001]))
def test_the_fixed_point_is_as_near_the_pass_from_below_as_the_lemma_says(architecture, seed, share):
    net = weakened(stacks.network(architecture, seed), share)
    gain = gains(net)[0]
    if gain >= 1.0:
        return
    images, _ = stacks.batch(net, seed)
    constants = net.constants(images)
    means, _ = net.settle(constants, tolerance=1e-13, max_steps=10_000)
    fields, temperatures = constants.copy(), net.per_unit(net.temperature)
    passed = np.zeros_like(means)
    for place in architecture.places:
        below = passed @ net.couplings
        passed[:, place] = firing_probability(below[:, place] + fields[:, place], temperatures[place])
    residual = firing_probability(passed @ net.couplings + fields, temperatures) - passed
    distance = np.sqrt((temperatures * (means - passed) ** 2).sum(axis=1))
    down = passed @ net.couplings - np.stack([_below(net, one) for one in passed])
    bound = np.sqrt((down**2 / temperatures).sum(axis=1)) / (4 * (1 - gain))
    assert np.all(distance <= bound * (1 + 1e-9) + 1e-12)
    assert np.all(np.sqrt((temperatures * residual**2).sum(axis=1)) / (1 - gain) <= bound * (1 + 1e-9) + 1e-12)


def _below(net, state):
    """What each layer gets from the one below alone."""
    fields = np.zeros_like(state)
    for lower, upper in zip(net.architecture.places, net.architecture.places[1:], strict=False):
        fields[upper] = state[lower] @ net.couplings[lower, upper]
    return fields


@pytest.mark.parametrize(("share", "least"), [(1 / 512, 0.9999), (1.0, None)])
def test_ep_becomes_backpropagation_of_the_pass_from_below(share, least):
    """Falsifier: at full feedback the two gradients point in different directions."""
    net = replace(weakened(stacks.network(CHAIN, 3, scale=4.0), share), leak=1.0, rest=0.0)
    images, targets = stacks.batch(net, 3)
    told = {"seed": 0, "replicas": np.arange(len(images))}
    # as many steps as layers from below: the first pass of a net at rest hears of nothing above
    passed = estimate(Backpropagation(steps=3, window=1), net, images, targets, **told)
    nudging = 1e-3 * share ** (len(CHAIN.layers) - 1)
    rule = Deterministic(nudging=nudging, steps_free=300, steps_nudged=300, window=1)
    learned = estimate(rule, net, images, targets, **told)
    cosines = [
        float(np.vdot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))
        for one, other in zip(CHAIN.arrays(passed.weights), CHAIN.arrays(learned.weights), strict=True)
    ]
    if least is None:
        assert min(cosines) < 0.99
    else:
        assert min(cosines) > least


@settings(max_examples=20)
@given(architectures(), st.integers(0, 2**16), st.sampled_from([1.0, 0.3, 0.001]))
def test_every_layer_is_as_near_the_pass_from_below_as_the_lemma_says(architecture, seed, share):
    net = weakened(stacks.network(architecture, seed), share)
    images, _ = stacks.batch(net, seed)
    constants, temperatures = net.constants(images), net.per_unit(net.temperature)
    try:
        means, _ = net.settle(constants, tolerance=1e-13, max_steps=10_000)
    except ConvergenceError:
        # the bound is for fixed points, and this net found none
        return
    passed, couplings = np.zeros_like(means), net.couplings
    distance, below = 0.0, None
    for number, place in enumerate(architecture.places):
        drive = passed @ couplings
        passed[:, place] = firing_probability(drive[:, place] + constants[:, place], temperatures[place])
        heat = 4 * temperatures[place].max()
        above = architecture.places[number + 1] if number + 1 < len(architecture.places) else None
        down = 0.0 if above is None else np.linalg.norm(np.abs(couplings[place][:, above]).sum(axis=1))
        up = 0.0 if below is None else np.linalg.norm(couplings[place][:, below], 2) * distance
        distance = (up + down) / heat
        gaps = np.linalg.norm(means[:, place] - passed[:, place], axis=1)
        assert np.all(gaps <= distance * (1 + 1e-9) + 1e-7)
        below = place
