"""Predictive coding in linear layers: its equilibrium, its descent, its gradient, and its law under noise.

Main results: thm:G9, thm:G9b, thm:G9c.

A small restatement, no reproduction of a benchmark. Activities x_1 … x_L over weights W_1 … W_L and an input x_0 minimise

    E_β(x) = Σ_l ½‖ε_l‖² + (β/2)‖x_L − y‖²,    ε_l = x_l − W_l x_{l−1},    by    x ← x − η ∂E_β/∂x,

and weights follow W_l ← W_l + rate · ε_l x_{l−1}ᵀ at the equilibrium. β → ∞ clamps the output, as is usual; a finite β is EP's
nudging. Millidge, Song, Salvatori, Lukasiewicz & Bogacz 2023 (arXiv:2207.12316); the equilibrium's energy for a clamped
output is in Innocenti, Achour, Singh & Buckley 2024 (arXiv:2408.11979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from meanfield.model import FloatArray, Model
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import SEEDS, Interval

EPS = float(np.finfo(float).eps)
# an imaginary step that is exact to the last digit
TINY = 1e-30
Weights = Sequence[FloatArray]


class Instance(NamedTuple):
    """A linear net with its input and target."""

    weights: Weights
    inputs: FloatArray
    target: FloatArray


def forward_pass(weights: Weights, inputs: FloatArray) -> list[FloatArray]:
    """a_0 = x_0, a_l = W_l a_{l−1}: the free equilibrium, whose energy is 0."""
    activities = [inputs]
    for weight in weights:
        activities.append(weight @ activities[-1])
    return activities


def backward_maps(weights: Weights) -> list[FloatArray]:
    """B_0 … B_L, B_l = (W_L ⋯ W_{l+1})ᵀ, so that B_l e is backpropagation's error of layer l; B_L = I."""
    maps = [np.eye(len(weights[-1]), dtype=weights[-1].dtype)]
    for weight in reversed(weights):
        maps.insert(0, weight.T @ maps[0])
    return maps


def covariances(weights: Weights) -> list[FloatArray]:
    """S_0 = 0, S_l = I + W_l S_{l−1} W_lᵀ: the covariance of x_l when every ε is standard normal; S = S_L."""
    spread = [np.zeros((weights[0].shape[1],) * 2, dtype=weights[0].dtype)]
    for weight in weights:
        spread.append(np.eye(len(weight)) + weight @ spread[-1] @ weight.T)
    return spread


def residual(net: Instance, nudging: float) -> FloatArray:
    """r = (I + βS)⁻¹e, e = a_L − y: what the nudge leaves of the output's error. Holds when I + βS is positive definite."""
    spread = covariances(net.weights)[-1]
    error = forward_pass(net.weights, net.inputs)[-1] - net.target
    return np.linalg.solve(np.eye(len(error)) + nudging * spread, error)


def equilibrium(net: Instance, nudging: float) -> list[FloatArray]:
    """x_l = a_l − β S_l B_l r, the only minimum of E_β; x_0 is the input. Paper: thm:G9."""
    left = residual(net, nudging)
    parts = zip(
        forward_pass(net.weights, net.inputs), covariances(net.weights), backward_maps(net.weights), strict=True
    )
    return [activity - nudging * spread @ (back @ left) for activity, spread, back in parts]


def energy(net: Instance, activities: Sequence[FloatArray], nudging: float) -> float:
    """E_β(x) = Σ_l ½‖x_l − W_l x_{l−1}‖² + (β/2)‖x_L − y‖²."""
    errors = prediction_errors(net.weights, activities)
    output = activities[-1] - net.target
    return 0.5 * sum(float(error @ error) for error in errors) + 0.5 * nudging * float(output @ output)


def prediction_errors(weights: Weights, activities: Sequence[FloatArray]) -> list[FloatArray]:
    """ε_1 … ε_L, ε_l = x_l − W_l x_{l−1}."""
    return [activities[k + 1] - weight @ activities[k] for k, weight in enumerate(weights)]


def updates(net: Instance, nudging: float) -> list[FloatArray]:
    """U_l(β) = −ε_l x_{l−1}ᵀ/β at the equilibrium: PC's estimate of ∂C/∂W_l, which is one-sided EP's. Paper: thm:G9."""
    activities = equilibrium(net, nudging)
    errors = prediction_errors(net.weights, activities)
    return [-np.outer(error, below) / nudging for error, below in zip(errors, activities, strict=False)]


