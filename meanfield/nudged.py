"""The fixed point nudged by β as a power series in β: what every estimator of EP sums or differences.

Main results: NudgedSeries, nudged_series (thm:C2b), statistic_derivative (thm:C1, thm:C3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meanfield.equations import (
    activity_variance,
    first_response_source,
    force_first,
    force_second,
    onsager_field,
    pair_statistic,
    second_response_source,
    third_response_source,
)
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, positive_number, whole_number
from meanfield.solve import MeanFieldMap, fixed_point


class NudgedSeries(NamedTuple):
    """m(β) = Σ_k activity_k (β/unit)^k and g(β) = ∂F/∂θ = Σ_k statistic_k (β/unit)^k, real β on the free point's branch.

    activity: (order + 1, N). couplings, bias: of g, (order + 1, N, N) with zero diagonals and (order + 1, N).
    """

    activity: FloatArray
    couplings: FloatArray
    bias: FloatArray
    unit: float

    def coefficient(self, order: int) -> Gradient:
        """The coefficient of β^order in g, in the unit of the couplings."""
        scale = self.unit**-order
        return Gradient(self.couplings[order] * scale, self.bias[order] * scale)


def nudged_series(
    model: Model,
    cost: QuadraticCost,
    *,
    order: int,
    unit: float | None = None,
    correction: str = "none",
    cost_on: str = "rates",
    start: ArrayLike | None = None,
) -> NudgedSeries:
    """The first `order` Taylor coefficients of m(β) = σ(h(m, β)/T) and of its phase statistic, by recursion.

    From ṁ = m(1 − m)ḣ/T: k m_k = Σ_{0<j≤k} j (h_j/T) v_{k−j}, v = m − m∘m, and h_k = H m_k + (lower orders), H = ∂h/∂m.
    *Holds when* I − VH/T is invertible at the free fixed point. unit: of β, default T; a unit near the radius of convergence
    keeps high orders from under- and overflow. Paper: thm:C3.
    """
    whole_number("order", order, 0)
    scale = model.temperature if unit is None else positive_number("unit", unit)
    slope, offset = (scale * part for part in cost.force(model.size, cost_on))
    free = fixed_point(model, start=start, correction=correction, method="newton").value
    mapping = MeanFieldMap.of(model, correction, None, 0.0, cost_on)
    field_jacobian = mapping.field_jacobian(free) / model.temperature
    variance = activity_variance(free)
    inverse = np.linalg.inv(np.eye(model.size) - variance[:, None] * field_jacobian)
    activity, fields, variances = (np.zeros((order + 1, model.size)) for _ in range(3))
    activity[0], variances[0] = free, variance
    weights = np.arange(order + 1)[:, None]
    for k in range(1, order + 1):
        force = -(slope * activity[k - 1] + (offset if k == 1 else 0.0))
        variances[k] = -(activity[1:k] * activity[k - 1 : 0 : -1]).sum(axis=0)
        if mapping.onsager:
            force = force + _onsager_rest(model, activity, variances, k)
        force = force / model.temperature
        # the terms of lower order in k m_k = Σ j h_j v_{k−j}
        carried = (weights[1:k] * fields[1:k] * variances[k - 1 : 0 : -1]).sum(axis=0) / k
        activity[k] = inverse @ (variance * force + carried)
        fields[k] = field_jacobian @ activity[k] + force
        variances[k] += (1 - 2 * free) * activity[k]
    return NudgedSeries(activity, *_statistics(model, activity, variances, mapping.onsager), scale)


def statistic_derivative(
    model: Model, cost: QuadraticCost, *, order: int, cost_on: str = "rates", start: ArrayLike | None = None
) -> Gradient:
    """d^n g/dβ^n at β = 0, g = ∂F/∂θ = (−m_im_j, −m_i), for n = 1, 2, 3: (I − VJ/T) m^(n) = source by implicit differentiation.

    The first is dL/dθ (thm:C1). *Holds when* I − VJ/T is invertible at m*. start: of the free fixed point. Paper: thm:C3.
    """
    if whole_number("order", order, 1) > 3:
        raise ValueError(f"order must be 1, 2 or 3, got {order}: nudged_series gives the higher ones")
    slope, offset = cost.force(model.size, cost_on)
    temperature = model.temperature
    mean = fixed_point(model, start=start, method="newton").value
    inverse = np.linalg.inv(np.eye(model.size) - activity_variance(mean)[:, None] * model.couplings / temperature)
    first = inverse @ first_response_source(mean, slope, offset, temperature)
    field_first = model.couplings @ first + force_first(mean, slope, offset)
    second = inverse @ second_response_source(mean, first, field_first, slope, temperature)
    field_second = model.couplings @ second + force_second(first, slope)
    third = inverse @ third_response_source(mean, second, field_first, field_second, slope, temperature)
    means = (mean, first, second, third)
    products = [math.comb(order, k) * pair_statistic(means[k][:, None], means[order - k]) for k in range(order + 1)]
    couplings = -np.sum(products, axis=0)
    np.fill_diagonal(couplings, 0.0)
    return Gradient(couplings, -means[order])


def _onsager_rest(model: Model, activity: FloatArray, variances: FloatArray, order: int) -> FloatArray:
    """Onsager's part of h_k without what is linear in m_k; onsager_field is affine in m and linear in (J∘J)v."""
    inputs = variances[: order + 1] @ model.couplings**2
    temperature = model.temperature
    moved = onsager_field(activity[1:order], inputs[order - 1 : 0 : -1], temperature)
    unmoved = onsager_field(0.0, inputs[order - 1 : 0 : -1], temperature)
    return onsager_field(activity[0], inputs[order], temperature) + (moved - unmoved).sum(axis=0)


def _statistics(
    model: Model, activity: FloatArray, variances: FloatArray, onsager: bool
) -> tuple[FloatArray, FloatArray]:
    """Coefficients of (∂F/∂J with J_ij and J_ji moved together, ∂F/∂b): Cauchy products of the units' series."""
    order, size = len(activity) - 1, model.size
    couplings = np.zeros((order + 1, size, size))
    for k in range(order + 1):
        couplings[k] = -pair_statistic(activity[: k + 1, :, None], activity[k::-1, None, :]).sum(axis=0)
        if onsager:
            crossed = np.einsum("ki,kj->ij", variances[: k + 1], variances[k::-1])
            couplings[k] -= model.couplings * crossed / model.temperature
        np.fill_diagonal(couplings[k], 0.0)
    return couplings, -activity
