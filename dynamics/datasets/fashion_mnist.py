"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747): 60,000 and 10,000 images of clothes, 28 × 28, 10 classes."""

from __future__ import annotations

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
# SHA-256 of the four files, in the order of idx.FILES, unpacked: what zcat FILE | sha256sum prints
FINGERPRINTS = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)


def read(data_dir: Path | None = None) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(images (n, 784) in 0 … 255, labels (n,)) for training and test; ValueError when they are not the published ones."""
    return idx.load(NAME, data_dir, SYSTEM, REMEDY, FINGERPRINTS)
