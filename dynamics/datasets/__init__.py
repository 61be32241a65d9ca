"""The data sets that can be trained on, each split the same way: images in [0, 1], labels, and which is which.

Main results: load, summary, one_line, Images, Data, Augmentation, Motion, NAMES, STREAMS, Missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets import cifar10, digits, dvs_gesture, fashion_mnist, idx, mnist, saccades
from dynamics.datasets.augmentation import Augmentation, augmented
from dynamics.datasets.files import Missing
from dynamics.datasets.saccades import Motion

__all__ = [
    "NAMES",
    "STREAMS",
    "Augmentation",
    "Data",
    "Images",
    "Missing",
    "Motion",
    "augmented",
    "load",
    "one_line",
    "summary",
]

# held out of the files' training images, unless asked otherwise
VALIDATION_IMAGES = 5_000

Pairs = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]


class Source(NamedTuple):
    """How a data set with files of its own is read, and what its images are; title and remedy for `describe`."""

    read: Callable[[Path | None], Pairs]
    shape: tuple[int, int, int]
    classes: int
    levels: int
    title: str
    remedy: str


_GESTURES = dvs_gesture.SIDE // dvs_gesture.FACTOR
SOURCES = {
    "fashion_mnist": Source(
        fashion_mnist.read, idx.SHAPE, idx.CLASSES, idx.LEVELS, "clothes (Xiao et al. 2017)", fashion_mnist.REMEDY
    ),
    "mnist": Source(
        mnist.read, idx.SHAPE, idx.CLASSES, idx.LEVELS, "handwritten digits (LeCun et al. 1998)", mnist.REMEDY
    ),
    "cifar10": Source(
        cifar10.read, cifar10.SHAPE, cifar10.CLASSES, cifar10.LEVELS, "colour images (Krizhevsky 2009)", cifar10.REMEDY
    ),
    "saccades": Source(
        fashion_mnist.read, (2, *idx.SHAPE[1:]), idx.CLASSES, idx.LEVELS,
        f"streams of {Motion().frames} frames of events, made here of fashion_mnist by saccades", fashion_mnist.REMEDY,
    ),
    "dvs_gesture": Source(
        dvs_gesture.read, (2, _GESTURES, _GESTURES), dvs_gesture.CLASSES, 1,
        f"streams of {dvs_gesture.FRAMES} frames of events of gestures (Amir et al. 2017)", dvs_gesture.REMEDY,
    ),
}  # fmt: skip
NAMES = ("digits", *SOURCES)
# those whose images are streams of frames
STREAMS = ("saccades", "dvs_gesture")


@dataclass(frozen=True)
class Images:
    """raw (n, inputs) in 0 … levels, channels last, labels (n,), and each image's index in the whole data set, (n,).

    Of a stream raw is (n, frames, inputs), or what `moved` turns into that from (raw, indices). size: height and width.
    """

    raw: NDArray[np.uint8]
    levels: int
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    size: tuple[int, int]
    moved: Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.uint8]] | None = None

    def batch(self, chosen: NDArray[np.integer] | slice) -> NDArray[np.float64]:
        """The chosen images in [0, 1], (chosen, inputs)."""
        return self.raw[chosen] / self.levels

    def frames(self, chosen: NDArray[np.integer] | slice) -> NDArray[np.uint8]:
        """The chosen streams, (chosen, frames, inputs) of 0 and 1."""
        raw = self.raw[chosen]
        return raw if self.moved is None else self.moved(raw, self.indices[chosen])

    def augmented(
        self, chosen: NDArray[np.integer], *, seed: int, numbers: NDArray[np.int64], augmentation: Augmentation
    ) -> Images:
        """The chosen images alone, each mirrored and moved as its number of presentation says, (chosen,)."""
        raw = augmented(self.raw[chosen], numbers, size=self.size, seed=seed, augmentation=augmentation)
        return replace(self, raw=raw, labels=self.labels[chosen], indices=self.indices[chosen])


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


def load(
    name: str,
    split_seed: int,
    *,
    train_images: int | None = None,
    validation_images: int | None = None,
    motion: Motion | None = None,
    data_dir: Path | None = None,
) -> Data:
    """The data set `name`, its split drawn from `split_seed`; ValueError names what is not as expected.

    The digits are split in fixed proportions, every class in its own. Elsewhere test is the files' own, and of their
    training images, in a random order, the first validation_images (5,000) validate and the next train_images (all the
    rest) train. The digits keep the first train_images of their training part. motion: of saccades alone, Motion() unless given.
    data_dir: a folder to look in first. Raises Missing (a ValueError) that says how to get what is nowhere.
    """
    if name not in NAMES:
        raise ValueError(f"data.name must be one of {', '.join(NAMES)}, got {name!r}")
    if motion is not None and name != "saccades":
        raise ValueError(
            f"data.motion is for data.name = 'saccades' alone, got {tuple(motion)} with {name!r}: leave it out"
        )
    if name == "digits":
        return _digits(split_seed, train_images, validation_images)
    source = SOURCES[name]
    (raw, labels), (test_raw, test_labels) = source.read(data_dir)
    held = VALIDATION_IMAGES if validation_images is None else validation_images
    wanted = len(labels) - held if train_images is None else train_images
    if min(wanted, held) < 1 or held + wanted > len(labels):
        raise ValueError(
            f"{name} has {len(labels):,} training images: data.train_images and data.validation_images must share them, got "
            f"{train_images} and {held:,}, at least one each"
        )
    order = np.random.default_rng([split_seed, len(labels)]).permutation(len(labels))
    moved = None
    if name == "saccades":
        moved = partial(saccades.frames, width=source.shape[2], seed=split_seed, motion=motion or Motion())

    def part(images: NDArray[np.uint8], own: NDArray[np.uint8], chosen: NDArray[np.int64], first: int) -> Images:
        return Images(
            images[chosen], source.levels, own[chosen].astype(np.int64), chosen + first, source.shape[1:], moved
        )  # fmt: skip

    return Data(
        part(raw, labels, order[held : held + wanted], 0),
        part(raw, labels, order[:held], 0),
        part(test_raw, test_labels, np.arange(len(test_labels)), len(labels)),
        source.shape,
        source.classes,
        len(labels) + len(test_labels),
    )


def _digits(split_seed: int, train_images: int | None, validation_images: int | None) -> Data:
    if validation_images not in (None, digits.VALIDATION):
        raise ValueError(
            f"data.validation_images of the digits is {digits.VALIDATION}, got {validation_images}: leave it out"
        )
    raw, labels = digits.read()
    parts = [part.astype(np.int64) for part in digits.split(labels, split_seed)]
    if train_images is not None:
        if not 1 <= train_images <= len(parts[0]):
            raise ValueError(f"data.train_images must be 1 to {len(parts[0]):,} for digits, got {train_images}")
        parts[0] = parts[0][:train_images]
    images = [Images(raw[part], digits.LEVELS, labels[part].astype(np.int64), part, digits.SHAPE[1:]) for part in parts]
    return Data(images[0], images[1], images[2], digits.SHAPE, digits.CLASSES, len(labels))


def summary(name: str, data_dir: Path | None = None) -> dict[str, Any]:
    """What the data set is, whether it is here, then its size and split, else how to get it. ValueError when it is damaged."""
    title = "handwritten, in scikit-learn" if name == "digits" else SOURCES[name].title
    try:
        data = load(name, split_seed=0, data_dir=data_dir)
    except Missing:
        source = SOURCES[name]
        return {"name": name, "title": title, "classes": source.classes, "here": False, "remedy": source.remedy}
    split = {part: len(getattr(data, part).labels) for part in ("train", "validation", "test")}
    return {
        "name": name, "title": title, "classes": data.classes, "here": True, "images": data.total, "pixels": data.inputs,
        "split": split,
    }  # fmt: skip


def one_line(told: dict[str, Any]) -> str:
    """What a summary says."""
    if not told["here"]:
        return "{name}: {title}, {classes} classes; not here: {remedy}".format(**told)
    sizes = " / ".join(f"{size:,}" for size in told["split"].values())
    return (
        f"{told['name']}: {told['images']:,} images of {told['pixels']:,} pixels, {told['classes']} classes, split {sizes}, "
        f"{told['title']}"
    )
