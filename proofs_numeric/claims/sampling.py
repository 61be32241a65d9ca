"""Family B, spikes: the stationary laws of the samplers, and how far they are from the mean field.

Main results: thm:B1, thm:B1b, thm:B2, thm:B3, thm:B6, thm:B7, thm:B7b.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dynamics.enumeration import all_states, exact_law, transition_matrix
from meanfield import bounds
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray, Model
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import SEEDS, Interval, model_scalars

EPS = float(np.finfo(float).eps)
# where |σ''| peaks
PEAK = math.log(2 + math.sqrt(3))
PAIR = ([[0.0, 2.0], [2.0, 0.0]], [-1.0, -1.0], 1.0)
UNBIASED_PAIR = ([[0.0, 2.0], [2.0, 0.0]], [0.0, 0.0], 1.0)
HALF_BIASED_PAIR = ([[0.0, 2.0], [2.0, 0.0]], [1.0, 0.0], 1.0)
WEAK_PAIR = ([[0.0, 0.01], [0.01, 0.0]], [PEAK, 0.0], 1.0)
PATH = ([[0.0, 2.0, 0.0], [2.0, 0.0, 1.5], [0.0, 1.5, 0.0]], [-1.0, -1.75, -0.75], 1.0)
TRIANGLE = ([[0.0, 1.5, 1.5], [1.5, 0.0, 1.5], [1.5, 1.5, 0.0]], [-1.0, -0.5, -1.5], 1.0)
STRONG_NEIGHBOURS = ([[0.0, 0.1, 0.0], [0.1, 0.0, 3.8], [0.0, 3.8, 0.0]], [0.0, -1.7, -1.7], 1.0)


def _star(leaves: int, influence: float) -> tuple[list[list[float]], list[float], float]:
    """Centre 0 and leaves with C_0j = influence, leaves biased to their symmetric point."""
    weight = 4 * math.atanh(influence)
    couplings = np.zeros((leaves + 1, leaves + 1))
    couplings[0, 1:] = couplings[1:, 0] = weight
    return couplings.tolist(), [0.0] + [-weight / 2] * leaves, 1.0


def _weak_pair(temperature: float) -> tuple[list[list[float]], list[float], float]:
    """w = T/20, unit 0 at the peak of |σ''|: the mean error's bound is 98 % tight."""
    weight = 0.05 * temperature
    bias = [PEAK * temperature - weight / 2, -weight * float(firing_probability(PEAK, 1.0))]
    return [[0.0, weight], [weight, 0.0]], bias, temperature


def random_colours(model: Model, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 10]).integers(0, 2, size=model.size)


def without_lateral_links(model: Model, colours: NDArray[np.int64]) -> Model:
    return Model(np.where(colours[:, None] != colours[None, :], model.couplings, 0.0), model.bias, model.temperature)


