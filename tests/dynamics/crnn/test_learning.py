"""The rules agree where theory says they must: finite differences, C1, C3, C8 and B4's limit of small leaks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.bptt import backpropagate
from dynamics.crnn.config import Backpropagation, Continual, Deterministic, Implicit, Stochastic
from dynamics.crnn.learning import Response, estimate, gradient, random_signs, respond
from dynamics.crnn.network import Frames, Network, Spiking
from dynamics.crnn.relaxation import STREAM_INPUT
from dynamics.crnn.wiring import accumulate_images, unpack
from dynamics.philox import uniforms
from meanfield import QuadraticCost, implicit_gradient
from tests.dynamics.crnn import stacks
from tests.dynamics.crnn.stacks import architectures

# of the whole file, for its two estimators and two comparisons each
FALSE_ALARM = 1e-9
EXACT = Implicit(tolerance=1e-14, max_steps=5000)


def network(layers=(5, 4, 3, 2), leak=0.5, temperature=0.5):
    generator = np.random.default_rng(7)
    architecture = Architecture.dense(*layers)
    weights = architecture.draw_weights(generator, [1.5] * (len(layers) - 1))
    return Network(architecture, weights, generator.normal(0.3, 0.3, architecture.units), temperature, 0.25, leak)


def batch(net, count=3):
    generator = np.random.default_rng(8)
    return generator.random((count, net.architecture.inputs)), np.eye(net.architecture.outputs)[np.arange(count) % 2]


def slopes(rule, net, seed=0):
    images, targets = batch(net)
    response = respond(rule, net, images, targets, seed=seed, replicas=np.arange(len(images)))
    return np.concatenate(gradient(net, response))


def loss(net):
    images, targets = batch(net)
    means = net.settle(net.constants(images), tolerance=1e-15, max_steps=5000)[0]
    penalties = np.broadcast_to(net.rate_penalty, len(net.architecture.layers))
    penalty = sum(own * means[:, place].mean() for own, place in zip(penalties, net.architecture.places, strict=True))
    return 0.5 * ((net.outputs(means) - targets) ** 2).sum(axis=1).mean() + penalty


@pytest.mark.exact
@pytest.mark.parametrize("penalty", [0.0, 0.7, (0.2, 0.0, 1.1)])
def test_the_implicit_gradient_is_the_slope_of_the_loss(penalty):
    net, step = replace(network(), rate_penalty=penalty), 1e-5
    flat = np.concatenate([net.weights, net.bias])

    def at(values):
        return loss(replace(net, weights=values[: net.weights.size], bias=values[net.weights.size :]))

    differences = [(at(flat + step * unit) - at(flat - step * unit)) / (2 * step) for unit in np.eye(flat.size)]
    np.testing.assert_allclose(slopes(EXACT, net), differences, atol=1e-9)


@pytest.mark.exact
def test_the_implicit_gradient_is_the_theorys_on_the_networks_model():
    net = network()
    images, targets = batch(net, count=1)
    weights, bias = gradient(net, respond(EXACT, net, images, targets, seed=0, replicas=np.zeros(1, int)))
    outputs = np.arange(net.architecture.units)[net.architecture.places[-1]]
    theory = implicit_gradient(net.as_model(images[0]), QuadraticCost(outputs, targets[0]))
    places = net.architecture.places
    np.testing.assert_allclose(bias, theory.bias, atol=1e-11)
    for n, matrix in enumerate(net.architecture.arrays(weights)[1:]):
        np.testing.assert_allclose(matrix, theory.couplings[places[n], places[n + 1]], atol=1e-11)


@pytest.mark.exact
def test_symmetric_ep_tends_to_the_implicit_gradient_with_slope_two_in_the_nudging():
    net = network()
    exact = slopes(EXACT, net)
    nudgings = np.array([0.4, 0.2, 0.1, 0.05])
    errors = [
        np.linalg.norm(slopes(Deterministic(nudging=float(b), steps_free=600, steps_nudged=600, window=1), net) - exact)
        for b in nudgings
    ]
    orders = np.diff(np.log(errors)) / np.diff(np.log(nudgings))
    assert (np.abs(orders - 2) < 0.1).all()


@pytest.mark.exact
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_ep_of_hard_sigmoids_is_the_slope_of_the_loss(pooling):
    """Away from the corners, where some units are clipped and no largest drive moves."""
    architecture = Architecture((1, 6, 6), (Conv(2, 3), Conv(3, 2, padding=1, pool=2, pooling=pooling), Dense(2)))
    net = replace(stacks.network(architecture, 2, temperature=1.2, leak=0.7), activation="hard_sigmoid")
    images, targets = batch(net)

    def at(values):
        moved = replace(net, weights=values[: net.weights.size], bias=values[net.weights.size :])
        return 0.5 * ((moved.infer(images, steps=400, window=1) - targets) ** 2).sum(axis=1).mean()

    flat, step = np.concatenate([net.weights, net.bias]), 1e-5
    differences = [(at(flat + step * unit) - at(flat - step * unit)) / (2 * step) for unit in np.eye(flat.size)]
    found = slopes(Deterministic(nudging=1e-6, steps_free=400, steps_nudged=400, window=1), net)
    states = net.start(len(images))
    net.phase(states, net.input(images), steps=400, window=1)
    assert 0.05 < (np.minimum(states, 1 - states) < 1e-9).mean() < 0.9
    np.testing.assert_allclose(found, differences, rtol=0, atol=1e-7)


@pytest.mark.exact
def test_the_difference_taken_first_equals_the_difference_of_products():
    generator = np.random.default_rng(3)
    architecture, nudging = Architecture.dense(3, 4, 2), 0.25
    images, plus, minus = generator.random((5, 3)), generator.random((5, 6)), generator.random((5, 6))
    net = Network(architecture, np.zeros(architecture.weights), np.zeros(architecture.biases), 1.0, 0.0, 1.0)
    weights, bias = gradient(net, Response((plus + minus) / 2, (plus - minus) / (2 * nudging), plus, images))
    lower, upper = architecture.arrays(weights)
    np.testing.assert_allclose(lower, -(images.T @ (plus - minus)[:, :4]) / (2 * nudging) / 5, atol=1e-15)
    products = plus[:, :4].T @ plus[:, 4:] - minus[:, :4].T @ minus[:, 4:]
    np.testing.assert_allclose(upper, -products / (2 * nudging) / 5, atol=1e-15)
    np.testing.assert_allclose(bias, -(plus - minus).mean(axis=0) / (2 * nudging), atol=1e-15)


def replicated(rule, net, replicas, seed=1):
    """One image's response under many noises: mean and slope (replicas, units)."""
    images, targets = batch(net, count=1)
    copies = np.repeat(images, replicas, axis=0), np.repeat(targets, replicas, axis=0)
    return respond(rule, net, *copies, seed=seed, replicas=np.arange(replicas))


