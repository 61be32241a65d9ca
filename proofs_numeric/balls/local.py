"""Contraction in a ball about a certified fixed point, whatever the global hypotheses say, rounding included.

Main results: certify_contraction, CertifiedContraction (thm:A5c), leave_probability (thm:B11b).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import ArrayLike

from meanfield.bounds.local import LocalContraction, local_contraction
from meanfield.model import Model, leak_vector, whole_number
from proofs_numeric.balls.arithmetic import (
    Balls,
    Undecided,
    exact,
    identity,
    larger,
    logistic_slope,
    positive_definite,
    precision,
    smaller,
    square_root,
    squared,
    upper,
)
from proofs_numeric.balls.bounds import field_ranges
from proofs_numeric.balls.fixed_points import BITS, CertifiedFixedPoint, certify_fixed_point

# κ̂ is rounded up by this share before it is proven.
GAIN_MARGIN = 1e-9


@dataclass(frozen=True, eq=False)
class CertifiedContraction:
    """A proof that the leaky map contracts in B = {‖m − m*‖_ŝ ≤ radius} ∩ [0,1]^N by 1 − ε(1 − gain) in ‖·‖_ŝ.

    point: m* in its ball. slopes: the caps ŝ, (N,); they, radius and gain are floats, taken as exact numbers.
    """

    point: CertifiedFixedPoint
    radius: float
    gain: float
    slopes: np.ndarray

    def rate(self, leak: float) -> float:
        """1 − ε(1 − gain), as a float."""
        return 1 - leak * (1 - self.gain)

    def contains(self, mean_activity: ArrayLike) -> bool:
        """Whether a point of the cube is certainly in B; False says nothing."""
        if math.isinf(self.radius):
            return True
        with precision(self.point.bits):
            distance = (squared(exact(mean_activity) - self.point.mean) / exact(self.slopes)).sum()
            return bool(distance <= arb(self.radius) ** 2)


def certify_contraction(
    model: Model, *, start: ArrayLike | None = None, radius: float | None = None, bits: int = BITS
) -> CertifiedContraction:
    """Prove thm:A5c's ball about the fixed point reached from `start`: its caps, κ̂ < 1 and its radius.

    radius: None takes the one that bounds.local_contraction proposes. The proposal comes from floats, the proof from balls: the
    caps dominate σ' over every field in the ball about the enclosed m*, and gain·I ± Ŝ^½JŜ^½/T ≻ 0 by LDLᵀ pivots.
    Any model. Raises HypothesisError where floats find no such ball, Undecided where `bits` bits do not prove it.
    """
    point = certify_fixed_point(model, start=start, bits=bits)
    return certify(point, local_contraction(model, point.value, radius=radius))


def certify(point: CertifiedFixedPoint, proposal: LocalContraction) -> CertifiedContraction:
    """Prove a proposed ball about a certified fixed point, or raise Undecided."""
    model, gain = point.model, proposal.gain * (1 + GAIN_MARGIN)
    with precision(point.bits):
        temperature, slopes = arb(model.temperature), exact(proposal.slopes)
        caps = upper(logistic_slope(_nearest_field(point, slopes, proposal.radius)))
        root = square_root(slopes)
        scaled = root[:, None] * exact(model.couplings) * root / temperature
        above = all(cap <= slope or slope >= arb(1) / 4 for cap, slope in zip(caps, slopes, strict=True))
        frame = arb(gain) * identity(model.size)
        if not (above and gain < 1 and (gain == 0 or _between(frame, scaled))):
            raise Undecided(
                f"the ball of radius {proposal.radius:.4g} is not proven at {point.bits} bits: try a smaller one"
            )
    return CertifiedContraction(point, proposal.radius, gain, proposal.slopes)


def _between(frame: Balls, matrix: Balls) -> bool:
    return positive_definite(frame - matrix) and positive_definite(frame + matrix)


def _nearest_field(point: CertifiedFixedPoint, slopes: Balls, radius: float) -> Balls:
    """The field in the ball that is nearest to 0, where σ' is largest, (N,)."""
    model = point.model
    low, high = field_ranges(model)
    if not math.isinf(radius):
        temperature, couplings = arb(model.temperature), exact(model.couplings)
        centre = (couplings @ point.mean + exact(model.bias)) / temperature
        reach = arb(radius) * square_root(squared(couplings) @ slopes) / temperature
        low, high = larger(low, centre - reach), smaller(high, centre + reach)
    return smaller(larger(exact(np.zeros(model.size)), low), high)


def leave_probability(
    ball: CertifiedContraction, *, leak: float, steps: int, tilt: float = 0.5, copies: int = 1
) -> Any:
    """A ball around t exp(−λr² + L/(1 − θ)) ≥ P(leaky spikes started at m* leave B within t steps). Paper: thm:B11b.

    tilt: λ as a share, in (0, 1), of its largest value (1 − ρ̂²)/(2ε² max ω), ω_i = 1/(4Kŝ_i).
    """
    if not 0 < tilt < 1:
        raise ValueError(f"tilt must lie between 0 and 1, got {tilt}")
    whole_number("steps", steps, 0)
    if math.isinf(ball.radius):
        return arb(0)
    with precision(ball.point.bits):
        epsilon = arb(float(leak_vector(leak, 1)[0]))
        proxies = 1 / (4 * whole_number("copies", copies, 1) * exact(ball.slopes))
        # the smallest cap, an exact float, has the largest proxy
        most = proxies[int(np.argmin(ball.slopes))]
        rate = squared(1 - epsilon * (1 - arb(ball.gain)))
        strength = arb(tilt) * (1 - rate) / (2 * epsilon * epsilon * most)
        growth = -sum((1 - 2 * strength * epsilon * epsilon * proxy).log() for proxy in proxies) / 2
        shrunk = rate / (1 - 2 * strength * epsilon * epsilon * most)
        return steps * (growth / (1 - shrunk) - strength * squared(arb(ball.radius))).exp()
