"""Backpropagation through time of the relaxation, by hand: what EP is held against on the same network (thm:C4, thm:E2).

Main results: backpropagate, Backpropagated.

A step is s' = (1−ε)s + ε σ((h(s) − θ)/T), or with a spike in σ's place; L = C(mean trace over the window). Backwards, with
δ = ∂L/∂s': g = ε σ'δ is ∂L/∂h of the step, and ∂L/∂s = (1−ε)δ + Jᵀg with the same symmetric drive as forwards. A spike's
slope is taken to be its probability's (straight-through; Bengio, Léonard, Courville 2013, arXiv 1308.3432). The path is
kept, states and probabilities: memory grows with the steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from dynamics.activations import firing_slope
from dynamics.crnn.fire import fire, follow
from dynamics.crnn.network import Array, Frames, Network, Spiking
from dynamics.crnn.readout import cost_slope
from dynamics.crnn.relaxation import follow_input, see
from dynamics.crnn.wiring import BLOCKS, accumulate, drive, input_drive, scratch_for, unpack
from dynamics.kernel import kernel


class Backpropagated(NamedTuple):
    """dL/dW and dL/db of the layers without the readout, averaged over images, and mean traces over the window (B, units)."""

    weights: Array
    bias: Array
    average: Array


@kernel()
def unroll(
    states, chances, inputs, constant, frames, wiring, temperature, leak, hold, input_leak, coded, spiking, seed, stream, replica
):  # fmt: skip
    """Fill states (steps + 1, units) from its first row, chances (steps, units), and inputs (steps, inputs) where they change."""
    steps, units = chances.shape
    scratch = scratch_for(wiring)
    field, pulses = np.empty(units, states.dtype), np.empty(units, states.dtype)
    bits, noise = np.empty(units, np.int32), np.empty(4 * ((units + 3) // 4), np.uint32)
    trace, seen = np.zeros(inputs.shape[1], states.dtype), np.empty(inputs.shape[1], states.dtype)
    input_noise, inverse = np.empty(inputs.shape[1]), states.dtype.type(1.0) / temperature
    for step in range(steps):
        field[:] = constant
        if frames.shape[0] > 0:
            see(frames, step, hold, coded, seed, replica, input_noise, seen)
            follow_input(trace, seen, input_leak)
            inputs[step] = trace
            input_drive(trace, wiring, scratch, field)
        drive(states[step], wiring, scratch, field)
        fire(
            field, temperature, inverse, False, spiking, seed, stream, step, replica, bits, noise, chances[step], pulses
        )
        states[step + 1] = states[step]
        follow(states[step + 1], pulses, leak)


@kernel()
def reverse(
    states, chances, inputs, image, changing, output_slope, pull, window, wiring, temperature, leak, product, bias
):  # fmt: skip
    """product (kernels,) += ∂L/∂kernel and bias (units,) += ∂L/∂h summed over steps, for output_slope = ∂C/∂(mean trace).

    pull (units,): what a penalty on rates adds to it at every unit.
    """
    steps, units = chances.shape
    last = wiring.layers[-1].start_above
    scratch = scratch_for(wiring)
    slope, adjoint, one = np.empty(units, states.dtype), np.zeros(units, states.dtype), states.dtype.type(1.0)
    share = one / states.dtype.type(window)
    for step in range(steps - 1, -1, -1):
        if step >= steps - window:
            for unit in range(units):
                adjoint[unit] += pull[unit] * share
            for unit in range(units - last):
                adjoint[last + unit] += output_slope[unit] * share
        seen = image
        if changing:
            seen = inputs[step]
        for unit in range(units):
            slope[unit] = leak[unit] * firing_slope(chances[step, unit], temperature[unit]) * adjoint[unit]
        for unit in range(units):
            bias[unit] += slope[unit]
        accumulate(seen, states[step], slope, wiring, scratch, product)
        for unit in range(units):
            adjoint[unit] *= one - leak[unit]
        drive(slope, wiring, scratch, adjoint)


@kernel(parallel=True)
def backpropagate_images(
    images, constants, frames, targets, starts, steps, window, wiring, readout, readout_bias, pull, temperature, strains, leak,
    hold, input_leak, coded, spiking, seed, stream, replicas, averages, products, biases,
):  # fmt: skip
    """Both directions for every image of a batch, in blocks of products (BLOCKS, kernels) and biases (BLOCKS, units)."""
    count, blocks, units = averages.shape[0], products.shape[0], averages.shape[1]
    changing = frames.shape[1] > 0
    last = wiring.layers[-1].start_above
    for block in prange(blocks):
        states, chances = np.empty((steps + 1, units), averages.dtype), np.empty((steps, units), averages.dtype)
        inputs = np.empty((steps if changing else 0, images.shape[1]), averages.dtype)
        error, slope = np.empty_like(readout_bias), np.empty(units, averages.dtype)
        for image in range(count * block // blocks, count * (block + 1) // blocks):
            states[0], strained = starts[image], temperature * strains[image]
            unroll(
                states, chances, inputs, constants[image], frames[image], wiring, strained, leak, hold, input_leak, coded,
                spiking, seed, stream, replicas[image],
            )  # fmt: skip
            averages[image] = 0.0
            for step in range(steps + 1 - window, steps + 1):
                for unit in range(units):
                    averages[image, unit] += states[step, unit] / window
            cost_slope(averages[image, last:], readout, readout_bias, targets[image], error, slope)
            reverse(
                states, chances, inputs, images[image], changing, slope, pull, window, wiring, strained, leak,
                products[block], biases[block],
            )  # fmt: skip


def backpropagate(
    network: Network,
    images: Array | Frames,
    targets: Array,
    *,
    steps: int,
    window: int,
    spiking: Spiking | None = None,
    start: Array | None = None,
) -> Backpropagated:
    """The gradient of the mean over a batch of C(mean trace over the last `window` of `steps`), from `start` or from rest.

    The network's penalty on rates is part of C.

    start: (B, units); from a relaxed state it is BPTT truncated to the last `steps` uses of the weights.

    spiking: the noise of a path of leaky spikes, whose slopes are taken to be straight through; None for the deterministic
    relaxation, where the gradient is exact. Memory 8 blocks of 2 · `steps` states. Raises ValueError for max pooling and
    for hard sigmoids.
    """
    network.require_multilinear()
    network.require_logistic()
    count, dtype = len(targets), network.dtype
    driven = network.input(images)
    clamped = np.zeros((count, network.architecture.inputs), dtype) if isinstance(images, Frames) else images
    begin = network.start(count) if start is None else start.astype(dtype)
    noise = Spiking(0, 0, np.zeros(count, dtype=np.int64)) if spiking is None else spiking
    averages = np.empty((count, network.architecture.units), dtype)
    products = np.zeros((BLOCKS, network.wiring.product), dtype)
    biases = np.zeros((BLOCKS, network.architecture.units), dtype)
    frames = driven.frames
    backpropagate_images(
        np.ascontiguousarray(clamped, dtype), driven.constants, frames.frames, targets.astype(dtype), begin,
        steps, window, network.wiring, *network.readout, network.pull, network.per_unit(network.temperature), driven.strains,
        network.per_unit(network.leak), frames.hold, dtype.type(frames.leak), frames.coded and spiking is not None,
        spiking is not None, noise.seed, noise.stream, noise.replicas, averages, products, biases,
    )  # fmt: skip
    images_ = dtype.type(count)
    weights = unpack(network.architecture, products.sum(axis=0)) / images_
    return Backpropagated(weights, network.architecture.sum_to_bias(biases.sum(axis=0)) / images_, averages)
