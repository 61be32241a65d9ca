"""StochEP of a conv net as one would write it in torch, by hand and without autograd: nobody has published one.

Main results: stochastic_step.

What the dynamics never changes is computed once (the input's drive); both nudged phases run side by side as one batch on one noise;
memory has its channels last, torch's faster format. `fused` folds average pooling into kernels of stride 2 besides, as ours do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.contender import Contender
from benchmarks.peers.torches import COMPARED, flat_gradients, load_torch
from benchmarks.problems import StepProblem, step_problem

# noise(phase, step) -> uniforms, one tensor a layer, each (images, *layer)
Noise = Callable[[str, int], list[Any]]


class _Network:
    """Two conv layers with average pooling and ten outputs; states are (images, *layer), nudged ones (2, images, *layer)."""

    def __init__(self, torch: Any, problem: StepProblem, fused: bool, dtype: Any) -> None:
        self.torch, self.functional, self.fused = torch, torch.nn.functional, fused
        self.weights = [
            self.last(torch.from_numpy(np.ascontiguousarray(values)).to(dtype)) for values in problem.weights
        ]
        self.biases = [torch.from_numpy(values).to(dtype) for values in problem.biases]
        self.x = torch.from_numpy(problem.images).to(dtype)
        self.y = torch.from_numpy(problem.targets).to(dtype)
        (first, second), (below, above) = problem.channels, problems.sides()
        self.shapes = [(first, below, below), (second, above, above), (problems.CLASSES,)]

    def last(self, values: Any) -> Any:
        """The same values, channels last in memory."""
        return values.contiguous(memory_format=self.torch.channels_last)

    def zeros(self, count: int, shape: tuple[int, ...]) -> Any:
        values = self.x.new_zeros((count, *shape))
        return self.last(values) if len(shape) == 3 else values

    def constants(self) -> list[Any]:
        """b − θ of every layer, and the input's drive of the first."""
        first, second, last = (
            bias - threshold for bias, threshold in zip(self.biases, problems.SPIKING_THRESHOLDS, strict=True)
        )
        drive = self.functional.avg_pool2d(self.functional.conv2d(self.x, self.weights[0], first), 2)
        return [drive, second[:, None, None], last]

    def fields(self, constants: list[Any], states: list[Any]) -> list[Any]:
        first, second, last = states
        _, between, readout = self.weights
        if self.fused:
            rising = self.functional.conv2d(first, self.pooled, stride=2)
            falling = self.functional.conv_transpose2d(second, self.pooled, stride=2)
        else:
            rising = self.functional.avg_pool2d(self.functional.conv2d(first, between), 2)
            falling = self.functional.conv_transpose2d(self.spread(second), between)
        dense = readout.reshape(-1, problems.CLASSES)
        back = (last @ dense.T).reshape(second.shape)
        return [constants[0] + falling, constants[1] + rising + back, constants[2] + second.flatten(1) @ dense]

    def spread(self, pooled: Any) -> Any:
        """The transpose of average pooling."""
        return self.functional.interpolate(pooled, scale_factor=2.0) / 4

    def relax(
        self, states: list[Any], constants: list[Any], phase: str, first: int, steps: int, window: int, nudgings: Any, noise: Noise
    ) -> list[Any]:  # fmt: skip
        """Move the states in place; firing probabilities averaged over the last `window` steps."""
        averages = [self.torch.zeros_like(state) for state in states]
        for step in range(first, first + steps):
            fields = self.fields(constants, states)
            if nudgings is not None:
                fields[-1] -= nudgings * (states[-1] - self.y.repeat(2, 1))
            for state, field, average, uniforms in zip(states, fields, averages, noise(phase, step), strict=True):
                chances = field.div_(problems.TEMPERATURE).sigmoid_()
                copies = len(state) // len(uniforms)
                spikes = uniforms < chances.reshape(copies, *uniforms.shape)
                state.lerp_(spikes.reshape(state.shape).to(state.dtype), problems.LEAK)
                if step >= first + steps - window:
                    average += chances / window
        return averages

    def learn(self, free: int, nudged: int, noise: Noise) -> tuple[list[Any], list[Any]]:
        """Gradients of weights and biases, taken off the parameters at the problem's rate."""
        count, window = len(self.x), min(problems.WINDOW, nudged)
        states = [self.zeros(count, shape) for shape in self.shapes]
        constants = self.constants()
        if self.fused:
            kernel, pad = self.weights[1], self.functional.pad
            windows = [pad(kernel, (column, 1 - column, row, 1 - row)) for row in (0, 1) for column in (0, 1)]
            self.pooled = self.last(sum(windows) / 4)
        self.relax(states, constants, "free", 0, free, window, None, noise)
        both = [self.torch.cat([state, state]) for state in states]
        doubled = [self.torch.cat([constants[0], constants[0]]), *constants[1:]]
        signs = self.x.new_tensor([[problems.NUDGING]] * count + [[-problems.NUDGING]] * count)
        averages = self.relax(both, doubled, "nudged", free, nudged, window, signs, noise)
        means = [(average[:count] + average[count:]) / 2 for average in averages]
        slopes = [(average[:count] - average[count:]) / (-2 * problems.NUDGING * count) for average in averages]
        weights = self.products(means, slopes)
        biases = [slopes[0].sum((0, 2, 3)), slopes[1].sum((0, 2, 3)), slopes[2].sum(0)]
        for parameter, gradient in zip((*self.weights, *self.biases), (*weights, *biases), strict=True):
            parameter.sub_(gradient, alpha=problems.RATE)
        return weights, biases

    def products(self, means: list[Any], slopes: list[Any]) -> list[Any]:
        """Σ mean below · slope above + slope below · mean above, for each array of weights."""
        gradient = self.torch.nn.grad.conv2d_weight
        first = gradient(self.x, self.weights[0].shape, self.spread(slopes[0]))
        second = gradient(means[0], self.weights[1].shape, self.spread(slopes[1]))
        second += gradient(slopes[0], self.weights[1].shape, self.spread(means[1]))
        last = means[1].flatten(1).T @ slopes[2] + slopes[1].flatten(1).T @ means[2]
        return [first, second, last.reshape(self.weights[2].shape)]


