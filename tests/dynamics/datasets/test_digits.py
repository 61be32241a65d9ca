"""The split of the digits is the one that results name."""

import numpy as np
import pytest

from dynamics.datasets import digits, load


def test_the_split_is_stratified_disjoint_and_complete():
    data = load("digits", 0)
    parts = (data.train, data.validation, data.test)
    assert [len(part.labels) for part in parts] == [1077, 180, 540]
    assert (np.sort(np.concatenate([part.indices for part in parts])) == np.arange(1797)).all()
    _, labels = digits.read()
    whole = np.bincount(labels) / 1797
    for part in parts:
        # rounding moves a class by at most one image
        assert (np.abs(np.bincount(part.labels) - whole * len(part.labels)) < 1 + 1e-9).all()


def test_pixels_are_rates_and_belong_to_their_indices():
    data, (raw, labels) = load("digits", 0), digits.read()
    pixels = data.train.batch(slice(None))
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)
    assert (data.test.batch(np.arange(540)) * 16 == raw[data.test.indices]).all()
    assert (data.test.batch(np.array([3, 1])) == data.test.batch(slice(None))[[3, 1]]).all()
    assert (data.test.labels == labels[data.test.indices]).all()


def test_another_seed_is_another_split():
    assert (load("digits", 0).test.indices != load("digits", 1).test.indices).any()


def test_an_unknown_set_is_refused_by_name():
    with pytest.raises(ValueError, match=r"must be one of digits, fashion_mnist, mnist, .* got 'mnits'"):
        load("mnits", 0)


def test_changed_images_are_refused(monkeypatch):
    monkeypatch.setattr(digits, "FINGERPRINT", "0" * 64)
    with pytest.raises(ValueError, match=r"expected .* 000000000000: reinstall scikit-learn"):
        digits.read()
