"""Laws in balls hold the laws in floats, are laws, and obey the identities exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flint import arb

from dynamics.enumeration import exact_gradient, exact_law, leaky_law
from dynamics.phases import relax
from meanfield import Model, QuadraticCost
from meanfield.solve import free_energy as float_free_energy
from proofs_numeric.balls import models
from proofs_numeric.balls.arithmetic import exact, floats, precision, radius

COST = QuadraticCost([2, 0], [0.3, 1.0])


@pytest.fixture(params=[0, 1, 2])
def model(network: Callable[..., Model], request: pytest.FixtureRequest) -> Model:
    return network(4, 0.8, 0.7, request.param)


@pytest.mark.parametrize("dynamics", ["gibbs", "little"])
@pytest.mark.parametrize(("cost", "nudging"), [(None, 0.0), (COST, 0.6)])
def test_laws_agree_with_the_float_enumeration(model: Model, dynamics: str, cost, nudging: float) -> None:
    with precision(128):
        balls = models.law(model, dynamics=dynamics, cost=cost, nudging=nudging)
        reference = exact_law(model, dynamics=dynamics, cost=cost, nudging=nudging)
        np.testing.assert_allclose(floats(balls.mean), reference.mean, rtol=1e-13)
        np.testing.assert_allclose(floats(balls.covariance), reference.covariance, atol=1e-14)
        np.testing.assert_allclose(floats(balls.probabilities), reference.probabilities, rtol=1e-12)
        assert balls.probabilities.sum().contains(1)
        assert radius(balls.probabilities) < 1e-30


def test_the_log_partition_is_that_of_the_whole_nudged_energy(model: Model) -> None:
    states, strength = models.law(model).states, 0.6
    energies = model.energy(floats(states)) + strength * COST.on_spikes(floats(states))
    stated = models.law(model, cost=COST, nudging=strength).log_partition
    assert float(stated.mid()) == pytest.approx(np.log(np.exp(-energies / model.temperature).sum()), rel=1e-13)


def test_gradients_agree_with_the_float_enumeration(model: Model) -> None:
    couplings, bias = models.cost_gradient(model, COST)
    reference = exact_gradient(model, COST)
    np.testing.assert_allclose(floats(couplings), reference.couplings, atol=1e-14)
    np.testing.assert_allclose(floats(bias), reference.bias, atol=1e-14)
    assert all(ball.is_zero() for ball in np.diagonal(couplings))


def test_fields_energies_and_free_energies_agree_with_the_model(model: Model) -> None:
    balls, means = models.BallModel.of(model), np.array([0.0, 0.2, 1.0, 0.7])
    assert balls.size == 4
    np.testing.assert_allclose(floats(balls.scaled_field(exact(means))), model.local_field(means) / model.temperature)
    assert float(balls.energy(exact(means)).mid()) == pytest.approx(float(model.energy(means)), rel=1e-14)
    assert float(models.free_energy(balls, exact(means)).mid()) == pytest.approx(
        float_free_energy(model, means), rel=1e-14
    )


def test_product_laws_have_the_means_and_no_covariance() -> None:
    means = exact([0.1, 0.0, 0.75])
    law = models.product_law(means)
    assert law.log_partition == 0
    assert all(ball.contains(m) for ball, m in zip(law.mean, means, strict=True))
    off = law.covariance[~np.eye(3, dtype=bool)]
    assert all(ball.contains(0) for ball in off)
    assert law.expectation(law.states[:, 2]).contains(arb("0.75"))


def test_leaky_moments_agree_with_the_float_histories(model: Model) -> None:
    pair = Model(model.couplings[:2, :2], model.bias[:2], model.temperature)
    start = np.array([0.3, 0.8])
    paths, law = leaky_law(pair, leak=0.3, steps=3, start=start)
    rates = relax(pair, steps=3, leak=0.3, start=start)
    moments = list(models.leaky_moments(pair, leak=0.3, steps=3, start=exact(start)))
    assert len(moments) == 3
    for step, (mean, covariance, rate) in enumerate(moments, start=1):
        centred = paths[:, step] - law @ paths[:, step]
        np.testing.assert_allclose(floats(mean), law @ paths[:, step], rtol=1e-13)
        np.testing.assert_allclose(floats(covariance), (centred * law[:, None]).T @ centred, atol=1e-14)
        np.testing.assert_allclose(floats(rate), rates[step], rtol=1e-13)


def test_what_cannot_be_enumerated_is_refused() -> None:
    large = Model(np.zeros((9, 9)), np.zeros(9))
    with pytest.raises(ValueError, match="N ≤ 8, got N = 9"):
        models.law(large)
    with pytest.raises(ValueError, match="got 'glauber'"):
        models.law(Model([[0.0]], [0.0]), dynamics="glauber")
    pair = Model(np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="at most 4096, got N = 2 and steps = 7"):
        next(models.leaky_moments(pair, leak=0.5, steps=7, start=exact([0.5, 0.5])))
    assert next(models.leaky_moments(pair, leak=0.5, steps=6, start=exact([0.5, 0.5])))
