"""The layered network is the theory's Model, image by image."""

from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.bptt import backpropagate
from dynamics.crnn.convolution import primitive
from dynamics.crnn.network import Frames, Network, Spiking
from dynamics.crnn.readout import costs
from dynamics.crnn.relaxation import drive_images
from dynamics.crnn.spectra import Drives
from dynamics.philox import uniforms
from meanfield import ConvergenceError, fixed_point
from tests.dynamics.crnn import stacks
from tests.dynamics.crnn.stacks import architectures

# of the whole file
FALSE_ALARM = 1e-9


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
    settled, _ = net.settle(net.constants(clamped), tolerance=1e-13, max_steps=1000)
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


@pytest.mark.exact
def test_settling_says_how_far_its_states_are_from_fixed():
    net = network(leak=0.5)
    constants = net.constants(images(net))
    settled, residuals = net.settle(constants, tolerance=1e-5, max_steps=1000)
    fired = settled.copy()
    replace(net, leak=1.0).phase(fired, constants, steps=1, window=1)
    np.testing.assert_allclose(residuals, np.abs(fired - settled).max(axis=1), rtol=1e-9)
    assert (residuals <= 1e-5).all()
    assert (residuals > 0).all()


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


@pytest.mark.exact
@settings(max_examples=30)
@given(architectures(), st.integers(0, 2**16))
def test_the_field_is_minus_the_slope_of_the_energy_and_the_primitive_gives_both(architecture, seed):
    """A1 and E3: E(s) of as_model is −Φ(s) but for thresholds, and its slope is minus the field that the layers compute."""
    net = stacks.network(architecture, seed)
    image = np.random.default_rng(seed).random(architecture.inputs)
    model = net.as_model(image)
    states = np.random.default_rng([seed, 3]).random((2, architecture.units))
    fields = np.tile(net.constants(image[None]), (2, 1))
    drive_images(states, net.wiring, fields)
    np.testing.assert_allclose(fields, [model.local_field(state) for state in states], atol=1e-12)
    below = image.reshape(*architecture.input[1:], architecture.input[0]).transpose(2, 0, 1)[None]
    for state in states:
        total, lower = 0.0, below
        for layer, own, place, shape in zip(
            architecture.layers,
            architecture.arrays(net.weights),
            architecture.places,
            architecture.shapes,
            strict=False,
        ):
            if isinstance(layer, Conv):
                upper = state[place].reshape(*shape[1:], shape[0]).transpose(2, 0, 1)[None]
                total += primitive(
                    lower, upper, own, stride=layer.stride, padding=layer.padding, pool=layer.pool
                ).item()
            else:
                upper = state[place]
                flat = lower[0].transpose(1, 2, 0).ravel() if lower.ndim == 4 else lower
                total += flat @ own @ upper
            lower = upper
        total += (architecture.unit_bias(net.bias) - 0.2) @ state
        assert -0.5 * state @ model.couplings @ state - model.bias @ state == pytest.approx(-total, abs=1e-10)


@pytest.mark.exact
@settings(max_examples=15)
@given(architectures(), st.integers(0, 2**16))
def test_a_conv_net_moves_as_its_dense_twin_spike_for_spike(architecture, seed):
    """The Model of a clamped image, run by the theory's own leaky dynamics, has the same spikes and traces."""
    net = stacks.network(architecture, seed)
    image = np.random.default_rng(seed).random((1, architecture.inputs))
    model, state = net.as_model(image[0]), net.start(1)
    for step in range(4):
        noise = np.empty(architecture.units)
        uniforms(5, 1, step, 9, noise)
        probability = 1 / (1 + np.exp(-model.local_field(state[0]) / model.temperature))
        assume((abs(noise - probability) > 1e-9).all())
        expected = 0.5 * state[0] + 0.5 * (noise < probability)
        net.phase(state, net.constants(image), steps=1, window=1, first=step, spiking=Spiking(5, 1, np.array([9])))
        np.testing.assert_allclose(state[0], expected, atol=1e-12)


