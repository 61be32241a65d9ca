"""Target propagation: damped Gauss–Newton targets, difference targets through layerwise inverses, and EP's nudge as one.

Main results: thm:G10, thm:G10b, thm:G10c.

A small restatement, no reproduction of a benchmark. In a layered net h_l = σ(W_l h_{l−1}/T) with output error e = h_L − y
and Jacobian J = ∂h_L/∂h_i, a layer's target is h_i + ηt with

    t = −Jᵀ(JJᵀ + λI)⁻¹e              (Gauss–Newton, damped by λ; −J⁺e at λ = 0),
    t = −K_1⁺K_2⁺ ⋯ K_n⁺e             (difference target propagation through exact inverses, J = K_n ⋯ K_1),

and the weights below descend ‖h_i − target‖². Meulemans, Carzaniga, Suykens, Sacramento & Grewe 2020 (arXiv:2006.14331); Lee,
Zhang, Fischer & Bengio 2015 (arXiv:1412.7525).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from meanfield import bounds
from meanfield.equations import SUP_CURVATURE, firing_probability, firing_slope
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.response import susceptibility
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.comparators import predictive_coding
from proofs_numeric.instances import SEEDS, Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
TINY = 1e-30


def forward_pass(weights: Sequence[FloatArray], inputs: FloatArray, temperature: float) -> list[FloatArray]:
    """h_0 = x, h_l = σ(W_l h_{l−1}/T); complex inputs allowed."""
    activities = [inputs]
    for weight in weights:
        activities.append(firing_probability(weight @ activities[-1], temperature))
    return activities


def layer_jacobians(
    weights: Sequence[FloatArray], activities: Sequence[FloatArray], temperature: float
) -> list[FloatArray]:
    """K_l = ∂h_l/∂h_{l−1} = diag(h_l(1 − h_l)/T) W_l."""
    return [
        firing_slope(above, temperature)[:, None] * weight
        for weight, above in zip(weights, activities[1:], strict=True)
    ]


def product(factors: Sequence[FloatArray]) -> FloatArray:
    """K_n ⋯ K_1 of K_1 … K_n: the Jacobian from the lowest layer to the output."""
    return reduce(lambda below, factor: factor @ below, factors)


def damped_target(jacobian: FloatArray, error: FloatArray, damping: float) -> FloatArray:
    """t_λ = −Jᵀ(JJᵀ + λI)⁻¹e, λ > 0: least ½‖e + Jt‖² + (λ/2)‖t‖²; −J⁺e at λ = 0. Paper: thm:G10."""
    if damping == 0:
        return -np.linalg.pinv(jacobian) @ error
    return -jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping * np.eye(len(error)), error)


def difference_target(factors: Sequence[FloatArray], error: FloatArray) -> FloatArray:
    """t = −K_1⁺ ⋯ K_n⁺e: DTP's target with the exact inverse of every layer as its decoder. Paper: thm:G10b."""
    return -reduce(lambda target, factor: np.linalg.pinv(factor) @ target, reversed(factors), error)


def condition(matrix: FloatArray) -> float:
    """The ratio of the largest to the smallest nonzero singular value."""
    values = _singular(matrix)
    return float(values[0] / values[-1])


def longest_detour(factors: Sequence[FloatArray]) -> float:
    """‖t_DTP‖/‖t_GN‖ ≤ ½(k + 1/k), k = Π_{l<n} cond(K_l). Holds when every layer has full row rank. Paper: thm:G10b."""
    total = math.prod(condition(factor) for factor in factors[:-1])
    return 0.5 * (total + 1 / total)


def loss_rates(top: FloatArray) -> tuple[float, float]:
    """The least and the largest d(½‖e‖²)/dη that DTP's target of K_1, K_2 can have, per ‖e‖²: −(k+1)²/4k, (k−1)²/4k,
    k = cond(K_2), K_2 of full row rank. Paper: thm:G10b.
    """
    ratio = condition(top)
    return -((ratio + 1) ** 2) / (4 * ratio), (ratio - 1) ** 2 / (4 * ratio)


