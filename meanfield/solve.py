"""Fixed points of the mean-field map, plain or Onsager-corrected, free or nudged.

Main results: fixed_point (thm:A3, thm:A5, thm:A5b, thm:A6), free_energy (thm:A2, thm:A6), Solution, ConvergenceError,
MultistabilityWarning.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield.equations import (
    activity_variance,
    descent_leak_limit,
    entropy,
    firing_probability,
    firing_slope,
    onsager_field,
    onsager_self_slope,
    pair_free_energy_correction,
    pair_onsager_slope,
)
from meanfield.model import FloatArray, Model, QuadraticCost, real_array, whole_number

# Two solutions further apart than this in one unit are two fixed points, not one twice.
DISTINCT = 1e-6
SEARCH_TOLERANCE = 1e-10
SEARCH_STEPS = 2_000

# Of a continuation, each some Newton steps: a few seconds of them.
MOST_CONTINUATIONS = 20_000


class ConvergenceError(RuntimeError):
    """An iteration ended above its tolerance; the message says by how much and what to try."""


class MultistabilityWarning(UserWarning):
    """Several fixed points exist and the default start chose one of them."""


@dataclass(frozen=True)
class Solution:
    """A fixed point and how it was reached.

    value: m, (N,). residual: max_i |m_i − f_i(m)|. steps: map evaluations. converged: residual ≤ tolerance.
    unique: True when thm:A5b or thm:A6 proves it the only one, False when others were found, None when unknown.
    others: the other fixed points found, each (N,); searched only when no start was given.
    """

    value: NDArray[Any]
    residual: float
    steps: int
    converged: bool
    unique: bool | None = None
    others: tuple[FloatArray, ...] = ()


@dataclass(frozen=True)
class MeanFieldMap:
    """f(m) = σ(h(m)/T), h = Jm + b − nudging (slope ∘ m + offset) [+ ½(1 − 2m) ∘ (J∘J)v / T when Onsager-corrected]."""

    model: Model
    slope: FloatArray
    offset: FloatArray
    nudging: complex
    onsager: bool

    @classmethod
    def of(
        cls, model: Model, correction: str, cost: QuadraticCost | None, nudging: complex, cost_on: str
    ) -> MeanFieldMap:
        """Check the arguments that every mean-field function shares, then bind them."""
        if correction not in ("none", "onsager"):
            raise ValueError(f"correction must be 'none' or 'onsager', got {correction!r}")
        if not np.isfinite(nudging):
            raise ValueError(f"nudging must be finite, got {nudging}")
        if cost is None:
            if nudging != 0:
                raise ValueError(f"nudging = {nudging} needs a cost to nudge towards: pass cost=QuadraticCost(…)")
            slope = offset = np.zeros(model.size)
        else:
            slope, offset = cost.force(model.size, cost_on)
        return cls(model, slope, offset, nudging, correction == "onsager")

    def field(self, mean: NDArray[Any]) -> NDArray[Any]:
        """The field h(m) that f squashes, in the unit of the couplings, (N,)."""
        field = self.model.local_field(mean)
        if self.nudging != 0:
            field = field - self.nudging * (self.slope * mean + self.offset)
        if self.onsager:
            field = field + onsager_field(mean, self._field_variance(mean), self.model.temperature)
        return field

    def __call__(self, mean: NDArray[Any]) -> NDArray[Any]:
        return firing_probability(self.field(mean), self.model.temperature)

    def field_jacobian(self, mean: NDArray[Any]) -> NDArray[Any]:
        """∂h_i/∂m_j, (N, N), symmetric."""
        jacobian = self.model.couplings - np.diag(self.nudging * self.slope)
        if self.onsager:
            temperature = self.model.temperature
            jacobian = jacobian + pair_onsager_slope(mean[:, None], mean, self.model.couplings, temperature)
            jacobian = jacobian + np.diag(onsager_self_slope(self._field_variance(mean), temperature))
        return jacobian

    def jacobian(self, mean: NDArray[Any]) -> NDArray[Any]:
        """∂f_i/∂m_j = p_i(1 − p_i) ∂h_i/∂m_j / T at any m, fixed point or not, (N, N)."""
        slope = firing_slope(self(mean), self.model.temperature)
        return slope[:, None] * self.field_jacobian(mean)

    def proves_unique(self) -> bool:
        """Whether thm:A5b (plain) or thm:A6 (Onsager) proves one fixed point; real nudging only."""
        if self.nudging.imag != 0:
            return False
        temperature = self.model.temperature
        if self.onsager:
            squared = self.model.couplings**2
            modulus = (
                np.abs(np.linalg.eigvalsh(self.model.couplings - np.diag(self.nudging.real * self.slope))).max()
                / (4 * temperature)
                + np.abs(np.linalg.eigvalsh(squared)).max() / (8 * temperature**2)
                + squared.sum(axis=1).max() / (16 * temperature**2)
            )
            return bool(modulus < 1)
        return bool(self._largest_eigenvalue() < 4 * temperature)

    def _largest_eigenvalue(self) -> float:
        if self.nudging == 0 or not self.slope.any():
            return float(self.model.spectrum[-1])
        return float(np.linalg.eigvalsh(self.model.couplings - np.diag(self.nudging.real * self.slope))[-1])

    def _field_variance(self, mean: NDArray[Any]) -> NDArray[Any]:
        """(J∘J)v, the variance of the field under the product law, (N,)."""
        return self.model.couplings**2 @ activity_variance(mean)


def fixed_point(
    model: Model,
    *,
    start: ArrayLike | None = None,
    correction: str = "none",
    damping: float = 0.5,
    tolerance: float = 1e-12,
    max_steps: int = 100_000,
    throw: bool = True,
    cost: QuadraticCost | None = None,
    nudging: float = 0.0,
    cost_on: str = "rates",
    method: str = "damped",
) -> Solution:
    """Solve m = σ((Jm + b − nudging ∂C/∂m)/T), with the Onsager term ½(1 − 2m) ∘ (J∘J)v/T² inside σ on request.

    *Holds when* max_i |m_i − f_i(m)| ≤ tolerance; unique if λ_max(J) < 4T (thm:A5b). `damping` is the share of the old
    state kept in a step, m ← damping · m + (1 − damping) f(m), so 1 − damping is the leak ε of deterministic EP; every
    damping ≥ 1 − 8T/(4T + λ⁻) descends the free energy (thm:A4). method "newton" is quadratic near the solution and
    falls back on damped steps that descend (thm:A4) wherever it does not halve the residual; it may find saddles.

    start: (N,) in [0, 1], default ½. With the default start other fixed points are looked for unless uniqueness is
    proven: they are listed in `others`, and a MultistabilityWarning says that the start has chosen.
    Raises ValueError on bad input, ConvergenceError (unless throw=False) when the tolerance is not met.
    Paper: thm:A3, thm:A4, thm:A5, thm:A5b, thm:A6.
    """
    mapping = MeanFieldMap.of(model, correction, cost, _real_nudging(nudging), cost_on)
    _check_iteration(damping, tolerance, max_steps, method)
    begin = np.full(model.size, 0.5) if start is None else _checked_start(start, model.size)
    solution = _iterate(mapping, begin, damping, tolerance, max_steps, method)
    if throw and not solution.converged:
        raise ConvergenceError(_failure(model, solution, damping, tolerance))
    if mapping.proves_unique():
        return Solution(solution.value, solution.residual, solution.steps, solution.converged, unique=True)
    if start is not None or not solution.converged:
        return solution
    others = _other_fixed_points(mapping, solution.value)
    if others:
        warnings.warn(
            f"{len(others) + 1} fixed points found at λ_max(J)/(4T) = {model.spectrum[-1] / (4 * model.temperature):.3g}; "
            "the one reached from ½ is returned, .others lists the rest: pass start= to choose",
            MultistabilityWarning,
            stacklevel=2,
        )
    return Solution(solution.value, solution.residual, solution.steps, True, False if others else None, others)


def continued_fixed_point(mapping: MeanFieldMap, start: NDArray[Any], radius: float) -> NDArray[Any]:
    """The fixed point of a nudged map reached from the free one by continuation along the ray of its (complex) nudging.

    radius: longest step in |nudging|, in the unit of the couplings. Raises ConvergenceError when Newton loses the branch.
    """
    if abs(mapping.nudging) > MOST_CONTINUATIONS * radius:
        raise ConvergenceError(
            f"nudging {mapping.nudging:.3g} is more than {MOST_CONTINUATIONS:,} steps of {radius:.3g} from 0, too far to "
            "be followed: use a smaller nudging (bounds.holomorphy_radius gives a safe one)"
        )
    count = max(1, int(np.ceil(abs(mapping.nudging) / radius)))
    value = start.astype(np.result_type(start, np.asarray(mapping.nudging).dtype))
    for k in range(1, count + 1):
        step = MeanFieldMap(mapping.model, mapping.slope, mapping.offset, mapping.nudging * k / count, mapping.onsager)
        solution = _iterate(step, value, 0.5, 1e-12, 10_000, "newton")
        if not solution.converged:
            raise ConvergenceError(
                f"nudged fixed point lost at nudging {step.nudging:.3g}: residual {solution.residual:.1e} > 1e-12; "
                "a branch point is near: use a smaller nudging (bounds.holomorphy_radius gives a safe one)"
            )
        value = solution.value
    return value


def free_energy(model: Model, mean_activity: ArrayLike, correction: str = "none") -> float:
    """F(m) = E(m) − T·S(m), S = −Σ[m ln m + (1−m) ln(1−m)]; "onsager" adds −(1/4T) Σ_{i≠j} J_ij² v_i v_j.

    *Holds when* 0 ≤ m ≤ 1: −T ln Z ≤ F(m) (thm:A2); the corrected value is no bound (thm:A6).
    """
    if correction not in ("none", "onsager"):
        raise ValueError(f"correction must be 'none' or 'onsager', got {correction!r}")
    mean = _checked_start(mean_activity, model.size, "mean_activity")
    value = model.energy(mean) - model.temperature * entropy(mean).sum()
    if correction == "onsager":
        # each pair stands twice in the matrix
        value += 0.5 * pair_free_energy_correction(mean[:, None], mean, model.couplings, model.temperature).sum()
    return float(value)


def _real_nudging(nudging: float) -> float:
    if np.iscomplexobj(nudging):
        raise ValueError(f"nudging must be real here, got {nudging}: estimator='holomorphic' takes complex ones")
    return float(nudging)


def _check_iteration(damping: float, tolerance: float, max_steps: int, method: str) -> None:
    if not 0 <= damping < 1:
        raise ValueError(f"damping must lie in [0, 1), got {damping}: it is the share of the old state kept in a step")
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance must be positive and finite, got {tolerance}")
    whole_number("max_steps", max_steps, 1)
    if method not in ("damped", "newton"):
        raise ValueError(f"method must be 'damped' or 'newton', got {method!r}")


def _checked_start(values: ArrayLike, size: int, name: str = "start") -> FloatArray:
    array = real_array(name, values, 1)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {array.shape}")
    if (array < 0).any() or (array > 1).any():
        raise ValueError(f"{name} must lie in [0, 1], got {array[(array < 0) | (array > 1)][0]}")
    return array


def _iterate(
    mapping: MeanFieldMap, start: NDArray[Any], damping: float, tolerance: float, max_steps: int, method: str
) -> Solution:
    newton = method == "newton"
    if newton:
        damping = max(damping, _descending_damping(mapping.model))
    value, image, residual = _state(mapping, start.copy())
    steps, pause, wait, best = 1, 1, 1, residual
    while residual > tolerance and steps < max_steps:
        wait -= 1
        if newton and wait <= 0:
            trial = _state(mapping, _newton_point(mapping, value, image))
            steps += 1
            # Newton may only go below every residual it has left behind, so it cannot cycle with the damped steps.
            if trial[2] < 0.5 * best:
                (value, image, residual), pause, wait = trial, 1, 1
                best = residual
                continue
            pause = min(2 * pause, 64)
            wait = pause
        value, image, residual = _state(mapping, damping * value + (1 - damping) * image)
        steps += 1
    if newton and residual <= tolerance:
        # One more step squares what is left of the error, down to rounding.
        trial = _state(mapping, _newton_point(mapping, value, image))
        steps += 1
        if trial[2] < residual:
            value, image, residual = trial
    return Solution(value, residual, steps, residual <= tolerance)


def _state(mapping: MeanFieldMap, value: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], float]:
    """(m, f(m), max_i |m_i − f_i(m)|)."""
    image = mapping(value)
    return value, image, float(np.abs(value - image).max())


def _newton_point(mapping: MeanFieldMap, value: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
    """One Newton step for m − f(m) = 0, kept in [0, 1] when real; the image itself where the system is singular."""
    try:
        point = value + np.linalg.solve(np.eye(value.size) - mapping.jacobian(value), image - value)
    except np.linalg.LinAlgError:
        return image
    return point if np.iscomplexobj(point) else np.clip(point, 0.0, 1.0)


def _descending_damping(model: Model) -> float:
    """1 − ε at the step ε = min(1, 4T/(4T + λ⁻)) with the largest guaranteed descent of the free energy (thm:A4)."""
    lowest = max(0.0, -float(model.spectrum[0]))
    return lowest / (4 * model.temperature + lowest)


def _other_fixed_points(mapping: MeanFieldMap, found: FloatArray) -> tuple[FloatArray, ...]:
    """Fixed points reached by damped iteration from the corners 0 and 1 and from both signs of J's leading eigenvectors."""
    model = mapping.model
    leading = np.linalg.eigh(model.couplings)[1][:, ::-1][:, : min(4, model.size)].T
    starts = [np.zeros(model.size), np.ones(model.size)]
    for vector in leading:
        starts += [(vector > 0).astype(np.float64), (vector < 0).astype(np.float64)]
    points = [found]
    for start in starts:
        coarse = _iterate(mapping, start, 0.5, 1e-3, SEARCH_STEPS, "damped")
        solution = _iterate(mapping, coarse.value, 0.5, SEARCH_TOLERANCE, SEARCH_STEPS, "newton")
        if solution.converged and all(np.abs(solution.value - point).max() > DISTINCT for point in points):
            points.append(solution.value)
    return tuple(points[1:])


def _failure(model: Model, solution: Solution, damping: float, tolerance: float) -> str:
    lowest = max(0.0, -float(model.spectrum[0]))
    descent_limit = max(0.0, 1 - float(descent_leak_limit(model.temperature, lowest)))
    # halfway from the limit to 1, written with as many digits as that takes
    safe = max(0.9, 1 - 0.5 * (1 - descent_limit))
    remedy = (
        f"try damping={safe:.{max(2, math.ceil(-math.log10(1 - safe)) + 1)}f}"
        if damping < max(descent_limit, 0.9)
        else "try method='newton' or more max_steps"
    )
    return (
        f"fixed point not reached in {solution.steps} steps: residual {solution.residual:.1e} > {tolerance:.1e} "
        f"at κ = ‖J‖₂/(4T) = {model.gain:.3g}; above 1 several fixed points may exist, and damping below "
        f"{descent_limit:.4g} may oscillate: {remedy}"
    )