def backpropagated(net: Instance) -> list[FloatArray]:
    """∂/∂W_l ½‖a_L − y‖² = (B_l e) a_{l−1}ᵀ."""
    activities, maps = forward_pass(net.weights, net.inputs), backward_maps(net.weights)
    error = activities[-1] - net.target
    return [np.outer(back @ error, below) for back, below in zip(maps[1:], activities, strict=False)]


def update_error(net: Instance, nudging: float, *, symmetric: bool = False) -> list[float]:
    """Bounds of ‖U_l − ∂C/∂W_l‖_F: O(β) for U_l(β), β > 0; O(β²) for ½[U_l(β) + U_l(−β)], |β|λ_max(S) < 1. Paper: thm:G9.

    With b = ‖B_l‖, c = ‖S_{l−1}B_{l−1}‖, s± the extreme eigenvalues of S: βb(s₊‖a‖‖e‖/(1 + βs₊) + c‖e‖²/(1 + βs₋)²), and
    β²b(s₊²‖a‖‖e‖/(1 − β²s₊²) + 2cs₊‖e‖²/(1 − β²s₊²)²).
    """
    activities, maps, spread = (
        forward_pass(net.weights, net.inputs),
        backward_maps(net.weights),
        covariances(net.weights),
    )
    error = float(np.linalg.norm(activities[-1] - net.target))
    low, high = (float(value) for value in np.linalg.eigvalsh(spread[-1])[[0, -1]])
    bounds = []
    for layer in range(1, len(maps)):
        reach = float(np.linalg.norm(maps[layer], 2))
        below = float(np.linalg.norm(activities[layer - 1]))
        moved = float(np.linalg.norm(spread[layer - 1] @ maps[layer - 1], 2))
        if symmetric:
            room = 1 - (nudging * high) ** 2
            inner = high**2 * below * error / room + 2 * moved * high * error**2 / room**2
            bounds.append(nudging**2 * reach * inner)
        else:
            inner = high * below * error / (1 + nudging * high) + moved * error**2 / (1 + nudging * low) ** 2
            bounds.append(nudging * reach * inner)
    return bounds


def curvature(weights: Weights, nudging: float) -> FloatArray:
    """H_β = DᵀD + βP, the Hessian of E_β in (x_1 … x_L): D has I on its diagonal and −W_l below, P projects on x_L."""
    sizes = [len(weight) for weight in weights]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    map_down = np.eye(edges[-1], dtype=weights[0].dtype)
    for k in range(1, len(weights)):
        map_down[edges[k] : edges[k + 1], edges[k - 1] : edges[k]] = -weights[k]
    hessian = map_down.T @ map_down
    output = np.arange(edges[-2], edges[-1])
    hessian[output, output] += nudging
    return hessian


def curvature_range(weights: Weights, nudging: float) -> tuple[float, float]:
    """(λ₋, λ₊) that enclose H_β's spectrum, β ≥ 0: λ_min of the chain of norms ‖W_2‖ … ‖W_L‖ at 0, λ_max at β. Paper: thm:G9b.

    The chain's Hessian is the tridiagonal matrix that H_β is when every layer has one unit of weight ‖W_l‖.
    """
    chain = [np.array([[float(np.linalg.norm(weight, 2))]]) for weight in weights]
    low, high = np.linalg.eigvalsh(curvature(chain, 0.0))[0], np.linalg.eigvalsh(curvature(chain, nudging))[-1]
    return float(low), float(high)


def inference(net: Instance, start: FloatArray, nudging: float, *, step: float, steps: int) -> FloatArray:
    """x ← x − η∂E_β/∂x from start, (n,), the layers 1 to L one after the other; the path (steps + 1, n)."""
    hessian, drive = curvature(net.weights, nudging), _drive(net, nudging)
    path = [start]
    for _ in range(steps):
        path.append(path[-1] - step * (hessian @ path[-1] - drive))
    return np.array(path)


