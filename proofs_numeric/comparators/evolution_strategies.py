"""Gradient-estimating evolution strategies on the networks, losses and relaxations of EP.

Main results: thm:G11, thm:G11b.

A small restatement, no reproduction of a benchmark. With parameters θ ∈ ℝ^d (couplings and biases, or biases alone), a loss L
and standard normal ε, S antithetic pairs estimate

    ĝ = (1/S) Σ_k [L(θ + σε_k) − L(θ − σε_k)]/(2σ) · ε_k,

forward only: a pair costs two relaxations and tells one directional slope. Here L(θ) = E C(z) under exp(−E/T), where z_iz_j and
z_i are the features φ, E = −θ·φ, and L is exact or the cost of one sample. Hazelden, Liu, Shlizerman & Shea-Brown 2023
(arXiv:2311.10869); Salimans, Ho, Chen, Sidor & Sutskever 2017 (arXiv:1703.03864).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from dynamics.coupling import reading
from dynamics.enumeration import all_states
from dynamics.exact_nudging import nudging_series
from dynamics.exact_variance import pair_chain
from meanfield.bounds.smoothing import cost_range
from meanfield.equations import SUP_THIRD
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars
from proofs_numeric.verdicts import limit_miss

EPS = float(np.finfo(float).eps)
POINTS, FINER = 16, 22


class Landscape(NamedTuple):
    """θ ↦ E C(z): features φ(z)/T of the d parameters, (2^N, d), the other terms of −E/T, (2^N,), θ (d,) and C(z), (2^N,)."""

    features: FloatArray
    rest: FloatArray
    parameters: FloatArray
    costs: FloatArray

    def laws(self, parameters: FloatArray) -> FloatArray:
        """The laws ∝ exp(−E/T) at a stack of parameters (…, d): (…, 2^N)."""
        weights = self.rest + parameters @ self.features.T
        weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    def losses(self, parameters: FloatArray) -> FloatArray:
        """E C(z) − C(0) at a stack of parameters, (…)."""
        return self.laws(parameters) @ (self.costs - self.costs[0])


def landscape(model: Model, cost: QuadraticCost, *, biases_only: bool = False) -> Landscape:
    """The landscape of a model's d = N(N + 1)/2 parameters, pairs first, or of its N biases."""
    states = all_states(model.size)
    features = reading(states, states, states) / model.temperature
    flat = flattened(Gradient(model.couplings, model.bias))
    first = len(flat) - model.size if biases_only else 0
    rest = features[:, :first] @ flat[:first]
    return Landscape(features[:, first:], rest, flat[first:], cost.on_spikes(states))


def flattened(gradient: Gradient) -> FloatArray:
    """Entries i < j of the couplings, then the biases."""
    return np.concatenate([gradient.couplings[np.triu_indices(len(gradient.bias), 1)], gradient.bias])


def slope(scene: Landscape) -> FloatArray:
    """∇L = Cov(C, φ)/T at θ, (d,)."""
    law = scene.laws(scene.parameters)
    centred = scene.costs - law @ scene.costs
    return (law * centred) @ scene.features


def laplacian_slope(scene: Landscape) -> FloatArray:
    """∇ΔL, the sums over b of the joint cumulants κ(C, φ_a, φ_b, φ_b)/T³, (d,): E ĝ = ∇L + (σ²/2)∇ΔL + O(σ⁴)."""
    law = scene.laws(scene.parameters)
    cost, part = scene.costs - law @ scene.costs, scene.features - law @ scene.features
    total = (part**2).sum(axis=1)
    covariance = part.T @ (law[:, None] * part)
    mixed = (law * cost) @ part
    return (law * cost * total) @ part - mixed * np.trace(covariance) - 2 * covariance @ mixed


class Moments(NamedTuple):
    """Of one antithetic pair: E ĝ (d,), E‖ĝ‖² of exact losses, and what the noise of two independent samples adds to it."""

    mean: FloatArray
    second: float
    noise: float