PHASES = {"nudging": 0.5, "steps_free": 200, "steps_nudged": 200, "window": 100}


@pytest.mark.statistical
@pytest.mark.parametrize("estimator", ["traces", "probabilities"])
def test_coupled_stochastic_ep_is_deterministic_ep_in_the_mean_at_small_leak(estimator):
    net, replicas = network(leak=0.05, temperature=1.0), 4000
    noisy = replicated(Stochastic(estimator=estimator, **PHASES), net, replicas)
    exact = replicated(Deterministic(**PHASES), net, 1)
    hidden, output = net.architecture.places[-2:]

    def products(response):
        pairs = (response.mean, response.slope), (response.slope, response.mean)
        return sum(-pre[:, hidden, None] * post[:, None, output] for pre, post in pairs)

    for sampled, expected in ((-noisy.slope, -exact.slope[0]), (products(noisy), products(exact)[0])):
        error = sampled.std(axis=0, ddof=1) / np.sqrt(replicas)
        half_width = norm.isf(FALSE_ALARM / 4 / (2 * error.size)) * error
        # B5: the leak's own bias, O(ε) relative; the interval must be sharp enough to see a gradient at all
        allowance = net.leak * np.abs(expected).max()
        assert (np.abs(sampled.mean(axis=0) - expected) <= half_width + allowance).all()
        assert half_width.max() < 0.25 * np.abs(expected).max()


@pytest.mark.statistical
def test_shared_noise_takes_most_of_the_variance_away():
    """C8 at β = 0.1: tens of times in these nets; a factor 5 is far outside the error of 2,000 replicas."""
    net = network(leak=0.5, temperature=1.0)
    variance = {}
    for phases in ("coupled", "warm-started", "independent"):
        rule = Stochastic(nudging=0.1, steps_free=20, steps_nudged=20, window=10, estimator="traces", phases=phases)
        variance[phases] = replicated(rule, net, 2000).slope.var(axis=0).sum()
    assert variance["warm-started"] > 5 * variance["coupled"]
    assert variance["independent"] > 5 * variance["coupled"]


