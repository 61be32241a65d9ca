"""Family C, mean field: what equilibrium propagation computes at zero nudging, and what a finite nudging costs.

Main results: thm:C1, thm:C2, thm:C2b, thm:C3.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import bounds
from meanfield.bounds.holomorphy import STRIP_HEIGHTS
from meanfield.equations import firing_probability, onsager_field, onsager_pair_statistic, pair_statistic
from meanfield.learning_rule import equilibrium_gradient, leading_bias
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from meanfield.nudged import nudged_series
from meanfield.response import implicit_gradient
from meanfield.solve import MeanFieldMap, fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost
from proofs_numeric.singularity import nearest_singularity
from proofs_numeric.verdicts import exponent_interval

EPS = float(np.finfo(float).eps)
# a step so small that f(x + iη) = f(x) + iη f'(x) to the last digit
IMAGINARY_STEP = 1e-20
COSTS_ON = ("rates", "spikes")
ESTIMATORS = ("one-sided", "symmetric", "holomorphic")
# Units with |h| ≫ T move too little for digits to show an exponent, and their singularities crowd at one distance.
UNSATURATED = {"field": Interval(0, 3, integer=True)}
FREE_UNIT = ([[0.0]], [0.0], 1.0)
NUDGED_PAIR = ([[0.0, 1.5], [1.5, 0.0]], [0.3, -0.9], 1.0)
MARGINAL_PAIR = ([[0.0, 4.0], [4.0, 0.0]], [-2.0, -2.0], 1.0)
SADDLE_PAIR = ([[0.0, 12.0], [12.0, 0.0]], [-6.0, -6.0], 1.0)


class _Phases:
    """Fixed points and phase statistics under complex steps of J, b and β, for any J, with the nudge inside σ or outside."""

    def __init__(self, model: Model, cost: QuadraticCost, cost_on: str, onsager: bool, mutation: str | None) -> None:
        self.cost, self.cost_on, self.temperature, self.mutation = cost, cost_on, model.temperature, mutation
        self.slope, self.offset = cost.force(model.size, cost_on)
        self.onsager, self.bias, self.couplings = onsager, model.bias, model.couplings
        if mutation == "J not symmetric":
            self.couplings = 1.5 * np.triu(model.couplings) + 0.5 * np.tril(model.couplings)
        start = np.full(model.size, 0.5)
        if mutation == "J not symmetric":
            self.mean = start
            for _ in range(2000):
                self.mean = 0.5 * self.mean + 0.5 * self._image(self.mean[None], 0.0, 0.0, 0.0).real[0]
            jacobian = (self.mean * (1 - self.mean) / model.temperature)[:, None] * self.couplings
        else:
            correction = "onsager" if onsager else "none"
            self.mean = fixed_point(model, start=start, correction=correction, method="newton").value
            jacobian = MeanFieldMap.of(model, correction, None, 0.0, "rates").jacobian(self.mean)
        self.inverse = np.linalg.inv(np.eye(model.size) - jacobian)

    def moved(self, couplings: Any = 0.0, bias: Any = 0.0, nudging: Any = 0.0) -> NDArray[Any]:
        """Fixed points (…, N) after imaginary steps of a stack of couplings, biases or nudgings."""
        mean = self.mean[None].astype(complex)
        for _ in range(3):
            mean = mean + (self._image(mean, couplings, bias, nudging) - mean) @ self.inverse.T
        return mean

    def loss(self, mean: NDArray[Any]) -> NDArray[Any]:
        """C(m) or C̄(m), continued to complex m."""
        return (0.5 * self.slope * mean**2 + self.offset * mean).sum(axis=-1)

    def statistic(self, mean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """g = ∂F/∂θ, F_TAP when Onsager-corrected."""
        if self.onsager and self.mutation != "statistic without its Onsager part":
            pairs = onsager_pair_statistic(mean[..., :, None], mean[..., None, :], self.couplings, self.temperature)
        else:
            pairs = pair_statistic(mean[..., :, None], mean[..., None, :])
        return -pairs, -mean

    def _image(self, mean: NDArray[Any], couplings: Any, bias: Any, nudging: Any) -> NDArray[Any]:
        weights = self.couplings + couplings
        field = np.einsum("...ij,...j->...i", weights, mean) + self.bias + bias
        if self.onsager:
            variance = np.einsum("...ij,...j->...i", weights**2, mean * (1 - mean))
            field = field + onsager_field(mean, variance, self.temperature)
        force = nudging * (self.slope * mean + self.offset)
        if self.mutation == "nudge outside σ":
            return firing_probability((field + 0j) / self.temperature, 1.0) - force / self.temperature
        return firing_probability((field - force + 0j) / self.temperature, 1.0)


@claim(
    label="C1",
    title="the EP theorem",
    kind="identity",
    means="numeric",
    hypotheses="J = Jᵀ, the nudge inside σ, I − VJ/T invertible",
    norm="spectral",
    domain=model_scalars(6, gain=Interval(0.02, 3.0)),
    falsifiers=(
        Falsifier("J not symmetric", {"model": NUDGED_PAIR, "seed": 1}, drops="J = Jᵀ"),
        Falsifier("nudge outside σ", {"model": NUDGED_PAIR, "seed": 1}, drops="nudge inside σ"),
        Falsifier("at a singular point", {"model": MARGINAL_PAIR, "seed": 1}, drops="I − VJ/T invertible"),
        Falsifier("statistic without its Onsager part", {"model": NUDGED_PAIR, "seed": 1}),
        Falsifier("opposite sign", {"model": SADDLE_PAIR, "seed": 1}),
    ),
)
def ep_theorem(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """d/dβ at 0 of the phase statistic ∂F/∂θ at the nudged fixed point is dC(m*)/dθ, for couplings, biases and input
    weights, cost on rates and on mean spikes, plain and Onsager-corrected; saddles included.
    """
    cost = random_cost(model.size, seed)
    if mutation == "at a singular point":
        return _divergence(model, cost)
    measured, rounding = [], []
    for cost_on in COSTS_ON:
        for onsager in (False, True):
            if onsager and not MeanFieldMap.of(model, "onsager", None, 0.0, cost_on).proves_unique():
                continue
            phases = _Phases(model, cost, cost_on, onsager, mutation)
            misses = _gradient_misses(phases, model, seed, -1.0 if mutation == "opposite sign" else 1.0)
            if mutation is None:
                stated = implicit_gradient(
                    model, cost, cost_on, correction="onsager" if onsager else "none", start=np.full(model.size, 0.5)
                )
                misses.append(_phase_derivative(phases, model) - _packed(stated, model.temperature))
            condition = float(np.abs(phases.inverse).sum(axis=1).max())
            strength = float(np.abs(model.couplings).sum(axis=1).max()) / model.temperature
            measured.append(np.abs(np.concatenate(misses)))
            # the fixed point is known to EPS · condition, its response through the derivative of (I − VJ/T)⁻¹
            rounding.append(np.full(measured[-1].size, 10 * EPS * condition**3 * (1 + strength) ** 2))
    return Evidence(np.concatenate(measured), 0.0, np.concatenate(rounding))


def _packed(gradient: Gradient, temperature: float) -> FloatArray:
    """The entries above the diagonal, then the biases, times T."""
    upper = np.triu_indices(gradient.bias.size, 1)
    return temperature * np.concatenate([gradient.couplings[upper], gradient.bias])


def _phase_derivative(phases: _Phases, model: Model) -> FloatArray:
    """T dg/dβ at β = 0 by a complex step of β, packed."""
    mean = phases.moved(nudging=1j * IMAGINARY_STEP * model.temperature)
    pairs, units = phases.statistic(mean)
    upper = np.triu_indices(model.size, 1)
    return np.concatenate([pairs[0][upper], units[0]]).imag / IMAGINARY_STEP


def _gradient_misses(phases: _Phases, model: Model, seed: int, sign: float) -> list[FloatArray]:
    """T(dg/dβ − dL/dθ) for all couplings, biases, and the input weights of three constant inputs."""
    size, step = model.size, 1j * IMAGINARY_STEP * model.temperature
    rows, columns = np.triu_indices(size, 1)
    changes = np.zeros((rows.size, size, size))
    changes[np.arange(rows.size), rows, columns] = changes[np.arange(rows.size), columns, rows] = 1.0
    found = sign * _phase_derivative(phases, model)
    slopes = [
        phases.loss(phases.moved(couplings=step * changes)).imag if rows.size else np.zeros(0),
        phases.loss(phases.moved(bias=step * np.eye(size))).imag,
    ]
    inputs = np.random.default_rng([seed, 11]).normal(size=3)
    # b = Wx + …: the statistic of W_ik is −m_i x_k
    weights = (inputs[:, None, None] * np.eye(size)).reshape(-1, size)
    fed = phases.loss(phases.moved(bias=step * weights)).imag / IMAGINARY_STEP
    return [
        found - np.concatenate(slopes) / IMAGINARY_STEP,
        (np.outer(inputs, found[rows.size :]).ravel() - fed) / (1 + np.abs(inputs).max()),
    ]


def _divergence(model: Model, cost: QuadraticCost) -> Evidence:
    """At a marginal point the difference quotient grows a hundredfold when β falls a thousandfold."""
    free, quotients = np.full(model.size, 0.5), []
    for nudging in (1e-3 * model.temperature, 1e-6 * model.temperature):
        nudged = fixed_point(
            model, start=free + 0.1, cost=cost, nudging=nudging, cost_on="spikes", method="newton"
        ).value
        quotients.append(float(np.abs(nudged - free).max()) / nudging)
    return Evidence(quotients[1] / quotients[0], 1.1)


def _estimate(model: Model, cost: QuadraticCost, nudging: float, name: str, points: int, **reading: str) -> Gradient:
    """The EP estimate about the fixed point reached from ½."""
    start = np.full(model.size, 0.5)
    return equilibrium_gradient(model, cost, nudging=nudging, estimator=name, points=points, start=start, **reading)


def _statistic_rounding(model: Model) -> float:
    """What floating point leaves of a phase statistic: EPS times the condition of I − VJ/T, itself at most 1/(1 − κ_∞)."""
    return 1e3 * EPS / (1 - min(model.row_gain, 0.99))


@claim(
    label="C2",
    title="bias of the estimators at finite nudging",
    kind="inequality",
    means="numeric",
    hypotheses="κ_∞ = ‖J‖_∞/(4T) < 1, |β| < R",
    norm="row",
    domain={
        **model_scalars(6, smallest=2),
        "share": Interval(0.05, 0.95),
        "estimator": Interval(0, 2, integer=True),
        "points": Interval(2, 8, integer=True),
        "reading": Interval(0, 1, integer=True),
    },
    falsifiers=(
        Falsifier(
            "constant × 0.9",
            {"model": NUDGED_PAIR, "seed": 1, "share": 0.9, "estimator": 0, "points": 2, "reading": 0},
        ),
        Falsifier(
            "one power of r more",
            {"model": NUDGED_PAIR, "seed": 1, "share": 0.5, "estimator": 1, "points": 2, "reading": 0},
        ),
        Falsifier(
            "the rest of the series dropped",
            {"model": NUDGED_PAIR, "seed": 1, "share": 0.9, "estimator": 0, "points": 2, "reading": 1},
        ),
    ),
    search=False,
    instances=150,
)
def estimator_bias_at_finite_nudging(
    model: Model, seed: int, share: float, estimator: int, points: int, reading: int, mutation: str | None = None
) -> Evidence:
    """Every weight's |EP estimate − dL/dJ_ij| ≤ (M²/R) r^k/(1 − r^k), r = |β|/R, k = 1 one-sided, 2 symmetric, N with N
    points; sharper with exact first Taylor coefficients and the rest bounded on the certified disc.
    """
    cost, cost_on, name = random_cost(model.size, seed), COSTS_ON[reading], ESTIMATORS[estimator]
    radius = bounds.holomorphy_radius(model, cost, cost_on)
    nudging = share * radius * (1 if seed % 2 else -1)
    estimate = _estimate(model, cost, nudging, name, points, cost_on=cost_on)
    measured = np.abs(estimate.couplings - implicit_gradient(model, cost, cost_on).couplings)
    asked: dict[str, Any] = {"nudging": nudging, "estimator": name, "points": points, "cost_on": cost_on}
    stated = bounds.estimator_bias(model, cost, **asked)
    if mutation == "one power of r more":
        stated = stated * share
    if mutation == "the rest of the series dropped":
        stated = float(np.abs(leading_bias(model, cost, **asked).couplings).max())
    local = bounds.local_estimator_bias(model, cost, **asked).couplings
    rounding = _statistic_rounding(model) / abs(nudging)
    excess = (measured - local).max() - rounding
    # the first entry gives the tightness, the second decides weight by weight
    return Evidence(
        [measured.max(), max(excess, 0.0) if mutation is None else 0.0],
        [stated, 0.0],
        [rounding, 0.0],
        ceiling=2 / abs(nudging),
    )


@claim(
    label="C2b",
    title="radius of holomorphy",
    kind="inequality",
    means="numeric",
    hypotheses="κ_∞ < 1 for the radius in closed form; I − VJ/T invertible for the local one",
    norm="row",
    domain={**model_scalars(6), **UNSATURATED, "reading": Interval(0, 1, integer=True)},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, "seed": 1, "reading": 1}),
        Falsifier("κ_∞ dropped", {"model": ([[0.0, 3.6], [3.6, 0.0]], [-1.8, -1.8], 1.0), "seed": 1, "reading": 0}),
        Falsifier("M = 1 beyond π/2", {"model": FREE_UNIT, "seed": 3, "reading": 0}),
        Falsifier("the pole at π√2", {"model": FREE_UNIT, "seed": 1, "reading": 1}),
    ),
    search=False,
    instances=120,
)
def radius_of_holomorphy(model: Model, seed: int, reading: int, mutation: str | None = None) -> Evidence:
    """The nudged fixed point is holomorphic in β on |β| < R, R = sup T(y − 2κ_∞ tan(y/2))/N(y) (N = M for rates, max|c| for
    spikes), and on the larger disc that per-unit strips or the majorant of the linear response certify: no branch point or
    pole is nearer.
    """
    cost, cost_on = random_cost(model.size, seed), COSTS_ON[reading]
    local = bounds.local_holomorphy_radius(model, cost, cost_on)
    stated = bounds.holomorphy_radius(model, cost, cost_on)
    if mutation == "κ_∞ dropped":
        stated = bounds.holomorphy_radius(Model(0.0 * model.couplings, model.bias, model.temperature), cost, cost_on)
    if mutation == "M = 1 beyond π/2":
        reach = STRIP_HEIGHTS - 2 * model.row_gain * np.tan(STRIP_HEIGHTS / 2)
        stated = model.temperature * float(reach.max())
    if mutation == "the pole at π√2":
        stated = math.sqrt(2) * stated
    if not math.isfinite(local):
        return Evidence(0.0, 0.0)
    distance, uncertainty = nearest_singularity(model, cost, cost_on, local)
    return Evidence([stated, local], distance, uncertainty)


@claim(
    label="C3",
    title="orders and leading coefficients of the bias",
    kind="asymptotic",
    means="numeric",
    hypotheses="I − VJ/T invertible; for the exact order, the next Taylor coefficient not 0",
    norm="row",
    domain={
        **model_scalars(6),
        **UNSATURATED,
        "reading": Interval(0, 1, integer=True),
        "points": Interval(3, 5, integer=True),
    },
    falsifiers=(
        Falsifier("orders + ½", {"model": NUDGED_PAIR, "seed": 1, "reading": 0, "points": 3}),
        Falsifier("orders − ½", {"model": NUDGED_PAIR, "seed": 1, "reading": 0, "points": 3}),
        Falsifier("βg'' in place of βg''/2", {"model": NUDGED_PAIR, "seed": 1, "reading": 0, "points": 3}),
        Falsifier("coefficient of the other cost", {"model": NUDGED_PAIR, "seed": 1, "reading": 1, "points": 3}),
        Falsifier("random sign as one-sided", {"model": NUDGED_PAIR, "seed": 1, "reading": 0, "points": 3}),
    ),
    instances=40,
)
def orders_of_the_bias(model: Model, seed: int, reading: int, points: int, mutation: str | None = None) -> Evidence:
    """The bias is βg''(0)/2 + O(β²) one-sided, β²g‴(0)/6 + O(β⁴) symmetric and in the mean of random signs, |β|^N
    g^{(N+1)}(0)/(N+1)! + O(|β|^{2N}) with N points; plain and Onsager-corrected, cost on rates and on mean spikes.
    """
    cost, cost_on = random_cost(model.size, seed), COSTS_ON[reading]
    radius = bounds.local_holomorphy_radius(model, cost, cost_on)
    if not math.isfinite(radius):
        return Evidence(0.0, 0.0)
    misses = [_random_sign_miss(model, cost, cost_on, radius, mutation)]
    for correction in ("none", "onsager"):
        if correction == "onsager" and not MeanFieldMap.of(model, correction, None, 0.0, cost_on).proves_unique():
            continue
        reading_of = {"correction": correction, "cost_on": cost_on}
        exact = _entries(implicit_gradient(model, cost, cost_on, correction=correction))
        for name in ESTIMATORS:
            misses += _order_misses(model, cost, reading_of, exact, name, points, radius, mutation)
    return Evidence(misses, 0.0)


def _order_misses(
    model: Model, cost: QuadraticCost, reading: dict[str, str], exact: FloatArray, name: str, points: int,
    radius: float, mutation: str | None,
) -> list[float]:  # fmt: skip
    """How far exponent and coefficient of the entry with the largest leading bias miss their stated values."""
    power = {"one-sided": 1, "symmetric": 2, "holomorphic": points}[name]
    series = nudged_series(model, cost, order=2 * power + 1, unit=radius, **reading)
    first, second = (np.concatenate([series.couplings[k].ravel(), series.bias[k]]) for k in (power + 1, 2 * power + 1))
    entry = int(np.abs(first).argmax())
    # the leading term rules where it is larger than the one after it
    reach = min(1.0, abs(first[entry] / second[entry]) ** (1 / power)) if second[entry] else 1.0
    # a statistic is known to its rounding, and its bias to that over β
    floor = 1e3 * _statistic_rounding(model) / abs(first[entry]) if first[entry] else math.inf
    scales = [reach * (0.5 if power < 3 else 0.7) ** k for k in range(1, 9)]
    scales = [scale for scale in scales if scale ** (power + 1) > floor]
    if len(scales) < 5:
        return []
    found = np.array([
        _entries(_estimate(model, cost, scale * radius, name, points, **reading))[entry] - exact[entry]
        for scale in scales
    ])  # fmt: skip
    lead = _entries(leading_bias(model, cost, nudging=radius, estimator=name, points=points, **reading))
    coefficient = lead[entry]
    if mutation == "coefficient of the other cost":
        other = {**reading, "cost_on": COSTS_ON[1 - COSTS_ON.index(reading["cost_on"])]}
        coefficient = _entries(leading_bias(model, cost, nudging=radius, estimator=name, points=points, **other))[entry]
    if mutation == "βg'' in place of βg''/2" and name == "one-sided":
        coefficient = 2 * coefficient
    shift = {"orders + ½": 0.5, "orders − ½": -0.5}.get(mutation or "", 0.0)
    order = exponent_interval(scales, np.abs(found)).distance(power + shift)
    return [order, _limit_miss(np.array(scales), found / np.array(scales) ** power, coefficient)]


def _entries(gradient: Gradient) -> FloatArray:
    return np.concatenate([gradient.couplings.ravel(), gradient.bias])


def _limit_miss(scales: FloatArray, ratios: FloatArray, limit: float) -> float:
    """How far the Richardson limit of the ratios lies from `limit`, relatively, beyond thrice its own change."""
    step = scales[1] / scales[0]
    limits = (ratios[1:] - step * ratios[:-1]) / (1 - step)
    uncertainty = 3 * abs(limits[-1] - limits[-2]) + 1e-3 * abs(limit)
    return max(0.0, abs(limits[-1] - limit) - uncertainty) / abs(limit)


def _random_sign_miss(model: Model, cost: QuadraticCost, cost_on: str, radius: float, mutation: str | None) -> float:
    """How far the mean of the one-sided estimates at ±β is from the symmetric one, beyond rounding."""
    nudging = 0.3 * radius
    up, down, symmetric = (
        _entries(_estimate(model, cost, strength, name, 2, cost_on=cost_on))
        for strength, name in ((nudging, "one-sided"), (-nudging, "one-sided"), (nudging, "symmetric"))
    )
    mean = up if mutation == "random sign as one-sided" else 0.5 * (up + down)
    return max(0.0, float(np.abs(mean - symmetric).max()) - _statistic_rounding(model) / nudging)
