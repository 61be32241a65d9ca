"""The bounds on the landscape are the formulas they state, hold for the exact losses, and are attained."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from dynamics import exact_gradient, exact_law
from dynamics.enumeration import all_states
from meanfield import HypothesisError, Model, QuadraticCost, bounds, fixed_point, susceptibility
from meanfield.bounds.smoothing import cost_range

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 5), st.integers(0, 2**31 - 1)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
M2 = 1 / (6 * math.sqrt(3))
PEAK = math.log(2 + math.sqrt(3))
BENT_UNIT = Model([[0.0]], [2 * PEAK], 2.0)


def extremes(model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(least p, greatest p, max σ', max |σ''|) over the fields of each unit, on a grid."""
    fields = model.local_field(all_states(model.size)) / model.temperature
    p = expit(np.linspace(fields.min(axis=0), fields.max(axis=0), 4001))
    slope = p * (1 - p)
    return p[0], p[-1], slope.max(axis=0), (slope * np.abs(1 - 2 * p)).max(axis=0)


def some_cost(model: Model, seed: int) -> QuadraticCost:
    generator = np.random.default_rng(seed)
    outputs = generator.permutation(model.size)[: 1 + seed % model.size]
    return QuadraticCost(outputs, generator.uniform(size=outputs.size))


