"""The bounds in balls are the bounds in floats, and their hypotheses are decided."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from meanfield import Model
from meanfield import bounds as float_bounds
from meanfield.bounds import ranges
from proofs_numeric.balls import bounds
from proofs_numeric.balls.arithmetic import Undecided, exact, floats, precision

TOO_STRONG = Model([[0.0, 5.0], [5.0, 0.0]], [0.0, 0.0])


@pytest.fixture(params=range(6))
def model(network: Callable[..., Model], request: pytest.FixtureRequest) -> Model:
    return network(4, 0.8, 1.0 - request.param, request.param)


@pytest.mark.parametrize("name", ["covariance", "little_covariance", "gibbs_mean_error", "little_mean_error"])
def test_bounds_agree_with_floats(model: Model, name: str) -> None:
    with precision(128):
        np.testing.assert_allclose(floats(getattr(bounds, name)(model)), getattr(float_bounds, name)(model), rtol=1e-11)


def test_ranges_agree_with_floats(model: Model) -> None:
    np.testing.assert_allclose(floats(bounds.largest_slope(model)), ranges.largest_slope(model), rtol=1e-12)
    np.testing.assert_allclose(floats(bounds.largest_curvature(model)), ranges.largest_curvature(model), rtol=1e-12)
    np.testing.assert_allclose(floats(bounds.influence(model)), model.influence, rtol=1e-14)
    for balls, reference in zip(bounds.field_ranges(model), ranges.field_ranges(model), strict=True):
        np.testing.assert_allclose(floats(balls), reference, rtol=1e-12)


def test_gain_and_lowest_eigenvalue(model: Model) -> None:
    assert float(bounds.gain(model).mid()) == pytest.approx(model.gain, rel=1e-13)
    assert float(bounds.lowest_eigenvalue(model).mid()) == pytest.approx(-model.spectrum[0], rel=1e-13)
    assert bounds.lowest_eigenvalue(Model([[0.0]], [1.0])) == 0


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_leaky_bounds_agree_with_floats(model: Model, steps: int) -> None:
    spread, error = bounds.leaky_spread(model, leak=0.3, steps=steps)
    np.testing.assert_allclose(
        floats(spread), float_bounds.leaky_covariance_matrix(model, leak=0.3, steps=steps), rtol=1e-12
    )
    np.testing.assert_allclose(floats(error), float_bounds.leaky_mean_error(model, leak=0.3, steps=steps), rtol=1e-12)


def test_outside_the_hypotheses_the_balls_say_so() -> None:
    with pytest.raises(Undecided, match="κ_a < 1 is not certain"):
        bounds.mean_error(TOO_STRONG, exact(np.eye(2)))
    with pytest.raises(Undecided, match="ρ\\(C\\) < 1 is not certain"):
        bounds.spread_bound(exact([[0.0, 1.0], [1.0, 0.0]]), exact([0.25, 0.25]))