@pytest.mark.exact
@pytest.mark.parametrize("rule", [EXACT, Deterministic(**PHASES), Stochastic(estimator="traces", **PHASES)])
def test_a_batch_is_the_mean_of_its_images(rule):
    net = network()
    images, targets = batch(net)
    alone = [
        np.concatenate(gradient(net, respond(rule, net, images[[i]], targets[[i]], seed=0, replicas=np.array([i]))))
        for i in range(len(images))
    ]
    np.testing.assert_allclose(slopes(rule, net), np.mean(alone, axis=0), atol=1e-13)


@pytest.mark.exact
@settings(max_examples=12)
@given(architectures(), st.integers(0, 2**16))
def test_nudged_phases_retrace_bptt_step_by_step_on_conv_nets(architecture, seed):
    """C4: from exact rest, EP after t nudged steps is BPTT truncated to t uses of the weights, up to O(β²) if symmetric."""
    net = stacks.network(architecture, seed, scale=1.0)
    images, targets = stacks.batch(net, seed)
    free, used = 400, 4
    rested = net.start(3)
    net.phase(rested, net.constants(images), steps=free, window=1)
    truncated = backpropagate(net, images, targets, steps=used, window=1, start=rested)[:2]
    errors = []
    for nudging in (0.1, 0.05):
        rule = Deterministic(nudging=nudging, steps_free=free, steps_nudged=used, window=1)
        estimated = gradient(net, respond(rule, net, images, targets, seed=0, replicas=np.arange(3)))
        errors.append(max(abs(one - other).max() for one, other in zip(estimated, truncated, strict=True)))
    assert errors[1] <= 0.3 * errors[0] + 1e-9
    assert errors[1] <= 0.05 * max(abs(part).max() for part in truncated) + 1e-9


@pytest.mark.exact
@settings(max_examples=12)
@given(architectures(), st.integers(0, 2**16), st.sampled_from([0.0, 1.5]))
def test_converged_ep_is_converged_bptt_readout_and_penalty_included(architecture, seed, penalty):
    net = stacks.network(architecture, seed, scale=1.0, rate_penalty=penalty)
    images, targets = stacks.batch(net, seed)
    shared = {"seed": 0, "replicas": np.arange(3)}
    exact = estimate(Backpropagation(steps=800, window=1), net, images, targets, **shared)
    scale = max(abs(exact.weights).max(), abs(exact.bias).max())
    for scheme, order in (("symmetric", 2), ("one-sided", 1)):
        errors = []
        for nudging in (0.1, 0.05):
            rule = Deterministic(nudging=nudging, steps_free=400, steps_nudged=400, window=1, scheme=scheme)
            found = estimate(rule, net, images, targets, **shared)
            errors.append(max(abs(found.weights - exact.weights).max(), abs(found.bias - exact.bias).max()))
        assert errors[1] <= 1.2 * errors[0] / 2**order + 1e-8
        assert errors[1] <= 0.1 * scale + 1e-8


@pytest.mark.exact
def test_a_random_sign_is_one_sided_with_either_sign_and_symmetric_in_the_mean():
    net = stacks.network(Architecture((1, 5, 5), (Conv(2, 2, pool=2),), classes=3), 4)
    images, targets = stacks.batch(net, 4, count=1)
    phases, shared = {"steps_free": 20, "steps_nudged": 10, "window": 2}, {"seed": 0, "replicas": np.arange(1)}
    both = [
        respond(Deterministic(nudging=nudging, scheme="one-sided", **phases), net, images, targets, **shared)
        for nudging in (0.4, -0.4)
    ]
    rule, seen = Deterministic(nudging=0.4, scheme="random-sign", **phases), set()
    for replica in range(40):
        found = respond(rule, net, images, targets, seed=0, replicas=np.array([replica]))
        match = [(found.slope == one.slope).all() and (found.mean == one.mean).all() for one in both]
        assert sum(match) == 1
        seen.add(match.index(True))
    assert seen == {0, 1}
    signs = random_signs(3, np.arange(4000))
    # 7 standard errors
    assert abs(signs.mean()) < 7 / np.sqrt(4000)
    symmetric = respond(Deterministic(nudging=0.4, **phases), net, images, targets, **shared)
    products = [np.outer(one.mean[0], one.slope[0]) + np.outer(one.slope[0], one.mean[0]) for one in (*both, symmetric)]
    np.testing.assert_allclose((products[0] + products[1]) / 2, products[2], atol=1e-13)


