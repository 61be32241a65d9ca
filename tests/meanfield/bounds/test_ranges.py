"""The extremes of σ and its derivatives over a unit's fields, against a fine grid of these fields."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from dynamics.enumeration import all_states
from meanfield import Model
from meanfield.bounds import ranges
from meanfield.bounds.ranges import (
    field_ranges,
    largest_curvature,
    largest_derivatives,
    largest_slope,
    largest_third,
)
from meanfield.equations import firing_curvature, firing_fourth, firing_slope, firing_third

pytestmark = pytest.mark.exact
SEEDS, SIZES, GAINS = st.integers(0, 2**31 - 1), st.integers(1, 5), st.floats(0.0, 3.0)


@pytest.mark.parametrize(
    ("extreme", "derivative"),
    [
        (ranges.largest_slope, firing_slope),
        (ranges.largest_curvature, firing_curvature),
        (ranges.largest_third, firing_third),
        (ranges.largest_fourth, firing_fourth),
    ],
)
@given(size=SIZES, gain=GAINS, seed=SEEDS, log_temperature=st.floats(-3, 3))
def test_extremes_are_the_largest_values_on_the_fields_range(
    network, extreme, derivative, size, gain, seed, log_temperature
):
    model = network(size, gain, log_temperature, seed)
    fields = model.local_field(all_states(size)) / model.temperature
    grid = np.linspace(fields.min(axis=0), fields.max(axis=0), 4001)
    largest = np.abs(derivative(expit(grid), 1.0)).max(axis=0)
    stated = extreme(model)
    assert (stated >= largest * (1 - 1e-12)).all()
    width = (fields.max(axis=0) - fields.min(axis=0)) / 4000
    assert (stated <= largest + width).all()


@pytest.mark.parametrize("derivative", [firing_third, firing_fourth])
def test_between_their_peaks_third_and_fourth_derivatives_are_monotone(derivative):
    peaks = {firing_third: (0.0, ranges.THIRD_PEAK), firing_fourth: ranges.FOURTH_PEAKS}[derivative]
    for peak in peaks:
        value, beside = (np.abs(derivative(expit(np.array(x)), 1.0)) for x in (peak, [peak - 1e-3, peak + 1e-3]))
        assert (beside < value).all()


@given(size=SIZES, gain=GAINS, seed=SEEDS)
def test_influence_is_the_largest_change_that_one_spike_can_make(network, size, gain, seed):
    model = network(size, gain, 0.0, seed)
    influence = ranges.largest_influence(model)
    states = all_states(size)
    index = np.arange(len(states))
    probability = expit(model.local_field(states) / model.temperature)
    for j in range(size):
        change = np.abs(probability[index ^ (1 << j)] - probability).max(axis=0)
        assert (influence[:, j] >= change - 1e-12).all()
    assert (influence <= np.tanh(np.abs(model.couplings) / (4 * model.temperature)) + 1e-12).all()


def test_influence_of_a_pair_is_the_step_between_its_two_fields():
    model = Model([[0.0, 3.0], [3.0, 0.0]], [0.5, -1.5], 1.0)
    steps = [expit(3.5) - expit(0.5), expit(1.5) - expit(-1.5)]
    np.testing.assert_allclose(ranges.largest_influence(model), [[0, steps[0]], [steps[1], 0]], rtol=1e-14)
    assert math.isclose(steps[1], math.tanh(3 / 4))


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
