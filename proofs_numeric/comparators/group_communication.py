"""Neuronal group communication: a restatement on small networks of this package, no benchmark is reproduced.

Mechanism (Pei, Huang and Wang 2025, arXiv 2510.16851): weights are interactions of low-dimensional states of neurons, and groups of
neurons exchange low-dimensional signals. Here the block of couplings between the groups a and b has rank r,

    J_ab = U_a V_bᵀ = J_baᵀ,   group a receives U_a y_b, where y_b = V_bᵀ z_b are r numbers that b sends.

Main results: thm:G6, thm:G6b, thm:G6c.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dynamics.enumeration import all_states, exact_law
from meanfield.bounds.hypotheses import require_dobrushin
from meanfield.bounds.ranges import field_ranges
from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Model
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import SEEDS, Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
PINNED_PAIR = ([[0.0, 0.1], [0.1, 0.0]], [-0.05, 30.0], 1.0)
WEAK_PAIR = ([[0.0, 0.02], [0.02, 0.0]], [-0.02, -0.02], 1.0)
STRONG_PAIR = ([[0.0, 3.0], [3.0, 0.0]], [-1.5, -1.2], 1.0)
# unit 0 hears one neighbour that always fires and one that never does
OPPOSED_TRIPLE = ([[0.0, 1.0, -1.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], [-0.5, 30.0, -30.0], 1.0)
# units 0 and 1 form a group, unit 2 reaches unit 0 through unit 1 only
RELAYED = ([[0.0, 3.0, 0.0], [3.0, 0.0, 0.5], [0.0, 0.5, 0.0]], [-1.5, -1.5, 2.0], 1.0)
# the smallest singular value belongs to the uniform vector: without it |I − 11ᵀ/3| has norm 4/3
NEAR_IDENTITY = (np.kron([[0.0, 1.0], [1.0, 0.0]], 2 * np.eye(3) - 0.01).tolist(), [0.0] * 6, 1.0)
# a truncation of each block by itself takes away what cancelled between blocks
THREE_GROUPS = (
    [
        [0, 0, -2, -1, -1, 0],
        [0, 0, 2, -1, -2, 2],
        [-2, 2, 0, 0, -2, -1],
        [-1, -1, 0, 0, -2, 0],
        [-1, -2, -2, -2, 0, 0],
        [0, 2, -1, 0, 0, 0],
    ],
    [0.0] * 6,
    2.0,
)
GROUPS = Interval(2, 3, integer=True)
RANK = Interval(0, 2, integer=True)


def group_labels(size: int, groups: int) -> NDArray[np.int64]:
    """Units 0 … N−1 in `groups` consecutive groups of nearly equal size, (N,)."""
    return np.arange(size) * groups // size


def blocks(labels: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The index arrays of every pair of groups a < b."""
    members = [np.flatnonzero(labels == group) for group in np.unique(labels)]
    return ((first, second) for a, first in enumerate(members) for second in members[a + 1 :])


def compressed(couplings: FloatArray, labels: NDArray[np.int64], rank: int) -> tuple[FloatArray, FloatArray]:
    """(J_r (N, N), Ω (groups, groups)): blocks between groups truncated to rank r by their singular values, Ω_ab = σ_{r+1}(J_ab).

    Couplings inside a group stay. J_r is symmetric to the last bit.
    """
    result, names = couplings.copy(), np.unique(labels)
    lost = np.zeros((names.size, names.size))
    for first, second in blocks(labels):
        left, values, right = np.linalg.svd(couplings[np.ix_(first, second)], full_matrices=False)
        block = (left[:, :rank] * values[:rank]) @ right[:rank]
        result[np.ix_(first, second)], result[np.ix_(second, first)] = block, block.T
        a, b = np.searchsorted(names, (labels[first[0]], labels[second[0]]))
        lost[a, b] = lost[b, a] = values[rank] if rank < values.size else 0.0
    return result, lost


