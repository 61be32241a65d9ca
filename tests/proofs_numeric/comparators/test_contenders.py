"""Each rule's mean and variance against differences, enumeration, quadrature, and the neighbour's own module."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dynamics import exact_estimator_moments, exact_gradient, exact_law
from meanfield import ConvergenceError, Gradient, Model, equilibrium_gradient, implicit_gradient
from meanfield.solve import fixed_point
from proofs_numeric.comparators import contenders, evolution_strategies
from proofs_numeric.comparators.continual import continual_phase

# 6 comparisons with normal averages, one of 64 batches with a Student t
FALSE_ALARM, COMPARISONS = 1e-9, 7
LIMIT = float(stats.norm.isf(FALSE_ALARM / COMPARISONS / 2))
SETTINGS = contenders.Settings(nudging=0.3, steps=12, samples=1024, seed=5)
PAIR, DEEP = (contenders.draw_case(layers, temperature=0.9, gain=0.6, seed=2) for layers in ((1, 1), (2, 2, 1)))


def moved(case, direction, step):
    """The case at θ + step · direction."""
    below, above = case.edges
    couplings, change = case.model.couplings.copy(), step * direction
    couplings[below, above] += change[: len(below)]
    couplings[above, below] += change[: len(below)]
    model = Model(couplings, case.model.bias + change[len(below) :], case.model.temperature)
    ends = np.cumsum((0, *case.layers))
    weights = [couplings[ends[k + 1] : ends[k + 2], ends[k] : ends[k + 1]] for k in range(len(case.layers) - 1)]
    return case._replace(model=model, weights=weights)


def slopes(case, loss, step=1e-5):
    """Central differences of a loss of the case, (d,)."""
    count = len(case.edges[0]) + case.model.size
    return np.array(
        [(loss(moved(case, one, step)) - loss(moved(case, one, -step))) / (2 * step) for one in np.eye(count)]
    )


@pytest.mark.exact
def test_a_case_is_layered_has_its_gain_and_one_set_of_weights():
    case = contenders.draw_case((4, 3, 2), temperature=2.0, gain=0.7, seed=0)
    assert case.model.gain == pytest.approx(0.35)
    layer = np.repeat([0, 1, 2], case.layers)
    np.testing.assert_array_equal(case.model.couplings != 0, np.abs(layer[:, None] - layer) == 1)
    np.testing.assert_array_equal(case.model.couplings[4:7, :4], case.weights[0])
    np.testing.assert_array_equal(case.model.couplings[7:, 4:7], case.weights[1])
    np.testing.assert_array_equal(case.cost.outputs, [7, 8])
    assert set(case.cost.target) <= {0.0, 1.0}
    other = contenders.draw_case((4, 3, 2), temperature=2.0, gain=0.7, seed=1)
    assert other.model.couplings[0, 4] != case.model.couplings[0, 4]


@pytest.mark.exact
def test_parameters_are_couplings_of_neighbouring_layers_then_biases():
    gradient = Gradient(np.arange(25.0).reshape(5, 5), np.arange(5.0))
    np.testing.assert_array_equal(DEEP.flat(gradient), [2, 3, 7, 8, 14, 19, 0, 1, 2, 3, 4])
    errors, rates = np.array([1.0, 2, 3, 4, 5]), np.array([10.0, 20, 30, 40, 50])
    np.testing.assert_array_equal(DEEP.from_errors(errors, rates), [30, 40, 60, 80, 150, 200, 1, 2, 3, 4, 5])


@pytest.mark.exact
def test_the_gradient_of_the_pass_from_below_by_differences():
    rates, gradient = contenders.from_below(DEEP)
    np.testing.assert_allclose(
        gradient, slopes(DEEP, lambda case: case.cost.on_rates(contenders.from_below(case)[0])), rtol=1e-7, atol=1e-11
    )
    assert rates[0] == pytest.approx(1 / (1 + math.exp(-DEEP.model.bias[0] / 0.9)))


@pytest.mark.exact
def test_mean_field_ep_is_the_packages_own_in_units_of_the_temperature():
    found = contenders.mean_field("one-sided", 2.0)(DEEP, SETTINGS)
    exact = equilibrium_gradient(DEEP.model, DEEP.cost, nudging=0.27, estimator="one-sided")
    np.testing.assert_array_equal(found.mean, DEEP.flat(exact))
    assert (found.relaxations, found.variance) == (2.0, 0.0)


@pytest.mark.exact
def test_continual_ep_is_that_of_g2_where_every_pair_is_a_synapse():
    phase = continual_phase(PAIR.model, PAIR.cost, nudging=0.27, ratio=0.27, steps=12, leak=1.0)
    learnt = Gradient(phase.couplings - PAIR.model.couplings, phase.bias - PAIR.model.bias)
    np.testing.assert_allclose(
        contenders.continual(PAIR, SETTINGS).mean, -PAIR.flat(learnt) / 0.27**2, rtol=1e-9, atol=1e-12
    )


@pytest.mark.exact
def test_feedback_of_full_strength_is_ep_of_the_model_but_for_its_pairs():
    settings = SETTINGS._replace(nudging=1e-5, feedback=1.0)
    found = contenders.scaled_feedback(DEEP, settings)
    exact = implicit_gradient(DEEP.model, DEEP.cost)
    np.testing.assert_allclose(found.mean[-5:], exact.bias, rtol=1e-3, atol=1e-6)
    mean = fixed_point(DEEP.model).value
    np.testing.assert_allclose(found.mean, DEEP.from_errors(exact.bias, mean), rtol=1e-3, atol=1e-6)


@pytest.mark.exact
def test_feedback_that_vanishes_leaves_backpropagation():
    found = contenders.scaled_feedback(DEEP, SETTINGS._replace(nudging=1e-3, feedback=1e-3))
    np.testing.assert_allclose(found.mean, contenders.from_below(DEEP)[1], rtol=5e-3, atol=1e-6)


@pytest.mark.exact
def test_what_never_rests_is_said():
    with pytest.raises(ConvergenceError, match="no rest within"):
        contenders.settle(lambda state: 1 - state, np.zeros(2))
    assert contenders.sweeps(lambda state: state / 10, np.ones(1)) == 6


@pytest.mark.exact
@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("statistic", ["spikes", "probabilities"])
def test_glauber_moments_are_those_of_enumerated_pairs_of_phases(coupled, statistic):
    found = contenders.glauber(coupled, statistic)(DEEP, SETTINGS)
    exact = exact_estimator_moments(
        DEEP.model, DEEP.cost, nudging=0.27, steps_nudged=12, coupled=True, statistic=statistic
    )
    np.testing.assert_allclose(found.mean, DEEP.flat(exact.mean), rtol=1e-9, atol=1e-12)
    if coupled:
        assert found.variance == pytest.approx(DEEP.flat(exact.variance).sum())


@pytest.mark.exact
def test_independent_phases_of_relaxed_chains_have_the_variance_of_their_laws():
    settings = SETTINGS._replace(steps=60)
    exact = exact_estimator_moments(DEEP.model, DEEP.cost, nudging=0.27, steps_nudged=60, coupled=False)
    found = contenders.glauber(False, "spikes")(DEEP, settings)
    assert found.variance == pytest.approx(DEEP.flat(exact.variance).sum())
    assert found.relaxations == 4


@pytest.mark.statistical
def test_sampled_moments_are_near_the_exact_ones(monkeypatch):
    exact = contenders.glauber(True, "spikes")(DEEP, SETTINGS)
    monkeypatch.setattr(contenders, "MAX_PAIR_UNITS", 4)
    found = contenders.glauber(True, "spikes")(DEEP, SETTINGS._replace(batches=64, samples=8192))
    band = stats.t.isf(FALSE_ALARM / COMPARISONS / 2, 63)
    assert abs(found.variance - exact.variance) < band * found.variance_error
    assert found.variance_error < 0.1 * exact.variance
    np.testing.assert_array_equal(found.mean, exact.mean)


@pytest.mark.statistical
def test_leaky_spikes_of_small_leaks_estimate_the_gradient_of_rates():
    found = contenders.leaky(PAIR, SETTINGS._replace(leak=0.05, nudging=0.1))
    exact = PAIR.flat(implicit_gradient(PAIR.model, PAIR.cost))
    assert found.relaxations == pytest.approx(3 * 240 / 12)
    # noise, and a bias of the order of the leak
    assert np.linalg.norm(found.mean - exact) < LIMIT * found.mean_error + 0.05 * np.linalg.norm(exact)
    assert found.mean_error == pytest.approx(math.sqrt(found.variance / 4096), rel=1e-6)


@pytest.mark.exact
def test_the_three_factor_rule_has_no_bias_and_less_noise_a_sample_of_many():
    found = contenders.three_factor(DEEP, SETTINGS)
    np.testing.assert_array_equal(found.mean, DEEP.flat(exact_gradient(DEEP.model, DEEP.cost)))
    assert 0 < found.rate < 2 * found.variance


@pytest.mark.exact
def test_the_landscape_of_a_network_has_its_slope_and_none_of_absent_couplings():
    scene = contenders.own_landscape(DEEP)
    assert scene.features.shape == (32, 11)
    np.testing.assert_allclose(
        evolution_strategies.slope(scene), DEEP.flat(exact_gradient(DEEP.model, DEEP.cost)), rtol=1e-9, atol=1e-13
    )
    direction = np.random.default_rng(0).normal(size=11)
    other = moved(DEEP, direction, 0.5)
    np.testing.assert_allclose(
        scene.laws(scene.parameters + 0.5 * direction), exact_law(other.model).probabilities, rtol=1e-9
    )


@pytest.mark.statistical
def test_sampled_moments_of_evolution_strategies_are_those_of_quadrature():
    found = contenders.perturbed(True)(PAIR, SETTINGS._replace(samples=4096))
    exact = evolution_strategies.antithetic_moments(contenders.own_landscape(PAIR), 0.27)
    assert np.linalg.norm(found.mean - exact.mean) < LIMIT * found.mean_error
    variance = exact.second + exact.noise - float(exact.mean @ exact.mean)
    # the variance is told from the same mean, whose own error counts twice its length
    allowed = LIMIT * (found.variance_error + 2 * found.mean_error * np.linalg.norm(exact.mean))
    assert abs(found.variance - variance) < allowed
    assert found.variance_error < 0.1 * variance


@pytest.mark.statistical
def test_evolution_strategies_lean_by_half_the_laplacian():
    found = contenders.perturbed(True)(DEEP, SETTINGS._replace(nudging=0.1, samples=8192))
    scene = contenders.own_landscape(DEEP)
    lean = found.mean - evolution_strategies.slope(scene)
    leading = 0.5 * 0.09**2 * evolution_strategies.laplacian_slope(scene)
    assert np.linalg.norm(lean - leading) < LIMIT * found.mean_error + 0.2 * np.linalg.norm(leading)


@pytest.mark.statistical
def test_the_variance_of_exact_losses_is_the_number_of_parameters_and_one():
    for case in (PAIR, DEEP):
        exact = case.flat(implicit_gradient(case.model, case.cost))
        found = contenders.perturbed(False)(case, SETTINGS._replace(nudging=0.005))
        ratio = found.variance / float(exact @ exact)
        assert ratio == pytest.approx(len(exact) + 1, rel=0.02)


@pytest.mark.exact
def test_losses_at_rest_of_perturbed_networks_are_those_of_each():
    draws = 0.3 * np.random.default_rng(1).normal(size=(3, 11))
    found = contenders.rest_losses(DEEP, draws)
    for loss, draw in zip(found, draws, strict=True):
        other = moved(DEEP, draw, 1.0)
        assert loss == pytest.approx(float(other.cost.on_rates(fixed_point(other.model).value)), rel=1e-9)


def coding_energy(case, nudging):
    """min E_β, or without the nudge at a clamped output."""
    state, errors = contenders.coded(case, nudging)
    fit = 0.5 * sum(float(error @ error) for error in errors)
    return fit if math.isinf(nudging) else fit + nudging * float(case.cost.on_rates(state))


@pytest.mark.exact
@pytest.mark.parametrize("nudging", [0.05, 2.0, math.inf])
def test_predictive_coding_descends_its_least_energy(nudging):
    clamped = math.isinf(nudging)
    settings = SETTINGS if clamped else SETTINGS._replace(nudging=nudging)
    found = contenders.predictive(DEEP, settings, clamped=clamped)
    exact = slopes(DEEP, lambda case: coding_energy(case, nudging)) / (1.0 if clamped else nudging)
    np.testing.assert_allclose(found.mean, exact, rtol=1e-6, atol=1e-9)


@pytest.mark.exact
def test_a_strongly_damped_target_is_the_gradient_and_a_difference_target_of_square_layers_is_gauss_newtons():
    strong = contenders.targets(True)(DEEP, SETTINGS._replace(damping=1e6))
    np.testing.assert_allclose(strong.mean, contenders.from_below(DEEP)[1], rtol=1e-5)
    square = contenders.draw_case((2, 2, 2), temperature=0.9, gain=0.6, seed=2)
    weak = contenders.targets(True)(square, SETTINGS._replace(damping=1e-14))
    exact = contenders.targets(False)(square, SETTINGS)
    hidden = np.arange(len(square.edges[0]), len(square.edges[0]) + 4)
    np.testing.assert_allclose(weak.mean[hidden] / 1e-14, exact.mean[hidden], rtol=1e-3)
    np.testing.assert_array_equal(exact.mean[-2:], weak.mean[-2:])
    np.testing.assert_allclose(exact.mean[-2:], contenders.from_below(square)[1][-2:])
