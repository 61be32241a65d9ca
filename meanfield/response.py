"""Linear response at a mean-field fixed point.

Main results: susceptibility, implicit_gradient (thm:C1), contraction_rate (thm:A5), linear_noise (thm:B11).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from meanfield.equations import activity_variance, firing_curvature
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, leak_vector, whole_number
from meanfield.solve import MeanFieldMap, fixed_point


def susceptibility(model: Model, mean_activity: FloatArray, correction: str = "none") -> FloatArray:
    """∂m/∂b = (T V⁻¹ − H)⁻¹ with H = ∂h/∂m (= J when uncorrected), V = diag(m(1 − m)); (N, N), symmetric.

    *Holds when* mean_activity is a fixed point and I − VH/T is invertible. Raises ValueError when it is singular.
    """
    variance = activity_variance(mean_activity)
    field_jacobian = MeanFieldMap.of(model, correction, None, 0.0, "rates").field_jacobian(mean_activity)
    # √V-scaled, the system is symmetric and stays well posed for saturated units (v = 0).
    scale = np.sqrt(np.maximum(variance, 0.0) / model.temperature)
    system = np.eye(model.size) - scale[:, None] * field_jacobian * scale
    try:
        inner = np.linalg.solve(system, np.diag(scale))
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"the linear response diverges: I − VJ/T is singular at κ = {model.gain:.3g}; move the temperature or the bias"
        ) from error
    response = scale[:, None] * inner
    return 0.5 * (response + response.T)


def implicit_gradient(
    model: Model,
    cost: QuadraticCost,
    cost_on: str = "rates",
    *,
    correction: str = "none",
    start: ArrayLike | None = None,
) -> Gradient:
    """dL/dθ of L(θ) = C(m*(θ)) by the implicit-function theorem: dL/db = χ ∂C, dL/dJ_ij = (χ∂C)_i m_j + (χ∂C)_j m_i.

    cost_on "rates": C(m) = ½‖m_o − y‖²; "spikes": C̄(m) = E_q C(z). correction "onsager" differentiates the corrected
    fixed point, whose dependence on J adds J_ij-terms: dL/dJ_ij += (J_ij/T) [(χ∂C)_i (1−2m_i) v_j + (χ∂C)_j (1−2m_j) v_i].
    *Holds when* I − VJ/T is invertible at m*. Paper: thm:C1.
    """
    slope, offset = cost.force(model.size, cost_on)
    mean = fixed_point(model, start=start, correction=correction, method="newton").value
    adjoint = susceptibility(model, mean, correction) @ (slope * mean + offset)
    couplings = adjoint[:, None] * mean
    if correction == "onsager":
        variance = activity_variance(mean)
        couplings = couplings + model.couplings * (adjoint * (1 - 2 * mean))[:, None] * variance / model.temperature
    return symmetric_gradient(couplings, adjoint)


def symmetric_gradient(one_way: FloatArray, bias: FloatArray) -> Gradient:
    """Gradient whose coupling part adds both directions of `one_way` (N, N), with a zero diagonal."""
    couplings = one_way + one_way.T
    np.fill_diagonal(couplings, 0.0)
    return Gradient(couplings, bias)


def contraction_rate(model: Model, mean_activity: FloatArray, leak: float | FloatArray = 1.0) -> float:
    """Spectral radius of (1 − ε)I + ε diag(v/T) J at a fixed point: the local rate of m ← (1−ε)m + ε σ(h/T) (thm:A5).

    leak: ε in (0, 1], a number or (N,).
    """
    steps = leak_vector(leak, model.size)
    slope = activity_variance(mean_activity) / model.temperature
    return float(np.abs(np.linalg.eigvals(np.diag(1 - steps) + (steps * slope)[:, None] * model.couplings)).max())


def linear_noise(
    model: Model, mean_activity: FloatArray, leak: float | FloatArray, copies: int = 1
) -> tuple[FloatArray, FloatArray]:
    """(covariance (N, N), mean shift (N,)) of stationary leaky spikes about a fixed point, to leading order in ε.

    Covariance: Σ = AΣAᵀ + diag(ε_i² v_i / K), A = I − D_ε B, B = I − VJ/T; for one ε it equals (ε/K) B⁻¹(2I − εB)⁻¹ V.
    Mean shift: B⁻¹ · ½ σ''(h/T) ∘ diag(JΣJ)/T².
    *Holds when* the fixed point is locally stable (ValueError otherwise). leak: number or (N,) in (0, 1]. Paper: thm:B11.
    """
    whole_number("copies", copies, 1)
    rate = contraction_rate(model, mean_activity, leak)
    if rate >= 1:
        raise ValueError(
            f"the fixed point is not stable: its local rate is {rate:.4g} ≥ 1; use a smaller leak or another start"
        )
    steps = leak_vector(leak, model.size)
    variance = activity_variance(mean_activity)
    system = np.eye(model.size) - variance[:, None] * model.couplings / model.temperature
    transition = np.eye(model.size) - steps[:, None] * system
    covariance = scipy.linalg.solve_discrete_lyapunov(transition, np.diag(steps**2 * variance / copies))
    input_variance = np.einsum("ij,jk,ki->i", model.couplings, covariance, model.couplings)
    return covariance, np.linalg.solve(
        system, 0.5 * firing_curvature(mean_activity, model.temperature) * input_variance
    )
