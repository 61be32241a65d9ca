"""The ball about a fixed point in which a layered network provably contracts, and its leaky spikes there, without the matrix.

Main results: Surroundings, best_ball (thm:A5c), leaving, Watch (thm:B11b, thm:F1).

All for one temperature. ŝ, ‖·‖_ŝ, κ̂ as in meanfield.bounds.local, which does the same with a matrix; κ̂ is a proven upper end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dynamics.crnn.spectra import Drives
from meanfield.bounds.local import FLOORS, LEAST_CAP, LocalContraction, exit_exponent, least_caps, slopes_between
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray

# of the radius that moves some field by one temperature
SHARES = np.geomspace(0.01, 100.0, 25)
GAIN_STEPS = 40


class Surroundings:
    """Fields and slopes about the fixed point m of one image, whose constants are the field of clamped inputs and biases."""

    def __init__(self, drives: Drives, constants: FloatArray, mean: FloatArray) -> None:
        self.drives, self.temperature = drives, float(drives.temperatures[0])
        ones = np.ones(drives.size)
        signed, absolute = drives.apply("signed", ones), drives.apply("absolute", ones)
        self.low = (constants + 0.5 * (signed - absolute)) / self.temperature
        self.high = (constants + 0.5 * (signed + absolute)) / self.temperature
        self.centre = (constants + drives.apply("signed", mean)) / self.temperature
        self.mean, self.variance = mean, activity_variance(mean)

    def reach(self, slopes: FloatArray) -> FloatArray:
        """‖Ŝ^½J_i‖₂/T, by which a unit of ‖·‖_ŝ can move h_i/T, (N,)."""
        return np.sqrt(self.drives.apply("squared", slopes)) / self.temperature

    def fields(self, radius: float, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Least and greatest h_i/T over the ball, (N,) each."""
        if math.isinf(radius):
            return self.low, self.high
        reach = radius * self.reach(slopes)
        return np.maximum(self.low, self.centre - reach), np.minimum(self.high, self.centre + reach)

    def contraction(self, radius: float, *, floor: float = LEAST_CAP) -> LocalContraction:
        """The ball of this radius, inf for the cube, with its least caps ≥ floor; it contracts where its gain κ̂ < 1."""
        start = np.maximum(self.variance, floor)
        slopes = least_caps(start, lambda slopes: slopes_between(*self.fields(radius, slopes)))
        scale = np.sqrt(slopes / self.temperature)
        return LocalContraction(radius, self.drives.norm_above(scale, steps=GAIN_STEPS), slopes)

    def largest(self, ball: LocalContraction) -> float:
        """The largest ‖s − m‖_ŝ² in the ball and the cube, or an upper bound of it."""
        corner = np.maximum(self.mean, 1.0 - self.mean) ** 2 / ball.slopes
        return min(ball.radius**2, float(corner.sum()))

    def square(self, ball: LocalContraction, *, leak: float, steps: int) -> float:
        """The mean over t = 1 … steps of x_t ≥ E[‖s_t − m*‖_ŝ²; not left by t], from s_0 = m*.

        x_{t+1} = ρ̂²x_t + ε² Σ_i min(1, v_i/ŝ_i + η_i‖Ŝ^½J_i‖₂√x_t/T), η = max|1 − 2σ| in the ball. Holds when κ̂ < 1.
        Paper: thm:F1.
        """
        ends = np.stack(self.fields(ball.radius, ball.slopes))
        lift = np.abs(1.0 - 2.0 * firing_probability(ends, 1.0)).max(axis=0) * self.reach(ball.slopes)
        still, square, total = self.variance / ball.slopes, 0.0, 0.0
        for _ in range(steps):
            noise = np.minimum(1.0, still + lift * math.sqrt(square)).sum()
            square = ball.rate(leak) ** 2 * square + leak**2 * float(noise)
            total += square
        return total / steps


def leaving(ball: LocalContraction, *, leak: float, steps: int) -> float:
    """A bound on the probability that leaky spikes from m* leave the ball within `steps` steps, at most 1 (thm:B11b)."""
    return min(1.0, steps * math.exp(min(0.0, exit_exponent(ball, leak, 1))))


def best_ball(surroundings: Surroundings, *, leak: float | None, steps: int) -> LocalContraction | None:
    """The ball that is least likely to be left; where no bound says anything, or without one leak, that of largest (1 − κ̂)r².

    The cube where it contracts; None where no ball tried does.
    """
    whole = surroundings.contraction(math.inf)
    if whole.gain < 1.0:
        return whole
    unit = 1.0 / float(surroundings.reach(surroundings.variance).max())
    candidates = []
    for floor in FLOORS:
        for share in SHARES:
            one = surroundings.contraction(unit * float(share), floor=floor)
            # caps and gain grow with the radius
            if one.gain >= 1.0:
                break
            candidates.append(one)
    return min(candidates, key=lambda one: _preference(one, leak, steps), default=None)


def _preference(ball: LocalContraction, leak: float | None, steps: int) -> tuple[float, float]:
    bound = 1.0 if leak is None else leaving(ball, leak=leak, steps=steps)
    return bound, -(1.0 - ball.gain) * ball.radius**2


class Watch:
    """Paths about their images' fixed points, step by step.

    farthest (B, replicas): the largest ‖s − m*‖_ŝ. left (B, replicas): whether out of the ball yet. 0 and False for images
    without a ball.
    """

    def __init__(self, balls: Sequence[LocalContraction | None], means: FloatArray, replicas: int) -> None:
        self._means, self._replicas, self._steps = means, replicas, 0
        self._weights = np.stack(
            [np.zeros_like(m) if b is None else 1.0 / b.slopes for b, m in zip(balls, means, strict=True)]
        )
        self._limits = np.array([math.inf if ball is None else ball.radius for ball in balls])
        self.farthest, self._total = np.zeros((len(balls), replicas)), np.zeros((len(balls), replicas))
        self.left = np.zeros((len(balls), replicas), dtype=bool)

    def look(self, states: FloatArray) -> None:
        """States (B · replicas, N) after one more step."""
        apart = states.reshape(len(self._means), self._replicas, -1) - self._means[:, None]
        distances = np.sqrt(np.einsum("brn,bn->br", apart**2, self._weights))
        self.farthest = np.maximum(self.farthest, distances)
        self.left |= distances > self._limits[:, None]
        self._total += np.where(self.left, 0.0, distances**2)
        self._steps += 1

    @property
    def square(self) -> FloatArray:
        """The mean over steps of ‖s_t − m*‖_ŝ², 0 from when the ball is left, (B, replicas)."""
        return self._total / self._steps
