"""Bounds on leaky spikes and on the deterministic iteration that they follow.

Main results: leaky_tracking (thm:B4), leaky_covariance, leaky_mean_error (thm:B5), leaky_deviation (thm:B8), drift_lag, best_leak
(thm:B10), descent (thm:A4).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from meanfield.bounds.hypotheses import require, require_absolute_gain
from meanfield.equations import SUP_CURVATURE, descent_factor
from meanfield.model import FloatArray, Model, leak_vector, whole_number


def leaky_tracking(model: Model, *, leak: float | ArrayLike, steps: int | None = None, copies: int = 1) -> float:
    """E‖s_t − m_t‖² ≤ (ε²N/4K)(1 − ρ^{2t})/(1 − ρ²), ρ = 1 − ε(1 − κ), from the same start; steps None: stationary.

    Leaks (N,): max_i(ε_i q_i) Σ_i ε_i/(4K q_i) · (1 − q^{2t})/(1 − q²), q_i = 1 − ε_i(1 − κ'), q = max q_i, at the best of
    100 κ' ∈ [κ, 1): the theorem only asks ‖J‖₂ ≤ 4Tκ', and κ' > κ keeps a unit of leak 1 from a vanishing q_i.
    Holds when κ < 1; at finite t with one leak for every κ, the fraction read as Σ_{k<t} ρ^{2k}. Paper: thm:B4.
    """
    leaks = leak_vector(leak, model.size)
    whole_number("copies", copies, 1)
    if steps is None or np.ndim(leak):
        require(model.gain < 1, "κ = ‖J‖₂/(4T)", model.gain)
    if not np.ndim(leak):
        epsilon = float(leaks[0])
        rate = 1 - epsilon * (1 - model.gain)
        return epsilon**2 * model.size / (4 * copies) * _geometric_sum(rate**2, steps)
    candidates = []
    for share in np.linspace(0.0, 0.99, 100):
        rates = 1 - leaks * (1 - model.gain) * (1 - share)
        if rates.min() > 0:
            weight = (leaks * rates).max() * (leaks / (4 * copies * rates)).sum()
            candidates.append(float(weight) * _geometric_sum(float(rates.max()) ** 2, steps))
    return min(candidates)


def leaky_covariance(model: Model, *, leak: float | ArrayLike, steps: int | None = None, copies: int = 1) -> float:
    """λ_max(Cov s_t) ≤ λ_max(Σ_t) = (ε²/4K)(1 − ρ_a^{2t})/(1 − ρ_a²), ρ_a = 1 − ε(1 − κ_a), for one ε; any N.

    Holds when κ_a < 1; at finite t for every κ_a. Paper: thm:B5.
    """
    return float(np.linalg.eigvalsh(leaky_covariance_matrix(model, leak=leak, steps=steps, copies=copies))[-1])


def leaky_covariance_matrix(
    model: Model, *, leak: float | ArrayLike, steps: int | None = None, copies: int = 1
) -> FloatArray:
    """Σ_t of thm:B5, (N, N): Σ_{t+1} = GΣ_tGᵀ + diag(ε_i²/4K), Σ_0 = 0, G = I − D_ε + D_ε|J|/(4T); |Cov s_t| ≤ Σ_t entrywise.

    Holds when κ_a < 1; at finite t for every κ_a.
    """
    leaks = leak_vector(leak, model.size)
    transition = _absolute_transition(model, leaks)
    noise = np.diag(leaks**2 / (4 * whole_number("copies", copies, 1)))
    if steps is not None:
        spread = np.zeros_like(noise)
        for _ in range(whole_number("steps", steps, 0)):
            spread = transition @ spread @ transition.T + noise
        return spread
    require_absolute_gain(model)
    return discrete_lyapunov(transition, noise)


def leaky_mean_error(model: Model, *, leak: float | ArrayLike, steps: int | None = None, copies: int = 1) -> FloatArray:
    """|E s_t − m_t| ≤ δ_t, δ_{t+1} = Gδ_t + D_ε(M₂/2T²) diag(|J|Σ_t|J|), (N,), from the same start.

    steps None: |E s − m*| ≤ (I − |J|/4T)⁻¹ (M₂/2T²) diag(|J|Σ_∞|J|). Holds when κ_a < 1; at finite t for every κ_a.
    Paper: thm:B5.
    """
    leaks = leak_vector(leak, model.size)
    if steps is None:
        return _propagated_input_variance(model, leaky_covariance_matrix(model, leak=leak, copies=copies))
    transition = _absolute_transition(model, leaks)
    noise = np.diag(leaks**2 / (4 * whole_number("copies", copies, 1)))
    spread, error = np.zeros_like(noise), np.zeros(model.size)
    for _ in range(whole_number("steps", steps, 0)):
        error = transition @ error + leaks * _curved_input_variance(model, spread)
        spread = transition @ spread @ transition.T + noise
    return error


def leaky_deviation(
    model: Model,
    direction: ArrayLike,
    radius: float,
    *,
    leak: float | ArrayLike,
    steps: int | None = None,
    copies: int = 1,
) -> float:
    """P(|aᵀ(s_t − E s_t)| ≥ r) ≤ 2 exp(−r²/(2|a|ᵀΣ_t|a|)), deterministic start. Holds when κ_a < 1. Paper: thm:B8."""
    weights = np.abs(np.asarray(direction, dtype=np.float64))
    variance = weights @ leaky_covariance_matrix(model, leak=leak, steps=steps, copies=copies) @ weights
    if radius <= 0:
        return 1.0
    return min(1.0, 2 * math.exp(-(radius**2) / (2 * float(variance)))) if variance > 0 else 0.0


def drift_lag(model: Model, *, leak: float, drift: float, copies: int | None = None) -> float:
    """Stationary √(E‖s − m*‖²) ≤ [ρω + √(ω² + (1 − ρ²)ε²N/4K)]/(1 − ρ²) behind a moving fixed point; copies None: ω/(ε(1−κ)).

    drift: ω ≥ ‖m*_{t+1} − m*_t‖₂, itself at most ‖Δb‖₂/(4T − λ_max(J)). Holds when κ < 1. Paper: thm:B10.
    """
    if np.ndim(leak):
        raise ValueError(f"leak must be one number here, got {leak}: the lag is proven for one leak")
    epsilon = float(leak_vector(leak, model.size)[0])
    require(model.gain < 1, "κ = ‖J‖₂/(4T)", model.gain)
    _check_drift(drift)
    slack = 1 - model.gain
    if copies is None:
        return drift / (epsilon * slack)
    return stationary_distance(slack, drift, model.size / (4 * whole_number("copies", copies, 1)), leak=epsilon)


def stationary_distance(slack: float, drift: float, noise: float, *, leak: float) -> float:
    """X = [ρω + √(ω² + (1−ρ²)ε²·noise)]/(1 − ρ²), ρ = 1 − ε·slack, what X ← √((ρX + ω)² + ε²·noise) comes to.

    noise: variance that one step of leak 1 adds, N/4K at most, Σ m(1−m) near a fixed point. Paper: thm:B10 b.
    """
    rate = 1 - leak * slack
    return (rate * drift + math.sqrt(drift**2 + (1 - rate**2) * leak**2 * noise)) / (1 - rate**2)


def best_leak(model: Model, *, drift: float, copies: int = 1) -> float:
    """ε* = min(1, (2/(1−κ)) q/(1+q)), q = (2(1−κ)ω√(K/N))^{2/3}: least lag + noise of thm:B10. Holds when κ < 1."""
    require(model.gain < 1, "κ = ‖J‖₂/(4T)", model.gain)
    _check_drift(drift)
    return lag_against_noise(1 - model.gain, drift, model.size / (4 * whole_number("copies", copies, 1)))


def lag_against_noise(slack: float, drift: float, noise: float) -> float:
    """The leak ε ∈ (0, 1] of least ω/(ε·slack) + √(ε·noise/(slack(2 − ε·slack))), as `stationary_distance` has them.

    ε* = min(1, (2/slack) q/(1+q)), q = (slack·ω/√noise)^⅔. Paper: thm:B10 c.
    """
    ratio = (slack * drift / math.sqrt(noise)) ** (2 / 3)
    return min(1.0, 2 / slack * ratio / (1 + ratio))


def descent(model: Model, *, leak: float | ArrayLike) -> float | FloatArray:
    """The factor c of F(m') − F(m) ≤ −c‖σ(h/T) − m‖²: c = 4Tε − ½ε²(4T + λ⁻), λ⁻ = max(0, −λ_min(J)).

    Leaks (N,) give c_i = 2Tε_i(2 − ε_i) − ½λ⁻ε_i², (N,), for −Σ c_i (p_i − m_i)². Not negative for ε ≤ 8T/(4T + λ⁻).
    Holds for every model and ε in (0, 1]. Paper: thm:A4.
    """
    leaks = leak_vector(leak, model.size)
    lowest = max(0.0, -float(model.spectrum[0]))
    factors = descent_factor(leaks, model.temperature, lowest)
    return factors if np.ndim(leak) else float(factors[0])


def _check_drift(drift: float) -> None:
    if not (np.isfinite(drift) and drift >= 0):
        raise ValueError(f"drift must be finite and not negative, got {drift}")


def _curved_input_variance(model: Model, spread: FloatArray) -> FloatArray:
    """(M₂/2T²) diag(|J| spread |J|), (N,)."""
    absolute = np.abs(model.couplings)
    return SUP_CURVATURE / (2 * model.temperature**2) * np.einsum("ij,jk,ki->i", absolute, spread, absolute)


def _propagated_input_variance(model: Model, spread: FloatArray) -> FloatArray:
    """(I − |J|/4T)⁻¹ (M₂/2T²) diag(|J| spread |J|), (N,)."""
    system = np.eye(model.size) - np.abs(model.couplings) / (4 * model.temperature)
    return np.linalg.solve(system, _curved_input_variance(model, spread))


def _absolute_transition(model: Model, leaks: FloatArray) -> FloatArray:
    """G = I − D_ε + D_ε|J|/(4T)."""
    return np.diag(1 - leaks) + leaks[:, None] * np.abs(model.couplings) / (4 * model.temperature)


def discrete_lyapunov(transition: FloatArray, noise: FloatArray) -> FloatArray:
    """Σ = GΣGᵀ + noise by doubling: Σ ← Σ + GΣGᵀ, G ← G², quadratically convergent for ρ(G) < 1."""
    spread = noise
    for _ in range(64):
        increment = transition @ spread @ transition.T
        spread = spread + increment
        if increment.max() <= np.finfo(float).eps * spread.max():
            break
        transition = transition @ transition
    return spread


def _geometric_sum(ratio: float, steps: int | None) -> float:
    """Σ_{k < steps} ratio^k, all of it for None."""
    if steps is None:
        return 1 / (1 - ratio)
    count = whole_number("steps", steps, 0)
    return float(count) if ratio == 1 else (1 - ratio**count) / (1 - ratio)
