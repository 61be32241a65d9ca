"""Family C, without any mean field: what EP under the spikes' own laws estimates, at any nudging.

Main results: thm:C5, thm:C5b.

Derivatives are complex steps (x + ih, h far below rounding) through plain sums over states, so they are exact to
rounding and share nothing with the package's enumerators, which they judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamics.enumeration import all_states, exact_gradient, exact_law
from dynamics.exact_nudging import CostLaw, cost_law, exact_equilibrium_gradient
from dynamics.transfer import leaky_stationary
from meanfield import bounds
from meanfield.equations import fifth_cumulant, fifth_term, fourth_cumulant, fourth_term, third_term, variance_term
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
# The imaginary part of a complex step, in units of the temperature: its square is below every rounding.
STEP = 1e-40
PAIR = ([[0.0, 1.3], [1.3, 0.0]], [-0.2, -0.9], 2.0)
TRIANGLE = ([[0.0, 1.5, -0.8], [1.5, 0.0, 1.1], [-0.8, 1.1, 0.0]], [-1.0, 0.5, -0.4], 0.8)
STRONG_PAIR = ([[0.0, 3.0], [3.0, 0.0]], [1.0, -2.0], 1.0)
FREE_UNIT = ([[0.0]], [0.0], 1.0)
SKEWED_UNIT = ([[0.0]], [math.log(2 + math.sqrt(3))], 1.0)
LOG_SHARE = Interval(math.log(1e-3), 0.0)

ComplexArray = NDArray[Any]
# (couplings (P, N, N), bias (P, N)) of P complex parameter settings -> (P,)
Observable = Callable[[ComplexArray, ComplexArray], ComplexArray]


def _gradient(model: Model, observable: Observable) -> Gradient:
    """∂f/∂θ by one complex step a parameter, J_ij and J_ji moved together; a diagonal entry is ∂f/∂J_ii."""
    rows, columns = np.tril_indices(model.size)
    pairs, count = len(rows), len(rows) + model.size
    couplings = np.repeat(model.couplings[None].astype(complex), count, axis=0)
    bias = np.repeat(model.bias[None].astype(complex), count, axis=0)
    shift = 1j * STEP * model.temperature
    couplings[np.arange(pairs), rows, columns] += shift
    couplings[np.arange(pairs), columns, rows] = couplings[np.arange(pairs), rows, columns]
    bias[np.arange(pairs, count), np.arange(model.size)] += shift
    slopes = observable(couplings, bias).imag / shift.imag
    matrix = np.zeros((model.size, model.size))
    matrix[rows, columns] = matrix[columns, rows] = slopes[:pairs]
    return Gradient(matrix, slopes[pairs:])


def _log_weights(couplings: ComplexArray, bias: ComplexArray, temperature: float, little: bool) -> ComplexArray:
    """(P, 2^N) exponents of Gibbs' or Peretto's weights."""
    states = all_states(bias.shape[-1])
    field = np.einsum("zi,pij->pzj", states, couplings)
    linear = bias @ states.T
    if not little:
        return (0.5 * np.einsum("pzj,zj->pz", field, states) + linear) / temperature
    scaled = (field + bias[:, None, :]) / temperature
    positive = scaled.real > 0
    softplus = np.where(positive, scaled, 0.0) + np.log1p(np.exp(np.where(positive, -scaled, scaled)))
    return linear / temperature + softplus.sum(axis=-1)


def _log_partition(logarithms: ComplexArray) -> ComplexArray:
    peak = logarithms.real.max(axis=-1, keepdims=True)
    return np.log(np.exp(logarithms - peak).sum(axis=-1)) + peak[..., 0]


def _free_energy(temperature: float, little: bool) -> Observable:
    """−T ln Z, Z the sum of Gibbs' or Peretto's weights."""
    return lambda couplings, bias: -temperature * _log_partition(_log_weights(couplings, bias, temperature, little))


def _mean_cost(slopes: FloatArray, temperature: float, little: bool) -> Observable:
    """⟨c·z⟩."""

    def mean(couplings: ComplexArray, bias: ComplexArray) -> ComplexArray:
        logarithms = _log_weights(couplings, bias, temperature, little)
        return np.exp(logarithms - _log_partition(logarithms)[:, None]) @ (all_states(len(slopes)) @ slopes)

    return mean


def _statistic_slope(model: Model, slopes: FloatArray, little: bool, same_time: bool = False) -> Gradient:
    """d/dβ at 0 of −⟨z_i z_j⟩, or of Little's lagged −½⟨z_i(t+1)z_j(t) + z_j(t+1)z_i(t)⟩, and of −⟨z_i⟩; diagonal kept."""
    nudged = model.bias - 1j * STEP * model.temperature * slopes
    logarithms = _log_weights(model.couplings[None], nudged[None], model.temperature, little)
    law = np.exp(logarithms - _log_partition(logarithms)[:, None])[0]
    states = all_states(model.size)
    following = states
    if little and not same_time:
        scaled = (states @ model.couplings + nudged) / model.temperature
        following = 0.5 * (1 + np.tanh(scaled / 2))
    one_way = (states * law[:, None]).T @ following
    scale = -1 / (STEP * model.temperature)
    return Gradient(0.5 * (one_way + one_way.T).imag * scale, (law @ states).imag * scale)


