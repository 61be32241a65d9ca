"""How a network's answer is read and what it costs: a squared error inside the dynamics, or a softmax outside it.

Main results: cost_slope, cost_slopes, costs, answers.

Squared error: C = ½‖s_o − y‖² on the last layer. Cross-entropy: C = −Σ_c y_c ln softmax(s W + c)_c of the last layer s,
whose force −β ∂C/∂s = −β W(softmax(sW + c) − y) reaches every unit of that layer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dynamics.kernel import kernel


@kernel()
def softmax_error(state, weights, bias, target, error):
    """error (classes,) = softmax(state W + c) − target, for W (units, classes)."""
    error[:] = bias
    for j in range(state.shape[0]):
        for k in range(error.shape[0]):
            error[k] += state[j] * weights[j, k]
    largest = error.max()
    total = 0.0
    for k in range(error.shape[0]):
        error[k] = math.exp(error[k] - largest)
        total += error[k]
    for k in range(error.shape[0]):
        error[k] = error[k] / total - target[k]


@kernel()
def cost_slope(state, weights, bias, target, error, slope):
    """slope (units,) = ∂C/∂s at the last layer's state; weights (units, classes), with no classes for the squared error."""
    if weights.shape[1] == 0:
        for j in range(state.shape[0]):
            slope[j] = state[j] - target[j]
        return
    softmax_error(state, weights, bias, target, error)
    for j in range(state.shape[0]):
        total = error.dtype.type(0.0)
        for k in range(error.shape[0]):
            total += weights[j, k] * error[k]
        slope[j] = total


def answers(
    outputs: NDArray[np.floating], weights: NDArray[np.floating], bias: NDArray[np.floating]
) -> NDArray[np.floating]:
    """What the label is read from, (B, outputs): the last layer's activity itself, or its softmax readout."""
    if weights.shape[1] == 0:
        return outputs
    logits = outputs @ weights + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def cost_slopes(
    outputs: NDArray[np.floating],
    weights: NDArray[np.floating],
    bias: NDArray[np.floating],
    targets: NDArray[np.floating],
) -> NDArray[np.floating]:
    """∂C/∂s of each image's last layer, (B, units); targets (B, outputs)."""
    error = answers(outputs, weights, bias) - targets
    return np.einsum("bc,jc->bj", error, weights) if weights.shape[1] else error


def costs(
    outputs: NDArray[np.floating],
    weights: NDArray[np.floating],
    bias: NDArray[np.floating],
    targets: NDArray[np.floating],
) -> NDArray[np.floating]:
    """C of each image, (B,); targets (B, outputs)."""
    if weights.shape[1] == 0:
        return 0.5 * ((outputs - targets) ** 2).sum(axis=1)
    logits = outputs @ weights + bias
    largest = logits.max(axis=1)
    return np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest - (targets * logits).sum(axis=1)
