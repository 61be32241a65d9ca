"""The ball found without the matrix is the dense twin's, and paths are watched as they are."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn import ball
from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.ball import Surroundings, Watch, best_ball, leaving
from dynamics.crnn.spectra import Drives
from meanfield import bounds
from meanfield.bounds.local import FLOORS, LocalContraction, exit_exponent
from tests.dynamics.crnn import stacks

SMALL = Architecture((1, 6, 6), (Conv(3, 3, padding=1, pool=2), Conv(4, 2), Dense(3)))
DENSE = Architecture.dense(4, 5, 3)


def settled(architecture=SMALL, seed=3, scale=1.0):
    """A network, an image's constants, its fixed point and the dense twin."""
    net = stacks.network(architecture, seed, scale=scale)
    images, _ = stacks.batch(net, seed, count=1)
    constants = net.constants(images)
    mean = net.settle(constants, tolerance=1e-13, max_steps=5000)[0][0]
    return net, constants[0], mean, net.as_model(images[0])


@pytest.mark.exact
@settings(max_examples=25)
@given(st.integers(0, 2**16), st.floats(0.05, 3.0), st.sampled_from(FLOORS[:3]))
def test_a_balls_caps_and_gain_are_those_of_the_dense_twin(seed, radius, floor):
    net, constants, mean, model = settled(seed=seed)
    found = Surroundings(Drives(net), constants, mean).contraction(radius, floor=floor)
    root = np.sqrt(found.slopes)
    exact = np.linalg.norm(root[:, None] * model.couplings * root, 2) / model.temperature
    absolute = np.linalg.norm(root[:, None] * np.abs(model.couplings) * root, 2) / model.temperature
    assert exact <= found.gain <= 1.05 * absolute
    if exact < 1.0:
        reference = bounds.local_contraction(model, mean, radius=radius, floor=floor)
        np.testing.assert_allclose(found.slopes, reference.slopes, rtol=1e-7)
        assert exact == pytest.approx(reference.gain, rel=1e-7)


@pytest.mark.exact
def test_without_a_radius_the_caps_are_those_of_the_whole_cube():
    net, constants, mean, model = settled(scale=0.4)
    place = Surroundings(Drives(net), constants, mean)
    whole = place.contraction(math.inf)
    np.testing.assert_allclose(whole.slopes, bounds.local_contraction(model, mean).slopes, rtol=1e-7)
    np.testing.assert_allclose(place.contraction(1e3).slopes, whole.slopes, rtol=1e-7)
    chosen = best_ball(place, leak=0.3, steps=50)
    assert (chosen.radius, chosen.gain) == (math.inf, whole.gain)
    assert leaving(whole, leak=0.3, steps=50) == 0.0


@pytest.mark.exact
def test_the_bound_on_leaving_is_the_exits_of_b11b_and_at_most_one():
    unit = LocalContraction(1.0, 0.2, np.array([0.1, 0.2]))
    assert exit_exponent(unit, 0.01, 1) < -2
    assert leaving(unit, leak=0.01, steps=2) == pytest.approx(2 * math.exp(exit_exponent(unit, 0.01, 1)), rel=1e-12)
    assert leaving(unit, leak=0.5, steps=50) == 1.0
    assert leaving(unit._replace(radius=1e-6), leak=0.01, steps=1) == 1.0


@pytest.mark.exact
@settings(max_examples=25)
@given(st.integers(0, 2**16), st.floats(0.05, 1.0), st.floats(0.1, 2.0))
def test_the_local_recursion_is_sharper_than_b11b_and_stays_above_the_noise_at_the_fixed_point(seed, leak, radius):
    net, constants, mean, _ = settled(seed=seed, scale=0.6)
    place = Surroundings(Drives(net), constants, mean)
    found = place.contraction(radius)
    squares = [place.square(found, leak=leak, steps=steps) for steps in (1, 2, 400)]
    still = leak**2 * float((place.variance / found.slopes).sum())
    assert squares[0] == pytest.approx(still, rel=1e-12)
    # x_1 and x_2 by hand
    ends = np.stack(place.fields(radius, found.slopes))
    skew = np.abs(np.tanh(0.5 * ends)).max(axis=0)
    second = np.minimum(1.0, place.variance / found.slopes + skew * place.reach(found.slopes) * math.sqrt(still)).sum()
    rate = 1 - leak * (1 - found.gain)
    assert squares[1] == pytest.approx(0.5 * (still + rate**2 * still + leak**2 * second), rel=1e-9)
    if found.gain < 1.0:
        assert still * (1 + 1e-12) < squares[2] <= leak**2 * SMALL.units / (1 - rate**2)


