"""The layered network is the theory's Model, image by image."""

import numba
import numpy as np
import pytest

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.network import Network, Spiking
from meanfield import ConvergenceError, fixed_point


def network(layers=(5, 4, 3, 2), seed=0, temperature=0.5, leak=1.0, scale=1.0):
    generator = np.random.default_rng(seed)
    architecture = Architecture.dense(*layers)
    weights = architecture.draw_weights(generator, [scale] * (len(layers) - 1))
    return Network(architecture, weights, generator.normal(0, 0.3, architecture.units), temperature, 0.25, leak)


def images(net, count=6, seed=1):
    return np.random.default_rng(seed).random((count, net.architecture.inputs))


@pytest.mark.exact
@pytest.mark.parametrize("layers", [(3, 2), (5, 4, 2), (5, 4, 3, 2)])
def test_one_full_step_is_the_models_mean_field_map(layers):
    net = network(layers)
    clamped = images(net)
    states = np.random.default_rng(2).random((len(clamped), net.architecture.units))
    expected = [
        1 / (1 + np.exp(-net.as_model(image).local_field(state) / net.temperature))
        for image, state in zip(clamped, states, strict=True)
    ]
    net.phase(states, net.constants(clamped), steps=1, window=1)
    np.testing.assert_allclose(states, expected, rtol=1e-13)


@pytest.mark.exact
def test_the_free_phase_relaxes_to_the_models_fixed_point():
    net = network(leak=0.5)
    clamped = images(net)
    average = net.phase(net.start(len(clamped)), net.constants(clamped), steps=200, window=1)
    settled = net.settle(net.constants(clamped), tolerance=1e-13, max_steps=1000)
    expected = [fixed_point(net.as_model(image)).value for image in clamped]
    np.testing.assert_allclose(average, expected, atol=1e-11)
    np.testing.assert_allclose(settled, expected, atol=1e-11)


@pytest.mark.exact
def test_a_nudge_pulls_the_outputs_to_the_nudged_fixed_point():
    net = network(leak=0.3)
    clamped, target = images(net, count=1), np.array([[1.0, 0.0]])
    states = net.start(1)
    net.phase(states, net.constants(clamped), steps=500, window=1, targets=target, nudging=0.7)
    model, outputs = net.as_model(clamped[0]), net.architecture.places[-1]
    field = model.local_field(states[0])
    field[outputs] -= 0.7 * (states[0, outputs] - target[0])
    np.testing.assert_allclose(states[0], 1 / (1 + np.exp(-field / net.temperature)), atol=1e-12)


def test_an_unreached_fixed_point_says_residual_and_remedy():
    net = network(leak=0.5)
    with pytest.raises(ConvergenceError, match=r"residual .* > 1\.0e-12 at leak 0\.5, .* try a smaller network\.leak"):
        net.settle(net.constants(images(net)), tolerance=1e-12, max_steps=2)


@pytest.mark.exact
def test_an_images_noise_depends_on_its_number_alone():
    net = network(leak=0.5)
    clamped = images(net, count=7)
    constants = net.constants(clamped)
    run = {"steps": 12, "window": 5}
    together = net.phase(net.start(7), constants, spiking=Spiking(3, 1, np.arange(7)), **run)
    for one in range(7):
        part = slice(one, one + 1)
        alone = net.phase(net.start(1), constants[part], spiking=Spiking(3, 1, np.arange(7)[part]), **run)
        assert (alone[0] == together[one]).all()
    other = net.phase(net.start(7), constants, spiking=Spiking(3, 1, np.arange(7, 14)), **run)
    assert (other != together).any(axis=1).all()


@pytest.mark.exact
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread here")
def test_spikes_do_not_depend_on_the_number_of_threads():
    net = network(leak=0.5)
    clamped = images(net, count=9)
    found = []
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        spiking = Spiking(3, 1, np.arange(9))
        found.append(net.phase(net.start(9), net.constants(clamped), steps=12, window=5, spiking=spiking))
    numba.set_num_threads(before)
    assert (found[0] == found[1]).all()


@pytest.mark.exact
def test_traces_and_probabilities_of_one_spiking_phase_obey_the_leak():
    """s' = (1−ε)s + εz: with window 1, the spike behind the last trace is 0 or 1 and p lies strictly between."""
    net = network(leak=0.25)
    clamped, spiking = images(net), Spiking(5, 1, np.arange(6))
    before, after = net.start(6), net.start(6)
    net.phase(before, net.constants(clamped), steps=9, window=1, spiking=spiking)
    traces = net.phase(after, net.constants(clamped), steps=10, window=1, spiking=spiking)
    spikes = (traces - 0.75 * before) / 0.25
    assert np.isclose(spikes, np.round(spikes), atol=1e-12).all()
    probabilities = net.phase(
        net.start(6), net.constants(clamped), steps=10, window=1, spiking=spiking, average_of="probabilities"
    )
    fields = [net.as_model(image).local_field(state) for image, state in zip(clamped, before, strict=True)]
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-np.array(fields) / net.temperature)), rtol=1e-12)


@pytest.mark.exact
def test_onsagers_field_layer_by_layer_is_the_models():
    net = network()
    clamped = images(net)
    means = np.random.default_rng(3).random((len(clamped), net.architecture.units))
    field = net.onsager_field(means)
    for image, mean, found in zip(clamped, means, field, strict=True):
        model = net.as_model(image)
        spread = model.couplings**2 @ (mean * (1 - mean))
        np.testing.assert_allclose(found, 0.5 * (1 - 2 * mean) * spread / net.temperature, rtol=1e-12)
