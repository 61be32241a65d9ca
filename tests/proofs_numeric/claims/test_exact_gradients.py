"""The instances that the theorems on exact gradients name: what leaky traces break, and how little."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from dynamics import estimate_gradient, exact_equilibrium_gradient, leaky_stationary
from meanfield import Model, QuadraticCost
from proofs_numeric.claims.exact_gradients import STRONG_PAIR, _missing_reciprocity

pytestmark = pytest.mark.exact

# of all comparisons in this file together: 4 estimates of 10 entries, means of many replicas, so nearly normal
FALSE_ALARM, COMPARISONS = 1e-9, 40


def trace_gradients(leak: float) -> tuple[float, float]:
    """(d/dβ of −⟨s_1s_2⟩ under b → b − βe_1, d⟨s_1⟩/dJ) of the pair, by fourth-order differences."""
    couplings, bias, temperature = (np.array(part) for part in STRONG_PAIR)
    step = 5e-3

    def product(nudging: float) -> float:
        moments = leaky_stationary(Model(couplings, bias - nudging * np.eye(2)[0], float(temperature)), leak=leak)
        return -float(moments.covariance[0, 1] + moments.mean[0] * moments.mean[1])

    def loss(change: float) -> float:
        moved = couplings + change * (1 - np.eye(2))
        return float(leaky_stationary(Model(moved, bias, float(temperature)), leak=leak).mean[0])

    def slope(function) -> float:
        return (8 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))) / (12 * step)

    return slope(product), slope(loss)


def test_response_of_leaky_traces_is_not_symmetric_and_that_of_little_is():
    pair = Model(*STRONG_PAIR)
    assert _missing_reciprocity(pair, leak=1.0) < 1e-9
    assert _missing_reciprocity(pair, leak=0.5) == pytest.approx(1.252e-4, rel=1e-3)


def test_trace_products_miss_the_gradient_by_the_square_of_the_leak():
    errors = [abs(np.subtract(*trace_gradients(leak))) for leak in (0.1, 0.05, 0.025)]
    assert errors[0] > 1e-5
    for coarse, fine in itertools.pairwise(errors):
        assert 1.9 < np.log2(coarse / fine) < 2.35


@pytest.mark.statistical
@pytest.mark.parametrize(("dynamics", "law"), [("glauber", "gibbs"), ("little", "little")])
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric"])
def test_sampled_estimates_average_to_the_exact_ones(network, dynamics, law, estimator):
    model, cost = network(4, 0.5, 0.2, 11), QuadraticCost([0, 2], [0.9, 0.2])
    sampled = estimate_gradient(
        model, cost, dynamics=dynamics, estimator=estimator, nudging=1.0, samples=8192, seed=5,
        steps_free=40, steps_nudged=40,
    )  # fmt: skip
    exact = exact_equilibrium_gradient(model, cost, nudging=1.0, estimator=estimator, dynamics=law)
    lower = np.tril_indices(4, -1)
    errors = norm.isf(FALSE_ALARM / (2 * COMPARISONS))
    assert (np.abs(sampled.value.bias - exact.bias) < errors * sampled.standard_error.bias).all()
    gap = np.abs(sampled.value.couplings - exact.couplings)[lower]
    assert (gap < errors * sampled.standard_error.couplings[lower]).all()