@pytest.mark.exact
def test_reach_and_fields_are_the_dense_twins():
    net, constants, mean, model = settled()
    place = Surroundings(Drives(net), constants, mean)
    slopes = np.random.default_rng(0).uniform(0.01, 0.25, SMALL.units)
    reach = np.sqrt(model.couplings**2 @ slopes) / model.temperature
    np.testing.assert_allclose(place.reach(slopes), reach, rtol=1e-10)
    corners = [(model.bias + np.clip(sign * model.couplings, 0, None).sum(axis=1) * sign) / 0.5 for sign in (-1, 1)]
    np.testing.assert_allclose(place.fields(math.inf, slopes), corners, rtol=1e-9, atol=1e-12)
    low, high = place.fields(0.05, slopes)
    centre = np.log(mean / (1 - mean))
    np.testing.assert_allclose(low, np.maximum(corners[0], centre - 0.05 * reach), rtol=1e-8)
    np.testing.assert_allclose(high, np.minimum(corners[1], centre + 0.05 * reach), rtol=1e-8)


@pytest.mark.exact
def test_the_ball_chosen_is_the_least_likely_to_be_left_or_else_the_steadiest():
    net, constants, mean, _ = settled(DENSE, seed=4, scale=6.0)
    place = Surroundings(Drives(net), constants, mean)
    unit = 1.0 / place.reach(place.variance).max()
    tried = [
        place.contraction(unit * share, floor=floor) for floor in FLOORS for share in np.geomspace(0.01, 100.0, 25)
    ]
    tried = [one for one in tried if one.gain < 1.0]
    assert tried
    assert place.contraction(math.inf).gain >= 1.0
    quiet = best_ball(place, leak=1e-4, steps=20)
    chances = [leaving(one, leak=1e-4, steps=20) for one in tried]
    assert leaving(quiet, leak=1e-4, steps=20) == min(chances) < 0.5
    loud, mixed = best_ball(place, leak=1.0, steps=10**6), best_ball(place, leak=None, steps=20)
    for chosen in (loud, mixed):
        assert (1 - chosen.gain) * chosen.radius**2 == max((1 - one.gain) * one.radius**2 for one in tried)


@pytest.mark.exact
def test_of_balls_that_do_not_contract_none_is_considered(monkeypatch):
    net, constants, mean, _ = settled(DENSE, seed=4, scale=6.0)
    gains = []

    def record(one, leak, steps):
        gains.append(one.gain)
        return float(leak), float(steps)

    monkeypatch.setattr(ball, "_preference", record)
    best_ball(Surroundings(Drives(net), constants, mean), leak=0.1, steps=20)
    assert 0.5 < max(gains) < 1.0


@pytest.mark.exact
def test_the_largest_distance_is_the_balls_or_the_cubes():
    net, constants, mean, _ = settled(DENSE)
    place = Surroundings(Drives(net), constants, mean)
    small, whole = place.contraction(0.1), place.contraction(math.inf)
    assert place.largest(small) == pytest.approx(0.01, rel=1e-12)
    corner = np.where(mean < 0.5, 1.0, 0.0)
    assert place.largest(whole) == pytest.approx(((corner - mean) ** 2 / whole.slopes).sum(), rel=1e-12)


@pytest.mark.exact
def test_no_ball_is_claimed_about_an_unstable_point():
    net, _, _, _ = settled(DENSE)
    weights = np.where(np.arange(net.weights.size) < 20, 0.0, 4.0)
    net = replace(net, weights=weights, bias=np.zeros(8), threshold=0.0)
    # fields vanish at ½, whose local gain is 4·√15/4T
    constants = -0.5 * Drives(net).apply("signed", np.ones(8))
    assert best_ball(Surroundings(Drives(net), constants, np.full(8, 0.5)), leak=0.1, steps=10) is None


@pytest.mark.exact
def test_paths_are_watched_until_they_leave():
    slopes = np.array([0.25, 0.04])
    means = np.array([[0.5, 0.5], [0.2, 0.2], [0.0, 0.0]])
    watch = Watch([LocalContraction(1.0, 0.5, slopes), LocalContraction(math.inf, 0.5, slopes), None], means, 2)
    # in the first image, one path goes out and comes back, the other stays
    apart = np.zeros((3, 3, 2, 2))
    apart[:, 0, 0, 0] = 0.1, 0.6, 0.1
    apart[:, 0, 1, 1] = 0.1, 0.15, 0.19
    apart[:, 1, :, 0] = 0.3
    for moved in apart:
        watch.look((means[:, None] + moved).reshape(6, 2))
    np.testing.assert_array_equal(watch.left, [[True, False], [False, False], [False, False]])
    np.testing.assert_allclose(watch.farthest, [[1.2, 0.95], [0.6, 0.6], [0.0, 0.0]], rtol=1e-12)
    np.testing.assert_allclose(
        watch.square, [[0.04 / 3, (0.25 + 0.5625 + 0.9025) / 3], [0.36, 0.36], [0.0, 0.0]], rtol=1e-12
    )
