"""What a finished run leaves: result.json and weights.npz, written and read back.

Main results: record, recorded, hits, accuracy.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import scipy
from numpy.typing import NDArray

from dynamics.crnn.config import Experiment, check_together, fingerprint
from dynamics.crnn.network import STREAM_INFERENCE, Network, Spiking
from dynamics.crnn.predictive_coding import forward
from dynamics.crnn.run import INFERENCE_BATCH, Run, State, runs_at_start
from dynamics.crnn.stability import Stability
from dynamics.datasets import Images
from dynamics.provenance import SCHEMA_VERSION, provenance, write_atomically, write_json
from dynamics.reading import archive, contents
from dynamics.tables import Seed, check_numbers

CONFIDENCE = 0.95
# of a result.json, a thousand times what they take
MOST_BYTES = 16 * 2**20


class Finished(msgspec.Struct):
    """What is read of a result.json."""

    schema_version: int
    seed: Seed
    config: Experiment


def record(run: Run, state: State, wall: dict[str, float]) -> dict[str, Any]:
    """Test the network, write weights.npz and result.json into the run's folder; the latter's document.

    wall: seconds and updates done in them.
    """
    network, data = run.network(state), run.data
    metrics = {
        "test_accuracy": accuracy(hits(run, network, data.test)),
        "validation_accuracy": accuracy(hits(run, network, data.validation)),
    }
    if run.experiment.spikes:
        metrics["test_accuracy_mean_field"] = accuracy(hits(run, network, data.test, mean_field=True))
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
        "wall": wall,
        "curves": {
            name: getattr(state, name).tolist()
            for name in ("train_cost", "train_error", "validation_accuracy", "rates", "norms", "first_costs")
        }
        | dict(zip(Stability._fields, state.stability.T.tolist(), strict=True)),
    }
    write_json(run.folder / "result.json", document)
    return document


def hits(run: Run, network: Network, images: Images, *, mean_field: bool = False) -> NDArray[np.bool_]:
    """Whether the most active output is the label, (n,), after a relaxation, or a pass from below where the rule computes so.

    With leaky spikes where the rule spikes, unless mean_field.
    """
    inference, spikes = run.experiment.inference, run.experiment.spikes and not mean_field
    right = np.empty(len(images.labels), dtype=bool)
    for first in range(0, right.size, INFERENCE_BATCH):
        chosen = np.arange(first, min(first + INFERENCE_BATCH, right.size))
        spiking = Spiking(run.seed, STREAM_INFERENCE, images.indices[chosen]) if spikes else None
        shown = run.images(images, chosen)
        if run.experiment.from_below:
            answered = network.answers(forward(network, shown))
        else:
            answered = network.infer(shown, steps=inference.steps, window=inference.window, spiking=spiking)
        right[chosen] = answered.argmax(axis=1) == images.labels[chosen]
    return right


def recorded(folder: Path, data_dir: Path | None = None) -> tuple[Run, Network]:
    """A finished run and its network, from result.json and weights.npz; ValueError names what is missing or does not fit."""
    document = _finished(folder)
    experiment = document.config
    (run,) = runs_at_start(msgspec.structs.replace(experiment, seeds=(document.seed,)), folder.parent.parent, data_dir)
    architecture, dtype = run.architecture, np.dtype(experiment.network.dtype)
    file, names = (
        folder / "weights.npz",
        [f"{kind}_{n}" for kind in ("weights", "bias") for n in range(len(architecture.weight_shapes))],
    )
    shapes = [*architecture.weight_shapes, *((size,) for size in architecture.bias_sizes)]
    # twice float32, which is what is written
    arrays = archive(file, 8 * (architecture.weights + architecture.biases))
    if list(arrays) != names or [array.shape for array in arrays.values()] != shapes:
        found = {name: array.shape for name, array in arrays.items()}
        raise ValueError(f"{file} must hold {dict(zip(names, shapes, strict=True))}, found {found}")
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{file} must hold finite real numbers, in {name} it does not: run stochep train again")
    flat = [arrays[name].ravel().astype(dtype) for name in names]
    half = len(architecture.weight_shapes)
    state = replace(run.state, weights=np.concatenate(flat[:half]), bias=np.concatenate(flat[half:]))
    run = replace(run, state=state, folder=folder)
    return run, run.network(replace(state, batch=np.array(run.batches * experiment.training.epochs)))


def _finished(folder: Path) -> Finished:
    """A folder's result.json; ValueError says that there is none, or whose it is."""
    file = folder / "result.json"
    try:
        raw = contents(file, MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{folder} holds no finished run: {error}; stochep train makes one") from error
    try:
        document = msgspec.json.decode(raw, type=Finished)
        check_numbers(msgspec.to_builtins(document.config))
        check_together(document.config)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is of no run of this version: {error}; run stochep train again") from error
    if document.schema_version != SCHEMA_VERSION:
        raise ValueError(
            f"{file} is of schema version {document.schema_version}, this stochep reads {SCHEMA_VERSION}: run stochep train again"
        )
    return document


def accuracy(right: NDArray[np.bool_]) -> dict[str, float]:
    """The fraction of right answers with its Wilson interval at 95 %: {value, n, low, high}."""
    interval = scipy.stats.binomtest(int(right.sum()), right.size).proportion_ci(CONFIDENCE, method="wilson")
    return {"value": float(right.mean()), "n": right.size, "low": float(interval.low), "high": float(interval.high)}


def _write_weights(path: Path, network: Network) -> None:
    """weights_0, weights_1, … and bias_0, bias_1, …, one a layer, the readout's last, float32."""
    architecture = network.architecture
    arrays = {f"weights_{n}": own for n, own in enumerate(architecture.arrays(network.weights))}
    arrays |= {f"bias_{n}": own for n, own in enumerate(architecture.bias_arrays(network.bias))}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: array.astype(np.float32) for name, array in arrays.items()})
    write_atomically(path, buffer.getvalue())