def _recorded(torch: Any, shapes: list[tuple[int, ...]], count: int, dtype: Any) -> Noise:
    """The uniforms that our side draws, so that both sides fire alike."""
    from benchmarks.ours import CHECKED_SEED
    from dynamics.philox import STREAM_FREE, STREAM_NUDGED, uniforms

    units = [int(np.prod(shape)) for shape in shapes]

    def noise(phase: str, step: int) -> list[Any]:
        drawn = np.empty((count, sum(units)))
        for replica, row in enumerate(drawn):
            uniforms(CHECKED_SEED, {"free": STREAM_FREE, "nudged": STREAM_NUDGED}[phase], step, replica, row)
        layers = np.split(drawn, np.cumsum(units)[:-1], axis=1)
        # our units lie with their channels last
        tensors = []
        for values, shape in zip(layers, shapes, strict=True):
            if len(shape) == 3:
                values = values.reshape(count, *shape[1:], shape[0]).transpose(0, 3, 1, 2)
            tensors.append(torch.from_numpy(np.ascontiguousarray(values)).to(dtype))
        return tensors

    return noise


def stochastic_step(channels: Sequence[int], batch: int, free: int, nudged: int, fused: bool = False) -> Contender:
    """A step of StochEP from firing probabilities, coupled phases of leaky spikes."""
    torch = load_torch()
    network = _Network(torch, step_problem(channels, batch, 0), fused, torch.float32)

    def fresh(phase: str, step: int) -> list[Any]:
        return [
            torch.rand((batch, *shape[1:], shape[0])).movedim(-1, 1) if len(shape) == 3 else torch.rand((batch, *shape))
            for shape in network.shapes
        ]

    def run() -> None:
        with torch.inference_mode():
            network.learn(free, nudged, fresh)

    def outcome(seed: int) -> Mapping[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for dtype in (torch.float32, torch.float64):
            twin = _Network(torch, step_problem(channels, COMPARED, seed), fused, dtype)
            with torch.inference_mode():
                weights, biases = twin.learn(free, nudged, _recorded(torch, twin.shapes, COMPARED, dtype))
            *convolutions, dense = weights
            arrays |= flat_gradients([*convolutions, dense.reshape(-1, problems.CLASSES).T], biases, channels)
        return arrays

    return Contender(run, outcome, f"torch {torch.__version__}")
