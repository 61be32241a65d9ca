"""This package's side of every race, through its public functions.

Main results: prepared, ep_step, stochastic_step, bptt_step, spike_convolution, heat_bath, enumeration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks import problems
from benchmarks.contender import Contender
from benchmarks.problems import StepProblem, step_problem
from dynamics import exact_law, sample
from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.config import Backpropagation, Deterministic, Rule, Stochastic
from dynamics.crnn.events import spike_drive_images, tabulate
from dynamics.crnn.learning import Estimate, estimate
from dynamics.crnn.network import Network
from dynamics.crnn.wiring import wire
from meanfield import Model
from meanfield.model import FloatArray

LIBRARY = f"stochep, numba {numba.__version__}"
# images whose gradients are compared, in both precisions
COMPARED = 16
CHECKED_SEED = 7


def _architecture(channels: Sequence[int], pooling: str) -> Architecture:
    convolutions = (Conv(count, problems.KERNEL, pool=2, pooling=pooling) for count in channels)
    return Architecture((1, problems.SIDE, problems.SIDE), (*convolutions, Dense(problems.CLASSES)))


class Prepared(NamedTuple):
    """A problem as this package takes it: weights and bias flat, images (B, inputs), targets (B, outputs)."""

    architecture: Architecture
    weights: NDArray[np.floating]
    bias: NDArray[np.floating]
    images: NDArray[np.floating]
    targets: NDArray[np.floating]

    def network(self, **shared: Any) -> Network:
        """The network with these weights; `shared` as Network has it."""
        return Network(
            self.architecture, self.weights, self.bias, **{"rest": 0.0, "temperature": problems.TEMPERATURE, **shared}
        )


def prepared(problem: StepProblem, pooling: str, dtype: type[np.floating]) -> Prepared:
    """The problem's arrays, in copies of their own."""
    *convolutions, dense = problem.weights
    weights = np.concatenate([*map(np.ravel, convolutions), dense.transpose(1, 2, 0, 3).ravel()])
    images = problem.images.reshape(len(problem.images), -1)
    arrays = weights, np.concatenate(problem.biases), images, problem.targets
    return Prepared(_architecture(problem.channels, pooling), *(array.astype(dtype) for array in arrays))


def _step(
    rule: Rule, problem: StepProblem, pooling: str, dtype: type[np.floating], **shared: Any
) -> tuple[Callable[[], Estimate], Architecture]:
    """A function that learns once from the problem's batch: gradient, then weights −= rate · gradient."""
    made = prepared(problem, pooling, dtype)
    replicas, rate = np.arange(len(made.images)), dtype(problems.RATE)

    def learn() -> Estimate:
        found = estimate(rule, made.network(**shared), made.images, made.targets, seed=CHECKED_SEED, replicas=replicas)
        np.subtract(made.weights, rate * found.weights, out=made.weights, casting="same_kind")
        np.subtract(made.bias, rate * found.bias, out=made.bias, casting="same_kind")
        return found

    return learn, made.architecture


def _learner(
    rule: Rule, channels: Sequence[int], pooling: str, batch: int, **shared: Any
) -> Contender:  # fmt: skip
    learn, _ = _step(rule, step_problem(channels, batch, 0), pooling, np.float32, **shared)

    def outcome(seed: int) -> dict[str, NDArray[Any]]:
        arrays = {}
        for dtype in (np.float32, np.float64):
            once, architecture = _step(rule, step_problem(channels, COMPARED, seed), pooling, dtype, **shared)
            found, name = once(), np.dtype(dtype).name
            *convolutions, dense = architecture.arrays(found.weights)
            dense = dense.reshape(problems.sides()[1], problems.sides()[1], channels[1], -1).transpose(2, 0, 1, 3)
            for layer, gradient in enumerate((*convolutions, dense)):
                arrays[f"{name}.weights.{layer}"] = gradient
            arrays[f"{name}.bias"] = found.bias
            arrays[f"{name}.activity"] = np.array([found.free[:, place].mean() for place in architecture.places[:-1]])
        return arrays

    return Contender(learn, outcome, LIBRARY)


