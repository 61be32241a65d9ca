"""C10's small nets follow Gibbs' law, and its quadratic loss attains the bound."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics import exact_gradient, exact_law
from meanfield import Model, QuadraticCost
from proofs_numeric.claims.learning import SmallNet, _quadratic

pytestmark = pytest.mark.exact


def stacked(model: Model) -> np.ndarray:
    return np.concatenate([model.bias, model.couplings[np.triu_indices(model.size, 1)]])[None, :]


@pytest.mark.parametrize("size", [1, 2])
def test_the_small_net_has_the_law_the_loss_and_the_gradient_of_enumeration(network, size):
    for seed in range(5):
        model, cost = network(size, 0.8, 0.5, seed, norm="spectral"), QuadraticCost([size - 1], [0.2])
        net, parameters = SmallNet.of(model, cost), stacked(model)
        law, exact = exact_law(model, cost=cost, nudging=0.7), exact_gradient(model, cost)
        np.testing.assert_allclose(net.law(parameters, 0.7)[0], law.probabilities, atol=1e-12)
        loss = exact_law(model).probabilities @ net.costs
        assert net.loss(parameters)[0] == pytest.approx(loss)
        expected = np.concatenate([exact.bias, exact.couplings[np.triu_indices(size, 1)]])
        np.testing.assert_allclose(net.gradient(parameters)[0], expected, atol=1e-12)


def test_the_estimate_has_the_mean_of_symmetric_propagation():
    model, cost = Model([[0, 1.0], [1.0, 0]], [0.3, -0.2], 0.8), QuadraticCost([1], [0.0])
    net = SmallNet.of(model, cost)
    values, chances = net.estimates(stacked(model), 0.5)
    assert chances.sum() == pytest.approx(1.0)
    laws = [exact_law(model, cost=cost, nudging=sign * 0.5).probabilities @ net.features for sign in (1, -1)]
    np.testing.assert_allclose((chances @ values)[0], -(laws[0] - laws[1]) / (2 * 0.5), atol=1e-12)


def test_the_quadratic_follows_its_own_simulation():
    rate, bias, spread, start, steps = 0.6, 0.3, 0.5, 1.5, 3
    # two-point noise ±spread: every trajectory
    paths = [(1.0, start)]
    total = 0.0
    for _ in range(steps):
        total += sum(weight * theta**2 for weight, theta in paths)
        paths = [
            (weight / 2, theta - rate * (theta + bias + sign * spread)) for weight, theta in paths for sign in (1, -1)
        ]
    measured, bound = _quadratic(rate, bias, spread, start, steps, None)
    assert measured == pytest.approx(total / steps)
    assert bound == pytest.approx(start**2 / (rate * steps) + rate * spread**2 + bias**2)


def test_the_bound_is_attained_by_long_runs_at_the_largest_rate():
    measured, bound = _quadratic(1.0, 0.4, 0.3, 0.0, 10_000, None)
    assert measured / bound == pytest.approx(1.0, abs=2e-4)