def _distance(first: Gradient, second: Gradient) -> FloatArray:
    """Entrywise distances, the diagonal of the couplings left out."""
    lower = np.tril_indices(len(first.bias), -1)
    return np.abs(np.concatenate([(first.couplings - second.couplings)[lower], first.bias - second.bias]))


def _combined(weights: tuple[float, float], terms: tuple[Gradient, Gradient]) -> Gradient:
    (first, second), (one, two) = weights, terms
    return Gradient(first * one.couplings + second * two.couplings, first * one.bias + second * two.bias)


def _slopes(model: Model, cost: QuadraticCost, cost_on: str, dynamics: str) -> FloatArray:
    slope, offset = cost.force(model.size, cost_on)
    return slope * exact_law(model, dynamics=dynamics).mean + offset


def _exponent_scale(model: Model) -> float:
    """How large exponents are in units of the temperature, and sums in units of their terms."""
    return model.size + float(np.abs(model.couplings).sum() + np.abs(model.bias).sum()) / model.temperature


def _gauss_legendre() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights on (0, 1); 10 nodes integrate functions analytic within π of it to 1e-21."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    return 0.5 * (nodes + 1), 0.5 * weights


@claim(
    label="C5",
    title="stochastic EP is exact",
    kind="identity",
    hypotheses="any J = Jᵀ, b, one T > 0; samples of exp(−E/T); linear cost (spikes, or rates frozen at the free phase)",
    norm="spectral",
    domain={**model_scalars(5, gain=Interval(0.02, 3.0)), "log_share": LOG_SHARE},
    falsifiers=(
        Falsifier("1/T dropped", {"model": PAIR, "seed": 1, "log_share": 0.0}),
        Falsifier("one of the two J_ij", {"model": PAIR, "seed": 1, "log_share": 0.0}),
        Falsifier("product of means", {"model": PAIR, "seed": 1, "log_share": 0.0}),
        Falsifier("cost on rates", {"model": PAIR, "seed": 1, "log_share": 0.0}),
        Falsifier("objective above ⟨C⟩ for β > 0", {"model": FREE_UNIT, "seed": 2, "log_share": -3.0}),
        Falsifier("κ₃/2 for κ₃/6", {"model": SKEWED_UNIT, "seed": 2, "log_share": -3.0}),
        Falsifier("central moment for κ₄", {"model": FREE_UNIT, "seed": 2, "log_share": -3.0}),
        Falsifier("gap × 0.9, one-sided", {"model": FREE_UNIT, "seed": 2, "log_share": -3.0}),
        Falsifier("gap × 0.9, symmetric", {"model": SKEWED_UNIT, "seed": 2, "log_share": -3.0}),
    ),
    instances=100,
)
def stochastic_ep_is_exact(model: Model, seed: int, log_share: float, mutation: str | None = None) -> Evidence:
    """d/dβ⟨∂E/∂θ⟩_β = ∂⟨C⟩/∂θ = −Cov(∂E/∂θ,C)/T; (⟨∂E/∂θ⟩_β − ⟨∂E/∂θ⟩_0)/β is the gradient of (A_β − A_0)/β = ⟨C⟩ −
    βκ₂/2T + β²κ₃/6T² − …, which is ≤ ⟨C⟩ for β > 0 and the mean of ⟨C⟩_b over [0, β]; symmetric: ⟨C⟩ + β²κ₃/6T² + …
    """
    cost, cost_on = random_cost(model.size, seed), ("spikes", "rates")[seed % 4 == 0]
    slopes = _slopes(model, cost, cost_on, "gibbs")
    spread = float(np.abs(slopes).sum())
    # everything in units of T and of the cost's range; β = ±share·T/R_C
    unit = spread / model.temperature if spread > 0 else 1.0
    nudging = math.exp(log_share) * model.temperature / (spread if spread > 0 else 1.0)
    misses = [*_gradient_misses(model, cost, cost_on, slopes, nudging * (-1) ** seed, mutation)]
    measured = [np.concatenate(misses) / unit]
    scale = 10 * EPS * _exponent_scale(model)
    rounding = [np.full(measured[0].size, scale * math.exp(-log_share))]
    bound = [np.zeros(measured[0].size)]
    if spread > 0:
        law = cost_law(model, cost, cost_on=cost_on)
        gaps = [
            bounds.objective_gap(model, cost, nudging=nudging, estimator=estimator) if cost_on == "spikes" else math.inf
            for estimator in ("one-sided", "symmetric")
        ]
        for values, limits in (_expansion(law, model, nudging, mutation), _order(law, model, nudging, gaps, mutation)):
            measured.append(np.array(values) / spread)
            bound.append(np.array(limits) / spread)
            rounding.append(np.full(len(values), scale))
    return Evidence(np.concatenate(measured), np.concatenate(bound), np.concatenate(rounding))