def nudge_target(model: Model, cost: QuadraticCost, mean: FloatArray, nudging: float) -> FloatArray:
    """δ = −χ_{·o}(χ_oo + I/β)⁻¹e, e = m_o − y: what a nudge by the cost on rates adds to the fixed point of the linearised
    mean field, (N,); a target damped by 1/β in the metric χ = ∂m/∂b. Paper: thm:G10c.
    """
    response, outputs = susceptibility(model, mean), cost.outputs
    inner = response[np.ix_(outputs, outputs)] + np.eye(len(outputs)) / nudging
    return -response[:, outputs] @ np.linalg.solve(inner, mean[outputs] - cost.target)


def nudge_target_error(model: Model, cost: QuadraticCost, mean: FloatArray, nudging: float) -> float:
    """‖m(β) − m* − δ‖₂ ≤ M₂β²‖e‖²/(2T²(1 − g)³), g = ‖J − βΓ‖₂/4T < 1, Γ the projection on the outputs. Paper: thm:G10c."""
    temperature = model.temperature
    room = 1 - _nudged_gain(model, cost, nudging)
    error = float(np.linalg.norm(mean[cost.outputs] - cost.target))
    return SUP_CURVATURE * (nudging * error / temperature) ** 2 / (2 * room**3)


def _nudged_gain(model: Model, cost: QuadraticCost, nudging: float) -> float:
    nudged = model.couplings.copy()
    nudged[cost.outputs, cost.outputs] -= nudging
    return float(np.linalg.norm(nudged, 2)) / (4 * model.temperature)


