"""The constants of the logistic function: the polynomials are its derivatives, the proof succeeds and refuses others."""

from __future__ import annotations

import math

import pytest
from flint import arb, fmpq, fmpq_poly

from meanfield.equations import (
    SUP_CURVATURE,
    SUP_SLOPE,
    SUP_THIRD,
    firing_curvature,
    firing_probability,
    firing_slope,
    firing_third,
)
from proofs_numeric.balls import constants
from proofs_numeric.balls.arithmetic import Undecided


@pytest.mark.parametrize(("order", "function"), [(1, firing_slope), (2, firing_curvature), (3, firing_third)])
@pytest.mark.parametrize("x", [-3.0, -0.4, 0.0, 1.7])
def test_the_polynomials_are_the_derivatives(order: int, function, x: float) -> None:
    value = constants.at(constants.derivative(order), arb(math.tanh(x / 2)))
    assert float(value.mid()) == pytest.approx(function(firing_probability(x, 1.0), 1.0), abs=1e-15)


def test_the_stated_constants_are_those_of_the_equations() -> None:
    roots = [float(arb(one.square).sqrt().mid()) for one in constants.CONSTANTS]
    assert roots == pytest.approx([SUP_SLOPE, SUP_CURVATURE, SUP_THIRD], rel=1e-15)


@pytest.mark.parametrize("constant", constants.CONSTANTS, ids=lambda one: one.name)
def test_each_constant_is_attained_and_never_exceeded(constant: constants.Constant) -> None:
    assert constants.least_value(constants.gap_quotient(constant)) > 0


@pytest.mark.parametrize("constant", constants.CONSTANTS, ids=lambda one: one.name)
def test_a_constant_that_is_not_attained_is_refused(constant: constants.Constant) -> None:
    for factor in (fmpq(99, 100), fmpq(101, 100)):
        with pytest.raises(ValueError, match="not attained"):
            constants.gap_quotient(constant._replace(square=factor * constant.square))


def test_a_lower_peak_is_no_supremum() -> None:
    # σ‴ has its lower peaks at u² = 2/3, with the value −1/24
    lower_peak = constants.Constant("lower peak", 3, fmpq(1, 24**2), fmpq_poly([fmpq(-2, 3), 0, 1]))
    quotient = constants.gap_quotient(lower_peak)
    with pytest.raises(ValueError, match="not positive"):
        constants.least_value(quotient)


def test_the_least_value_is_a_lower_bound_on_the_closed_interval() -> None:
    assert 0 < constants.least_value(fmpq_poly([2, 1])) <= 1
    with pytest.raises(ValueError, match="not positive"):
        constants.least_value(fmpq_poly([fmpq(-1, 2), 0, 1]))


def test_a_polynomial_that_touches_zero_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "MOST_PIECES", 50)
    with pytest.raises(Undecided, match="not decided after 50 pieces"):
        constants.least_value(fmpq_poly([fmpq(1, 9), fmpq(-2, 3), 1]))


def test_horner() -> None:
    assert constants.at(fmpq_poly([1, 2, 3]), arb(2)) == 17
