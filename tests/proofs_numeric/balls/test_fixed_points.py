"""Certified fixed points are roots, unique where said, and their responses and EP gradients enclose the float ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flint import arb

import meanfield
import proofs_numeric
from meanfield import Model, QuadraticCost, fixed_point
from proofs_numeric.balls import fixed_points
from proofs_numeric.balls.arithmetic import Undecided, exact, floats, logistic, precision, radius
from proofs_numeric.balls.fixed_points import (
    certify_fixed_point,
    equilibrium_gradient,
    implicit_gradient,
    susceptibility,
)

BISTABLE = Model([[0.0, 12.0], [12.0, 0.0]], [-6.0, -6.0])
COST = QuadraticCost([2], [0.3])


@pytest.fixture(params=[0, 1, 2, 3])
def model(network: Callable[..., Model], request: pytest.FixtureRequest) -> Model:
    return network(4, 0.9, 1.2, request.param, norm="spectral")


def test_the_root_lies_in_its_ball(model: Model) -> None:
    point = certify_fixed_point(model)
    with precision(128):
        field = (exact(model.couplings) @ point.mean + exact(model.bias)) / arb(model.temperature)
        image = logistic(field)
        assert all(inside.overlaps(outside) for inside, outside in zip(image, point.mean, strict=True))
        assert all((m + n).contains(1) for m, n in zip(point.mean, point.complement, strict=True))
        assert all(v.overlaps(m * (1 - m)) for v, m in zip(point.variance, point.mean, strict=True))
    np.testing.assert_allclose(point.value, fixed_point(model).value, atol=1e-11)
    assert point.radius < 1e-30
    assert radius(point.mean) == pytest.approx(point.radius, rel=1e-6)
    assert point.unique
    assert point.unique_within > 0


def test_more_bits_give_a_smaller_ball_inside_the_larger(model: Model) -> None:
    coarse, fine = certify_fixed_point(model, bits=64), certify_fixed_point(model, bits=256)
    assert fine.radius < 1e-60 < coarse.radius < 1e-12
    assert all(outer.overlaps(inner) for outer, inner in zip(coarse.mean, fine.mean, strict=True))


def test_the_name_of_the_front_package_is_the_same_function() -> None:
    assert proofs_numeric.certify_fixed_point is certify_fixed_point
    with pytest.raises(AttributeError, match="'certify'"):
        _ = proofs_numeric.certify  # type: ignore[attr-defined]


def test_three_fixed_points_of_a_bistable_pair_are_told_apart() -> None:
    low, middle, high = (certify_fixed_point(BISTABLE, start=np.full(2, m)) for m in (0.0, 0.5, 1.0))
    assert not low.unique
    assert low.mean[0] < middle.mean[0]
    assert middle.mean[0].contains(arb(1) / 2)
    assert middle.mean[0] < high.mean[0]
    for one, other in ((low, middle), (middle, high)):
        gap = float((other.mean[0] - one.mean[0]).mid())
        assert one.unique_within <= gap
        assert other.unique_within <= gap


def test_global_uniqueness_is_decided_by_the_largest_eigenvalue() -> None:
    below, above = (Model([[0.0, w], [w, 0.0]], [0.3, 0.1]) for w in (3.999999, 4.000001))
    assert certify_fixed_point(below).unique
    assert not certify_fixed_point(above).unique
    antiferromagnet = Model([[0.0, -3.9], [-3.9, 0.0]], [2.0, 2.0])
    assert certify_fixed_point(antiferromagnet).unique


def test_a_saturated_unit_keeps_its_digits() -> None:
    unit = Model([[0.0]], [80.0])
    point = certify_fixed_point(unit)
    assert float(point.complement[0].mid()) == pytest.approx(np.exp(-80.0), rel=1e-14)
    assert float(point.variance[0].mid()) == pytest.approx(np.exp(-80.0), rel=1e-14)


def test_a_degenerate_root_is_undecided() -> None:
    critical = Model([[0.0, 4.0], [4.0, 0.0]], [-2.0, -2.0])
    with pytest.raises(Undecided, match=r"nearly singular|not certainly invertible"):
        certify_fixed_point(critical)


def test_the_susceptibility_is_enclosed_and_symmetric(model: Model) -> None:
    balls = susceptibility(certify_fixed_point(model))
    np.testing.assert_allclose(floats(balls), meanfield.susceptibility(model, fixed_point(model).value), rtol=1e-9)
    assert all(balls[i, j].overlaps(balls[j, i]) for i in range(4) for j in range(4))
    assert radius(balls) < 1e-28


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
def test_the_implicit_gradient_is_enclosed(model: Model, cost_on: str) -> None:
    couplings, bias = implicit_gradient(model, COST, cost_on=cost_on)
    reference = meanfield.implicit_gradient(model, COST, cost_on)
    np.testing.assert_allclose(floats(couplings), reference.couplings, atol=1e-9)
    np.testing.assert_allclose(floats(bias), reference.bias, atol=1e-9)
    assert all(ball.is_zero() for ball in np.diagonal(couplings))
    assert radius(couplings) < 1e-28


@pytest.mark.parametrize("estimator", ["one-sided", "symmetric"])
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
def test_finite_nudge_gradients_are_enclosed(model: Model, estimator: str, cost_on: str) -> None:
    settings = {"nudging": 0.4, "estimator": estimator, "cost_on": cost_on}
    couplings, bias = equilibrium_gradient(model, COST, **settings)
    reference = meanfield.equilibrium_gradient(model, COST, **settings)
    np.testing.assert_allclose(floats(couplings), reference.couplings, atol=1e-9)
    np.testing.assert_allclose(floats(bias), reference.bias, atol=1e-9)
    assert all(ball.is_zero() for ball in np.diagonal(couplings))


def test_the_symmetric_estimate_misses_the_gradient_by_a_certain_amount(model: Model) -> None:
    stated, _ = implicit_gradient(model, COST)
    coarse, fine = (equilibrium_gradient(model, COST, nudging=beta)[0] for beta in (0.4, 0.2))
    miss, smaller = abs(coarse - stated)[0, 2], abs(fine - stated)[0, 2]
    assert miss > 0
    assert 3 * smaller < miss
    assert miss < 5 * smaller


def test_bad_requests_are_one_sentence(model: Model) -> None:
    with pytest.raises(ValueError, match="got 'holomorphic'"):
        equilibrium_gradient(model, COST, nudging=0.1, estimator="holomorphic")
    with pytest.raises(ValueError, match="must not be 0"):
        equilibrium_gradient(model, COST, nudging=0.0)
    with pytest.raises(ValueError, match="needs a cost"):
        certify_fixed_point(model, nudging=0.1)


def test_a_nudged_fixed_point_solves_the_nudged_equation(model: Model) -> None:
    point = certify_fixed_point(model, cost=COST, nudging=0.7)
    reference = fixed_point(model, cost=COST, nudging=0.7).value
    np.testing.assert_allclose(point.value, reference, atol=1e-11)
    assert fixed_points.BITS == point.bits == 128
