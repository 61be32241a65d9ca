"""Scellier et al. 2023, "Energy-based learning", torch: https://github.com/rain-neuromorphics/energy-based-learning.

Main results: ep_step, the body of the published Trainer.run for one batch, synchronous updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.contender import Contender, peer_folder, peer_module
from benchmarks.peers.torches import COMPARED, flat_gradients, load_torch
from benchmarks.problems import StepProblem, step_problem

VARIABLE = "STOCHEP_PEER_SCELLIER"
SOURCE = "https://github.com/rain-neuromorphics/energy-based-learning"
ACTIVATIONS = {"logistic": "sigmoid", "hard_sigmoid": "hard-sigmoid"}


class _Network:
    """The peer's energy with the problem's weights, its minimisers, its estimator, and the batch.

    The layers and edges are those of its ConvHopfieldEnergy28, but that the outputs are units like the others; logistic ones
    are its σ(4x − 2).
    """

    def __init__(
        self, torch: Any, problem: StepProblem, pooling: str, activation: str, free: int, nudged: int, dtype: Any
    ) -> None:
        hopfield, function, cost, minimizer, sgd, network = (
            peer_module(name, f"{VARIABLE} must name a clone of {SOURCE}")
            for name in (
                "model.hopfield.network", "model.function.interaction", "model.function.cost", "model.hopfield.minimizer",
                "training.sgd", "model.function.network",
            )
        )  # fmt: skip
        (first, second), (below, above) = problem.channels, problems.sides()
        shapes = [(1, problems.SIDE, problems.SIDE), (first, below, below), (second, above, above), (problems.CLASSES,)]
        kinds = ["input", *[ACTIVATIONS[activation]] * 3]
        layers = [hopfield.create_layer(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
        pool = {"average": "conv_avg_pool", "max": "conv_max_pool"}[pooling]
        edges = [
            hopfield.create_edge(layers, "bias", [number + 1], 0.0, bias.shape)
            for number, bias in enumerate(problem.biases)
        ] + [
            hopfield.create_edge(layers, kind, [number, number + 1], 1.0, weights.shape)
            for number, (kind, weights) in enumerate(zip((pool, pool, "dense"), problem.weights, strict=True))
        ]
        self.params = [param for param, _ in edges]
        for param, values in zip(self.params, (*problem.biases, *problem.weights), strict=True):
            param.state = torch.from_numpy(np.ascontiguousarray(values)).to(dtype)
        energy = function.SumSeparableFunction(layers, self.params, [interaction for _, interaction in edges])
        # set where its CPU or GPU is chosen, which a bare SumSeparableFunction leaves open
        energy.set_device("cpu")
        self.cost = cost.SquaredError(layers[-1])
        self.network = network.Network(energy)
        inside, free_layers = sgd.AugmentedFunction(energy, self.cost), self.network.free_layers()
        self.inference = minimizer.FixedPointMinimizer(energy, free_layers, free, "synchronous")
        training = minimizer.FixedPointMinimizer(inside, free_layers, nudged, "synchronous")
        self.estimator = sgd.EquilibriumProp(
            self.params, layers, inside, self.cost, training, "centered", problems.NUDGING
        )
        self.optimiser = torch.optim.SGD([param.state for param in self.params], lr=problems.RATE)
        self.x, self.y = torch.from_numpy(problem.images).to(dtype), torch.from_numpy(problem.labels)

    def learn(self) -> None:
        self.network.set_input(self.x, reset=True)
        self.inference.compute_equilibrium()
        self.cost.set_target(self.y)
        for param, gradient in zip(self.params, self.estimator.compute_gradient(), strict=True):
            param.state.grad = gradient
        self.optimiser.step()


def ep_step(
    channels: Sequence[int], pooling: str, batch: int, free: int, nudged: int, activation: str = "logistic"
) -> Contender:
    """A step of centered EP, average or max pool, sigmoid or hard sigmoid units."""
    peer_folder(VARIABLE, SOURCE, "model/hopfield/network.py")
    torch = load_torch()
    network = _Network(torch, step_problem(channels, batch, 0), pooling, activation, free, nudged, torch.float32)

    def outcome(seed: int) -> Mapping[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for dtype in (torch.float32, torch.float64):
            # the peer makes its states in torch's default type
            torch.set_default_dtype(dtype)
            twin = _Network(torch, step_problem(channels, COMPARED, seed), pooling, activation, free, nudged, dtype)
            twin.learn()
            gradients = [param.state.grad for param in twin.params]
            *convolutions, dense = gradients[3:]
            matrices = [*convolutions, dense.reshape(-1, problems.CLASSES).T]
            arrays |= flat_gradients(matrices, gradients[:3], channels)
        torch.set_default_dtype(torch.float32)
        return arrays

    return Contender(network.learn, outcome, f"torch {torch.__version__}")
