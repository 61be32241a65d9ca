"""The closed-form bounds evaluated in balls: what meanfield.bounds computes in floats, rounding included.

Main results: covariance (thm:B3), little_covariance (thm:B7), gibbs_mean_error (thm:B6), little_mean_error (thm:B7),
leaky_spread (thm:B5), gain, lowest_eigenvalue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from meanfield.model import Model
from proofs_numeric.balls.arithmetic import (
    Balls,
    Undecided,
    diagonal_matrix,
    each,
    exact,
    identity,
    inverse,
    larger,
    logistic_slope,
    smaller,
    solve,
    spectral_norm,
    spectrum,
)


def gain(model: Model) -> Any:
    """κ = ‖J‖₂/(4T)."""
    return spectral_norm(exact(model.couplings)) / (4 * arb(model.temperature))


def lowest_eigenvalue(model: Model) -> Any:
    """λ⁻ = max(0, −λ_min(J))."""
    return (-spectrum(exact(model.couplings))[0]).max(arb(0))


def influence(model: Model) -> Balls:
    """C = tanh(|J|/4T), (N, N)."""
    return each(arb.tanh, abs(exact(model.couplings)) / (4 * arb(model.temperature)))


def require_below_one(norm: Any, quantity: str) -> None:
    """Undecided unless the hypothesis is certain."""
    if not norm < 1:
        raise Undecided(f"{quantity} < 1 is not certain: {norm}")


def field_ranges(model: Model) -> tuple[Balls, Balls]:
    """Least and greatest h_i/T over all states, (N,) each."""
    bias, temperature = exact(model.bias), arb(model.temperature)
    low = bias + exact(np.minimum(model.couplings, 0)).sum(axis=1)
    high = bias + exact(np.maximum(model.couplings, 0)).sum(axis=1)
    return low / temperature, high / temperature


def largest_slope(model: Model) -> Balls:
    """ℓ_i = max σ' over the fields of unit i, (N,): σ' is largest where the field is nearest to 0."""
    return logistic_slope(_nearest(exact(np.zeros(model.size)), *field_ranges(model)))


def largest_curvature(model: Model) -> Balls:
    """k_i = max |σ''| over the fields of unit i, (N,): where the field is nearest to ± ln(2 + √3)."""
    peak = exact(np.ones(model.size)) * (2 + arb(3).sqrt()).log()
    low, high = field_ranges(model)
    return larger(*(each(_curvature, _nearest(sign * peak, low, high)) for sign in (1, -1)))


def _nearest(point: Balls, low: Balls, high: Balls) -> Balls:
    return smaller(larger(point, low), high)


def _curvature(scaled_field: Any) -> Any:
    """|σ''(x)|."""
    chance = 1 / (1 + (-scaled_field).exp())
    return abs(chance * (1 - chance) * (1 - 2 * chance))


def covariance(model: Model) -> Balls:
    """min(ℓ_i, ℓ_j) D_ij / max(D_ii, D_jj), D = (I − C)⁻¹, (N, N)."""
    return spread_bound(influence(model), largest_slope(model))


def little_covariance(model: Model) -> Balls:
    """The same with D' = (I − C²)⁻¹."""
    square = influence(model)
    return spread_bound(square @ square, largest_slope(model))


def spread_bound(matrix: Balls, variance: Balls) -> Balls:
    """min(v_i, v_j) D_ij / max(D_ii, D_jj) with D = (I − matrix)⁻¹, its hypothesis ρ < 1 decided."""
    require_below_one(spectral_norm(matrix), "ρ(C)")
    propagated = inverse(identity(len(matrix)) - matrix)
    diagonal = np.diagonal(propagated)
    return outer(smaller, variance) * propagated / outer(larger, diagonal)


def outer(function: Callable[[Any, Any], Balls], vector: Balls) -> Balls:
    """function(v_i, v_j), (N, N)."""
    return function(vector[:, None], vector[None, :])


def gibbs_mean_error(model: Model) -> Balls:
    """thm:B6's bound, as meanfield.bounds.gibbs_mean_error evaluates it, (N,)."""
    return mean_error(model, covariance(model))


def little_mean_error(model: Model) -> Balls:
    """thm:B7's bound, as meanfield.bounds.little_mean_error evaluates it, (N,)."""
    return mean_error(model, little_covariance(model))


def mean_error(model: Model, spread: Balls) -> Balls:
    """(I − L)⁻¹ [min(k/2T², (|b| + (4/3)Σ|J|)/16T³) ∘ diag(|J| spread |J|)], its hypothesis κ_a < 1 decided."""
    absolute, temperature = abs(exact(model.couplings)), arb(model.temperature)
    require_below_one(spectral_norm(absolute) / (4 * temperature), "κ_a")
    cubic = (abs(exact(model.bias)) + 4 * absolute.sum(axis=1) / 3) / (16 * temperature**3)
    residual = smaller(largest_curvature(model) / (2 * temperature**2), cubic)
    residual = residual * np.diagonal(absolute @ spread @ absolute)
    return solve(identity(model.size) - largest_slope(model)[:, None] * absolute / temperature, residual)


def leaky_spread(model: Model, *, leak: float, steps: int) -> tuple[Balls, Balls]:
    """(Σ_t (N, N), δ_t (N,)) of thm:B5 after `steps` steps, K = 1."""
    absolute, temperature, epsilon = abs(exact(model.couplings)), arb(model.temperature), arb(leak)
    transition = (1 - epsilon) * identity(model.size) + epsilon * absolute / (4 * temperature)
    curvature_bound = 1 / (6 * arb(3).sqrt()) / (2 * temperature**2)
    noise = diagonal_matrix(exact(np.ones(model.size)) * epsilon**2 / 4)
    spread, error = exact(np.zeros((model.size, model.size))), exact(np.zeros(model.size))
    for _ in range(steps):
        error = transition @ error + epsilon * curvature_bound * np.diagonal(absolute @ spread @ absolute)
        spread = transition @ spread @ transition.T + noise
    return spread, error
