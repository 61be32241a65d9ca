"""The rules agree where theory says they must: finite differences, C1, C3, C8 and B4's limit of small leaks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Deterministic, Implicit, Stochastic
from dynamics.crnn.learning import Response, gradient, respond
from dynamics.crnn.network import Network
from meanfield import QuadraticCost, implicit_gradient

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
    outputs = net.settle(net.constants(images), tolerance=1e-15, max_steps=5000)[:, net.architecture.places[-1]]
    return 0.5 * ((outputs - targets) ** 2).sum(axis=1).mean()


@pytest.mark.exact
def test_the_implicit_gradient_is_the_slope_of_the_loss():
    net, step = network(), 1e-5
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
