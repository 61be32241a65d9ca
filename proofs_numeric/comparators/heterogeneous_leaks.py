"""Heterogeneous time scales and pruning by noise: a restatement on small networks of this package, no benchmark is reproduced.

Mechanism (Chakraborty, Kang, Kumar and Mukhopadhyay, ICLR 2024, arXiv 2403.03409: a random recurrent spiking network whose neurons
have different time scales is pruned by what noise shows of it, Lyapunov exponents being kept; a local rule of this kind, from a
synapse's weight and its neurons' covariance in noise, is that of Moore and Chaudhuri, NeurIPS 2020). Here, about a fixed point m*,
with H = T V⁻¹ − J,

    s' = (I − D_ε) s + D_ε z̄ (K_i copies),   keep edge e with probability p_e, J'_e = J_e/p_e,   b' = b + (J − J') m*.

Main results: thm:G7, thm:G7b, thm:G7c.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dynamics.enumeration import all_states
from meanfield.bounds.leaky import discrete_lyapunov
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray, Model
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars

EPS = float(np.finfo(float).eps)
PAIR = ([[0.0, 2.0], [2.0, 0.0]], [-0.4, 0.9], 1.0)
SYMMETRIC_PAIR = ([[0.0, 2.0], [2.0, 0.0]], [-1.0, -1.0], 1.0)
TRIANGLE = ([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], [-1.0, -1.0, -1.0], 1.0)
# a strong coupling between responsive units, weak ones to units that hardly ever fire
UNEVEN = (
    [[0.0, 2.4, 0.0, -0.8], [2.4, 0.0, 0.8, 0.0], [0.0, 0.8, 0.0, 1.0], [-0.8, 0.0, 1.0, 0.0]],
    [-1.0, -1.0, -3.0, -2.0],
    1.0,
)


def scaled_hessian(model: Model, mean: FloatArray) -> FloatArray:
    """Q = V^½(T V⁻¹ − J)V^½/T = I − V^½JV^½/T, (N, N)."""
    root = np.sqrt(activity_variance(mean) / model.temperature)
    return np.eye(model.size) - root[:, None] * model.couplings * root


def relaxation_rates(hessian: FloatArray, leaks: FloatArray) -> FloatArray:
    """The N eigenvalues of D_ε B, those of P = D_ε^½ Q D_ε^½, ascending: deviations from the fixed point shrink by 1 − λ a step."""
    root = np.sqrt(leaks)
    return np.linalg.eigvalsh(root[:, None] * hessian * root)


def balanced_noise(hessian: FloatArray, leaks: FloatArray, ratio: float) -> FloatArray:
    """V^−½ΣV^−½ = (η/2)[Q⁻¹ + (2D_ε⁻¹ − Q)⁻¹] where ε_i/K_i = η for every neuron, (N, N).

    *Holds when* 0 < λ(D_ε^½QD_ε^½) < 2. In full Σ = (ηT/2)[(TV⁻¹ − J)⁻¹ + (T(2D_ε⁻¹ − I)V⁻¹ + J)⁻¹]. Paper: thm:G7.
    """
    return ratio / 2 * (np.linalg.inv(hessian) + np.linalg.inv(np.diag(2 / leaks) - hessian))


def edges(couplings: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs i < j with J_ij ≠ 0."""
    first, second = np.nonzero(np.triu(couplings, 1))
    return first, second


def noise_scores(model: Model, covariance: FloatArray) -> FloatArray:
    """s_e = |J_ij|√(2(χ_iiχ_jj + χ_ij²)) of every edge: its own weight and three covariances of its two neurons, (E,).

    covariance: χ, or the traces' stationary noise, which is (ηT/2)χ to leading order (thm:G7). Paper: thm:G7c.
    """
    first, second = edges(model.couplings)
    diagonal = np.diagonal(covariance)
    spread = diagonal[first] * diagonal[second] + covariance[first, second] ** 2
    return np.abs(model.couplings[first, second]) * np.sqrt(2 * spread)


