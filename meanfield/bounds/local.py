"""Outside the global hypotheses: what holds in a certified ball about a fixed point that was found.

Main results: local_contraction (thm:A5c), local_tracking, exit_probability, local_mean_error (thm:B11b); least_caps and
exit_exponent, for networks whose J is no matrix.

With caps ŝ on the slopes σ'(h_i/T) in the ball, ‖e‖_ŝ² = Σ e_i²/ŝ_i and κ̂ = ‖Ŝ^½ J Ŝ^½‖₂/T take the places of 4‖e‖₂² and
κ; ŝ = ¼ is thm:A5 and thm:B4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meanfield.bounds.hypotheses import require
from meanfield.bounds.ranges import field_ranges, largest_slope
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray, Model, leak_vector, real_array, whole_number

# The caps satisfy their condition with this relative margin, far above rounding.
MARGIN = 1e-9
MOST_ITERATIONS = 60
RADII = np.geomspace(1e-4, 1e2, 49)
# No cap is smaller: floats know a slope to 1e-16, and ‖·‖_ŝ divides by the caps.
LEAST_CAP = 1e-6
FLOORS = (LEAST_CAP, 0.01, 0.03, 0.1, 0.25)
TILTS = np.linspace(0.02, 0.98, 49)


class LocalContraction(NamedTuple):
    """The leaky map sends B = {m ∈ [0,1]^N: Σ(m_i − m*_i)²/ŝ_i ≤ radius²} into itself and contracts there by rate(ε).

    gain: κ̂ < 1. slopes: the caps ŝ, (N,). radius: inf when B is the whole cube.
    """

    radius: float
    gain: float
    slopes: FloatArray

    def rate(self, leak: float) -> float:
        """ρ̂ = 1 − ε(1 − κ̂), the contraction of ‖·‖_ŝ in one step."""
        return 1 - leak * (1 - self.gain)


def local_contraction(
    model: Model, mean_activity: ArrayLike, *, radius: float | None = None, floor: float = LEAST_CAP
) -> LocalContraction:
    """The ball about the fixed point m* in which κ̂ = ‖Ŝ^½JŜ^½‖₂/T < 1, ŝ_i ≥ σ' at every field within r‖Ŝ^½J_i‖₂/T of m*'s.

    radius None: the whole cube where κ̂ < 1 there, else the radius with the largest (1 − κ̂)r², the exponent of the time to
    leave. floor: least cap; larger caps shrink the exponent's noise of saturated units.
    Holds when the local gain, the spectral radius of diag(v)J/T, is below 1 (HypothesisError otherwise, and where the given
    radius is too large). A float statement about an m* that floats know; proofs_numeric.certify_contraction proves it.
    Paper: thm:A5c.
    """
    mean = real_array("mean_activity", mean_activity, 1)
    if not LEAST_CAP <= floor <= 0.25:
        raise ValueError(f"floor must lie in [{LEAST_CAP:g}, 1/4], got {floor}: no slope of σ exceeds 1/4")
    if radius is not None:
        if not radius > 0:
            raise ValueError(f"radius must be positive, got {radius}")
        found = _contraction(model, mean, radius, floor)
        require(found.gain < 1, "κ̂ = ‖Ŝ^½JŜ^½‖₂/T in the ball of this radius", found.gain)
        return found
    whole = _contraction(model, mean, math.inf, floor)
    if whole.gain < 1:
        return whole
    local = _gain(model, activity_variance(mean))
    require(local < 1, "the local gain, the spectral radius of diag(v)J/T,", local)
    # a ball of this radius moves some field by one temperature
    unit = model.temperature / float(_reach(model, activity_variance(mean)).max())
    candidates = [_contraction(model, mean, float(unit * share), floor) for share in RADII]
    best = max(candidates, key=lambda one: (1 - one.gain) * one.radius**2)
    require(best.gain < 1, "κ̂ = ‖Ŝ^½JŜ^½‖₂/T in the smallest ball tried", best.gain)
    return best


def local_tracking(
    model: Model,
    mean_activity: ArrayLike,
    *,
    leak: float,
    steps: int | None = None,
    copies: int = 1,
    radius: float | None = None,
) -> float:
    """E[‖s_t − m_t‖₂²; not left before t] ≤ max ŝ · (ε²N/K)(1 − ρ̂^{2t})/(1 − ρ̂²), from one start m_0 = s_0 in the ball.

    steps None: the limit max ŝ · εN/(K(1−κ̂)(2 − ε(1−κ̂))). Holds where local_contraction does. Paper: thm:B11b.
    """
    ball = local_contraction(model, mean_activity, radius=radius)
    return float(ball.slopes.max()) * _weighted_square(ball, _one_leak(leak), steps, copies)


def local_mean_error(
    model: Model,
    mean_activity: ArrayLike,
    *,
    leak: float,
    copies: int = 1,
    radius: float | None = None,
    exits: float = 0.0,
) -> float:
    """‖E[s_t − m*; not left before t]‖₂ ≤ √max ŝ · (½κ̂αx + ρ̂√(xq)/ε)/(1 − κ̂), from s_0 = m*, every t.

    x: the bound on the weighted square of local_tracking; α = max_i |1 − 2σ| ‖Ŝ^½J_i‖₂/T over the ball;
    exits: q, a bound on the probability to leave at any one step (exit_probability with steps=1 more than before gives it).
    Holds where local_contraction does. Paper: thm:B11b.
    """
    ball, epsilon = local_contraction(model, mean_activity, radius=radius), _one_leak(leak)
    alpha = curvature_reach(model, np.asarray(mean_activity, dtype=np.float64), ball)
    square = _weighted_square(ball, epsilon, None, copies)
    shift = 0.5 * ball.gain * alpha * square + ball.rate(epsilon) * math.sqrt(square * exits) / epsilon
    return math.sqrt(float(ball.slopes.max())) * shift / (1 - ball.gain)


def exit_probability(
    model: Model,
    mean_activity: ArrayLike,
    *,
    leak: float,
    steps: int,
    copies: int = 1,
    radius: float | None = None,
) -> float:
    """P(a trace started at m* leaves the ball within `steps` steps) ≤ t exp(−λr² + L/(1 − θ)), the best λ, floor and radius.

    L = −½Σ ln(1 − 2λε²ω_i), ω_i = 1/(4Kŝ_i), θ = ρ̂²/(1 − 2λε² max ω) < 1. 0 when the ball is the cube.
    radius: its ‖·‖_ŝ-radius, best of several when None. Holds where local_contraction does. Paper: thm:B11b.
    """
    whole_number("steps", steps, 0)
    mean, epsilon = np.asarray(mean_activity, dtype=np.float64), _one_leak(leak)
    first = local_contraction(model, mean, radius=radius)
    if math.isinf(first.radius) or steps == 0:
        return 0.0
    radii = [radius] if radius is not None else [first.radius * float(factor) for factor in np.geomspace(0.25, 8, 16)]
    floors = FLOORS if radius is None else FLOORS[:1]
    balls = [_contraction(model, mean, one, floor) for floor in floors for one in radii]
    exponents = [exit_exponent(ball, epsilon, copies) for ball in balls if ball.gain < 1]
    return min(1.0, steps * math.exp(min(exponents, default=math.inf)))


def curvature_reach(model: Model, mean_activity: FloatArray, ball: LocalContraction) -> float:
    """α = max_i η_i ‖Ŝ^½J_i‖₂/T, η_i = max |1 − 2σ| over the fields in the ball."""
    ends = np.stack(_fields(model, mean_activity, ball.radius, ball.slopes))
    skew = np.abs(1 - 2 * firing_probability(ends, 1.0)).max(axis=0)
    return float((skew * _reach(model, ball.slopes)).max()) / model.temperature


def least_caps(start: FloatArray, caps: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """The least ŝ ≥ start with ŝ ≥ caps(ŝ), with a margin; caps: the largest slopes in the ball that ŝ gives, increasing in ŝ."""
    slopes = start
    for _ in range(MOST_ITERATIONS):
        # from below, monotone: the limit is the least solution
        higher = np.maximum(caps(slopes), slopes)
        if (higher <= slopes * (1 + 0.1 * MARGIN)).all():
            break
        slopes = higher
    slopes, margin = np.minimum(slopes * (1 + MARGIN), 0.25), MARGIN
    # a thousandth of the margin is kept for rounding; ends at the latest at ¼, which no slope exceeds
    while (np.minimum(caps(slopes) * (1 + 1e-3 * MARGIN), 0.25) > slopes).any():
        slopes, margin = np.minimum(slopes * (1 + margin), 0.25), 2 * margin
    return slopes


def slopes_between(low: FloatArray, high: FloatArray) -> FloatArray:
    """The largest σ' at fields h/T from low to high."""
    return activity_variance(firing_probability(np.clip(0.0, low, high), 1.0))


