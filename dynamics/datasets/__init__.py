"""The data sets that can be trained on, each split the same way: images in [0, 1], labels, and which is which.

Main results: load, describe, Images, Data, NAMES.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets import digits

NAMES = ("digits",)


@dataclass(frozen=True)
class Images:
    """pixels (n, inputs) in [0, 1], labels (n,), and each image's index in the whole data set, (n,)."""

    pixels: NDArray[np.float64]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]

    def targets(self, classes: int) -> NDArray[np.float64]:
        """One-hot rows, (n, classes)."""
        return np.eye(classes)[self.labels]


@dataclass(frozen=True)
class Data:
    """Three disjoint parts of one data set: learn on `train`, choose on `validation`, report `test` once."""

    train: Images
    validation: Images
    test: Images
    inputs: int
    classes: int
    total: int


def load(name: str, split_seed: int) -> Data:
    """The data set `name`, its stratified split drawn from `split_seed`; ValueError names what is not as expected."""
    if name not in NAMES:
        raise ValueError(f"data.name must be one of {', '.join(NAMES)}, got {name!r}")
    raw, labels = digits.read()
    pixels = raw / digits.LEVELS
    parts = [Images(pixels[part], labels[part].astype(np.int64), part) for part in digits.split(labels, split_seed)]
    return Data(*parts, inputs=pixels.shape[1], classes=int(labels.max()) + 1, total=len(labels))


def describe(name: str) -> str:
    """One line: what the data set is, how it splits, where it comes from. Raises ValueError when it is damaged."""
    data = load(name, split_seed=0)
    sizes = " / ".join(f"{len(part.labels):,}" for part in (data.train, data.validation, data.test))
    return (
        f"{name}: {data.total:,} images of {data.inputs} pixels, {data.classes} classes, split {sizes}, in scikit-learn"
    )
