"""Evolution strategies as a training rule: costs of networks moved both ways along random directions, nothing sent backwards.

Main results: evolve, directions, STREAM_EVOLUTION (thm:G11).

With parameters θ of the free layers, weights and biases, standard normal ε_k, and widths D (diagonal), S pairs estimate

    ĝ = (1/S) Σ_k ½[L(θ + Dε_k) − L(θ − Dε_k)] · D⁻¹ε_k,

whose mean is the gradient of the smoothed loss E L(θ + Dε); L is the batch's mean cost of a free relaxation. A layer's weights and
biases share one width, a multiple of 1/√(fan in). Salimans, Ho, Chen, Sidor, Sutskever 2017 (arXiv 1703.03864); Hazelden, Liu,
Shlizerman, Shea-Brown 2023 (arXiv 2311.10869).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dynamics.crnn.config import EvolutionStrategies
from dynamics.crnn.network import Array, Frames, Network, Spiking
from dynamics.crnn.readout import costs
from dynamics.kernel import kernel
from dynamics.philox import STREAM_FREE, normal, words
from meanfield.model import FloatArray

STREAM_EVOLUTION = 112


@kernel()
def _normals(seed, pair, replica, out):
    for group in range((out.shape[0] + 1) // 2):
        drawn = words(seed, STREAM_EVOLUTION, pair, group, replica)
        out[2 * group] = normal(drawn[0], drawn[1])
        if 2 * group + 1 < out.shape[0]:
            out[2 * group + 1] = normal(drawn[2], drawn[3])


def directions(count: int, *, seed: int, replicas: NDArray[np.int64], pairs: int) -> FloatArray:
    """Standard normal ε, (pairs, count): a pure function of seed and the lowest of the batch's presentation numbers `replicas`.

    No presentation is ever repeated, so each update has directions of its own, whatever the order of its images.
    """
    drawn = np.empty((pairs, count))
    for pair in range(pairs):
        _normals(seed, pair, replicas.min(), drawn[pair])
    return drawn


def evolve(
    rule: EvolutionStrategies,
    network: Network,
    images: Array | Frames,
    targets: Array,
    *,
    seed: int,
    replicas: NDArray[np.int64],
) -> tuple[Array, Array, Array]:
    """ĝ of the free layers' weights and of their biases, the readout's left out; the unmoved network's averages (B, units).

    1 + 2S relaxations, of one noise where they spike. Paper: thm:G11.
    """
    noise = Spiking(seed, STREAM_FREE, replicas) if rule.spiking else None

    def relaxed(moved: Network) -> Array:
        return moved.phase(
            moved.start(len(targets)), moved.input(images), steps=rule.steps, window=rule.window, spiking=noise
        )

    widths = _widths(network, rule.width)
    total = np.zeros_like(widths)
    for direction in directions(len(widths), seed=seed, replicas=replicas, pairs=rule.pairs):
        upper, lower = (
            _loss(network, relaxed(_moved(network, sign * widths * direction)), targets) for sign in (1, -1)
        )
        total += (upper - lower) / 2 * direction
    weights, bias = np.split((total / widths / rule.pairs).astype(network.dtype), [network.architecture.free_weights])
    return weights, bias, relaxed(network)


def _widths(network: Network, width: float | tuple[float, ...]) -> FloatArray:
    """The standard deviation of each parameter's perturbation, weights first, readout left out."""
    architecture = network.architecture
    layers = len(architecture.layers)
    per_layer = np.broadcast_to(width, layers) / np.sqrt(architecture.fan_in[:layers])
    per_array = [*per_layer.tolist(), *[0.0] * bool(architecture.classes)]
    weights, bias = architecture.per_weight(per_array), architecture.per_bias(per_array)
    return np.concatenate([weights[: architecture.free_weights], bias[: architecture.free_biases]])


def _moved(network: Network, by: FloatArray) -> Network:
    """The network with its free layers' parameters moved, and the same readout."""
    weights, bias = network.weights.copy(), network.bias.copy()
    own = network.architecture.free_weights
    weights[:own] += by[:own].astype(network.dtype)
    bias[: len(by) - own] += by[own:].astype(network.dtype)
    return replace(network, weights=weights, bias=bias)


def _loss(network: Network, averages: Array, targets: Array) -> float:
    """Mean cost of a batch, the penalty on rates included; the readout is the unmoved one."""
    mean = costs(network.outputs(averages), *network.readout, targets).mean()
    return float(mean + averages.mean(axis=0) @ network.pull)
