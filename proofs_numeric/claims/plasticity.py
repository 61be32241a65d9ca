"""Family E, plasticity: the update as a sum over the synapse's own history.

Main results: thm:E4.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.enumeration import leaky_law
from dynamics.phases import relax
from meanfield import bounds
from meanfield.equations import activity_variance, firing_probability
from meanfield.learning_rule import equilibrium_gradient
from meanfield.model import Model, QuadraticCost
from meanfield.response import contraction_rate, linear_noise
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
PAIR = ([[0.0, 2.0], [2.0, 0.0]], [-0.6, 0.4], 1.0)


@claim(
    label="E4",
    title="the STDP form",
    kind="identity",
    hypotheses="a path of bounded variation without jumps, or a sum over midpoints",
    norm="row",
    domain={**model_scalars(3, gain=Interval(0.02, 0.9)), "leak": Interval(0.05, 1.0), "share": Interval(0.1, 1.0)},
    falsifiers=(
        Falsifier("left-point sums", {"model": PAIR, "seed": 0, "leak": 1.0, "share": 0.5}, drops="midpoints"),
        Falsifier("one half of the rule", {"model": PAIR, "seed": 0, "leak": 0.5, "share": 0.5}),
        Falsifier("1/β along −β → β", {"model": PAIR, "seed": 0, "leak": 0.5, "share": 0.5}),
        Falsifier("noise common to two units", {"model": PAIR, "seed": 0, "leak": 0.5, "share": 0.5}),
        Falsifier("the spikes' variance dropped", {"model": PAIR, "seed": 0, "leak": 0.5, "share": 0.5}),
    ),
    instances=40,
)
def stdp_form(model: Model, leak: float, share: float, seed: int, mutation: str | None = None) -> Evidence:
    """∫(s_iṡ_j + s_jṡ_i)dt = Δ(s_is_j): over β it is EP's update, one-sided from rest, symmetric along −β → β. Midpoint sums are
    exact; left-point sums miss −ΣΔs_iΔs_j, whose mean for leaky spikes is −Σε_iε_jE[(p_i−s_i)(p_j−s_j)], −ε²p(1−p)/K more at i = j.
    """
    cost = random_cost(model.size, seed)
    parts = [
        _polynomial_path(model.size, seed, one_half=mutation == "one half of the rule"),
        _equilibrium_path(model, cost, share, "one-sided", 1.0),
        _equilibrium_path(model, cost, share, "symmetric", 1.0 if mutation == "1/β along −β → β" else 0.5),
        _relaxation_sums(model, cost, leak, left=mutation == "left-point sums"),
        _spike_sums(model, leak, seed, mutation),
        _linear_crossing(model, leak),
    ]
    measured, rounding = zip(*parts, strict=True)
    return Evidence(np.array(measured), 0.0, np.array(rounding))


def _polynomial_path(size: int, seed: int, one_half: bool) -> tuple[float, float]:
    """∫(s_iṡ_j + s_jṡ_i) of random polynomials of degree 5 over (0, 1), exact by a Gauss rule of degree 2·6 − 1."""
    generator = np.random.default_rng([seed, 81])
    coefficients = generator.uniform(-1, 1, size=(6, size + 1))
    nodes, weights = np.polynomial.legendre.leggauss(6)
    path = np.polynomial.polynomial.polyval(0.5 * (nodes + 1), coefficients)
    speed = np.polynomial.polynomial.polyval(0.5 * (nodes + 1), np.polynomial.polynomial.polyder(coefficients))
    half = np.einsum("t,it,jt->ij", 0.5 * weights, path, speed)
    end, start = coefficients.sum(axis=0), coefficients[0]
    change = np.outer(end, end) - np.outer(start, start)
    integral = 2 * half if one_half else half + half.T
    # |s| ≤ 6, |ṡ| ≤ 15, some dozens of operations each
    return float(np.abs(integral - change).max()), 90 * 100 * EPS


def _equilibrium_path(
    model: Model, cost: QuadraticCost, share: float, estimator: str, factor: float
) -> tuple[float, float]:
    """factor/β times ∫(m_i dm_j + m_j dm_i) along the fixed points from 0 or −β to β, and −EP's estimate: their distance times T.

    β = share·R/4 with R the radius of thm:C2: the integrand is holomorphic in a disc four times as wide, so a Gauss rule of
    12 nodes errs by the order of (4 + √15)^−24.
    """
    radius = bounds.holomorphy_radius(model, cost)
    strength = share * radius / 4
    low = 0.0 if estimator == "one-sided" else -strength
    nodes, weights = np.polynomial.legendre.leggauss(12)
    slope, offset = cost.force(model.size, "rates")
    half = np.zeros((model.size, model.size))
    centre = fixed_point(model, method="newton", tolerance=1e-14, throw=False).value
    for node, weight in zip(nodes, weights, strict=True):
        nudging = low + (strength - low) * (node + 1) / 2
        mean = fixed_point(
            model, start=centre, method="newton", cost=cost, nudging=nudging, tolerance=1e-14, throw=False
        ).value
        variance = activity_variance(mean) / model.temperature
        system = np.eye(model.size) - variance[:, None] * (model.couplings - nudging * np.diag(slope))
        speed = -np.linalg.solve(system, variance * (slope * mean + offset))
        half += weight * (strength - low) / 2 * np.outer(mean, speed)
    estimate = equilibrium_gradient(model, cost, nudging=strength, estimator=estimator, cost_on="rates")
    miss = (half + half.T) * factor / strength + estimate.couplings
    np.fill_diagonal(miss, 0.0)
    # fixed points are known to 1e-12/(1 − κ_∞ − |β|/4T), the estimate divides two of them by β
    slack = 1 - model.row_gain - strength / (4 * model.temperature)
    scale = model.temperature / strength
    return float(np.abs(miss).max()) * model.temperature, 8e-12 / max(slack, 1e-3) * (1 + scale)


def _relaxation_sums(model: Model, cost: QuadraticCost, leak: float, left: bool) -> tuple[float, float]:
    """Midpoint sums along a nudged relaxation from ½ against the change of the product."""
    path = relax(model, steps=40, leak=leak, cost=cost, nudging=0.5 * model.temperature)
    points = path[:-1] if left else 0.5 * (path[1:] + path[:-1])
    half = points.T @ np.diff(path, axis=0)
    change = np.outer(path[-1], path[-1]) - np.outer(path[0], path[0])
    return float(np.abs(half + half.T - change).max()), 40 * 8 * EPS


def _spike_sums(model: Model, leak: float, seed: int, mutation: str | None) -> tuple[float, float]:
    """Every history of the leaky chain: midpoint sums, and the mean of what left-point sums miss by its conditional form."""
    generator = np.random.default_rng([seed, 82])
    copies = 1 + seed % 2
    steps = max(1, int(math.log(2048) / (model.size * math.log(copies + 1))))
    leaks = generator.uniform(0.05, 1.0, size=model.size) if seed % 3 == 0 else np.full(model.size, leak)
    paths, law = leaky_law(model, leak=leaks, steps=steps, start=generator.uniform(size=model.size), copies=copies)
    moves, before = np.diff(paths, axis=1), paths[:, :-1]
    points = before if mutation == "left-point sums" else 0.5 * (before + paths[:, 1:])
    half = np.einsum("mti,mtj->mij", points, moves)
    change = np.einsum("mi,mj->mij", paths[:, -1], paths[:, -1]) - np.outer(paths[0, 0], paths[0, 0])
    pathwise = np.abs(half + half.transpose(0, 2, 1) - change).max()
    left = np.einsum("m,mti,mtj->ij", law, before, moves)
    miss = left + left.T - np.einsum("m,mij->ij", law, change)
    chance = firing_probability(model.local_field(before), model.temperature)
    drift = chance - before
    stated = -np.einsum("m,mti,mtj->ij", law, leaks * drift, leaks * drift)
    own = np.einsum("m,mti->i", law, activity_variance(chance)) / copies
    if mutation != "the spikes' variance dropped":
        stated = stated - np.diag(leaks**2 * own)
    if mutation == "noise common to two units":
        stated = stated - np.outer(leaks, leaks) * np.sqrt(np.outer(own, own)) * (1 - np.eye(model.size))
    return max(float(pathwise), float(np.abs(miss - stated).max())), 64 * steps * EPS


def _linear_crossing(model: Model, leak: float) -> tuple[float, float]:
    """Per step of the stationary linearised chain, ε²(BΣBᵀ + V) = ε²(I − εB/2)⁻¹V, Σ its covariance."""
    mean = fixed_point(model, method="newton").value
    if contraction_rate(model, mean, leak) >= 1:
        return 0.0, 0.0
    variance = np.diag(activity_variance(mean))
    system = np.eye(model.size) - variance @ model.couplings / model.temperature
    covariance = linear_noise(model, mean, leak)[0]
    crossing = leak**2 * (system @ covariance @ system.T + variance)
    stated = leak**2 * np.linalg.solve(np.eye(model.size) - 0.5 * leak * system, variance)
    slack = 1 - contraction_rate(model, mean, leak)
    return float(np.abs(crossing - stated).max()), 1e3 * EPS / slack**2
