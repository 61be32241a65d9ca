"""Family D: temperature smooths the loss.

Main results: thm:D1, thm:D2, thm:D3.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from scipy.special import expit, ndtr

from dynamics.enumeration import all_states, exact_gradient, exact_law
from dynamics.philox import STREAM_FREE, uniforms
from meanfield import bounds
from meanfield.equations import firing_curvature, firing_probability
from meanfield.model import FloatArray, Model
from meanfield.response import implicit_gradient, susceptibility
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import LOG_TEMPERATURE, SEEDS, Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
PEAK = math.log(2 + math.sqrt(3))
FREE_UNIT = ([[0.0]], [0.0], 1.0)
BENT_UNIT = ([[0.0]], [PEAK], 1.0)
COOL_UNIT = ([[0.0]], [0.5 * PEAK], 0.5)
POLARISED_UNIT = ([[0.0]], [3.0], 1.0)
# κ = ½, both fields at the peak of |σ''|
BENT_PAIR = ([[0.0, 2.0], [2.0, 0.0]], [PEAK - 2 * float(expit(PEAK))] * 2, 1.0)
CRITICAL_PAIR = ([[0.0, 1.95], [1.95, 0.0]], [-0.975, -0.975], 0.5)
POWER_STEPS = 50


def second_response(model: Model, mean: FloatArray) -> FloatArray:
    """∂²m_k/∂b_i∂b_j at the fixed point, (N, N, N): (I − VJ/T)⁻¹ [σ'' ∘ g_i ∘ g_j], g = ∂h/∂b = I + Jχ."""
    response = susceptibility(model, mean)
    field_response = np.eye(model.size) + model.couplings @ response
    bent = firing_curvature(mean, model.temperature)
    # (I − VJ/T)⁻¹ = I + χJ
    return np.einsum("kl,l,li,lj->kij", field_response.T, bent, field_response, field_response)


def _bilinear_norm(tensor: FloatArray, seed: int) -> float:
    """A lower bound on sup ‖tensor[:, u, w]‖₂ over unit vectors, by alternating maximisation; symmetric in u and w."""
    generator = np.random.default_rng([seed, 61])
    largest = 0.0
    for _ in range(2):
        u = generator.normal(size=tensor.shape[0])
        for _ in range(POWER_STEPS):
            matrix = tensor @ (u / max(np.linalg.norm(u), 1e-300))
            u = np.linalg.svd(matrix)[2][0]
            largest = max(largest, float(np.linalg.norm(matrix, 2)))
    return largest


@claim(
    label="D1",
    title="smoothness of the mean field",
    kind="inequality",
    hypotheses="λ_max(J) < 4T",
    norm="curvature",
    domain=model_scalars(6),
    falsifiers=(
        Falsifier("constant × 0.9", {"model": BENT_UNIT, "seed": 0}),
        Falsifier("T⁻² → T⁻¹", {"model": COOL_UNIT, "seed": 0}),
        Falsifier("(1−κ)³ dropped", {"model": BENT_PAIR, "seed": 0}),
        Falsifier("4T + λ_max", {"model": CRITICAL_PAIR, "seed": 0}),
    ),
)
def mean_field_is_smooth(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """‖∂m*/∂b‖ ≤ 1/(4T−λ_max), ‖∂²m*/∂b²‖ ≤ M₂(1 + ‖J‖/(4T−λ_max))³/T² (at most M₂/(T²(1−κ)³)), ‖∇²_bC(m*)‖ by the chain rule."""
    temperature, cost = model.temperature, random_cost(model.size, seed)
    mean = fixed_point(model, method="newton").value
    response, second = susceptibility(model, mean), second_response(model, mean)
    measured = [float(np.linalg.norm(response, 2)) * temperature, _bilinear_norm(second, seed) * temperature**2]
    norm, curvature = bounds.response_norm(model) * temperature, bounds.response_curvature(model) * temperature**2
    if mutation == "4T + λ_max":
        norm = temperature / (4 * temperature + float(model.spectrum[-1]))
    curvature *= {"(1−κ)³ dropped": (1 - model.gain) ** 3, "T⁻² → T⁻¹": temperature}.get(mutation or "", 1.0)
    bound = [norm, curvature]
    for cost_on in ("rates", "spikes"):
        slope, offset = cost.force(model.size, cost_on)
        hessian = np.tensordot(slope * mean + offset, second, axes=1) + (response * slope) @ response
        measured.append(float(np.linalg.norm(hessian, 2)) * temperature**2)
        bound.append(bounds.loss_curvature(model, cost, cost_on=cost_on) * temperature**2)
    conditioning = 1 / (1 - float(model.spectrum[-1]) / (4 * temperature))
    return Evidence(measured, bound, 1e3 * EPS * model.size * conditioning**4)


@claim(
    label="D2",
    title="smoothness of the spikes' mean cost",
    kind="inequality",
    hypotheses="any J = Jᵀ, b, T > 0; cost on spikes; no contraction",
    norm="spectral",
    domain=model_scalars(6, gain=Interval(0.02, 3.0)),
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, "seed": 0}),
        Falsifier("T⁻² → T⁻¹", {"model": COOL_UNIT, "seed": 0}),
        Falsifier("the mean field's cost", {"model": CRITICAL_PAIR, "seed": 0}),
        Falsifier("twice the gap", {"model": POLARISED_UNIT, "seed": 0}),
    ),
)
def mean_cost_is_smooth(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """|∂⟨C⟩/∂θ_a| ≤ R_CVar(φ_a)/T, |∂²⟨C⟩/∂b_i∂b_j| ≤ R_C/8T² (i ≠ j), R_Cv_i|1−2μ_i|/T², ‖∇²‖ ≤ R_Cλ_max(Cov z)/T²;
    as T → 0 at a ground state of gap Δ_i: ≤ 2^{N−1}R_C e^{−Δ_i/T}/T.
    """
    temperature, cost = model.temperature, random_cost(model.size, seed)
    law, states = exact_law(model), all_states(model.size)
    costs = cost.on_spikes(states)
    reach = float(costs.max() - costs.min())
    gradient = exact_gradient(model, cost)
    if mutation == "the mean field's cost":
        gradient = implicit_gradient(model, cost, "spikes")
    limit = bounds.gibbs_loss_slope(model, cost)
    centred, deviation = states - law.mean, costs - law.probabilities @ costs
    hessian = (centred * (law.probabilities * deviation)[:, None]).T @ centred / temperature**2
    variance = np.diagonal(law.covariance)
    upper = np.triu_indices(model.size, 1)
    # the bounds with the law's own moments, and those that the fields alone allow
    own_diagonal = reach * variance * np.abs(1 - 2 * law.mean) / temperature**2
    curvature = bounds.gibbs_loss_curvature(model, cost)
    own_norm = reach * float(np.linalg.eigvalsh(law.covariance)[-1]) / temperature**2
    power = temperature if mutation == "T⁻² → T⁻¹" else 1.0
    frozen = _frozen_variance(model, states, 2.0 if mutation == "twice the gap" else 1.0)
    rows = [
        (temperature, gradient.bias, reach * variance / temperature),
        (temperature, gradient.bias, limit.bias),
        (temperature, gradient.couplings[upper], limit.couplings[upper]),
        (temperature, gradient.bias, reach * frozen / temperature),
        (temperature**2, np.diagonal(hessian), own_diagonal),
        (temperature**2, hessian.ravel(), curvature.ravel() * power),
        (temperature**2, np.linalg.norm(hessian, 2), own_norm),
        (temperature**2, np.linalg.norm(hessian, 2), bounds.gibbs_loss_smoothness(model, cost)),
    ]
    measured = np.concatenate([np.abs(np.ravel(unit * value)) for unit, value, _ in rows])
    bound = np.concatenate([np.ravel(unit * value) for unit, _, value in rows])
    scale = (np.abs(model.couplings).sum() + np.abs(model.bias).sum()) / temperature
    return Evidence(measured, bound, 50 * EPS * (model.size + scale) * reach)


def _frozen_variance(model: Model, states: FloatArray, factor: float) -> FloatArray:
    """v_i ≤ 2^{N−1}e^{−Δ_i/T}, Δ_i ≥ 0 the least energy above the ground state z* of a state with z_i ≠ z*_i, (N,).

    factor: 1 in the theorem, multiplies the gap.
    """
    energy = model.energy(states)
    ground = int(energy.argmin())
    flipped = states != states[ground]
    gaps = np.array([(energy[flipped[:, i]] - energy[ground]).min() for i in range(model.size)])
    return 2.0 ** (model.size - 1) * np.exp(-factor * gaps / model.temperature)


@claim(
    label="D3",
    title="a stochastic neuron is a smoothed threshold",
    kind="identity",
    hypotheses="T > 0",
    domain={"log_temperature": LOG_TEMPERATURE, "scaled_field": Interval(-30.0, 30.0), "seed": SEEDS},
    falsifiers=(
        Falsifier("noise of scale 2T", {"log_temperature": 0.0, "scaled_field": 1.0, "seed": 0}),
        Falsifier("normal noise of equal variance", {"log_temperature": 0.0, "scaled_field": 1.0, "seed": 0}),
        Falsifier("h − Tξ ≤ 0", {"log_temperature": 0.0, "scaled_field": 1.0, "seed": 0}),
    ),
)
def threshold_is_smoothed(
    log_temperature: float, scaled_field: float, seed: int, mutation: str | None = None
) -> Evidence:
    """σ(h/T) = ∫1[h + x > 0] ρ_T(x)dx, ρ_T the logistic density of scale T; draw by draw, 1[u < σ(h/T)] = 1[h + Tξ > 0] with
    ξ = ln((1−u)/u).
    """
    temperature = math.exp(log_temperature)
    field = scaled_field * temperature
    probability = float(firing_probability(field, temperature))
    width = 2.0 if mutation == "noise of scale 2T" else 1.0

    def density(noise: float) -> float:
        # in units of T; written so that it cannot overflow
        return math.exp(-abs(noise) / width) / (1 + math.exp(-abs(noise) / width)) ** 2 / width

    above, error = scipy.integrate.quad(density, -scaled_field, math.inf, epsabs=1e-13, epsrel=1e-13, limit=200)
    if mutation == "normal noise of equal variance":
        above = float(ndtr(scaled_field / (math.pi / math.sqrt(3))))
    draws = np.empty(256)
    uniforms(seed, STREAM_FREE, 0, 0, draws)
    logistic = np.log1p(-draws) - np.log(draws)
    threshold = field + temperature * logistic > 0
    if mutation == "h − Tξ ≤ 0":
        threshold = field - temperature * logistic <= 0
    # a draw within rounding of the threshold may fall on either side
    clear = np.abs(draws - probability) > 1e3 * EPS * (1 + abs(scaled_field))
    disagreements = np.count_nonzero((threshold != (draws < probability)) & clear)
    return Evidence([abs(above - probability), float(disagreements)], 0.0, [1e-12 + error, 0.0])
