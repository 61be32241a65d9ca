"""Every closed-form bound, with its hypotheses tested before it answers.

Main results: covariance (thm:B3), gibbs_mean_error (thm:B6), little_mean_error (thm:B7), leaky_tracking (thm:B4),
leaky_covariance, leaky_mean_error (thm:B5), leaky_deviation (thm:B8), drift_lag, best_leak (thm:B10), descent (thm:A4),
mixing_sweeps (thm:B3), holomorphy_radius, estimator_bias (thm:C2).

Letters: κ = ‖J‖₂/(4T), κ_a = ‖|J|‖₂/(4T), κ_∞ = ‖J‖_∞/(4T), C = tanh(|J|/(4T)), D = (I − C)⁻¹, ε the leak, K the spiking
copies of a neuron. A bound outside its hypotheses raises HypothesisError naming the one that failed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from meanfield.equations import (
    SUP_CURVATURE,
    activity_variance,
    descent_factor,
    firing_curvature,
    firing_probability,
)
from meanfield.model import FloatArray, HypothesisError, Model, QuadraticCost, leak_vector, whole_number

# Where |σ''| is largest.
CURVATURE_PEAK = math.log(2 + math.sqrt(3))
# Heights y of the strip |Im h/T| < y over which the holomorphy radius is maximised.
STRIP_HEIGHTS = np.linspace(0.0, math.pi, 20_001)[1:-1]


def covariance(model: Model) -> FloatArray:
    """|Cov(z_i, z_j)| ≤ min(ℓ_i, ℓ_j) D_ij / max(D_ii, D_jj) ≤ ¼D_ij under exp(−E/T), (N, N).

    ℓ_i ≤ ¼ is the largest variance that the fields of unit i allow. Holds when ρ(C) < 1. Paper: thm:B3.
    """
    return _covariance(model, model.influence)


def little_covariance(model: Model) -> FloatArray:
    """Little's |Cov(z_i, z_j)|: covariance with D' = (I − C²)⁻¹ for D, (N, N). Holds when ρ(C) < 1. Paper: thm:B7."""
    return _covariance(model, model.influence @ model.influence)


def gibbs_mean_error(model: Model) -> FloatArray:
    """|E z − m*| ≤ (I − L)⁻¹ [w ∘ diag(|J| Ĉ |J|)], (N,), Ĉ = covariance(model). Holds when κ_a < 1. Paper: thm:B6.

    L = diag(ℓ)|J|/T, ℓ_i = max σ' ≤ ¼ and k_i = max|σ''| ≤ M₂ over the fields that unit i can have, and
    w_i = min(k_i/2T², (|b_i| + (4/3)Σ_j|J_ij|)/16T³). Never above (I − |J|/4T)⁻¹ (M₂/2T²) diag(|J| ¼D |J|); O(T⁻³) at fixed b.
    """
    _require_absolute_gain(model)
    return _mean_error(model, covariance(model))


def little_mean_error(model: Model) -> FloatArray:
    """Little's |E z − m*|: gibbs_mean_error with Ĉ = little_covariance(model), (N,). Holds when κ_a < 1. Paper: thm:B7."""
    _require_absolute_gain(model)
    return _mean_error(model, little_covariance(model))


def leaky_tracking(model: Model, *, leak: float | ArrayLike, steps: int | None = None, copies: int = 1) -> float:
    """E‖s_t − m_t‖² ≤ (ε²N/4K)(1 − ρ^{2t})/(1 − ρ²), ρ = 1 − ε(1 − κ), from the same start; steps None: stationary.

    Leaks (N,): max_i(ε_i q_i) Σ_i ε_i/(4K q_i) · (1 − q^{2t})/(1 − q²), q_i = 1 − ε_i(1 − κ'), q = max q_i, at the best
    κ' ∈ [κ, 1): the theorem only asks ‖J‖₂ ≤ 4Tκ', and κ' > κ keeps a unit of leak 1 from a vanishing q_i.
    Holds when κ < 1; at finite t with one leak for every κ, the fraction read as Σ_{k<t} ρ^{2k}. Paper: thm:B4.
    """
    leaks = leak_vector(leak, model.size)
    whole_number("copies", copies, 1)
    if steps is None or np.ndim(leak):
        _require(model.gain < 1, "κ = ‖J‖₂/(4T)", model.gain)
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
    _require_absolute_gain(model)
    return _discrete_lyapunov(transition, noise)


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
    _require(model.gain < 1, "κ = ‖J‖₂/(4T)", model.gain)
    _check_drift(drift)
    rate = 1 - epsilon * (1 - model.gain)
    if copies is None:
        return drift / (epsilon * (1 - model.gain))
    noise = epsilon**2 * model.size / (4 * whole_number("copies", copies, 1))
    return (rate * drift + math.sqrt(drift**2 + (1 - rate**2) * noise)) / (1 - rate**2)


