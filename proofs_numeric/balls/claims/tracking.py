"""Family B, traces, decided in balls: thm:B4 and thm:B5 after a few steps of one or two leaky units."""

from __future__ import annotations

import numpy as np
from flint import arb

from meanfield.model import Model
from proofs_numeric.balls.arithmetic import exact, squared
from proofs_numeric.balls.bounds import gain, leaky_spread
from proofs_numeric.balls.claims.mean_field import falsifiers, rows, small
from proofs_numeric.balls.models import leaky_moments
from proofs_numeric.claims.tracking import random_start
from proofs_numeric.instances import Interval
from proofs_numeric.rigorous import Enclosures, rigorous

STEPS = 3
FREE_UNIT = ([[0.0]], [0.0], 1.0)


def _one_copy(label: str) -> dict[str, Interval]:
    return {name: interval for name, interval in small(label, 2).items() if name != "copies"}


@rigorous("B4", domain=_one_copy("B4"), falsifiers=falsifiers("B4", "constant × 0.9"))
def leaky_spikes_track(model: Model, leak: float, seed: int, bits: int, mutation: str | None = None) -> Enclosures:
    """E‖s_t − m_t‖² ≤ (ε²N/4) Σ_{k<t} ρ^{2k} from the same start, t = 1, 2, 3, one copy."""
    epsilon, start = arb(leak), exact(random_start(model, seed))
    rate = (1 - epsilon * (1 - gain(model))) ** 2
    total, power, parts = arb(0), arb(1), []
    for mean, covariance, rates in leaky_moments(model, leak=leak, steps=STEPS, start=start):
        total, power = total + power, power * rate
        square = np.trace(covariance) + squared(mean - rates).sum()
        parts.append((square, epsilon**2 * model.size * total / 4))
    return rows(*parts)


@rigorous(
    "B5", domain=_one_copy("B5"),
    falsifiers=(("constant × 0.9", {"model": FREE_UNIT, "leak": 1.0, "seed": 0}, False),),
)  # fmt: skip
def leaky_covariance_and_bias(
    model: Model, leak: float, seed: int, bits: int, mutation: str | None = None
) -> Enclosures:
    """|Cov(s_t)| ≤ Σ_t and |E s_t − m_t| ≤ δ_t entrywise, t = 1, 2, 3, one copy."""
    start, parts = exact(random_start(model, seed)), []
    for step, (mean, covariance, rates) in enumerate(
        leaky_moments(model, leak=leak, steps=STEPS, start=start), start=1
    ):
        spread, shift = leaky_spread(model, leak=leak, steps=step)
        parts += [(abs(covariance), spread), (abs(mean - rates), shift)]
    return rows(*parts)