def as_model(net: Instance, nudging: float, temperature: float) -> tuple[Model, FloatArray]:
    """The Langevin `Model` that linear PC is, and the scale d: its state is d ∘ (x_1 … x_L), d = √diag(H_β). Paper: thm:G9c.

    With I − J = d⁻¹H_βd⁻¹, s ← s + ε(h(s) − s) is inference in units whose curvature is 1.
    """
    hessian = curvature(net.weights, nudging)
    scale = np.sqrt(np.diagonal(hessian))
    couplings = -hessian / np.outer(scale, scale)
    couplings = 0.5 * (couplings + couplings.T)
    np.fill_diagonal(couplings, 0.0)
    return Model(couplings, _drive(net, nudging) / scale, temperature), scale


def thermal_objective(net: Instance, nudging: float, temperature: float) -> complex:
    """Ψ_β = ½eᵀ(I + βS)⁻¹e + (T/2β) ln det(I + βS): what noisy PC descends exactly; complex weights allowed. Paper: thm:G9c."""
    system = np.eye(len(net.target)) + nudging * covariances(net.weights)[-1]
    error = forward_pass(net.weights, net.inputs)[-1] - net.target
    fit = 0.5 * error @ np.linalg.solve(system, error)
    return fit + temperature / (2 * nudging) * np.log(np.linalg.det(system))


def thermal_updates(net: Instance, nudging: float, temperature: float) -> list[FloatArray]:
    """E[−ε_l x_{l−1}ᵀ]/β under exp(−E_β/T): U_l(β) + T B_l(I + βS)⁻¹B_lᵀ W_l S_{l−1}. Paper: thm:G9c."""
    maps, spread = backward_maps(net.weights), covariances(net.weights)
    inverse = np.linalg.inv(np.eye(len(net.target)) + nudging * spread[-1])
    noise = [
        temperature * maps[k + 1] @ inverse @ maps[k + 1].T @ weight @ spread[k] for k, weight in enumerate(net.weights)
    ]
    return [update + extra for update, extra in zip(updates(net, nudging), noise, strict=True)]


def _drive(net: Instance, nudging: float) -> FloatArray:
    """The linear term of E_β = ½xᵀH_βx − drive·x + const."""
    sizes = [len(weight) for weight in net.weights]
    drive = np.zeros(sum(sizes))
    drive[: sizes[0]] += net.weights[0] @ net.inputs
    drive[-sizes[-1] :] += nudging * net.target
    return drive


def random_net(depth: int, width: int, log_gain: float, seed: int) -> Instance:
    """Widths 1 to `width`, normal weights of norm about e^log_gain; some seeds give chains of single units or a cut layer."""
    generator = np.random.default_rng([seed, 90])
    sizes = [1] * (depth + 1) if seed % 5 == 0 else generator.integers(1, width + 1, size=depth + 1).tolist()
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    weights = [math.exp(log_gain) * generator.normal(size=shape) / math.sqrt(max(shape)) for shape in shapes]
    if seed % 11 == 1:
        weights[generator.integers(depth)][0] = 0.0
    return Instance(weights, generator.normal(size=sizes[0]), generator.normal(size=sizes[-1]))


NET = {
    "depth": Interval(1, 4, integer=True),
    "width": Interval(1, 4, integer=True),
    "log_gain": Interval(-1.5, 1.0),
    "seed": SEEDS,
}