def best_leak(model: Model, *, drift: float, copies: int = 1) -> float:
    """ε* = min(1, (2/(1−κ)) q/(1+q)), q = (2(1−κ)ω√(K/N))^{2/3}: least lag + noise of thm:B10. Holds when κ < 1."""
    _require(model.gain < 1, "κ = ‖J‖₂/(4T)", model.gain)
    _check_drift(drift)
    slack = 1 - model.gain
    ratio = (2 * slack * drift * math.sqrt(whole_number("copies", copies, 1) / model.size)) ** (2 / 3)
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


def mixing_sweeps(
    model: Model,
    *,
    dynamics: str = "glauber",
    leak: float | ArrayLike = 1.0,
    accuracy: float = 1e-3,
    nudging: float = 0.0,
) -> int:
    """Sweeps after which the law is within `accuracy` of the stationary one from any start.

    glauber: ⌈N ln(N/η)/(1 − ρ(C))⌉ updates, η the total variation (thm:B3); block and little: N ρ(C)^t ≤ η (thm:B7);
    leaky: the ℓ₁ distance of coupled traces, N √(ε_max/ε_min) (1 − ε_min(1 − κ_a))^t ≤ η (thm:B5); a nudge by the cost
    on rates adds |nudging|/4T to κ_a, one on spikes nothing. leak: number or (N,). Holds when ρ(C) < 1 (leaky: κ_a < 1).
    """
    if dynamics not in ("glauber", "block", "little", "leaky"):
        raise ValueError(
            f"dynamics must be glauber, block, little or leaky, got {dynamics!r}: no mixing time is proven for it"
        )
    if not 0 < accuracy < 1:
        raise ValueError(f"accuracy must lie between 0 and 1, got {accuracy}")
    scale = math.log(model.size / accuracy)
    if dynamics == "leaky":
        leaks = leak_vector(leak, model.size)
        gain = model.absolute_gain + abs(nudging) / (4 * model.temperature)
        _require(gain < 1, "κ_a = ‖|J|‖₂/(4T)" + (" + |nudging|/(4T)" if nudging else ""), gain)
        rate = 1 - float(leaks.min()) * (1 - gain)
        scale += 0.5 * math.log(leaks.max() / leaks.min())
    else:
        rate = _require_dobrushin(model)
    if dynamics == "glauber":
        return math.ceil(math.ceil(model.size * scale / (1 - rate)) / model.size)
    return max(1, math.ceil(scale / -math.log(rate))) if rate > 0 else 1


def holomorphy_radius(model: Model, cost: QuadraticCost, cost_on: str = "rates") -> float:
    """R = max over 0 < y < π of T(y − 2κ_∞ tan(y/2))/M(y), M = 1 for y ≤ π/2, 1/sin y beyond; linear cost: M ← max|c|.

    On |β| < R the nudged fixed point is holomorphic in the complex nudging β. Holds when κ_∞ < 1. Paper: thm:C2.
    """
    return float(_strip_radii(model, cost, cost_on).max())


def estimator_bias(
    model: Model, cost: QuadraticCost, *, nudging: float, estimator: str, points: int = 8, cost_on: str = "rates"
) -> float:
    """Every coupling's |EP estimate − dL/dJ_ij| ≤ (M²/R) r^k/(1 − r^k), r = |β|/R; k = 1 one-sided, 2 symmetric, N holomorphic.

    The least over the strip heights y of thm:C2, R = R(y), M = M(y). Holds when κ_∞ < 1 and |β| < R. Paper: thm:C2.
    """
    orders = {"one-sided": 1, "symmetric": 2, "holomorphic": whole_number("points", points, 2)}
    if estimator not in orders:
        raise ValueError(f"estimator must be one of {', '.join(orders)}, got {estimator!r}")
    radii = _strip_radii(model, cost, cost_on)
    _require(abs(nudging) < radii.max(), "|nudging|", abs(nudging), limit=float(radii.max()))
    inside = radii > abs(nudging)
    ratio = (abs(nudging) / radii[inside]) ** orders[estimator]
    return float((_strip_modulus(STRIP_HEIGHTS[inside]) ** 2 / radii[inside] * ratio / (1 - ratio)).min())


