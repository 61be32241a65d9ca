"""Measures of a gradient's quality do not depend on how many repeats there are, and what is varied apart is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.config import Backpropagation, Deterministic, Stochastic
from dynamics.crnn.gradient_quality import layers, moments, quality, repeated, rescaled
from tests.dynamics.crnn.stacks import batch, network

STACK = Architecture((1, 6, 6), (Conv(2, 3, padding=1, pool=2), Conv(2, 2)), classes=3)
PHASES = {"nudging": 0.2, "steps_free": 6, "steps_nudged": 5, "window": 3}
RULE = Stochastic(**PHASES, estimator="probabilities")


@pytest.mark.exact
@pytest.mark.parametrize("repeats", [2, 3, 4])
def test_moments_are_unbiased_over_every_draw(repeats):
    """Three vectors, drawn in all ways: ‖μ‖², ⟨μ, g⟩ and V, whatever the number of repeats."""
    law, reference = np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 4.0]]), np.array([0.6, 0.8])
    mean = law.mean(axis=0)
    draws = [law[list(draw)] for draw in itertools.product(range(3), repeat=repeats)]
    found = np.mean([moments(draw @ draw.T, draw @ reference) for draw in draws], axis=0)
    np.testing.assert_allclose(found, [mean @ mean, mean @ reference, ((law - mean) ** 2).sum() / 3], rtol=1e-12)


@pytest.mark.exact
def test_without_noise_the_quality_is_geometry():
    reference, estimate = np.array([3.0, 0.0]), np.array([1.5, 1.5])
    for repeats in (1, 4):
        found = quality(np.tile(estimate, (repeats, 1)), reference)
        assert found.cosine.value == found.single.value == pytest.approx(np.sqrt(0.5))
        assert found.bias.value == pytest.approx(0.5)
        assert found.amplitude.value == pytest.approx(0.5)
        assert found.noise.value == pytest.approx(0.0, abs=1e-15)
        assert found.cosine.low == pytest.approx(found.cosine.high)


@pytest.mark.exact
def test_the_jackknife_of_a_mean_is_students_interval():
    """The amplitude is a mean over repeats: its jackknife is the textbook's."""
    vectors = np.array([[1.0, 0.3], [2.0, -0.1], [0.5, 0.2], [1.5, 0.4]])
    found = quality(vectors, np.array([2.0, 0.0])).amplitude
    along = vectors[:, 0] / 2
    # t of 3 degrees of freedom at 97.5 %
    reach = 3.182446305284264 * along.std(ddof=1) / 2
    assert (found.value, found.low, found.high) == pytest.approx(
        (along.mean(), along.mean() - reach, along.mean() + reach)
    )


@pytest.mark.exact
def test_an_estimate_of_zero_points_nowhere():
    reference = np.array([3.0, 4.0])
    found = quality(np.array([[3.0, 4.0], [0.0, 0.0], [4.0, -3.0], [-3.0, -4.0]]), reference)
    assert found.single.value == 0.0
    assert quality(np.array([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]]), reference).single.value == pytest.approx(2 / 3)


@pytest.mark.exact
def test_a_direction_below_the_noise_is_not_told():
    """Repeats at right angles: the products between them vanish, and so does what is known of μ."""
    found = quality(np.eye(3), np.array([1.0, 1.0, 1.0]))
    assert np.isnan(found.cosine.value)
    assert found.noise.value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("estimates", "reference", "message"),
    [
        (np.ones((3, 2)), np.zeros(2), "reference gradient must not vanish, got length 0.0"),
        (np.ones((2, 2)), np.ones(2), "at least 3 for an interval, got 2"),
    ],
)
def test_what_cannot_be_judged_is_refused(estimates, reference, message):
    with pytest.raises(ValueError, match=message):
        quality(estimates, reference)


@pytest.mark.exact
def test_repeats_have_noise_of_their_own_and_the_first_ones_stay():
    net = network(STACK, 1)
    images, targets = batch(net, 1)
    few, many = (repeated(RULE, net, images, targets, seed=3, repeats=count) for count in (2, 4))
    np.testing.assert_array_equal(few, many[:2])
    assert len(np.unique(many, axis=0)) == 4
    parts = layers(net, many)
    assert [part.shape for part in parts] == [(4, 2 * 1 * 9), (4, 2 * 2 * 4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), many[:, : sum(part.shape[1] for part in parts)])


@pytest.mark.exact
def test_gain_and_temperature_are_varied_apart():
    net = network(Architecture((1, 6, 6), (Conv(2, 3, pool=2), Dense(3))), 2)
    image = np.random.default_rng(0).random(36)
    before = net.as_model(image)
    louder, hotter, same = (
        rescaled(net, **told).as_model(image)
        for told in ({"loop": 3.0}, {"temperature": 2.0}, {"loop": 0.5, "temperature": 2.0})
    )
    assert (louder.gain, hotter.gain, same.gain) == pytest.approx((3 * before.gain, before.gain, before.gain / 2))
    assert (louder.temperature, hotter.temperature) == (before.temperature, 2 * before.temperature)
    for after in (louder, hotter, same):
        np.testing.assert_allclose(after.bias, before.bias)
    np.testing.assert_allclose(same.couplings, before.couplings)


@pytest.mark.exact
def test_temperatures_of_layers_are_varied_together():
    net = rescaled(network(STACK, 3, temperature=(0.5, 0.8)), temperature=2.0)
    assert net.temperature == (1.0, 1.6)


@pytest.mark.exact
def test_the_nudgings_error_falls_with_its_square_under_a_softmax_too():
    """thm:F2 (d) for a cost that is not quadratic, every layer, from a relaxed start."""
    net = network(STACK, 4)
    images, targets = batch(net, 4)

    def error(nudging):
        rules = (Deterministic(**{**PHASES, "nudging": value, "steps_free": 400}) for value in (nudging, 1e-3))
        ends = [layers(net, repeated(rule, net, images, targets, seed=0, repeats=1)[0]) for rule in rules]
        return np.array([np.linalg.norm(one - other) for one, other in zip(*ends, strict=True)])

    np.testing.assert_allclose(error(0.2) / error(0.1), 4.0, rtol=0.05)


@pytest.mark.exact
def test_long_deterministic_phases_reach_the_reference():
    net = network(STACK, 5)
    images, targets = batch(net, 5)
    long = Deterministic(nudging=0.01, steps_free=300, steps_nudged=300, window=1)
    found, reference = (
        layers(net, repeated(rule, net, images, targets, seed=0, repeats=1))
        for rule in (long, Backpropagation(steps=300, window=1))
    )
    for own, aim in zip(found, reference, strict=True):
        assert quality(own, aim[0]).bias.value < 1e-6