CHAIN = {"depth": 3, "width": 1, "log_gain": 0.0, "log_nudging": -7.0, "seed": 0}
WIDE = {"depth": 3, "width": 3, "log_gain": 0.0, "log_nudging": -2.0, "seed": 2}
# e = (1, −1) is sent back to layer 2 but not to layer 1, whose forward pass is 0: backpropagation stands still here
SADDLE = Instance(
    [np.zeros((1, 1)), np.array([[0.0], [1.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])],
    np.ones(1),
    np.array([-1.0, 1.0]),
)


@claim(
    label="G9",
    title="linear predictive coding: equilibrium and distance from backpropagation",
    kind="inequality",
    hypotheses="linear layers; β > 0 for one nudge, |β| λ_max(S) < 1 for two",
    domain={**NET, "log_nudging": Interval(-7.0, 5.0)},
    falsifiers=(
        Falsifier("constant × 0.9", CHAIN),
        Falsifier("one nudge, error O(β²)", WIDE),
        Falsifier("presynaptic activity at rest", CHAIN | {"seed": 5, "log_nudging": 0.0}),
        Falsifier("S without the output's own error", WIDE),
        Falsifier("exact at finite nudging", WIDE),
        Falsifier("still wherever backpropagation is", WIDE),
    ),
    instances=300,
)
def predictive_coding_is_nearly_backpropagation(
    depth: int, width: int, log_gain: float, log_nudging: float, seed: int, mutation: str | None = None
) -> Evidence:
    """x_l = a_l − βS_lB_l(I + βS)⁻¹e; ‖U_l(β) − ∂C/∂W_l‖ ≤ update_error = O(β), for ½[U_l(β) + U_l(−β)] O(β²);
    C/(1 + βs₊) ≤ min E_β/β ≤ C/(1 + βs₋).
    """
    net, nudging = random_net(depth, width, log_gain, seed), math.exp(log_nudging)
    if mutation == "still wherever backpropagation is":
        assert all(np.abs(part).max() == 0 for part in backpropagated(SADDLE))
        return Evidence([np.abs(part).max() for part in updates(SADDLE, nudging)], 0.0, 1e-12)
    spread = covariances(net.weights)[-1]
    low, high = (float(value) for value in np.linalg.eigvalsh(spread)[[0, -1]])
    # two nudges, within 0.95 of the radius
    pair = 0.95 / high * nudging / (1 + nudging)
    rest, maps = forward_pass(net.weights, net.inputs), backward_maps(net.weights)
    error, left = rest[-1] - net.target, residual(net, nudging)
    measured, bound, rounding = [], [], []
    for symmetric, strengths in ((False, [nudging]), (True, [pair, -pair])):
        parts = [_dense(net, strength) for strength in strengths]
        stated = update_error(net, strengths[0], symmetric=symmetric)
        for k, exact in enumerate(backpropagated(net)):
            limit = stated[k]
            if mutation == "one nudge, error O(β²)" and not symmetric:
                limit *= nudging
            if mutation == "presynaptic activity at rest" and not symmetric:
                exact, limit = np.outer(maps[k + 1] @ left, rest[k]), 0.0
            found = np.mean([part.updates[k] for part in parts], axis=0)
            measured.append(float(np.linalg.norm(found - exact)))
            bound.append(0.0 if mutation == "exact at finite nudging" else limit)
            size = max(np.linalg.norm(part.activities[k]) for part in parts) + np.linalg.norm(rest[k])
            size *= np.linalg.norm(maps[k + 1], 2) * np.linalg.norm(error)
            rounding.append(100 * EPS * max(part.condition for part in parts) * float(size))
    state, formula = _dense(net, nudging), equilibrium(net, nudging)
    if mutation == "S without the output's own error":
        formula[-1] = net.target + np.linalg.solve((1 - nudging) * np.eye(len(error)) + nudging * spread, error)
    gap = max(float(np.abs(one - other).max()) for one, other in zip(formula, state.activities, strict=True))
    scale = max(float(np.linalg.norm(one)) for one in (*rest, *state.activities)) + float(np.linalg.norm(error))
    loss, least = 0.5 * float(error @ error), energy(net, state.activities, nudging) / nudging
    outside = max(loss / (1 + nudging * high) - least, least - loss / (1 + nudging * low), 0.0)
    slack = 100 * EPS * state.condition
    measured += [gap, outside]
    return Evidence(measured, [*bound, 0.0, 0.0], [*rounding, slack * scale, slack * scale**2 / nudging])


class _Dense(NamedTuple):
    """One nudged equilibrium, solved as one linear system."""

    activities: Sequence[FloatArray]
    updates: Sequence[FloatArray]
    condition: float


def _dense(net: Instance, nudging: float) -> _Dense:
    """x = a − βH_β⁻¹Pe and −ε_l x_{l−1}ᵀ/β, from the Hessian; nothing cancels at small β."""
    hessian = curvature(net.weights, nudging)
    rest = forward_pass(net.weights, net.inputs)
    push = np.zeros(len(hessian))
    push[-len(net.target) :] = rest[-1] - net.target
    moved = -np.linalg.solve(hessian, push)
    edges = np.cumsum([len(weight) for weight in net.weights])[:-1]
    slopes = [np.zeros_like(net.inputs), *np.split(moved, edges)]
    activities = [at_rest + nudging * slope for at_rest, slope in zip(rest, slopes, strict=True)]
    errors = prediction_errors(net.weights, slopes)
    found = [-np.outer(error, below) for error, below in zip(errors, activities, strict=False)]
    return _Dense(activities, found, float(np.linalg.cond(hessian)))


@claim(
    label="G9b",
    title="inference in predictive coding descends its energy",
    kind="inequality",
    hypotheses="linear layers; β ≥ 0; 0 < η < 2/λ₊",
    domain={**NET, "log_nudging": Interval(-7.0, 5.0), "fraction": Interval(0.05, 1.95)},
    falsifiers=(
        Falsifier("constant × 0.9", CHAIN | {"fraction": 1.0, "log_nudging": 2.0}),
        Falsifier("a step of 2.2/λ₊", CHAIN | {"fraction": 1.0}, drops="η < 2/λ₊"),
        Falsifier("no nudging in λ₊", WIDE | {"fraction": 1.0, "log_nudging": 3.0}),
        Falsifier("layers uncoupled", CHAIN | {"fraction": 1.0}),
        Falsifier("rate q⁴", CHAIN | {"fraction": 0.5}),
    ),
    instances=300,
)
def inference_descends(
    depth: int, width: int, log_gain: float, log_nudging: float, fraction: float, seed: int, mutation: str | None = None
) -> Evidence:
    """λ₋ ≤ H_β ≤ λ₊ of the chain of norms; E_β(x − ηg) ≤ E_β(x) − η(1 − ηλ₊/2)‖g‖², (E_t − E*)/(E_0 − E*) ≤ q^{2t} with
    q = max(|1 − ηλ₋|, |1 − ηλ₊|), from any start.
    """
    net, nudging = random_net(depth, width, log_gain, seed), math.exp(log_nudging)
    hessian = curvature(net.weights, nudging)
    low, high = curvature_range(net.weights, 0.0 if mutation == "no nudging in λ₊" else nudging)
    low = curvature_range(net.weights, 0.0)[0]
    if mutation == "layers uncoupled":
        low = high = float(np.diagonal(hessian).max())
    spectrum = np.linalg.eigvalsh(hessian)
    step = (2.2 if mutation == "a step of 2.2/λ₊" else fraction) / high
    generator = np.random.default_rng([seed, 91])
    rest = np.concatenate(forward_pass(net.weights, net.inputs)[1:])
    best = np.concatenate(equilibrium(net, nudging)[1:])
    measured, bound = [1 / spectrum[0], spectrum[-1] / high], [1 / low, 1.0]
    rounding = [100 * EPS * spectrum[-1] / spectrum[0] ** 2, 100 * EPS]
    rate = max(abs(1 - step * low), abs(1 - step * high))
    # a random start, the forward pass, and the steepest mode
    for start in (generator.normal(size=len(rest)), rest, best + np.linalg.eigh(hessian)[1][:, -1]):
        path = inference(net, start, nudging, step=step, steps=8)
        away = path - best
        energies = 0.5 * np.einsum("ti,ij,tj->t", away, hessian, away)
        # what is left after t steps, and by how much each step falls short of its promised descent
        left = energies[1:] / energies[0]
        promised = energies[:-1] - step * (1 - 0.5 * step * high) * ((away[:-1] @ hessian) ** 2).sum(axis=1)
        noise = 1e3 * EPS * spectrum[-1] / spectrum[0] * (1 + float(best @ hessian @ best) / energies[0])
        powers = (4 if mutation == "rate q⁴" else 2) * np.arange(1, 9)
        measured += [*left, *((energies[1:] - promised) / energies[0])]
        bound += [*(rate**powers if step < 2 / high else np.ones(8)), *np.zeros(8)]
        rounding += [noise] * 16
    return Evidence(measured, bound, rounding)


@claim(
    label="G9c",
    title="noisy predictive coding is a Langevin model with an exact objective",
    kind="inequality",
    hypotheses="linear layers; β > 0; T > 0; the law exp(-E_β/T)",
    domain={**NET, "log_nudging": Interval(-7.0, 3.0), "log_temperature": Interval(-4.0, 4.0)},
    falsifiers=(
        Falsifier("constant × 0.9", CHAIN | {"log_temperature": 0.0}),
        Falsifier("noise without its covariance", WIDE | {"log_temperature": 0.0}),
        Falsifier("T for T/2", WIDE | {"log_temperature": 0.0}),
        Falsifier("gap O(β²)", CHAIN | {"log_temperature": 0.0}),
        Falsifier("no curvature scale", WIDE | {"log_temperature": 0.0}),
    ),
    instances=200,
)
def thermal_predictive_coding(
    depth: int,
    width: int,
    log_gain: float,
    log_nudging: float,
    log_temperature: float,
    seed: int,
    mutation: str | None = None,
) -> Evidence:
    """E[−ε_l x_{l−1}ᵀ]/β = ∂Ψ_β/∂W_l, Ψ_β = ½eᵀ(I + βS)⁻¹e + (T/2β) ln det(I + βS), and 0 ≤ E_0 C − Ψ_β ≤
    (β/2)eᵀSe + (βT/4) tr S², E_0 C = ½‖e‖² + (T/2) tr S; the law is Langevin's of a Model with couplings I − d⁻¹H_βd⁻¹.
    """
    net, nudging, temperature = (
        random_net(depth, width, log_gain, seed),
        math.exp(log_nudging),
        math.exp(log_temperature),
    )
    hessian = curvature(net.weights, nudging)
    condition = float(np.linalg.cond(hessian))
    dense = _dense(net, nudging)
    # Cov(ε_l, x_{l−1}), per β: the free covariance of the two is 0
    spread = temperature * np.linalg.inv(hessian)
    edges = [0, *np.cumsum([len(weight) for weight in net.weights])]
    share = 2.0 if mutation == "T for T/2" else 1.0
    measured, rounding = [], []
    for k, weight in enumerate(net.weights):
        found = dense.updates[k].copy()
        if k and mutation != "noise without its covariance":
            here, below = (slice(edges[k + shift], edges[k + shift + 1]) for shift in (0, -1))
            found -= (spread[here, below] - weight @ spread[below, below]) / nudging
        stated = thermal_updates(net, nudging, share * temperature)[k]
        slope = _objective_slope(net, k, nudging, temperature)
        size = np.abs(found).max() + np.abs(spread).max() * (1 + np.abs(weight).max()) * len(hessian) / nudging
        measured += [np.abs(found - stated).max(), np.abs(found - slope).max()]
        rounding += [1e3 * EPS * condition * (size + np.abs(stated).max() + np.abs(slope).max())] * 2
    model, scale = as_model(net, nudging, temperature)
    if mutation == "no curvature scale":
        scale = np.ones_like(scale)
    linear = np.eye(model.size) - model.couplings
    mean = np.linalg.solve(linear, model.bias) / scale
    law = np.linalg.inv(linear) / np.outer(scale, scale)
    rest = np.concatenate(dense.activities[1:])
    measured += [np.abs(mean - rest).max(), np.abs(temperature * law - spread).max()]
    largest = float(scale.max() / scale.min()) * condition
    rounding += [1e3 * EPS * largest * (1 + np.abs(rest).max()), 1e3 * EPS * largest * np.abs(spread).max()]
    total, error = covariances(net.weights)[-1], forward_pass(net.weights, net.inputs)[-1] - net.target
    expected = 0.5 * float(error @ error) + 0.5 * temperature * float(np.trace(total))
    gap = expected - float(np.real(thermal_objective(net, nudging, temperature)))
    allowed = 0.5 * nudging * float(error @ total @ error) + 0.25 * nudging * temperature * float(np.sum(total**2))
    if mutation == "gap O(β²)":
        allowed *= nudging
    slack = 1e3 * EPS * (expected + temperature * len(error) / nudging)
    return Evidence([*measured, gap, -gap], [*np.zeros(len(measured)), allowed, 0.0], [*rounding, slack, slack])


def _objective_slope(net: Instance, layer: int, nudging: float, temperature: float) -> FloatArray:
    """∂Ψ_β/∂W by imaginary steps."""
    slope = np.empty_like(net.weights[layer])
    for index in np.ndindex(*slope.shape):
        weights = [weight.astype(complex) for weight in net.weights]
        weights[layer][index] += 1j * TINY
        slope[index] = np.imag(thermal_objective(net._replace(weights=weights), nudging, temperature)) / TINY
    return slope
