"""The leading bias of the mean-field gradient is the SymPy derivative of Plefka's next term, and what the exact error tends to."""

import numpy as np
import pytest
import sympy as sp

from dynamics import exact_gradient
from meanfield import Model, QuadraticCost, fixed_point, implicit_gradient, leading_gradient_bias
from meanfield.derivations.plefka import pair_free_energy_correction, pair_free_energy_third_order
from meanfield.symbols import coupling, mean_activity, neighbour_activity, net, temperature

pytestmark = pytest.mark.exact
COUPLINGS = np.array([[0.0, 0.8, -0.5, 0.3], [0.8, 0.0, 0.6, 0.0], [-0.5, 0.6, 0.0, -0.7], [0.3, 0.0, -0.7, 0.0]])
BIAS = np.array([0.7, -0.4, 0.9, -0.1])
COST = QuadraticCost([0, 2], [0.9, 0.2])
SLOPES = np.array([-0.4, 0.0, 0.3, 0.0])


def plefka_term(of, correction):
    """G₂ ("none") or G₃ ("onsager") of a net at T = 1, as a function of y through m = σ(y)."""
    term = {"none": pair_free_energy_correction, "onsager": pair_free_energy_third_order}[correction]
    size = of.means.rows
    means = [1 / (1 + sp.exp(-bias)) for bias in of.biases]
    total = sp.Integer(0)
    for i in range(size):
        for j in range(i):
            values = {coupling: of.couplings[i, j], mean_activity: means[i], neighbour_activity: means[j]}
            total += term.subs({temperature: 1}).subs(values, simultaneous=True)
            for k in range(j):
                loop = of.couplings[i, j] * of.couplings[j, k] * of.couplings[k, i]
                if correction == "onsager":
                    total -= loop * sp.prod(means[unit] * (1 - means[unit]) for unit in (i, j, k))
    return total


@pytest.mark.parametrize("correction", ["none", "onsager"])
def test_leading_bias_at_scaled_bias_is_the_derivative_of_the_next_term_of_plefkas_expansion(correction):
    of, model = net(4), Model(COUPLINGS, BIAS, 0.5)
    values = {of.biases[i]: BIAS[i] / 0.5 for i in range(4)}
    values |= {of.couplings[i, j]: COUPLINGS[i, j] / 0.5 for i in range(4) for j in range(i)}
    along = sum(SLOPES[i] * sp.diff(plefka_term(of, correction), of.biases[i]) for i in range(4))
    stated = leading_gradient_bias(model, COST, correction=correction, scaled_bias=True)
    for i in range(4):
        assert np.isclose(0.5 * stated.bias[i], float(sp.diff(along, of.biases[i]).subs(values)), rtol=1e-10)
        for j in range(i):
            derivative = float(sp.diff(along, of.couplings[i, j]).subs(values))
            assert np.isclose(0.5 * stated.couplings[i, j], derivative, rtol=1e-10, atol=1e-15)
            assert stated.couplings[i, j] == pytest.approx(stated.couplings[j, i], rel=1e-14, abs=1e-17)
    assert not np.diagonal(stated.couplings).any()


@pytest.mark.parametrize("correction", ["none", "onsager"])
def test_leading_bias_at_fixed_bias_is_that_at_scaled_bias_to_lowest_order_in_the_bias(correction):
    # at y + ½K1 = sη, s → 0, the terms of both are homogeneous; orders in s beyond the first are left over
    small = 1e-4
    bias = small * BIAS
    weak = small * COUPLINGS
    fixed = leading_gradient_bias(Model(weak, bias), COST, correction=correction)
    order = {"none": 2, "onsager": 3}[correction]
    of = net(4)
    term = plefka_term(of, correction)
    values = {of.biases[i]: bias[i] + 0.5 * weak[i].sum() for i in range(4)}
    values |= {of.couplings[i, j]: weak[i, j] for i in range(4) for j in range(i)}
    along = sum(SLOPES[i] * sp.diff(term, of.biases[i]) for i in range(4))
    for i in range(4):
        unit = float(sp.diff(along, of.biases[i]).subs(values))
        assert np.isclose(fixed.bias[i], unit, rtol=1e-3, atol=1e-6 * small**order)
        for j in range(i):
            pair = float(sp.diff(along, of.couplings[i, j]).subs(values))
            pair += 0.5 * (fixed.bias[i] + fixed.bias[j])
            assert np.isclose(fixed.couplings[i, j], pair, rtol=1e-3, atol=1e-6 * small**order)


@pytest.mark.parametrize("correction", ["none", "onsager"])
@pytest.mark.parametrize("scaled_bias", [False, True])
def test_the_exact_error_is_the_leading_term_up_to_one_order_in_the_temperature(scaled_bias, correction):
    rests = []
    for hot in (64.0, 128.0):
        model = Model(COUPLINGS, BIAS * (hot if scaled_bias else 1.0), hot)
        stated = leading_gradient_bias(model, COST, correction=correction, scaled_bias=scaled_bias)
        estimate, truth = implicit_gradient(model, COST, "spikes", correction=correction), exact_gradient(model, COST)
        rests.append([
            np.linalg.norm(ours - exact - lead) / np.linalg.norm(lead)
            for ours, exact, lead in zip(estimate, truth, stated, strict=True)
        ])  # fmt: skip
    assert np.max(rests[1]) < 0.05
    np.testing.assert_allclose(np.divide(*rests), 2.0, rtol=0.1)


def test_at_low_temperature_the_correction_can_make_the_gradient_worse_and_its_iteration_diverge():
    model, cost = Model([[0.0, 3.5], [3.5, 0.0]], [-1.25, -1.45]), QuadraticCost([1], [0.0])
    assert model.gain < 1
    truth = exact_gradient(model, cost).couplings
    naive, corrected = (
        np.linalg.norm(implicit_gradient(model, cost, "spikes", correction=correction).couplings - truth)
        / np.linalg.norm(truth)
        for correction in ("none", "onsager")
    )
    assert (round(float(naive), 3), round(float(corrected), 3)) == (0.257, 0.355)
    plain, onsager = (
        fixed_point(model, damping=0.0, correction=correction, tolerance=1e-6, max_steps=2000, throw=False)
        for correction in ("none", "onsager")
    )
    assert plain.converged
    assert not onsager.converged


def test_leading_bias_refuses_another_correction():
    with pytest.raises(ValueError, match="correction must be 'none' or 'onsager', got 'tap'"):
        leading_gradient_bias(Model(COUPLINGS, BIAS), COST, correction="tap")
