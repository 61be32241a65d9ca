"""Laborieux et al. 2021 (arXiv 2006.03824), torch: https://github.com/Laborieux-Axel/Equilibrium-Propagation.

Main results: ep_step, bptt_step, each the body of the published `train` for one batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.contender import Contender, peer_folder, peer_module
from benchmarks.peers.torches import COMPARED, flat_gradients, load_torch
from benchmarks.problems import StepProblem, step_problem

VARIABLE = "STOCHEP_PEER_LABORIEUX"
SOURCE = "https://github.com/Laborieux-Axel/Equilibrium-Propagation"


def _load() -> tuple[Any, Any]:
    """torch and the peer's model_utils."""
    peer_folder(VARIABLE, SOURCE, "model_utils.py")
    torch = load_torch()
    # imported by its loaders of data alone, which no race calls
    if "torchvision" not in sys.modules:
        stand_in = ModuleType("torchvision")
        stand_in.__spec__ = ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = stand_in
    return torch, peer_module("model_utils", f"{VARIABLE} must name a clone of {SOURCE}")


class _Network:
    """The peer's P_CNN with the problem's weights, its criterion and optimiser, and the batch."""

    def __init__(
        self, torch: Any, peer: Any, problem: StepProblem, pooling: str, activation: str, dtype: Any
    ) -> None:  # fmt: skip
        paddings, strides = [0, 0], [1, 1]
        self.model = peer.P_CNN(
            problems.SIDE, [1, *problem.channels], [problems.KERNEL] * 2, strides, [problems.CLASSES],
            peer.make_pools({"average": "aa", "max": "mm"}[pooling]), paddings,
            activation={"logistic": peer.my_sigmoid, "hard_sigmoid": peer.hard_sigmoid}[activation],
        )  # fmt: skip
        *convolutions, dense = problem.weights
        matrices = (*convolutions, dense.reshape(-1, problems.CLASSES).T)
        with torch.no_grad():
            for layer, weights, bias in zip(self.model.synapses, matrices, problem.biases, strict=True):
                layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)))
                layer.bias.copy_(torch.from_numpy(bias))
        self.model.to(dtype)
        self.x = torch.from_numpy(problem.images).to(dtype)
        self.y = torch.from_numpy(problem.labels)
        self.criterion = torch.nn.MSELoss(reduction="none")
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=problems.RATE)
        self.copy, self.dtype, self.one_hot = peer.copy, dtype, torch.nn.functional.one_hot

    def start(self) -> list[Any]:
        return [layer.detach().to(self.dtype).requires_grad_() for layer in self.model.init_neurons(len(self.x), "cpu")]

    def relaxed(self, neurons: list[Any], steps: int, **how: Any) -> list[Any]:
        return self.model(self.x, self.y, neurons, steps, criterion=self.criterion, **how)

    def learn_by_ep(self, free: int, nudged: int) -> None:
        beta, neurons = problems.NUDGING, self.relaxed(self.start(), free, beta=0.0)
        first = self.copy(neurons)
        second = self.copy(self.relaxed(neurons, nudged, beta=beta))
        third = self.copy(self.relaxed(self.copy(first), nudged, beta=-beta))
        self.model.compute_syn_grads(self.x, self.y, second, third, (beta, -beta), self.criterion)
        self.optimiser.step()

    def learn_by_bptt(self, steps: int) -> None:
        neurons = self.relaxed(self.start(), steps, beta=0.0, check_thm=True)
        target = self.one_hot(self.y, num_classes=problems.CLASSES).to(self.dtype)
        loss = 0.5 * self.criterion(neurons[-1], target).sum(dim=1).mean()
        self.model.zero_grad()
        loss.backward()
        self.optimiser.step()


def _learner(
    channels: Sequence[int], pooling: str, activation: str, batch: int, learn: Callable[[_Network], None]
) -> Contender:
    torch, peer = _load()
    network = _Network(torch, peer, step_problem(channels, batch, 0), pooling, activation, torch.float32)

    def outcome(seed: int) -> Mapping[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for dtype in (torch.float32, torch.float64):
            # the peer writes 1/(1 + exp) and ones in torch's default type
            torch.set_default_dtype(dtype)
            twin = _Network(torch, peer, step_problem(channels, COMPARED, seed), pooling, activation, dtype)
            learn(twin)
            gradients = [layer.weight.grad for layer in twin.model.synapses]
            arrays |= flat_gradients(gradients, [layer.bias.grad for layer in twin.model.synapses], channels)
        torch.set_default_dtype(torch.float32)
        return arrays

    return Contender(lambda: learn(network), outcome, f"torch {torch.__version__}")


def ep_step(
    channels: Sequence[int], pooling: str, batch: int, free: int, nudged: int, activation: str = "logistic"
) -> Contender:
    """A step of symmetric EP ("thirdphase"), average or max pool, my_sigmoid or hard_sigmoid."""
    return _learner(channels, pooling, activation, batch, lambda network: network.learn_by_ep(free, nudged))


def bptt_step(channels: Sequence[int], batch: int, free: int) -> Contender:
    """A step of backpropagation through all `free` steps, average pool."""
    return _learner(channels, "average", "logistic", batch, lambda network: network.learn_by_bptt(free))
