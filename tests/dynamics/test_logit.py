"""Thresholds in float64 are right to the last places, in float32 to what the heat bath allows them."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics.logit import logit, rough_logit

pytestmark = pytest.mark.exact


def test_logit_is_right_to_the_last_places():
    generator = np.random.default_rng(0)
    middle, last = 1 << 31, (1 << 32) - 1
    cells = np.concatenate(
        [
            np.arange(1000),
            np.arange(middle - 1000, middle + 1000),
            np.arange(last - 1000, last + 1),
            generator.integers(0, last, 20_000),
            (2.0**32 * generator.uniform(size=20_000) ** 8).astype(int),
        ]
    )
    uniform = (cells + 0.5) / 2**32
    precise = uniform.astype(np.longdouble)
    exact = np.where(abs(precise - 0.5) < 0.1, 2 * np.arctanh(2 * precise - 1), np.log(precise / (1 - precise)))
    found = np.array([logit(u) for u in uniform])
    assert np.abs(found / exact - 1).max() < 4e-16
    rough = np.array([rough_logit(cell) for cell in cells.astype(np.uint32)])
    error = np.abs(rough - exact)
    assert error.max() < 2.1e-6
    # the part of a window that is for thresholds, a temperature's rounding and a product's included
    assert (error + 2 * 2.0**-24 * np.abs(exact)).max() < 2.0**-17