def antithetic_moments(scene: Landscape, sigma: float, *, points: int = FINER, antithetic: bool = True) -> Moments:
    """Exact moments of one pair by Gauss–Hermite quadrature with `points` nodes in each of d ≤ 3 directions."""
    nodes, weights = hermegauss(points)
    count = len(scene.parameters)
    grid = np.stack(np.meshgrid(*[nodes] * count, indexing="ij"), axis=-1).reshape(-1, count)
    mass = np.stack(np.meshgrid(*[weights / weights.sum()] * count, indexing="ij"), axis=-1).reshape(-1, count)
    chance = mass.prod(axis=1)
    ends = [scene.laws(scene.parameters + sign * sigma * grid) for sign in (1, -1)]
    shifted = scene.costs - scene.costs[0]
    high, low = (law @ shifted for law in ends)
    change = (high - low) / (2 * sigma) if antithetic else (high + scene.costs[0]) / sigma
    variances = sum(law @ shifted**2 - (law @ shifted) ** 2 for law in ends)
    square = (grid**2).sum(axis=1)
    return Moments(
        (chance * change) @ grid,
        float(chance @ (change**2 * square)),
        float(chance @ (variances * square)) / (4 * sigma**2),
    )


def estimate(scene: Landscape, sigma: float, *, pairs: int, seed: int) -> FloatArray:
    """ĝ from `pairs` antithetic pairs of exact losses, 2·pairs relaxations, (d,)."""
    draws = np.random.default_rng(seed).normal(size=(pairs, len(scene.parameters)))
    high, low = (scene.losses(scene.parameters + sign * sigma * draws) for sign in (1, -1))
    return (high - low) @ draws / (2 * sigma * pairs)


def bias_bound(count: int, reach: float, sigma: float, temperature: float) -> float:
    """|E ĝ_a − ∂_aL| ≤ R_C min(dσ²/16T³, 1/2T), d = count, reach = R_C. Paper: thm:G11."""
    return reach / temperature * min(SUP_THIRD / 2 * count * (sigma / temperature) ** 2, 0.5)


def second_moment_bound(count: int, reach: float, temperature: float) -> float:
    """E‖ĝ‖² ≤ (d + 2) sup‖∇L‖² ≤ (d + 2) d R_C²/16T² for one pair of exact losses. Paper: thm:G11."""
    return (count + 2) * count * (reach / (4 * temperature)) ** 2


def cost_gap(scene: Landscape) -> float:
    """γ, the least difference of two values of the cost."""
    steps = np.diff(np.sort(scene.costs))
    # equal costs may differ by rounding
    return float(steps[steps > 1e-9 * np.ptp(scene.costs)].min())


def closest_coupling(one: FloatArray, other: FloatArray, costs: FloatArray) -> float:
    """The least E(C(z⁺) − C(z⁻))² over all joint laws with these marginals: that of equal quantiles."""
    order = np.argsort(costs, kind="stable")
    ranks = [np.concatenate([[0.0], np.cumsum(law[order])]) for law in (one, other)]
    edges = np.unique(np.concatenate(ranks))
    middle = 0.5 * (edges[1:] + edges[:-1])
    places = [np.clip(np.searchsorted(rank, middle) - 1, 0, len(order) - 1) for rank in ranks]
    high, low = (costs[order][place] for place in places)
    return float(np.diff(edges) @ (high - low) ** 2)


class Race(NamedTuple):
    """Least errors of ES over those of coupled and of independent EP at equal numbers of relaxations, to leading order."""

    parameters: int
    coupled: float
    independent: float


def race(model: Model, cost: QuadraticCost) -> Race:
    """At its best σ against EP at its best β, all d parameters: mean square errors of symmetric phases as relaxations → ∞.

    coupled: a lower bound for ES, whatever the coupling of its two samples, over EP with shared uniforms; independent: both with
    independent samples. *Holds when* J ≥ 0 and all c_o have one sign (EP's coupled variance is then ‖∇L‖₁/2β, thm:C9).
    """
    scene = landscape(model, cost)
    law, count = scene.laws(scene.parameters), len(scene.parameters)
    gradient, gap = slope(scene), cost_gap(scene)
    ours = float(np.linalg.norm(flattened(nudging_series(model, cost, order=3)[2])))
    theirs = float(np.linalg.norm(laplacian_slope(scene))) / 2
    spread = (law @ scene.features**2 - (law @ scene.features) ** 2) * model.temperature**2
    cost_spread = float(law @ scene.costs**2 - (law @ scene.costs) ** 2)
    coupled = gap * (count + 1) * float(np.linalg.norm(gradient)) / math.sqrt(2 * math.pi)
    coupled /= 0.5 * float(np.abs(gradient).sum())
    independent = count * cost_spread / float(spread.sum())
    return Race(count, (theirs / ours) ** 0.4 * coupled**0.8, (theirs / ours * independent) ** (2 / 3))