@pytest.mark.exact
def test_continual_ep_is_one_sided_ep_as_its_rate_vanishes():
    """Ernoult et al. 2020: the distance is of the order of the rate; its sum telescopes when the weights stay."""
    net = stacks.network(Architecture((1, 5, 5), (Conv(2, 2, pool=2), Dense(3))), 4)
    images, targets = stacks.batch(net, 4)
    phases = {"nudging": 0.3, "steps_free": 300, "steps_nudged": 12}
    shared = {"seed": 0, "replicas": np.arange(3)}
    limit = estimate(Deterministic(window=1, scheme="one-sided", **phases), net, images, targets, **shared)
    distances = []
    for rate in (1e-4, 1e-5, 1e-12):
        found = estimate(Continual(window=1, rates=(rate, rate), **phases), net, images, targets, **shared)
        distances.append(abs(found.weights - limit.weights).max())
    assert distances[1] == pytest.approx(distances[0] / 10, rel=0.1)
    assert distances[2] < 1e-10


@pytest.mark.exact
def test_coupled_phases_share_noise_and_others_do_not():
    """Without a nudge coupled phases are the same path; warm-started ones share their start alone."""
    net = stacks.network(Architecture((1, 5, 5), (Conv(2, 2, pool=2), Dense(3))), 4)
    images, targets = stacks.batch(net, 4)
    slopes_ = {}
    for phases in ("coupled", "warm-started", "independent"):
        rule = Stochastic(nudging=1e-300, steps_free=6, steps_nudged=1, window=1, estimator="traces", phases=phases)
        found = respond(rule, net, images, targets, seed=0, replicas=np.arange(3))
        slopes_[phases] = found.slope * 2e-300
    assert (slopes_["coupled"] == 0).all()
    # one spike apart after one step from one state; further apart when the starts differ too
    steps = np.unique(np.round(np.abs(slopes_["warm-started"]), 12))
    assert set(steps.tolist()) == {0.0, 0.5}
    assert not np.isin(np.round(np.abs(slopes_["independent"]), 12), steps).all()


@pytest.mark.exact
@pytest.mark.parametrize("phases", ["coupled", "warm-started", "independent"])
@pytest.mark.parametrize("statistic", ["traces", "spikes", "probabilities"])
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_two_phases_at_once_are_the_two_phases(phases, statistic, pooling):
    """Mean and half difference of what two runs of `phase` average, spike for spike; from states without equal numbers, which
    the largest of a window would choose among by rounding.
    """
    architecture = Architecture((1, 4, 4), (Conv(1, 1), Conv(2, 1, pool=2, pooling=pooling)), classes=3)
    net = stacks.network(architecture, 5, rate_penalty=0.8)
    images, targets = stacks.batch(net, 5)
    replicas, drive, run = (
        np.arange(3),
        net.input(images),
        {"steps": 5, "window": 3, "first": 7, "average_of": statistic},
    )
    streams = (3, 3) if phases == "coupled" else (4, 3)
    noise = tuple(Spiking(11, stream, replicas) for stream in streams)
    start, other = np.random.default_rng(0).random((2, 3, architecture.units))
    starts = start, other if phases == "independent" else start
    nudgings = np.array([0.4, -0.2, 0.3]), np.array([-0.4, 0.0, 0.1])
    pair = net.pair(starts, drive.copy(), targets=targets, nudgings=nudgings, spiking=noise, **run)
    single = [
        net.phase(start.copy(), drive.copy(), targets=targets, nudging=nudging, spiking=one, **run)
        for start, nudging, one in zip(starts, nudgings, noise, strict=True)
    ]
    np.testing.assert_allclose(pair.mean, (single[0] + single[1]) / 2, atol=1e-13)
    np.testing.assert_allclose(pair.half, (single[0] - single[1]) / 2, atol=1e-13)
    assert np.array_equal(pair.half_nudging, (nudgings[0] - nudgings[1]) / 2)