def _singular(matrix: FloatArray) -> FloatArray:
    """The singular values that are not rounding."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return values[values > max(matrix.shape) * EPS * max(values[0], 1e-300)]


def random_layers(depth: int, width: int, log_gain: float, seed: int) -> tuple[Sequence[FloatArray], FloatArray]:
    """Widths 1 to `width`, in any order, normal weights; and an input in [0, 1]."""
    generator = np.random.default_rng([seed, 92])
    sizes = [1] * (depth + 1) if seed % 5 == 0 else generator.integers(1, width + 1, size=depth + 1).tolist()
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    weights = [math.exp(log_gain) * generator.normal(size=shape) for shape in shapes]
    return weights, generator.uniform(size=sizes[0])


LAYERS = {
    "depth": Interval(1, 3, integer=True),
    "width": Interval(1, 5, integer=True),
    "log_gain": Interval(-1.5, 2.0),
    "seed": SEEDS,
}
SINGLE = {"depth": 1, "width": 1, "log_gain": 0.0, "log_damping": 0.0, "seed": 0}
BROAD = {"depth": 2, "width": 4, "log_gain": 0.5, "log_damping": -4.0, "seed": 2}


@claim(
    label="G10",
    title="target propagation is damped Gauss-Newton, strong damping is the gradient",
    kind="inequality",
    hypotheses="any J; λ > 0; layered logistic nets; for predictive coding one linear hidden layer",
    domain={**LAYERS, "log_damping": Interval(-8.0, 8.0)},
    falsifiers=(
        Falsifier("constant × 0.9", SINGLE),
        Falsifier("error O(1/λ²)", SINGLE),
        Falsifier("not rescaled by λ", BROAD),
        Falsifier("least singular value", BROAD),
        Falsifier("angle of the undamped target O(1/λ)", BROAD | {"log_damping": 3.0}),
        Falsifier("predictive coding with λ = 1/β", BROAD),
    ),
    instances=300,
)
def damped_targets_tend_to_the_gradient(
    depth: int, width: int, log_gain: float, log_damping: float, seed: int, mutation: str | None = None
) -> Evidence:
    """‖λt_λ + ∇‖ ≤ s₊²/(s₊² + λ)‖∇‖, ∇ = Jᵀe; sin ∠(t_λ, −∇) ≤ (k − 1)/(k + 1), k = (s₊² + λ)/(s₋² + λ); ‖e + Jt_λ‖ ≤ ‖e‖;
    linear PC with one hidden layer has ε_1 = t_λ, λ = 1 + 1/β.
    """
    weights, inputs = random_layers(depth, width, log_gain, seed)
    activities = forward_pass(weights, inputs, 1.0)
    jacobian = product(layer_jacobians(weights, activities, 1.0))
    target = np.random.default_rng([seed, 93]).uniform(size=len(activities[-1]))
    error = activities[-1] - target
    values = _singular(jacobian)
    damping = math.exp(log_damping) * float(values[0]) ** 2
    gradient, step = _loss_slope(weights, inputs, target), damped_target(jacobian, error, damping)
    high, low = float(values[0]) ** 2, float(values[-1]) ** 2
    size = float(np.linalg.norm(gradient))
    scale = 1.0 if mutation == "not rescaled by λ" else damping
    rate = high / (high + damping)
    if mutation == "error O(1/λ²)":
        rate = rate**2
    if mutation == "least singular value":
        rate = low / (low + damping)
    # the sine from the part of t that is orthogonal to ∇: nothing cancels
    along = (step @ gradient) / size**2
    sine = float(np.linalg.norm(step - along * gradient) / np.linalg.norm(step))
    ratio = (high + damping) / (low + damping)
    tilt = (ratio - 1) / (ratio + 1)
    if mutation == "angle of the undamped target O(1/λ)":
        undamped = damped_target(jacobian, error, 0.0)
        sine = math.sqrt(max(0.0, 1 - (undamped @ gradient / size / np.linalg.norm(undamped)) ** 2))
    left = float(np.linalg.norm(error + jacobian @ step) / np.linalg.norm(error))
    measured = [float(np.linalg.norm(scale * step + gradient)) / size, sine, max(0.0, left - 1)]
    # slopes h(1 − h) lose digits where a unit saturates
    dulled = sum(1 / float((level * (1 - level)).min()) for level in activities[1:])
    slack = (
        100 * EPS * ((high + damping) / damping + dulled) * (1 + float(np.linalg.norm(error)) * math.sqrt(high) / size)
    )
    gap, gap_slack = _predictive_gap(weights, inputs, target, log_damping, mutation)
    return Evidence(
        [*measured, gap],
        [rate, tilt, 0.0, 0.0],
        [slack, slack, slack, gap_slack],
        ceiling=[1.0, 1.0, np.inf, np.inf],
    )


def _loss_slope(weights: Sequence[FloatArray], inputs: FloatArray, target: FloatArray) -> FloatArray:
    """∂(½‖h_L − y‖²)/∂h_0 by imaginary steps."""
    steps = inputs + 1j * TINY * np.eye(len(inputs))
    ends = np.array([forward_pass(weights, one, 1.0)[-1] for one in steps])
    return np.imag(0.5 * ((ends - target) ** 2).sum(axis=1)) / TINY


def _predictive_gap(
    weights: Sequence[FloatArray], inputs: FloatArray, target: FloatArray, log_nudging: float, mutation: str | None
) -> tuple[float, float]:
    """How far linear PC's hidden error is from the damped target of the layer above, relative to it; and rounding's share."""
    nudging, top = math.exp(log_nudging), weights[-1]
    drive = np.eye(top.shape[1])
    hidden = np.resize(inputs, top.shape[1])
    net = predictive_coding.Instance([drive, top], hidden, target)
    found = predictive_coding.prediction_errors(net.weights, predictive_coding.equilibrium(net, nudging))[0]
    damping = (0.0 if mutation == "predictive coding with λ = 1/β" else 1.0) + 1 / nudging
    stated = damped_target(top, top @ hidden - target, damping)
    size = float(np.linalg.norm(stated))
    lost = 1e3 * EPS * (1 + float(np.linalg.norm(top, 2)) ** 2) * (float(np.linalg.norm(hidden)) + size)
    return float(np.linalg.norm(found - stated)) / size, lost / size


STRETCHED = {"depth": 2, "width": 2, "log_stretch": 1.0, "shape": 2, "seed": 1}
ASCENT = {"depth": 2, "width": 2, "log_stretch": 1.0, "shape": 3, "seed": 1}
ROOMY = {"depth": 3, "width": 4, "log_stretch": 0.0, "shape": 0, "seed": 3}


def _factors(
    depth: int, width: int, log_stretch: float, shape: int, seed: int, narrowing: bool
) -> tuple[Sequence[FloatArray], FloatArray]:
    """K_1 … K_n and e. shape 0: normal factors of widths that fall (if narrowing) or not; 1: all square; 2: two layers of
    condition e^|log_stretch| with the longest detour; 3: two layers with the fastest ascent (odd seeds) or descent.
    """
    generator = np.random.default_rng([seed, 94])
    stretch = math.exp(abs(log_stretch))
    if shape == 2:
        return [np.diag([1.0, stretch]), np.ones((1, 2))], np.ones(1)
    if shape == 3:
        return _extreme_rate(generator.normal(size=(width, 5)) * stretch ** np.linspace(0, 1, 5), ascent=seed % 2 == 1)
    sizes = np.full(depth + 1, width) if shape == 1 else generator.integers(1, width + 1, size=depth + 1)
    if narrowing:
        sizes = np.sort(sizes)[::-1]
    else:
        # the top layer of full row rank, what lies below of any width
        sizes[-2:] = np.sort(sizes[-2:])[::-1]
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    factors = [math.exp(log_stretch) ** k * generator.normal(size=one) for k, one in enumerate(shapes)]
    return factors, generator.normal(size=sizes[-1])


def _extreme_rate(top: FloatArray, *, ascent: bool) -> tuple[Sequence[FloatArray], FloatArray]:
    """The lower layer, one column, and the error for which DTP's target of K_2 = `top` raises or lowers the loss fastest."""
    vectors = np.linalg.eigh(top @ top.T)[1]
    error = vectors[:, 0] + vectors[:, -1]
    back, inverse = top.T @ error, np.linalg.pinv(top) @ error
    back, inverse = back / np.linalg.norm(back), inverse / np.linalg.norm(inverse)
    # for one row the two are parallel, and no layer raises the loss
    column = back - inverse if ascent and len(top) > 1 else back + inverse
    return [column[:, None], top], error


