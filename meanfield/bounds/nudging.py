"""Bounds on what a finite nudging costs the mean-field gradient.

Main results: holomorphy_radius, estimator_bias (thm:C2).
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.bounds.hypotheses import require
from meanfield.model import FloatArray, Model, QuadraticCost, whole_number

# Heights y of the strip |Im h/T| < y over which the holomorphy radius is maximised.
STRIP_HEIGHTS = np.linspace(0.0, math.pi, 20_001)[1:-1]


def holomorphy_radius(model: Model, cost: QuadraticCost, cost_on: str = "rates") -> float:
    """R = max over 0 < y < π of T(y − 2κ_∞ tan(y/2))/M(y), M = 1 for y ≤ π/2, 1/sin y beyond; linear cost: M ← max|c|.

    On |β| < R the nudged fixed point is holomorphic in the complex nudging β. Holds when κ_∞ < 1. Paper: thm:C2.
    """
    return float(_strip_radii(model, cost, cost_on).max())


def estimator_bias(
    model: Model, cost: QuadraticCost, *, nudging: float, estimator: str, points: int = 8, cost_on: str = "rates"
) -> float:
    """Every coupling's |EP estimate − dL/dJ_ij| ≤ (M²/R) r^k/(1 − r^k), r = |β|/R; k = 1 one-sided, 2 symmetric, N holomorphic.

    The least over the strip heights y of thm:C2, R = R(y), M = M(y). Holds when κ_∞ < 1 and |β| < R. Paper: thm:C2.
    """
    orders = {"one-sided": 1, "symmetric": 2, "holomorphic": whole_number("points", points, 2)}
    if estimator not in orders:
        raise ValueError(f"estimator must be one of {', '.join(orders)}, got {estimator!r}")
    radii = _strip_radii(model, cost, cost_on)
    require(abs(nudging) < radii.max(), "|nudging|", abs(nudging), limit=float(radii.max()))
    inside = radii > abs(nudging)
    ratio = (abs(nudging) / radii[inside]) ** orders[estimator]
    return float((_strip_modulus(STRIP_HEIGHTS[inside]) ** 2 / radii[inside] * ratio / (1 - ratio)).min())


def _strip_modulus(heights: FloatArray) -> FloatArray:
    return np.where(heights <= math.pi / 2, 1.0, 1 / np.sin(heights))


def _strip_radii(model: Model, cost: QuadraticCost, cost_on: str) -> FloatArray:
    require(model.row_gain < 1, "κ_∞ = ‖J‖_∞/(4T)", model.row_gain)
    _, offset = cost.force(model.size, cost_on)
    reach = model.temperature * (STRIP_HEIGHTS - 2 * model.row_gain * np.tan(STRIP_HEIGHTS / 2))
    if cost_on == "rates":
        return reach / _strip_modulus(STRIP_HEIGHTS)
    strongest = np.abs(offset).max()
    return reach / strongest if strongest > 0 else np.full_like(reach, np.inf)
