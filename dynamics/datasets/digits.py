"""scikit-learn's handwritten digits: 1,797 real images of 8 × 8 pixels in 17 grey levels, shipped inside it."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

LEVELS = 16
SHAPE = (1, 8, 8)
IMAGES, CLASSES = 1797, 10
TEST, VALIDATION = 540, 180
# of the labels' and then the pixels' bytes, each as uint8: the same images give the same splits, hence the same results
FINGERPRINT = "e1d88a0854e29e01d16358d2cd026aa8fc20dfc4cdb3fce004300857ea82aa70"


def read() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (1797, 64) in 0…16 and labels (1797,); ValueError when they are not the images behind the results."""
    # scikit-learn takes most of a second to import, as much as all of this package
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels, labels = bunch.data.astype(np.uint8), bunch.target.astype(np.uint8)
    found = hashlib.sha256(labels.tobytes() + pixels.tobytes()).hexdigest()
    if pixels.shape != (IMAGES, 64) or found != FINGERPRINT:
        raise ValueError(
            f"scikit-learn's digits have shape {pixels.shape} and fingerprint {found[:12]}, "
            f"expected {(IMAGES, 64)} and {FINGERPRINT[:12]}: reinstall scikit-learn"
        )
    return pixels, labels


def split(labels: NDArray[np.uint8], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices of 1,077 training, 180 validation and 540 test images, each with every class in its proportion."""
    rest, test = _stratified(np.arange(IMAGES), labels, TEST, seed)
    train, validation = _stratified(rest, labels, VALIDATION, seed)
    return train, validation, test


def _stratified(
    indices: NDArray[np.int64], labels: NDArray[np.uint8], held_out: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    kept, held = train_test_split(indices, test_size=held_out, random_state=seed, stratify=labels[indices])
    return np.asarray(kept), np.asarray(held)
