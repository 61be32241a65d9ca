"""The event streams follow their stated rule, image by image."""

import math

import numpy as np
import pytest

from dynamics.datasets import saccades
from dynamics.philox import to_unit, words

pytestmark = pytest.mark.exact


def by_hand(image, angle, *, count, amplitude, contrast):
    """The rule as it is stated, in plain Python."""
    side = image.shape[0]
    corners = [
        amplitude * np.array([math.sin(angle + turn), math.cos(angle + turn)])
        for turn in np.arange(4) * 2 * math.pi / 3
    ]

    def level(share):
        leg = int(3 * share)
        part = 3 * share - leg
        down, right = (1 - part) * corners[leg] + part * corners[leg + 1]
        total = np.zeros((side, side))
        for y in range(side):
            for x in range(side):
                for row in range(side):
                    for column in range(side):
                        near = max(0.0, 1 - abs(y - down - row)) * max(0.0, 1 - abs(x - right - column))
                        total[y, x] += near * image[row, column] / 255
        return np.log(total + 0.1)

    reference, frames = level(0.0), []
    for step in range(1, count + 1):
        now, frame = level(step / (count + 1)), np.zeros((side, side, 2), dtype=np.uint8)
        for place in np.ndindex(side, side):
            while now[place] - reference[place] >= contrast:
                reference[place] += contrast
                frame[(*place, 0)] = 1
            while now[place] - reference[place] <= -contrast:
                reference[place] -= contrast
                frame[(*place, 1)] = 1
        frames.append(frame.ravel())
    return np.array(frames)


@pytest.mark.parametrize("seed", [0, 1])
def test_frames_are_those_of_the_stated_rule(seed):
    image = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    options = {"count": 7, "amplitude": 1.3, "contrast": 0.4}
    angle = 2 * math.pi * to_unit(words(seed, saccades.STREAM_SACCADES, 0, 0, 11)[0])
    found = saccades.frames(image.reshape(1, -1), np.array([11]), width=6, seed=seed, **options)
    assert (found[0] == by_hand(image, angle, **options)).all()
    assert 0 < found.mean() < 0.5


def test_a_stream_depends_on_its_image_its_number_and_the_seed_alone():
    images = np.random.default_rng(0).integers(0, 256, (3, 64), dtype=np.uint8)
    numbers = np.array([4, 9, 2])
    together = saccades.frames(images, numbers, width=8, seed=5)
    assert together.shape == (3, saccades.FRAMES, 128)
    for one in range(3):
        assert (saccades.frames(images[[one]], numbers[[one]], width=8, seed=5)[0] == together[one]).all()
    assert (saccades.frames(images, numbers, width=8, seed=6) != together).any()
    assert (saccades.frames(images, numbers[::-1].copy(), width=8, seed=5) != together).any()


def test_nothing_moves_where_there_is_nothing_to_see():
    blank = np.zeros((1, 64), dtype=np.uint8)
    assert not saccades.frames(blank, np.array([0]), width=8, seed=0).any()
    image = np.full((1, 64), 255, dtype=np.uint8)
    edges = saccades.frames(image, np.array([0]), width=8, seed=0).reshape(-1, 8, 8, 2)
    assert edges.any()
    assert not edges[:, 3:5, 3:5].any()
    assert not saccades.frames(image, np.array([0]), width=8, seed=0, amplitude=0.0).any()