def resistance_scores(model: Model, covariance: FloatArray) -> FloatArray:
    """|J_ij|(χ_ii + χ_jj − 2 sign(J_ij)χ_ij), weight times the variance of the neurons' difference (sum, for J_ij < 0), (E,)."""
    first, second = edges(model.couplings)
    weight, diagonal = model.couplings[first, second], np.diagonal(covariance)
    return np.abs(weight) * (diagonal[first] + diagonal[second] - 2 * np.sign(weight) * covariance[first, second])


def keeping_probabilities(scores: FloatArray, kept: float) -> FloatArray:
    """p_e = min(1, c s_e) with Σ p_e = kept, (E,), for positive scores and 0 < kept ≤ E: at most certain, else as the score."""
    ranked = np.sort(scores)[::-1]
    # what is left for the others when the first 0, 1, … edges are certain
    factors = (kept - np.arange(len(scores))) / np.cumsum(ranked[::-1])[::-1]
    factor = factors[np.argmax(factors * ranked <= 1 + 4 * EPS)]
    return np.minimum(1.0, factor * scores)


def mean_distortion(scores: FloatArray, kept: FloatArray) -> float:
    """E‖H^−½(H' − H)H^−½‖_F² = Σ_e (1/p_e − 1)s_e² over independent unbiased pruning (thm:G7c)."""
    return float(((1 / kept - 1) * scores**2).sum())


def _operating_point(model: Model) -> tuple[FloatArray, FloatArray]:
    """The fixed point m* and Q there."""
    mean = fixed_point(model, method="newton").value
    return mean, scaled_hessian(model, mean)


@claim(
    label="G7",
    title="heterogeneous leaks keep the rest and show the response",
    kind="identity",
    hypotheses="λ_max(J) < 4T; K_i copies with ε_i/K_i = η for the noise; λ_max(D_ε^½QD_ε^½) < 2",
    norm="curvature",
    domain={**model_scalars(6), "log_ratio": Interval(math.log(1e-3), math.log(0.25))},
    falsifiers=tuple(
        Falsifier(mutation, {"model": PAIR, "seed": 3, "log_ratio": math.log(0.2)})
        for mutation in ("one copy each", "linear response alone", "mean of the leaks", "ranges from 0")
    ),
)
def heterogeneous_leaks_keep_the_rest(
    model: Model, seed: int, log_ratio: float, mutation: str | None = None
) -> Evidence:
    """φ_ε(m*) = m* for every ε; the N rates satisfy Πλ_k = det Q·Πε_i and ε_min λ_k(Q) ≤ λ_k ≤ ε_max λ_k(Q); if ε_i/K_i = η, Σ =
    (ηT/2)[∂m*/∂b + (T(2D_ε⁻¹ − I)V⁻¹ + J)⁻¹].
    """
    copies = np.random.default_rng([seed, 83]).integers(1, 5, size=model.size)
    mean, hessian = _operating_point(model)
    # repelling couplings bear smaller leaks only: λ(P) < 2
    ratio = math.exp(log_ratio) * min(1.0, 1.9 / float(relaxation_rates(hessian, math.exp(log_ratio) * copies)[-1]))
    leaks = ratio * copies
    field = model.local_field(mean)
    moved = (1 - leaks) * mean + leaks * firing_probability(field, model.temperature)
    rates, plain = relaxation_rates(hessian, leaks), np.linalg.eigvalsh(hessian)
    product = np.log(rates).sum() - np.log(plain).sum()
    spread = np.log(leaks).sum()
    if mutation == "mean of the leaks":
        spread = model.size * np.log(leaks.mean())
    low, high = leaks.min() * plain, leaks.max() * plain
    if mutation == "ranges from 0":
        high = leaks.min() * plain
    noise = leaks**2 / (np.ones(model.size) if mutation == "one copy each" else copies)
    # in the coordinates V^−½x the linear chain is x' = (I − D_ε Q)x + D_ε ξ, Cov ξ = diag(1/K)
    covariance = discrete_lyapunov(np.eye(model.size) - leaks[:, None] * hessian, np.diag(noise))
    stated = balanced_noise(hessian, leaks, ratio)
    if mutation == "linear response alone":
        stated = ratio / 2 * np.linalg.inv(hessian)
    condition = 1e3 * EPS * model.size / (ratio * float(plain[0]))
    measured = [
        float(np.abs(moved - mean).max()),
        abs(float(product - spread)),
        float(np.maximum(low - rates, rates - high).max()),
        float(np.abs(covariance - stated).max()) / float(np.abs(stated).max()),
    ]
    return Evidence(measured, 0.0, [1e-12, condition, 1e2 * EPS * model.size * float(plain[-1]), 1e2 * condition])


