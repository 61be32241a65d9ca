"""One seed of an experiment: what it trains from, with and on.

Main results: prepare, start, Run, State.

The weights' start comes from a Generator seeded by the seed; a Run holds the data and the state from which training goes on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from dynamics.crnn import checkpoint
from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Experiment, SpreadTable, fingerprint
from dynamics.crnn.network import Array, Frames, Network, Spread
from dynamics.crnn.optimiser import Moments, annealed
from dynamics.datasets import Data, Images, Motion, load
from dynamics.provenance import make_writable


@dataclass(frozen=True, eq=False)
class State:
    """All that training carries from one update to the next.

    batch: updates done of the current epoch, (); sums: of cost, errors and the layers' mean rates over the images of those, (2 +
    layers,). train_cost, train_error, validation_accuracy, rates (…, layers), norms (…, arrays) and stability (…, 2) have one entry
    an epoch done. first_costs: of the first PREFIX updates, by which a run can be told to repeat another.
    """

    weights: Array
    bias: Array
    weight_first: Array
    weight_second: Array
    bias_first: Array
    bias_second: Array
    batch: NDArray[np.int64]
    sums: NDArray[np.float64]
    train_cost: NDArray[np.float64]
    train_error: NDArray[np.float64]
    validation_accuracy: NDArray[np.float64]
    rates: NDArray[np.float64]
    norms: NDArray[np.float64]
    stability: NDArray[np.float64]
    first_costs: NDArray[np.float64]

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
        """The experiment's layers on the images of its data."""
        return self.experiment.architecture(self.data.shape, self.data.classes)

    @property
    def key(self) -> str:
        """What a checkpoint must carry to be resumed by this run."""
        return f"{fingerprint(self.experiment)}/{self.seed}"

    @property
    def batches(self) -> int:
        """Updates an epoch."""
        return math.ceil(len(self.data.train.labels) / self.experiment.training.batch)

    def network(self, state: State) -> Network:
        """The network with a state's weights and bias, at the temperature and threshold of its moment in the training."""
        training, shared = self.experiment.training, self.experiment.network
        done = (state.epoch + int(state.batch) / self.batches) / training.epochs
        temperature, threshold = shared.temperature, shared.threshold
        if anneal := training.anneal:
            layers, share = len(shared.layers), min(1.0, done / anneal.share)
            temperature = annealed(anneal.temperature, temperature, share, layers)
            threshold = annealed(anneal.threshold, threshold, share, layers)
        if shared.feedback:
            temperature, threshold = shared.weakened(temperature), shared.weakened(threshold)
        leak = Spread(shared.leak.lowest, shared.leak.highest) if isinstance(shared.leak, SpreadTable) else shared.leak
        return Network(
            self.architecture, state.weights, state.bias, temperature, threshold, leak, shared.rest,
            shared.activation or "logistic", training.rate_penalty or 0.0, shared.divisive or 0.0,
        )  # fmt: skip

    def images(self, images: Images, chosen: NDArray[np.integer] | slice) -> Array | Frames:
        """The chosen images as the network takes them in."""
        table = self.experiment.input
        if table.coding == "static":
            return images.batch(chosen).astype(self.state.weights.dtype)
        frames = images.frames(chosen) if table.coding == "frames" else images.batch(chosen)[:, None]
        return Frames(frames.astype(self.state.weights.dtype), table.hold, table.leak, table.coding == "bernoulli")


def prepare(experiment: Experiment, out: Path, *, resume: bool = False, data_dir: Path | None = None) -> list[Run]:
    """One Run a seed, everything checked and nothing written yet but the folders; ValueError says what is wrong.

    resume takes each seed up from its newest checkpoint, from the start where there is none. data_dir: where to look first.
    """
    runs = []
    for run in runs_at_start(experiment, out, data_dir):
        saved = checkpoint.newest(run.folder / "checkpoints", run.key) if resume else None
        runs.append(run if saved is None else replace(run, state=State(**saved)))
    for run in runs:
        make_writable(run.folder)
    return runs


def runs_at_start(experiment: Experiment, out: Path, data_dir: Path | None) -> list[Run]:
    """One Run a seed at its start, the experiment checked against its data."""
    table = experiment.data
    data = load(
        table.name, table.split_seed, train_images=table.train_images, validation_images=table.validation_images,
        motion=Motion(**msgspec.structs.asdict(table.motion)) if table.motion else None, data_dir=data_dir,
    )  # fmt: skip
    if table.augmentation and table.augmentation.shift >= min(data.shape[1:]):
        raise ValueError(
            f"data.augmentation.shift must be below the images' {data.shape[1]} × {data.shape[2]} pixels, got "
            f"{table.augmentation.shift}"
        )
    architecture = experiment.architecture(data.shape, data.classes)
    presentations = (experiment.training.epochs + 1) * data.total
    if presentations > 2**32:
        raise ValueError(f"training.epochs must be below {2**32 // data.total}, got {experiment.training.epochs}")
    return [
        Run(experiment, seed, out / experiment.name / str(seed), data, start(experiment, architecture, seed))
        for seed in experiment.seeds
    ]


def start(experiment: Experiment, architecture: Architecture, seed: int) -> State:
    """Weights uniform on ±scale/√(fan in), biases and the optimiser's moments 0."""
    dtype, scales = np.dtype(experiment.network.dtype), experiment.network.weakened(experiment.network.scales)
    weights = architecture.draw_weights(np.random.default_rng([seed, 0]), scales).astype(dtype)
    bias = np.zeros(architecture.biases, dtype)
    layers = len(architecture.layers)
    return State(
        weights, bias, *Moments.zero(weights), *Moments.zero(bias), np.array(0), np.zeros(2 + layers), np.empty(0),
        np.empty(0), np.empty(0), np.empty((0, layers)), np.empty((0, len(architecture.weight_shapes))), np.empty((0, 2)),
        np.empty(0),
    )  # fmt: skip
