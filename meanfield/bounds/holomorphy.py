"""How far the nudged fixed point is a holomorphic function of the nudging: radii of certified discs |β| < R.

Main results: holomorphy_radius, local_holomorphy_radius (thm:C2, thm:C2b), certificates.

A certificate is a system x = f(x, β), x ≥ 0, with f increasing and convex in x and increasing in β: if x ≥ f(x, β) for
some x below the limit, the disc of radius β is certified, and x says how far the fields can be from their free values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from meanfield.bounds.hypotheses import require
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray, HypothesisError, Model, QuadraticCost
from meanfield.solve import fixed_point

# Heights y of the strip |Im h/T| < y over which the radius of thm:C2 is maximised.
STRIP_HEIGHTS = np.linspace(0.0, math.pi, 20_001)[1:-1]
# Taylor coefficients of σ that the majorant takes one by one; the rest by their distance from the poles.
ACTIVATION_ORDER = 32
NEWTON_STEPS = 60
INFLATION = 1e-9
RADIUS_ACCURACY = 1e-3


def holomorphy_radius(model: Model, cost: QuadraticCost, cost_on: str = "rates") -> float:
    """R = max over 0 < y < π of T(y − 2κ_∞ tan(y/2))/M(y), M = 1 for y ≤ π/2, 1/sin y beyond; linear cost: M ← max|c|.

    On |β| < R the nudged fixed point is holomorphic in the complex nudging β. Holds when κ_∞ < 1. Paper: thm:C2.
    """
    return float(strip_radii(model, cost, cost_on).max())


def local_holomorphy_radius(
    model: Model, cost: QuadraticCost, cost_on: str = "rates", *, start: ArrayLike | None = None
) -> float:
    """The largest disc |β| < R about the found fixed point that a certificate proves free of singularities, to 0.1 %.

    Per-unit strips T y_i ≥ ½Σ_j |J_ij| tan(y_j/2) + |β| M_i(y_i), for κ_a < 1, or the majorant system of the linear response,
    for I − VJ/T invertible; at least holomorphy_radius where that is defined. Infinite where the cost has no slope.
    Raises HypothesisError when neither applies. start: of the free fixed point. Paper: thm:C2b.
    """
    radii = [
        certified_strength(system) * model.temperature for system in certificates(model, cost, cost_on, start=start)
    ]
    return max([*radii, holomorphy_radius(model, cost, cost_on)] if model.row_gain < 1 else radii)


def strip_modulus(heights: FloatArray) -> FloatArray:
    """M(y) = sup |σ| over the strip |Im| < y, also of |σ − t| for t in [0, 1]."""
    return 1 / np.sin(np.maximum(heights, math.pi / 2))


def strip_radii(model: Model, cost: QuadraticCost, cost_on: str) -> FloatArray:
    """The radius of thm:C2 at each of STRIP_HEIGHTS."""
    require(model.row_gain < 1, "κ_∞ = ‖J‖_∞/(4T)", model.row_gain)
    _, offset = cost.force(model.size, cost_on)
    reach = model.temperature * (STRIP_HEIGHTS - 2 * model.row_gain * np.tan(STRIP_HEIGHTS / 2))
    if cost_on == "rates":
        return reach / strip_modulus(STRIP_HEIGHTS)
    strongest = np.abs(offset).max()
    return reach / strongest if strongest > 0 else np.full_like(reach, np.inf)


@dataclass(frozen=True)
class Strips:
    """Heights y_i of strips |Im h_i/T| ≤ y_i that the nudged map keeps: y = ½|J/T| tan(y/2) + (|β|/T) reach(y).

    reach is the largest |∂C/∂m| over the strip: |c_i| of the linear cost, and max|σ − t_i| of the one on rates,
    ½ + |t − ½| for y ≤ π/2, √((t − ½)² + ¼cot²y) + 1/(2 sin y) beyond.
    """

    couplings: FloatArray
    slope: FloatArray
    offset: FloatArray

    @property
    def limit(self) -> FloatArray:
        return np.full(self.slope.size, math.pi)

    @property
    def largest_strength(self) -> float:
        least = np.where(self.slope > 0, 0.5, np.abs(self.offset)).max()
        return math.pi / float(least) if least > 0 else math.inf

    def image(self, heights: FloatArray, strength: float) -> FloatArray:
        return 0.5 * self.couplings @ np.tan(heights / 2) + strength * self._reach(heights)

    def jacobian(self, heights: FloatArray, strength: float) -> FloatArray:
        return 0.25 * self.couplings / np.cos(heights / 2) ** 2 + np.diag(strength * self._reach_slope(heights))

    def activity_bound(self, heights: FloatArray) -> FloatArray:
        """sup |m_i| over the strips, (N,)."""
        return strip_modulus(heights)

    def _reach(self, heights: FloatArray) -> FloatArray:
        distance, cotangent, sine = self._geometry(heights)
        return np.where(self.slope > 0, np.sqrt(distance**2 + 0.25 * cotangent**2) + 0.5 / sine, np.abs(self.offset))

    def _reach_slope(self, heights: FloatArray) -> FloatArray:
        distance, cotangent, sine = self._geometry(heights)
        centre = np.sqrt(distance**2 + 0.25 * cotangent**2)
        # at y = π/2 and t = ½ the centre is the target itself: 0/0, of limit ½
        swing = np.divide(0.25 * cotangent, centre * sine**2, out=np.full_like(sine, 0.5), where=centre > 0)
        return np.where((self.slope > 0) & (heights > math.pi / 2), swing - 0.5 * np.cos(heights) / sine**2, 0.0)

    def _geometry(self, heights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(|t − ½|, |cot y|, sin y) of the circles that bound σ(strip), those of y = π/2 below it."""
        outer = np.maximum(heights, math.pi / 2)
        return np.abs(-self.offset - 0.5), -np.cos(outer) / np.sin(outer), np.sin(outer)