@claim(
    label="G10b",
    title="difference target propagation: detours, and ascent where layers are not invertible",
    kind="inequality",
    hypotheses="exact layerwise pseudo-inverses as decoders; full row rank of all layers (detour), of the top one (rates)",
    domain={
        "depth": Interval(2, 4, integer=True),
        "width": Interval(1, 5, integer=True),
        "log_stretch": Interval(-2.0, 2.0),
        "shape": Interval(0, 3, integer=True),
        "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("constant × 0.9", STRETCHED),
        Falsifier("DTP is Gauss-Newton", STRETCHED),
        Falsifier("conditions of layers 2 to n", STRETCHED),
        Falsifier("1/k dropped", STRETCHED | {"log_stretch": 0.1}),
        Falsifier("DTP descends", ASCENT),
        Falsifier("layers that widen", ROOMY, drops="full row rank of all layers"),
    ),
    instances=300,
)
def difference_targets_detour(
    depth: int, width: int, log_stretch: float, shape: int, seed: int, mutation: str | None = None
) -> Evidence:
    """Full row rank: Jt = −e, t − t_GN ⟂ t_GN, ‖t‖/‖t_GN‖ ≤ ½(k + 1/k), k = Π_{l<n} cond(K_l), t = t_GN for square layers.
    Only K_2 of full row rank: d(½‖e‖²)/dη along t lies in [−(k+1)²/4k, (k−1)²/4k]‖e‖², k = cond(K_2); along t_GN it is ≤ 0.
    """
    narrowing = mutation != "layers that widen"
    factors, error = _factors(depth, width, log_stretch, shape, seed, narrowing)
    measured, bound, rounding = [], [], []
    if shape != 3:
        jacobian, target = product(factors), difference_target(factors, error)
        newton = damped_target(jacobian, error, 0.0)
        limit = longest_detour(factors)
        if mutation == "DTP is Gauss-Newton" or shape == 1:
            limit = 1.0
        if mutation == "conditions of layers 2 to n":
            limit = longest_detour([*factors[1:], np.ones((1, 1))])
        if mutation == "1/k dropped":
            limit = 0.5 * math.prod(condition(factor) for factor in factors[:-1])
        slack = 1e3 * EPS * math.prod(condition(factor) for factor in factors)
        size = float(np.linalg.norm(target))
        measured += [
            float(np.linalg.norm(jacobian @ target + error) / np.linalg.norm(error)),
            abs(float(newton @ (target - newton))) / size**2,
            size / float(np.linalg.norm(newton)),
        ]
        bound += [0.0, 0.0, limit]
        rounding += [slack, slack, slack * limit]
    factors, error = _factors(depth, width, log_stretch, shape, seed, narrowing=False)
    lower, top = product(factors[:-1]), factors[-1]
    jacobian, target = top @ lower, difference_target([lower, top], error)
    rate, newton_rate = (
        float(error @ (jacobian @ one) / (error @ error)) for one in (target, damped_target(jacobian, error, 0.0))
    )
    least, most = loss_rates(top)
    if mutation == "DTP descends":
        most = 0.0
    slack = 1e3 * EPS * condition(top) * condition(lower) * (1 + condition(jacobian))
    return Evidence(
        [*measured, rate, -rate, newton_rate], [*bound, most, -least, 0.0], [*rounding, slack, slack, slack]
    )


