"""Symmetric nudging against one-sided EP: when an estimate turns against the gradient, and how far it can lean.

Laborieux et al. (Front. Neurosci. 15:633674, 2021) put (φ(s⁺) − φ(s⁻))/2β for (φ(s⁺) − φ(m))/β, φ = s_i and s_is_j, and blame
the bias O(β) of the latter, O(β²) of the former (thm:C2, thm:C3), for EP's failure on harder tasks. De (arXiv:2604.23806)
reports one-sided estimates that point against the gradient when relaxation is short. Decided here on this package's networks,
    s_{k+1} = (1−ε)s_k + ε σ((Js_k + b − βc(s_k))/T),  c(s) = ∇C = Γs + o,  e(β) = (m − s_t)/β,  symmetric ½(e(β) + e(−β)).
Cost in phases of t steps after the free one: one-sided 1, symmetric 2, one-sided against the continued free phase 2.
A small restatement on small networks; no benchmark of either paper is reproduced.

Main results: thm:G1, thm:G1b, thm:G1c, thm:G1d.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dynamics.backpropagation import backpropagation_through_time
from dynamics.phases import relax
from meanfield.equations import SUP_CURVATURE, SUP_SLOPE, SUP_THIRD, firing_probability
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.solve import ConvergenceError, fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars

EPS = float(np.finfo(float).eps)
COSTS_ON = ("rates", "spikes")
# m − y has no digits left where a unit with |h| ≫ T has reached its target
UNSATURATED = {"field": Interval(0, 3, integer=True)}
NEWTON_STEPS = 100
FREE_UNIT = ([[0.0]], [0.0], 1.0)
PEAKED_UNIT = ([[0.0]], [math.log(2 + math.sqrt(3))], 1.0)
ATTRACTING_PAIR = ([[0.0, 3.2], [3.2, 0.0]], [-1.6, -1.6], 1.0)
LOPSIDED_PAIR = ([[0.0, 3.2], [3.2, 0.0]], [-1.0, -3.0], 1.0)
BENT_PAIR = ([[0.0, 1.5], [1.5, 0.0]], [0.3, -0.9], 1.0)
# m = 0.88, y = 0.72
TURNING = {"model": ([[0.0]], [2.0], 1.0), "seed": 3, "steps": 2}
OVERSHOOT = {"seed": 0, "log_nudging": math.log(8.0), "log_reach": math.log(1e-2)}
GENTLE = {"seed": 5, "log_nudging": math.log(1e-2), "log_reach": 0.0}
LEANING = {"seed": 0, "log_nudging": math.log(8.0), "log_reach": 0.0}
HASTY = {"seed": 1, "log_nudging": math.log(1e-2), "leak": 1.0, "free": 0, "steps": 1}


def logistic_change(field: FloatArray, change: FloatArray) -> FloatArray:
    """σ(x + δ) − σ(x) = (1 − e^{−δ})σ(x + δ)σ(−x), to full relative accuracy however small δ is; x = field, δ = change."""
    low, high = np.minimum(field, field + change), np.maximum(field, field + change)
    return np.sign(change) * -np.expm1(-np.abs(change)) * firing_probability(high, 1.0) * firing_probability(-low, 1.0)


def logistic_slope(field: FloatArray) -> FloatArray:
    """σ'(x) = σ(x)σ(−x), to full relative accuracy where the unit is saturated and m(1 − m) has lost its digits."""
    return firing_probability(field, 1.0) * firing_probability(-field, 1.0)


def at_rest(model: Model) -> FloatArray:
    """A fixed point m, (N,), to the last digits; the one that Newton reaches from ½."""
    start = np.full(model.size, 0.5)
    return fixed_point(model, start=start, method="newton", tolerance=1e-15, throw=False).value