@dataclass(frozen=True)
class Majorant:
    """W_i ≥ Σ_k |w_ik||β|^k, w = (h(β) − h(0))/T: W = |PJ/T| r(W) + (|β|/T)(|P ∂C| + |P| slope ∘ (vW + r(W))).

    P = (I − JV/T)⁻¹, and r_i(W) = Σ_{n≥2} |σ^{(n)}(h_i/T)| Wⁿ/n!, its end from |σ^{(n)}|/n! ≤ τ_i p_i^{1−n}, p_i = √(h_i²/T² + π²)
    the distance of the nearest pole and τ_i = Σ_poles |pole|⁻² = tanh(|h_i|/2T)/(2|h_i|/T).
    """

    variance: FloatArray
    carried: FloatArray
    response: FloatArray
    spread: FloatArray
    scaled_field: FloatArray

    @cached_property
    def limit(self) -> FloatArray:
        return np.sqrt(self.scaled_field**2 + math.pi**2)

    @property
    def largest_strength(self) -> float:
        # beyond 1e-300 the quotient would overflow
        moved = self.response > 1e-300
        return float((self.limit[moved] / self.response[moved]).min()) if moved.any() else math.inf

    def image(self, widths: FloatArray, strength: float) -> FloatArray:
        bent = self._bending(widths)
        return self.carried @ bent + strength * (self.response + self.spread @ (self.variance * widths + bent))

    def jacobian(self, widths: FloatArray, strength: float) -> FloatArray:
        return (self.carried + strength * self.spread) * self._bending_slope(widths) + strength * (
            self.spread * self.variance
        )

    def activity_change(self, widths: FloatArray) -> FloatArray:
        """D_i ≥ Σ_{k≥1} |m_ik||β|^k: v_iW_i + r_i(W_i), (N,)."""
        return self.variance * widths + self._bending(widths)

    @cached_property
    def _coefficients(self) -> FloatArray:
        """|σ^{(n)}|/n! at the free fields, (ACTIVATION_ORDER + 1, N): (n + 1)a_{n+1} = a_n − Σ_j a_j a_{n−j}."""
        series = np.zeros((ACTIVATION_ORDER + 1, self.variance.size))
        # |σ^{(n)}| is even in the field, and near 0 the recursion loses no digits
        series[0] = firing_probability(-self.scaled_field, 1.0)
        for n in range(ACTIVATION_ORDER):
            series[n + 1] = (series[n] - (series[: n + 1] * series[n::-1]).sum(axis=0)) / (n + 1)
        return np.abs(series)

    @cached_property
    def _pole_sum(self) -> FloatArray:
        field = np.maximum(self.scaled_field, 1e-6)
        return np.tanh(field / 2) / (2 * field)

    def _bending(self, widths: FloatArray) -> FloatArray:
        share = widths / self.limit
        total = self._pole_sum * widths * share**ACTIVATION_ORDER / (1 - share)
        powers = widths ** np.arange(2, ACTIVATION_ORDER + 1)[:, None]
        return total + (self._coefficients[2:] * powers).sum(axis=0)

    def _bending_slope(self, widths: FloatArray) -> FloatArray:
        share, order = widths / self.limit, np.arange(2, ACTIVATION_ORDER + 1)[:, None]
        ends = (ACTIVATION_ORDER + 1) / (1 - share) + share / (1 - share) ** 2
        powers = order * widths ** (order - 1)
        return self._pole_sum * share**ACTIVATION_ORDER * ends + (self._coefficients[2:] * powers).sum(axis=0)


