"""Fixed points of the mean-field map enclosed in balls, proven to exist and to be unique, and what follows from them.

Main results: certify_fixed_point, CertifiedFixedPoint, susceptibility, implicit_gradient (thm:C1), equilibrium_gradient (thm:C2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import ArrayLike

from meanfield.model import Model, QuadraticCost
from meanfield.solve import MeanFieldMap, continued_fixed_point, fixed_point
from proofs_numeric.balls.arithmetic import (
    Balls,
    Undecided,
    diagonal_matrix,
    exact,
    floats,
    hull,
    identity,
    inverse,
    largest,
    logistic,
    logistic_slope,
    middle,
    positive_definite,
    precision,
    solve,
    upper,
)

BITS = 128
NEWTON_STEPS = 12
# The uniqueness ball is sought among radii 2^-k.
RADII = tuple(2.0**-k for k in range(1, 60))


@dataclass(frozen=True, eq=False)
class CertifiedFixedPoint:
    """One fixed point of m = σ((Hm + o)/T), H = J − β diag(slope), o = b − β offset, proven to exist.

    mean, complement: enclosures of m and of 1 − m, (N,), each to full relative accuracy. radius: half-width of the
    widest mean. unique_within: no other fixed point has |m' − m| below this in every unit. unique: whether it is proven
    the only one anywhere, by λ_max(H) < 4T decided in balls (thm:A5b). bits: of the precision that proved it.
    """

    model: Model
    mean: Balls
    complement: Balls
    field_jacobian: Balls
    radius: float
    unique_within: float
    unique: bool
    bits: int

    @property
    def variance(self) -> Balls:
        """v = m(1 − m), (N,)."""
        return self.mean * self.complement

    @property
    def value(self) -> np.ndarray:
        """The mean rounded to floats."""
        return floats(self.mean)


def certify_fixed_point(
    model: Model,
    *,
    start: ArrayLike | None = None,
    cost: QuadraticCost | None = None,
    nudging: float = 0.0,
    cost_on: str = "rates",
    bits: int = BITS,
) -> CertifiedFixedPoint:
    """Enclose a fixed point of m = σ((Jm + b − β∂C)/T) and prove it unique in a ball about it (Krawczyk's test).

    With g(m) = m − σ((Hm + o)/T), a midpoint x and Y ≈ g'(x)⁻¹: if x − Yg(x) + (I − Yg'(X))(X − x) lies inside the box X,
    then X holds exactly one root, and it lies in that set. The floats of the model are taken as exact numbers.
    Any model; of several fixed points the one that meanfield.fixed_point reaches from `start`, at a nudging the one
    continued from it. Raises Undecided when the root is degenerate to within `bits` bits.
    """
    mapping = MeanFieldMap.of(model, "none", cost, float(nudging), cost_on)
    found = fixed_point(model, start=start, method="newton").value if start is not None else _default(model)
    if nudging != 0:
        found = continued_fixed_point(mapping, found, 0.5 * model.temperature)
    with precision(bits):
        return _certify(_BallMap.of(mapping), found, bits)


def _default(model: Model) -> np.ndarray:
    # any of several fixed points may be certified; which one does not matter here
    return fixed_point(model, start=np.full(model.size, 0.5), method="newton").value


@dataclass(frozen=True, eq=False)
class _BallMap:
    model: Model
    jacobian: Balls
    offset: Balls
    temperature: Any

    @classmethod
    def of(cls, mapping: MeanFieldMap) -> _BallMap:
        model, nudging = mapping.model, arb(float(mapping.nudging.real))
        jacobian = exact(model.couplings) - nudging * diagonal_matrix(exact(mapping.slope))
        return cls(model, jacobian, exact(model.bias) - nudging * exact(mapping.offset), arb(model.temperature))

    def scaled_field(self, mean: Balls) -> Balls:
        return (self.jacobian @ mean + self.offset) / self.temperature

    def residual_slope(self, mean: Balls) -> Balls:
        """g'(X) = I − diag(σ'(h/T)) H/T over the box."""
        slope = logistic_slope(self.scaled_field(mean)) / self.temperature
        return identity(len(mean)) - slope[:, None] * self.jacobian


def _certify(mapping: _BallMap, found: np.ndarray, bits: int) -> CertifiedFixedPoint:
    centre = _polished(mapping, exact(found))
    guess = middle(inverse(mapping.residual_slope(centre)))
    step = guess @ (centre - logistic(mapping.scaled_field(centre)))
    reach = largest(upper(abs(step)))
    for factor in (2, 2**10, 2**20):
        width = (factor * reach + arb(2) ** (8 - bits)).upper()
        box = hull(centre - width, centre + width)
        image = centre - step + (identity(len(centre)) - guess @ mapping.residual_slope(box)) @ (box - centre)
        if all(outer.contains_interior(inner) for outer, inner in zip(box, image, strict=True)):
            break
    else:
        raise Undecided(
            f"no fixed point certified at {bits} bits near {np.array2string(found, precision=6)}: "
            "I − VJ/T is nearly singular there; use more bits or move the temperature"
        )
    field = mapping.scaled_field(image)
    mean, complement = logistic(field), logistic(-field)
    unique = positive_definite(4 * mapping.temperature * identity(len(centre)) - mapping.jacobian)
    within = _uniqueness_radius(mapping, centre, guess)
    half_width = float(largest(upper(abs(mean - middle(mean)))).abs_upper())
    return CertifiedFixedPoint(mapping.model, mean, complement, mapping.jacobian, half_width, within, unique, bits)


def _polished(mapping: _BallMap, point: Balls) -> Balls:
    """Newton on midpoints, until it stops to help."""
    for _ in range(NEWTON_STEPS):
        residual = point - logistic(mapping.scaled_field(point))
        try:
            point = middle(point - solve(middle(mapping.residual_slope(point)), residual))
        except Undecided:
            break
    return point


def _uniqueness_radius(mapping: _BallMap, centre: Balls, guess: Balls) -> float:
    """The largest 2^-k with ‖I − Yg'(X)‖_∞ < 1 over the box of that half-width: then g is one-to-one there."""
    for half_width in RADII:
        box = hull(centre - arb(half_width), centre + arb(half_width))
        slack = abs(identity(len(centre)) - guess @ mapping.residual_slope(box)).sum(axis=1)
        if all(row < 1 for row in slack):
            return half_width
    return 0.0