@given(size=SIZES, gain=st.floats(0, 0.95), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_the_response_norm_is_its_formula_and_holds(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, norm="curvature")
    temperature, (_, _, slope, _) = model.temperature, extremes(model)
    stiffness = np.linalg.eigvalsh(np.diag(temperature / slope) - model.couplings)[0]
    bound = bounds.response_norm(model)
    assert bound == pytest.approx(1 / stiffness, rel=1e-4)
    assert bound <= (1 + 1e-9) / (4 * temperature - model.spectrum[-1])
    mean = fixed_point(model).value
    assert np.linalg.norm(susceptibility(model, mean), 2) <= bound * (1 + 1e-9)


def test_the_response_norm_is_attained_at_the_symmetric_point():
    couplings = np.array([[0.0, 1.5], [1.5, 0.0]])
    model = Model(couplings, -0.5 * couplings.sum(axis=1), 0.5)
    assert bounds.response_norm(model) == pytest.approx(1 / (4 * 0.5 - 1.5))


def test_a_unit_that_cannot_move_does_not_respond():
    assert bounds.response_norm(Model([[0.0]], [1e6], 1.0)) == 0.0


@given(size=SIZES, gain=st.floats(0, 0.95), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_curvatures_are_their_formulas(network, size, gain, log_temperature, seed):
    model, temperature = network(size, gain, log_temperature, seed, norm="curvature"), math.exp(log_temperature)
    low, high, _, curvature = extremes(model)
    reach = 1 + np.linalg.norm(model.couplings, 2) * bounds.response_norm(model)
    bend = curvature.max() * reach**3 / temperature**2
    assert bounds.response_curvature(model) == pytest.approx(bend, rel=1e-4)
    cost = some_cost(model, seed)
    steepest = [max(abs(low[o] - y), abs(high[o] - y)) for o, y in zip(cost.outputs, cost.target, strict=True)]
    on_rates = np.linalg.norm(steepest) * bend + bounds.response_norm(model) ** 2
    assert bounds.loss_curvature(model, cost) == pytest.approx(on_rates, rel=1e-4)
    on_spikes = np.linalg.norm(0.5 - cost.target) * bend
    assert bounds.loss_curvature(model, cost, cost_on="spikes") == pytest.approx(on_spikes, rel=1e-4, abs=1e-300)


def test_the_contracting_form_is_never_sharper(network):
    for seed in range(20):
        model = network(4, 0.7, 0.3, seed, norm="spectral")
        coarse = M2 / (model.temperature**2 * (1 - model.gain) ** 3)
        assert bounds.response_curvature(model) <= coarse * (1 + 1e-9)


def test_the_curvature_of_one_unit_is_attained():
    cost = QuadraticCost([0], [0.0])
    assert bounds.response_curvature(BENT_UNIT) == pytest.approx(M2 / 4)
    assert bounds.loss_curvature(BENT_UNIT, cost, cost_on="spikes") == pytest.approx(0.5 * M2 / 4)


def test_beyond_convexity_the_mean_field_bounds_are_refused():
    pair = Model([[0, 4.0], [4.0, 0]], [-2.0, -2.0])
    for bound in (bounds.response_norm, bounds.response_curvature):
        with pytest.raises(HypothesisError, match=r"needs λ_max\(J\) < 4, got 4"):
            bound(pair)


@given(size=SIZES, gain=st.floats(0, 3), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_the_slope_of_the_mean_cost_is_its_formula_and_holds(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, norm="spectral")
    cost, (low, high, slope, _) = some_cost(model, seed), extremes(model)
    scale = np.abs(0.5 - cost.target).sum() / model.temperature
    assert cost_range(model, cost) == pytest.approx(scale * model.temperature)
    bound = bounds.gibbs_loss_slope(model, cost)
    np.testing.assert_allclose(bound.bias, scale * slope, rtol=1e-4)
    for i in range(size):
        assert bound.couplings[i, i] == 0
        for j in range(i):
            chances = np.linspace(low[i] * low[j], high[i] * high[j], 4001)
            variance = (chances * (1 - chances)).max()
            assert bound.couplings[i, j] == bound.couplings[j, i] == pytest.approx(scale * variance, rel=1e-4)
    exact = exact_gradient(model, cost)
    allowance = 1e-9 * scale
    assert (np.abs(exact.bias) <= bound.bias + allowance).all()
    assert (np.abs(exact.couplings) <= bound.couplings + allowance).all()


@given(size=SIZES, gain=st.floats(0, 3), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_the_curvature_of_the_mean_cost_is_its_formula(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, norm="spectral")
    cost, (_, _, slope, curvature) = some_cost(model, seed), extremes(model)
    scale = np.abs(0.5 - cost.target).sum() / model.temperature**2
    bound = bounds.gibbs_loss_curvature(model, cost)
    for i in range(size):
        for j in range(size):
            s = math.sqrt(slope[i] * slope[j])
            variance = s * (1 - 4 * s) if s <= 1 / 8 else 1 / 16
            expected = scale * (curvature[i] if i == j else 0.5 * math.sqrt(variance))
            assert bound[i, j] == pytest.approx(expected, rel=1e-4)
    assert (bound[~np.eye(size, dtype=bool)] <= scale / 8 * (1 + 1e-12)).all()
    law, states = exact_law(model), all_states(size)
    costs, centred = cost.on_spikes(states), states - law.mean
    weights = law.probabilities * (costs - law.probabilities @ costs)
    hessian = (centred * weights[:, None]).T @ centred / model.temperature**2
    assert (np.abs(hessian) <= bound + 1e-9 * scale).all()
    smoothness = bounds.gibbs_loss_smoothness(model, cost)
    assert np.linalg.norm(hessian, 2) <= smoothness + 1e-9 * scale
    assert smoothness <= scale * slope.sum() * (1 + 1e-9)
    assert smoothness <= np.linalg.norm(bound, 2) * (1 + 1e-9) + 1e-300


def test_smoothness_takes_the_covariance_bound_where_it_is_least(network):
    model = Model(np.zeros((6, 6)), np.zeros(6), 2.0)
    cost = QuadraticCost(np.arange(6), np.zeros(6))
    # independent units: λ_max(Cov) = 1/4, against a trace of 6/4 and a norm of the entrywise bound of 5 · R_C/8T²
    assert bounds.gibbs_loss_smoothness(model, cost) == pytest.approx(3.0 / 4 * 0.25)
    frozen = network(5, 3.0, 0.0, 1, norm="spectral")
    assert np.isfinite(bounds.gibbs_loss_smoothness(frozen, QuadraticCost([0], [0.0])))


def test_the_largest_mixed_derivative_is_attained_by_agreement_of_two_units():
    # C = 1[z_1 = z_2] is no quadratic cost; ∂² = R_C/8T² for it, so 1/8 cannot be lowered for all costs
    states, temperature = all_states(2), 0.7
    agree = (states[:, 0] == states[:, 1]).astype(float)
    centred = states - 0.5
    mixed = 0.25 * (centred[:, 0] * centred[:, 1] * (agree - 0.5)).sum() / temperature**2
    assert mixed == pytest.approx(1 / (8 * temperature**2))