def update_change(model: Model, other: Model) -> FloatArray:
    """max_z |p_i(z) − p'_i(z)| bounded by the range of the field and of its change, (N,); at most tanh(max|h' − h|/4T)."""
    scaled = (other.couplings - model.couplings) / model.temperature
    shift = (other.bias - model.bias) / model.temperature
    low, high = field_ranges(model)
    changes = []
    for change in (shift + np.minimum(scaled, 0).sum(axis=1), shift + np.maximum(scaled, 0).sum(axis=1)):
        # |σ(x + d) − σ(x)| grows with |d|, and towards x = −d/2 from both sides
        nearest = np.clip(-change / 2, low, high)
        changes.append(np.abs(firing_probability(nearest + change, 1.0) - firing_probability(nearest, 1.0)))
    return np.maximum(*changes)


def mean_changes(model: Model, other: Model) -> list[FloatArray]:
    """Vectors d (N,) with |E z − E' z| ≤ d and |E z_iz_k − E' z_iz_k| ≤ d_i + d_k for the Gibbs laws of two networks at one T.

    D b with b = update_change, and, where ρ(C') < 1 as well, D' b'. Holds when ρ(C) < 1, else HypothesisError. Paper: thm:G6.
    """
    require_dobrushin(model)
    both = [(model, other), (other, model)] if _radius(other) < 1 else [(model, other)]
    return [np.linalg.solve(np.eye(one.size) - one.influence, update_change(one, two)) for one, two in both]


def _radius(model: Model) -> float:
    """ρ(C)."""
    return float(np.linalg.eigvalsh(model.influence)[-1])


def _changed(model: Model, labels: NDArray[np.int64], rank: int, centred: bool) -> tuple[Model, FloatArray]:
    """The compressed network, its bias moved by ½(J − J_r)1 if centred, and Ω."""
    couplings, lost = compressed(model.couplings, labels, rank)
    shift = 0.5 * (model.couplings - couplings).sum(axis=1) if centred else 0.0
    return Model(couplings, model.bias + shift, model.temperature), lost


@claim(
    label="G6",
    title="Gibbs means under low-rank communication",
    kind="inequality",
    hypotheses="ρ(C) < 1 for the full network; one T; any other couplings and bias, here blocks truncated to rank r",
    norm="dobrushin",
    domain={**model_scalars(7, smallest=2), "groups": GROUPS, "rank": RANK},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": PINNED_PAIR, "groups": 2, "rank": 0}),
        Falsifier("D dropped", {"model": RELAYED, "groups": 2, "rank": 0}),
        Falsifier("net row sums", {"model": OPPOSED_TRIPLE, "groups": 3, "rank": 0}),
        Falsifier("centred without moving the bias", {"model": PINNED_PAIR, "groups": 2, "rank": 0}),
    ),
    instances=120,
)
def means_under_low_rank_communication(model: Model, groups: int, rank: int, mutation: str | None = None) -> Evidence:
    """|E z − E_r z| ≤ Db and, where ρ(C_r) < 1, ≤ D_rb_r; b_i = max |σ(x + d) − σ(x)| over the fields ≤ tanh(max(Σ_jΔJ_ij⁺,
    Σ_jΔJ_ij⁻)/4T); products z_iz_k by (Db)_i + (Db)_k; with b_r = b + ½(J − J_r)1, ½Σ_j|ΔJ_ij| for the rows, and ‖E z − E_r z‖₂ ≤
    ‖Ω‖₂√N/(8T(1−ρ(C))).
    """
    labels = group_labels(model.size, min(groups, model.size))
    law, radius = exact_law(model), _radius(model)
    products = law.covariance + np.outer(law.mean, law.mean)
    measured, bound, ceiling = [], [], []
    for centred in (False, True):
        other, lost = _changed(model, labels, rank, centred)
        changed = exact_law(other)
        limits = mean_changes(model, other)
        if mutation == "D dropped":
            limits = [update_change(model, other)]
        elif mutation == "net row sums":
            net = np.abs((other.couplings - model.couplings).sum(axis=1))
            limits = mean_changes(model, model.with_bias(model.bias + net))
        elif mutation == "centred without moving the bias":
            limits = mean_changes(model, _changed(model, labels, rank, True)[0])
        change = np.abs(changed.mean - law.mean)
        pairs = np.abs(changed.covariance + np.outer(changed.mean, changed.mean) - products)
        upper = np.triu_indices(model.size, 1)
        measured += [change, pairs[upper]]
        bound += [np.min(limits, axis=0), np.min([np.add.outer(d, d)[upper] for d in limits], axis=0)]
        ceiling += [np.ones(model.size), np.ones(len(upper[0]))]
        if centred:
            measured.append(np.atleast_1d(np.linalg.norm(change)))
            strength = np.linalg.norm(lost, 2) * math.sqrt(model.size) / (8 * model.temperature)
            bound.append(np.atleast_1d(strength / (1 - min(radius, _radius(other)))))
            ceiling.append(np.array([math.sqrt(model.size)]))
    return Evidence(np.concatenate(measured), np.concatenate(bound), 1e-11 / (1 - radius), np.concatenate(ceiling))