@pytest.mark.exact
@pytest.mark.parametrize("scheme", ["symmetric", "one-sided"])
def test_in_float32_a_small_nudgings_gradient_is_as_exact_as_the_states(scheme):
    """Carried as a difference, nothing of it is lost: with two separate phases a nudging of 1e-4 leaves errors of some per cent."""
    architecture = Architecture((1, 8, 8), (Conv(16, 3, padding=1, pool=2), Conv(16, 3)), classes=3)
    wide, narrow = (stacks.network(architecture, 3, dtype=dtype) for dtype in (np.float64, np.float32))
    images, targets = stacks.batch(wide, 3, count=20)
    rule = Deterministic(nudging=1e-4, steps_free=80, steps_nudged=20, window=1, scheme=scheme)
    exact, found = (
        gradient(net, respond(rule, net, images, targets, seed=0, replicas=np.arange(20)))[0] for net in (wide, narrow)
    )
    for one, other in zip(np.split(exact, [144]), np.split(found, [144]), strict=True):
        assert np.linalg.norm(other - one) < 3e-6 * np.linalg.norm(one)


@pytest.mark.exact
def test_in_float32_the_difference_first_loses_less_than_the_difference_of_products():
    """At a small nudging two large products cancel; with the difference taken first the error is what the states carry."""
    architecture = Architecture((1, 8, 8), (Conv(4, 3, padding=1, pool=2), Conv(4, 2)), classes=3)
    wide, narrow = (stacks.network(architecture, 3, dtype=dtype) for dtype in (np.float64, np.float32))
    images, targets = stacks.batch(wide, 3, count=40)
    rule = Deterministic(nudging=0.02, steps_free=60, steps_nudged=20, window=1)
    responses = [respond(rule, net, images, targets, seed=0, replicas=np.arange(40)) for net in (wide, narrow)]
    exact, first = (gradient(net, response)[0] for net, response in zip((wide, narrow), responses, strict=True))
    half = np.float32(0.02) * responses[1].slope
    products = []
    for sign in (1, -1):
        rate = responses[1].mean + sign * half
        # m·m' of one phase: half of m·m' + m'·m
        products.append(accumulate_images(responses[1].input, rate, rate, narrow.wiring) / 2)
    packed = (products[0] - products[1]) / np.float32(0.04) / 40
    last = unpack(architecture, -packed)
    second = architecture.arrays(np.concatenate([exact, np.zeros(architecture.weights - exact.size)]))[1].ravel()
    upper = slice(exact.size - second.size, exact.size)
    miss = [np.linalg.norm(one[upper] - exact[upper]) for one in (first, last)]
    assert miss[0] < 0.5 * miss[1]
    assert first.dtype == np.float32


@pytest.mark.exact
def test_what_a_rule_cannot_do_is_said():
    net = stacks.network(Architecture.dense(3, 2), 1)
    images, targets = stacks.batch(net, 1)
    with pytest.raises(ValueError, match="rule Backpropagation has no pair of phases to compare"):
        respond(Backpropagation(steps=2, window=1), net, images, targets, seed=0, replicas=np.arange(3))
    with pytest.raises(ValueError, match="needs a fixed point, which a changing input has not"):
        respond(EXACT, net, Frames(images[:, None]), targets, seed=0, replicas=np.arange(3))


@pytest.mark.exact
@pytest.mark.parametrize("phases", ["coupled", "warm-started", "independent"])
def test_coded_inputs_are_the_same_in_both_phases_so_that_the_update_is_the_difference_of_products(phases):
    net = stacks.network(Architecture.dense(4, 3, 2), 1)
    images, targets = stacks.batch(net, 1)
    rule = Stochastic(nudging=0.5, steps_free=6, steps_nudged=5, window=1, estimator="traces", phases=phases)
    found = respond(rule, net, Frames(images[:, None], leak=0.5, coded=True), targets, seed=3, replicas=np.arange(3))
    trace, noise = np.zeros((3, 4)), np.empty(4)
    for step in range(11):
        for image in range(3):
            uniforms(3, STREAM_INPUT, step, image, noise)
            trace[image] = 0.5 * trace[image] + 0.5 * (noise < images[image])
    np.testing.assert_allclose(found.input, trace, rtol=1e-14)
    lower = net.architecture.arrays(np.concatenate([gradient(net, found)[0]]))[0]
    phases_apart = [found.mean + sign * 0.5 * found.slope for sign in (1, -1)]
    products = [trace.T @ one[:, :3] for one in phases_apart]
    np.testing.assert_allclose(lower, -(products[0] - products[1]) / (2 * 0.5) / 3, atol=1e-14)
