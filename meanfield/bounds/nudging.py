"""Bounds on what a finite nudging costs the mean-field gradient.

Main results: estimator_bias (thm:C2), local_estimator_bias (thm:C2b).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from meanfield.bounds.holomorphy import (
    STRIP_HEIGHTS,
    Majorant,
    Strips,
    certificates,
    least_solution,
    local_holomorphy_radius,
    strip_modulus,
    strip_radii,
)
from meanfield.bounds.hypotheses import require
from meanfield.model import FloatArray, Gradient, HypothesisError, Model, QuadraticCost, whole_number
from meanfield.nudged import NudgedSeries, nudged_series

# Radii of the discs on which the rest of the series is bounded, in units of |β|, as far as they can be certified.
DISCS = (1.002, 1.03, 1.1, 1.3, 1.7, 2.5, 4.0, 8.0, 20.0, 100.0, 1000.0)


def estimator_bias(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    estimator: str,
    points: int = 8,
    cost_on: str = "rates",
    order: int = 16,
) -> float:
    """Every coupling's |EP estimate − dL/dJ_ij| ≤ (M²/R) r^k/(1 − r^k), r = |β|/R; k = 1 one-sided, 2 symmetric, N holomorphic.

    The least over the strip heights y of thm:C2, R = R(y), M = M(y), and no more than the largest local_estimator_bias with
    `order` exact Taylor coefficients; order 0 leaves the closed form alone. Holds when κ_∞ < 1 and |β| < R. Paper: thm:C2.
    """
    power = _power(estimator, points)
    radii = strip_radii(model, cost, cost_on)
    require(abs(nudging) < radii.max(), "|nudging|", abs(nudging), limit=float(radii.max()))
    inside = radii > abs(nudging)
    ratio = (abs(nudging) / radii[inside]) ** power
    closed = float((strip_modulus(STRIP_HEIGHTS[inside]) ** 2 / radii[inside] * ratio / (1 - ratio)).min())
    if whole_number("order", order, 0) == 0 or nudging == 0 or model.size == 1:
        return closed
    local = _certified_bias(model, cost, nudging, power, estimator == "one-sided", cost_on, order, None)
    return closed if local is None else min(closed, float(local.couplings.max()))


def local_estimator_bias(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    estimator: str,
    points: int = 8,
    cost_on: str = "rates",
    order: int = 16,
    start: ArrayLike | None = None,
) -> Gradient:
    """Each weight's |EP estimate − dL/dθ| ≤ |Σ_{k≤K} g_kβ^{k−1}| + rest, k = 2, 3, …; 3, 5, …; 1 + N, 1 + 2N, … by estimator.

    g_k are the exact Taylor coefficients of the phase statistic up to K = order, at least the first that counts; the rest
    is bounded on the certified discs of thm:C2b, by the majorant's own end or by Parseval's sum on the strips.
    *Holds when* |β| is 0.2 % inside a certified disc, else HypothesisError. start: of the free fixed point. Paper: thm:C2b.
    """
    power = _power(estimator, points)
    whole_number("order", order, 1)
    if not np.isfinite(nudging):
        raise ValueError(f"nudging must be finite, got {nudging}")
    found = _certified_bias(model, cost, nudging, power, estimator == "one-sided", cost_on, order, start)
    if found is None:
        limit = local_holomorphy_radius(model, cost, cost_on, start=start) / DISCS[0]
        raise HypothesisError(
            f"this bound needs |nudging| < {limit:.6g}, 0.2 % inside a certified disc, got {abs(nudging):.6g}: "
            "raise the temperature or use less"
        )
    return found


def _certified_bias(
    model: Model, cost: QuadraticCost, nudging: float, power: int, signed: bool, cost_on: str, order: int,
    start: ArrayLike | None,
) -> Gradient | None:  # fmt: skip
    """thm:C2b's bound, None where no certified disc holds the nudging; signed: powers of β in place of |β|."""
    strength = abs(nudging) / model.temperature
    series = nudged_series(model, cost, order=max(order, power + 1), cost_on=cost_on, start=start)
    if strength == 0:
        return Gradient(np.zeros_like(model.couplings), np.zeros(model.size))
    known = _known_bias(series, nudging / model.temperature if signed else strength, power)
    rests = [
        _rest(system, disc, values, series, strength, power)
        for system in certificates(model, cost, cost_on, start=start)
        for disc, values in _discs(system, strength)
    ]
    if not rests:
        return None
    couplings, bias = (
        (np.abs(whole) + np.min(ends, axis=0)) / model.temperature
        for whole, ends in zip(known, zip(*rests, strict=True), strict=True)
    )
    return Gradient(np.maximum(couplings, couplings.T), bias)


def _power(estimator: str, points: int) -> int:
    """The power of the nudging in the leading bias, which is also the spacing of the powers."""
    orders = {"one-sided": 1, "symmetric": 2, "holomorphic": whole_number("points", points, 2)}
    if estimator not in orders:
        raise ValueError(f"estimator must be one of {', '.join(orders)}, got {estimator!r}")
    return orders[estimator]


def _known_bias(series: NudgedSeries, strength: float, power: int) -> Gradient:
    """Σ g_k β^{k−1} over k = 1 + power, 1 + 2 power, … up to the order of the series; β in temperatures."""
    orders = np.arange(1 + power, len(series.bias), power)
    weights = strength ** (orders - 1.0)
    return Gradient(np.tensordot(weights, series.couplings[orders], 1), weights @ series.bias[orders])


def _discs(system: Strips | Majorant, strength: float) -> Iterator[tuple[float, FloatArray]]:
    """Radii above the strength that the system certifies, with its solution there."""
    values = None
    for factor in DISCS:
        values = least_solution(system, factor * strength, values)
        if values is None:
            return
        yield factor * strength, values


def _rest(
    system: Strips | Majorant, disc: float, values: FloatArray, series: NudgedSeries, strength: float, power: int
) -> Gradient:
    """Σ |g_k||β|^{k−1} over the k = 1 + power, 1 + 2 power, … beyond the series, from a bound on the disc; times T."""
    order, ratio = len(series.bias) - 1, strength / disc
    first = 1 + power * ((order - 1) // power + 1)
    scales = disc ** np.arange(order + 1.0)
    if isinstance(system, Majorant):
        change, mean = system.activity_change(values), series.activity[0]
        whole = Gradient(np.outer(mean, change) + np.outer(change, mean) + np.outer(change, change), change)
        sizes = (np.tensordot(scales[1:], np.abs(part[1:]), 1) for part in (series.couplings, series.bias))
        left = (np.maximum(total - size, 0.0) for total, size in zip(whole, sizes, strict=True))
        factor = ratio**first
    else:
        bound = system.activity_bound(values)
        totals = (np.outer(bound, bound) ** 2, bound**2)
        sizes = (np.tensordot(scales**2, part**2, 1) for part in (series.couplings, series.bias))
        left = (np.sqrt(np.maximum(total - size, 0.0)) for total, size in zip(totals, sizes, strict=True))
        factor = ratio**first / math.sqrt(1 - ratio ** (2 * power))
    couplings, bias = (factor / strength * part for part in left)
    np.fill_diagonal(couplings, 0.0)
    return Gradient(couplings, bias)
