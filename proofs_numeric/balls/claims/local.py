"""The statements about a ball decided in balls: thm:A5c and thm:B11b on at most three units."""

from __future__ import annotations

import math

import numpy as np
from flint import arb

from meanfield.model import Model
from proofs_numeric.balls.arithmetic import Balls, Undecided, exact, squared
from proofs_numeric.balls.claims.mean_field import falsifiers, rows, small
from proofs_numeric.balls.fixed_points import certify_fixed_point
from proofs_numeric.balls.local import certify
from proofs_numeric.balls.models import BallModel, leaky_histories
from proofs_numeric.claims.local import STRONG_PAIR, ball_about, stable_point, two_points
from proofs_numeric.instances import Interval
from proofs_numeric.rigorous import Enclosures, rigorous

STEPS = 3


# the seed puts the two points on the leading mode
LEADING = {"model": STRONG_PAIR, "seed": 1, "leak": 0.5, "reach": math.log(1e-3)}


@rigorous("A5c", domain=small("A5c"), falsifiers=(("constant × 0.9", LEADING, False),))
def contraction_in_a_ball(
    model: Model, seed: int, leak: float, reach: float, bits: int, mutation: str | None = None
) -> Enclosures:
    """The proven rate between two points of the ball, and towards the certified fixed point."""
    model, mean = stable_point(model, seed)
    ball = certify(certify_fixed_point(model, start=mean, bits=bits), ball_about(model, mean, reach))
    points = [
        exact(one) for one in two_points(model, mean, ball.radius, ball.slopes, np.random.default_rng([seed, 61]))
    ]
    balls, epsilon, caps = BallModel.of(model), arb(leak), exact(ball.slopes)
    rate = 1 - epsilon * (1 - arb(ball.gain))

    def distance(first: Balls, second: Balls) -> arb:
        return (squared(first - second) / caps).sum().nonnegative_part().sqrt()

    first, second = ((1 - epsilon) * one + epsilon * balls.probability(one) for one in points)
    return rows(
        (distance(first, second), rate * distance(*points)),
        (distance(first, ball.point.mean), rate * distance(points[0], ball.point.mean)),
    )


def _one_copy() -> dict[str, Interval]:
    domain = {name: one for name, one in small("B11b", 2).items() if name not in ("copies", "tilt")}
    return {**domain, "reach": Interval(-1.0, 1.0)}


@rigorous("B11b", domain=_one_copy(), falsifiers=falsifiers("B11b", "constant × 0.9", "after leaving too"))
def leaky_spikes_in_a_ball(
    model: Model, seed: int, leak: float, reach: float, bits: int, mutation: str | None = None
) -> Enclosures:
    """E[‖s_t − m_t‖²_ŝ; τ ≥ t] ≤ (ε²N)Σρ̂^{2k} for t = 1, 2, 3 and one copy, from the float nearest to m*."""
    model, mean = stable_point(model, seed)
    ball = certify(certify_fixed_point(model, start=mean, bits=bits), ball_about(model, mean, reach))
    if not ball.contains(mean):
        raise Undecided("the start is not certainly in the ball")
    epsilon, caps, square = arb(leak), exact(ball.slopes), arb(0)
    rate, staying, parts = 1 - epsilon * (1 - arb(ball.gain)), np.ones(1), []
    for traces, weights, rates, parents in leaky_histories(model, leak=leak, steps=STEPS, start=exact(mean)):
        square = rate * rate * square + epsilon * epsilon * model.size
        staying = staying[parents]
        parts.append(((exact(staying) * weights * (squared(traces - rates) / caps).sum(axis=1)).sum(), square))
        if mutation is None:
            staying = staying * _inside(ball.radius, (squared(traces - ball.point.mean) / caps).sum(axis=1))
    return rows(*parts)


def _inside(radius: float, squares: Balls) -> np.ndarray:
    if np.isinf(radius):
        return np.ones(len(squares))
    limit = arb(radius) ** 2
    inside = np.array([bool(one <= limit) for one in squares])
    if any(not one > limit for one in squares[~inside]):
        raise Undecided("a history is neither certainly inside nor certainly outside the ball")
    return inside.astype(np.float64)
