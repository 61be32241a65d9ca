"""What B10 foretells near moving fixed points, on nets where it can be told otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.network import Frames
from dynamics.crnn.tracking import tracking
from meanfield import bounds
from tests.dynamics.crnn.stacks import network

# of two comparisons within five standard errors, each over 200 independent images
FALSE_ALARM = 2e-6


def free_units(count=60):
    """Units without couplings between free layers: what B10 says is exact but for the square's mean."""
    net = network(Architecture.dense(3, count), 1, scale=1.0, temperature=1.0)
    return replace(net, bias=np.zeros_like(net.bias))


def streams(images=200, steps=30, seed=0):
    """Inputs that turn slowly, at a phase of their own each."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (images, 1, 3))
    return Frames(0.5 + 0.5 * np.sin(phases + 0.15 * np.arange(steps)[None, :, None]))


@pytest.mark.exact
def test_slack_drift_noise_and_best_leak_are_those_of_the_dense_model():
    net, frames = network(Architecture.dense(3, 6, 4), 2, scale=2.0), streams(images=3, steps=12)
    found = tracking(net, frames, leaks=[0.5], skip=2, tolerance=1e-13)
    fixed = np.array([
        net.settle(net.constants(frames.frames[:, step]), tolerance=1e-13, max_steps=5000)[0] for step in range(12)
    ])  # fmt: skip
    roots = np.sqrt(fixed[6] * (1 - fixed[6]) / net.temperature)
    gains = [np.linalg.norm(root[:, None] * net.couplings * root, 2) for root in roots]
    assert found.slack == pytest.approx(1 - np.mean(gains), rel=1e-8)
    assert found.drift == pytest.approx(np.linalg.norm(np.diff(fixed[2:], axis=0), axis=-1).mean(), rel=1e-8)
    assert found.noise == pytest.approx((fixed[2:] * (1 - fixed[2:])).sum(axis=-1).mean(), rel=1e-8)
    assert found.predicted == [bounds_at(found, 0.5)]


def bounds_at(found, leak):
    rate = 1 - leak * found.slack
    lag = rate * found.drift + np.sqrt(found.drift**2 + (1 - rate**2) * leak**2 * found.noise)
    return pytest.approx(lag / (1 - rate**2), rel=1e-12)


def test_free_units_stray_as_foretold_and_least_near_the_best_leak():
    leaks = (0.05, 0.1, 0.2, 0.4, 0.8)
    found = tracking(free_units(), streams(steps=80), leaks=leaks, skip=60)
    assert found.slack == 1.0
    # lag and noise add as squares where noise is independent of the state, and B10 adds them plainly
    for leak, predicted, measured, error in zip(
        leaks, found.predicted, found.measured, found.standard_error, strict=True
    ):
        noise = np.sqrt(leak * found.noise / (2 - leak))
        assert measured < predicted + 5 * error
        assert measured > noise - 5 * error
    # the lag that the deterministic path has, and noise that is independent of it
    for followed, measured, error in zip(found.followed, found.measured, found.standard_error, strict=True):
        assert followed == pytest.approx(measured, rel=0.01, abs=5 * error)
    least = leaks[int(np.argmin(found.measured))]
    assert found.best_followed == least
    assert found.best / 2.5 < least < 2.5 * found.best


@pytest.mark.exact
def test_a_still_input_is_followed_best_by_the_smallest_leak():
    still = Frames(np.full((4, 20, 3), 0.5))
    found = tracking(free_units(), still, leaks=[0.1, 0.5], skip=10)
    assert found.best == found.drift == 0.0
    assert found.predicted[0] < found.predicted[1]
    assert bounds.drift_lag(free_units(8).as_model(np.full(3, 0.5)), leak=0.5, drift=0.0, copies=1) > 0
