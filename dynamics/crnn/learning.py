"""The learning rules: what each reads off the dynamics, and the one local product that turns it into a gradient.

Main results: Estimate, estimate, Response, respond, gradient.

A rule of two phases hands back, for each image and unit, a mean rate m and a slope −dL/dh, the response of the rate to the
nudge: the gradient is −[m_pre · slope_post + slope_pre · m_post], averaged over images, summed over the places that share a
weight. With m = (r₊ + r₋)/2 and slope = (r₊ − r₋)/2β this is exactly −[r₊r₊' − r₋r₋']/2β. The two phases run as m and their half
difference, so that nothing cancels anywhere. A softmax readout learns from the free phase by ∂C/∂W alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dynamics.crnn.bptt import backpropagate
from dynamics.crnn.config import (
    Backpropagation,
    Continual,
    Deterministic,
    EvolutionStrategies,
    Implicit,
    PredictiveCoding,
    Rule,
    Stochastic,
)
from dynamics.crnn.evolution import evolve
from dynamics.crnn.network import Array, Drive, Frames, Network, Spiking
from dynamics.crnn.predictive_coding import predictive_gradient
from dynamics.crnn.readout import answers, cost_slopes, costs
from dynamics.crnn.wiring import accumulate_images, unpack
from dynamics.kernel import kernel
from dynamics.philox import STREAM_FREE, STREAM_NUDGED, STREAM_OPPOSITE, STREAM_SIGN, words


class Estimate(NamedTuple):
    """dL/dW (weights,) and dL/db (biases,), averaged over images, with what the phase without a nudge showed.

    free: averages over its window, (B, units); cost: C of its outputs, (B,).
    """

    weights: Array
    bias: Array
    free: Array
    cost: Array


class Response(NamedTuple):
    """mean (B, units), slope (B, units) = d mean/d nudging, averages of the free phase (B, units), of the input (B, inputs)."""

    mean: Array
    slope: Array
    free: Array
    input: Array


def estimate(
    rule: Rule, network: Network, images: Array | Frames, targets: Array, *, seed: int, replicas: NDArray[np.int64]
) -> Estimate:
    """The gradient of the mean cost of a batch under `rule`: images (B, inputs) or Frames, targets (B, outputs)."""
    if isinstance(rule, Backpropagation):
        noise = Spiking(seed, STREAM_FREE, replicas) if rule.spiking else None
        found = backpropagate(network, images, targets, steps=rule.steps, window=rule.window, spiking=noise)
        weights, bias, free = found.weights, found.bias, found.average
    elif isinstance(rule, Continual):
        weights, bias, free = _continual(rule, network, images, targets)
    elif isinstance(rule, PredictiveCoding):
        weights, bias, free = predictive_gradient(rule, network, images, targets)
    elif isinstance(rule, EvolutionStrategies):
        weights, bias, free = evolve(rule, network, images, targets, seed=seed, replicas=replicas)
    else:
        response = respond(rule, network, images, targets, seed=seed, replicas=replicas)
        weights, bias = gradient(network, response)
        free = response.free
    outputs = network.outputs(free)
    own_weights, own_bias = readout_gradient(network, outputs, targets)
    return Estimate(
        np.concatenate([weights, own_weights]), np.concatenate([bias, own_bias]), free,
        costs(outputs, *network.readout, targets),
    )  # fmt: skip


def respond(
    rule: Rule, network: Network, images: Array | Frames, targets: Array, *, seed: int, replicas: NDArray[np.int64]
) -> Response:
    """Mean and slope of every unit under a rule of two phases, or the exact ones (Implicit)."""
    if isinstance(rule, Implicit):
        return _implicit(rule, network, images, targets)
    if not isinstance(rule, Deterministic | Stochastic):
        raise ValueError(f"rule {type(rule).__name__} has no pair of phases to compare: use estimate(…)")
    return _two_phases(rule, network, images, targets, seed, replicas)


def _two_phases(
    rule: Deterministic | Stochastic,
    network: Network,
    images: Array | Frames,
    targets: Array,
    seed: int,
    replicas: NDArray[np.int64],
) -> Response:
    """A free phase, then two from its state: nudged by ±β, or by one sign and not at all.

    Coupled phases read one stream, hence one noise; warm-started ones have each its own; independent ones a free phase each.
    The input, if coded into spikes, is the same in all of them: it has no slope.
    """
    statistic, free, noise = "traces", None, None
    if isinstance(rule, Stochastic):
        statistic = rule.estimator
        other_stream = STREAM_NUDGED if rule.phases == "coupled" else STREAM_OPPOSITE
        free = Spiking(seed, STREAM_FREE, replicas)
        noise = Spiking(seed, STREAM_NUDGED, replicas), Spiking(seed, other_stream, replicas)
    nudgings = np.full(len(targets), rule.nudging)
    if rule.scheme == "random-sign":
        nudgings *= random_signs(seed, replicas)
    opposite = -nudgings if rule.scheme == "symmetric" else np.zeros_like(nudgings)
    drive, states = network.input(images), network.start(len(targets))
    free_average = network.phase(states, drive, steps=rule.steps_free, window=rule.window, spiking=free)
    other = states
    if noise is not None and rule.phases == "independent":
        other = network.start(len(targets))
        network.phase(other, network.input(images), steps=rule.steps_free, window=rule.window, spiking=noise[1])
    pair = network.pair(
        (states, other), drive, steps=rule.steps_nudged, window=rule.window, first=rule.steps_free, spiking=noise,
        targets=targets, nudgings=(nudgings, opposite), average_of=statistic,
    )  # fmt: skip
    return Response(pair.mean, pair.half / pair.half_nudging[:, None], free_average, _seen(drive, images))


def _seen(drive: Drive, images: Array | Frames) -> Array:
    """The input that the first layer's weights met: the image, or its trace averaged over the phase's window."""
    return drive.averages if isinstance(images, Frames) else np.asarray(images, drive.constants.dtype)


@kernel()
def _signs(seed, replicas, out):
    for k in range(out.shape[0]):
        out[k] = 1.0 if words(seed, STREAM_SIGN, 0, 0, replicas[k])[0] & 1 else -1.0


def random_signs(seed: int, replicas: NDArray[np.int64]) -> NDArray[np.float64]:
    """±1 with equal chances for every image, (B,)."""
    signs = np.empty(len(replicas))
    _signs(seed, replicas, signs)
    return signs


def _continual(rule: Continual, network: Network, images: Array | Frames, targets: Array) -> tuple[Array, Array, Array]:
    """Continual EP (Ernoult et al. 2020, arXiv 2005.04168): the weights move in every nudged step.

    Step t adds −rate/β · [∂Φ(s_{t+1}) − ∂Φ(s_t)] to the gradient's sum and moves the weights by it at once, so that the next
    step feels it; afterwards the weights are put back and the optimiser takes the step. As rate → 0 it is one-sided EP.
    """
    drive, states = network.input(images), network.start(len(targets))
    free = network.phase(states, drive, steps=rule.steps_free, window=rule.window)
    architecture, current = network.architecture, network
    nudgings = np.full(len(targets), rule.nudging)
    total_weights, total_bias = np.zeros_like(network.weights), np.zeros_like(network.bias)
    rates = architecture.per_weight(rule.rates), architecture.per_bias(rule.rates)
    layers, units = architecture.free_weights, architecture.free_biases
    for step in range(rule.steps_nudged):
        before, moment = states.copy(), current.input(images) if step else drive
        moment = moment._replace(traces=drive.traces)
        current.phase(
            states, moment, steps=1, window=1, first=rule.steps_free + step, targets=targets, nudging=nudgings
        )
        beta = network.dtype.type(rule.nudging)
        change = Response((states + before) / 2, (states - before) / beta, free, _seen(moment, images))
        weights, bias = gradient(current, change)
        # the readout's own parts stay 0
        total_weights[:layers] += weights
        total_bias[:units] += bias
        current = replace(
            network,
            weights=(network.weights - rates[0] * total_weights).astype(network.dtype),
            bias=(network.bias - rates[1] * total_bias).astype(network.dtype),
        )
    return total_weights[:layers], total_bias[:units], free


def _implicit(rule: Implicit, network: Network, images: Array | Frames, targets: Array) -> Response:
    """The exact slope −a at the fixed point m: (I − VJ/T) a = (V/T) ∂C/∂m, V = diag(m(1−m)), so dL/dh = a."""
    if isinstance(images, Frames):
        raise ValueError("the implicit gradient needs a fixed point, which a changing input has not: use static images")
    mean, _ = network.settle(network.constants(images), tolerance=rule.tolerance, max_steps=rule.max_steps)
    susceptibility = mean * (1.0 - mean) / network.per_unit(network.temperature)
    force = np.tile(network.pull, (len(mean), 1))
    network.outputs(force)[:] += cost_slopes(network.outputs(mean), *network.readout, targets)
    systems = np.eye(network.architecture.units) - susceptibility[:, :, None] * network.couplings
    with threadpool_limits(1, user_api="blas"):
        adjoint = np.linalg.solve(systems, (susceptibility * force)[:, :, None])[:, :, 0].astype(network.dtype)
    return Response(mean, -adjoint, mean, images)


def readout_gradient(network: Network, outputs: Array, targets: Array) -> tuple[Array, Array]:
    """∂C/∂W (units · classes,) and ∂C/∂c (classes,) of the softmax readout, averaged over images; empty without one."""
    if not network.architecture.classes:
        return np.empty(0, network.dtype), np.empty(0, network.dtype)
    error = (answers(outputs, *network.readout) - targets).astype(network.dtype) / network.dtype.type(len(targets))
    return np.einsum("bj,bc->jc", outputs, error).ravel(), error.sum(axis=0)


def gradient(network: Network, response: Response) -> tuple[Array, Array]:
    """dL/dW and dL/db of the layers, the readout's left out, averaged over images: a weight reads its own two units only."""
    images = network.dtype.type(len(response.mean))
    packed = accumulate_images(response.input, response.mean, -response.slope / images, network.wiring)
    bias = network.architecture.sum_to_bias(-response.slope.mean(axis=0))
    return unpack(network.architecture, packed), bias
