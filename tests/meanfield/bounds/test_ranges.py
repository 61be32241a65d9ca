"""The largest derivatives of σ over an interval of fields are those of a fine grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield.bounds.ranges import (
    field_ranges,
    largest_curvature,
    largest_derivatives,
    largest_slope,
    largest_third,
)

pytestmark = pytest.mark.exact


@given(low=st.floats(-8, 8), width=st.floats(0, 6))
def test_largest_derivatives_are_those_of_a_fine_grid(low, width):
    grid = 1 / (1 + np.exp(-np.linspace(low, low + width, 20_001)))
    variance, skewness = grid * (1 - grid), 1 - 2 * grid
    expected = [variance.max(), np.abs(variance * skewness).max(), np.abs(variance * (1 - 6 * variance)).max()]
    stated = largest_derivatives(np.array([low]), np.array([low + width]))
    np.testing.assert_allclose(np.ravel(stated), expected, rtol=1e-6)


def test_a_models_largest_derivatives_are_over_its_fields(network):
    model = network(5, 0.8, 0.5, 3)
    for stated, expected in zip(
        (largest_slope(model), largest_curvature(model), largest_third(model)),
        largest_derivatives(*field_ranges(model)),
        strict=True,
    ):
        assert np.array_equal(stated, expected)
