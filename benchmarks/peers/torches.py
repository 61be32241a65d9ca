"""What the peers that run on torch share: torch with its threads, and gradients in the problem's shapes.

Main results: load_torch, flat_gradients, COMPARED.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.contender import peer_module

# images whose gradients are compared, as on our side
COMPARED = 16


def load_torch() -> Any:
    """torch, with as many threads as this process is given; MissingPeer where it is not installed."""
    torch = peer_module("torch", "make bench installs it, or pip install torch==2.13.0")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return torch


def flat_gradients(weights: Sequence[Any], biases: Sequence[Any], channels: Sequence[int]) -> dict[str, np.ndarray]:
    """Gradients in the shapes of StepProblem, named DTYPE.weights.LAYER and DTYPE.bias; the last matrix is (10, units)."""
    *convolutions, dense = (gradient.detach().numpy() for gradient in weights)
    side = problems.sides()[1]
    dense = dense.T.reshape(channels[1], side, side, problems.CLASSES)
    name = dense.dtype.name
    arrays = {f"{name}.weights.{layer}": gradient for layer, gradient in enumerate((*convolutions, dense))}
    return arrays | {f"{name}.bias": np.concatenate([bias.detach().numpy() for bias in biases])}