def _gradient_misses(
    model: Model, cost: QuadraticCost, cost_on: str, slopes: FloatArray, nudging: float, mutation: str | None
) -> list[FloatArray]:
    """Distances between EP, the covariance formula and complex steps: at β = 0, at finite β, along the path."""
    temperature = model.temperature
    derivative = _gradient(model, _mean_cost(slopes, temperature, little=False))
    covariance = exact_gradient(model, cost, cost_on=cost_on)
    if mutation == "1/T dropped":
        covariance = Gradient(covariance.couplings * temperature, covariance.bias * temperature)
    slope = _statistic_slope(model, slopes, little=False)
    if mutation == "one of the two J_ij":
        slope = Gradient(0.5 * slope.couplings, slope.bias)
    if mutation == "product of means":
        mean = exact_law(model).mean
        slope = Gradient(np.outer(slope.bias, mean) + np.outer(mean, slope.bias), slope.bias)
    misses = [_distance(covariance, derivative), _distance(slope, derivative)]

    free_energy = _free_energy(temperature, little=False)
    raised, free, lowered = (
        _gradient(model.with_bias(model.bias - strength * slopes), free_energy) for strength in (nudging, 0.0, -nudging)
    )
    for estimator, other, width in (("one-sided", free, nudging), ("symmetric", lowered, 2 * nudging)):
        objective = _combined((1 / width, -1 / width), (raised, other))
        wrong = "spikes" if cost_on == "rates" else "rates"
        read = wrong if mutation == "cost on rates" else cost_on
        estimate = exact_equilibrium_gradient(model, cost, nudging=nudging, estimator=estimator, cost_on=read)
        misses.append(_distance(estimate, objective))
    path = Gradient(np.zeros_like(model.couplings), np.zeros_like(model.bias))
    for node, weight in zip(*_gauss_legendre(), strict=True):
        at = model.with_bias(model.bias - node * nudging * slopes)
        path = _combined((1.0, weight), (path, _gradient(at, _mean_cost(slopes, temperature, little=False))))
    estimate = exact_equilibrium_gradient(model, cost, nudging=nudging, estimator="one-sided", cost_on=cost_on)
    return [*misses, _distance(estimate, path)]


