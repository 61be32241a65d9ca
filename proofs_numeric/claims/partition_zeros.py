"""Family C, complex nudging: zeros of the partition function, and what N-point holomorphic EP under Gibbs misses.

Main results: thm:C5c.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.enumeration import exact_gradient
from dynamics.exact_nudging import CostLaw, cost_law, exact_equilibrium_gradient, nudging_series
from dynamics.partition_zeros import nearest_zeros
from meanfield import bounds
from meanfield.bounds.spike_nudging import aliased_terms
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
# Newton's last step is below 1e-6 of the zero-free radius, and it converges quadratically.
ZERO_ROUNDING = 1e-11
# (estimator, N of its points, order of its bias)
ESTIMATORS = (("one-sided", 2, 1), ("symmetric", 2, 2), ("holomorphic", 4, 4))
FREE_UNIT = ([[0.0]], [0.0], 1.0)
WARM_UNIT = ([[0.0]], [0.0], 2.0)
# two units that act as one of slope c_1 + c_2
LOCKED_PAIR = ([[0.0, 20.0], [20.0, 0.0]], [-10.0, -10.0], 1.0)
BIASED_PAIR = ([[0.0, 1.0], [1.0, 0.0]], [0.7, -0.4], 1.0)


@claim(
    label="C5c",
    title="zeros of the partition function, and aliasing",
    kind="inequality",
    hypotheses="any J = Jᵀ, b, T > 0; Gibbs; cost on spikes, not constant; |β| < πT/R_C for the biases",
    norm="spectral",
    means="numeric",
    domain={**model_scalars(5, gain=Interval(0.02, 3.0)), "share": Interval(0.02, 0.95)},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, "seed": 0, "share": 0.3}),
        Falsifier("zero-free to 2πT/R_C", {"model": FREE_UNIT, "seed": 0, "share": 0.3}),
        Falsifier("T² for T", {"model": WARM_UNIT, "seed": 0, "share": 0.3}),
        Falsifier("max|c| for the range", {"model": LOCKED_PAIR, "seed": 6, "share": 0.3}),
        Falsifier("aliasing of order N + 1", {"model": BIASED_PAIR, "seed": 6, "share": 0.02}),
        Falsifier("a_N for a_{1+N}", {"model": BIASED_PAIR, "seed": 6, "share": 0.02}),
    ),
    search=False,
    instances=50,
)
def zeros_and_aliasing(model: Model, seed: int, share: float, mutation: str | None = None) -> Evidence:
    """All zeros β₀ of Z(β) have |Im β₀| ≥ πT/R_C; the nearest is the radius of convergence of ⟨∂E/∂θ⟩_β, and the N-point
    estimate errs by Σ_{m≥1} a_{1+mN}|β|^{mN} ≤ r^N/(1−r^N)/(2ρ cos(ρR_C/2T)), r = |β|/ρ, for every |β| < ρ < πT/R_C.
    """
    cost = random_cost(model.size, seed)
    law, zeros = cost_law(model, cost), nearest_zeros(model, cost)
    radius = bounds.zero_free_radius(model, cost)
    stated = {
        "zero-free to 2πT/R_C": 2 * radius,
        "T² for T": radius * model.temperature,
        "max|c| for the range": radius * float(np.ptp(law.values) / np.abs(cost.target - 0.5).max()),
    }.get(mutation or "", radius)
    measured: list[FloatArray] = [stated / zeros.imag, stated / np.abs(zeros), _residuals(law, model, zeros)]
    bound: list[FloatArray] = [np.ones(zeros.size), np.ones(zeros.size), np.zeros(zeros.size)]
    rounding = [np.full(zeros.size, ZERO_ROUNDING), np.full(zeros.size, ZERO_ROUNDING), np.full(zeros.size, 1e-9)]
    if zeros.size == 1 and cost.outputs.size == 1:
        exact = math.hypot(math.pi, float(law.log_masses[1] - law.log_masses[0])) * radius / math.pi
        measured.append(np.array([abs(abs(zeros[0]) / exact - 1)]))
        bound.append(np.zeros(1))
        rounding.append(np.full(1, ZERO_ROUNDING))
    errors, limits = _aliasing(model, cost, share * radius, mutation)
    # in units of 1/radius, the size of the gradient; sums of exponents carry their own size
    scale = model.size + float(np.abs(model.couplings).sum() + np.abs(model.bias).sum()) / model.temperature
    measured.append(errors * radius)
    bound.append(limits * radius)
    rounding.append(np.full(errors.size, 20 * EPS * scale / share))
    return Evidence(np.concatenate(measured), np.concatenate(bound), np.concatenate(rounding))


def _residuals(law: CostLaw, model: Model, zeros: np.ndarray) -> FloatArray:
    """|Z(β₀)|/Z(Re β₀)."""
    exponents = law.log_masses - zeros[:, None] * law.values / model.temperature
    terms = np.exp(exponents - exponents.real.max(axis=1, keepdims=True))
    return np.abs(terms.sum(axis=1)) / np.abs(terms).sum(axis=1)


def _aliasing(model: Model, cost: QuadraticCost, nudging: float, mutation: str | None) -> tuple[FloatArray, FloatArray]:
    """(largest |estimate − gradient|, and beyond its leading term a_{1+N}β^N) with the bounds of thm:C5c, an estimator a pair."""
    gradient = exact_gradient(model, cost)
    series = nudging_series(model, cost, order=1 + max(order for *_, order in ESTIMATORS))
    errors, limits = [], []
    for estimator, points, order in ESTIMATORS:
        estimate = exact_equilibrium_gradient(model, cost, nudging=nudging, estimator=estimator, points=points)
        leading = series[order - 1 if mutation == "a_N for a_{1+N}" else order]
        errors += [_largest(estimate, gradient), _largest(estimate, gradient, leading, nudging**order)]
        claimed = order + 1 if mutation == "aliasing of order N + 1" else order
        limits += [
            aliased_terms(model, cost, nudging=nudging, order=claimed),
            aliased_terms(model, cost, nudging=nudging, order=order, first=2),
        ]
    return np.array(errors), np.array(limits)


def _largest(estimate: Gradient, gradient: Gradient, leading: Gradient | None = None, factor: float = 0.0) -> float:
    pieces = [
        np.abs(found - exact - (0.0 if leading is None else factor * leading[part])).max()
        for part, (found, exact) in enumerate(zip(estimate, gradient, strict=True))
    ]
    return float(max(pieces))
