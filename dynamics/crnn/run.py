"""One seed of an experiment: what it trains from, with and on.

Main results: prepare, start, restored, Run, State.

The weights' start comes from a Generator seeded by the seed; a Run holds the data and the state from which training goes on.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dynamics.crnn import checkpoint
from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Backpropagation, Experiment, SpreadTable, tables
from dynamics.crnn.network import Array, Frames, Network, Spread
from dynamics.crnn.optimiser import Moments, annealed
from dynamics.datasets import Data, Images, Motion, load
from dynamics.philox import STREAM_VERSION
from dynamics.provenance import make_writable

# updates whose costs are kept
PREFIX = 20
# images that inference takes at once: bounds its memory
INFERENCE_BATCH = 500
# Bounds on what is prepared for, so that preparation takes below 1 GiB of memory, whatever a file asks for: weights of all seeds
# together (three float64 arrays of them), and numbers that one array of a training holds (1 GiB as float64).
MOST_WEIGHTS, MOST_NUMBERS = 2**24, 2**27


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
    def origin(self) -> checkpoint.Origin:
        """What a checkpoint must be of to be resumed by this run."""
        versions = {"stochep": version("stochep"), "random stream": str(STREAM_VERSION)}
        return checkpoint.Origin(self.experiment.name, self.seed, versions, tables(self.experiment))

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
        saved = checkpoint.newest(run.folder / "checkpoints", run.origin, _most_bytes(run)) if resume else None
        runs.append(run if saved is None else replace(run, state=restored(run, *saved)))
    for run in runs:
        make_writable(run.folder / "checkpoints")
    return runs


def restored(run: Run, file: Path, arrays: dict[str, NDArray[Any]]) -> State:
    """The state in a checkpoint of this run's experiment; ValueError when its arrays are not those of the network and the time."""
    start = asdict(run.state)
    if start.keys() != arrays.keys():
        raise ValueError(
            f"checkpoint {file} must hold {', '.join(start)}, got {', '.join(arrays)}: {checkpoint.REMEDY}"
        )
    epochs, prefix, done = np.size(arrays["train_cost"]), np.size(arrays["first_costs"]), arrays["batch"]
    for name, expected in start.items():
        array, shape = arrays[name], expected.shape
        # a curve, empty at the start, is as long as what was done
        if curve := shape[:1] == (0,):
            shape = (prefix if name == "first_costs" else epochs, *shape[1:])
        if (array.shape, array.dtype) != (shape, expected.dtype):
            raise ValueError(
                f"checkpoint {file} must hold {name} of shape {shape} and type {expected.dtype}, got {array.shape} and "
                f"{array.dtype}: {checkpoint.REMEDY}"
            )
        if not curve and not np.isfinite(array).all():
            raise ValueError(f"checkpoint {file} holds {name} that are not finite: {checkpoint.REMEDY}")
    most = run.experiment.training.epochs
    if not (epochs <= most and prefix <= PREFIX and 0 <= done <= run.batches * (epochs < most)):
        raise ValueError(
            f"checkpoint {file} says {epochs} epochs and {done} updates are done, beyond the run's {most} epochs of {run.batches} "
            f"updates: {checkpoint.REMEDY}"
        )
    return State(**arrays)


def _most_bytes(run: Run) -> int:
    """That a checkpoint of this run may hold."""
    start = asdict(run.state).values()
    curves = sum(math.prod(array.shape[1:]) for array in start if array.shape[:1] == (0,))
    return sum(array.nbytes for array in start) + 8 * curves * (run.experiment.training.epochs + PREFIX)


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
    _check_size(experiment, architecture, data)
    presentations = (experiment.training.epochs + 1) * data.total
    if presentations > 2**32:
        raise ValueError(f"training.epochs must be below {2**32 // data.total}, got {experiment.training.epochs}")
    return [
        Run(experiment, seed, out / experiment.name / str(seed), data, start(experiment, architecture, seed))
        for seed in experiment.seeds
    ]


def _check_size(experiment: Experiment, architecture: Architecture, data: Data) -> None:
    """Refuse what no array here may be made for."""
    seeds, rule = len(experiment.seeds), experiment.rule
    if architecture.weights * seeds > MOST_WEIGHTS:
        raise ValueError(
            f"network.layers have {architecture.weights:,} weights, for {seeds} seed(s), more than the {MOST_WEIGHTS:,} in "
            "all that are made room for: use fewer units or channels, or fewer seeds at a time"
        )
    frames = data.train.frames(np.arange(1)).shape[1] if experiment.input.coding == "frames" else 1
    shown = max(INFERENCE_BATCH, min(experiment.training.batch, len(data.train.labels)))
    one = architecture.numbers + frames * architecture.inputs
    # BPTT keeps the path of the image that it is at
    path = rule.steps if isinstance(rule, Backpropagation) else 0
    if max(shown, path) * one > MOST_NUMBERS:
        raise ValueError(
            f"network.layers hold {one:,} numbers an image, {max(shown, path) * one:,} in all, more than the {MOST_NUMBERS:,} "
            "that are made room for: use fewer units or channels, or lower padding, "
            "training.batch, rule.steps or data.motion.frames"
        )


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