def exit_exponent(ball: LocalContraction, leak: float, copies: int) -> float:
    """The least −λr² + L/(1 − θ) over λ (thm:B11b)."""
    proxies = 1 / (4 * whole_number("copies", copies, 1) * ball.slopes)
    rate = ball.rate(leak) ** 2
    tilts = TILTS * (1 - rate) / (2 * leak**2 * proxies.max())
    shrunk = 1 - 2 * tilts * leak**2 * proxies.max()
    growth = -0.5 * np.log1p(-2 * leak**2 * tilts[:, None] * proxies).sum(axis=1)
    return float((growth / (1 - rate / shrunk) - tilts * ball.radius**2).min())


def _weighted_square(ball: LocalContraction, leak: float, steps: int | None, copies: int) -> float:
    rate = ball.rate(leak) ** 2
    noise = leak**2 * ball.slopes.size / whole_number("copies", copies, 1)
    if steps is None:
        return noise / (1 - rate)
    return noise * (1 - rate ** whole_number("steps", steps, 0)) / (1 - rate)


def _contraction(model: Model, mean: FloatArray, radius: float, floor: float) -> LocalContraction:
    """The least caps for one radius, with a margin, and their κ̂."""
    if math.isinf(radius):
        slopes = np.minimum(np.maximum(largest_slope(model), floor) * (1 + MARGIN), 0.25)
    else:
        start = np.maximum(activity_variance(mean), floor)
        slopes = least_caps(start, lambda slopes: slopes_between(*_fields(model, mean, radius, slopes)))
    return LocalContraction(radius, _gain(model, slopes), slopes)


def _fields(model: Model, mean: FloatArray, radius: float, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least and greatest h_i/T over the ball, (N,) each."""
    low, high = field_ranges(model)
    if math.isinf(radius):
        return low, high
    centre = model.local_field(mean) / model.temperature
    reach = radius * _reach(model, slopes) / model.temperature
    return np.maximum(low, centre - reach), np.minimum(high, centre + reach)


def _reach(model: Model, slopes: FloatArray) -> FloatArray:
    """‖Ŝ^½J_i‖₂, by which a unit of ‖·‖_ŝ can move the field of unit i, (N,)."""
    return np.sqrt(model.couplings**2 @ slopes)


def _gain(model: Model, slopes: FloatArray) -> float:
    root = np.sqrt(slopes)
    return float(np.abs(np.linalg.eigvalsh(root[:, None] * model.couplings * root)).max()) / model.temperature


def _one_leak(leak: float) -> float:
    if np.ndim(leak):
        raise ValueError(f"leak must be one number here, got {leak}: the ball is proven for one leak")
    return float(leak_vector(leak, 1)[0])