@pytest.mark.exact
@settings(max_examples=20)
@given(architectures(), st.integers(0, 2**16), st.sampled_from(["static", "frames", "bernoulli"]))
def test_a_phase_split_in_two_is_the_unbroken_one(architecture, seed, coding):
    net = stacks.network(architecture, seed, leak=0.3)
    generator = np.random.default_rng(seed)
    images = generator.random((2, architecture.inputs))
    if coding != "static":
        frames = generator.random((2, 3, architecture.inputs)) if coding == "frames" else images[:, None]
        images = Frames(frames, hold=2, leak=0.6, coded=coding == "bernoulli")
    spiking = Spiking(3, 1, np.array([4, 8]))
    whole, whole_drive = net.start(2), net.input(images)
    expected = net.phase(whole, whole_drive, steps=7, window=2, spiking=spiking)
    parts, drive = net.start(2), net.input(images)
    net.phase(parts, drive, steps=4, window=1, spiking=spiking)
    found = net.phase(parts, drive, steps=3, window=2, first=4, spiking=spiking)
    for one, other in ((parts, whole), (found, expected), (drive.traces, whole_drive.traces)):
        assert (one == other).all()
    assert (drive.averages == whole_drive.averages).all()


@pytest.mark.exact
@pytest.mark.parametrize("classes", [0, 3])
def test_the_nudge_is_minus_the_slope_of_the_cost(classes):
    net = stacks.network(Architecture((1, 5, 5), (Conv(2, 2, pool=2), Dense(3)), classes), 4, leak=1.0)
    images, targets = stacks.batch(net, 4)
    states = np.random.default_rng(6).random((3, net.architecture.units))
    fields = []
    for nudging in (0.0, 0.3):
        moved = states.copy()
        net.phase(moved, net.constants(images), steps=1, window=1, targets=targets, nudging=nudging)
        fields.append(0.5 * np.log(moved / (1 - moved)))
    force = (fields[1] - fields[0]) / 0.3

    def cost(at):
        return costs(net.outputs(at), *net.readout, targets)

    for unit, direction in enumerate(np.eye(net.architecture.units)):
        slope = (cost(states + 1e-6 * direction) - cost(states - 1e-6 * direction)) / 2e-6
        np.testing.assert_allclose(force[:, unit], -slope, atol=1e-8)


@pytest.mark.exact
def test_frames_are_held_and_leak_into_the_inputs_trace_and_the_last_one_stays():
    net = stacks.network(Architecture.dense(3, 2), 1)
    frames = np.random.default_rng(0).random((1, 2, 3))
    drive, trace = net.input(Frames(frames, hold=3, leak=0.4)), np.zeros(3)
    for step, frame in enumerate([0, 0, 0, 1, 1, 1, 1, 1]):
        net.phase(net.start(1), drive, steps=1, window=1, first=step)
        trace = 0.6 * trace + 0.4 * frames[0, frame]
        np.testing.assert_allclose(drive.traces[0], trace, rtol=1e-14)
    with pytest.raises(ValueError, match=r"frames must be \(images, frames, 3\)"):
        net.input(Frames(frames[0]))


@pytest.mark.statistical
def test_coded_images_have_the_images_as_their_mean():
    net = stacks.network(Architecture.dense(3, 2), 1)
    image = np.array([0.0, 0.3, 1.0])
    drive = net.input(Frames(np.tile(image, (4000, 1, 1)), coded=True))
    net.phase(net.start(4000), drive, steps=1, window=1, spiking=Spiking(2, 1, np.arange(4000)))
    assert set(np.unique(drive.traces)) == {0.0, 1.0}
    assert drive.traces[:, 0].max() == 0
    assert drive.traces[:, 2].min() == 1
    ones = int(drive.traces[:, 1].sum())
    assert binomtest(ones, 4000, 0.3).pvalue > FALSE_ALARM


@pytest.mark.exact
def test_layers_have_temperatures_thresholds_and_leaks_of_their_own():
    architecture = Architecture.dense(3, 2, 2)
    net = replace(stacks.network(architecture, 1), temperature=(0.5, 2.0), threshold=(0.1, -0.4), leak=(0.25, 1.0))
    images, _ = stacks.batch(net, 1, count=1)
    state = net.start(1)
    net.phase(state, net.constants(images), steps=1, window=1)
    field = net.couplings @ np.full(4, 0.3) + architecture.unit_bias(net.bias)
    field[:2] += images[0] @ architecture.arrays(net.weights)[0]
    field -= np.array([0.1, 0.1, -0.4, -0.4])
    fired = 1 / (1 + np.exp(-field / np.array([0.5, 0.5, 2.0, 2.0])))
    np.testing.assert_allclose(state[0], [*(0.75 * 0.3 + 0.25 * fired[:2]), *fired[2:]], rtol=1e-12)
    with pytest.raises(ValueError, match=r"a Model has one temperature, got 0\.5, 2: give all layers the same"):
        net.as_model(images[0])


