"""A time-varying task: images seen through saccades, as ON and OFF events in frames (after N-MNIST: Orchard et al. 2015).

Main results: frames, FRAMES, SHAPE.

The image moves round an equilateral triangle of circumradius a, begun at an angle φ of its own, 1/(F + 1) of the way a step. What a
pixel sees at step t is ℓ_t = ln(I(x − d_t) + 0.1), I in [0, 1], bilinear between pixels, 0 outside. As in a dynamic
vision sensor each pixel holds a reference r, from r = ℓ_0: where ℓ_t − r ≥ c it gives an ON event, where ≤ −c an OFF
event, and r moves by c for each that fits. A frame has, for each pixel, 1 in channel 0 for ON events and 1 in channel 1
for OFF events, however many.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dynamics.kernel import kernel
from dynamics.philox import to_unit, words

# one third of a turn each: three saccades
FRAMES, AMPLITUDE, CONTRAST, DARK = 12, 2.0, 0.3, 0.1
STREAM_SACCADES = 48


@kernel()
def displacement(share, angle, amplitude):
    """Where the image is after a share in [0, 1) of its way round the triangle: (down, right) in pixels."""
    side = int(3.0 * share)
    along = 3.0 * share - side
    first, second = angle + 2.0 * math.pi * side / 3.0, angle + 2.0 * math.pi * (side + 1) / 3.0
    down = (1.0 - along) * math.sin(first) + along * math.sin(second)
    right = (1.0 - along) * math.cos(first) + along * math.cos(second)
    return amplitude * down, amplitude * right


@kernel()
def seen(image, width, y, x):
    """I at a place between pixels, bilinear, 0 outside; image (height · width,) of bytes."""
    height = image.shape[0] // width
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row in range(top, top + 2):
        for column in range(left, left + 2):
            if 0 <= row < height and 0 <= column < width:
                total += image[row * width + column] * (1.0 - abs(y - row)) * (1.0 - abs(x - column))
    return total / 255.0


@kernel()
def events(image, width, angle, amplitude, contrast, out):
    """Fill out (F, height · width · 2) with one image's frames of events."""
    steps, pixels = out.shape[0], image.shape[0]
    reference = np.empty(pixels)
    out[:] = 0
    for step in range(steps + 1):
        # back at the start, every pixel would be whole steps of the contrast from its reference: a tie, so it stops before
        down, right = displacement(step / (steps + 1), angle, amplitude)
        for pixel in range(pixels):
            y, x = pixel // width - down, pixel % width - right
            level = math.log(seen(image, width, y, x) + DARK)
            if step == 0:
                reference[pixel] = level
                continue
            count = math.floor(abs(level - reference[pixel]) / contrast)
            if count > 0:
                sign = 1.0 if level > reference[pixel] else -1.0
                reference[pixel] += sign * count * contrast
                out[step - 1, 2 * pixel + (0 if sign > 0.0 else 1)] = 1


@kernel(parallel=True)
def _all_events(images, width, seed, indices, amplitude, contrast, out):
    for image in prange(images.shape[0]):
        angle = 2.0 * math.pi * to_unit(words(seed, STREAM_SACCADES, 0, 0, indices[image])[0])
        events(images[image], width, angle, amplitude, contrast, out[image])


def frames(
    images: NDArray[np.uint8],
    indices: NDArray[np.int64],
    *,
    width: int,
    seed: int,
    count: int = FRAMES,
    amplitude: float = AMPLITUDE,
    contrast: float = CONTRAST,
) -> NDArray[np.uint8]:
    """Frames (n, count, height · width · 2), ON and OFF last, of images (n, height · width) of bytes with these numbers.

    A pure function of (seed, index) and the image, so that nothing need be kept.
    """
    out = np.empty((len(images), count, 2 * images.shape[1]), dtype=np.uint8)
    _all_events(np.ascontiguousarray(images), width, seed, indices.astype(np.int64), amplitude, contrast, out)
    return out
