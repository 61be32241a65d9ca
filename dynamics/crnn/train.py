"""Training one experiment: epochs, checkpoints, and the result that figures and readers see.

Main results: prepare, train, recorded, Run, State, Progress, Divergence.

The weights' start and each epoch's order come from a Generator seeded by (seed, epoch), all noise from (seed, stream;
step, unit, presentation): a run killed and resumed, or run on other threads, equals the unbroken one bit by bit.
"""

from __future__ import annotations

import io
import math
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from dynamics.crnn import checkpoint
from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import Experiment, fingerprint
from dynamics.crnn.learning import Estimate, estimate
from dynamics.crnn.network import STREAM_INFERENCE, Array, Frames, Network, Spiking
from dynamics.crnn.optimiser import Moments, annealed, descend, schedule
from dynamics.crnn.stability import Stability, stability
from dynamics.datasets import Augmentation, Data, Images, Motion, load
from dynamics.provenance import make_writable, provenance, write_atomically, write_json

CONFIDENCE = 0.95
# images that inference takes at once: bounds its memory
INFERENCE_BATCH = 500
# updates whose costs are kept
PREFIX = 20
# validation images whose relaxation is looked at after each epoch
PROBES = 8
SECONDS_BETWEEN_REPORTS = 1.0
# mean firing rates of a layer beyond which it hardly tells one image from another
SILENT, SATURATED = 1e-3, 0.5


class Divergence(RuntimeError):
    """Weights that are no numbers any more: which layer's, when, and what to lower."""


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