def _strip_modulus(heights: FloatArray) -> FloatArray:
    return np.where(heights <= math.pi / 2, 1.0, 1 / np.sin(heights))


def _strip_radii(model: Model, cost: QuadraticCost, cost_on: str) -> FloatArray:
    _require(model.row_gain < 1, "κ_∞ = ‖J‖_∞/(4T)", model.row_gain)
    _, offset = cost.force(model.size, cost_on)
    reach = model.temperature * (STRIP_HEIGHTS - 2 * model.row_gain * np.tan(STRIP_HEIGHTS / 2))
    if cost_on == "rates":
        return reach / _strip_modulus(STRIP_HEIGHTS)
    strongest = np.abs(offset).max()
    return reach / strongest if strongest > 0 else np.full_like(reach, np.inf)


def _require(holds: bool, quantity: str, value: float, limit: float = 1.0) -> None:
    if not holds:
        raise HypothesisError(
            f"this bound needs {quantity} < {limit:.6g}, got {value:.6g}: raise the temperature or use less"
        )


def _check_drift(drift: float) -> None:
    if not (np.isfinite(drift) and drift >= 0):
        raise ValueError(f"drift must be finite and not negative, got {drift}")


def _require_absolute_gain(model: Model) -> None:
    _require(model.absolute_gain < 1, "κ_a = ‖|J|‖₂/(4T)", model.absolute_gain)


def _require_dobrushin(model: Model) -> float:
    """ρ(C), refused unless below 1."""
    radius = float(np.abs(np.linalg.eigvalsh(model.influence)).max())
    _require(radius < 1, "ρ(C), C = tanh(|J|/4T)", radius)
    return radius


def _field_ranges(model: Model) -> tuple[FloatArray, FloatArray]:
    """Least and greatest h_i/T over all states, (N,) each."""
    low = (model.bias + np.minimum(model.couplings, 0).sum(axis=1)) / model.temperature
    high = (model.bias + np.maximum(model.couplings, 0).sum(axis=1)) / model.temperature
    return low, high


def _largest_slope(model: Model) -> FloatArray:
    """ℓ_i = max σ' over the fields of unit i, which is also the largest m_i(1 − m_i) there, (N,)."""
    return activity_variance(firing_probability(np.clip(0.0, *_field_ranges(model)), 1.0))


def _largest_curvature(model: Model) -> FloatArray:
    """k_i = max|σ''| over the fields of unit i, (N,): at ±CURVATURE_PEAK, else at the end nearest to one of them."""
    low, high = _field_ranges(model)
    probability = firing_probability(
        np.stack([np.clip(peak, low, high) for peak in (-CURVATURE_PEAK, CURVATURE_PEAK)]), 1.0
    )
    return np.abs(firing_curvature(probability, 1.0)).max(axis=0)


def _covariance(model: Model, influence: FloatArray) -> FloatArray:
    _require_dobrushin(model)
    propagated = np.linalg.inv(np.eye(model.size) - influence)
    diagonal, variance = np.diagonal(propagated), _largest_slope(model)
    return np.minimum.outer(variance, variance) * propagated / np.maximum.outer(diagonal, diagonal)


def _mean_error(model: Model, spread: FloatArray) -> FloatArray:
    absolute, temperature = np.abs(model.couplings), model.temperature
    variance = np.einsum("ij,jk,ki->i", absolute, spread, absolute)
    cubic = (np.abs(model.bias) + 4 / 3 * absolute.sum(axis=1)) / (16 * temperature**3)
    residual = np.minimum(_largest_curvature(model) / (2 * temperature**2), cubic) * variance
    propagator = np.eye(model.size) - _largest_slope(model)[:, None] * absolute / temperature
    return np.linalg.solve(propagator, residual)


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


def _discrete_lyapunov(transition: FloatArray, noise: FloatArray) -> FloatArray:
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