def _objective(law: CostLaw, strength: float) -> float:
    """(A_β − A_0)/β = −(T/β) ln⟨e^{−βC/T}⟩ with strength = β/T, accurate for small β."""
    masses = np.exp(law.log_masses)
    mean = float(masses @ law.values)
    return mean - math.log1p(float(masses @ np.expm1(-strength * (law.values - mean)))) / strength


def _expansion(law: CostLaw, model: Model, nudging: float, mutation: str | None) -> tuple[list[float], list[float]]:
    """Distances of both objectives from their first five cumulants, and what Cauchy's estimate leaves for the rest."""
    masses = np.exp(law.log_masses)
    mean = float(masses @ law.values)
    moments = [float(masses @ (law.values - mean) ** k) for k in range(6)]
    fourth = moments[4] if mutation == "central moment for κ₄" else fourth_cumulant(moments[2], moments[4])
    fifth = fifth_cumulant(moments[2], moments[3], moments[5])
    spread = float(np.ptp(law.values))
    ratio = 3 * nudging * spread / (2 * math.pi * model.temperature)
    values = []
    for strength in (nudging, -nudging):
        setting = {"nudging": strength, "temperature": model.temperature}
        third = third_term(moments[3], **setting) * (3 if mutation == "κ₃/2 for κ₃/6" else 1)
        terms = (
            variance_term(moments[2], **setting) + third + fourth_term(fourth, **setting) + fifth_term(fifth, **setting)
        )
        values.append(abs(_objective(law, strength / model.temperature) - mean - terms))
    symmetric = 0.5 * (_objective(law, nudging / model.temperature) + _objective(law, -nudging / model.temperature))
    odd = third_term(moments[3], nudging, model.temperature) + fifth_term(fifth, nudging, model.temperature)
    values.append(abs(symmetric - mean - odd))
    rest = [spread * ratio**5 / (6 * (1 - ratio))] * 2 + [spread * ratio**6 / (7 * (1 - ratio**2))]
    return values, rest


def _order(
    law: CostLaw, model: Model, nudging: float, gaps: list[float], mutation: str | None
) -> tuple[list[float], list[float]]:
    """⟨C⟩_β ≤ L_β ≤ ⟨C⟩ ≤ L_{−β} ≤ ⟨C⟩_{−β}, and how far the objectives can be from ⟨C⟩."""
    strength, masses = nudging / model.temperature, np.exp(law.log_masses)
    tilted = []
    for sign in (1, -1):
        weights = masses * np.exp(-sign * strength * (law.values - law.values.min()))
        tilted.append(float(weights @ law.values / weights.sum()))
    mean = float(masses @ law.values)
    raised, lowered = _objective(law, strength), _objective(law, -strength)
    chain = [tilted[0], raised, mean, lowered, tilted[1]]
    if mutation == "objective above ⟨C⟩ for β > 0":
        chain = [tilted[1], lowered, mean, raised, tilted[0]]
    one_sided = gaps[0] * (0.9 if mutation == "gap × 0.9, one-sided" else 1.0)
    symmetric = gaps[1] * (0.9 if mutation == "gap × 0.9, symmetric" else 1.0)
    values = [*chain[:-1], mean - raised, lowered - mean, abs(0.5 * (raised + lowered) - mean)]
    return values, [*chain[1:], one_sided, one_sided, symmetric]


