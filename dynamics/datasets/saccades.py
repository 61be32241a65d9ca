"""A time-varying task: images seen through saccades, as ON and OFF events in frames (after N-MNIST: Orchard et al. 2015).

Main results: frames, Motion.

The image moves round an equilateral triangle of circumradius a, begun at an angle φ of its own, 1/(F + 1) of the way a step. What a
pixel sees at step t is ℓ_t = ln(I(x − d_t) + 0.1), I in [0, 1], bilinear between pixels, 0 outside. As in a dynamic
vision sensor each pixel holds a reference r, from r = ℓ_0: where ℓ_t − r ≥ c it gives an ON event, where ≤ −c an OFF
event, and r moves by c for each that fits. Where flat ground comes back, ℓ_t − r is a whole number of c: such ties count as
reached, to 10⁻⁹ of c, so that they do not hang on rounding. A frame has, for each pixel, 1 in channel 0 for ON events and 1 in
channel 1 for OFF events, however many.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dynamics.kernel import kernel
from dynamics.philox import to_unit, words

DARK, TIE = 0.1, 1e-9
STREAM_SACCADES = 48


class Motion(NamedTuple):
    """F frames, a third of a turn in each of three saccades; amplitude a in pixels; contrast c."""

    frames: int = 12
    amplitude: float = 2.0
    contrast: float = 0.3


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
def events(image, width, angle, amplitude, contrast, out):
    """Fill out (F, height · width · 2) with one image's frames of events; image (height · width,) of bytes."""
    steps, height = out.shape[0], image.shape[0] // width
    margin = math.ceil(amplitude) + 1
    canvas = np.zeros((height + 2 * margin, width + 2 * margin))
    canvas[margin : margin + height, margin : margin + width] = image.reshape(height, width) / 255.0
    # each pixel's r, and the brightness above and below which it gives an event
    reference, high, low = np.empty(image.shape[0]), np.empty(image.shape[0]), np.empty(image.shape[0])
    out[:] = 0
    for step in range(steps + 1):
        down, right = displacement(step / (steps + 1), angle, amplitude)
        top, left = math.floor(-down), math.floor(-right)
        below, beside = -down - top, -right - left
        for y in range(height):
            upper, lower = canvas[y + top + margin], canvas[y + top + margin + 1]
            for x in range(width):
                column, pixel = x + left + margin, y * width + x
                above = (1.0 - beside) * upper[column] + beside * upper[column + 1]
                under = (1.0 - beside) * lower[column] + beside * lower[column + 1]
                brightness = (1.0 - below) * above + below * under + DARK
                if step == 0:
                    reference[pixel] = math.log(brightness)
                elif low[pixel] < brightness < high[pixel]:
                    continue
                else:
                    change = math.log(brightness) - reference[pixel]
                    # one at least, however the logarithm rounds
                    count = max(1.0, math.floor(abs(change) / contrast + TIE))
                    reference[pixel] += math.copysign(count * contrast, change)
                    out[step - 1, 2 * pixel + (0 if change > 0.0 else 1)] = 1
                high[pixel] = math.exp(reference[pixel] + (1.0 - TIE) * contrast)
                low[pixel] = math.exp(reference[pixel] - (1.0 - TIE) * contrast)


@kernel(parallel=True)
def _all_events(images, width, seed, indices, amplitude, contrast, out):
    for image in prange(images.shape[0]):
        angle = 2.0 * math.pi * to_unit(words(seed, STREAM_SACCADES, 0, 0, indices[image])[0])
        events(images[image], width, angle, amplitude, contrast, out[image])


def frames(
    images: NDArray[np.uint8], indices: NDArray[np.int64], *, width: int, seed: int, motion: Motion
) -> NDArray[np.uint8]:
    """Frames (n, F, height · width · 2), ON and OFF last, of images (n, height · width) of bytes with these numbers.

    A pure function of (seed, index), the motion and the image, so that nothing need be kept.
    """
    out = np.empty((len(images), motion.frames, 2 * images.shape[1]), dtype=np.uint8)
    numbers = indices.astype(np.int64)
    _all_events(np.ascontiguousarray(images), width, seed, numbers, motion.amplitude, motion.contrast, out)
    return out