WARM = {"log_nudging": math.log(0.02), "seed": 0}
PEAKED_UNIT = ([[0.0]], [math.log(2 + math.sqrt(3))], 1.0)
PAIR = ([[0.0, 2.0], [2.0, 0.0]], [-0.3, -1.2], 1.0)


@claim(
    label="G10c",
    title="a finite nudge is a damped Gauss-Newton target",
    kind="inequality",
    hypotheses="J = Jᵀ, κ < 1, cost on rates, 0 < β, ‖J − βΓ‖₂ < 4T",
    norm="spectral",
    domain={**model_scalars(6, gain=Interval(0.02, 0.9)), "log_nudging": Interval(-6.0, math.log(0.3))},
    falsifiers=(
        Falsifier("constant × 0.9", {**WARM, "model": PEAKED_UNIT, "log_nudging": math.log(1e-3), "seed": 2}),
        Falsifier("damping β", {**WARM, "model": PAIR}),
        Falsifier("metric I", {**WARM, "model": PAIR}),
        Falsifier("error O(β³)", {**WARM, "model": PAIR}),
        Falsifier("the gradient itself, error O(β²)", {**WARM, "model": PEAKED_UNIT, "seed": 2}),
    ),
)
def nudged_phase_is_a_damped_target(
    model: Model, log_nudging: float, seed: int, mutation: str | None = None
) -> Evidence:
    """m(β) = m* + δ + O(β²), δ = −χ_{·o}(χ_oo + I/β)⁻¹e, the remainder at most nudge_target_error; in the metric χ⁻¹,
    ‖δ/β + ∇_bC‖ ≤ βx/(1 + βx)‖∇_bC‖, x = λ_max(χ_oo) ≤ 1/(4T − λ_max(J)).
    """
    cost = random_cost(model.size, seed)
    nudging = math.exp(log_nudging) * 4 * model.temperature * (1 - model.gain)
    mean = fixed_point(model, method="newton").value
    nudged = fixed_point(model, start=mean, method="newton", cost=cost, nudging=nudging, tolerance=1e-15, throw=False)
    target = nudge_target(model, cost, mean, nudging)
    limit = nudge_target_error(model, cost, mean, nudging)
    response, outputs = susceptibility(model, mean), cost.outputs
    error = mean[outputs] - cost.target
    gradient = response[:, outputs] @ error
    inner = response[np.ix_(outputs, outputs)]
    if mutation == "damping β":
        target = -response[:, outputs] @ np.linalg.solve(inner + nudging * np.eye(len(outputs)), error)
    if mutation == "metric I":
        target = -nudging * response[:, outputs] @ error / (1 + nudging)
    if mutation == "error O(β³)":
        limit *= nudging / model.temperature
    if mutation == "the gradient itself, error O(β²)":
        target = -nudging * gradient
    # ‖·‖ in the metric χ⁻¹ of vectors χ_{·o}a is the root of aᵀχ_oo a
    weight = nudging * np.linalg.solve(np.eye(len(outputs)) + nudging * inner, inner @ error)
    sharpness = float(np.linalg.eigvalsh(inner)[-1])
    stated = nudging * sharpness / (1 + nudging * sharpness)
    ceiling = bounds.response_norm(model) * (1 + 1e-9) + 1e-300
    size = float(error @ inner @ error)
    ratio = math.sqrt(max(float(weight @ inner @ weight), 0.0) / size) if size > 0 else 0.0
    rounding = 1e2 * EPS * model.size / (1 - model.gain)
    return Evidence(
        [float(np.linalg.norm(nudged.value - mean - target)), ratio - stated, sharpness - ceiling],
        [limit, 0.0, 0.0],
        [rounding, 1e-9 * stated, 0.0],
        ceiling=[math.sqrt(model.size), np.inf, np.inf],
    )
