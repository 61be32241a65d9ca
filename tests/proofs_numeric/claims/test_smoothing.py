"""The second response that D1 measures is the derivative of the susceptibility."""

from __future__ import annotations

import numpy as np
import pytest

from meanfield import Model, fixed_point, susceptibility
from proofs_numeric import CLAIMS
from proofs_numeric.claims.smoothing import _bilinear_norm, second_response

pytestmark = pytest.mark.exact


def response_at(model: Model, shift: np.ndarray) -> np.ndarray:
    moved = model.with_bias(model.bias + shift)
    return susceptibility(moved, fixed_point(moved, tolerance=1e-14, method="newton").value)


def test_the_second_response_is_the_slope_of_the_susceptibility(network):
    for seed in range(6):
        model, step = network(4, 0.6, 0.4, seed, norm="curvature"), 1e-4
        tensor = second_response(model, fixed_point(model, method="newton").value)
        for unit, direction in enumerate(step * np.eye(4)):
            slope = (response_at(model, direction) - response_at(model, -direction)) / (2 * step)
            np.testing.assert_allclose(tensor[:, :, unit], slope, atol=1e-7)


def test_the_bilinear_norm_of_a_rank_one_tensor_is_the_product_of_its_lengths():
    a, b = np.array([1.0, 2.0, 2.0]), np.array([3.0, 0.0, 4.0])
    assert _bilinear_norm(np.einsum("i,j,k->ijk", a, b, b), 0) == pytest.approx(3 * 5 * 5)


@pytest.mark.parametrize("temperature", [1e-6, 0.3])
def test_at_low_temperature_the_slope_vanishes_away_from_ties_and_not_at_them(temperature):
    free = {"size": 1, "gain": 0.5, "log_temperature": np.log(temperature), "shape": 11, "field": 0, "seed": 0}
    assert CLAIMS["D2"].evaluate({**free, "model": ([[0.0]], [1.0], temperature)}).verdict == "holds"
    tied = CLAIMS["D2"].evaluate({**free, "model": ([[0.0]], [0.0], temperature)})
    assert tied.tightness == pytest.approx(1.0)
