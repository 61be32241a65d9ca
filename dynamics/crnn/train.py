"""Training one experiment: epochs, checkpoints, and the result that figures and readers see.

Main results: prepare, train, Run, State.

The weights' start and each epoch's order come from a Generator seeded by (seed, epoch), all noise from (seed, stream;
step, unit, presentation): a run killed and resumed, or run on other threads, equals the unbroken one bit by bit.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from dynamics.crnn import checkpoint
from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Experiment, Stochastic, fingerprint
from dynamics.crnn.learning import gradient, respond
from dynamics.crnn.network import STREAM_INFERENCE, Network, Spiking
from dynamics.datasets import Data, Images, load
from dynamics.provenance import make_writable, provenance, write_atomically, write_json
from meanfield.model import FloatArray

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class State:
    """All that training carries from one epoch to the next; cost and accuracy have one entry an epoch done."""

    weights: FloatArray
    bias: FloatArray
    weight_velocity: FloatArray
    bias_velocity: FloatArray
    train_cost: FloatArray
    validation_accuracy: FloatArray

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.train_cost)


@dataclass(frozen=True, eq=False)
class Run:
    """One seed of an experiment, ready to go on from `state`; its files go to `folder`."""

    experiment: Experiment
    seed: int
    folder: Path
    data: Data
    state: State

    @property
    def architecture(self) -> Architecture:
        """The experiment's layers."""
        return Architecture.dense(*self.experiment.network.layers)

    @property
    def key(self) -> str:
        """What a checkpoint must carry to be resumed by this run."""
        return f"{fingerprint(self.experiment)}/{self.seed}"

    def network(self, state: State) -> Network:
        """The network with a state's weights and bias."""
        shared = self.experiment.network
        return Network(self.architecture, state.weights, state.bias, shared.temperature, shared.threshold, shared.leak)


def prepare(experiment: Experiment, out: Path, *, resume: bool = False) -> list[Run]:
    """One Run a seed, everything checked and nothing written yet but the folders; ValueError says what is wrong.

    resume takes each seed up from its newest checkpoint, from the start where there is none.
    """
    data = load(experiment.data.name, experiment.data.split_seed)
    layers = experiment.network.layers
    if (layers[0], layers[-1]) != (data.inputs, data.classes):
        raise ValueError(
            f"network.layers must start with {data.inputs} inputs and end with {data.classes} outputs "
            f"for {experiment.data.name}, got {list(layers)}"
        )
    presentations = (experiment.training.epochs + 1) * data.total
    if presentations > 2**32:
        raise ValueError(f"training.epochs must be below {2**32 // data.total}, got {experiment.training.epochs}")
    runs = []
    for seed in experiment.seeds:
        run = Run(experiment, seed, out / experiment.name / str(seed), data, start(experiment, seed))
        saved = checkpoint.newest(run.folder / "checkpoints", run.key) if resume else None
        runs.append(run if saved is None else replace(run, state=State(**saved)))
    for run in runs:
        make_writable(run.folder)
    return runs


def start(experiment: Experiment, seed: int) -> State:
    """Weights uniform on ±scale/√(units below), biases and velocities 0."""
    architecture = Architecture.dense(*experiment.network.layers)
    weights = architecture.draw_weights(np.random.default_rng([seed, 0]), experiment.network.scales)
    bias = np.zeros(architecture.units)
    return State(weights, bias, np.zeros_like(weights), np.zeros_like(bias), np.empty(0), np.empty(0))


def train(run: Run, report: Callable[[State], None]) -> dict[str, Any]:
    """Run the epochs that are left, report each, write weights.npz and result.json; the latter's document."""
    state, folder = run.state, run.folder / "checkpoints"
    if state.epoch == 0:
        checkpoint.clear(folder)
    while state.epoch < run.experiment.training.epochs:
        state = epoch(run, state)
        checkpoint.save(folder, state.epoch, run.key, asdict(state))
        report(state)
    network, data = run.network(state), run.data
    metrics = {
        "test_accuracy": accuracy(_hits(run, network, data.test)),
        "validation_accuracy": accuracy(_hits(run, network, data.validation)),
    }
    if isinstance(run.experiment.rule, Stochastic):
        metrics["test_accuracy_mean_field"] = accuracy(_hits(run, network, data.test, mean_field=True))
    _write_weights(run.folder / "weights.npz", network)
    document = {
        **provenance(),
        "name": run.experiment.name,
        "seed": run.seed,
        "config": msgspec.to_builtins(run.experiment),
        "config_hash": fingerprint(run.experiment),
        "dtype": "float64",
        "metrics": metrics,
        "curves": {name: getattr(state, name).tolist() for name in ("train_cost", "validation_accuracy")},
    }
    write_json(run.folder / "result.json", document)
    return document


