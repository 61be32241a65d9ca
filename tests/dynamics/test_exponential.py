"""The exponential that becomes vectors is the exponential, to a unit in the last place."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics.exponential import exponential
from dynamics.kernel import kernel

pytestmark = pytest.mark.exact


@kernel()
def _each(values, out):
    for i in range(values.shape[0]):
        out[i] = exponential(values[i])


def each(values: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    _each(values, out)
    return out


def test_exponential_is_right_to_the_last_place():
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.uniform(-708, 709, 50_000), generator.uniform(-1, 1, 50_000), [-708.0, 709.0]])
    exact = np.exp(values.astype(np.longdouble))
    assert np.abs(each(values) / exact - 1).max() < 2.3e-16
    assert each(np.array([0.0, -0.0])).tolist() == [1.0, 1.0]


def test_below_its_range_the_exponential_stays_at_its_least():
    least = each(np.array([-708.0, -709.0, -1e300, -np.inf]))
    assert least[0] == pytest.approx(np.exp(-708.0), rel=3e-16)
    assert (least == least[0]).all()