@claim(
    label="B1",
    title="which samplers are reversible",
    kind="identity",
    hypotheses="J = Jᵀ, T > 0",
    norm="spectral",
    domain=model_scalars(6, gain=Interval(0.02, 3.0)),
    falsifiers=(
        Falsifier("sweeps reversible", {"model": UNBIASED_PAIR, "seed": 0}),
        Falsifier("Little reversible for exp(−E/T)", {"model": UNBIASED_PAIR, "seed": 0}),
    ),
    instances=100,
)
def samplers_and_their_laws(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """Random-scan Glauber is reversible for exp(−E/T), Little for Peretto's law; sweeps and block Gibbs leave
    exp(−E/T) invariant.
    """
    gibbs = exact_law(model).probabilities
    peretto = (
        gibbs if mutation == "Little reversible for exp(−E/T)" else exact_law(model, dynamics="little").probabilities
    )
    reversible = [
        (gibbs, transition_matrix(model, dynamics="glauber")),
        (peretto, transition_matrix(model, dynamics="little")),
    ]
    sweep = transition_matrix(model, dynamics="systematic")
    if mutation == "sweeps reversible":
        reversible.append((gibbs, sweep))
    flows = [law[:, None] * chain for law, chain in reversible]
    misses = [np.abs(flow - flow.T).max() for flow in flows]
    colours = random_colours(model, seed)
    layered = without_lateral_links(model, colours)
    layered_law = exact_law(layered).probabilities
    blocks = transition_matrix(layered, dynamics="block", colours=colours)
    misses += [np.abs(gibbs @ sweep - gibbs).max(), np.abs(layered_law @ blocks - layered_law).max()]
    return Evidence(misses, 0.0, _law_rounding(model))


def _law_rounding(model: Model) -> float:
    """Probabilities carry the rounding of energies in units of T."""
    scale = (np.abs(model.couplings).sum() + np.abs(model.bias).sum()) / model.temperature
    return float(20 * EPS * (model.size + scale))


@claim(
    label="B1b",
    title="Langevin's discrete law",
    kind="identity",
    hypotheses="A = I − J positive definite, ε < 2/λ_max(A)",
    norm="spectral",
    domain={**model_scalars(8), "share": Interval(0.02, 0.98)},
    falsifiers=(
        Falsifier("continuous time", {"model": ([[0.0, 2.0], [2.0, 0.0]], [0.3, 0.1], 1.0), "share": 0.5}),
        Falsifier("ε in place of ε/2", {"model": ([[0.0, 2.0], [2.0, 0.0]], [0.3, 0.1], 1.0), "share": 0.3}),
    ),
)
def langevin_law(model: Model, share: float, mutation: str | None = None) -> Evidence:
    """s' = s + ε(h(s) − s) + √(2Tε)ξ has mean A⁻¹b and covariance TA⁻¹(I − εA/2)⁻¹, reached from every start."""
    # couplings of norm 4κT become couplings of norm κ: A ≻ 0 by construction
    couplings = model.couplings / (4 * model.temperature)
    stiffness = np.eye(model.size) - couplings
    leak = share * 2 / float(np.linalg.eigvalsh(stiffness)[-1])
    correction = {"continuous time": 0.0, "ε in place of ε/2": leak}.get(mutation or "", leak / 2)
    stated = model.temperature * np.linalg.inv(stiffness @ (np.eye(model.size) - correction * stiffness))
    transition = np.eye(model.size) - leak * stiffness
    covariance, mean = np.zeros_like(stiffness), np.zeros(model.size)
    drive, noise = leak * model.bias / model.temperature, 2 * model.temperature * leak * np.eye(model.size)
    # steps 1, 2, 4, …: the chain's own moments after 2^40 steps, nothing inverted
    power = transition
    covariance, mean = noise, drive
    for _ in range(40):
        covariance, mean = covariance + power @ covariance @ power.T, mean + power @ mean
        power = power @ power
    condition = 1 / min(1 - np.abs(np.linalg.eigvalsh(transition)).max(), 1.0)
    misses = [
        np.abs(covariance - stated).max() / np.abs(stated).max(),
        np.abs(stiffness @ mean - model.bias / model.temperature).max() / (1 + np.abs(drive).max() / leak),
    ]
    return Evidence(misses, 0.0, 1e3 * EPS * model.size * condition)


@claim(
    label="B2",
    title="Little's law is Peretto's",
    kind="identity",
    hypotheses="J = Jᵀ, T > 0",
    norm="spectral",
    domain=model_scalars(6, gain=Interval(0.02, 3.0)),
    falsifiers=(
        Falsifier("exp(bᵀz/T) dropped", {"model": HALF_BIASED_PAIR}),
        Falsifier("Gibbs' law", {"model": HALF_BIASED_PAIR}),
    ),
    instances=100,
)
def littles_law(model: Model, mutation: str | None = None) -> Evidence:
    """π(z) ∝ exp(bᵀz/T) Π_i(1 + exp(h_i(z)/T)) is stationary under parallel updates; (z(t), z(t+1)) ∝ exp((bᵀz + bᵀz'
    + zᵀJz')/T).
    """
    states = all_states(model.size)
    chain = transition_matrix(model, dynamics="little")
    law = exact_law(model, dynamics="gibbs" if mutation == "Gibbs' law" else "little").probabilities
    if mutation == "exp(bᵀz/T) dropped":
        law = law * np.exp(-states @ model.bias / model.temperature)
        law /= law.sum()
    drift = states @ model.bias
    exponent = (drift[:, None] + drift[None, :] + states @ model.couplings @ states.T) / model.temperature
    joint = np.exp(exponent - exponent.max())
    joint /= joint.sum()
    misses = [np.abs(law @ chain - law).max(), np.abs(law[:, None] * chain - joint).max()]
    return Evidence(misses, 0.0, _law_rounding(model))


@claim(
    label="B3",
    title="covariance and mixing of the Gibbs law",
    kind="inequality",
    hypotheses="ρ(C) < 1, C = tanh(|J|/4T)",
    norm="dobrushin",
    domain=model_scalars(6),
    falsifiers=(
        Falsifier("constant × 0.9", {"model": PAIR, "seed": 0}),
        Falsifier("‖C‖₂ in the one-step contraction", {"model": _star(3, 0.5), "seed": 0}),
        Falsifier("C = tanh(|J|/8T)", {"model": PAIR, "seed": 0}),
        Falsifier("Little's D' = (I − C²)⁻¹", {"model": PAIR, "seed": 0}),
    ),
)
def gibbs_covariance(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """|Cov(z_i,z_j)| ≤ min(v_i,v_j)D_ij/max(D_ii,D_jj) ≤ ¼D_ij; Glauber contracts by 1 − (1 − ‖C‖_∞)/N; t_mix ≤
    ⌈N ln(N/η)/(1 − ρ(C))⌉.
    """
    size, law = model.size, exact_law(model)
    influence = (
        model.influence
        if mutation != "C = tanh(|J|/8T)"
        else np.tanh(np.abs(model.couplings) / (8 * model.temperature))
    )
    power = influence @ influence if mutation == "Little's D' = (I − C²)⁻¹" else influence
    dobrushin = np.linalg.inv(np.eye(size) - power)
    variance, diagonal = activity_variance(law.mean), np.diagonal(dobrushin)
    local = np.minimum.outer(variance, variance) * dobrushin / np.maximum.outer(diagonal, diagonal)
    off = ~np.eye(size, dtype=bool)
    measured = [np.abs(law.covariance)[off], np.abs(law.covariance)[off]]
    bound = [local[off], bounds.covariance(model)[off]]

    # Adjacent states under shared uniforms stay 1 − 1/N + apart/N apart on average, so the contraction says apart ≤ ‖C‖_∞;
    # the 1-Lipschitz Σz_i shows that this is the Wasserstein distance itself where all effects have one sign.
    states = all_states(size)
    probability = firing_probability(model.local_field(states), model.temperature)
    norm = (
        np.linalg.norm(influence, 2) if mutation == "‖C‖₂ in the one-step contraction" else influence.sum(axis=1).max()
    )
    index = np.arange(len(states))
    for unit in range(size):
        apart = np.abs(probability[index ^ (1 << unit)] - probability).sum(axis=1).max()
        measured.append(np.array([apart]))
        bound.append(np.array([norm]))
    if size <= 5 and mutation is None:
        accuracy = 0.01
        chain = transition_matrix(model, dynamics="glauber")
        updates = math.ceil(size * math.log(size / accuracy) / (1 - np.abs(np.linalg.eigvalsh(influence)).max()))
        late = np.linalg.matrix_power(chain, updates)
        measured.append(0.5 * np.abs(late - law.probabilities).sum(axis=1))
        bound.append(np.full(len(states), accuracy))
    return Evidence(np.concatenate(measured), np.concatenate(bound), 1e-13 + _law_rounding(model))


def _mutated_error(model: Model, mutation: str | None) -> FloatArray | None:
    """Wrong powers of T, or the propagator dropped, in thm:B6's bound."""
    stated = bounds.gibbs_mean_error(model)
    if mutation == "T⁻³":
        return stated / model.temperature
    if mutation == "T⁻¹":
        return stated * model.temperature
    if mutation == "(I − |J|/4T)⁻¹ dropped":
        return (np.eye(model.size) - np.abs(model.couplings) / (4 * model.temperature)) @ stated
    return None


@claim(
    label="B6",
    title="Gibbs means against the mean field",
    kind="inequality",
    hypotheses="κ_a = ‖|J|‖₂/(4T) < 1",
    norm="absolute",
    domain=model_scalars(8),
    falsifiers=(
        Falsifier("constant × 0.9", {"model": WEAK_PAIR}),
        Falsifier("T⁻³", {"model": _weak_pair(4.0)}),
        Falsifier("T⁻¹", {"model": _weak_pair(0.25)}),
        Falsifier("(I − |J|/4T)⁻¹ dropped", {"model": STRONG_NEIGHBOURS}),
    ),
)
def gibbs_means(model: Model, mutation: str | None = None) -> Evidence:
    """|E z − m*| ≤ (I − |J|/4T)⁻¹ (M₂/2T²) diag(|J| Ĉ |J|) componentwise, Ĉ_ij = ¼D_ij/max(D_ii, D_jj); sharper with
    local slopes.
    """
    error = np.abs(exact_law(model).mean - fixed_point(model, method="newton").value)
    mutated = _mutated_error(model, mutation)
    bound = bounds.gibbs_mean_error(model) if mutated is None else mutated
    return Evidence(error, bound, _mean_rounding(model), ceiling=1.0)


def _mean_rounding(model: Model) -> float:
    return _law_rounding(model) / max(1 - model.absolute_gain, 1e-3)


@claim(
    label="B7",
    title="Little's covariances and means",
    kind="inequality",
    hypotheses="ρ(C) < 1 for covariances, κ_a < 1 for means",
    norm="absolute",
    domain=model_scalars(8),
    falsifiers=(
        Falsifier("constant × 0.9", {"model": WEAK_PAIR}),
        Falsifier("I in place of D'", {"model": PATH}),
        Falsifier("T⁻³", {"model": _weak_pair(4.0)}),
    ),
)
def little_means(model: Model, mutation: str | None = None) -> Evidence:
    """Under Peretto's law |Cov(z_i,z_j)| ≤ min(v_i,v_j)D'_ij/max(D'_ii,D'_jj), D' = (I − C²)⁻¹, and |E z − m*| is
    bounded as in B6.
    """
    law = exact_law(model, dynamics="little")
    squared = np.linalg.inv(np.eye(model.size) - model.influence @ model.influence)
    if mutation == "I in place of D'":
        squared = np.eye(model.size)
    variance, diagonal = activity_variance(law.mean), np.diagonal(squared)
    local = np.minimum.outer(variance, variance) * squared / np.maximum.outer(diagonal, diagonal)
    error = np.abs(law.mean - fixed_point(model, method="newton").value)
    stated = bounds.little_mean_error(model) / (model.temperature if mutation == "T⁻³" else 1.0)
    covariance = np.abs(law.covariance)
    off = ~np.eye(model.size, dtype=bool)
    return Evidence(
        np.concatenate([error, covariance[off], covariance[off]]),
        np.concatenate([stated, local[off], bounds.little_covariance(model)[off]]),
        _mean_rounding(model),
        ceiling=1.0,
    )


@claim(
    label="B7b",
    title="Little's law without lateral links",
    kind="identity",
    hypotheses="J = 0 within the odd and within the even layers",
    norm="spectral",
    domain={**model_scalars(6, smallest=2, gain=Interval(0.02, 3.0)), "seed": SEEDS},
    falsifiers=(
        Falsifier("same-time product across layers", {"model": PAIR, "seed": 1, "colours": [0, 1]}),
        Falsifier("lagged product within a layer", {"model": PATH, "seed": 1, "colours": [0, 1, 0]}),
        Falsifier(
            "lateral links allowed",
            {"model": TRIANGLE, "seed": 1, "colours": [0, 1, 1]},
            drops="no coupling within a layer",
        ),
    ),
    instances=100,
)
def little_on_layers(
    model: Model, seed: int, colours: list[int] | None = None, mutation: str | None = None
) -> Evidence:
    """Little's odd and even layers have Gibbs' laws, independent at equal times; (odd at t, even at t+1) has Gibbs'
    joint law.
    """
    classes = random_colours(model, seed) if colours is None else np.asarray(colours)
    layered = model if mutation == "lateral links allowed" else without_lateral_links(model, classes)
    odd = classes == 0
    gibbs, little = exact_law(layered), exact_law(layered, dynamics="little")
    states = all_states(model.size)
    chain = transition_matrix(layered, dynamics="little")
    joint = little.probabilities[:, None] * chain
    lagged = states.T @ joint @ states
    same_time = little.covariance + np.outer(little.mean, little.mean)
    pairs = gibbs.covariance + np.outer(gibbs.mean, gibbs.mean)
    across = odd[:, None] != odd[None, :]
    within = ~across & ~np.eye(model.size, dtype=bool)
    independent = np.outer(gibbs.mean, gibbs.mean)
    misses = [np.abs(little.mean - gibbs.mean).max()]
    if mutation != "lagged product within a layer":
        stated = pairs if mutation == "same-time product across layers" else independent
        misses += [
            np.abs((same_time - stated)[across]).max(initial=0.0),
            np.abs((lagged - pairs)[across]).max(initial=0.0),
        ]
    stated = pairs if mutation == "lagged product within a layer" else independent
    misses += [np.abs((lagged - stated)[within]).max(initial=0.0), np.abs((same_time - pairs)[within]).max(initial=0.0)]
    # the whole joint law of (odd at t, even at t+1), not only its moments
    weights = 1 << np.arange(model.size)
    odd_part, even_part = (states * odd) @ weights, (states * ~odd) @ weights
    mixed = np.zeros(len(states))
    np.add.at(mixed, (odd_part[:, None] + even_part[None, :]).astype(np.int64), joint)
    misses.append(np.abs(mixed - gibbs.probabilities).max())
    return Evidence(misses, 0.0, 10 * _law_rounding(layered))
