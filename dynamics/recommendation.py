"""How to reach a wanted gradient error with the fewest relaxations: estimator, nudging and samples.

Main results: recommend, recommendations, Recommendation (thm:C9).

Every candidate's error is bias + RADIUS · noise. The bias is known from theory: the Onsager-corrected mean field nudged as the
estimator is, or, where that misses the gradient itself, the pilot's own samples reweighted to the nudged law (thm:C5). The
gradient's norm, the noise of one replica and, for leaky spikes, the distance of their law from Gibbs' come from a seeded pilot.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy

from dynamics.estimators import Estimate, estimate_gradient, phase_sweeps
from dynamics.phases import COUNTER_LIMIT, bind
from dynamics.pilot import FIRST_PILOT, GROUPS, MOST_PILOT_SPIKES, Pilot, run_pilot, squared_norm
from meanfield.equations import bias_share
from meanfield.learning_rule import equilibrium_gradient
from meanfield.model import FloatArray, Model, QuadraticCost, whole_number
from meanfield.response import implicit_gradient
from meanfield.solve import ConvergenceError, MultistabilityWarning
from meanfield.tradeoff import orders

# ‖noise‖ ≤ RADIUS · its root mean square with at least SHARE, whatever the covariance of a normal noise (Székely & Bakirov 2003).
SHARE, RADIUS = 0.95, 1.96
# Above this relative distance from the pilot's gradient the mean field does not say what the bias is.
TRUSTED = 0.3
# No nudging moves a field by more than this many temperatures.
LARGEST_SHIFT = 2.0
# Fewer replicas are not normal enough to be judged by their standard error.
LEAST_SAMPLES = 64
# A bias closer to the wanted error than this leaves no room for noise.
LARGEST_BIAS_SHARE = 0.9


class Recommendation(NamedTuple):
    """What to ask estimate_gradient for, what it costs, and what error to expect, relative to ‖∂⟨C⟩/∂J‖ over the couplings.

    predicted_error is the root mean square √(bias² + noise²); at least `share` of the runs are within `error`. relaxations:
    sweeps × replicas. nudging None: three-factor. bias_from "none" | "mean field" | "pilot": where predicted_bias is from.
    """

    estimator: str
    dynamics: str
    coupled: bool
    statistic: str
    nudging: float | None
    samples: int
    steps_free: int
    steps_nudged: int
    relaxations: int
    error: float
    share: float
    predicted_error: float
    predicted_bias: float
    predicted_noise: float
    bias_from: str
    leak: float

    def arguments(self) -> dict[str, Any]:
        """The keywords for estimate_gradient(model, cost, seed=…, **arguments)."""
        shared: dict[str, Any] = {
            "dynamics": self.dynamics, "estimator": self.estimator, "samples": self.samples, "steps_free": self.steps_free,
            "cost_on": "spikes",
        }  # fmt: skip
        if self.estimator == "three-factor":
            return shared
        return {
            **shared, "nudging": self.nudging, "steps_nudged": self.steps_nudged, "coupled": self.coupled,
            "statistic": self.statistic, "leak": self.leak,
        }  # fmt: skip


def recommend(
    model: Model, cost: QuadraticCost, *, error: float, dynamics: str = "glauber", estimator: str | None = None,
    coupled: bool | None = None, statistic: str | None = None, leak: float = 0.2, steps_free: int | None = None,
    steps_nudged: int | None = None, seed: int = 0,
) -> Recommendation:  # fmt: skip
    """The candidate with the fewest relaxations of `recommendations`, among those with the wanted estimator, coupling, statistic.

    Raises ValueError when none qualifies, and as there. Paper: thm:C9.
    """
    plan = _plan(model, cost, error, dynamics, leak, steps_free, steps_nudged, seed)
    wishes = {"estimator": estimator, "coupled": coupled, "statistic": statistic}
    wishes = {name: value for name, value in wishes.items() if value is not None}
    kinds = [kind for kind in _kinds(dynamics) if all(getattr(kind, name) == value for name, value in wishes.items())]
    if not kinds:
        asked = ", ".join(f"{name}={value!r}" for name, value in wishes.items())
        offered = "; ".join(f"{kind.estimator}, coupled={kind.coupled}, {kind.statistic}" for kind in _kinds(dynamics))
        raise ValueError(f"no candidate has {asked}: {dynamics} offers {offered}")
    return _candidates(plan, kinds)[0]


def recommendations(
    model: Model, cost: QuadraticCost, *, error: float, dynamics: str = "glauber", leak: float = 0.2,
    steps_free: int | None = None, steps_nudged: int | None = None, seed: int = 0,
) -> tuple[Recommendation, ...]:  # fmt: skip
    """Every candidate that reaches ‖ĝ − g‖ ≤ error · ‖g‖ over the couplings in 95 % of the runs, the fewest relaxations first.

    g = ∂⟨C⟩/∂J under exp(−E/T), the cost on spikes. dynamics "glauber" or "block": symmetric and one-sided, coupled or not, spikes
    or firing probabilities, and three-factor; "leaky": symmetric traces, whose mean-field floor no number of samples removes.
    The nudging puts q/(2p + q) of the error into the bias, which needs the fewest samples; then S = (1.96 · noise of one
    replica / what the bias leaves)².
    *Holds when* phases of steps_free, steps_nudged reach their stationary law (None: thm:B3's mixing time, where it is proven),
    the pilot is typical, and the mean of S replicas is close to normal. Raises ValueError with the reason when an error cannot be
    reached: below the mean-field floor, more samples than a seed has, a gradient lost in the pilot's noise. Paper: thm:C9.
    """
    return _candidates(_plan(model, cost, error, dynamics, leak, steps_free, steps_nudged, seed), _kinds(dynamics))


def check_wish(error: float, dynamics: str) -> None:
    """ValueError unless the error is a share of the gradient's norm and the dynamics' law is near exp(−E/T)."""
    if not 0 < error < 1:
        raise ValueError(
            f"error must be between 0 and 1, relative to the gradient's norm, got {error}: zero has error 1"
        )
    if dynamics not in ("glauber", "block", "leaky"):
        raise ValueError(f"dynamics must be glauber, block or leaky, got {dynamics!r}: its law is not near exp(−E/T)")


class _Kind(NamedTuple):
    """How a candidate is made and read; coupled is False for the three-factor estimate, which has one phase."""

    estimator: str
    coupled: bool
    statistic: str


def _kinds(dynamics: str) -> list[_Kind]:
    if dynamics == "leaky":
        return [_Kind("symmetric", coupled, "traces") for coupled in (True, False)]
    nudged = [
        _Kind(estimator, coupled, statistic)
        for estimator in ("symmetric", "one-sided")
        for coupled in (True, False)
        for statistic in ("spikes", "probabilities")
    ]
    return [_Kind("three-factor", False, "spikes"), *nudged]


def _plan(
    model: Model, cost: QuadraticCost, error: float, dynamics: str, leak: float, steps_free: int | None,
    steps_nudged: int | None, seed: int,
) -> _Plan:  # fmt: skip
    check_wish(error, dynamics)
    setting = bind(model, dynamics, cost=cost, cost_on="spikes", leak=leak)
    if not setting.offset.any():
        raise ValueError("target must differ from ½ in some output, got ½ in all: the cost of spikes is constant there")
    whole_number("seed", seed, 0)
    largest = LARGEST_SHIFT * model.temperature / float(np.abs(setting.offset).max())
    free = phase_sweeps("steps_free", steps_free, setting)
    nudged = phase_sweeps("steps_nudged", steps_nudged, setting, largest)
    return _Plan(model, cost, error, dynamics, leak, free, nudged, seed, largest)


def _candidates(plan: _Plan, kinds: list[_Kind]) -> tuple[Recommendation, ...]:
    found = _leaky(plan, kinds) if plan.dynamics == "leaky" else _chains(plan, kinds)
    return tuple(sorted(found, key=lambda one: one.relaxations))


class _Plan(NamedTuple):
    """One request: every candidate is made from it."""

    model: Model
    cost: QuadraticCost
    error: float
    dynamics: str
    leak: float
    free: int
    nudged: int
    seed: int
    largest: float

    def estimate(self, kind: _Kind, nudging: float, samples: int, seed: int) -> Estimate:
        """A pilot estimate."""
        return estimate_gradient(
            self.model, self.cost, dynamics=self.dynamics, nudging=nudging, samples=samples, seed=seed, leak=self.leak,
            steps_free=self.free, steps_nudged=self.nudged, cost_on="spikes", **kind._asdict(),
        )  # fmt: skip


def _chains(plan: _Plan, kinds: list[_Kind]) -> list[Recommendation]:
    pilot = run_pilot(plan.model, plan.cost, dynamics=plan.dynamics, steps=plan.free, seed=plan.seed)
    biases = {name: _bias(plan, pilot, name) for name in {kind.estimator for kind in kinds} - {"three-factor"}}
    found = []
    for kind in kinds:
        if kind.estimator == "three-factor":
            found.append(_finished(plan, kind, None, 0.0, pilot.noise / pilot.norm**2, "none"))
            continue
        bias, source = biases[kind.estimator]
        share = float(bias_share(*orders(kind.estimator, kind.coupled)))
        nudging = _largest_nudging(bias, share * plan.error, plan)
        noise = _replica_noise(plan, kind, nudging) / pilot.norm**2
        found.append(_finished(plan, kind, nudging, bias(nudging), noise, source))
    return found


def _leaky(plan: _Plan, kinds: list[_Kind]) -> list[Recommendation]:
    found, floors = [], []
    for kind in kinds:
        share = float(bias_share(*orders("symmetric", kind.coupled)))
        nudging = _largest_nudging(_mean_field_bias(plan, "symmetric", "none"), share * plan.error, plan)
        floor, bias, norm = _leaky_distance(plan, kind, nudging)
        floors.append(floor)
        if bias < LARGEST_BIAS_SHARE * plan.error:
            found.append(_finished(plan, kind, nudging, bias, _replica_noise(plan, kind, nudging) / norm**2, "pilot"))
    if not found:
        raise ValueError(
            f"error {plan.error:g} is below the floor of leaky spikes here, about {min(floors):.2g} at leak {plan.leak:g}: their "
            "law is near the mean field, not exp(−E/T); use dynamics='glauber' or a higher temperature"
        )
    return found


def _leaky_distance(plan: _Plan, kind: _Kind, nudging: float) -> tuple[float, float, float]:
    """(estimate, upper end, ‖g‖): how far the mean of leaky estimates is from Gibbs' gradient, relative to it.

    The pilot grows until the upper end is below the wanted error, or the estimate clearly is not.
    """
    count = FIRST_PILOT
    while True:
        # as many Glauber sweeps as leaky steps: a sweep redraws every unit, a step only a share of its trace
        pilot = run_pilot(plan.model, plan.cost, dynamics="glauber", steps=plan.free, seed=plan.seed, count=count)
        size = max(count, pilot.states.shape[0] * pilot.states.shape[1]) // GROUPS
        estimates = [
            plan.estimate(kind, nudging, size, plan.seed + 2 + group).value.couplings for group in range(GROUPS)
        ]
        square, spread = squared_norm(np.array(estimates) - pilot.gradients)
        floor, upper = (math.sqrt(max(value, 0.0)) / pilot.norm for value in (square, square + 2 * spread))
        decided = upper < LARGEST_BIAS_SHARE * plan.error or square - 2 * spread > (plan.error * pilot.norm) ** 2
        count = 4 * GROUPS * size
        if decided or count * plan.model.size > MOST_PILOT_SPIKES:
            return floor if decided else upper, upper, pilot.norm


def _finished(
    plan: _Plan, kind: _Kind, nudging: float | None, bias: float, noise: float, source: str
) -> Recommendation:  # fmt: skip
    """bias and noise (the variance of one replica) relative to ‖g‖ and ‖g‖²."""
    ratio = RADIUS / (plan.error - bias)
    # a product is infinite where a power would raise
    needed = noise * ratio * ratio
    if needed > COUNTER_LIMIT:
        raise ValueError(
            f"error {plan.error:g} needs {needed:.2g} samples, more than the 2^32 that one seed has: ask for a larger error"
        )
    samples = max(LEAST_SAMPLES, math.ceil(needed))
    sweeps = plan.free
    if kind.estimator != "three-factor":
        sweeps = (plan.free if kind.coupled else 2 * plan.free) + 2 * plan.nudged
    scatter = math.sqrt(noise / samples)
    return Recommendation(
        kind.estimator, plan.dynamics, kind.coupled, kind.statistic, nudging, samples, plan.free, plan.nudged,
        sweeps * samples, plan.error, SHARE, math.hypot(bias, scatter), bias, scatter, source, plan.leak,
    )  # fmt: skip


def _bias(plan: _Plan, pilot: Pilot, estimator: str) -> tuple[Callable[[float], float], str]:
    """The relative bias as a function of the nudging, and where it is from."""
    try:
        theory = _mean_field_bias(plan, estimator, "onsager")
        predicted = _quietly(lambda: implicit_gradient(plan.model, plan.cost, "spikes", correction="onsager").couplings)
        square, _ = squared_norm(pilot.gradients - predicted)
        theory(plan.largest)
        if math.sqrt(max(square, 0.0)) <= TRUSTED * pilot.norm:
            return theory, "mean field"
    except (ConvergenceError, ValueError):
        pass

    return lambda nudging: pilot.reweighted_bias(plan.model, plan.cost, nudging, estimator), "pilot"


def _mean_field_bias(plan: _Plan, estimator: str, correction: str) -> Callable[[float], float]:
    """‖mean-field EP at β − its limit‖/‖its limit‖, cost on spikes."""
    limit = _quietly(lambda: implicit_gradient(plan.model, plan.cost, "spikes", correction=correction).couplings)
    if not limit.any():
        raise ValueError("the mean-field gradient is zero to the last digit: there is no relative bias")

    def bias(nudging: float) -> float:
        estimate = _quietly(
            lambda: (
                equilibrium_gradient(
                    plan.model, plan.cost, nudging=nudging, estimator=estimator, correction=correction, cost_on="spikes"
                ).couplings
            )
        )
        return float(np.linalg.norm(estimate - limit) / np.linalg.norm(limit))

    return bias


def _quietly(solve: Callable[[], FloatArray]) -> FloatArray:
    """solve() where several fixed points are no surprise: the pilot decides whether the one found is of use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultistabilityWarning)
        return solve()


def _largest_nudging(bias: Callable[[float], float], wanted: float, plan: _Plan) -> float:
    """The first β at which the bias reaches `wanted`, the largest allowed when it stays below."""
    grid = plan.largest * 2.0 ** np.arange(-12, 1)
    below = float(grid[0])
    for nudging in grid.tolist():
        if bias(nudging) >= wanted:
            break
        below = nudging
    else:
        return plan.largest
    if below == nudging:
        return below
    return float(
        scipy.optimize.root_scalar(lambda value: bias(value) - wanted, bracket=(below, nudging), rtol=1e-3).root
    )


def _replica_noise(plan: _Plan, kind: _Kind, nudging: float) -> float:
    """Variance of one replica's estimate, summed over i < j; coupled phases differ rarely, so small nudgings take more."""
    samples = int(FIRST_PILOT * min(32, max(1, math.ceil(0.1 * plan.largest / nudging))))
    errors = plan.estimate(kind, nudging, samples, plan.seed + 1).standard_error.couplings
    return samples * float((np.triu(errors, 1) ** 2).sum())
