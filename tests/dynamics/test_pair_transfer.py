"""The pair of leaky phases: closed moments without couplings, each phase's own law, all histories, the limit of a small leak."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics import coupled_leaky_law, leaky_stationary, stationary_trace_moments
from dynamics.enumeration import nudged_bias
from dynamics.pair_transfer import phase_order
from meanfield import Model, QuadraticCost

pytestmark = pytest.mark.exact

BOTH = QuadraticCost([0, 1], [1.0, 0.0])
PAIR = Model([[0.0, -1.2], [-1.2, 0.0]], [0.4, 0.7], 0.8)


def sigmoid(field):
    return 1 / (1 + math.exp(-field))


@settings(max_examples=10)
@given(
    leak=st.floats(0.01, 1), nudging=st.floats(0.02, 2), first=st.floats(-2, 2), second=st.floats(-2, 2),
    temperature=st.floats(0.5, 2),
)  # fmt: skip
def test_without_couplings_the_moments_close(leak, nudging, first, second, temperature):
    model = Model([[0.0, 0.0], [0.0, 0.0]], [first, second], temperature)
    found = stationary_trace_moments(model, BOTH, nudging=nudging, leak=leak, cost_on="spikes")
    units = []
    for field, pull in ((first, 0.5), (second, -0.5)):
        up, down = (sigmoid((field + sign * nudging * pull) / temperature) for sign in (1, -1))
        shrink = leak / (2 - leak)
        # E s⁺², E s⁻², E s⁺s⁻ of averages that forget at one rate
        squares = [p * p + shrink * p * (1 - p) for p in (up, down)]
        units.append((up, down, *squares, up * down + shrink * (min(up, down) - up * down)))
    (a, b, aa, bb, ab), (c, d, cc, dd, cd) = units
    width = 2 * nudging
    assert found.mean.couplings[0, 1] == pytest.approx((b * d - a * c) / width, abs=1e-8)
    variance = aa * cc + bb * dd - 2 * ab * cd - (a * c - b * d) ** 2
    assert found.variance.couplings[0, 1] == pytest.approx(variance / width**2, rel=1e-5, abs=1e-9 / width**2)
    np.testing.assert_allclose(found.mean.bias, [(b - a) / width, (d - c) / width], atol=1e-8)
    own = [(aa + bb - 2 * ab - (a - b) ** 2) / width**2, (cc + dd - 2 * cd - (c - d) ** 2) / width**2]
    np.testing.assert_allclose(found.variance.bias, own, rtol=1e-5, atol=1e-9 / width**2)


@pytest.mark.parametrize(("leak", "nudging"), [(0.3, 0.5), (0.02, 0.2), (1.0, 1.0)])
def test_each_phase_alone_has_its_own_stationary_law(leak, nudging):
    found = stationary_trace_moments(PAIR, BOTH, nudging=nudging, leak=leak, cost_on="spikes", nodes=9)
    pairs, units = [], []
    for strength in (nudging, -nudging):
        law = leaky_stationary(PAIR.with_bias(nudged_bias(PAIR, BOTH, strength)), leak=leak)
        pairs.append(law.covariance[0, 1] + law.mean[0] * law.mean[1])
        units.append(law.mean)
    assert found.mean.couplings[0, 1] == pytest.approx(-(pairs[0] - pairs[1]) / (2 * nudging), rel=1e-6)
    np.testing.assert_allclose(found.mean.bias, -(units[0] - units[1]) / (2 * nudging), rtol=1e-6)


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize(("coupling", "cost"), [
    (0.8, QuadraticCost([1], [1.0])), (-0.8, QuadraticCost([0], [0.0])), (-0.8, BOTH), (0.0, BOTH),
])  # fmt: skip
def test_moments_are_those_of_all_histories_of_the_pair(coupling, cost, cost_on):
    model, nudging, leak = Model([[0.0, coupling], [coupling, 0.0]], [0.3, -0.2], 1.0), 0.4, 0.97
    found = stationary_trace_moments(model, cost, nudging=nudging, leak=leak, cost_on=cost_on, nodes=9)
    plus, minus, law = coupled_leaky_law(
        model, cost, nudgings=(nudging, -nudging), leak=leak, steps=5, start=[0.5, 0.45], cost_on=cost_on
    )
    ends = [(paths[:, -1, 0] * paths[:, -1, 1], paths[:, -1]) for paths in (plus, minus)]
    change = -(ends[0][0] - ends[1][0]) / (2 * nudging)
    unit = -(ends[0][1] - ends[1][1]) / (2 * nudging)
    # what is left of the start after five steps at the contraction rate 1 − ε(1 − κ_∞)
    left = 8 * (1 - leak * (1 - model.row_gain - nudging / 4)) ** 5 / nudging**2
    assert left < 0.35
    assert found.mean.couplings[0, 1] == pytest.approx(law @ change, abs=0.02 * left)
    assert found.variance.couplings[0, 1] == pytest.approx(law @ change**2 - (law @ change) ** 2, abs=0.02 * left)
    np.testing.assert_allclose(found.mean.bias, law @ unit, atol=0.02 * left)
    np.testing.assert_allclose(found.variance.bias, law @ unit**2 - (law @ unit) ** 2, atol=0.02 * left)


def test_more_nodes_change_nothing():
    cost = QuadraticCost([1], [0.0])
    coarse, fine = (stationary_trace_moments(PAIR, cost, nudging=0.1, leak=0.01, nodes=nodes) for nodes in (7, 9))
    for rough, sharp in zip(coarse, fine, strict=True):
        np.testing.assert_allclose(rough.couplings, sharp.couplings, rtol=1e-5)
        np.testing.assert_allclose(rough.bias, sharp.bias, rtol=1e-5)


@pytest.mark.parametrize(("coupling", "slope", "offset", "order"), [
    (1.0, [0.0, 1.0], [0.0, -1.0], (True, True)),
    (-1.0, [0.0, 1.0], [0.0, -1.0], (False, True)),
    (-1.0, [0.0, 1.0], [0.0, 0.0], (True, False)),
    (0.0, [0.0, 0.0], [-0.5, 0.5], (True, False)),
    (0.0, [0.0, 0.0], [0.5, 0.0], (False, True)),
    (-2.0, [0.0, 0.0], [-0.5, 0.5], (True, False)),
    (-2.0, [0.0, 0.0], [-0.5, 0.0], (True, False)),
    (2.0, [0.0, 0.0], [0.5, 0.0], (False, False)),
])  # fmt: skip
def test_the_pull_and_the_couplings_order_the_phases(coupling, slope, offset, order):
    model = Model([[0.0, coupling], [coupling, 0.0]], [0.0, 0.0], 1.0)
    assert phase_order(model, np.array(slope), np.array(offset)) == order


@pytest.mark.parametrize(("changes", "message"), [
    ({"model": Model([[0.0]], [0.0])}, "collocation of pairs serves 2 units, got 1: use estimate_gradient"),
    ({"nudging": 0.0}, "nudging must be positive and finite, got 0.0: the estimate divides by it"),
    ({"nudging": -0.1}, "nudging must be positive and finite, got -0.1: the estimate divides by it"),
    ({"nudging": math.inf}, "nudging must be positive and finite, got inf: the estimate divides by it"),
    ({"leak": 0.0}, "leak must be in (0, 1], got 0.0"),
    ({"leak": 1.1}, "leak must be in (0, 1], got 1.1"),
    ({"nodes": 1}, "nodes must be"),
    ({"cost": QuadraticCost([0], [0.4])}, "the force changes sign between trace 0 and 1: use targets 0 and 1, or cost_on="),
    ({"cost": QuadraticCost([0, 1], [1.0, 1.0])}, "the forces pull against the coupling, so no phase always fires more"),
])  # fmt: skip
def test_what_cannot_be_served_is_refused(changes, message):
    given_ = {"model": PAIR, "cost": QuadraticCost([0], [1.0]), "nudging": 0.1, "leak": 0.1, **changes}
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        stationary_trace_moments(given_.pop("model"), given_.pop("cost"), **given_)
