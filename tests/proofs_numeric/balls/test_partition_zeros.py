"""Certified zeros enclose the true ones, and nothing is certified that is not so."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from flint import acb, arb

from dynamics import nearest_zero, partition_zeros
from meanfield import Model, QuadraticCost
from proofs_numeric.balls import Undecided, certify_nearest_zero
from proofs_numeric.balls import partition_zeros as zeros
from proofs_numeric.balls.arithmetic import precision

pytestmark = pytest.mark.exact

COST = QuadraticCost([0, 2], [0.9, 0.25])


def test_one_units_zero_is_enclosed_to_the_stated_bits():
    # ¼β = T(b/T + iπ)
    certified = certify_nearest_zero(Model([[0.0]], [0.5], 2.0), QuadraticCost([0], [0.25]), bits=200)
    (zero,) = certified.zeros
    with precision(400):
        exact = acb(arb(0.5), 2 * arb.pi()) * 4
        assert zero.contains(exact)
        assert certified.modulus.contains(abs(exact))
    assert float(zero.real.rad()) < 1e-55
    assert float(zero.imag.rad()) < 1e-55
    assert certified.clear > certified.modulus


@pytest.mark.parametrize("seed", range(6))
def test_floating_point_zero_is_within_rounding_of_the_certified_one(network, seed):
    model = network(3, 1.5, 0.4, seed)
    certified = certify_nearest_zero(model, COST)
    found = nearest_zero(model, COST)
    assert abs(complex(certified.zeros[0].mid()) - found) < 1e-10 * abs(found)
    assert math.isclose(float(certified.modulus.mid()), abs(found), rel_tol=1e-10)
    clear = float(certified.clear.mid())
    assert clear > abs(found)
    assert partition_zeros(model, COST, within=clear).size == len(certified.zeros)


def test_at_the_symmetric_point_both_nearest_zeros_are_certified():
    # Z ∝ cosh w + e², w = −½β: antiferromagnetic pair at b = −½J1
    model, cost = Model([[0.0, -4.0], [-4.0, 0.0]], [2.0, 2.0]), QuadraticCost([0, 1], [1.0, 1.0])
    certified = certify_nearest_zero(model, cost)
    with precision(300):
        real = 2 * arb(2).exp().acosh()
        for zero, sign in zip(certified.zeros, (1, -1), strict=True):
            assert zero.contains(acb(sign * real, 2 * arb.pi()))
        assert certified.modulus.contains(abs(acb(real, 2 * arb.pi())))


def test_a_double_zero_is_not_certified():
    model, cost = Model(np.zeros((2, 2)), np.zeros(2)), QuadraticCost([0, 1], [1.0, 1.0])
    with pytest.raises(Undecided):
        certify_nearest_zero(model, cost)


def test_a_point_that_is_no_zero_is_not_certified(network, monkeypatch):
    model = network(3, 1.5, 0.4, 1)
    far = partition_zeros(model, COST, within=12 * abs(nearest_zero(model, COST)))[-1:]
    # a true zero, but not the nearest: the winding finds others inside
    monkeypatch.setattr(zeros, "nearest_zeros", lambda *_: far)
    with pytest.raises(Undecided, match="no half circle about the origin was proven to hold"):
        certify_nearest_zero(model, COST)


def test_a_constant_cost_is_refused():
    said = "a constant cost has no zeros: its slopes ½ − y are all 0"
    with pytest.raises(ValueError, match=re.escape(said)):
        certify_nearest_zero(Model([[0.0]], [0.3]), QuadraticCost([0], [0.5]))


def test_winding_counts_the_zeros_inside(network):
    model = network(3, 1.5, 0.4, 1)
    listed = np.abs(partition_zeros(model, COST, within=8 * abs(nearest_zero(model, COST))))
    gaps = np.flatnonzero(np.diff(listed) > 0.05 * listed[0])[:4]
    with precision(128):
        partition = zeros._partition(model, COST)
        for place in gaps:
            radius = arb(0.5 * (listed[place] + listed[place + 1]))
            assert zeros._winding(partition, radius) == place + 1
        assert zeros._winding(partition, arb(0.5 * listed[0])) == 0
