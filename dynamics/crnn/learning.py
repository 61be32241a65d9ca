"""The learning rules: what each reads off the dynamics, and the one local product that turns it into a gradient.

Main results: Response, respond, gradient.

Every rule hands back, for each image and unit, a mean rate m and a slope −dL/dh, the response of the rate to the nudge:
the gradient is −[m_pre · slope_post + slope_pre · m_post], averaged over images. For the symmetric estimate with
m = (r₊ + r₋)/2 and slope = (r₊ − r₋)/2β this is exactly −[r₊r₊' − r₋r₋']/2β, the difference taken before the product,
where nothing cancels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Deterministic, Implicit, Rule, Stochastic
from dynamics.crnn.network import Network, Spiking
from dynamics.kernel import kernel
from dynamics.philox import STREAM_FREE, STREAM_NUDGED, STREAM_OPPOSITE
from meanfield.model import FloatArray


class Response(NamedTuple):
    """mean (B, units), slope (B, units) = d mean/d nudging, and the outputs of the free phase, (B, outputs)."""

    mean: FloatArray
    slope: FloatArray
    free_outputs: FloatArray


def respond(
    rule: Rule, network: Network, images: FloatArray, targets: FloatArray, *, seed: int, replicas: NDArray[np.int64]
) -> Response:
    """Mean and slope of every unit under `rule`: images (B, inputs), targets (B, outputs), replicas (B,)."""
    if isinstance(rule, Implicit):
        return _implicit(rule, network, images, targets)
    return _two_phases(rule, network, images, targets, seed, replicas)


def _two_phases(
    rule: Deterministic | Stochastic,
    network: Network,
    images: FloatArray,
    targets: FloatArray,
    seed: int,
    replicas: NDArray[np.int64],
) -> Response:
    """Symmetric EP: a free phase, then ±nudging from its state; coupled phases read one stream, hence one noise."""
    free, first, second, average_of = None, None, None, "traces"
    if isinstance(rule, Stochastic):
        free = Spiking(seed, STREAM_FREE, replicas)
        first = Spiking(seed, STREAM_NUDGED, replicas)
        second = first if rule.coupled else Spiking(seed, STREAM_OPPOSITE, replicas)
        average_of = rule.estimator
    constants = network.constants(images)
    states = network.start(len(images))
    free_average = network.phase(states, constants, steps=rule.steps_free, window=rule.window, spiking=free)
    nudged = [
        network.phase(
            states.copy(), constants, steps=rule.steps_nudged, window=rule.window, spiking=spiking, targets=targets,
            nudging=nudging, average_of=average_of,
        )
        for spiking, nudging in ((first, rule.nudging), (second, -rule.nudging))
    ]  # fmt: skip
    mean = 0.5 * (nudged[0] + nudged[1])
    slope = (nudged[0] - nudged[1]) / (2 * rule.nudging)
    return Response(mean, slope, free_average[:, network.architecture.places[-1]])


def _implicit(rule: Implicit, network: Network, images: FloatArray, targets: FloatArray) -> Response:
    """The exact slope −a at the fixed point m: (I − VJ/T) a = (V/T) ∂C/∂m, V = diag(m(1−m)), so dL/dh = a."""
    mean = network.settle(network.constants(images), tolerance=rule.tolerance, max_steps=rule.max_steps)
    outputs = mean[:, network.architecture.places[-1]]
    susceptibility = mean * (1.0 - mean) / network.temperature
    force = np.zeros_like(mean)
    force[:, network.architecture.places[-1]] = outputs - targets
    systems = np.eye(network.architecture.units) - susceptibility[:, :, None] * network.couplings
    with threadpool_limits(1, user_api="blas"):
        adjoint = np.linalg.solve(systems, (susceptibility * force)[:, :, None])[:, :, 0].astype(np.float64)
    return Response(mean, -adjoint, outputs)


@kernel()
def correlate(pre_mean, pre_slope, post_mean, post_slope, product):
    """product (below, above) = −(1/B) Σ_images [pre_mean·post_slope + pre_slope·post_mean], images in order."""
    images = pre_mean.shape[0]
    for j in range(product.shape[0]):
        product[j, :] = 0.0
        for image in range(images):
            mean, slope = -pre_mean[image, j] / images, -pre_slope[image, j] / images
            for k in range(product.shape[1]):
                product[j, k] += mean * post_slope[image, k] + slope * post_mean[image, k]


def gradient(architecture: Architecture, images: FloatArray, response: Response) -> tuple[FloatArray, FloatArray]:
    """dL/dW (weights,) and dL/db (units,), averaged over images (B, inputs): a weight reads its own two units only."""
    places = architecture.places
    means = [images, *(np.ascontiguousarray(response.mean[:, place]) for place in places)]
    slopes = [np.zeros_like(images), *(np.ascontiguousarray(response.slope[:, place]) for place in places)]
    weights = np.empty(architecture.weights)
    for layer, product in enumerate(architecture.arrays(weights)):
        correlate(means[layer], slopes[layer], means[layer + 1], slopes[layer + 1], product)
    return weights, -response.slope.mean(axis=0)
