"""CIFAR-10 (Krizhevsky 2009), binary version: 50,000 and 10,000 colour images, 32 × 32, 10 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets.files import find
from dynamics.reading import contents

NAME = "cifar10"
SHAPE, CLASSES, LEVELS = (3, 32, 32), 10, 255
TRAINING = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST = ("test_batch.bin",)
# a record is a label and 1024 red, 1024 green, 1024 blue bytes, row by row
RECORD, RECORDS = 1 + 3072, 10_000
REMEDY = "put data_batch_1.bin … data_batch_5.bin and test_batch.bin of the binary version into a folder and name it by --data-dir"


def read(data_dir: Path | None = None) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(images (n, 3072), channels last, labels (n,)) for training and test."""
    parts = [_batch(path) for path in find(NAME, [*TRAINING, *TEST], data_dir, [], REMEDY)]
    training = tuple(np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True))
    return [(training[0], training[1]), parts[-1]]


def _batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    raw = contents(path, RECORDS * RECORD)
    if len(raw) != RECORDS * RECORD:
        raise ValueError(
            f"{path} must hold {RECORDS:,} records of {RECORD:,} bytes, {RECORDS * RECORD:,} in all, found {len(raw):,}"
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0]
    if labels.max() >= CLASSES:
        raise ValueError(f"{path} must hold labels 0 to {CLASSES - 1}, found {labels.max()}")
    images = records[:, 1:].reshape(-1, *SHAPE).transpose(0, 2, 3, 1).reshape(len(records), -1)
    return np.ascontiguousarray(images), labels.copy()
