"""Options of the network: leaks a neuron, residual links, lateral and divisive inhibition, weak feedback (lem:options, thm:G7)."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv, Dense, Link
from dynamics.crnn.bptt import backpropagate
from dynamics.crnn.config import Deterministic, Experiment, Implicit, Stochastic, check_together
from dynamics.crnn.learning import estimate
from dynamics.crnn.network import Network, Spiking, Spread
from dynamics.crnn.run import start
from dynamics.crnn.spectra import Drives, spectral_radius
from meanfield.equations import firing_probability
from tests.dynamics.crnn import stacks

pytestmark = pytest.mark.exact

LINKED = Architecture(
    (1, 6, 6),
    (Conv(3, 3, padding=1, pool=2), Conv(4, 3, padding=1), Conv(4, 1), Dense(5), Dense(5)),
    3,
    links=(Link(2, 3, 0.7), Link(4, 5, -0.4)),
    lateral=(0.6, 0.0, 0.3, 0.9, 0.2),
)
PLAIN = replace(LINKED, links=(), lateral=())


def within(architecture):
    """Links and lateral inhibition as a matrix, entry by entry from their definitions."""
    units, places = architecture.units, architecture.places
    found = np.zeros((units, units))
    for link in architecture.links:
        lower, upper = (range(*places[n - 1].indices(units)) for n in (link.lower, link.upper))
        for i, j in zip(lower, upper, strict=True):
            found[i, j] += link.strength
            found[j, i] += link.strength
    for layer, place, strength in zip(architecture.layers, places, architecture.lateral, strict=True):
        count = layer.biases
        for i in range(place.start, place.stop):
            for j in range(place.start, place.stop):
                if i != j and (i - place.start) // count == (j - place.start) // count:
                    found[i, j] -= strength / (count - 1)
    return found


def gains(net):
    """κ, κ_a and λ/4 by dense linear algebra."""
    scale = 1 / np.sqrt(4 * net.per_unit(net.temperature))
    scaled = scale[:, None] * net.couplings * scale
    values = np.linalg.eigvalsh(scaled)
    return np.array([np.abs(values).max(), np.linalg.eigvalsh(np.abs(scaled))[-1], values[-1]])


def test_couplings_are_those_of_the_layers_and_what_is_defined_within():
    net, plain = stacks.network(LINKED, 1), stacks.network(PLAIN, 1)
    np.testing.assert_allclose(net.couplings, plain.couplings + within(LINKED), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("spiking", "spread"), [(False, True), (True, True), (True, False)])
def test_a_phase_is_the_dense_iteration(dtype, spiking, spread):
    """Traces driven by spikes, tables and all, follow s ← (1−ε)s + ε z with the dense J; coupled pairs too."""
    leak = Spread(0.2, 0.8) if spread else (0.3, 0.9, 0.5, 0.7, 0.4)
    net = replace(stacks.network(LINKED, 2, dtype=dtype), leak=leak, divisive=0.5)
    images, targets = stacks.batch(net, 2)
    noise = Spiking(3, 0, np.arange(len(images))) if spiking else None
    states, reference = net.start(len(images)), net.start(len(images)).astype(np.float64)
    drive = net.input(images)
    constants, leaks = drive.constants.astype(np.float64), net.per_unit(net.leak).astype(np.float64)
    heats = net.per_unit(net.temperature) * (1 + 0.5 * images.mean(axis=1))[:, None]
    net.phase(states, drive, steps=1, window=1, spiking=noise)
    for step in range(6):
        chances = firing_probability(constants + reference @ net.couplings, heats)
        pulses = chances
        if spiking:
            one = net.start(len(images))
            one[:] = reference
            pulses = net.phase(
                one, net.input(images), steps=1, window=1, first=step, spiking=noise, average_of="spikes"
            )
            again = net.phase(
                reference.astype(dtype), net.input(images), steps=1, window=1, first=step, spiking=noise,
                average_of="probabilities",
            )  # fmt: skip
            np.testing.assert_allclose(again, chances, rtol=0, atol=2e-6)
        reference = (1 - leaks) * reference + leaks * pulses
        if step == 0:
            np.testing.assert_allclose(states, reference, rtol=0, atol=2e-6)
    whole = net.start(len(images))
    net.phase(whole, net.input(images), steps=6, window=1, spiking=noise)
    np.testing.assert_allclose(whole, reference, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-12)
    pair = net.pair(
        (net.start(len(images)), net.start(len(images))), net.input(images), steps=6, window=1, targets=targets,
        nudgings=(np.zeros(len(images)), np.zeros(len(images))), spiking=None if noise is None else (noise, noise),
    )  # fmt: skip
    np.testing.assert_allclose(pair.mean, reference, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-12)
    assert not pair.half.any()


@settings(max_examples=15)
@given(st.integers(0, 2**16), st.floats(0.0, 2.0), st.floats(-1.5, 1.5), st.floats(0.05, 1.0))
def test_gains_grow_by_no_more_than_the_lemma_says(seed, inhibition, strength, feedback):
    links = (Link(2, 3, strength * feedback**2), Link(4, 5, strength * feedback**4))
    powers = feedback ** np.arange(5)
    heats = tuple(0.5 * powers)
    plain = replace(stacks.network(PLAIN, seed), temperature=heats)
    before = gains(plain)
    linked = gains(replace(plain, architecture=replace(PLAIN, links=links)))
    assert np.all(linked <= before + abs(strength) * np.sqrt(feedback) / (4 * 0.5) + 1e-12)
    lateral = tuple(inhibition * powers)
    inhibited = gains(replace(plain, architecture=replace(PLAIN, lateral=lateral)))
    rise = inhibition / (4 * 0.5)
    # the smallest place has three units
    assert np.all(inhibited <= before + np.array([rise, rise, rise / 2]) + 1e-12)


def test_the_bounds_are_met_where_nothing_else_couples():
    """Falsifier: with half of each bound the same comparison fails."""
    for architecture, rise in (
        (replace(PLAIN, links=(Link(2, 3, 0.7),)), [0.35, 0.35, 0.35]),
        (replace(PLAIN, lateral=(0, 0, 0, 0.8, 0)), [0.4, 0.4, 0.1]),
    ):
        net = stacks.network(architecture, 0)
        net = replace(net, weights=np.zeros_like(net.weights))
        np.testing.assert_allclose(gains(net), rise, atol=1e-12)
        assert not np.all(gains(net) <= np.array(rise) / 2)


def test_divisive_inhibition_is_a_temperature_an_image():
    net = replace(stacks.network(LINKED, 4), divisive=1.5)
    images, _ = stacks.batch(net, 4)
    together = net.start(len(images))
    net.phase(together, net.input(images), steps=12, window=1)
    for image, state in zip(images, together, strict=True):
        seen = net.seeing(image)
        alone = seen.start(1)
        seen.phase(alone, seen.input(image[None]), steps=12, window=1)
        # rounding of T(1 + g x̄), T·strain and their quotients
        np.testing.assert_allclose(alone[0], state, rtol=1e-12)
        np.testing.assert_allclose(gains(seen), gains(replace(net, divisive=0.0)) / (1 + 1.5 * image.mean()))
        assert seen.divisive == 0.0
    # the images' temperatures do differ
    assert np.ptp(net.strains(images)) > 0.01


def test_leaks_a_neuron_leave_fixed_points_and_gains():
    net = stacks.network(LINKED, 5)
    spread = replace(net, leak=Spread(0.1, 0.9))
    images, _ = stacks.batch(net, 5)
    told = {"tolerance": 1e-13, "max_steps": 5000}
    np.testing.assert_allclose(
        net.settle(net.constants(images), **told)[0], spread.settle(net.constants(images), **told)[0], atol=1e-11
    )
    np.testing.assert_array_equal(gains(net), gains(spread))


@pytest.mark.parametrize("count", [7, 100, 4096])
def test_a_spread_of_leaks_is_even_in_its_logarithm(count):
    leaks = Spread(0.05, 0.8).values(count)
    shares = np.sort(np.log(leaks / 0.05) / np.log(0.8 / 0.05))
    assert shares[0] >= 0
    assert shares[-1] <= 1
    assert np.abs(shares - (np.arange(count) + 0.5) / count).max() < 3 / count


@pytest.mark.parametrize("divisive", [0.0, 0.8])
def test_ep_with_all_options_is_the_gradient_of_the_net_it_runs_in(divisive):
    """Against BPTT of a relaxation long enough to settle, which differentiates each step by hand; and that against differences."""
    net = replace(stacks.network(LINKED, 6, scale=0.8), leak=Spread(0.4, 0.9), divisive=divisive)
    images, targets = stacks.batch(net, 6)
    rule = Deterministic(nudging=1e-3, steps_free=300, steps_nudged=300, window=1)
    found = estimate(rule, net, images, targets, seed=0, replicas=np.arange(3))
    layers = LINKED.weights - LINKED.sizes[-1] * 3
    exact = backpropagate(net, images, targets, steps=300, window=1)
    np.testing.assert_allclose(found.weights[:layers], exact.weights, rtol=1e-3, atol=1e-7)

    def loss(weights):
        moved = replace(net, weights=weights)
        told = estimate(replace_steps(rule), moved, images, targets, seed=0, replicas=np.arange(3))
        return told.cost.mean()

    for k in (0, 30, 60, 200):
        step = np.zeros_like(net.weights)
        step[k] = 1e-5
        difference = (loss(net.weights + step) - loss(net.weights - step)) / 2e-5
        assert difference == pytest.approx(exact.weights[k], rel=1e-4, abs=1e-9)


def replace_steps(rule):
    return msgspec.structs.replace(rule, steps_nudged=1)


def test_the_implicit_gradient_sees_links_and_rivals():
    net = stacks.network(LINKED, 7, scale=0.8)
    images, targets = stacks.batch(net, 7)
    found = estimate(Implicit(tolerance=1e-13, max_steps=5000), net, images, targets, seed=0, replicas=np.arange(3))
    exact = backpropagate(net, images, targets, steps=400, window=1)
    layers = exact.weights.size
    np.testing.assert_allclose(found.weights[:layers], exact.weights, rtol=1e-7, atol=1e-10)


def test_proven_norms_cover_what_is_coupled_within():
    net = stacks.network(LINKED, 8)
    drives = Drives(net)
    scale = np.random.default_rng(8).uniform(0.5, 1.5, drives.size)
    exact = np.linalg.norm(scale[:, None] * net.couplings * scale, 2)
    assert exact <= drives.norm_above(scale) * (1 + 1e-12)
    # falsifier: the blocks between layers alone are not enough
    quiet = Drives(replace(net, weights=net.weights * 1e-3))
    assert quiet.norm_above(np.ones(quiet.size)) >= np.linalg.norm(quiet.network.couplings, 2) > 0.5
    np.testing.assert_allclose(quiet.apply("within", np.eye(quiet.size)), np.abs(within(LINKED)), atol=1e-14)
    assert spectral_radius(lambda v: quiet.apply("within", v), quiet.size).high < 2.0


def experiment(**options):
    network = {
        "layers": [{"kind": "dense", "units": 6}, {"kind": "dense", "units": 6}, {"kind": "dense", "units": 3}],
        "readout": "squared-error", "temperature": 0.5, "threshold": 0.25, "leak": 0.5, "scales": [1.0, 2.0, 0.5],
    } | options  # fmt: skip
    raw = {
        "name": "options", "seeds": [0], "data": {"name": "digits", "split_seed": 0}, "network": network,
        "rule": {"kind": "deterministic", "nudging": 0.1, "steps_free": 20, "steps_nudged": 20, "window": 1},
        "training": {"epochs": 1, "batch": 4, "rates": [0.1, 0.1, 0.1], "optimiser": {"kind": "sgd"}},
        "inference": {"steps": 20, "window": 1},
    }  # fmt: skip
    found = msgspec.convert(raw, Experiment)
    check_together(found)
    return found


def test_feedback_is_the_chain_of_the_lemma_written_out():
    """Weak feedback asked for in one number starts from the same network as temperatures, thresholds and scales written out."""
    weak, plain = (
        experiment(feedback=0.25, lateral=0.5, links=[{"lower": 1, "upper": 2, "strength": 0.3}]),
        experiment(),
    )
    assert weak.network.weakened(0.5) == (0.5, 0.125, 0.03125)
    assert weak.network.weakened((1.0, 1.0, 1.0), 2) == (1.0, 0.0625, 0.25**4)
    table = weak.network
    architecture = Architecture.dense(4, 6, 6, 3)
    own, written = start(weak, architecture, 1), start(plain, architecture, 1)
    for ours, theirs, factor in zip(
        architecture.arrays(own.weights), architecture.arrays(written.weights), (1, 0.25, 0.0625), strict=True
    ):
        np.testing.assert_allclose(ours, factor * theirs, rtol=1e-15)
    built = Link(1, 2, 0.3 * 0.25)
    assert (Link(1, 2, table.links[0].strength * table.feedback),) == (built,)
    assert table.weakened(table.lateral) == (0.5, 0.125, 0.03125)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"leak": {"lowest": 0.9, "highest": 0.1}}, "network.leak.lowest must not exceed highest, got 0.9 and 0.1"),
        ({"links": [{"lower": 2, "upper": 2, "strength": 1.0}]}, "must go from a free layer to a higher one, 1 to 3"),
        ({"links": [{"lower": 1, "upper": 9, "strength": 1.0}]}, "got lower = 1, upper = 9"),
        ({"lateral": [1.0]}, "network.lateral must be one number or one per layer, 3, got 1"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        experiment(**options)


def test_links_between_layers_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="two free layers of one shape"):
        Architecture.dense(4, 6, 6, 3).__class__((4,), (Dense(6), Dense(3)), 0, links=(Link(1, 2, 1.0),))


def test_what_needs_one_temperature_refuses_divisive_inhibition():
    net = replace(stacks.network(PLAIN, 0), divisive=1.0)
    images, _ = stacks.batch(net, 0)
    for ask in (
        lambda: net.settle(net.constants(images), tolerance=1e-6, max_steps=10),
        lambda: Drives(net),
        lambda: net.phase(net.start(3), net.constants(images), steps=1, window=1),
    ):
        with pytest.raises(ValueError, match=r"divisive inhibition gives each image a temperature of its own"):
            ask()
    assert isinstance(net.seeing(images[0]), Network)


def test_spikes_on_shared_noise_learn_with_all_options():
    """One estimate is finite and not zero with everything switched on, in float32."""
    net = replace(stacks.network(LINKED, 9, dtype=np.float32), leak=Spread(0.3, 0.9), divisive=0.5)
    images, targets = stacks.batch(net, 9)
    rule = Stochastic(nudging=0.5, steps_free=20, steps_nudged=20, window=10, estimator="probabilities")
    found = estimate(rule, net, images, targets, seed=1, replicas=np.arange(3))
    assert np.isfinite(found.weights).all()
    assert np.any(found.weights)