SMALL, LARGEST = math.log(0.02), math.log(0.6)
DOMAIN = {**model_scalars(3, gain=Interval(0.02, 3.0)), "log_sigma": Interval(SMALL, LARGEST)}
FREE_UNIT = {"model": ([[0.0]], [0.0], 1.0), "log_sigma": SMALL, "seed": 0}
COLD_UNIT = {"model": ([[0.0]], [0.0], 0.5), "log_sigma": SMALL, "seed": 0}
# three units as one, φ = (z, z, z): the slope is as long as three of its entries can make it
TIED_UNITS = {
    "model": (np.full((3, 3), 20.0) - np.diag([20.0] * 3), [-20.0, -20.0, -20.0], 1.0),
    "log_sigma": SMALL,
    "seed": 3,
}
PAIR = {"model": ([[0.0, 1.0], [1.0, 0.0]], [0.2, -0.9], 1.0), "log_sigma": SMALL, "seed": 3}


def _scene(model: Model, seed: int) -> tuple[Landscape, QuadraticCost]:
    """All parameters of up to two units, biases alone of three or on odd seeds; a cost, at the corners on even seeds."""
    generator = np.random.default_rng([seed, 95])
    outputs = generator.permutation(model.size)[: generator.integers(1, model.size + 1)]
    target = generator.uniform(size=outputs.size)
    cost = QuadraticCost(outputs, np.round(target) if seed % 2 == 0 or model.size == 3 else target)
    return landscape(model, cost, biases_only=model.size == 3 or seed % 2 == 1), cost


@claim(
    label="G11",
    title="antithetic evolution strategies: bias and variance",
    kind="inequality",
    means="numeric",
    hypotheses="L = E C(z) under exp(-E/T), any J = Jᵀ, b, T > 0; normal perturbations",
    norm="spectral",
    domain=DOMAIN,
    falsifiers=(
        Falsifier("constant × 0.9", FREE_UNIT),
        Falsifier("bias O(σ³)", FREE_UNIT),
        Falsifier("bias O(T⁻²)", COLD_UNIT),
        Falsifier("variance without the dimension", TIED_UNITS),
        Falsifier("noise that σ does not divide", FREE_UNIT),
        Falsifier("variance d for d + 1", PAIR),
        Falsifier("no antithetic partner", PAIR, drops="antithetic pairs"),
    ),
    search=False,
    instances=150,
)
def evolution_strategies_on_gibbs_losses(
    model: Model, log_sigma: float, seed: int, mutation: str | None = None
) -> Evidence:
    """|E ĝ_a − ∂_aL| ≤ bias_bound = O(dσ²R_C/16T³), (E ĝ − ∇L)/σ² → ½∇ΔL; one pair of exact losses E‖ĝ‖² ≤
    (d + 2)d(R_C/4T)², Var → (d + 1)‖∇L‖²; two samples in their place add at most dR_C²/8σ², → d Var(C)/2σ².
    """
    scene, cost = _scene(model, seed)
    temperature, count = model.temperature, len(scene.parameters)
    sigma = math.exp(log_sigma) * temperature
    # in units of R_C/T, R_C²/T² and R_C²/σ²
    unit = cost_range(model, cost) / temperature
    paired = mutation != "no antithetic partner"
    moments, coarse = (antithetic_moments(scene, sigma, points=n, antithetic=paired) for n in (FINER, POINTS))
    gradient = slope(scene)
    bias = np.abs(moments.mean - gradient) / unit
    limit = bias_bound(count, unit * temperature, sigma, temperature) / unit
    if mutation == "bias O(σ³)":
        limit *= sigma / temperature
    if mutation == "bias O(T⁻²)":
        limit *= temperature
    second = second_moment_bound(count, unit * temperature, temperature) / unit**2
    if mutation == "variance without the dimension":
        second *= 3 / (count + 2)
    noise = count / 8 * (sigma**2 if mutation == "noise that σ does not divide" else 1.0)
    errors = [np.abs(fine - rough) for fine, rough in zip(moments, coarse, strict=True)]
    float_noise = 100 * EPS * temperature / sigma
    limits = _limit_misses(scene, temperature, count if mutation == "variance d for d + 1" else count + 1)
    return Evidence(
        [*bias, moments.second / unit**2, moments.noise / unit**2 * (sigma / temperature) ** 2, *limits],
        [*np.full(count, limit), second, noise, *np.zeros(len(limits))],
        [
            *(errors[0] / unit + float_noise),
            errors[1] / unit**2 + float_noise,
            errors[2] * (sigma / temperature / unit) ** 2 + float_noise,
            *np.zeros(len(limits)),
        ],
        ceiling=[*np.full(count, 0.5), count / 4 * (temperature / sigma) ** 2, np.inf, *np.full(len(limits), np.inf)],
    )