def certificates(
    model: Model, cost: QuadraticCost, cost_on: str, *, start: ArrayLike | None = None
) -> list[Strips | Majorant]:
    """The systems whose hypotheses hold: Strips for κ_a < 1, Majorant for I − VJ/T invertible; HypothesisError if none."""
    slope, offset = cost.force(model.size, cost_on)
    found: list[Strips | Majorant] = []
    scaled = model.couplings / model.temperature
    if model.absolute_gain < 1:
        found.append(Strips(np.abs(scaled), slope, offset))
    mean = fixed_point(model, start=start, method="newton").value
    field = np.abs(model.local_field(mean)) / model.temperature
    variance = activity_variance(firing_probability(-field, 1.0))
    try:
        propagator = np.linalg.inv(np.eye(model.size) - scaled * variance)
    except np.linalg.LinAlgError:
        propagator = None
    if propagator is not None:
        force = np.abs(propagator @ (slope * mean + offset))
        found.append(Majorant(variance, np.abs(propagator @ scaled), force, np.abs(propagator) * slope, field))
    if not found:
        raise HypothesisError(
            f"this bound needs κ_a < 1 or I − VJ/T invertible, got κ_a = {model.absolute_gain:.6g} and a singular matrix: "
            "move the temperature or the bias"
        )
    return found


def least_solution(system: Strips | Majorant, strength: float, start: FloatArray | None = None) -> FloatArray | None:
    """x with f(x, strength) ≤ x < limit, (N,), or None where Newton's method from 0 finds none.

    Newton's iterates rise to the least solution of a convex increasing system, from 0 or from the solution at a smaller
    strength (start); the last is lifted a little and tested.
    """
    values, unit = np.zeros(system.limit.size) if start is None else start, np.eye(system.limit.size)
    for _ in range(NEWTON_STEPS):
        miss = system.image(values, strength) - values
        try:
            inverse = np.linalg.inv(unit - system.jacobian(values, strength))
        except np.linalg.LinAlgError:
            return None
        step = inverse @ miss
        if (step < -INFLATION * (1 + values)).any() or not (values + step < (1 - INFLATION) * system.limit).all():
            return None
        values = np.maximum(values + step, 0.0)
        if (step <= INFLATION * values).all():
            lifted = values + INFLATION * inverse @ values
            kept = (lifted < system.limit).all() and (system.image(lifted, strength) <= lifted).all()
            return lifted if kept else None
    return None


def certified_strength(system: Strips | Majorant) -> float:
    """The largest |β|/T that the system certifies, from below to RADIUS_ACCURACY; 0 where it certifies none."""
    high, low, values = system.largest_strength, 0.0, None
    if not math.isfinite(high):
        return math.inf
    smallest = np.finfo(float).eps * high
    while high - low > RADIUS_ACCURACY * high and high > smallest:
        middle = 0.5 * (low + high)
        found = least_solution(system, middle, values)
        low, high, values = (low, middle, values) if found is None else (middle, high, found)
    return low