@claim(
    label="G7b",
    title="what pruning does to the time scales",
    kind="inequality",
    hypotheses="H = TV⁻¹ − J ≻ 0 at m*; any J' = J'ᵀ with b' = b + (J − J')m*; any leaks; δ = ‖H^−½(J − J')H^−½‖₂",
    norm="curvature",
    domain={**model_scalars(8, smallest=2), "kept": Interval(0.2, 0.95)},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": SYMMETRIC_PAIR, "seed": 0, "kept": 0.0}),
        Falsifier("δ of the weights alone", {"model": SYMMETRIC_PAIR, "seed": 0, "kept": 0.0}),
        Falsifier("bias left alone", {"model": PAIR, "seed": 2, "kept": 0.0}),
        Falsifier("edges do not add up", {"model": TRIANGLE, "seed": 2, "kept": 0.0}),
    ),
)
def pruning_keeps_the_time_scales(model: Model, seed: int, kept: float, mutation: str | None = None) -> Evidence:
    """m* stays a fixed point; λ'_k ≤ (1+δ)λ_k and, if δ < 1, λ'_k ≥ (1−δ)λ_k for all N rates whatever the leaks, and χ/(1+δ) ≼ χ' ≼
    χ/(1−δ); δ ≤ Σ_e|J_e − J'_e|(√(χ_iiχ_jj) + |χ_ij|) over the changed edges, an equality for one.
    """
    generator = np.random.default_rng([seed, 84])
    mean, hessian = _operating_point(model)
    # one leak for all in a quarter of the draws
    leaks = generator.uniform(0.05, 1.0, size=1 if seed % 4 == 0 else model.size) * np.ones(model.size)
    keep = np.triu(generator.uniform(size=model.couplings.shape) < kept, 1)
    # half of the draws reweight what they keep
    couplings = model.couplings * (keep + keep.T) / (kept if seed % 2 else 1.0)
    shift = 0.0 if mutation == "bias left alone" else (model.couplings - couplings) @ mean
    pruned = Model(couplings, model.bias + shift, model.temperature)
    root = np.sqrt(activity_variance(mean) / model.temperature)
    change = root[:, None] * (model.couplings - couplings) * root
    inverse = np.linalg.inv(hessian)
    factor = np.linalg.cholesky(inverse)
    distortion = float(np.abs(np.linalg.eigvalsh(factor.T @ change @ factor)).max())
    stated = float(np.linalg.norm(change, 2)) if mutation == "δ of the weights alone" else distortion
    before, after = relaxation_rates(hessian, leaks), relaxation_rates(hessian + change, leaks)
    diagonal = np.diagonal(inverse)
    share = np.abs(change) * (np.sqrt(np.outer(diagonal, diagonal)) + np.abs(inverse))
    total = float(share.max() if mutation == "edges do not add up" else np.triu(share, 1).sum())
    rest = float(np.abs(firing_probability(pruned.local_field(mean), model.temperature) - mean).max())
    moved = after / before - 1
    measured = [*moved, max(0.0, distortion - total), rest]
    bound = [*np.full(model.size, stated), 0.0, 0.0]
    if stated < 1:
        measured += [*-moved]
        bound += [*np.full(model.size, stated)]
    if distortion < 1:
        # χ' against χ: the eigenvalues of their quotient
        quotient = np.linalg.eigvalsh(np.linalg.inv(np.eye(model.size) + factor.T @ change @ factor))
        measured.append(max(0.0, quotient[-1] - 1 / (1 - distortion), 1 / (1 + distortion) - quotient[0]))
        bound.append(0.0)
    condition = np.linalg.cond(hessian) / max(1 - distortion, 1e-3)
    return Evidence(measured, bound, 1e-11 + 1e2 * EPS * model.size * condition)


