"""MNIST (LeCun, Bottou, Bengio, Haffner 1998): 60,000 and 10,000 handwritten digits, 28 × 28, in the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets import fashion_mnist, idx

NAME = "mnist"
REMEDY = f"put {', '.join(idx.FILES)} (plain or .gz) into a folder and name it by --data-dir"


def read(data_dir: Path | None = None) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(images (n, 784) in 0 … 255, labels (n,)) for training and test; ValueError when they are Fashion-MNIST's."""
    parts = idx.load(NAME, data_dir, [], REMEDY)
    # the two sets' files have the same names and sizes; labels tell them apart
    if idx.digest(parts[0][1]) == fashion_mnist.FINGERPRINTS[1]:
        raise ValueError(f"{idx.FILES[1]} in {data_dir or 'the cache'} is Fashion-MNIST's, expected MNIST's: {REMEDY}")
    return parts