class Progress(NamedTuple):
    """Where a run is: epochs done, share of the current one, means over it so far, and what the clock says.

    rates: mean firing rate a layer; images_per_second and seconds_left: of this call of train.
    """

    epoch: int
    epochs: int
    share: float
    cost: float
    error: float
    rates: tuple[float, ...]
    validation_error: float | None
    images_per_second: float
    seconds_left: float

    @property
    def warning(self) -> str:
        """A sentence about layers that hardly tell one image from another; "" when there are none."""
        for number, rate in enumerate(self.rates, start=1):
            if not SILENT <= rate <= SATURATED:
                how = "is nearly silent" if rate < SILENT else "fires more than half of the time"
                return (
                    f"layer {number} {how} (rate {rate:.3g}): lower training.rates of layers {number - 1} and {number}, or "
                    "network.scales"
                )
        return ""


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
        return Network(
            self.architecture, state.weights, state.bias, temperature, threshold, shared.leak, shared.rest,
            shared.activation or "logistic", training.rate_penalty or 0.0,
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
    for run in _runs(experiment, out, data_dir):
        saved = checkpoint.newest(run.folder / "checkpoints", run.key) if resume else None
        runs.append(run if saved is None else replace(run, state=State(**saved)))
    for run in runs:
        make_writable(run.folder)
    return runs


def _runs(experiment: Experiment, out: Path, data_dir: Path | None) -> list[Run]:
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
    dtype = np.dtype(experiment.network.dtype)
    weights = architecture.draw_weights(np.random.default_rng([seed, 0]), experiment.network.scales).astype(dtype)
    bias = np.zeros(architecture.biases, dtype)
    layers = len(architecture.layers)
    return State(
        weights, bias, *Moments.zero(weights), *Moments.zero(bias), np.array(0), np.zeros(2 + layers), np.empty(0),
        np.empty(0), np.empty(0), np.empty((0, layers)), np.empty((0, len(architecture.weight_shapes))), np.empty((0, 2)),
        np.empty(0),
    )  # fmt: skip


def train(run: Run, report: Callable[[Progress], None]) -> dict[str, Any]:
    """Run what is left, report now and then, write checkpoints, weights.npz and result.json; the latter's document.

    A KeyboardInterrupt is passed on after a checkpoint of the last update done. Raises Divergence.
    """
    state, folder = run.state, run.folder / "checkpoints"
    if state.epoch == 0 and state.batch == 0:
        checkpoint.clear(folder)
    clock = _Clock(run)
    try:
        while state.epoch < run.experiment.training.epochs:
            if state.batch < run.batches:
                state = update(run, state)
                clock.tick(state, report)
                continue
            state = close_epoch(run, state)
            checkpoint.save(folder, state.epoch, 0, run.key, asdict(state))
            report(clock.progress(state))
    except KeyboardInterrupt:
        checkpoint.save(folder, state.epoch, int(state.batch), run.key, asdict(state))
        raise
    return _record(run, state, clock)


def update(run: Run, state: State) -> State:
    """One batch: the rule's gradient, then a step of the optimiser."""
    training, images, architecture = run.experiment.training, run.data.train, run.architecture
    batch = int(state.batch)
    order = np.random.default_rng([run.seed, state.epoch + 1]).permutation(len(images.labels))
    chosen = order[batch * training.batch : (batch + 1) * training.batch]
    numbers = state.epoch * run.data.total + images.indices[chosen]
    targets, network = np.eye(run.data.classes)[images.labels[chosen]], run.network(state)
    shown = run.images(images, chosen)
    if table := run.experiment.data.augmentation:
        drawn = images.augmented(
            chosen, seed=run.seed, numbers=numbers, augmentation=Augmentation(table.flip, table.shift)
        )
        shown = run.images(drawn, slice(None))
    found = estimate(run.experiment.rule, network, shown, targets, seed=run.seed, replicas=numbers)
    done = (state.epoch + batch / run.batches) / training.epochs
    factor, number = schedule(training.schedule, done), state.epoch * run.batches + batch + 1
    # an overflow is found, and named, just below
    with np.errstate(over="ignore", invalid="ignore"):
        weights, bias, moments = _step(run, state, found, factor, number)
    _refuse_divergence(architecture, weights, bias, state.epoch, batch)
    answered = network.answers(found.free)
    errors = (answered.argmax(axis=1) != images.labels[chosen]).sum()
    rates_seen = [found.free[:, place].mean() * len(chosen) for place in architecture.places]
    return replace(
        state, weights=weights, bias=bias, weight_first=moments[0].first, weight_second=moments[0].second,
        bias_first=moments[1].first, bias_second=moments[1].second, batch=state.batch + 1,
        sums=state.sums + np.array([found.cost.sum(), errors, *rates_seen]),
        first_costs=np.append(state.first_costs, found.cost.mean())[:PREFIX],
    )  # fmt: skip


def _step(
    run: Run, state: State, found: Estimate, factor: float, number: int
) -> tuple[Array, Array, tuple[Moments, Moments]]:
    """Weights and biases after update `number`, and the optimiser's moments of both."""
    training, architecture, dtype = run.experiment.training, run.architecture, state.weights.dtype
    rates, bias_rates = (
        (factor * spread(training.rates)).astype(dtype) for spread in (architecture.per_weight, architecture.per_bias)
    )
    before = Moments(state.weight_first, state.weight_second), Moments(state.bias_first, state.bias_second)
    weights, moments = descend(training.optimiser, state.weights, found.weights, before[0], rates, number)
    bias, bias_moments = descend(training.optimiser, state.bias, found.bias, before[1], bias_rates, number)
    if training.weight_decay:
        weights = weights - rates * dtype.type(training.weight_decay) * state.weights
    return weights, bias, (moments, bias_moments)


def close_epoch(run: Run, state: State) -> State:
    """After the last batch: means over the epoch and the accuracy on the validation images."""
    means, network = state.sums / len(run.data.train.labels), run.network(state)
    hits = _hits(run, network, run.data.validation)
    norms = [np.linalg.norm(own.astype(np.float64)) for own in run.architecture.arrays(state.weights)]
    probes = run.images(run.data.validation, np.arange(min(PROBES, hits.size)))
    return replace(
        state,
        batch=np.array(0),
        sums=np.zeros_like(state.sums),
        train_cost=np.append(state.train_cost, means[0]),
        train_error=np.append(state.train_error, means[1]),
        validation_accuracy=np.append(state.validation_accuracy, hits.mean()),
        rates=np.vstack([state.rates, means[2:]]),
        norms=np.vstack([state.norms, norms]),
        stability=np.vstack([state.stability, stability(network, probes)]),
    )


def _refuse_divergence(architecture: Architecture, weights: Array, bias: Array, epoch: int, batch: int) -> None:
    arrays = zip(architecture.arrays(weights), architecture.bias_arrays(bias), strict=True)
    for number, (own, own_bias) in enumerate(arrays):
        if not (np.isfinite(own).all() and np.isfinite(own_bias).all()):
            last = number == len(architecture.layers)
            name = "the readout" if last else f"layer {number + 1}"
            kept = f"; the checkpoint after epoch {epoch} is kept" if epoch else ""
            raise Divergence(
                f"the weights of {name} are no longer finite after update {batch + 1} of epoch {epoch + 1}: lower "
                f"training.rates ({number + 1}. value) or network.scales{kept}"
            )


class _Clock:
    """Speed and time left, of this process's updates alone."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.begin = self.last = time.monotonic()
        self.first = self._updates(run.state)

    def _updates(self, state: State) -> int:
        return state.epoch * self.run.batches + int(state.batch)

    def tick(self, state: State, report: Callable[[Progress], None]) -> None:
        if time.monotonic() - self.last >= SECONDS_BETWEEN_REPORTS:
            self.last = time.monotonic()
            report(self.progress(state))

    def wall(self, state: State) -> dict[str, float]:
        """Seconds so far, epochs' ends and compiling included, and the updates done in them; a resumed run counts from there."""
        return {"seconds": time.monotonic() - self.begin, "updates": self._updates(state) - self.first}

    def progress(self, state: State) -> Progress:
        seconds, done = time.monotonic() - self.begin, self._updates(state) - self.first
        training, total = self.run.experiment.training, len(self.run.data.train.labels)
        left = training.epochs * self.run.batches - self._updates(state)
        if state.batch:
            means = state.sums / min(int(state.batch) * training.batch, total)
        else:
            means = np.array([state.train_cost[-1], state.train_error[-1], *state.rates[-1]])
        return Progress(
            state.epoch, training.epochs, int(state.batch) / self.run.batches, float(means[0]), float(means[1]),
            tuple(means[2:].tolist()), 1 - float(state.validation_accuracy[-1]) if state.epoch else None,
            done * training.batch / max(seconds, 1e-9), seconds / max(done, 1) * left,
        )  # fmt: skip


def _record(run: Run, state: State, clock: _Clock) -> dict[str, Any]:
    network, data = run.network(state), run.data
    metrics = {
        "test_accuracy": accuracy(_hits(run, network, data.test)),
        "validation_accuracy": accuracy(_hits(run, network, data.validation)),
    }
    if run.experiment.spikes:
        metrics["test_accuracy_mean_field"] = accuracy(_hits(run, network, data.test, mean_field=True))
    _write_weights(run.folder / "weights.npz", network)
    document = {
        **provenance(),
        "name": run.experiment.name,
        "seed": run.seed,
        "train_images": len(data.train.labels),
        "config": msgspec.to_builtins(run.experiment),
        "config_hash": fingerprint(run.experiment),
        "dtype": run.experiment.network.dtype,
        "metrics": metrics,
        "wall": clock.wall(state),
        "curves": {
            name: getattr(state, name).tolist()
            for name in ("train_cost", "train_error", "validation_accuracy", "rates", "norms", "first_costs")
        }
        | dict(zip(Stability._fields, state.stability.T.tolist(), strict=True)),
    }
    write_json(run.folder / "result.json", document)
    return document


def _hits(run: Run, network: Network, images: Images, *, mean_field: bool = False) -> NDArray[np.bool_]:
    """Whether the most active output is the label, (n,); leaky spikes where the rule spikes, unless mean_field."""
    inference, spikes = run.experiment.inference, run.experiment.spikes and not mean_field
    hits = np.empty(len(images.labels), dtype=bool)
    for first in range(0, hits.size, INFERENCE_BATCH):
        chosen = np.arange(first, min(first + INFERENCE_BATCH, hits.size))
        spiking = Spiking(run.seed, STREAM_INFERENCE, images.indices[chosen]) if spikes else None
        answered = network.infer(
            run.images(images, chosen), steps=inference.steps, window=inference.window, spiking=spiking
        )
        hits[chosen] = answered.argmax(axis=1) == images.labels[chosen]
    return hits


def recorded(folder: Path, data_dir: Path | None = None) -> tuple[Run, Network]:
    """A finished run and its network, from result.json and weights.npz; ValueError names what is missing or does not fit."""
    try:
        document = msgspec.json.decode((folder / "result.json").read_bytes())
        experiment = msgspec.convert(document["config"], Experiment)
        with np.load(io.BytesIO((folder / "weights.npz").read_bytes()), allow_pickle=False) as archive:
            arrays = dict(archive)
    except OSError as error:
        raise ValueError(
            f"{folder} holds no finished run: {Path(str(error.filename)).name} cannot be read ({error.strerror}); stochep train "
            "makes one"
        ) from error
    except (KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{folder} holds no run of this version: {error}; run stochep train again") from error
    (run,) = _runs(msgspec.structs.replace(experiment, seeds=(document["seed"],)), folder.parent.parent, data_dir)
    architecture, dtype = run.architecture, np.dtype(experiment.network.dtype)
    names = [f"{kind}_{n}" for kind in ("weights", "bias") for n in range(len(architecture.weight_shapes))]
    shapes = [*architecture.weight_shapes, *((size,) for size in architecture.bias_sizes)]
    if list(arrays) != names or [array.shape for array in arrays.values()] != shapes:
        found = {name: array.shape for name, array in arrays.items()}
        raise ValueError(f"{folder / 'weights.npz'} must hold {dict(zip(names, shapes, strict=True))}, found {found}")
    flat = [arrays[name].ravel().astype(dtype) for name in names]
    half = len(architecture.weight_shapes)
    state = replace(run.state, weights=np.concatenate(flat[:half]), bias=np.concatenate(flat[half:]))
    run = replace(run, state=state, folder=folder)
    return run, run.network(replace(state, batch=np.array(run.batches * experiment.training.epochs)))


def accuracy(hits: NDArray[np.bool_]) -> dict[str, float]:
    """The fraction of hits with its Wilson interval at 95 %: {value, n, low, high}."""
    interval = binomtest(int(hits.sum()), hits.size).proportion_ci(CONFIDENCE, method="wilson")
    return {"value": float(hits.mean()), "n": hits.size, "low": float(interval.low), "high": float(interval.high)}


def _write_weights(path: Path, network: Network) -> None:
    """weights_0, weights_1, … and bias_0, bias_1, …, one a layer, the readout's last, float32."""
    architecture = network.architecture
    arrays = {f"weights_{n}": own for n, own in enumerate(architecture.arrays(network.weights))}
    arrays |= {f"bias_{n}": own for n, own in enumerate(architecture.bias_arrays(network.bias))}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: array.astype(np.float32) for name, array in arrays.items()})
    write_atomically(path, buffer.getvalue())
