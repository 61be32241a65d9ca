"""Family C, Onsager-corrected EP: the order that it gains, and its term in layered and convolutional nets.

Main results: thm:C7, thm:C7b.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.network import Network
from dynamics.enumeration import exact_gradient
from meanfield.equations import activity_variance, onsager_field, onsager_pair_statistic
from meanfield.gradient_bias import leading_gradient_bias
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from meanfield.response import implicit_gradient
from meanfield.solve import MeanFieldMap, fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import SEEDS, Interval, model_scalars, random_cost
from proofs_numeric.verdicts import exponent_interval, limit_miss

EPS = float(np.finfo(float).eps)
BIASED_TRIANGLE = ([[0.0, 0.8, -0.5], [0.8, 0.0, 0.6], [-0.5, 0.6, 0.0]], [0.7, -0.4, 0.9], 1.0)
# (scaled_bias, correction) -> order of the relative error of the couplings' and of the bias' gradient
ORDERS = {(False, "none"): (2, 2), (False, "onsager"): (3, 3), (True, "none"): (1, 2), (True, "onsager"): (2, 3)}
# 1/T in units of the model's own
STRENGTHS = 2.0 ** -np.arange(2, 8)
# An exponent is fitted where what is left of the error without its leading term is less than this share of it.
LEADS = 0.1


def _onsager_gradient(model: Model, cost: QuadraticCost, mutation: str | None) -> Gradient:
    """dL/dθ of corrected EP; mutated, the statistic is m_i m_j alone: its derivative along the nudge, by linear response."""
    gradient = implicit_gradient(model, cost, "spikes", correction="onsager")
    if mutation != "pair statistic m_im_j alone":
        return gradient
    mean = fixed_point(model, method="newton", correction="onsager").value
    one_way = np.outer(gradient.bias, mean)
    return Gradient(one_way + one_way.T, gradient.bias)


def _order_misses(
    model: Model, cost: QuadraticCost, scaled_bias: bool, correction: str, shift: float, mutation: str | None
) -> list[float]:
    """How far exponents and leading coefficients of one correction and scaling are from thm:C7's, as T → ∞."""
    parts: tuple[list[tuple[float, float, float, float]], ...] = ([], [])
    for strength in STRENGTHS:
        hot = Model(model.couplings, model.bias / (strength if scaled_bias else 1.0), model.temperature / strength)
        exact = exact_gradient(hot, cost)
        estimate = (
            implicit_gradient(hot, cost, "spikes") if correction == "none" else _onsager_gradient(hot, cost, mutation)
        )
        leading = leading_gradient_bias(hot, cost, correction=correction, scaled_bias=scaled_bias)
        for part, ours, truth, lead in zip(parts, estimate, exact, leading, strict=True):
            size, error = float(np.linalg.norm(lead)), ours - truth
            if size > 0:
                share = float((error * lead).sum()) / size**2
                relative = float(np.linalg.norm(error) / np.linalg.norm(truth))
                rounding = 20 * EPS * model.size / (hot.temperature * size)
                part.append((share, relative, float(np.linalg.norm(error - lead)) / size, rounding))
    misses = []
    for part, order in zip(parts, ORDERS[scaled_bias, correction], strict=True):
        if not part:
            continue
        shares, errors, rest, roundings = (np.array(column) for column in zip(*part, strict=True))
        # error/T^(−order) over its stated limit tends to 1
        misses.append(limit_miss(shares * STRENGTHS**-shift, 1.0, rounding=float(roundings[-1])))
        # and what is left without it shrinks faster than it: as T⁻¹, halving each time
        misses.append(max(0.0, float(rest[-1] - 0.75 * rest[-2] - 10 * roundings[-1])))
        if rest[-1] < LEADS:
            misses.append(exponent_interval(STRENGTHS, errors).distance(order + shift))
    return misses


