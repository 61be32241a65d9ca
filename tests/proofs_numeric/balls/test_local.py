"""Certified balls: the proof succeeds where it should, refuses what is false, and tells several fixed points apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

import proofs_numeric
from meanfield import HypothesisError, Model, bounds, fixed_point
from proofs_numeric.balls.arithmetic import Undecided
from proofs_numeric.balls.fixed_points import certify_fixed_point
from proofs_numeric.balls.local import certify, certify_contraction, leave_probability

BISTABLE = Model([[0.0, 6.0], [6.0, 0.0]], [-3.0, -3.0])


def test_two_stable_states_are_proven_by_two_disjoint_balls() -> None:
    low, high = (certify_contraction(BISTABLE, start=np.full(2, m)) for m in (0.0, 1.0))
    assert low.gain < 1
    assert high.gain < 1
    assert not low.point.unique
    assert low.contains(low.point.value)
    assert not low.contains(high.point.value)
    assert not high.contains(low.point.value)
    assert not high.contains([0.5, 0.5])
    assert high.rate(0.3) == pytest.approx(1 - 0.3 * (1 - high.gain), rel=1e-14)
    assert proofs_numeric.certify_contraction is certify_contraction


def test_the_proof_is_of_the_float_proposal() -> None:
    ball = certify_contraction(BISTABLE, start=np.ones(2), radius=0.5)
    reference = bounds.local_contraction(BISTABLE, fixed_point(BISTABLE, start=np.ones(2)).value, radius=0.5)
    assert ball.radius == 0.5
    np.testing.assert_allclose(ball.slopes, reference.slopes, rtol=1e-8)
    assert reference.gain <= ball.gain <= reference.gain * (1 + 1e-7)


@pytest.mark.parametrize("change", ["slopes", "gain", "radius"])
def test_a_false_proposal_is_refused(change: str) -> None:
    point = certify_fixed_point(BISTABLE, start=np.ones(2))
    true = bounds.local_contraction(BISTABLE, point.value, radius=0.5)
    false = {
        "slopes": true._replace(slopes=true.slopes * (1 - 1e-6)),
        "gain": true._replace(gain=true.gain * (1 - 1e-6)),
        "radius": true._replace(radius=true.radius * 1.001),
    }
    certify(point, true)
    with pytest.raises(Undecided, match="is not proven at 128 bits"):
        certify(point, false[change])


def test_a_gain_of_one_is_no_contraction() -> None:
    point = certify_fixed_point(BISTABLE, start=np.full(2, 0.5))
    whole = bounds.LocalContraction(math.inf, 1.5 * (1 + 1e-8), np.full(2, 0.25))
    with pytest.raises(Undecided):
        certify(point, whole)
    with pytest.raises(HypothesisError, match="the local gain"):
        certify_contraction(BISTABLE, start=np.full(2, 0.5))


def test_below_the_transition_the_cube_is_certified() -> None:
    ball = certify_contraction(Model([[0.0, 3.0], [3.0, 0.0]], [-1.5, -1.5]))
    assert ball.radius == math.inf
    assert ball.contains([0.0, 1.0])
    assert leave_probability(ball, leak=0.3, steps=100) == 0
    assert certify_contraction(Model([[0.0]], [0.3])).gain == 0


@pytest.mark.parametrize("tilt", [0.2, 0.5])
def test_the_probability_to_leave_is_that_of_the_float_formula(tilt: float) -> None:
    ball = certify_contraction(BISTABLE, start=np.ones(2), radius=0.5)
    rate, proxy = ball.rate(0.01) ** 2, 1 / (4 * 2 * ball.slopes)
    strength = tilt * (1 - rate) / (2 * 0.01**2 * proxy.max())
    growth = -0.5 * np.log(1 - 2 * strength * 0.01**2 * proxy).sum()
    shrunk = rate / (1 - 2 * strength * 0.01**2 * proxy.max())
    stated = 7 * math.exp(growth / (1 - shrunk) - strength * 0.5**2)
    found = leave_probability(ball, leak=0.01, steps=7, tilt=tilt, copies=2)
    assert float(found.mid()) == pytest.approx(stated, rel=1e-8)
    assert float(found.rad()) < 1e-20


def test_bad_requests_are_one_sentence() -> None:
    ball = certify_contraction(BISTABLE, start=np.ones(2))
    with pytest.raises(ValueError, match="tilt must lie between 0 and 1, got 1"):
        leave_probability(ball, leak=0.1, steps=3, tilt=1)
    with pytest.raises(ValueError, match="steps must be a whole number"):
        leave_probability(ball, leak=0.1, steps=-1)
