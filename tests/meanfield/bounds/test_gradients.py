"""How far the mean-field gradient is from Gibbs': the a-priori bound against its formula written out, and at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics import exact_gradient
from meanfield import HypothesisError, Model, QuadraticCost, bounds, fixed_point, implicit_gradient

pytestmark = pytest.mark.exact
M2, M3 = 1 / (6 * np.sqrt(3)), 1 / 8
TRIANGLE = Model([[0.0, 0.8, -0.4], [0.8, 0.0, 0.3], [-0.4, 0.3, 0.0]], [0.2, -0.5, 0.1], 0.7)
COST = QuadraticCost([2, 0], [0.9, 0.2])


def written_out(model, cost, nudging=0.0):
    """(e, sizes of the bias entries, pairs, sizes of the pairs) of thm:C6, sum by sum, times T."""
    size, a = model.size, np.abs(model.couplings) / model.temperature
    c = np.zeros(size)
    c[cost.outputs] = np.abs(0.5 - cost.target)
    influence = np.tanh(a / 4)
    dobrushin = np.linalg.inv(np.eye(size) - influence)
    propagator = np.linalg.inv(np.eye(size) - a / 4)
    hat = [[dobrushin[i, j] / (4 * max(dobrushin[i, i], dobrushin[j, j])) for j in range(size)] for i in range(size)]
    units = range(size)
    variance = [sum(a[i, j] * a[i, k] * hat[j][k] for j in units for k in units) for i in units]
    deviation = np.sqrt(variance)
    delta = propagator @ [M2 / 2 * variance[i] for i in units]
    reach = [sum(dobrushin[i, j] * c[j] for j in units) for i in units]
    response = [sum(hat[i][j] * c[j] for j in units) for i in units]
    linear = [sum(propagator[i, j] * c[j] for j in units) / 4 for i in units]
    shift = [sum(a[i, j] * delta[j] for j in units) for i in units]
    braces = [
        c[i] * min(0.25, M2 * shift[i] + M3 / 2 * variance[i])
        + M2 / 2 * deviation[i] * sum(a[i, j] * reach[j] for j in units)
        + M2 * shift[i] * sum(a[i, j] * response[j] for j in units)
        for i in units
    ]
    e = propagator @ braces

    def cumulant(i, j):
        return (
            c[i] * M2 / 4 * sum(a[i, k] * dobrushin[k, j] for k in units)
            + deviation[i] / 16 * reach[j]
            + sum(influence[i, k] * reach[k] for k in units if k != j) / 8
            + influence[i, j] * reach[j] * (M2 + deviation[j] / 16)
        )

    m = fixed_point(model, method="newton").value
    m = [min(1.0, m[i] + abs(nudging) / model.temperature * linear[i]) for i in units]
    pairs = np.zeros((size, size))
    sizes = np.zeros((size, size))
    for i in units:
        for j in units:
            if i != j:
                pairs[i, j] = m[j] * e[i] + m[i] * e[j] + response[i] * delta[j] + response[j] * delta[i]
                pairs[i, j] += min(cumulant(i, j), cumulant(j, i))
                sizes[i, j] = sum(c) / 4 + m[j] * linear[i] + m[i] * linear[j]
    return e, np.add(response, linear), pairs, sizes


@pytest.mark.parametrize("nudging", [0.0, 0.3, -0.3, 4.0])
def test_the_gradient_error_is_its_formula_written_out(nudging):
    bound = bounds.gradient_error(TRIANGLE, COST, nudging=nudging)
    e, _, pairs, _ = written_out(TRIANGLE, COST, nudging)
    np.testing.assert_allclose(0.7 * bound.bias, e, rtol=1e-12)
    np.testing.assert_allclose(0.7 * bound.couplings, pairs, rtol=1e-12)


def test_near_the_end_of_its_hypothesis_the_bound_is_the_sum_of_the_two_gradients_sizes():
    couplings = 1.9 * (np.ones((3, 3)) - np.eye(3))
    model = Model(couplings, [-1.0, -1.9, -2.5], 1.0)
    assert 0.9 < model.absolute_gain < 1
    bound = bounds.gradient_error(model, COST)
    e, sizes, pairs, pair_sizes = written_out(model, COST)
    assert (sizes < e).all()
    assert (pair_sizes < pairs)[np.triu_indices(3, 1)].all()
    np.testing.assert_allclose(bound.bias, sizes, rtol=1e-12)
    np.testing.assert_allclose(bound.couplings, pair_sizes, rtol=1e-12)


def test_a_larger_nudging_widens_the_couplings_bound_only():
    free, nudged = (bounds.gradient_error(TRIANGLE, COST, nudging=nudging) for nudging in (0.0, 0.5))
    off = ~np.eye(3, dtype=bool)
    assert (nudged.couplings[off] > free.couplings[off]).all()
    np.testing.assert_array_equal(nudged.bias, free.bias)


def test_without_couplings_the_mean_field_gradient_is_exact():
    bound = bounds.gradient_error(Model(np.zeros((2, 2)), [0.3, -2.0], 0.5), COST_OF_TWO)
    assert not bound.bias.any()
    assert not bound.couplings.any()


COST_OF_TWO = QuadraticCost([1], [0.0])


def test_the_error_of_a_weakly_coupled_symmetric_pair_reaches_its_bound():
    model = Model([[0.0, 0.01], [0.01, 0.0]], [-0.005, -0.005], 1.0)
    error = abs(implicit_gradient(model, COST_OF_TWO, "spikes").bias - exact_gradient(model, COST_OF_TWO).bias)[1]
    bound = bounds.gradient_error(model, COST_OF_TWO).bias[1]
    assert 0.99 * bound < error <= bound


def test_gradient_error_names_what_fails():
    strong = Model([[0.0, 4.0], [4.0, 0.0]], [0.0, 0.0], 1.0)
    with pytest.raises(HypothesisError, match=r"κ_a = ‖\|J\|‖₂/\(4T\) < 1, got 1"):
        bounds.gradient_error(strong, COST_OF_TWO)
    with pytest.raises(ValueError, match="nudging must be finite, got inf"):
        bounds.gradient_error(TRIANGLE, COST, nudging=np.inf)


@given(
    size=st.integers(1, 6), gain=st.floats(0.0, 0.97), log_temperature=st.floats(-6, 6), seed=st.integers(0, 2**31 - 1)
)
def test_the_exact_gradient_lies_in_its_enclosure(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, norm="absolute")
    cost = QuadraticCost(range(size), np.random.default_rng(seed).uniform(size=size))
    centre, radius = bounds.gibbs_gradient(model, cost)
    truth = exact_gradient(model, cost)
    rounding = 1e-12 / (1 - model.absolute_gain) / model.temperature
    assert (np.abs(truth.bias - centre.bias) <= radius.bias + rounding).all()
    assert (np.abs(truth.couplings - centre.couplings) <= radius.couplings + rounding).all()
    assert not np.diagonal(centre.couplings).any()
    np.testing.assert_allclose(centre.couplings, centre.couplings.T, atol=rounding)


def test_the_gradients_enclosure_is_linear_in_the_cumulants():
    cumulants, c = bounds.gibbs_cumulants(TRIANGLE), np.array([0.3, 0.0, -0.4])
    centre, radius = bounds.gibbs_gradient(TRIANGLE, COST)
    spread, third, shift, m = cumulants.covariance, cumulants.third, cumulants.shift, cumulants.mean_field
    exact, error = spread.centre @ c, spread.radius @ np.abs(c)
    np.testing.assert_allclose(0.7 * centre.bias, exact, rtol=1e-12)
    np.testing.assert_allclose(0.7 * radius.bias, error, rtol=1e-12)
    mean, x = m + shift.centre, cumulants.response @ c
    stated = mean[0] * exact[1] + mean[1] * exact[0] + third.centre[0, 1] @ c
    np.testing.assert_allclose(0.7 * centre.couplings[0, 1], stated, rtol=1e-12)
    wide = third.radius[0, 1] @ np.abs(c)
    for i, j in ((0, 1), (1, 0)):
        wide += shift.radius[j] * abs(exact[i]) + np.abs(mean[j] - m[j]) * error[i]
        wide += shift.radius[j] * error[i] + m[j] * error[i]
    np.testing.assert_allclose(0.7 * radius.couplings[0, 1], wide, rtol=1e-12)
    local = bounds.local_gradient_error(TRIANGLE, COST)
    np.testing.assert_allclose(0.7 * local.bias, np.abs(exact - x) + error, rtol=1e-12)
    naive = m[0] * x[1] + m[1] * x[0]
    np.testing.assert_allclose(0.7 * local.couplings[0, 1], abs(stated - naive) + wide, rtol=1e-12)


def test_more_passes_tighten_the_local_bound_and_it_never_exceeds_the_a_priori_one():
    wide, narrow = (bounds.local_gradient_error(TRIANGLE, COST, passes=passes) for passes in (0, 3))
    a_priori = bounds.gradient_error(TRIANGLE, COST)
    off = ~np.eye(3, dtype=bool)
    assert (narrow.bias < wide.bias).all()
    assert (narrow.couplings[off] < wide.couplings[off]).all()
    assert (wide.bias <= a_priori.bias).all()
    assert (wide.couplings <= a_priori.couplings).all()
    one, _ = bounds.gibbs_gradient(TRIANGLE, COST, passes=0)
    assert one.bias != pytest.approx(bounds.gibbs_gradient(TRIANGLE, COST)[0].bias)
