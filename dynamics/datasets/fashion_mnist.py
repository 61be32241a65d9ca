"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747): 60,000 and 10,000 images of clothes, 28 × 28, 10 classes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets import idx

NAME = "fashion_mnist"
SYSTEM = [Path("/usr/share/datasets/fashion-mnist")]
REMEDY = (
    "install Debian's package with apt-get install dataset-fashion-mnist, or name a folder with its four files by --data-dir; "
    "experiments/digits_*.toml need no data"
)
# of the training images' bytes, then the labels', then the test set's
FINGERPRINT = "ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f"


def read(data_dir: Path | None = None) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(images (n, 784) in 0 … 255, labels (n,)) for training and test; ValueError when they are not the published ones."""
    parts = list(idx.load(NAME, data_dir, SYSTEM, REMEDY))
    found = hashlib.sha256(b"".join(array.tobytes() for part in parts for array in part)).hexdigest()
    if found != FINGERPRINT:
        raise ValueError(f"{NAME} has fingerprint {found[:12]}, expected {FINGERPRINT[:12]}: {REMEDY}")
    return parts
