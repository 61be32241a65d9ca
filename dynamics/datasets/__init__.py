"""The data sets that can be trained on, each split the same way: images in [0, 1], labels, and which is which.

Main results: load, describe, Images, Data, NAMES.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets import digits

NAMES = ("digits",)
# those whose images are streams of frames
STREAMS: tuple[str, ...] = ()


@dataclass(frozen=True)
class Images:
    """raw (n, inputs) in 0 … levels, channels last, labels (n,), and each image's index in the whole data set, (n,)."""

    raw: NDArray[np.uint8]
    levels: int
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]

    def batch(self, chosen: NDArray[np.integer] | slice) -> NDArray[np.float64]:
        """The chosen images in [0, 1], (chosen, inputs)."""
        return self.raw[chosen] / self.levels


@dataclass(frozen=True)
class Data:
    """Three disjoint parts of one data set: learn on `train`, choose on `validation`, report `test` once.

    shape: (channels, height, width) of an image.
    """

    train: Images
    validation: Images
    test: Images
    shape: tuple[int, int, int]
    classes: int
    total: int

    @property
    def inputs(self) -> int:
        """Pixels of an image, all channels."""
        return math.prod(self.shape)


def load(name: str, split_seed: int) -> Data:
    """The data set `name`, its stratified split drawn from `split_seed`; ValueError names what is not as expected."""
    if name not in NAMES:
        raise ValueError(f"data.name must be one of {', '.join(NAMES)}, got {name!r}")
    raw, labels = digits.read()
    parts = [
        Images(raw[part], digits.LEVELS, labels[part].astype(np.int64), part)
        for part in digits.split(labels, split_seed)
    ]
    return Data(*parts, shape=digits.SHAPE, classes=int(labels.max()) + 1, total=len(labels))


def describe(name: str) -> str:
    """One line: what the data set is, how it splits, where it comes from. Raises ValueError when it is damaged."""
    data = load(name, split_seed=0)
    sizes = " / ".join(f"{len(part.labels):,}" for part in (data.train, data.validation, data.test))
    return (
        f"{name}: {data.total:,} images of {data.inputs} pixels, {data.classes} classes, split {sizes}, in scikit-learn"
    )
