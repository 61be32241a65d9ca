"""The bounds that the companions of the gradient claims evaluate themselves are those of meanfield.bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flint import arb

from meanfield import Model, QuadraticCost, bounds
from proofs_numeric.balls.arithmetic import floats
from proofs_numeric.balls.claims.gradients import best_strip, gradient_error

COST = QuadraticCost([2, 0], [0.3, 0.9])


@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_error_in_balls_is_that_in_floats(network: Callable[..., Model], seed: int) -> None:
    model = network(4, 0.7, 0.5, seed)
    couplings, bias = gradient_error(model, COST, 128)
    reference = bounds.gradient_error(model, COST)
    upper = np.triu_indices(4, 1)
    np.testing.assert_allclose(floats(couplings)[upper] / model.temperature, reference.couplings[upper], rtol=1e-10)
    np.testing.assert_allclose(floats(bias) / model.temperature, reference.bias, rtol=1e-10)


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("power", [1, 2])
def test_the_strip_in_balls_gives_nearly_the_best_closed_form(
    network: Callable[..., Model], cost_on: str, share: float, power: int
) -> None:
    model = network(4, 0.7, 0.5, 1, norm="row")
    strength = share * bounds.holomorphy_radius(model, COST, cost_on)
    radius, modulus = best_strip(model, COST, cost_on, strength, power)
    ratio = (arb(strength) / radius) ** power
    stated = float((modulus * modulus / radius * ratio / (1 - ratio)).mid())
    estimator = ("one-sided", "symmetric")[power - 1]
    reference = bounds.estimator_bias(model, COST, nudging=strength, estimator=estimator, cost_on=cost_on, order=0)
    assert reference <= stated * (1 + 1e-12)
    assert stated == pytest.approx(reference, rel=0.02)
