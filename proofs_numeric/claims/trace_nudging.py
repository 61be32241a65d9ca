"""Families C, variance: the nudging with the least mean square error for leaky traces, and its scale ε/β.

Main results: thm:C9b.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import scipy.linalg

from dynamics.pair_transfer import stationary_trace_moments
from meanfield.equations import activity_variance, firing_curvature
from meanfield.learning_rule import equilibrium_gradient, leading_bias
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.response import implicit_gradient
from meanfield.solve import fixed_point
from meanfield.tradeoff import Tradeoff
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars
from proofs_numeric.verdicts import Bracket, exponent_interval, limit_miss

# Nudgings β/T. Fast path: they start at one of STARTS, and the leak, at most LARGEST_LEAK, falls like their cube, faster than β²;
# slow path: ε = β/T does not vanish before β.
STARTS, LARGEST_LEAK, HALVED = (0.4, 0.2), 0.064, 0.5 ** np.arange(5)
SLOW = 0.1 * HALVED
# The fast path starts where |e|ε is at most SHARE of |a|β², the mean-field bias at 2β within a factor 1 ± NEAR of aβ², and
# ε(β/T)³ at least LEAST: below, double precision ends before the limit, and the optimum is not measured.
SHARE, NEAR, LEAST = 0.25, 0.5, 2e-4
NODES = 7
EPS, TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)
# x⁴ + 4/x is the same at x₁ and 2x₁, so the least error lies at (1/x₁)β when β and 2β have the same.
EQUAL = (2 / 15) ** 0.2
# β/T in the derivative of the trace noise, extrapolated from h and h/2.
STEP = 1e-3
PAIR = ([[0.0, 1.5], [1.5, 0.0]], [0.4, -0.9], 1.0)
RIVALS = ([[0.0, -1.5], [-1.5, 0.0]], [0.2, 2.4], 1.0)


class _Measured(NamedTuple):
    """Exact mean (values, 3) and variance of an estimate for J₁₂, b₁, b₂ at each pair (ε, β)."""

    mean: FloatArray
    variance: FloatArray


class _Stated(NamedTuple):
    """v (3,), and for J₁₂: a of the bias aβ², e of the bias eε."""

    variance: FloatArray
    curvature: float
    leaked: float


@claim(
    label="C9b",
    title="MSE-optimal nudging of traces",
    kind="asymptotic",
    hypotheses="κ_∞ < 1, symmetric coupled stationary phases, third derivative of the mean-field statistic not zero",
    norm="row",
    means="numeric",
    domain={
        **model_scalars(2, smallest=2, gain=Interval(0.02, 0.5)),
        "field": Interval(1, 2, integer=True),
        "rates": Interval(0, 1, integer=True),
    },
    falsifiers=(
        Falsifier("ε²/β in place of ε/β", {"model": PAIR, "seed": 0, "rates": 1}),
        Falsifier("ε/β² in place of ε/β", {"model": PAIR, "seed": 0, "rates": 1}),
        Falsifier("Σ¹ without ½", {"model": PAIR, "seed": 0, "rates": 1}),
        Falsifier("B = I in Σ¹", {"model": PAIR, "seed": 0, "rates": 1}),
        Falsifier("Vf/T in place of d", {"model": PAIR, "seed": 0, "rates": 0}),
        Falsifier("signed d", {"model": RIVALS, "seed": 0, "rates": 0}),
        Falsifier("exponents + ½", {"model": PAIR, "seed": 0, "rates": 0}),
        Falsifier("exponents − ½", {"model": PAIR, "seed": 0, "rates": 0}),
        Falsifier("S in place of S/ε", {"model": PAIR, "seed": 0, "rates": 0}),
        Falsifier("third derivative ½ in a", {"model": PAIR, "seed": 0, "rates": 0}),
        Falsifier("no mean shift in e", {"model": PAIR, "seed": 0, "rates": 0}),
        Falsifier("no covariance in e", {"model": PAIR, "seed": 0, "rates": 1}),
    ),
    instances=4,
)
def optimal_nudging_of_traces(model: Model, seed: int, rates: int, mutation: str | None = None) -> Evidence:
    """A replica's variance is (ε/β)wᵀΣ¹w, BΣ¹ + Σ¹Bᵀ = ½diag|∂m*/∂β|, where its bias is aβ² + eε; hence with R = S/ε β* ~
    (v/4a²R)^(1/5), MSE ~ 5a²β*⁴ ∝ R^(−4/5): the leak does not matter at equal relaxations.
    """
    cost, cost_on = _ordering_cost(model, seed), "rates" if rates else "spikes"
    stated = _stated(model, cost, cost_on, mutation)
    heat = model.temperature
    key = (model.couplings[0, 1], *model.bias, heat, tuple(cost.outputs), tuple(cost.target), cost_on)
    # the path is that of the true a and e, whatever the mutation
    true = stated if mutation is None else _stated(model, cost, cost_on, None)
    leaks, fast_nudgings, reached = _fast_path(model, cost, cost_on, true)
    fast = _measured(*key, tuple(leaks), tuple(fast_nudgings * heat))
    slow = _measured(*key, tuple(SLOW), tuple(SLOW * heat))
    misses = []
    powers = {"ε²/β in place of ε/β": (5.0, 1.0), "ε/β² in place of ε/β": (1.0, -1.0)}.get(mutation or "", (2.0, 0.0))
    for epsilon, nudgings, moments, power in ((leaks, fast_nudgings, fast, powers[0]), (SLOW, SLOW, slow, powers[1])):
        misses.append(exponent_interval(nudgings, moments.variance[:, 0]).distance(power))
        for part, wanted in enumerate(stated.variance):
            ratios = moments.variance[:, part] * nudgings * heat / epsilon
            # the law's rounding EPS/ε times a squared window of at most 12ε, divided by 4εβ/T
            misses.append(
                _miss(ratios, float(wanted), float(stated.variance[0]), 3 * EPS / (epsilon[-1] * nudgings[-1]))
            )
    target = implicit_gradient(model, cost, cost_on).couplings[0, 1]
    # in units of the temperature every derivative of the gradient has its scale
    scale = float(abs(target))
    # solving for the law multiplies rounding by 1/ε, the estimate by T/β, its distance from the gradient by (T/β)²
    rounding = scale * EPS / float(leaks[-1] * fast_nudgings[-1] ** 3)
    misses.append(_miss((fast.mean[:, 0] - target) / fast_nudgings**2, stated.curvature * heat**2, scale, rounding))
    misses.append(_miss((slow.mean[:, 0] - target) / SLOW, stated.leaked, scale))
    if reached:
        twice = _measured(*key, tuple(leaks), tuple(2 * fast_nudgings * heat))
        # powers of at most 4/5 of the squared bias, whose relative rounding is twice that of aβ²
        relative = 2 * rounding / (abs(true.curvature) * heat**2)
        misses += _optimum(leaks, fast_nudgings * heat, (fast, twice), float(target), stated, relative, mutation)
    return Evidence(np.array(misses), 0.0)


def _fast_path(model: Model, cost: QuadraticCost, cost_on: str, stated: _Stated) -> tuple[FloatArray, FloatArray, bool]:
    """(ε, β/T, whether aβ² leads the bias from the start) of the path on which ε falls like β³."""
    size = abs(stated.curvature) * model.temperature**2
    target = implicit_gradient(model, cost, cost_on).couplings[0, 1]
    for start in STARTS:
        nudging = 2 * start * model.temperature
        bias = equilibrium_gradient(model, cost, nudging=nudging, cost_on=cost_on).couplings[0, 1] - target
        leak = min(LARGEST_LEAK, SHARE * size * start**2 / (abs(stated.leaked) + TINY))
        led = abs(bias - stated.curvature * nudging**2) <= NEAR * abs(stated.curvature) * nudging**2
        if led and leak * start**3 >= LEAST:
            return leak * HALVED**3, start * HALVED, True
    return LARGEST_LEAK * HALVED**3, STARTS[0] * HALVED, False


def _ordering_cost(model: Model, seed: int) -> QuadraticCost:
    """One output, or two that do not pull against the coupling; targets 0 and 1."""
    generator = np.random.default_rng([seed, 91])
    outputs, side = generator.permutation(2)[: generator.integers(1, 3)], float(generator.integers(0, 2))
    other = side if model.couplings[0, 1] >= 0 else 1 - side
    return QuadraticCost(outputs, np.array([side, other])[: outputs.size])


@functools.lru_cache(maxsize=32)
def _measured(
    coupling: float, first: float, second: float, temperature: float, outputs: tuple[int, ...], target: tuple[float, ...],
    cost_on: str, leaks: tuple[float, ...], nudgings: tuple[float, ...],
) -> _Measured:  # fmt: skip
    model = Model([[0.0, coupling], [coupling, 0.0]], [first, second], temperature)
    cost = QuadraticCost(list(outputs), np.array(target))
    means, variances = [], []
    for leak, nudging in zip(leaks, nudgings, strict=True):
        moments = stationary_trace_moments(model, cost, nudging=nudging, leak=leak, cost_on=cost_on, nodes=NODES)
        means.append([moments.mean.couplings[0, 1], *moments.mean.bias])
        variances.append([moments.variance.couplings[0, 1], *moments.variance.bias])
    return _Measured(np.array(means), np.array(variances))


def _stated(model: Model, cost: QuadraticCost, cost_on: str, mutation: str | None) -> _Stated:
    """v = wᵀΣ¹w of J₁₂, b₁ and b₂, a and e of J₁₂."""
    mean = fixed_point(model, method="newton").value
    variance, heat = activity_variance(mean), model.temperature
    slope, offset = cost.force(2, cost_on)
    push = -variance * (slope * mean + offset) / heat
    system = np.eye(2) - variance[:, None] * model.couplings / heat
    response = push if mutation == "Vf/T in place of d" else np.linalg.solve(system, push)
    moved = response if mutation == "signed d" else np.abs(response)
    half = 1.0 if mutation == "Σ¹ without ½" else 0.5
    noise = scipy.linalg.solve_continuous_lyapunov(
        np.eye(2) if mutation == "B = I in Σ¹" else system, half * np.diag(moved)
    )
    weights = np.array([mean[::-1], [1.0, 0.0], [0.0, 1.0]])
    curvature = leading_bias(model, cost, nudging=1.0, cost_on=cost_on).couplings[0, 1]
    if mutation == "third derivative ½ in a":
        curvature *= 3
    slopes = [
        (_leaked(model, cost, cost_on, step, mutation) - _leaked(model, cost, cost_on, -step, mutation)) / (2 * step)
        for step in (STEP * heat, 0.5 * STEP * heat)
    ]
    return _Stated(
        np.einsum("ki,ij,kj->k", weights, noise, weights), float(curvature), float(4 * slopes[1] - slopes[0]) / 3
    )


def _leaked(model: Model, cost: QuadraticCost, cost_on: str, nudging: float, mutation: str | None) -> float:
    """−(Σ₁₂ + m₁δ₂ + m₂δ₁)/ε at the nudged fixed point, as ε → 0."""
    mean = fixed_point(model, method="newton", tolerance=1e-14, cost=cost, nudging=nudging, cost_on=cost_on).value
    effective = model.couplings - nudging * np.diag(cost.force(2, cost_on)[0])
    variance = activity_variance(mean)
    system = np.eye(2) - variance[:, None] * effective / model.temperature
    spread = scipy.linalg.solve_continuous_lyapunov(system, np.diag(variance))
    bend = 0.5 * firing_curvature(mean, model.temperature) * np.diag(effective @ spread @ effective)
    shift = np.linalg.solve(system, bend)
    covariance = 0.0 if mutation == "no covariance in e" else spread[0, 1]
    return float(-covariance - (0.0 if mutation == "no mean shift in e" else mean @ shift[::-1]))


def _optimum(
    leaks: FloatArray,
    nudgings: FloatArray,
    pair: tuple[_Measured, _Measured],
    target: float,
    stated: _Stated,
    rounding: float,
    mutation: str | None,
) -> list[float]:
    """Misses of both exponents in R = S/ε and both prefactors, S being where β and 2β have the same error."""
    squares = [(moments.mean[:, 0] - target) ** 2 for moments in pair]
    samples = (pair[0].variance[:, 0] - pair[1].variance[:, 0]) / (squares[1] - squares[0])
    errors = squares[0] + pair[0].variance[:, 0] / samples
    relaxations = samples if mutation == "S in place of S/ε" else samples / leaks
    slope, power = exponent_interval(nudgings, relaxations), exponent_interval(nudgings, errors)
    shift = {"exponents + ½": 0.5, "exponents − ½": -0.5}.get(mutation or "", 0.0)
    tradeoff = Tradeoff(abs(stated.curvature), 2, float(stated.variance[0]), 1)
    level = (EQUAL**4 + 4 / EQUAL) / 5
    return [
        Bracket(1 / slope.high, 1 / slope.low).distance(-1 / 5 + shift),
        Bracket(power.high / slope.high, power.low / slope.low).distance(-4 / 5 + shift),
        _miss(tradeoff.best_nudging(relaxations) / nudgings, 1 / EQUAL, 1.0, rounding),
        _miss(errors / tradeoff.least_error(relaxations), level, 1.0, rounding),
    ]


def _miss(values: FloatArray, limit: float, size: float, rounding: float = 0.0) -> float:
    """limit_miss relative to |limit| + size, so that a limit of 0 has a scale too."""
    shift = abs(size) + abs(limit) - limit
    return limit_miss(values + shift, limit + shift, rounding=rounding)
