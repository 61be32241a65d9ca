"""Complex zeros of the partition function in the nudging: where N-point holomorphic EP under Gibbs stops converging.

Main results: nearest_zero, nearest_zeros, partition_zeros (thm:C5c).

With w = βR_C/T and t = (c·z − min)/R_C, Z(β)/Z(0) ∝ Σ_t P(t) e^{−wt}: real exponents in [0, 1] with positive weights. Zeros
come in conjugate pairs with |Im w| ≥ π. They are counted by the winding of Z along circles and found by Newton's method.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamics.exact_nudging import CostLaw, cost_law
from meanfield.model import FloatArray, Model, QuadraticCost, positive_number

NEWTON_STEPS = 60
GROWTH = 1.25
# The annulus that holds the nearest zero is narrowed to this ratio of radii.
NARROW = 1.02
TIE = 1e-9
FARTHEST = 3e4
# starts per unit length of w, at first; zeros lie about 2π apart
DENSITY = 1.0
REFINEMENTS = 5
HALVINGS = 40
# largest |Z'/Z| times the mesh of a circle: a zero between two points would make it at least 1
FINE = 0.7


def nearest_zero(model: Model, cost: QuadraticCost, *, cost_on: str = "spikes") -> complex:
    """The β of least modulus, Im β > 0, with Z(β) = Σ_z exp(−(E(z) + β c·z)/T) = 0; inf for a constant cost.

    |β| is the radius of convergence of ⟨∂E/∂θ⟩_β, hence of holomorphic EP under Gibbs, and at least πT/R_C
    (bounds.zero_free_radius); one output unit of mean μ has |β| = (T/|c|)√(π² + ln²(μ/(1−μ))). c as in
    exact_equilibrium_gradient. Found in floating point; proofs_numeric.balls.certify_nearest_zero proves it. N ≤ 24, else
    ValueError. Paper: thm:C5c.
    """
    zeros = nearest_zeros(model, cost, cost_on=cost_on)
    return complex(zeros[0]) if zeros.size else complex(math.inf)


def nearest_zeros(model: Model, cost: QuadraticCost, *, cost_on: str = "spikes") -> NDArray[Any]:
    """nearest_zero and those as near to within 1e-9, Im β > 0, from right to left: at b = −½J1 also −β̄ is a zero."""
    law = cost_law(model, cost, cost_on=cost_on)
    spread = float(np.ptp(law.values))
    if spread == 0:
        return np.empty(0, dtype=complex)
    inner, outer = 0.99 * math.pi, 1.05 * math.pi
    while not _winding(law, outer):
        inner, outer = outer, outer * GROWTH
        if outer > FARTHEST:
            raise ValueError(
                f"no zero within |β| = {outer * model.temperature / spread:.3g}: the cost's law is concentrated beyond what "
                "floating point can tell from one value"
            )
    while outer / inner > NARROW:
        middle = math.sqrt(inner * outer)
        inner, outer = (inner, middle) if _winding(law, middle) else (middle, outer)
    zeros = _zeros(law, inner, outer)
    zeros = zeros[np.abs(zeros) <= (1 + TIE) * np.abs(zeros).min()]
    return zeros[np.argsort(-zeros.real)] * model.temperature / spread


def partition_zeros(model: Model, cost: QuadraticCost, *, within: float, cost_on: str = "spikes") -> NDArray[Any]:
    """All zeros β of Z with Im β > 0 and |β| ≤ within, by modulus, a multiple one as often as it counts.

    Raises ValueError when they cannot be told apart, or on bad input. Paper: thm:C5c.
    """
    positive_number("within", within)
    law = cost_law(model, cost, cost_on=cost_on)
    spread = float(np.ptp(law.values))
    largest = within * spread / model.temperature
    if largest < math.pi:
        return np.empty(0, dtype=complex)
    zeros = _zeros(law, 0.99 * math.pi, largest)
    return zeros[np.argsort(np.abs(zeros))] * model.temperature / spread


def _terms(law: CostLaw, points: NDArray[Any]) -> tuple[NDArray[Any], FloatArray]:
    """(terms P(t)e^{−wt} over their largest modulus, t) at each point, (P, L)."""
    levels = (law.values - law.values.min()) / np.ptp(law.values)
    exponents = law.log_masses - points[:, None] * levels
    return np.exp(exponents - exponents.real.max(axis=1, keepdims=True)), levels


def _winding(law: CostLaw, radius: float) -> int:
    """Number of zeros with |w| < radius and Im w > 0: Z is positive on the real axis, so the upper half circle tells.

    The mesh is halved where |Z'/Z| is not small against it, as it is near a zero.
    """
    angles = np.linspace(0.0, math.pi, 17 + 8 * math.ceil(radius))
    for _ in range(HALVINGS):
        terms, levels = _terms(law, radius * np.exp(1j * angles))
        values = terms.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.abs(terms @ levels) / np.abs(values)
        coarse = ~(np.diff(angles) * radius * np.maximum(rates[1:], rates[:-1]) < FINE)
        if not coarse.any():
            return round(float(np.angle(values[1:] / values[:-1]).sum()) / (2 * math.pi))
        middles = 0.5 * (angles[1:] + angles[:-1])[coarse]
        angles = np.sort(np.concatenate([angles, middles]))
    raise ValueError(f"a zero lies too close to |w| = {radius:.6g} to count: move the circle")


def _zeros(law: CostLaw, inner: float, outer: float) -> NDArray[Any]:
    """Zeros with inner ≤ |w| ≤ outer and Im w > 0, where none lies within inner; as many as the winding says."""
    wanted = _winding(law, outer)
    density, repeated = DENSITY, np.zeros(0, dtype=complex)
    for _ in range(REFINEMENTS):
        found = _newton(law, _starts(inner, outer, density))
        found = found[(np.abs(found) <= outer) & (found.imag > 0)]
        distinct = _distinct(found)
        repeated = np.repeat(distinct, [_multiplicity(law, zero) for zero in distinct])
        if repeated.size == wanted:
            return repeated
        density *= 2
    raise ValueError(f"found {repeated.size} of {wanted} zeros with |w| ≤ {outer:.6g}: they lie too close together")


def _starts(inner: float, outer: float, density: float) -> NDArray[Any]:
    """A polar mesh of the annulus where Im w ≥ π, the zero-free strip left out."""
    radii = np.linspace(inner, outer, 2 + math.ceil(density * (outer - inner)))
    angles = np.linspace(0.0, math.pi, 9 + math.ceil(density * math.pi * outer))
    mesh = (radii[:, None] * np.exp(1j * angles)).ravel()
    return mesh[mesh.imag >= 0.9 * math.pi]


def _newton(law: CostLaw, points: NDArray[Any]) -> NDArray[Any]:
    """Newton on Z/Z', quadratic at zeros of any multiplicity; the points that converged."""
    moved = points.copy()
    last = np.full(points.shape, math.inf)
    for _ in range(NEWTON_STEPS):
        terms, levels = _terms(law, moved)
        value, slope, curvature = terms.sum(axis=1), -(terms @ levels), terms @ levels**2
        denominator = slope**2 - value * curvature
        step = np.where(denominator == 0, 0.0, value * slope / np.where(denominator == 0, 1.0, denominator))
        # far from a zero a step may be wild; a unit of w is a fraction of the zeros' spacing
        step *= 1 / np.maximum(1.0, np.abs(step))
        moved, last = moved - step, np.abs(step)
    return moved[last <= 1e-6]


def _distinct(points: NDArray[Any]) -> NDArray[Any]:
    """One of each cluster."""
    kept: list[complex] = []
    for point in points:
        if all(abs(point - other) > 1e-5 for other in kept):
            kept.append(complex(point))
    return np.array(kept, dtype=complex)


def _multiplicity(law: CostLaw, zero: complex) -> int:
    """Winding of Z about a small circle; 0 for a critical point that is no zero."""
    terms, _ = _terms(law, zero + 1e-3 * np.exp(2j * math.pi * np.arange(65) / 64))
    values = terms.sum(axis=1)
    return round(float(np.angle(values[1:] / values[:-1]).sum()) / (2 * math.pi))