def susceptibility(point: CertifiedFixedPoint) -> Balls:
    """χ = ∂m/∂b = (TV⁻¹ − H)⁻¹ = (I − VH/T)⁻¹ V/T, enclosed, (N, N)."""
    with precision(point.bits):
        scale = point.variance / arb(point.model.temperature)
        return solve(identity(len(scale)) - scale[:, None] * point.field_jacobian, diagonal_matrix(scale))


def implicit_gradient(
    model: Model, cost: QuadraticCost, *, cost_on: str = "rates", start: ArrayLike | None = None, bits: int = BITS
) -> tuple[Balls, Balls]:
    """dC(m*)/dJ_ij = (χ∂C)_i m_j + (χ∂C)_j m_i and dC(m*)/db = χ∂C, enclosed: (N, N), (N,). Paper: thm:C1."""
    slope, offset = cost.force(model.size, cost_on)
    point = certify_fixed_point(model, start=start, bits=bits)
    with precision(bits):
        adjoint = susceptibility(point) @ (exact(slope) * point.mean + exact(offset))
        couplings = np.outer(adjoint, point.mean)
        return _without_diagonal(couplings + couplings.T), adjoint


def equilibrium_gradient(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    estimator: str = "symmetric",
    cost_on: str = "rates",
    start: ArrayLike | None = None,
    bits: int = BITS,
) -> tuple[Balls, Balls]:
    """The finite-nudge EP gradient (g(β) − g(β'))/(β − β'), g = (−m mᵀ, −m), enclosed: (N, N), (N,). Paper: thm:C2.

    "one-sided": β' = 0; "symmetric": β' = −β. nudging: a float, taken as an exact real number, not 0.
    """
    if estimator not in ("one-sided", "symmetric"):
        raise ValueError(f"estimator must be one-sided or symmetric, got {estimator!r}")
    if nudging == 0:
        raise ValueError("nudging must not be 0: the estimators divide by it")
    strengths = (nudging, 0.0 if estimator == "one-sided" else -nudging)
    first, second = (
        certify_fixed_point(model, start=start, cost=cost, nudging=strength, cost_on=cost_on, bits=bits).mean
        for strength in strengths
    )
    with precision(bits):
        span = arb(strengths[0]) - arb(strengths[1])
        couplings = (np.outer(second, second) - np.outer(first, first)) / span
        return _without_diagonal(couplings), (second - first) / span


def _without_diagonal(matrix: Balls) -> Balls:
    matrix[np.diag_indices(len(matrix))] = arb(0)
    return matrix
