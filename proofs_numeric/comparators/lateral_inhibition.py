"""Lateral inhibition: couplings without symmetry, and gains that divide.

DeepEISNN (Liu, Ding & Yu, ICLR 2026, arXiv:2509.23253; as in their code, github.com/vwOvOwv/DeepEISNN) replaces normalisation by
inhibitory neurons that subtract from and divide the input of excitatory ones, g(I_E − W I_I)/(W(α ∘ I_I)) + b. Held against EP:
    h = Js + b with J ≠ Jᵀ (inhibition),  h = a ∘ (Js) + b (fixed gains),  h = Js/(1 + wᵀs) + b (a gain that divides).
With M = TV⁻¹ − S, S and A the symmetric and antisymmetric parts of the fields' Jacobian at rest, EP in place of the gradient
g = (M + A)⁻¹c returns e = (M − A)⁻¹c: in the metric M the same length, turned by at most 2 arctan ‖M^−½AM^−½‖ (thm:G4). Laborieux &
Zenke (arXiv:2309.02214) have the first order of this, with a homeostatic loss against it.
A small restatement on small circuits; no benchmark of the papers is reproduced.

Main results: thm:G4, thm:G4b, thm:G4c.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Model
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.comparators.feedback_scaling import circuit_at
from proofs_numeric.comparators.symmetric_nudging import at_rest, logistic_slope
from proofs_numeric.instances import LOG_TEMPERATURE, SEEDS, Interval, model_scalars

EPS = float(np.finfo(float).eps)
TINY = 1e-30

OPPOSED = {"size": 2, "gain": 0.6, "log_asymmetry": 0.0, "spread": 1.0, "log_temperature": 0.0, "seed": 1}

UNSATURATED = {"field": Interval(0, 3, integer=True)}
UNEVEN_PAIR = ([[0.0, 3.0], [3.0, 0.0]], [-2.0, 1.0], 1.0)
FEEBLE_PAIR = ([[0.0, 0.01], [0.01, 0.0]], [0.0, 0.0], 1.0)
STRONG_PAIR = ([[0.0, 6.0], [6.0, 0.0]], [-3.0, -3.0], 1.0)
# a frustrated cycle of four: κ = κ_a/√2
FRUSTRATED = ([[0.0, 4, 0, -4], [4, 0, 4, 0], [0, 4, 0, 4], [-4, 0, 4, 0]], [0.0, 0.0, 0.0, 0.0], 1.0)

Fields = Callable[[NDArray[Any]], NDArray[Any]]


def rest_shift(
    fields: Fields, jacobian: FloatArray, field: FloatArray, push: FloatArray, temperature: float
) -> FloatArray:
    """T times the derivative of the rest m = σ(h(m)/T) along h + x·push, by a complex step of the map itself; (N,).

    field: h(m)/T at rest. jacobian (N, N): ∂h/∂s at rest, by which the step is solved for; three rounds.
    """
    mean, slope = firing_probability(field, 1.0), logistic_slope(field) / temperature
    solve = np.linalg.inv(np.eye(mean.size) - slope[:, None] * jacobian)
    state = mean.astype(complex)
    for _ in range(3):
        image = firing_probability((fields(state) + 1j * TINY * temperature * push) / temperature, 1.0)
        state = state + solve @ (image - state)
    return state.imag / TINY


def estimate_and_gradient(
    fields: Fields, jacobian: FloatArray, field: FloatArray, force: FloatArray, temperature: float
) -> tuple[FloatArray, FloatArray]:
    """(EP's e, the gradient g in the biases) of a cost with slope `force` at rest, both times T, (N,), from shifted rests."""
    shifts = [rest_shift(fields, jacobian, field, unit, temperature) for unit in np.eye(field.size)]
    return rest_shift(fields, jacobian, field, force, temperature), np.array(shifts) @ force


def stiffness_and_turn(jacobian: FloatArray, field: FloatArray, temperature: float) -> tuple[FloatArray, FloatArray]:
    """√V-scaled M and A over T: I − √V S √V/T and √V A √V/T, (N, N) each; saturated units do no harm."""
    root = np.sqrt(logistic_slope(field))
    scaled = root[:, None] * jacobian * root / temperature
    return np.eye(field.size) - 0.5 * (scaled + scaled.T), 0.5 * (scaled - scaled.T)


def largest_turn(stiffness: FloatArray, turn: FloatArray) -> tuple[float, FloatArray]:
    """(k = ‖M^−½AM^−½‖₂, a gradient g that EP turns by 2 arctan k), g in the coordinates of M and A. Paper: thm:G4."""
    values, vectors = np.linalg.eigh(stiffness)
    root = (vectors / np.sqrt(values)) @ vectors.T
    _, sizes, right = np.linalg.svd(root @ turn @ root)
    return float(sizes[0]), root @ right[0]


def half_angle(stiffness: FloatArray, left: FloatArray, right: FloatArray) -> tuple[float, float]:
    """(‖x − y‖/‖x + y‖, ‖x‖/‖y‖ − 1) in the metric: for equal lengths the first is tan of half the angle."""
    root = np.linalg.cholesky(stiffness).T
    one, other = root @ left, root @ right
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    return float(np.linalg.norm(one - other) / np.linalg.norm(one + other)), float(lengths[0] / lengths[1] - 1)


@claim(
    label="G4",
    title="EP with asymmetric couplings turns the gradient",
    kind="inequality",
    means="numeric",
    hypotheses="any J with λ_max(½(J + Jᵀ)) < 4T, any rest, any cost",
    domain={
        "size": Interval(1, 6, integer=True),
        "gain": Interval(0.02, 0.98),
        "log_asymmetry": Interval(math.log(0.01), math.log(5.0)),
        "spread": Interval(0.0, 3.0),
        "log_temperature": LOG_TEMPERATURE,
        "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("constant × 0.9", OPPOSED),
        Falsifier("arctan k", OPPOSED),
        Falsifier("the first order in A", OPPOSED),
        Falsifier("equal Euclidean lengths", OPPOSED),
        Falsifier("S dropped from M", OPPOSED),
        Falsifier("M not positive", {**OPPOSED, "gain": 3.0}, drops="λ_max(½(J + Jᵀ)) < 4T"),
    ),
)
def asymmetry_turns(
    size: int, gain: float, log_asymmetry: float, spread: float, log_temperature: float, seed: int,
    mutation: str | None = None,
) -> Evidence:  # fmt: skip
    """EP's e = (M − A)⁻¹c has the M-norm of the gradient g = (M + A)⁻¹c and tan(∠/2) ≤ k = ‖M^−½AM^−½‖₂, attained by some cost: no
    cost's estimate turns against its gradient iff k < 1.
    """
    generator, temperature = np.random.default_rng([seed, 90]), math.exp(log_temperature)
    raw = generator.normal(size=(size, size))
    np.fill_diagonal(raw, 0.0)
    even, odd = raw + raw.T, raw - raw.T
    top, strength = float(np.linalg.eigvalsh(even)[-1]), float(np.linalg.norm(odd, 2))
    scale = 4 * temperature
    couplings = even * (gain * scale / top if top > 0 else 0.0)
    couplings = couplings + odd * (math.exp(log_asymmetry) * scale / strength if strength else 0.0)
    field = spread * generator.normal(size=size)
    circuit, mean = circuit_at(couplings, field, temperature)
    root = np.sqrt(logistic_slope(field))
    stiffness, turn = stiffness_and_turn(couplings, field, temperature)
    if mutation == "M not positive":
        return Evidence(-float(np.linalg.eigvalsh(stiffness)[0]), 0.0)
    largest, extreme = largest_turn(stiffness, turn)
    if mutation == "S dropped from M":
        largest = float(np.linalg.norm(turn, 2))
    if mutation == "arctan k":
        largest = math.tan(0.5 * math.atan(largest))
    outputs = generator.permutation(size)[: generator.integers(1, size + 1)]
    force = np.zeros(size)
    force[outputs] = mean[outputs] - generator.uniform(size=outputs.size)
    tangents, misses = [], []
    for one in (force, (stiffness + turn) @ extreme / root):
        answer = estimate_and_gradient(
            lambda state: circuit.couplings @ state + circuit.bias, couplings, field, one, temperature
        )
        estimate, gradient = (part / root for part in answer)
        tangent, lengthened = half_angle(stiffness, estimate, gradient)
        if mutation == "equal Euclidean lengths":
            lengthened = half_angle(np.eye(size), estimate, gradient)[1]
        first = gradient + 2 * np.linalg.solve(stiffness, turn @ gradient)
        if mutation == "the first order in A":
            misses.append(float(np.abs(first - estimate).max()))
        tangents.append(tangent)
        misses.append(abs(lengthened))
    misses.append(abs(tangents[1] - largest) if mutation is None else 0.0)
    condition = float(np.linalg.cond(stiffness)) * (1 + largest) ** 2 * (1 + float(np.abs(turn).sum()))
    rounding = 1e3 * EPS * size * condition
    return Evidence([tangents[0], *misses], [largest] + [0.0] * len(misses), rounding)


@claim(
    label="G4b",
    title="what a dividing gain restores",
    kind="inequality",
    hypotheses="any J = Jᵀ, gains 0 < a_i ≤ 1",
    norm="spectral",
    domain={**model_scalars(8, gain=Interval(0.02, 5.0)), "log_gain": Interval(math.log(1e-3), 0.0)},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FEEBLE_PAIR, "seed": 1, "log_gain": math.log(0.5)}),
        Falsifier("a² for a", {"model": STRONG_PAIR, "seed": 1, "log_gain": math.log(0.5)}),
        Falsifier("aC from above", {"model": STRONG_PAIR, "seed": 1, "log_gain": math.log(0.5)}),
        Falsifier("a < 1/κ in place of a < 1/κ_a", {"model": FRUSTRATED, "seed": 1, "log_gain": -0.01}),
    ),
)
def gain_restores_the_hypotheses(model: Model, seed: int, log_gain: float, mutation: str | None = None) -> Evidence:
    """Gains a on the fields scale κ, κ_a, κ_∞ by a common a exactly, by at most max a else; D_aC ≤ C(a) ≤ min(C, D_a|J|/4T), so
    aρ(C) ≤ ρ(C(a)) ≤ min(ρ(C), aκ_a): a < 1/κ_a restores ρ(C) < 1. EP's error of neuron i is a_i/a_o times the gradient (thm:G3).
    """
    common, size = math.exp(log_gain), model.size
    gains = np.exp(log_gain * np.random.default_rng([seed, 91]).uniform(size=size))
    influence = model.influence
    measured, bound, excess = [], [], []
    for one in (np.full(size, common), gains):
        # the field of unit i is a_i times what it was; Dobrushin's influence reads fields
        most = one[:, None] * np.abs(model.couplings) / (4 * model.temperature)
        divided, low = np.tanh(most), one[:, None] * influence
        high = low if mutation == "aC from above" else np.minimum(most, influence)
        excess += [low - divided, divided - high]
        measured += [_radius(low), _radius(divided), _radius(divided)]
        bound += [_radius(divided), float(one.max()) * model.absolute_gain, _radius(influence)]
    root = np.sqrt(gains)
    scaled = root[:, None] * model.couplings * root
    other = Model(0.5 * (scaled + scaled.T), model.bias, model.temperature)
    measured += [other.gain, other.absolute_gain]
    bound += [float(gains.max()) * model.gain, float(gains.max()) * model.absolute_gain]
    power = common**2 if mutation == "a² for a" else common
    halved = Model(common * model.couplings, model.bias, model.temperature)
    kept = [(one.gain, one.absolute_gain, one.row_gain) for one in (halved, model)]
    critical = model.gain if mutation == "a < 1/κ in place of a < 1/κ_a" else model.absolute_gain
    weakened = np.tanh(0.999 / max(critical, 1.0) * np.abs(model.couplings) / (4 * model.temperature))
    excess += [np.abs(np.subtract(kept[0], power * np.array(kept[1]))), np.array([_radius(weakened) - 1])]
    zeros = [float(np.maximum(part, 0).max()) for part in excess]
    return Evidence([*measured, *zeros], [*bound, *np.zeros(len(zeros))], 1e2 * EPS * size * (1 + model.absolute_gain))


