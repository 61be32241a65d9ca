"""Family D decided in balls: thm:D1 and thm:D2 on at most three units."""

from __future__ import annotations

import numpy as np
from flint import arb

from meanfield.model import Model
from proofs_numeric.balls.arithmetic import Undecided, exact, spectral_norm, spectrum
from proofs_numeric.balls.claims.mean_field import falsifiers, rows, small
from proofs_numeric.balls.fixed_points import certify_fixed_point, susceptibility
from proofs_numeric.balls.models import cost_coefficients, cost_gradient, law, variance
from proofs_numeric.instances import random_cost
from proofs_numeric.rigorous import Enclosures, rigorous

FREE_UNIT = ([[0.0]], [0.0], 1.0)


@rigorous(
    "D1", domain=small("D1"),
    falsifiers=(("constant × 0.9", {"model": FREE_UNIT, "seed": 0}, False), *falsifiers("D1", "4T + λ_max")),
)  # fmt: skip
def mean_field_is_smooth(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
    """T‖∂m*/∂b‖₂ ≤ T/(4T − λ_max(J)) at the certified, only fixed point."""
    point, temperature = certify_fixed_point(model, bits=bits), arb(model.temperature)
    if not point.unique:
        raise Undecided("λ_max(J) < 4T is not certain")
    response = susceptibility(point) * temperature
    largest = spectrum(exact(model.couplings))[-1]
    if mutation == "4T + λ_max":
        largest = -largest
    return rows((spectral_norm((response + response.T) / 2), temperature / (4 * temperature - largest)))


@rigorous("D2", domain=small("D2"), falsifiers=falsifiers("D2", "constant × 0.9", "T⁻² → T⁻¹"))
def mean_cost_is_smooth(model: Model, seed: int, bits: int, mutation: str | None = None) -> Enclosures:
    """|∂⟨C⟩/∂b_i| ≤ R_Cv_i/T; |∂²⟨C⟩/∂b_i∂b_j| ≤ R_C/8T², R_Cv_i|1−2μ_i|/T² at i = j; ‖∇²‖ ≤ R_Cλ_max(Cov z)/T²."""
    cost, temperature, gibbs = random_cost(model.size, seed), arb(model.temperature), law(model)
    coefficients = cost_coefficients(cost, model.size)
    reach = abs(coefficients).sum()
    values = gibbs.states @ coefficients
    centred = gibbs.states - gibbs.mean
    weights = gibbs.probabilities * (values - gibbs.expectation(values))
    hessian = (centred * weights[:, None]).T @ centred
    power = temperature if mutation == "T⁻² → T⁻¹" else arb(1)
    spread = variance(gibbs.mean)
    off = ~np.eye(model.size, dtype=bool)
    return rows(
        (abs(cost_gradient(model, cost)[1]) * temperature, reach * spread),
        (abs(hessian)[off], reach / 8 * power),
        (abs(np.diagonal(hessian)), reach * spread * abs(1 - 2 * gibbs.mean) * power),
        (spectral_norm(hessian), reach * spectral_norm(gibbs.covariance)),
    )