def ep_step(
    channels: Sequence[int], pooling: str, batch: int, free: int, nudged: int, activation: str = "logistic"
) -> Contender:
    """A step of deterministic symmetric EP: free phase, two nudged ones, gradient, update."""
    rule = Deterministic(nudging=problems.NUDGING, steps_free=free, steps_nudged=nudged, window=1)
    hard = activation == "hard_sigmoid"
    temperature = problems.HARD_TEMPERATURE if hard else problems.TEMPERATURE
    threshold = problems.HARD_THRESHOLD if hard else problems.THRESHOLD
    return _learner(
        rule, channels, pooling, batch, temperature=temperature, threshold=threshold, leak=1.0, activation=activation
    )


def bptt_step(channels: Sequence[int], batch: int, free: int) -> Contender:
    """A step of backpropagation through `free` steps of the same relaxation."""
    rule = Backpropagation(steps=free, window=1)
    return _learner(rule, channels, "average", batch, threshold=problems.THRESHOLD, leak=1.0)


def stochastic_step(channels: Sequence[int], batch: int, free: int, nudged: int) -> Contender:
    """A step of StochEP from firing probabilities, coupled phases of leaky spikes."""
    rule = Stochastic(
        nudging=problems.NUDGING, steps_free=free, steps_nudged=nudged, window=min(problems.WINDOW, nudged),
        estimator="probabilities",
    )  # fmt: skip
    return _learner(rule, channels, "average", batch, threshold=problems.SPIKING_THRESHOLDS, leak=problems.LEAK)


def spike_convolution(channels: Sequence[int], batch: int, activity: float) -> Contender:
    """The drive of the second conv layer by a batch of spikes, before pooling."""

    def build(seed: int) -> Callable[[], NDArray[np.float32]]:
        spikes, weights = problems.spike_problem(channels, batch, activity, seed)
        side = spikes.shape[-1]
        architecture = Architecture((channels[0], side, side), (Conv(channels[1], problems.KERNEL),), classes=1)
        flat = np.concatenate([weights.ravel(), np.zeros(architecture.sizes[-1], np.float32)])
        wiring = wire(architecture, flat, np.float32)
        tables = tabulate(architecture, flat, wiring)
        images = np.ascontiguousarray(spikes.transpose(0, 2, 3, 1)).reshape(batch, -1)
        fields = np.zeros((batch, architecture.units), np.float32)

        def drive() -> NDArray[np.float32]:
            fields[:] = 0.0
            spike_drive_images(images, wiring, tables, fields)
            return fields

        return drive

    def outcome(seed: int) -> dict[str, NDArray[Any]]:
        return {"field": build(seed)().reshape(-1, channels[1])}

    return Contender(build(0), outcome, LIBRARY)


def heat_bath(size: int, chains: int, sweeps: int) -> Contender:
    """Chains of systematic heat-bath sweeps over all units at temperature 1."""

    def draw(seed: int, chains: int, sweeps: int) -> FloatArray:
        couplings, bias = problems.ising_problem(size, seed)
        model = Model(couplings, bias)
        return sample(model, dynamics="glauber", scan="systematic", steps=sweeps, replicas=chains, seed=seed).states

    couplings, bias = problems.ising_problem(size, 0)
    model = Model(couplings, bias)

    def run() -> None:
        sample(model, dynamics="glauber", scan="systematic", steps=sweeps, replicas=chains, seed=0)

    return Contender(run, lambda seed: {"states": draw(seed, 4 * chains, 30)}, LIBRARY)


def enumeration(size: int) -> Contender:
    """log Z, means and pair correlations of all 2^N states."""

    def law(seed: int) -> Mapping[str, NDArray[Any]]:
        couplings, bias = problems.ising_problem(size, seed)
        found = exact_law(Model(couplings, bias))
        return {"log_partition": np.array(found.log_partition), "mean": found.mean, "covariance": found.covariance}

    return Contender(lambda: law(0), law, LIBRARY)