def _limit_misses(scene: Landscape, temperature: float, count: int) -> list[float]:
    """How far bias/σ² misses ½∇ΔL, and the variance of one pair (d + 1)‖∇L‖², relative to them, as σ is halved five times."""
    gradient, leading = slope(scene), 0.5 * laplacian_slope(scene)
    steepest, bent = float(np.linalg.norm(gradient)), float(np.linalg.norm(leading))
    if steepest * temperature < 1e-6 or bent * temperature**3 < 1e-6:
        return []
    scales = temperature * 0.2 * 0.5 ** np.arange(5)
    moments = [antithetic_moments(scene, sigma, points=12) for sigma in scales]
    bends = [(one.mean - gradient) @ leading / (sigma * bent) ** 2 for one, sigma in zip(moments, scales, strict=True)]
    spreads = [(one.second - one.mean @ one.mean) / steepest**2 for one in moments]
    rounding = 100 * EPS * temperature / scales[-1]
    return [
        limit_miss(bends, 1.0, rounding=rounding / (bent * scales[-1] ** 2)),
        limit_miss(spreads, float(count), rounding=rounding / steepest),
    ]


@claim(
    label="G11b",
    title="what no coupling of the two samples spares evolution strategies",
    kind="inequality",
    hypotheses="whole spikes under exp(-E/T); any joint law of the two samples; γ the least difference of two costs",
    norm="spectral",
    domain=DOMAIN,
    falsifiers=(
        Falsifier("constant × 0.9", FREE_UNIT),
        Falsifier("variance O(1)", PAIR),
        Falsifier("the range in place of the gap", PAIR | {"seed": 4}),
        Falsifier("independent samples reach it", PAIR),
    ),
    search=False,
    instances=150,
)
def coupled_samples_leave_noise(model: Model, log_sigma: float, seed: int, mutation: str | None = None) -> Evidence:
    """E(C(z⁺) − C(z⁻))² ≥ γ|L(θ + σε) − L(θ − σε)| for the closest coupling, shared uniforms and independent samples, so
    σE‖ĝ‖² ≥ γ(d + 1)‖∇L‖/√(2π) as σ → 0, where coupled EP has ‖∇L‖₁/2 at best, with σ for β.
    """
    scene, _ = _scene(model, seed)
    sigma = math.exp(log_sigma) * model.temperature
    count = len(scene.parameters)
    direction = np.random.default_rng([seed, 96]).normal(size=count)
    ends = [scene.parameters + sign * sigma * direction for sign in (1, -1)]
    high, low = (scene.laws(end) for end in ends)
    apart = (scene.costs[:, None] - scene.costs[None, :]) ** 2
    raised, lowered = (_moved(model, end) for end in ends)
    chain = pair_chain(raised, lowered)
    shared = np.linalg.solve((np.eye(len(chain)) - chain).T + 1.0, np.ones(len(chain))).reshape(len(high), -1)
    moments = [closest_coupling(high, low, scene.costs), float((shared * apart).sum()), float(high @ apart @ low)]
    change = abs(float((high - low) @ scene.costs))
    gap = float(np.ptp(scene.costs)) if mutation == "the range in place of the gap" else cost_gap(scene)
    reach = float(np.ptp(scene.costs)) ** 2
    # the statement, and that the closest coupling is no farther apart than the two that are sampled
    measured = np.array([gap * change, moments[0] - moments[1], moments[0] - moments[2]]) / reach
    bound = np.array([moments[0], 0.0, 0.0]) / reach
    if mutation == "variance O(1)":
        measured[0], bound[0] = moments[0] / reach, change**2 / reach
    if mutation == "independent samples reach it":
        measured[0], bound[0] = moments[2] / reach, gap * change / reach
    return Evidence(measured, bound, 1e-11)


def _moved(model: Model, parameters: FloatArray) -> Model:
    """The model at other parameters: all of them, or the biases."""
    pairs = len(parameters) - model.size
    couplings = model.couplings.copy()
    if pairs:
        upper = np.triu_indices(model.size, 1)
        couplings[upper] = parameters[:pairs]
        couplings.T[upper] = parameters[:pairs]
    return Model(couplings, parameters[pairs:], model.temperature)