def epoch(run: Run, state: State) -> State:
    """One pass over the training images in the epoch's own order, with an update a batch."""
    training, images = run.experiment.training, run.data.train
    targets = images.targets(run.data.classes)
    order = np.random.default_rng([run.seed, state.epoch + 1]).permutation(len(images.labels))
    batches = math.ceil(len(order) / training.batch)
    presented = state.epoch * run.data.total
    cost, current = 0.0, state
    for batch in range(batches):
        chosen = order[batch * training.batch : (batch + 1) * training.batch]
        response = respond(
            run.experiment.rule, run.network(current), images.pixels[chosen], targets[chosen],
            seed=run.seed, replicas=presented + images.indices[chosen],
        )  # fmt: skip
        cost += 0.5 * float(((response.free_outputs - targets[chosen]) ** 2).sum())
        done = (state.epoch + batch / batches) / training.epochs
        slopes = gradient(run.architecture, images.pixels[chosen], response)
        current = _descend(run, current, slopes, 0.5 * (1 + math.cos(math.pi * done)))
    return replace(
        current,
        train_cost=np.append(state.train_cost, cost / len(order)),
        validation_accuracy=np.append(
            state.validation_accuracy, _hits(run, run.network(current), run.data.validation).mean()
        ),
    )


def _descend(run: Run, state: State, slopes: tuple[FloatArray, FloatArray], schedule: float) -> State:
    """velocity ← momentum · velocity − schedule · rate · gradient, then parameters += velocity."""
    training, architecture = run.experiment.training, run.architecture
    weight_rate, bias_rate = architecture.per_weight(training.rates), architecture.per_unit(training.rates)
    weight_velocity = training.momentum * state.weight_velocity - schedule * weight_rate * slopes[0]
    bias_velocity = training.momentum * state.bias_velocity - schedule * bias_rate * slopes[1]
    return replace(
        state,
        weights=state.weights + weight_velocity,
        bias=state.bias + bias_velocity,
        weight_velocity=weight_velocity,
        bias_velocity=bias_velocity,
    )


def _hits(run: Run, network: Network, images: Images, *, mean_field: bool = False) -> NDArray[np.bool_]:
    """Whether the most active output is the label, (n,); leaky spikes where the rule spikes, unless mean_field."""
    inference = run.experiment.inference
    spikes = isinstance(run.experiment.rule, Stochastic) and not mean_field
    spiking = Spiking(run.seed, STREAM_INFERENCE, images.indices) if spikes else None
    outputs = network.infer(images.pixels, steps=inference.steps, window=inference.window, spiking=spiking)
    return outputs.argmax(axis=1) == images.labels


def accuracy(hits: NDArray[np.bool_]) -> dict[str, float]:
    """The fraction of hits with its Wilson interval at 95 %: {value, n, low, high}."""
    interval = binomtest(int(hits.sum()), hits.size).proportion_ci(CONFIDENCE, method="wilson")
    return {"value": float(hits.mean()), "n": hits.size, "low": float(interval.low), "high": float(interval.high)}


def _write_weights(path: Path, network: Network) -> None:
    """W_0, W_1, … of shape (below, above) and bias_1, … per free layer, float32."""
    architecture = network.architecture
    arrays = {f"weights_{n}": matrix for n, matrix in enumerate(architecture.arrays(network.weights))}
    arrays |= {f"bias_{n}": network.bias[place] for n, place in enumerate(architecture.places, start=1)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: array.astype(np.float32) for name, array in arrays.items()})
    write_atomically(path, buffer.getvalue())