def displacement(
    model: Model, cost: QuadraticCost, *, nudging: float, steps: int, leak: float, cost_on: str = "rates"
) -> FloatArray:
    """s_t − m, (N,), after t = steps nudged steps from rest, without cancellation; −1/nudging times it is EP's estimate."""
    mean = at_rest(model)
    slope, offset = cost.force(model.size, cost_on)
    field, force = model.local_field(mean) / model.temperature, slope * mean + offset
    moved = np.zeros(model.size)
    for _ in range(steps):
        push = moved @ model.couplings - nudging * (force + slope * moved)
        moved = (1 - leak) * moved + leak * logistic_change(field, push / model.temperature)
    return moved


def descending_leak(model: Model, cost: QuadraticCost, *, nudging: float, cost_on: str = "rates") -> float:
    """min(1, 8T/(4T + λ⁻)), λ⁻ = max(0, −λ_min(J − βΓ)): up to this leak the nudged relaxation descends F + βC (thm:A4)."""
    slope, _ = cost.force(model.size, cost_on)
    lowest = float(np.linalg.eigvalsh(model.couplings - nudging * np.diag(slope))[0])
    return min(1.0, 8 * model.temperature / (4 * model.temperature + max(0.0, -lowest)))


def turning_nudging(mean: FloatArray, target: FloatArray, temperature: float) -> FloatArray:
    """β* = T(ℓ(m) − ℓ(y))/(m − y), ℓ the logit, ∞ for y ∈ {0, 1}: beyond it an even number of parallel steps turns e (thm:G1).

    *Holds for* outputs that are not coupled to one another after 2 steps, for lone neurons after any even number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return temperature * (_logit(mean) - _logit(target)) / (mean - target)


def symmetric_turning_nudging(mean: FloatArray, target: FloatArray, temperature: float) -> FloatArray:
    """β_s = T arcosh(sinh h/(2y − 1) − cosh h)/|m − y|, h = ℓ(m), for y strictly between ½ and m, else ∞; two steps (thm:G1)."""
    between = (mean - target) * (target - 0.5) > 0
    field = _logit(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = temperature * np.arccosh(np.sinh(field) / (2 * target - 1) - np.cosh(field)) / np.abs(mean - target)
    return np.where(between, found, math.inf)


def _logit(rate: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(rate) - np.log1p(-np.asarray(rate))


def relaxed_shift(
    model: Model, cost: QuadraticCost, *, nudging: float, cost_on: str = "rates"
) -> tuple[FloatArray, FloatArray]:
    """(m_β − m, r), both (N,): the shift of the fixed point, and m(1 − m) times the secant slopes of ℓ between m and m_β.

    Newton in the fields, backtracking on the residual. *Holds when* λ_max(J − βΓ) < 4T. Raises ConvergenceError.
    """
    mean = at_rest(model)
    slope, offset = cost.force(model.size, cost_on)
    field = model.local_field(mean) / model.temperature
    matrix = (model.couplings - nudging * np.diag(slope)) / model.temperature
    constant = -nudging * (slope * mean + offset) / model.temperature
    change = constant

    def miss(change: FloatArray) -> FloatArray:
        return change - matrix @ logistic_change(field, change) - constant

    for _ in range(NEWTON_STEPS):
        now = miss(change)
        if np.abs(now).max() <= 4 * EPS * (1 + np.abs(change).max()):
            break
        steepness = logistic_slope(field + change)
        newton, step = np.linalg.solve(np.eye(model.size) - matrix * steepness, now), 1.0
        while step > 1e-6 and np.abs(miss(change - step * newton)).max() > (1 - 0.25 * step) * np.abs(now).max():
            step /= 2
        if step <= 1e-6:
            break
        change = change - step * newton
    if np.abs(miss(change)).max() > 1e-10 * (1 + np.abs(change).max()):
        raise ConvergenceError(f"nudged fixed point not reached at nudging {nudging:.3g}: use a smaller one")
    moved = logistic_change(field, change)
    variance = logistic_slope(field)
    still = moved == 0
    return moved, np.where(still, 1.0, variance * change / np.where(still, 1.0, moved))


def largest_sine(stiffness: FloatArray, response: FloatArray) -> float:
    """(κ − 1)/(κ + 1), κ the condition number of `response` relative to stiffness⁻¹: no angle of Rc and M⁻¹c in M is larger."""
    values = scipy.linalg.eigh(response, np.linalg.inv(stiffness), eigvals_only=True)
    return float((values[-1] - values[0]) / (values[-1] + values[0]))


def sine(stiffness: FloatArray, left: FloatArray, right: FloatArray) -> float:
    """The sine of the angle of two vectors in the metric M = stiffness, by what is left of one without the other."""
    root = np.linalg.cholesky(stiffness).T
    one, other = root @ left, root @ right
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    return float(np.linalg.norm(one - (one @ other) * other))


def _uncoupled_outputs(model: Model, generator: np.random.Generator) -> NDArray[np.int64]:
    """Units of which no two are coupled, at least one, in random order."""
    chosen: list[int] = []
    for unit in generator.permutation(model.size).tolist():
        if not model.couplings[unit, chosen].any():
            chosen.append(unit)
    return np.array(chosen, dtype=np.int64)


@claim(
    label="G1",
    title="the nudging that turns an estimate",
    kind="identity",
    hypotheses="outputs not coupled to one another, start at rest, parallel updates (leak 1), 2 steps; lone neurons: any number",
    norm="spectral",
    domain={
        **model_scalars(6, gain=Interval(0.02, 3.0)),
        **UNSATURATED,
        "log_share": Interval(-2.0, 2.0),
        "steps": Interval(1, 9, integer=True),
    },
    falsifiers=(
        Falsifier("the tangent at m for the secant", {**TURNING, "log_share": 0.02}),
        Falsifier("4T for every target", {**TURNING, "log_share": -0.02}),
        Falsifier("an odd number of steps turns it too", {**TURNING, "log_share": 1.0, "steps": 3}),
        Falsifier("the symmetric estimate never turns", {**TURNING, "log_share": 1.0}),
        Falsifier("both turn together", {**TURNING, "log_share": 0.1}),
    ),
)
def estimates_turn(model: Model, seed: int, log_share: float, steps: int, mutation: str | None = None) -> Evidence:
    """After an even number of parallel steps e_o has the sign of −c_o iff β > T(ℓ(m_o) − ℓ(y_o))/(m_o − y_o), after an odd number
    never; the symmetric estimate only for y between ½ and m, two steps: iff cosh(β(m−y)/T) > sinh h/(2y−1) − cosh h, h = ℓ(m).
    """
    generator = np.random.default_rng([seed, 70])
    outputs = _uncoupled_outputs(model, generator)
    cost = QuadraticCost(outputs, generator.uniform(size=outputs.size))
    if model.couplings.any():
        steps = 1 + steps % 2
    mean, temperature = at_rest(model), model.temperature
    rates, target = mean[outputs], cost.target
    turning = turning_nudging(rates, target, temperature)
    second = symmetric_turning_nudging(rates, target, temperature)
    nudging = float(turning[0]) * math.exp(log_share)
    stated = {
        "the tangent at m for the secant": temperature / (rates * (1 - rates)),
        "4T for every target": np.full(outputs.size, 4 * temperature),
    }.get(mutation or "", turning)
    paths = [relax(model, steps=steps, start=mean, cost=cost, nudging=sign * nudging)[-1][outputs] for sign in (1, -1)]
    side = np.sign(rates - target)
    shifts = [side * (rates - paths[0]), side * (paths[1] - paths[0])]
    even = steps % 2 == 0 or mutation == "an odd number of steps turns it too"
    told = [even & (nudging > stated), even & (nudging > second)]
    if mutation == "both turn together":
        told[1] = told[0]
    if mutation == "the symmetric estimate never turns":
        told[1] = np.zeros_like(told[1])
    # within a thousandth of a threshold, or where nothing moved, signs are rounding; beyond 2 steps β_s is not claimed
    with np.errstate(divide="ignore"):
        near = [np.abs(np.log(nudging / limit)) < 1e-3 for limit in (turning, second)]
    near[1] = near[1] | (np.isfinite(second) & (steps > 2))
    wrong = [
        ((shift < 0) != turned) & ~close & (np.abs(shift) > 1e-9)
        for shift, turned, close in zip(shifts, told, near, strict=True)
    ]
    return Evidence([float(one.sum()) for one in wrong], 0.0)


def _near_cost(model: Model, mean: FloatArray, seed: int, log_reach: float) -> QuadraticCost:
    """Random outputs with targets at most exp(log_reach) from the rates, as in a network that has learnt."""
    generator = np.random.default_rng([seed, 71])
    outputs = generator.permutation(model.size)[: generator.integers(1, model.size + 1)]
    target = mean[outputs] + math.exp(log_reach) * (generator.uniform(size=outputs.size) - mean[outputs])
    return QuadraticCost(outputs, np.clip(target, 0.0, 1.0))


@claim(
    label="G1b",
    title="no number of steps is too few",
    kind="inequality",
    hypotheses="λ_max(J) < 4T, start at rest, β > 0, leak within the descent limit of F + βC; −β: also β < 4T − λ_max(J)",
    norm="curvature",
    domain={
        **model_scalars(6),
        "log_nudging": Interval(math.log(1e-2), math.log(1e2)),
        "log_reach": Interval(math.log(1e-3), 0.0),
        "leak_share": Interval(0.05, 1.0),
        "steps": Interval(1, 12, integer=True),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, **OVERSHOOT, "leak_share": 1.0, "steps": 1}),
        Falsifier("½ dropped", {"model": FREE_UNIT, **OVERSHOOT, "leak_share": 1.0, "steps": 1}),
        Falsifier("βΓ dropped from the leak's limit", {"model": FREE_UNIT, **OVERSHOOT, "leak_share": 1.0, "steps": 2}),
        Falsifier("4T + J", {"model": ATTRACTING_PAIR, **GENTLE, "leak_share": 1.0, "steps": 12}),
        Falsifier(
            "a leak above the limit",
            {"model": FREE_UNIT, **OVERSHOOT, "leak_share": 1.0, "steps": 2},
            drops="leak within the descent limit",
        ),
    ),
)
def estimates_keep_their_side(
    model: Model, seed: int, log_nudging: float, log_reach: float, leak_share: float, steps: int,
    mutation: str | None = None,
) -> Evidence:  # fmt: skip
    """c·e ≥ ½eᵀ(4T − J + βΓ)e ≥ 0 after any number of steps from rest, c = C'(m): in the metric of the linear response, where the
    gradient is χc, no estimate turns; the same for −β below 4T − λ_max(J), so for the symmetric estimate.
    """
    mean, temperature = at_rest(model), model.temperature
    cost = _near_cost(model, mean, seed, log_reach)
    strength = math.exp(log_nudging) * temperature
    measured, bound, rounding = [], [], []
    for cost_on in COSTS_ON:
        slope, offset = cost.force(model.size, cost_on)
        force = slope * mean + offset
        for sign in (1, -1):
            if sign < 0 and cost_on == "rates" and strength >= 0.99 * (4 * temperature - model.spectrum[-1]):
                continue
            nudging = sign * strength
            leak = leak_share * descending_leak(model, cost, nudging=nudging, cost_on=cost_on)
            if mutation == "a leak above the limit":
                leak *= 1.2
            if mutation == "βΓ dropped from the leak's limit":
                leak = leak_share * descending_leak(model, cost, nudging=0.0)
            moved = displacement(model, cost, nudging=nudging, steps=steps, leak=leak, cost_on=cost_on)
            estimate = -moved / nudging * temperature
            coupled = estimate @ model.couplings * (-1 if mutation == "4T + J" else 1)
            stiff = 4 * estimate + (nudging * slope * estimate - coupled) / temperature
            measured.append((1.0 if mutation == "½ dropped" else 0.5) * float(estimate @ stiff))
            bound.append(float(force @ estimate))
            scale = 4 + (np.abs(model.spectrum).max() + strength) / temperature
            rounding.append(1e2 * EPS * scale * steps * float(estimate @ estimate))
    return Evidence(measured, bound, rounding)


@claim(
    label="G1c",
    title="the largest angle of an estimate",
    kind="inequality",
    means="numeric",
    hypotheses="λ_max(J) < 4T, relaxed phases; one-sided any β > 0, symmetric β < 4T − λ_max(J)",
    norm="curvature",
    domain={
        **model_scalars(6),
        **UNSATURATED,
        "log_nudging": Interval(math.log(1e-2), math.log(1e2)),
        "log_reach": Interval(math.log(1e-3), 0.0),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": LOPSIDED_PAIR, **LEANING}),
        Falsifier("square root of the condition number", {"model": LOPSIDED_PAIR, **LEANING}),
        Falsifier("the tangents at m for the secants", {"model": LOPSIDED_PAIR, **LEANING}),
        Falsifier("the Euclidean angle", {"model": LOPSIDED_PAIR, **LEANING}),
    ),
)
def estimates_lean(
    model: Model, seed: int, log_nudging: float, log_reach: float, mutation: str | None = None
) -> Evidence:
    """Relaxed, e = (T diag(r) − J + βΓ)⁻¹c with secants r of ℓ between m and m_β, and in the metric M = TV⁻¹ − J of the response
    sin ∠(e, χc) ≤ (κ − 1)/(κ + 1), κ the condition number of that inverse, or of the mean of both signs', relative to χ = M⁻¹.
    """
    mean, temperature = at_rest(model), model.temperature
    cost = _near_cost(model, mean, seed, log_reach)
    field = model.local_field(mean) / temperature
    root = np.sqrt(logistic_slope(field))
    # scaled by √v: M becomes I − B, which stays finite for saturated units
    stiffness = np.eye(model.size) - root[:, None] * model.couplings * root / temperature
    measured, bound = [], []
    for cost_on in COSTS_ON:
        slope, offset = cost.force(model.size, cost_on)
        force, limit = root * (slope * mean + offset), 4 * temperature - float(model.spectrum[-1])
        strength = math.exp(log_nudging) * temperature
        inverses, estimates = [], []
        for nudging in (strength, -min(strength, 0.95 * limit)):
            moved, secants = relaxed_shift(model, cost, nudging=nudging, cost_on=cost_on)
            if mutation == "the tangents at m for the secants":
                secants = np.ones_like(secants)
            raised = stiffness - np.eye(model.size) + np.diag(secants + nudging / temperature * slope * root**2)
            inverses.append(np.linalg.inv(raised))
            estimates.append(-temperature / nudging * moved / root)
        gradient = np.linalg.solve(stiffness, force)
        if mutation == "the Euclidean angle":
            stiffness, gradient, estimates = np.eye(model.size), root * gradient, [root * one for one in estimates]
        for estimate, inverse in zip(
            (estimates[0], 0.5 * (estimates[0] + estimates[1])),
            (inverses[0], 0.5 * (inverses[0] + inverses[1])),
            strict=True,
        ):
            measured.append(sine(stiffness, estimate, gradient))
            bound.append(largest_sine(stiffness, inverse))
            if mutation == "square root of the condition number":
                bound[-1] = math.tanh(0.5 * math.atanh(bound[-1]))
    return Evidence(measured, bound, 1e-9, ceiling=1.0)


def off_rest_error(
    model: Model, cost: QuadraticCost, *, start: FloatArray, nudging: float, steps: int, leak: float, cost_on: str
) -> tuple[FloatArray, FloatArray]:
    """Bounds (N,) on T|estimate − (BPTT truncated to t steps at rest)| when both phases begin at `start`: (continued, symmetric).

    E_t + ½|β|W_t and E_t + β²Q_t/6 with the recursions of thm:G1d; any J, any number of steps.
    """
    mean, temperature = at_rest(model), model.temperature
    slope, offset = cost.force(model.size, cost_on)
    absolute, strength = np.abs(model.couplings) / temperature, abs(nudging) / temperature
    matrix, force = model.couplings / temperature, slope * mean + offset
    reach = absolute + strength * np.diag(slope)
    largest = np.maximum(np.abs(offset), np.abs(slope + offset))
    variance = mean * (1 - mean)
    away, tangent = np.abs(start - mean), np.zeros(model.size)
    miss = first = second = third = np.zeros(model.size)
    for _ in range(steps):
        push = matrix @ tangent - force
        drift = SUP_SLOPE * (absolute @ miss + slope * away) + SUP_CURVATURE * (absolute @ away) * np.abs(push)
        field = reach @ first + np.minimum(largest, np.abs(force) + slope * (away + strength * first))
        bend, twist = reach @ second + 2 * slope * first, reach @ third + 3 * slope * second
        third = (1 - leak) * third + leak * (
            SUP_THIRD * field**3 + 3 * SUP_CURVATURE * field * bend + SUP_SLOPE * twist
        )
        second = (1 - leak) * second + leak * (SUP_CURVATURE * field**2 + SUP_SLOPE * bend)
        first = (1 - leak) * first + leak * SUP_SLOPE * field
        miss = (1 - leak) * miss + leak * drift
        tangent = (1 - leak) * tangent + leak * variance * push
        away = (1 - leak) * away + leak * SUP_SLOPE * (absolute @ away)
    return miss + strength / 2 * second, miss + strength**2 / 6 * third


@claim(
    label="G1d",
    title="a free phase that is not at rest",
    kind="inequality",
    hypotheses="any J = Jᵀ, any start, any number of steps",
    norm="spectral",
    domain={
        **model_scalars(5, gain=Interval(0.02, 1.5)),
        "log_nudging": Interval(math.log(1e-3), math.log(1.0)),
        "leak": Interval(0.05, 1.0),
        "free": Interval(0, 8, integer=True),
        "steps": Interval(1, 6, integer=True),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": PEAKED_UNIT, **HASTY, "free": 40}),
        Falsifier("against the state where the free phase stopped", {"model": BENT_PAIR, **HASTY}),
        Falsifier("as if at rest", {"model": BENT_PAIR, **HASTY}),
        Falsifier("β²/6 for the continued one", {"model": PEAKED_UNIT, **HASTY, "free": 40}),
    ),
)
def estimates_off_rest(
    model: Model, seed: int, log_nudging: float, leak: float, free: int, steps: int, mutation: str | None = None
) -> Evidence:
    """From any start s₀ (u_t − s_t⁺)/β, u the free phase continued, and (s_t⁻ − s_t⁺)/2β are within E_t + ½βW_t and E_t + β²Q_t/6
    of BPTT truncated to t steps; against s₀ itself the drift (s₀ − u_t)/β is added, which no small β cures.
    """
    mean, strength = at_rest(model), math.exp(log_nudging) * model.temperature
    start = relax(model, steps=free, leak=leak)[-1]
    generator = np.random.default_rng([seed, 72])
    outputs = generator.permutation(model.size)[: generator.integers(1, model.size + 1)]
    cost = QuadraticCost(outputs, generator.uniform(size=outputs.size))
    measured, bound = [], []
    for cost_on in COSTS_ON:
        exact = (
            backpropagation_through_time(model, cost, steps=steps, leak=leak, start=mean, cost_on=cost_on)
            .truncated(steps)
            .bias
        )
        ends = [
            relax(model, steps=steps, leak=leak, start=start, cost=cost, nudging=nudging, cost_on=cost_on)[-1]
            for nudging in (strength, -strength, 0.0)
        ]
        reference = start if mutation == "against the state where the free phase stopped" else ends[2]
        estimates = [(reference - ends[0]) / strength, (ends[1] - ends[0]) / (2 * strength)]
        origin = mean if mutation == "as if at rest" else start
        limits = off_rest_error(model, cost, start=origin, nudging=strength, steps=steps, leak=leak, cost_on=cost_on)
        if mutation == "β²/6 for the continued one":
            limits = (limits[1], limits[1])
        for estimate, limit in zip(estimates, limits, strict=True):
            measured.append(model.temperature * np.abs(estimate - exact))
            bound.append(limit)
    rounding = 1e2 * EPS * (1 + model.size) / math.exp(log_nudging)
    return Evidence(np.concatenate(measured), np.concatenate(bound), rounding, ceiling=math.exp(-log_nudging))
