"""The IDX format of MNIST and Fashion-MNIST: a magic number, the sizes, then bytes (yann.lecun.com/exdb/mnist).

Main results: read, load, digest.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets.files import find
from dynamics.reading import contents

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHAPE, CLASSES, LEVELS = (1, 28, 28), 10, 255
# of one file: 70,000 images and a header
MOST_BYTES = 70_000 * 784 + 16
UNSIGNED_BYTE = 0x08


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes with so many dimensions; ValueError names file, expected and found."""
    raw = contents(path, MOST_BYTES)
    head = 4 + 4 * dimensions
    magic = raw[:4]
    if magic != bytes([0, 0, UNSIGNED_BYTE, dimensions]):
        raise ValueError(
            f"{path} is no IDX file of {dimensions}-dimensional bytes: expected it to begin with "
            f"0000{UNSIGNED_BYTE:02x}{dimensions:02x}, found {magic.hex() or 'nothing'}"
        )
    if len(raw) < head:
        raise ValueError(f"{path} ends within its header: expected {head} bytes at least, found {len(raw)}")
    shape = struct.unpack(f">{dimensions}I", raw[4:head])
    expected = head + int(np.prod([float(side) for side in shape]))
    if len(raw) != expected:
        raise ValueError(f"{path} says shape {shape}, which takes {expected:,} bytes: found {len(raw):,}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def digest(array: NDArray[np.uint8]) -> str:
    """SHA-256 of the unpacked file that holds this array."""
    head = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def load(
    name: str, data_dir: Path | None, system: Sequence[Path], remedy: str, fingerprints: Sequence[str] | None = None
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(images (n, 784), labels (n,)) of the training and of the test files; ValueError when a fingerprint differs."""
    paths = find(name, FILES, data_dir, system, remedy)
    arrays = [read(path, dimensions) for path, dimensions in zip(paths, (3, 1, 3, 1), strict=True)]
    pairs = [_pair(paths[k], arrays[k], paths[k + 1], arrays[k + 1]) for k in (0, 2)]
    for path, array, expected in zip(paths, arrays, fingerprints or (), strict=fingerprints is not None):
        if (found := digest(array)) != expected:
            raise ValueError(
                f"{path} is not {name}'s: expected SHA-256 {expected[:12]}… (unpacked), found {found[:12]}…; if it belongs to "
                f"another data set, put each into a folder of its name in --data-dir"
            )
    return pairs


def _pair(
    images_path: Path, images: NDArray[np.uint8], labels_path: Path, labels: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if images.shape[1:] != SHAPE[1:]:
        raise ValueError(f"{images_path} holds images of {images.shape[1:]} pixels, expected {SHAPE[1:]}")
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images):,} images, but {labels_path} {len(labels):,} labels")
    if len(labels) == 0 or labels.max() >= CLASSES:
        found = "none" if len(labels) == 0 else f"label {labels.max()}"
        raise ValueError(f"{labels_path} must hold labels 0 to {CLASSES - 1}, found {found}")
    return images.reshape(len(images), -1), labels