@pytest.mark.exact
def test_float32_states_follow_float64_to_rounding():
    architecture = Architecture((1, 6, 6), (Conv(3, 3, padding=1, pool=2), Conv(4, 2)), classes=3)
    wide, narrow = (stacks.network(architecture, 3, dtype=dtype) for dtype in (np.float64, np.float32))
    images, targets = stacks.batch(wide, 3)
    found = [
        net.phase(net.start(3), net.constants(images), steps=9, window=3, targets=targets, nudging=0.4)
        for net in (wide, narrow)
    ]
    assert found[1].dtype == np.float32
    np.testing.assert_allclose(found[1], found[0], atol=3e-6)


@pytest.mark.exact
def test_what_has_no_couplings_or_too_many_is_refused():
    pooled = stacks.network(Architecture((1, 6, 6), (Conv(2, 3, pool=2, pooling="max"),), classes=2), 0)
    with pytest.raises(ValueError, match="max pooling is outside the theory: the network has no couplings"):
        _ = pooled.couplings
    with pytest.raises(ValueError, match="401 units are too many for a dense matrix of couplings, the limit is 400"):
        _ = stacks.network(Architecture.dense(2, 401), 0).couplings
    assert stacks.network(Architecture.dense(2, 398, 2), 0).couplings.shape == (400, 400)


@pytest.mark.exact
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux' /proc")
def test_the_memory_of_a_phase_does_not_depend_on_its_steps():
    """A million steps of four units would take 32 MB and more if anything were kept of each."""
    net = stacks.network(Architecture.dense(1, 2, 2), 0)
    images, _ = stacks.batch(net, 0, count=1)

    def peak(steps):
        Path("/proc/self/clear_refs").write_text("5")
        net.phase(net.start(1), net.constants(images), steps=steps, window=steps, spiking=Spiking(0, 1, np.arange(1)))
        status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
        return int(status.split()[0])

    peak(2)
    assert peak(1_000_000) - peak(2) < 8_000


@pytest.mark.exact
def test_answers_are_the_readouts_softmax_or_the_outputs_themselves():
    net = stacks.network(Architecture((1, 3, 3), (Conv(2, 2),), classes=3), 4)
    states = np.random.default_rng(0).random((5, 8))
    weights, bias = net.readout
    odds = np.exp(states @ weights + bias)
    np.testing.assert_allclose(net.answers(states), odds / odds.sum(axis=1, keepdims=True), rtol=1e-13)
    plain = stacks.network(Architecture.dense(2, 3, 4), 4)
    states = np.random.default_rng(1).random((5, 7))
    assert np.array_equal(plain.answers(states), states[:, 3:])


@pytest.mark.exact
def test_hard_sigmoids_are_clipped_fields_and_refuse_what_needs_firing_probabilities():
    architecture = Architecture((1, 3, 3), (Conv(2, 2), Dense(3)))
    net = replace(stacks.network(architecture, 4, temperature=0.8, leak=1.0), activation="hard_sigmoid")
    clamped = images(net)
    states = np.random.default_rng(5).random((len(clamped), architecture.units))
    field = net.constants(clamped) + states @ net.couplings
    moved = states.copy()
    net.phase(moved, net.input(clamped), steps=1, window=1)
    np.testing.assert_allclose(moved, np.clip(field / 0.8, 0, 1), rtol=1e-12, atol=1e-14)
    noise = Spiking(0, 1, np.arange(len(clamped)))
    target, nudgings = np.zeros((len(clamped), 3)), (np.ones(len(clamped)), -np.ones(len(clamped)))
    drive, told = net.input(clamped), {"steps": 1, "window": 1}
    for refused in (
        lambda: net.phase(states, drive, spiking=noise, **told),
        lambda: net.pair((states,) * 2, drive, targets=target, nudgings=nudgings, spiking=(noise,) * 2, **told),
        lambda: net.settle(net.constants(clamped), tolerance=1e-3, max_steps=9),
        lambda: net.as_model(clamped[0]),
        lambda: net.onsager_field(states),
        lambda: backpropagate(net, clamped, target, **told),
        lambda: Drives(net),
    ):
        with pytest.raises(
            ValueError, match="the hard sigmoid is for deterministic EP alone: use activation='logistic'"
        ):
            refused()