@claim(
    label="C7",
    title="Onsager-corrected EP gains one order in 1/T",
    kind="asymptotic",
    hypotheses="T → ∞ at fixed b or with b ∝ T, cost on spikes; the leading coefficient at hand is not zero",
    norm="spectral",
    means="numeric",
    domain={
        **model_scalars(6, smallest=3, gain=Interval(0.1, 0.4)),
        "shape": Interval(0, 6, integer=True),
        "field": Interval(1, 2, integer=True),
    },
    falsifiers=(
        Falsifier("orders + ½", {"model": BIASED_TRIANGLE, "seed": 0}),
        Falsifier("orders − ½", {"model": BIASED_TRIANGLE, "seed": 0}),
        Falsifier("pair statistic m_im_j alone", {"model": BIASED_TRIANGLE, "seed": 0}),
    ),
    instances=30,
)
def onsager_orders(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """Relative error of EP's gradient against Gibbs', naive and Onsager-corrected, at fixed b: T⁻² and T⁻³; for b ∝ T: T⁻¹
    and T⁻² (couplings), T⁻² and T⁻³ (bias), with the stated leading terms; with m_im_j alone as pair statistic it falls back.
    """
    cost = random_cost(model.size, seed)
    shift = {"orders + ½": 0.5, "orders − ½": -0.5}.get(mutation or "", 0.0)
    misses = [
        miss
        for scaled_bias, correction in ORDERS
        for miss in _order_misses(model, cost, scaled_bias, correction, shift, mutation)
    ]
    return Evidence(misses, 0.0)


def _pooled_convolution(layers: FloatArray, weights: FloatArray, pool: int) -> FloatArray:
    """P(w ⋆ s) for s (…, channels, L, L), w (above, channels, k, k): (…, above, M, M), P the mean over pool × pool windows."""
    kernel = weights.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(layers, (kernel, kernel), axis=(-2, -1))
    drive = np.einsum("...cxyab,dcab->...dxy", windows, weights, optimize=True)
    side = drive.shape[-1] // pool
    return drive.reshape(*drive.shape[:-2], side, pool, side, pool).mean(axis=(-3, -1))


def _unrolled(weights: FloatArray, pool: int, shape: tuple[int, ...]) -> FloatArray:
    """The dense couplings (units above, units below) of P(w ⋆ s) on layers of the given shape."""
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    return _pooled_convolution(units, weights, pool).reshape(len(units), -1).T


def _spread_taps(weights: FloatArray, pool: int) -> FloatArray:
    """Σ over the pool² places r of a window of w moved by r: (above, channels, k + pool − 1, k + pool − 1)."""
    kernel = weights.shape[-1]
    taps = np.zeros((*weights.shape[:2], kernel + pool - 1, kernel + pool - 1))
    for row in range(pool):
        for column in range(pool):
            taps[:, :, row : row + kernel, column : column + kernel] += weights
    return taps


def _strided(layer: FloatArray, kernel: FloatArray, pool: int) -> FloatArray:
    """Σ_a u(a) s(pool·y + a): a convolution with stride `pool`."""
    side = kernel.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(layer, (side, side), axis=(1, 2))[:, ::pool, ::pool]
    return np.einsum("cxyab,dcab->dxy", windows, kernel)


@claim(
    label="C7b",
    title="Onsager's term of layered and pooled convolutional nets",
    kind="identity",
    hypotheses="layers without lateral links; convolution, then average pooling over windows that do not overlap",
    domain={
        "kernel": Interval(1, 3, integer=True),
        "pool": Interval(1, 3, integer=True),
        "log_temperature": Interval(-2.0, 2.0),
        "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("pooled square", {"kernel": 2, "pool": 2, "log_temperature": 0.0, "seed": 1}),
        Falsifier("squares of the taps", {"kernel": 2, "pool": 2, "log_temperature": 0.0, "seed": 1}),
        Falsifier("pair statistic of the taps", {"kernel": 2, "pool": 2, "log_temperature": 0.0, "seed": 1}),
    ),
    instances=30,
)
def onsager_in_layers(
    kernel: int, pool: int, log_temperature: float, seed: int, mutation: str | None = None
) -> Evidence:
    """(J∘J)v of a pooled convolution is the strided convolution with u∘u, u = Σ_r w(· − r)/p² the composite kernel, and
    −∂F_TAP/∂w sums u's pair statistics over its p² shifts; in a dense layered net it is (W∘W)v, layer by layer.
    """
    generator, temperature = np.random.default_rng(seed), math.exp(log_temperature)
    weights = generator.normal(size=(2, 2, kernel, kernel))
    below = generator.uniform(size=(2, kernel - 1 + 2 * pool, kernel - 1 + 2 * pool))
    above = generator.uniform(size=(2, 2, 2))
    feedforward = _unrolled(weights, pool, below.shape)
    composite = _spread_taps(weights, pool) / pool**2
    squared = {
        "pooled square": _spread_taps(weights**2, pool) / pool**2,
        "squares of the taps": _spread_taps(weights**2, pool) / pool**4,
    }.get(mutation or "", composite**2)
    variances = activity_variance(below), activity_variance(above)
    field = onsager_field(above, _strided(variances[0], squared, pool), temperature)
    dense = onsager_field(above.ravel(), feedforward**2 @ variances[0].ravel(), temperature)

    # −∂F_TAP/∂J of every pair, and from it −∂F_TAP/∂w by the chain rule
    pairs = onsager_pair_statistic(above.ravel()[:, None], below.ravel(), feedforward, temperature)

    windows = [
        np.lib.stride_tricks.sliding_window_view(layer, composite.shape[2:], axis=(1, 2))[:, ::pool, ::pool]
        for layer in (below, variances[0])
    ]
    means, spreads = (np.einsum("dxy,cxyab->dcab", *pair) for pair in zip((above, variances[1]), windows, strict=True))
    multiplier = composite
    if mutation == "pair statistic of the taps":
        multiplier = np.zeros_like(composite)
        multiplier[:, :, :kernel, :kernel] = weights / pool**2
    statistic = means + multiplier * spreads / temperature
    misses = [np.abs(field.ravel() - dense).max()]
    scale = max(1.0, 1 / temperature)
    for place in np.ndindex(*weights.shape):
        tap = np.zeros_like(weights)
        tap[place] = 1.0
        derivative = (pairs * _unrolled(tap, pool, below.shape)).sum()
        channel, source, row, column = place
        local = statistic[channel, source, row : row + pool, column : column + pool].sum() / pool**2
        misses.append(abs(local - derivative))
    misses.append(_dense_layer_miss(generator, temperature))
    return Evidence(misses, 0.0, 1e3 * EPS * scale * below.size)


def _dense_layer_miss(generator: np.random.Generator, temperature: float) -> float:
    """Network.onsager_field against the Model's map on the same net, one clamped image."""
    architecture = Architecture.dense(3, 4, 3, 2)
    weights = generator.normal(size=architecture.weights)
    network = Network(architecture, weights, generator.normal(size=architecture.units), temperature, 0.1, 1.0)
    model = network.as_model(generator.uniform(size=3))
    means = generator.uniform(size=architecture.units)
    field = {
        correction: MeanFieldMap.of(model, correction, None, 0.0, "spikes").field(means)
        for correction in ("none", "onsager")
    }
    return float(np.abs(network.onsager_field(means[None])[0] - (field["onsager"] - field["none"])).max())
