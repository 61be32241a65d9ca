"""Bias against variance: the nudging with the least mean square error, and the exponents it has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from meanfield import Tradeoff
from meanfield.equations import bias_share, error_shift, nudging_shift
from meanfield.tradeoff import orders

POWERS = [(1, 1), (1, 2), (2, 1), (2, 2)]
coefficients = st.floats(0.01, 100.0)


def lowest(function):
    return minimize_scalar(function, bounds=(-30.0, 30.0), method="bounded", options={"xatol": 1e-10})


@pytest.mark.exact
@pytest.mark.parametrize(("bias_order", "variance_order"), POWERS)
@given(bias=coefficients, variance=coefficients, samples=st.floats(2.0, 1e8))
def test_no_nudging_has_less_error_than_the_best(bias_order, variance_order, bias, variance, samples):
    tradeoff = Tradeoff(bias, bias_order, variance, variance_order)
    best = lowest(lambda logarithm: np.log(tradeoff.mean_square_error(np.exp(logarithm), samples)))
    assert float(tradeoff.best_nudging(samples)) == pytest.approx(np.exp(best.x), rel=1e-5)
    assert float(tradeoff.least_error(samples)) == pytest.approx(np.exp(best.fun), rel=1e-10)
    at_best = tradeoff.mean_square_error(tradeoff.best_nudging(samples), samples)
    assert float(at_best) == pytest.approx(float(tradeoff.least_error(samples)), rel=1e-10)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("estimator", "coupled", "nudging", "error"),
    [
        ("symmetric", False, -1 / 6, -2 / 3), ("symmetric", True, -1 / 5, -4 / 5), ("one-sided", False, -1 / 4, -1 / 2),
        ("one-sided", True, -1 / 3, -2 / 3), ("random-sign", True, -1 / 5, -4 / 5),
    ],
)  # fmt: skip
def test_the_optimum_falls_with_the_stated_power_of_the_samples(estimator, coupled, nudging, error):
    bias_order, variance_order = orders(estimator, coupled)
    tradeoff = Tradeoff(0.7, bias_order, 1.3, variance_order)
    few, many = 50.0, 5000.0
    assert np.log(tradeoff.best_nudging(many) / tradeoff.best_nudging(few)) / np.log(100) == pytest.approx(nudging)
    assert np.log(tradeoff.least_error(many) / tradeoff.least_error(few)) / np.log(100) == pytest.approx(error)


@pytest.mark.exact
@pytest.mark.parametrize(("bias_order", "variance_order"), POWERS)
@pytest.mark.parametrize("order", [1, 2])
def test_the_first_correction_of_the_optimum_is_the_stated_one(bias_order, variance_order, order):
    tradeoff, bend, lift = Tradeoff(0.7, bias_order, 1.3, variance_order), 0.6, -0.35
    samples = 1.3 * variance_order / (2 * bias_order * 0.49) * 0.01 ** -(2.0 * bias_order + variance_order)
    centre, least = float(tradeoff.best_nudging(samples)), float(tradeoff.least_error(samples))
    assert centre == pytest.approx(0.01)

    def error(logarithm):
        nudging = centre * np.exp(logarithm)
        square = 0.49 * nudging ** (2 * bias_order) * (1 + bend * nudging**order)
        return (square + 1.3 / samples * nudging**-variance_order * (1 + lift * nudging**order)) / least

    found = minimize_scalar(error, bounds=(-0.1, 0.1), method="bounded", options={"xatol": 1e-12})
    shift = nudging_shift(bend, lift, order, bias_order, variance_order)
    assert found.x == pytest.approx(shift * centre**order, rel=0.05, abs=1e-7)
    wanted = error_shift(bend, lift, bias_order, variance_order) * centre**order
    assert found.fun - 1 == pytest.approx(wanted, rel=0.05)


@pytest.mark.exact
@pytest.mark.parametrize(("bias_order", "variance_order"), POWERS)
def test_the_bias_share_needs_the_fewest_samples(bias_order, variance_order):
    share = bias_share(bias_order, variance_order)
    found = minimize_scalar(
        lambda part: part ** (-variance_order / bias_order) / (1 - part) ** 2, bounds=(1e-3, 0.999), method="bounded"
    )
    assert share == pytest.approx(found.x, abs=1e-4)


@pytest.mark.exact
def test_an_estimator_without_powers_is_refused():
    with pytest.raises(ValueError, match="one-sided, symmetric, random-sign, got 'three-factor'"):
        orders("three-factor", True)
