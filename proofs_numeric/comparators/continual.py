"""Continual EP: the weights move while the nudged phase runs.

Ernoult et al. (arXiv:2005.04168; rule as in their code, github.com/ernoult/continualEP) let neurons and synapses move together,
    s_{t+1} = (1−ε)s_t + ε σ((J_t s_t + b_t − βc(s_t))/T),  J_{t+1} = J_t + (η/β)(s_{t+1}s_{t+1}ᵀ − s_t s_tᵀ) off the diagonal,
    b_{t+1} = b_t + (η/β)(s_{t+1} − s_t),
and state that the updates follow −∇BPTT for small learning rates. Here it is decided what "small" means: ρ = η/β counts. The
weights telescope, so that the phase is EP of the energy E − (ρ/2)‖φ(s) − φ(m)‖², φ being all s_i and s_i s_j (i < j).
Cost: the phases of one-sided EP, one free and one nudged. A small restatement; no benchmark of the paper is reproduced.

Main results: thm:G2, thm:G2b, thm:G2c.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynamics.enumeration import leaky_law
from meanfield.bounds.ranges import largest_derivatives
from meanfield.bounds.relaxation import derivative_bounds
from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Model, QuadraticCost
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.comparators.symmetric_nudging import at_rest, logistic_slope
from proofs_numeric.instances import Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
# ∂/∂β is the imaginary part at β = i·TINY·T over TINY
TINY = 1e-30
COSTS_ON = ("rates", "spikes")
# saturated units let ρ_c grow like exp(|h|/T), and η/β times a rounding error moves their couplings
UNSATURATED = {"field": Interval(0, 3, integer=True)}
PAIR = ([[0.0, 1.5], [1.5, 0.0]], [0.3, -0.9], 1.0)
PEAKED_UNIT = ([[0.0]], [math.log(2 + math.sqrt(3))], 1.0)
FREE_UNIT = ([[0.0]], [0.0], 1.0)
EAGER = {"seed": 1, "share": 0.5, "leak": 1.0, "steps": 3}
SLOW = {"seed": 1, "log_nudging": math.log(1e-3), "log_ratio": math.log(0.1), "leak": 1.0, "steps": 4}
NOISY = {"seed": 1, "log_nudging": math.log(1e-2), "leak": 0.5, "steps": 4}


class ContinualPhase(NamedTuple):
    """A second phase of n steps: states (n + 1, N), and the couplings (N, N) and biases (N,) that it ends with."""

    states: NDArray[Any]
    couplings: NDArray[Any]
    bias: NDArray[Any]


def continual_phase(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: complex,
    ratio: float,
    steps: int,
    leak: float,
    cost_on: str = "rates",
) -> ContinualPhase:
    """Neurons and synapses move together from rest, with learning rate η = ratio · nudging; one step of each in turn."""
    slope, offset = cost.force(model.size, cost_on)
    state = at_rest(model).astype(np.result_type(nudging, np.float64))
    couplings, bias, path = model.couplings.astype(state.dtype), model.bias.astype(state.dtype), [state]
    for _ in range(steps):
        field = couplings @ state + bias - nudging * (slope * state + offset)
        after = (1 - leak) * state + leak * firing_probability(field / model.temperature, 1.0)
        change = np.outer(after - state, after) + np.outer(state, after - state)
        np.fill_diagonal(change, 0.0)
        couplings, bias = couplings + ratio * change, bias + ratio * (after - state)
        state = after
        path.append(state)
    return ContinualPhase(np.array(path), couplings, bias)


def plastic_stiffness(mean: FloatArray) -> FloatArray:
    """K = ∇φᵀ∇φ at m: 1 + ‖m‖² − m_i² on the diagonal, m_i m_j off it, (N, N); C-EP acts like EP with J + ρK (thm:G2)."""
    stiffness = np.outer(mean, mean)
    np.fill_diagonal(stiffness, 1 + mean @ mean - mean**2)
    return stiffness


def largest_ratio(model: Model) -> float:
    """ρ_c = 1/λ_max(χ^½Kχ^½): above this η/β the second phase leaves m whatever the nudging; ≥ (4T − λ_max(J))/(1 + 2‖m‖²).

    *Holds when* λ_max(J) < 4T. Paper: thm:G2.
    """
    mean = at_rest(model)
    root = np.sqrt(logistic_slope(model.local_field(mean) / model.temperature) / model.temperature)
    inner = np.eye(model.size) - root[:, None] * model.couplings * root
    outer = np.linalg.solve(np.linalg.cholesky(inner), np.diag(root))
    return 1 / float(np.linalg.eigvalsh(outer @ plastic_stiffness(mean) @ outer.T)[-1])


def truncated_errors(
    couplings: FloatArray, slope: FloatArray, force: FloatArray, *, steps: int, leak: float
) -> FloatArray:
    """Σ_{j≤k} g_j, k = 1 … n, (n, N): BPTT backwards at rest through a network of these (self-)couplings; slope = v/T."""
    adjoint, total, found = force, np.zeros(force.size), []
    for _ in range(steps):
        error = leak * slope * adjoint
        adjoint = (1 - leak) * adjoint + couplings.T @ error
        total = total + error
        found.append(total)
    return np.array(found)


@claim(
    label="G2",
    title="continual EP is EP with other couplings",
    kind="inequality",
    hypotheses="J = Jᵀ, start at rest; for the relaxed phase λ_max(J) < 4T and η/β < ρ_c",
    norm="curvature",
    domain={
        **model_scalars(6),
        **UNSATURATED,
        "share": Interval(0.01, 0.95),
        "leak": Interval(0.05, 1.0),
        "steps": Interval(1, 8, integer=True),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, **EAGER}),
        Falsifier("BPTT of the couplings J", {"model": PAIR, **EAGER}),
        Falsifier("no self-couplings", {"model": PAIR, **EAGER}),
        Falsifier("J − ρK", {"model": PAIR, **EAGER}),
        Falsifier("r in place of r/(1−r)", {"model": FREE_UNIT, **EAGER}),
        Falsifier("above ρ_c", {"model": PAIR, **EAGER, "share": 1.1}, drops="η/β < ρ_c"),
    ),
)
def continual_is_other_couplings(
    model: Model, seed: int, share: float, leak: float, steps: int, mutation: str | None = None
) -> Evidence:
    """J_t = J + (η/β)(s_ts_tᵀ − mmᵀ); as β → 0 at fixed ρ = η/β, update/β is minus truncated BPTT of a net with couplings J + ρK.
    Relaxed: (M − ρK)⁻¹c, M = TV⁻¹ − J, within r/(1−r) of the gradient M⁻¹c relatively in M's norm, r = ρ/ρ_c; unstable for r > 1.
    """
    cost, cost_on = random_cost(model.size, seed), COSTS_ON[seed % 2]
    mean, temperature, size = at_rest(model), model.temperature, model.size
    ratio = share * largest_ratio(model)
    slope, offset = cost.force(size, cost_on)
    force, variance = slope * mean + offset, logistic_slope(model.local_field(mean) / temperature)
    plastic = ratio * plastic_stiffness(mean)
    if mutation == "no self-couplings":
        plastic = plastic - np.diag(np.diagonal(plastic))
    stated = model.couplings + {"BPTT of the couplings J": 0.0, "J − ρK": -1.0}.get(mutation or "", 1.0) * plastic
    phase = continual_phase(
        model, cost, nudging=1j * TINY * temperature, ratio=ratio, steps=steps, leak=leak, cost_on=cost_on
    )
    unrolled = {"steps": steps, "leak": leak}
    errors = truncated_errors(stated, variance / temperature, force, **unrolled)
    majorant = truncated_errors(np.abs(stated), variance / temperature, np.abs(force), **unrolled)
    last, first = phase.states[-1], phase.states[0]
    product = np.outer(last - first, last) + np.outer(first, last - first)
    np.fill_diagonal(product, 0.0)
    kept = (phase.couplings - model.couplings - ratio * product).imag / (TINY * ratio)
    root = np.sqrt(variance)
    system = np.eye(size) - root[:, None] * model.couplings * root / temperature
    plus = root[:, None] * plastic_stiffness(mean) * root * ratio / temperature
    gradient, relaxed = np.linalg.solve(system, root * force), np.linalg.solve(system - plus, root * force)
    lean, length = (math.sqrt(float(x @ system @ x)) for x in (relaxed - gradient, gradient))
    limit = (share if mutation == "r in place of r/(1−r)" else share / (1 - share)) * length
    # the largest eigenvalue of the step's Jacobian; the least one is that of ε's descent limit
    top = float(np.linalg.eigvalsh(np.eye(size) - leak * (system - plus))[-1])
    least = (4 * temperature - model.spectrum[-1]) / (1 + 2 * mean @ mean) / largest_ratio(model)
    condition = float(np.linalg.cond(system)) / (1 - min(share, 0.99)) ** 2
    measured = [phase.states[1:].imag / TINY + temperature * errors, kept, lean, max(top - 1, 0), max(least - 1, 0)]
    scale = [temperature * majorant, majorant[-1].sum() * temperature, condition * length, condition, condition]
    return Evidence(
        np.concatenate([np.abs(np.ravel(part)) for part in measured]),
        np.concatenate([np.zeros(errors.size + kept.size), [limit, 0.0, 0.0]]),
        1e3 * EPS * size * np.concatenate([
            np.ravel(np.broadcast_to(one, np.shape(part))) for one, part in zip(scale, measured, strict=True)
        ]),
    )  # fmt: skip


def continual_error(
    model: Model, cost: QuadraticCost, *, nudging: float, ratio: float, steps: int, leak: float, cost_on: str = "rates"
) -> tuple[FloatArray, FloatArray]:
    """Bounds on what the update of C-EP over β differs from minus truncated BPTT by: of pairs (N, N), of neurons (N,).

    ½|β|W + ρX for neurons, with W of thm:C4 and X of thm:G2b; any J, any number of steps, no ρ too large.
    """
    mean, temperature, strength = at_rest(model), model.temperature, abs(nudging)
    slope, offset = cost.force(model.size, cost_on)
    absolute, force = np.abs(model.couplings), np.abs(slope * mean + offset)
    largest = np.maximum(np.abs(offset), np.abs(slope + offset))
    centre = model.local_field(mean) / temperature
    away = apart = np.zeros(model.size)
    orders = list(derivative_bounds(model, cost, mean, strength, steps, leak, cost_on))
    for _ in range(steps):
        top = np.minimum(1.0, mean + away)
        plastic = mean[:, None] * top
        np.fill_diagonal(plastic, 1 + top @ top - top**2)
        learnt = ratio * plastic @ away
        push = absolute @ away + strength * np.minimum(largest, force + slope * away) + learnt
        steep = largest_derivatives(centre - push / temperature, centre + push / temperature)[0] / temperature
        apart = (1 - leak) * apart + leak * steep * (absolute @ apart + strength * slope * apart + learnt)
        away = (1 - leak) * away + leak * steep * push
    first, second = orders[-1][:2]
    reach, top = np.minimum(1.0, mean + strength * first), np.minimum(1.0, mean + away)
    pairs = strength / 2 * (np.outer(second, reach) + np.outer(first, first)) + np.outer(apart, top) / strength
    pairs = pairs + pairs.T
    np.fill_diagonal(pairs, 0.0)
    return pairs, strength / 2 * second + apart / strength


@claim(
    label="G2b",
    title="continual EP at finite rates",
    kind="inequality",
    hypotheses="J = Jᵀ, start at rest, any β, η > 0, any number of steps",
    norm="spectral",
    domain={
        **model_scalars(5, gain=Interval(0.02, 1.5)),
        **UNSATURATED,
        "log_nudging": Interval(math.log(1e-4), math.log(0.5)),
        "log_ratio": Interval(math.log(1e-4), math.log(2.0)),
        "leak": Interval(0.05, 1.0),
        "steps": Interval(1, 6, integer=True),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": PEAKED_UNIT, **SLOW, "log_ratio": math.log(1e-6), "steps": 1}),
        Falsifier("η for η/β", {"model": PAIR, **SLOW}),
        Falsifier("β alone", {"model": PAIR, **SLOW}),
        Falsifier("η/β alone", {"model": PEAKED_UNIT, **SLOW, "log_ratio": math.log(1e-6), "steps": 1}),
    ),
)
def continual_at_finite_rates(
    model: Model, seed: int, log_nudging: float, log_ratio: float, leak: float, steps: int, mutation: str | None = None
) -> Evidence:
    """|update/β + truncated BPTT| ≤ ½βW + (η/β)X entrywise, for pairs and neurons: O(β) + O(η/β), so of order √η at best, near
    β = √η; slope 1 in η only for β² ≪ η ≪ β.
    """
    cost, cost_on = random_cost(model.size, seed), COSTS_ON[seed % 2]
    mean, nudging = at_rest(model), math.exp(log_nudging) * model.temperature
    ratio = math.exp(log_ratio) * model.temperature
    slope, offset = cost.force(model.size, cost_on)
    phase = continual_phase(model, cost, nudging=nudging, ratio=ratio, steps=steps, leak=leak, cost_on=cost_on)
    variance = logistic_slope(model.local_field(mean) / model.temperature)
    errors = truncated_errors(
        model.couplings, variance / model.temperature, slope * mean + offset, steps=steps, leak=leak
    )[-1]
    moved = phase.states[-1] - phase.states[0]
    pairs = (np.outer(moved, phase.states[-1]) + np.outer(phase.states[0], moved)) / nudging
    pairs = pairs + np.outer(errors, mean) + np.outer(mean, errors)
    np.fill_diagonal(pairs, 0.0)
    asked: dict[str, Any] = {"steps": steps, "leak": leak, "cost_on": cost_on}
    stated = continual_error(model, cost, nudging=nudging, ratio=ratio, **asked)
    if mutation in ("η for η/β", "β alone"):
        small = ratio * nudging / model.temperature if mutation == "η for η/β" else 0.0
        stated = continual_error(model, cost, nudging=nudging, ratio=small, **asked)
    if mutation == "η/β alone":
        without = continual_error(model, cost, nudging=nudging, ratio=0.0, **asked)
        stated = (stated[0] - without[0], stated[1] - without[1])
    measured = [np.abs(pairs).ravel(), np.abs(moved / nudging + errors)]
    unit = math.exp(-log_nudging)
    return Evidence(
        model.temperature * np.concatenate(measured),
        model.temperature * np.concatenate([np.ravel(part) for part in stated]),
        1e2 * EPS * model.size * unit * (1 + math.exp(log_ratio)) ** steps,
        ceiling=2 * unit,
    )


def noise_floor(
    model: Model, paths: FloatArray, law: FloatArray, leak: float, power: int = 2
) -> tuple[FloatArray, FloatArray]:
    """Lower bounds (N,) on Var s_i(t) of leaky spikes with that law of paths: (J ≥ 0: all spikes count, any J: the last one).

    Σ_{k<t} ε²(1−ε)^{2(t−1−k)}E v_i(s_k) and its last term, v_i(s) = p_i(1 − p_i). power: 2 in the theorem. Paper: thm:G2c.
    """
    firing = firing_probability(model.local_field(paths[:, :-1]) / model.temperature, 1.0)
    variance = np.einsum("m,mti->ti", law, firing * (1 - firing))
    ages = np.arange(len(variance))[::-1]
    return leak**2 * ((1 - leak) ** (power * ages)) @ variance, leak**2 * variance[-1]


@claim(
    label="G2c",
    title="the floor that spikes put under continual updates",
    kind="inequality",
    hypotheses="leaky spikes, phases with independent noise, weights held (η → 0 first); J ≥ 0 for the first bound",
    norm="spectral",
    domain={
        **model_scalars(3, gain=Interval(0.02, 3.0)),
        "log_nudging": Interval(math.log(1e-2), math.log(1.0)),
        "leak": Interval(0.05, 1.0),
        "steps": Interval(1, 4, integer=True),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, **NOISY}),
        Falsifier("(1−ε) for (1−ε)²", {"model": FREE_UNIT, **NOISY}),
        Falsifier("every spike counts fully", {"model": FREE_UNIT, **NOISY}),
        Falsifier("phases on one noise", {"model": FREE_UNIT, **NOISY}, drops="phases with independent noise"),
    ),
    search=False,
    instances=100,
)
def spikes_leave_a_floor(
    model: Model, seed: int, log_nudging: float, leak: float, steps: int, mutation: str | None = None
) -> Evidence:
    """E[((s_i(t) − s_i(0))/β + Σg_i)²] ≥ Var s_i(t)/β² ≥ Σ_{k<t} ε²(1−ε)^{2(t−1−k)}E v_i(s_k)/β² for J ≥ 0, ≥ ε²E v_i(s_{t−1})/β²
    for any J: with thm:B4 a floor of order √ε/β under every update that a single phase of spikes makes, however small η is.
    """
    cost = random_cost(model.size, seed)
    nudging = math.exp(log_nudging) * model.temperature
    force = cost.force(model.size, "spikes")[1]
    powers = {"every spike counts fully": 0, "(1−ε) for (1−ε)²": 1}.get(mutation or "", 2)
    measured, bound = [], []
    for couplings, which in ((np.abs(model.couplings), 0), (model.couplings, 1)):
        one = Model(couplings, model.bias, model.temperature)
        mean = at_rest(one)
        nudged = one.with_bias(one.bias - nudging * force)
        paths, law = leaky_law(nudged, leak=leak, steps=steps, start=mean)
        slope = logistic_slope(one.local_field(mean) / one.temperature) / one.temperature
        errors = nudging * truncated_errors(couplings, slope, force, steps=steps, leak=leak)[-1]
        measured.append(noise_floor(nudged, paths, law, leak, powers)[which])
        bound.append(law @ (paths[:, -1] - mean + errors) ** 2)
        if mutation == "phases on one noise":
            bound[-1] = _shared_noise(one, nudging * force, leak, steps, errors)
    return Evidence(np.concatenate(measured), np.concatenate(bound), 1e2 * EPS)


def _shared_noise(model: Model, push: FloatArray, leak: float, steps: int, errors: FloatArray) -> FloatArray:
    """E[(½(s⁺ − s⁻) + errors)²] of lone units whose two phases share every uniform: a spike differs with chance p⁻ − p⁺."""
    ends = [firing_probability((model.bias - sign * push) / model.temperature, 1.0) for sign in (1, -1)]
    chance, weights = np.abs(ends[1] - ends[0]), leak * (1 - leak) ** np.arange(steps)
    centre = 0.5 * (ends[0] - ends[1]) * weights.sum()
    return (centre + errors) ** 2 + 0.25 * (weights @ weights) * chance * (1 - chance)