def _radius(matrix: FloatArray) -> float:
    """Spectral radius of a matrix without negative entries."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def shunted_jacobian(couplings: FloatArray, pool: FloatArray, mean: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """(∂h/∂s (N, N), x = Jm/n (N,), n = 1 + wᵀm) of fields h = Js/(1 + wᵀs) + b at m: (J − xwᵀ)/n."""
    divisor = float(1 + pool @ mean)
    drive = couplings @ mean / divisor
    return (couplings - np.outer(drive, pool)) / divisor, drive, divisor


def shunted_turn(
    couplings: FloatArray, pool: FloatArray, field: FloatArray, temperature: float
) -> tuple[float, FloatArray]:
    """(k, M) of the circuit with fields Js/(1 + wᵀs) + b that rests at σ(field), J = Jᵀ: thm:G4c, M in √V-scaled coordinates.

    k = ½√((xᵀM⁻¹x)(wᵀM⁻¹w) − (xᵀM⁻¹w)²)/n: EP's largest angle is 2 arctan k, and 0 where w is parallel to x.
    """
    jacobian, drive, divisor = shunted_jacobian(couplings, pool, firing_probability(field, 1.0))
    stiffness, _ = stiffness_and_turn(jacobian, field, temperature)
    root = np.sqrt(logistic_slope(field))
    one, other = np.linalg.solve(np.linalg.cholesky(stiffness), np.stack([root * drive, root * pool], axis=1)).T
    across = one - (one @ other) / max(float(other @ other), 1e-300) * other
    return 0.5 * float(np.linalg.norm(across) * np.linalg.norm(other)) / (divisor * temperature), stiffness


@claim(
    label="G4c",
    title="what a shared dividing gain does to EP",
    kind="inequality",
    means="numeric",
    hypotheses="J = Jᵀ, fields Js/(1 + wᵀs) + b with w ≥ 0, M positive at rest",
    norm="curvature",
    domain={
        **model_scalars(6, smallest=2),
        **UNSATURATED,
        "share": Interval(0.01, 0.95),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": UNEVEN_PAIR, "seed": 1, "share": 0.8}),
        Falsifier("n² for n", {"model": UNEVEN_PAIR, "seed": 1, "share": 0.8}),
        Falsifier("the drive's part along w kept", {"model": UNEVEN_PAIR, "seed": 1, "share": 0.8}),
        Falsifier("the gain held, as EP with fixed gains", {"model": UNEVEN_PAIR, "seed": 1, "share": 0.8}),
    ),
)
def shunting_turns(model: Model, seed: int, share: float, mutation: str | None = None) -> Evidence:
    """A gain 1/(1 + wᵀs) breaks the symmetry of J by rank two: EP turns the gradient by at most 2 arctan k, attained, with
    k = ½√((xᵀM⁻¹x)(wᵀM⁻¹w) − (xᵀM⁻¹w)²)/n, x = Jm/n, n = 1 + wᵀm; not at all where w is parallel to x.
    """
    generator, temperature, size = np.random.default_rng([seed, 92]), model.temperature, model.size
    mean = at_rest(model)
    field = model.local_field(mean) / temperature
    root = np.sqrt(logistic_slope(field))
    scaled = root[:, None] * model.couplings * root / temperature
    room = 1 - max(0.0, float(np.linalg.eigvalsh(scaled)[-1]))
    pool = generator.uniform(size=size)
    drive = model.couplings @ mean / temperature
    product = np.linalg.norm(root * drive) * np.linalg.norm(root * pool)
    # so that M, which is at least I − scaled/n − product/n², stays positive
    pool = pool * (share * room / product if product else 1.0)
    jacobian, x, divisor = shunted_jacobian(model.couplings, pool, mean)
    bias = temperature * field - model.couplings @ mean / divisor
    stated, stiffness = shunted_turn(model.couplings, pool, field, temperature)
    exact, extreme = largest_turn(stiffness, stiffness_and_turn(jacobian, field, temperature)[1])
    if mutation == "n² for n":
        stated /= divisor
    if mutation == "the drive's part along w kept":
        gram = [float((root * a) @ np.linalg.solve(stiffness, root * a)) for a in (x, pool)]
        stated = 0.5 * math.sqrt(gram[0] * gram[1]) / (divisor * temperature)
    if mutation == "the gain held, as EP with fixed gains":
        stated = 0.0

    def fields(state: NDArray[Any]) -> NDArray[Any]:
        return model.couplings @ state / (1 + pool @ state) + bias

    outputs = generator.permutation(size)[: generator.integers(1, size + 1)]
    force = np.zeros(size)
    force[outputs] = mean[outputs] - generator.uniform(size=outputs.size)
    answers = [estimate_and_gradient(fields, jacobian, field, force, temperature)]
    if exact > 0:
        turn = stiffness_and_turn(jacobian, field, temperature)[1]
        answers.append(estimate_and_gradient(fields, jacobian, field, (stiffness + turn) @ extreme / root, temperature))
    angles = [half_angle(stiffness, one / root, other / root)[0] for one, other in answers]
    attained = abs(angles[1] - stated) if exact > 0 else 0.0
    rounding = 1e4 * EPS * size * float(np.linalg.cond(stiffness)) * (1 + np.abs(pool).max() + np.abs(drive).max())
    return Evidence([angles[0], attained], [stated, 0.0], rounding)