@claim(
    label="C5b",
    title="Little's EP is exact for Little's loss",
    kind="identity",
    hypotheses="any J = Jᵀ (self-couplings allowed), b, T > 0; all units at once, leak ε = 1; linear cost; lagged products",
    norm="spectral",
    domain={**model_scalars(5, gain=Interval(0.02, 3.0)), "log_share": LOG_SHARE},
    falsifiers=(
        Falsifier("same-time product", {"model": TRIANGLE, "seed": 1, "log_share": 0.0}),
        Falsifier("Gibbs' gradient", {"model": TRIANGLE, "seed": 1, "log_share": 0.0}),
        Falsifier("sign", {"model": TRIANGLE, "seed": 1, "log_share": 0.0}),
        Falsifier("factor 2", {"model": TRIANGLE, "seed": 1, "log_share": 0.0}),
        Falsifier("a self-coupling like a pair", {"model": TRIANGLE, "seed": 1, "log_share": 0.0}),
        Falsifier("nudged at one of the two times", {"model": TRIANGLE, "seed": 1, "log_share": 0.0}),
        Falsifier("leaky traces", {"model": STRONG_PAIR, "seed": 1, "log_share": 0.0}, drops="ε = 1"),
    ),
    instances=100,
)
def littles_ep_is_exact(model: Model, seed: int, log_share: float, mutation: str | None = None) -> Evidence:
    """Under Little's law nudged by b → b − βc: d/dβ of −½⟨z_i(t+1)z_j(t) + z_j(t+1)z_i(t)⟩ is ∂⟨C⟩/∂J_ij of Little's own
    ⟨C⟩, and at finite β the gradient of (A_β − A_0)/2β, A = −T ln Σe^{bᵀz/T}Π(1 + e^{h_i/T}); self-couplings ½⟨z_i(t+1)z_i(t)⟩.
    """
    cost, cost_on = random_cost(model.size, seed), ("spikes", "rates")[seed % 4 == 0]
    slopes, temperature = _slopes(model, cost, cost_on, "little"), model.temperature
    spread = float(np.abs(slopes).sum())
    unit = spread / temperature if spread > 0 else 1.0
    nudging = math.exp(log_share) * temperature / (spread if spread > 0 else 1.0) * (-1) ** seed
    if mutation == "leaky traces":
        return Evidence(_missing_reciprocity(model, leak=0.5), 0.0, 1e-8)

    derivative = _gradient(model, _mean_cost(slopes, temperature, little=True))
    statistic = _statistic_slope(model, slopes, little=True, same_time=mutation == "same-time product")
    if mutation in ("sign", "factor 2"):
        factor = -1.0 if mutation == "sign" else 2.0
        statistic = Gradient(factor * statistic.couplings, statistic.bias)
    gibbs = mutation == "Gibbs' gradient"
    stated = exact_gradient(model, cost, cost_on=cost_on, dynamics="gibbs" if gibbs else "little")
    misses = [_distance(statistic, derivative), _distance(stated, derivative)]
    # a self-coupling is one parameter, not two: half of the pair's statistic
    half = 1.0 if mutation == "a self-coupling like a pair" else 0.5
    misses.append(np.abs(half * np.diagonal(statistic.couplings) - np.diagonal(derivative.couplings)))

    free_energy, free = _free_energy(temperature, little=True), 2 * nudging
    raised, resting, lowered = (
        _gradient(model.with_bias(model.bias - strength * slopes), free_energy) for strength in (nudging, 0.0, -nudging)
    )
    if mutation == "nudged at one of the two times":
        free = nudging
    for estimator, other, width in (("one-sided", resting, free), ("symmetric", lowered, 2 * free)):
        objective = _combined((1 / width, -1 / width), (raised, other))
        estimate = exact_equilibrium_gradient(
            model, cost, nudging=nudging, estimator=estimator, dynamics="little", cost_on=cost_on
        )
        misses.append(_distance(estimate, objective))
    return Evidence(np.concatenate(misses) / unit, 0.0, 10 * EPS * _exponent_scale(model) * math.exp(-log_share))


def _missing_reciprocity(model: Model, leak: float) -> float:
    """T|∂E s_0/∂b_1 − ∂E s_1/∂b_0| of a leaky pair: 0 is necessary for any EP identity with the bias statistic −E s."""
    step = 1e-4 * model.temperature

    def response(moved: int, read: int) -> float:
        shift = step * (np.arange(2) == moved)
        up, down = (leaky_stationary(model.with_bias(model.bias + sign * shift), leak=leak).mean for sign in (1, -1))
        return float(up[read] - down[read]) / (2 * step) * model.temperature

    return abs(response(1, 0) - response(0, 1))
