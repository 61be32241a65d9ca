"""Bounds in a ball about a found fixed point: caps are caps, the global theorems are special cases, failures say so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield import HypothesisError, Model, bounds, fixed_point
from meanfield.bounds import local
from meanfield.bounds.ranges import largest_slope
from meanfield.equations import activity_variance, firing_probability

BISTABLE = Model([[0.0, 6.0], [6.0, 0.0]], [-3.0, -3.0])
UPPER = fixed_point(BISTABLE, start=np.ones(2), method="newton").value
DEEP = Model([[0.0, 12.0], [12.0, 0.0]], [-6.0, -6.0])
TOP = fixed_point(DEEP, start=np.ones(2), method="newton").value


def distance(ball: bounds.LocalContraction, first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sqrt(((first - second) ** 2 / ball.slopes).sum()))


@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 1.0), leak=st.floats(0.05, 1.0))
def test_the_map_contracts_and_stays_in_the_ball(seed: int, share: float, leak: float) -> None:
    generator = np.random.default_rng(seed)
    ball = bounds.local_contraction(BISTABLE, UPPER)
    points = []
    for _ in range(2):
        direction = generator.normal(size=2)
        shift = share * ball.radius * np.sqrt(ball.slopes) * direction / np.linalg.norm(direction)
        points.append(np.clip(UPPER + shift, 0, 1))
    images = [(1 - leak) * m + leak * firing_probability(BISTABLE.local_field(m), 1.0) for m in points]
    assert distance(ball, *images) <= ball.rate(leak) * distance(ball, *points) + 1e-12
    assert distance(ball, images[0], UPPER) <= ball.radius * (1 + 1e-12)
    assert ball.rate(leak) == pytest.approx(1 - leak + leak * ball.gain, rel=1e-14)


def test_caps_are_just_large_enough() -> None:
    for radius in (0.1, 0.3, 0.5):
        ball = bounds.local_contraction(BISTABLE, UPPER, radius=radius)
        reach = radius * np.sqrt(BISTABLE.couplings**2 @ ball.slopes)
        nearest = np.maximum(BISTABLE.local_field(UPPER) - reach, -3.0)
        slopes = activity_variance(firing_probability(nearest, 1.0))
        assert (ball.slopes >= slopes).all()
        np.testing.assert_allclose(ball.slopes, slopes, rtol=1e-6)
        root = np.sqrt(ball.slopes)
        assert ball.gain == pytest.approx(np.linalg.norm(root[:, None] * BISTABLE.couplings * root, 2), rel=1e-12)


def test_a_tiny_ball_has_the_local_gain_and_larger_ones_larger_gains() -> None:
    variance = activity_variance(UPPER)
    gains = [bounds.local_contraction(BISTABLE, UPPER, radius=radius).gain for radius in (1e-7, 0.1, 0.3, 0.5)]
    assert gains[0] == pytest.approx(6 * variance[0], rel=1e-5)
    assert gains == sorted(gains)


def test_below_the_transition_the_ball_is_the_cube() -> None:
    model = Model([[0.0, 3.0], [3.0, 0.0]], [-1.5, -1.5])
    ball = bounds.local_contraction(model, np.array([0.5, 0.5]))
    assert ball.radius == math.inf
    np.testing.assert_allclose(ball.slopes, largest_slope(model), rtol=2e-9)
    assert ball.gain == pytest.approx(model.gain, rel=1e-8)
    for steps in (None, 0, 1, 7):
        assert bounds.local_tracking(model, [0.5, 0.5], leak=0.3, steps=steps, copies=2) == pytest.approx(
            bounds.leaky_tracking(model, leak=0.3, steps=steps, copies=2), rel=1e-7
        )
    assert bounds.exit_probability(model, [0.5, 0.5], leak=0.3, steps=1000) == 0.0


def test_biased_units_contract_beyond_the_global_gain() -> None:
    model = Model([[0.0, 5.0], [5.0, 0.0]], [3.0, 3.0])
    assert model.gain > 1
    ball = bounds.local_contraction(model, fixed_point(model, start=[1.0, 1.0]).value)
    assert ball.radius == math.inf
    assert ball.gain < 1


def test_tracking_is_the_geometric_sum_in_the_weighted_norm() -> None:
    ball = bounds.local_contraction(BISTABLE, UPPER, radius=0.5)
    rate = 1 - 0.2 * (1 - ball.gain)
    total = sum(rate ** (2 * k) for k in range(5)) * 0.2**2 * 2 / 3 * ball.slopes.max()
    assert bounds.local_tracking(BISTABLE, UPPER, leak=0.2, steps=5, copies=3, radius=0.5) == pytest.approx(total)
    limit = ball.slopes.max() * 0.2 * 2 / (3 * (1 - ball.gain) * (2 - 0.2 * (1 - ball.gain)))
    assert bounds.local_tracking(BISTABLE, UPPER, leak=0.2, copies=3, radius=0.5) == pytest.approx(limit)


def test_the_mean_error_by_its_formula() -> None:
    ball = bounds.local_contraction(BISTABLE, UPPER, radius=0.5)
    reach = np.sqrt(BISTABLE.couplings**2 @ ball.slopes)
    field = BISTABLE.local_field(UPPER)
    ends = np.stack([np.maximum(field - 0.5 * reach, -3.0), np.minimum(field + 0.5 * reach, 3.0)])
    alpha = (np.abs(1 - 2 * firing_probability(ends, 1.0)).max(axis=0) * reach).max()
    assert local.curvature_reach(BISTABLE, UPPER, ball) == pytest.approx(alpha, rel=1e-12)
    square = 0.2 * 2 / ((1 - ball.gain) * (2 - 0.2 * (1 - ball.gain)))
    for exits in (0.0, 1e-3):
        shift = 0.5 * ball.gain * alpha * square + ball.rate(0.2) * math.sqrt(square * exits) / 0.2
        stated = math.sqrt(ball.slopes.max()) * shift / (1 - ball.gain)
        found = bounds.local_mean_error(BISTABLE, UPPER, leak=0.2, radius=0.5, exits=exits)
        assert found == pytest.approx(stated, rel=1e-10)


def test_leaving_becomes_exponentially_rare_in_copies_over_leak() -> None:
    settings = {"leak": 0.01, "steps": 10}
    few, more, most = (bounds.exit_probability(DEEP, TOP, copies=k, **settings) for k in (1, 2, 4))
    assert 0 < more < 1e-3
    assert more < few**1.5
    assert most < more**1.5
    twice = bounds.exit_probability(DEEP, TOP, leak=0.01, steps=20, copies=2)
    assert twice == pytest.approx(2 * more, rel=1e-12)
    assert bounds.exit_probability(DEEP, TOP, leak=1.0, steps=10) == 1.0
    assert bounds.exit_probability(DEEP, TOP, leak=0.01, steps=0) == 0.0


def test_the_exit_exponent_by_its_formula() -> None:
    ball = bounds.local_contraction(DEEP, TOP, radius=0.9)
    rate, proxy = ball.rate(0.01) ** 2, 1 / (4 * 4 * ball.slopes)
    exponents = []
    for share in np.linspace(0.02, 0.98, 49):
        tilt = share * (1 - rate) / (2 * 0.01**2 * proxy.max())
        growth = -0.5 * np.log(1 - 2 * tilt * 0.01**2 * proxy).sum()
        shrunk = rate / (1 - 2 * tilt * 0.01**2 * proxy.max())
        assert shrunk < 1
        exponents.append(growth / (1 - shrunk) - tilt * 0.9**2)
    stated = 3 * math.exp(min(exponents))
    found = bounds.exit_probability(DEEP, TOP, leak=0.01, steps=3, copies=4, radius=0.9)
    assert found == pytest.approx(stated, rel=1e-9)
    assert 0 < found < 0.5
    # the best radius and floor do not do worse
    assert bounds.exit_probability(DEEP, TOP, leak=0.01, steps=3) <= bounds.exit_probability(
        DEEP, TOP, leak=0.01, steps=3, radius=bounds.local_contraction(DEEP, TOP).radius
    )


def test_where_it_does_not_hold_it_says_what_failed() -> None:
    with pytest.raises(HypothesisError, match=r"the local gain, .*, got 1\.5"):
        bounds.local_contraction(BISTABLE, [0.5, 0.5])
    with pytest.raises(HypothesisError, match="in the ball of this radius < 1"):
        bounds.local_contraction(BISTABLE, UPPER, radius=50.0)
    with pytest.raises(ValueError, match="radius must be positive, got 0"):
        bounds.local_contraction(BISTABLE, UPPER, radius=0)
    with pytest.raises(ValueError, match=r"floor must lie in \[1e-06, 1/4\], got 0.3"):
        bounds.local_contraction(BISTABLE, UPPER, floor=0.3)
    with pytest.raises(ValueError, match="leak must be one number here"):
        bounds.local_tracking(BISTABLE, UPPER, leak=[0.1, 0.2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"leak must lie in \(0, 1\], got 1.5"):
        bounds.exit_probability(BISTABLE, UPPER, leak=1.5, steps=2)


def test_a_floor_raises_the_least_cap_only() -> None:
    model = Model([[0.0, 6.0], [6.0, 0.0]], [8.0, -6.0])
    mean = fixed_point(model, start=[1.0, 0.5], method="newton").value
    plain, raised = (bounds.local_contraction(model, mean, radius=0.3, floor=f) for f in (1e-6, 0.02))
    assert plain.slopes.min() < 1e-3
    assert raised.slopes.min() == pytest.approx(0.02, rel=1e-6)
    assert raised.slopes.max() >= plain.slopes.max()


@pytest.mark.parametrize("scale", [0.25, 8.0])
def test_only_ratios_to_the_temperature_matter(scale: float) -> None:
    scaled = Model(scale * BISTABLE.couplings, scale * BISTABLE.bias, scale)
    for arguments in ({}, {"radius": 0.3}):
        one, other = (
            bounds.local_contraction(BISTABLE, UPPER, **arguments),
            bounds.local_contraction(scaled, UPPER, **arguments),
        )
        assert (one.radius, one.gain) == pytest.approx((other.radius, other.gain), rel=1e-12)
        np.testing.assert_allclose(one.slopes, other.slopes, rtol=1e-12)
    assert bounds.local_mean_error(scaled, UPPER, leak=0.01) == pytest.approx(
        bounds.local_mean_error(BISTABLE, UPPER, leak=0.01)
    )


def test_one_copy_is_the_default() -> None:
    for bound in (bounds.local_tracking, bounds.local_mean_error):
        assert bound(BISTABLE, UPPER, leak=0.2) == bound(BISTABLE, UPPER, leak=0.2, copies=1)
        assert bound(BISTABLE, UPPER, leak=0.2) > bound(BISTABLE, UPPER, leak=0.2, copies=2)
    few, many = (bounds.exit_probability(BISTABLE, UPPER, leak=0.01, steps=1, copies=copies) for copies in (1, 2))
    assert bounds.exit_probability(BISTABLE, UPPER, leak=0.01, steps=1) == few
    assert few > many


def test_a_ball_that_does_not_contract_proves_no_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the balls tried, those with gain ≥ 1 are left out: they have no rate."""
    used: list[float] = []
    exponent = local.exit_exponent

    def record(ball: local.LocalContraction, leak: float, copies: int) -> float:
        used.append(ball.gain)
        return exponent(ball, leak, copies)

    monkeypatch.setattr(local, "exit_exponent", record)
    bounds.exit_probability(BISTABLE, UPPER, leak=0.01, steps=1)
    assert max(used) < 1
    assert len(used) < 16 * len(local.FLOORS)


def test_steps_are_named_where_they_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^steps must be"):
        bounds.exit_probability(BISTABLE, UPPER, leak=0.2, steps=-1)