@claim(
    label="G6b",
    title="low-rank communication and the mean field",
    kind="inequality",
    hypotheses="κ < 1 for the full network; (iii) two groups without couplings inside, r ≥ 1",
    norm="spectral",
    domain={**model_scalars(9, smallest=2), "groups": GROUPS, "rank": RANK},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": WEAK_PAIR, "groups": 2, "rank": 0}),
        Falsifier("1 − κ dropped", {"model": STRONG_PAIR, "groups": 2, "rank": 0}),
        Falsifier("κ_a is kept too", {"model": NEAR_IDENTITY, "groups": 2, "rank": 2}),
        Falsifier("three groups", {"model": THREE_GROUPS, "groups": 3, "rank": 1}, drops="two groups"),
        Falsifier("the bias left alone", {"model": STRONG_PAIR, "groups": 2, "rank": 0}),
    ),
)
def mean_field_under_low_rank_communication(
    model: Model, groups: int, rank: int, mutation: str | None = None
) -> Evidence:
    """‖J − J_r‖₂ ≤ ‖Ω‖₂; ‖m* − m_r‖₂ ≤ ‖(J − J_r)m_r‖₂/(4T(1−κ)) ≤ ‖Ω‖₂‖m_r‖₂/(4T(1−κ)), with m_r − ½ for m_r if centred;
    b_r = b + (J − J_r)m* keeps m*; (iii) ‖J − J_r‖₂ = σ_{r+1}, and κ is kept.
    """
    labels = group_labels(model.size, min(groups, model.size))
    temperature, mean = model.temperature, fixed_point(model, method="newton").value
    slack = 4 * temperature * (1.0 if mutation == "1 − κ dropped" else 1 - model.gain)
    measured, bound = [], []
    for centred in (False, True):
        other, lost = _changed(model, labels, rank, centred)
        difference, size = model.couplings - other.couplings, float(np.linalg.norm(lost, 2))
        start = np.full(model.size, 0.5)
        moved = fixed_point(other, start=start, method="newton").value
        around = moved - 0.5 if centred else moved
        push = float(np.linalg.norm(difference @ around))
        distance = float(np.linalg.norm(mean - moved))
        measured += [distance, distance]
        bound += [push / slack, size * float(np.linalg.norm(around)) / slack]
    measured.append(max(0.0, float(np.linalg.norm(difference, 2)) - size) / temperature)
    bound.append(0.0)
    shift = 0.0 if mutation == "the bias left alone" else difference @ mean
    kept = model.with_bias(model.bias + shift)
    field = Model(other.couplings, kept.bias, temperature).local_field(mean)
    measured.append(float(np.abs(firing_probability(field, temperature) - mean).max()))
    bound.append(0.0)
    if rank > 0:
        two = labels if mutation == "three groups" else np.minimum(labels, 1)
        couplings = np.where(two[:, None] != two, model.couplings, 0.0) / temperature
        kept_rank, gone = compressed(couplings, two, rank)
        before, after, lost_norm = (float(np.linalg.norm(m, 2)) for m in (couplings, kept_rank, couplings - kept_rank))
        if mutation == "κ_a is kept too":
            before, after = (float(np.linalg.norm(np.abs(m), 2)) for m in (couplings, kept_rank))
        measured += [abs(before - after), abs(lost_norm - float(np.linalg.norm(gone, 2)))]
        bound += [0.0, 0.0]
    fields = 1 + float(np.abs(model.bias).max() + np.abs(model.couplings).sum(axis=1).max()) / temperature
    return Evidence(
        measured, bound, 1e3 * EPS * model.size * fields / (1 - min(model.gain, 0.999)), ceiling=math.sqrt(model.size)
    )


