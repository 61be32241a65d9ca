"""Training images drawn anew each time they are shown: mirrored, and moved by a few pixels.

Main results: Augmentation, augmented.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dynamics.kernel import kernel
from dynamics.philox import words

STREAM_AUGMENTATION = 80


class Augmentation(NamedTuple):
    """flip: left and right change places in half of the images; shift: up to so many pixels down and right, all alike likely."""

    flip: bool = False
    shift: int = 0


@kernel(parallel=True)
def _draw(images, flip, shift, seed, numbers, out):
    """out (n, height, width, channels) = images, mirrored and moved as (seed, number) says, 0 where nothing comes in."""
    height, width, choices = images.shape[1], images.shape[2], np.uint32(2 * shift + 1)
    for image in prange(images.shape[0]):
        drawn = words(seed, STREAM_AUGMENTATION, 0, 0, numbers[image])
        mirrored = flip and drawn[0] & np.uint32(1) == np.uint32(1)
        down, right = np.int64(drawn[1] % choices) - shift, np.int64(drawn[2] % choices) - shift
        for y in range(max(down, 0), min(height + down, height)):
            for x in range(max(right, 0), min(width + right, width)):
                column = x - right
                out[image, y, x] = images[image, y - down, width - 1 - column if mirrored else column]


def augmented(
    images: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    *,
    size: tuple[int, int],
    seed: int,
    augmentation: Augmentation,
) -> NDArray[np.uint8]:
    """Images (n, height · width · channels) of this size, channels last, each as its number of presentation says; a new array.

    A pure function of (seed, number) and the image: no order, no thread and no resumed run changes what a net is shown.
    """
    shaped = np.ascontiguousarray(images).reshape(len(images), *size, -1)
    out = np.zeros_like(shaped)
    _draw(shaped, augmentation.flip, augmentation.shift, seed, numbers.astype(np.int64), out)
    return out.reshape(images.shape)
