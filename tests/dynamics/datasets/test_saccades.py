"""The event streams follow their stated rule, image by image."""

import math

import numpy as np
import pytest

from dynamics.datasets import SOURCES, Motion, load, saccades
from dynamics.philox import to_unit, words

pytestmark = pytest.mark.exact


def by_hand(image, angle, *, frames, amplitude, contrast):
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

    reference, found = level(0.0), []
    for step in range(1, frames + 1):
        now, frame = level(step / (frames + 1)), np.zeros((side, side, 2), dtype=np.uint8)
        for place in np.ndindex(side, side):
            while now[place] - reference[place] >= contrast * (1 - 1e-9):
                reference[place] += contrast
                frame[(*place, 0)] = 1
            while now[place] - reference[place] <= -contrast * (1 - 1e-9):
                reference[place] -= contrast
                frame[(*place, 1)] = 1
        found.append(frame.ravel())
    return np.array(found)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_frames_are_those_of_the_stated_rule(seed):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (6, 6), dtype=np.uint8)
    if seed >= 2:
        # black or white, so that flat ground comes back and ties are met
        image = np.where(generator.random((6, 6)) < 0.3, 255, 0).astype(np.uint8)
    options = {"frames": 7, "amplitude": 1.3, "contrast": 0.4}
    angle = 2 * math.pi * to_unit(words(seed, saccades.STREAM_SACCADES, 0, 0, 11)[0])
    found = saccades.frames(image.reshape(1, -1), np.array([11]), width=6, seed=seed, motion=Motion(**options))
    assert (found[0] == by_hand(image, angle, **options)).all()
    assert 0 < found.mean() < 0.5


def test_a_stream_depends_on_its_image_its_number_and_the_seed_alone():
    images = np.random.default_rng(0).integers(0, 256, (3, 64), dtype=np.uint8)
    numbers = np.array([4, 9, 2])
    together = saccades.frames(images, numbers, width=8, seed=5, motion=Motion())
    assert together.shape == (3, Motion().frames, 128)
    for one in range(3):
        assert (
            saccades.frames(images[[one]], numbers[[one]], width=8, seed=5, motion=Motion())[0] == together[one]
        ).all()
    assert (saccades.frames(images, numbers, width=8, seed=6, motion=Motion()) != together).any()
    assert (saccades.frames(images, numbers[::-1].copy(), width=8, seed=5, motion=Motion()) != together).any()


def test_nothing_moves_where_there_is_nothing_to_see():
    blank = np.zeros((1, 64), dtype=np.uint8)
    assert not saccades.frames(blank, np.array([0]), width=8, seed=0, motion=Motion()).any()
    image = np.full((1, 64), 255, dtype=np.uint8)
    edges = saccades.frames(image, np.array([0]), width=8, seed=0, motion=Motion()).reshape(-1, 8, 8, 2)
    assert edges.any()
    assert not edges[:, 3:5, 3:5].any()
    assert not saccades.frames(image, np.array([0]), width=8, seed=0, motion=Motion(amplitude=0.0)).any()


def test_flat_ground_that_comes_back_ends_where_it_began():
    image = np.zeros((9, 9), dtype=np.uint8)
    image[4, 4] = 255
    motion = Motion(frames=60, contrast=0.05)
    # a tie each: as many changes up as down, whatever a rounding of 1e-12 in the contrast does
    found = [
        saccades.frames(image.reshape(1, -1), np.array([0]), width=9, seed=1, motion=motion._replace(contrast=contrast))
        for contrast in (0.05, 0.05 * (1 + 1e-12), 0.05 * (1 - 1e-12))
    ]
    assert found[0].any()
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_a_motion_is_asked_for_by_name_and_streams_are_made_when_they_are_wanted(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 784), dtype=np.uint8)
    labels = (np.arange(12) % 10).astype(np.uint8)
    source = SOURCES["saccades"]._replace(read=lambda folder: [(images[:8], labels[:8]), (images[8:], labels[8:])])
    monkeypatch.setitem(SOURCES, "saccades", source)
    motion = Motion(frames=5, amplitude=3.0, contrast=0.2)
    data = load("saccades", 7, validation_images=2, motion=motion)
    assert (data.shape, data.inputs, data.test.raw.shape) == ((2, 28, 28), 1568, (4, 784))
    for part, chosen in ((data.train, np.array([4, 1])), (data.test, np.array([3, 0]))):
        numbers = part.indices[chosen]
        expected = saccades.frames(images[numbers], numbers, width=28, seed=7, motion=motion)
        assert (part.frames(chosen) == expected).all()
        assert part.frames(chosen).shape == (2, 5, 1568)
    usual = load("saccades", 7, validation_images=2).test
    assert usual.frames(slice(0, 1)).shape == (1, Motion().frames, 1568)
