"""Small true files in their true formats, and the command lines that read them."""

from __future__ import annotations

import gzip
import json
import struct
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import tomli_w

from dynamics.crnn import checkpoint
from dynamics.crnn.config import load
from dynamics.crnn.result import _write_weights
from dynamics.crnn.run import Run, prepare
from dynamics.datasets import cifar10, dvs_gesture, idx
from dynamics.provenance import SCHEMA_VERSION

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "digits_stochastic.toml"
TINY = (
    "name=tiny", "network.layers=[{kind='dense', units=4}, {kind='dense', units=10}]", "training.epochs=2", "rule.steps_free=4",
    "rule.steps_nudged=4", "rule.window=2", "inference.steps=4", "inference.window=2", "data.validation_images=2",
)  # fmt: skip
DIGITS = (*TINY[:-1], "seeds=[0]")
GESTURES = (*TINY[:-1], "data.validation_images=1", "network.layers=[{kind='dense', units=11}]", "network.scales=[1]",
            "training.rates=[1]", "input.coding='frames'")  # fmt: skip


def training(folder: Path, overrides: tuple[str, ...], name: str) -> list[str]:
    """The command line that trains on data in folder/data."""
    return [
        "train", str(EXPERIMENT), "--data-dir", str(folder / "data"), "--out", str(folder / "runs"), "--json",
        "--set", *overrides, f"data.name={name}",
    ]  # fmt: skip


def mnist(folder: Path, *, packed: bool = False) -> list[Path]:
    """Four IDX files of 6 and 3 images."""
    generator, files = np.random.default_rng(0), []
    folder.mkdir(parents=True)
    arrays = [
        part
        for count in (6, 3)
        for part in (
            generator.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            generator.integers(0, 10, count, dtype=np.uint8),
        )
    ]
    for name, array in zip(idx.FILES, arrays, strict=True):
        raw = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        files.append(folder / (f"{name}.gz" if packed else name))
        files[-1].write_bytes(gzip.compress(raw) if packed else raw)
    return files


def cifar(folder: Path, records: int) -> list[Path]:
    """Six batches of so many records."""
    generator = np.random.default_rng(1)
    folder.mkdir(parents=True)
    files = [folder / name for name in (*cifar10.TRAINING, *cifar10.TEST)]
    for file in files:
        batch = generator.integers(0, 256, (records, cifar10.RECORD), dtype=np.uint8)
        batch[:, 0] %= 10
        file.write_bytes(batch.tobytes())
    return files


def gestures(folder: Path) -> list[Path]:
    """Two recordings of two gestures each, their labels, and the two lists; every one of these files."""
    folder.mkdir(parents=True)
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"
    events = b"".join(struct.pack("<Ii", 1 | k % 2 << 1 | k << 2 | k << 17, 50_000 * k) for k in range(30))
    packet = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 15, 15, 15)
    for trials, user in zip(dvs_gesture.TRIALS, ("user01_led", "user24_led"), strict=True):
        (folder / trials).write_text(f"{user}.aedat\n")
        (folder / f"{user}.aedat").write_bytes(head + packet + events[:120] + packet + events[120:])
        (folder / f"{user}_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,0,600000\n11,500000,900000\n")
    return sorted(folder.iterdir())


def couplings(path: Path) -> Path:
    """Four coupled units."""
    half = np.triu(np.random.default_rng(2).normal(size=(4, 4)), 1)
    np.savez(
        path,
        couplings=half + half.T,
        bias=np.linspace(-0.5, 0.5, 4),
        outputs=np.array([3, 0]),
        target=np.array([1.0, 0.0]),
    )
    return path


def experiment(path: Path) -> Path:
    """A tiny experiment as TOML, every table in it."""
    document = msgspec.to_builtins(
        load(EXPERIMENT, [*DIGITS, "data.augmentation.shift=1", "training.anneal.share=0.5"])
    )
    path.write_text(tomli_w.dumps(_without_nothing(document)), encoding="utf-8")
    return path


def _without_nothing(tree: dict) -> dict:
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }


def run(out: Path) -> Run:
    """A prepared run of the tiny experiment."""
    (prepared,) = prepare(load(EXPERIMENT, DIGITS), out)
    return prepared


def saved(out: Path) -> Path:
    """The checkpoint of a run before its first update."""
    one = run(out)
    checkpoint.save(one.folder / "checkpoints", 0, 1, one.origin, asdict(one.state))
    return one.folder / "checkpoints" / "epoch-000000_000001.npz"


def finished(out: Path) -> tuple[Path, Path]:
    """result.json and weights.npz of a run that did not learn."""
    one = run(out)
    _write_weights(one.folder / "weights.npz", one.network(one.state))
    document = {
        "schema_version": SCHEMA_VERSION,
        "seed": 0,
        "config": msgspec.to_builtins(one.experiment),
        "metrics": {},
    }
    (one.folder / "result.json").write_text(json.dumps(document), encoding="utf-8")
    return one.folder / "result.json", one.folder / "weights.npz"
