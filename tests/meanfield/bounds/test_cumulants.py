"""The enclosures of Gibbs' cumulants contain them, and one pass is its expansion written out index by index."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics import exact_law
from dynamics.enumeration import all_states
from meanfield import HypothesisError, Model, bounds, fixed_point
from meanfield.bounds import ranges

pytestmark = pytest.mark.exact
SIZES, GAINS, SEEDS = st.integers(1, 6), st.floats(0.0, 0.97), st.integers(0, 2**31 - 1)
LOG_TEMPERATURES = st.floats(-6, 6)
FOUR = Model(
    [[0.0, 0.5, -0.3, 0.2], [0.5, 0.0, 0.4, 0.1], [-0.3, 0.4, 0.0, -0.6], [0.2, 0.1, -0.6, 0.0]],
    [0.3, -0.6, 0.2, 0.9],
    0.8,
)


def exact_cumulants(model):
    law = exact_law(model)
    centred = all_states(model.size) - law.mean
    return law.mean, law.covariance, np.einsum("s,si,sj,sk->ijk", law.probabilities, centred, centred, centred)


def holds(enclosure, truth, rounding):
    assert (np.abs(truth - enclosure.centre) <= enclosure.radius + rounding).all()


@pytest.mark.parametrize("passes", [0, 1, 3])
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_the_enclosures_contain_the_exact_cumulants(network, passes, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, norm="absolute")
    mean, spread, third = exact_cumulants(model)
    cumulants = bounds.gibbs_cumulants(model, passes=passes)
    rounding = 1e-12 / (1 - model.absolute_gain)
    holds(cumulants.shift, mean - cumulants.mean_field, rounding)
    holds(cumulants.covariance, spread, rounding)
    holds(cumulants.third, third, rounding)


def test_every_pass_is_at_least_as_narrow_as_the_one_before():
    earlier = bounds.gibbs_cumulants(FOUR, passes=0)
    for passes in (1, 2, 3):
        later = bounds.gibbs_cumulants(FOUR, passes=passes)
        for field in ("shift", "covariance", "third"):
            assert (getattr(later, field).radius <= getattr(earlier, field).radius * (1 + 1e-12)).all()
        earlier = later


def test_mean_field_and_response_are_the_fixed_point_and_its_slope_in_the_bias():
    cumulants = bounds.gibbs_cumulants(FOUR)
    mean = fixed_point(FOUR, method="newton").value
    np.testing.assert_allclose(cumulants.mean_field, mean, rtol=1e-13)
    for j in range(4):
        step = 1e-5 * np.eye(4)[j]
        ahead, behind = (fixed_point(FOUR.with_bias(FOUR.bias + s), method="newton").value for s in (step, -step))
        np.testing.assert_allclose(cumulants.response[:, j], 0.8 * (ahead - behind) / 2e-5, rtol=1e-7)


class Ball(tuple[float, float]):
    """(centre, radius) of one number: the arithmetic of the theorem, spelt out once more."""

    __array_ufunc__ = None

    def __add__(self, other: Any) -> Any:
        other = other if isinstance(other, Ball) else Ball((other, 0.0))
        return Ball((self[0] + other[0], self[1] + other[1]))

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __mul__(self, other: Any) -> Any:
        other = other if isinstance(other, Ball) else Ball((other, 0.0))
        radius = abs(self[0]) * other[1] + self[1] * (abs(other[0]) + other[1])
        return Ball((self[0] * other[0], radius))

    def __rmul__(self, other: Any) -> Any:
        return self * other

    @property
    def top(self):
        return abs(self[0]) + self[1]


def best(*balls):
    return min(balls, key=lambda ball: ball[1])


def one_pass(model):
    """(shift, covariance, third) after one pass of thm:C6b from its starting sets, as nested dictionaries of Balls."""
    units = range(model.size)
    J = model.couplings / model.temperature
    m = fixed_point(model, method="newton").value
    v = m * (1 - m)
    curve, bend = v * (1 - 2 * m), v * (1 - 6 * v)
    low, high = ranges.field_ranges(model)
    h = model.local_field(m) / model.temperature
    R = np.maximum(high - h, h - low)
    pi = 1 / (1 + np.exp(-np.maximum(high, -low)))
    D = np.linalg.inv(np.eye(model.size) - ranges.largest_influence(model))
    P = np.linalg.inv(np.eye(model.size) - np.diag(v) @ J)
    S = P @ np.diag(v)
    slope, k, k1, k2 = (
        extreme(model)
        for extreme in (ranges.largest_slope, ranges.largest_curvature, ranges.largest_third, ranges.largest_fourth)
    )
    shift = {i: Ball((0.0, bounds.gibbs_mean_error(model)[i])) for i in units}
    G = {(i, j): Ball((0.0, bounds.covariance(model)[i, j])) for i in units for j in units}

    def start(i, j, n):
        return 2 * slope[i] * slope[j] * (D[n, i] + D[n, j])

    K = {
        (i, j, n): Ball((0.0, float(min(start(i, j, n), start(i, n, j), start(n, j, i)))))
        for i, j, n in itertools.product(units, repeat=3)
    }

    def repeats():
        for i in units:
            G[i, i] = shift[i] * (1 - 2 * m[i] + -1.0 * shift[i]) + v[i]
        for i in units:
            for j in units:
                K[i, i, j] = (1 - 2 * m[i] + -2.0 * shift[i]) * G[i, j]
        for i in units:
            for j in units:
                if i != j:
                    K[i, j, i] = K[j, i, i] = K[i, i, j]

    def fields():
        U = {i: sum((J[i, j] * shift[j] for j in units), Ball((0.0, 0.0))) for i in units}
        V = {i: sum((J[i, j] * J[i, n] * G[j, n] for j in units for n in units), Ball((0.0, 0.0))) for i in units}
        return U, V, {i: V[i] + U[i] * U[i] for i in units}

    repeats()
    U, V, q = fields()
    source = {}
    for i in units:
        cube = sum(
            (J[i, a] * J[i, b] * J[i, c] * K[a, b, c] for a, b, c in itertools.product(units, repeat=3)),
            Ball((0.0, 0.0)),
        )
        t = cube + 3.0 * U[i] * V[i] + U[i] * U[i] * U[i]
        source[i] = curve[i] / 2 * q[i] + bend[i] / 6 * t + Ball((0.0, k2[i] / 24 * R[i] ** 2 * q[i].top))
    shift = {i: best(shift[i], sum((P[i, j] * source[j] for j in units), Ball((0.0, 0.0)))) for i in units}
    U, V, q = fields()
    source = {}
    for i in units:
        gain = curve[i] * U[i] + bend[i] / 2 * q[i] + Ball((0.0, k2[i] / 6 * R[i] * q[i].top))
        for n in units:
            Q = sum((J[i, a] * J[i, b] * K[a, b, n] for a in units for b in units), Ball((0.0, 0.0)))
            Q = Q + 2.0 * U[i] * sum((J[i, a] * G[a, n] for a in units), Ball((0.0, 0.0)))
            far = sum(abs(J[i, a]) * pi[a] * D[n, a] for a in units)
            source[i, n] = curve[i] / 2 * Q + Ball((0.0, k1[i] / 4 * q[i].top * far))
            if i == n:
                source[i, n] = source[i, n] + gain
    found = {
        (i, n): best(G[i, n], sum((P[i, j] * source[j, n] for j in units), Ball((0.0, 0.0))) + S[i, n])
        for i in units
        for n in units
    }
    G = {(i, n): best(found[i, n], found[n, i]) for i in units for n in units}
    U, V, q = fields()

    def reading(j, a, b):
        lead = sum((v[j] * J[j, x] * K[x, a, b] for x in units), Ball((0.0, 0.0)))
        return lead + Ball((0.0, k[j] / 2 * q[j].top * (pi[a] * pi[b] + G[a, b].top)))

    third = {
        (a, b, c): best(K[a, b, c], reading(a, b, c), reading(b, a, c), reading(c, a, b))
        for a, b, c in itertools.permutations(units, 3)
    }
    K.update(third)
    repeats()
    return shift, G, K


@pytest.mark.parametrize("temperature", [0.8, 5.0])
def test_one_pass_is_the_expansion_written_out(temperature):
    model = Model(FOUR.couplings, FOUR.bias, temperature)
    stated, (shift, G, K) = bounds.gibbs_cumulants(model, passes=1), one_pass(model)
    for enclosure, balls in [(stated.shift, shift), (stated.covariance, G), (stated.third, K)]:
        for index, ball in balls.items():
            np.testing.assert_allclose((enclosure.centre[index], enclosure.radius[index]), ball, rtol=1e-9, atol=1e-14)


def test_gibbs_cumulants_name_what_fails():
    with pytest.raises(HypothesisError, match=r"κ_a = ‖\|J\|‖₂/\(4T\) < 1, got 1.25"):
        bounds.gibbs_cumulants(Model([[0.0, 5.0], [5.0, 0.0]], [0.0, 0.0]))
    with pytest.raises(ValueError, match="passes must be a whole number of at least 0, got -1"):
        bounds.gibbs_cumulants(FOUR, passes=-1)
