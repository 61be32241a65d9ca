"""Augmented images follow their stated rule, pixel by pixel, and every choice of it comes up."""

import numpy as np
import pytest

from dynamics.datasets import Augmentation, augmented
from dynamics.datasets.augmentation import STREAM_AUGMENTATION
from dynamics.philox import words

pytestmark = pytest.mark.exact


def by_hand(image, number, seed, flip, shift):
    """The rule as it is stated, with padding and slices."""
    drawn = words(seed, STREAM_AUGMENTATION, 0, 0, number)
    if flip and drawn[0] % 2 == 1:
        image = image[:, ::-1]
    down, right = (int(word % (2 * shift + 1)) for word in drawn[1:3])
    height, width = image.shape[:2]
    padded = np.pad(image, ((2 * shift, 2 * shift), (2 * shift, 2 * shift), (0, 0)))
    moved = padded[2 * shift - (down - shift) :, 2 * shift - (right - shift) :]
    return moved[:height, :width], (drawn[0] % 2, down, right)


@pytest.mark.parametrize(("flip", "shift"), [(False, 0), (True, 0), (False, 2), (True, 1), (True, 3)])
def test_images_are_those_of_the_stated_rule(flip, shift):
    generator, numbers = np.random.default_rng(shift), np.arange(5, 405)
    images = generator.integers(1, 256, (len(numbers), 4, 6, 2), dtype=np.uint8)
    given = images.reshape(len(numbers), -1)
    found = augmented(given, numbers, size=(4, 6), seed=3, augmentation=Augmentation(flip, shift))
    seen = set()
    for image, number, own in zip(images, numbers, found, strict=True):
        expected, choice = by_hand(image, number, 3, flip, shift)
        assert np.array_equal(own.reshape(4, 6, 2), expected)
        seen.add(choice)
    assert len({choice[1:] for choice in seen}) == (2 * shift + 1) ** 2
    assert len({choice[0] for choice in seen}) == 2
    assert np.array_equal(given, images.reshape(len(numbers), -1))


def test_an_image_depends_on_its_own_number_and_the_seed_alone():
    images = np.random.default_rng(0).integers(0, 256, (40, 25), dtype=np.uint8)
    numbers, options = np.arange(40), {"size": (5, 5), "augmentation": Augmentation(flip=True, shift=1)}
    whole = augmented(images, numbers, seed=1, **options)
    part = augmented(images[7:9], numbers[7:9], seed=1, **options)
    assert np.array_equal(whole[7:9], part)
    assert not np.array_equal(whole, augmented(images, numbers, seed=2, **options))
