"""Bounds on what a finite nudging costs EP under the spikes' own laws; no mean field, no contraction.

Main results: zero_free_radius, spike_estimator_bias, aliased_terms (thm:C5c), objective_gap (thm:C5).

Everything follows from R_C = max C − min C, the range of the cost on spikes, and the temperature.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.bounds.hypotheses import require
from meanfield.equations import SUP_CURVATURE, SUP_SLOPE
from meanfield.learning_rule import contrast
from meanfield.model import Model, QuadraticCost

# Shares of the zero-free radius on whose circles Cauchy's estimate is taken.
CIRCLES = np.linspace(0.0, 1.0, 2001)[1:-1]


def cost_range(model: Model, cost: QuadraticCost, dynamics: str = "gibbs") -> float:
    """R_C = Σ_o |½ − y_o|; twice that for "little", whose nudge acts at both times of a pair of states."""
    if dynamics not in ("gibbs", "little"):
        raise ValueError(f"dynamics must be 'gibbs' or 'little', got {dynamics!r}")
    return float(np.abs(cost.force(model.size, "spikes")[1]).sum()) * (2.0 if dynamics == "little" else 1.0)


def zero_free_radius(model: Model, cost: QuadraticCost, *, dynamics: str = "gibbs") -> float:
    """πT/R_C: no zero of the partition function of E + βC has |Im β| below it; ∞ for a constant cost.

    Attained by a single output unit of mean ½. Any J = Jᵀ, b, T > 0; cost on spikes. Paper: thm:C5c.
    """
    spread = cost_range(model, cost, dynamics)
    return math.pi * model.temperature / spread if spread > 0 else math.inf


def spike_estimator_bias(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    estimator: str,
    points: int = 8,
    dynamics: str = "gibbs",
) -> float:
    """Every entry's |E estimate − ∂⟨C⟩/∂θ| ≤ min over |β| < ρ < πT/R_C of r^k/(1 − r^k) / (2ρ cos(ρR_C/2T)), r = |β|/ρ.

    k = 1 one-sided, 2 symmetric, N holomorphic. Holds when |β| < πT/R_C, else HypothesisError. Paper: thm:C5c.
    """
    contrast(nudging, estimator, points)
    order = {"one-sided": 1, "symmetric": 2, "holomorphic": points}[estimator]
    return aliased_terms(model, cost, nudging=nudging, order=order, dynamics=dynamics)


def aliased_terms(
    model: Model, cost: QuadraticCost, *, nudging: float, order: int, first: int = 1, dynamics: str = "gibbs"
) -> float:
    """Σ_{m ≥ first} |a_{1+m·order}||β|^{m·order} ≤ min over ρ of r^{first·order}/(1 − r^order) / (2ρ cos(ρR_C/2T)), r = |β|/ρ.

    a_k are the Taylor coefficients of ⟨∂E/∂θ⟩_β (dynamics.nudging_series). first = 2 bounds what follows an estimator's
    leading bias a_{1+order}|β|^order. Holds when |β| < πT/R_C, else HypothesisError. Paper: thm:C5c.
    """
    radius, size = zero_free_radius(model, cost, dynamics=dynamics), abs(float(nudging))
    require(size < radius, "|nudging|", size, limit=radius)
    if math.isinf(radius):
        return 0.0
    circles = size + (radius - size) * CIRCLES
    ratio = (size / circles) ** order
    return float((ratio**first / (1 - ratio) / (2 * circles * np.cos(0.5 * math.pi * circles / radius))).min())


def objective_gap(model: Model, cost: QuadraticCost, *, nudging: float, estimator: str) -> float:
    """|objective − ⟨C⟩| ≤ |β|R_C²/(8T) one-sided, β²M₂R_C³/(6T²) symmetric, for the loss whose exact gradient EP follows.

    The objectives are (A_β − A_0)/β and (A_β − A_{−β})/2β, A = −T ln Z. Any β ≠ 0; cost on spikes. Paper: thm:C5.
    """
    contrast(nudging, estimator)
    spread, ratio = cost_range(model, cost), abs(float(nudging)) / model.temperature
    if estimator == "one-sided":
        return SUP_SLOPE * ratio * spread**2 / 2
    if estimator == "symmetric":
        return SUP_CURVATURE * ratio**2 * spread**3 / 6
    raise ValueError(f"estimator must be one-sided or symmetric, got {estimator!r}: use spike_estimator_bias")