def gibbs_law(first: NDArray, second: NDArray, bias: FloatArray, states: FloatArray) -> NDArray:
    """Gibbs' law exp(z_aᵀUVᵀz_b + bᵀz)/Z at temperature one over all states, complex where the factors are."""
    units = len(first)
    exponent = ((states[:, :units] @ first) * (states[:, units:] @ second)).sum(axis=1) + states @ bias
    weights = np.exp(exponent - exponent.real.max())
    return weights / weights.sum()


def message_gradient(law: FloatArray, costs: FloatArray, spikes: FloatArray, message: FloatArray) -> FloatArray:
    """Cov(z_i y_k, C) = d/dβ⟨−z_i y_k⟩ at β = 0, T = 1, (n, r): law, costs (states,), spikes (states, n), message (states, r)."""
    return (spikes * (law * (costs - law @ costs))[:, None]).T @ message


@claim(
    label="G6c",
    title="equilibrium propagation on factors is exact and reads messages",
    kind="identity",
    hypotheses="Gibbs' law of two groups coupled by UVᵀ; any U, V, b, T > 0; cost on spikes",
    domain={
        "units": Interval(1, 4, integer=True),
        "others": Interval(1, 4, integer=True),
        "rank": Interval(1, 3, integer=True),
        "log_scale": Interval(-2.0, 1.5),
        "seed": SEEDS,
    },
    falsifiers=tuple(
        Falsifier(
            mutation,
            {"units": 3, "others": 2, "rank": 2, "log_scale": 0.0, "seed": 4},
        )
        for mutation in ("the group's own message", "spikes in place of messages", "message of mean spikes", "sign")
    ),
)
def factors_learn_from_messages(
    units: int,
    others: int,
    rank: int,
    log_scale: float,
    seed: int,
    mutation: str | None = None,
) -> Evidence:
    """∂⟨C⟩/∂U_ik = d/dβ ⟨−z_i y_k⟩_β at 0 with the message y = Vᵀz_b, = (1/T)Cov(z_i y_k, C); the same for V with Uᵀz_a (T = 1, the
    unit of J).
    """
    generator = np.random.default_rng([seed, 82])
    factors = [math.exp(log_scale / 2) * generator.normal(size=(count, rank)) for count in (units, others)]
    bias = generator.normal(size=units + others)
    cost, states = random_cost(units + others, seed), all_states(units + others)
    costs = cost.on_spikes(states)
    law = np.real(gibbs_law(factors[0], factors[1], bias, states))
    groups = states[:, :units], states[:, units:]
    measured, scale = [], 1.0
    for own, (spikes, sent, factor) in enumerate(
        ((groups[0], groups[1], factors[1]), (groups[1], groups[0], factors[0]))
    ):
        message = sent @ factor
        if mutation == "the group's own message":
            message = spikes @ factors[own]
        elif mutation == "spikes in place of messages":
            message = np.resize(sent, (len(states), rank))
        elif mutation == "message of mean spikes":
            message = np.tile(law @ message, (len(states), 1))
        estimate = message_gradient(law, costs, spikes, message) * (-1 if mutation == "sign" else 1)
        truth = np.empty_like(estimate)
        for index in np.ndindex(truth.shape):
            moved = [factors[0].astype(complex), factors[1].astype(complex)]
            moved[own][index] += 1e-30j
            truth[index] = (gibbs_law(moved[0], moved[1], bias, states) @ costs).imag / 1e-30
        measured.append(np.abs(estimate - truth).max())
        scale += float(np.abs(message).max())
    return Evidence(measured, 0.0, 1e3 * EPS * len(states) * scale * (1 + float(np.abs(bias).sum())))