@claim(
    label="G7c",
    title="the best unbiased pruning reads noise",
    kind="inequality",
    hypotheses="H ≻ 0 at m*; edges kept independently with probability p_e and divided by it; Σp_e given; b' = b + (J − J')m*",
    norm="curvature",
    domain={
        **model_scalars(5, smallest=3),
        "shape": Interval(0, 10, integer=True),
        "field": Interval(0, 3, integer=True),
        "kept": Interval(0.2, 0.95),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": TRIANGLE, "seed": 0, "kept": 0.5}),
        Falsifier("magnitude is best", {"model": UNEVEN, "seed": 0, "kept": 0.4}),
        Falsifier("resistance is best", {"model": UNEVEN, "seed": 0, "kept": 0.4}),
        Falsifier("kept edges not reweighted", {"model": UNEVEN, "seed": 0, "kept": 0.4}),
        Falsifier("χ_ij² dropped", {"model": TRIANGLE, "seed": 0, "kept": 0.5}),
    ),
)
def noise_prunes_best(model: Model, seed: int, kept: float, mutation: str | None = None) -> Evidence:
    """E‖H^−½(H' − H)H^−½‖_F² = Σ(1/p_e − 1)s_e², s_e = |J_ij|√(2(χ_iiχ_jj + χ_ij²)); at given Σp_e it is least for p_e =
    min(1, c s_e): at most what magnitude, resistance, equal and any other probabilities leave.
    """
    mean, hessian = _operating_point(model)
    # χ in the coordinates V^−½x, and the couplings likewise
    root = np.sqrt(activity_variance(mean) / model.temperature)
    couplings = root[:, None] * model.couplings * root
    scaled = Model((couplings + couplings.T) / 2, model.bias, 1.0)
    response = np.linalg.inv(hessian)
    scores = noise_scores(scaled, response)
    count = len(scores)
    budget = max(kept * count, 0.5)
    best = keeping_probabilities(scores, budget)
    rivals = {
        "magnitude is best": keeping_probabilities(np.abs(model.couplings[edges(model.couplings)]), budget),
        "resistance is best": keeping_probabilities(resistance_scores(scaled, response), budget),
        "equal": np.full(count, budget / count),
        "any": keeping_probabilities(np.random.default_rng([seed, 85]).uniform(0.1, 1.0, size=count), budget),
    }
    if mutation in rivals:
        best, rivals = rivals[mutation], {"noise": best}
    least = mean_distortion(scores, best)
    others = [mean_distortion(scores, rival) for rival in rivals.values()]
    weights = best if mutation != "kept edges not reweighted" else np.ones(count)
    if mutation == "χ_ij² dropped":
        diagonal, (first, second) = np.diagonal(response), edges(scaled.couplings)
        scores = np.abs(scaled.couplings[first, second]) * np.sqrt(2 * diagonal[first] * diagonal[second])
        least = mean_distortion(scores, best)
    enumerated = _enumerated_distortion(scaled, response, best, weights)
    measured = [least] * len(others) + [abs(enumerated - least)]
    return Evidence(measured, [*others, 0.0], 1e-9 * (1 + max(others)))


def _enumerated_distortion(model: Model, response: FloatArray, kept: FloatArray, weights: FloatArray) -> float:
    """E tr((χ ΔJ)²) over all 2^E subsets of edges, kept ones divided by their weight."""
    first, second = edges(model.couplings)
    subsets = all_states(len(kept))
    law = np.prod(np.where(subsets > 0, kept, 1 - kept), axis=1)
    change = np.zeros((len(subsets), model.size, model.size))
    change[:, first, second] = model.couplings[first, second] * (1 - subsets / weights)
    change += np.swapaxes(change, 1, 2)
    product = response @ change
    return float(law @ np.einsum("sij,sji->s", product, product))
