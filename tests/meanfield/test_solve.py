"""Fixed points are where they are said to be, are all found, and a failed search says what to do."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logsumexp, rel_entr

from dynamics.enumeration import all_states, product_law
from meanfield import ConvergenceError, Model, MultistabilityWarning, QuadraticCost, fixed_point, free_energy
from meanfield.solve import MeanFieldMap, _newton_point, continued_fixed_point

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 8), st.integers(0, 2**31 - 1)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
CORRECTIONS = pytest.mark.parametrize("correction", ["none", "onsager"])
COSTS_ON = pytest.mark.parametrize("cost_on", ["rates", "spikes"])


def image(model: Model, mean: np.ndarray, correction: str, force: np.ndarray | float = 0.0) -> np.ndarray:
    """σ((Jm + b + force)/T [+ ½(1 − 2m) ∘ (J∘J)v/T²]), written out again."""
    field = (model.couplings @ mean + model.bias + force) / model.temperature
    if correction == "onsager":
        field += 0.5 * (1 - 2 * mean) * ((model.couplings / model.temperature) ** 2 @ (mean * (1 - mean)))
    return expit(field)


def symmetric_pair(coupling: float, temperature: float = 1.0) -> Model:
    """b = −½J1: m = ½ is a fixed point."""
    return Model([[0, coupling], [coupling, 0]], [-coupling / 2] * 2, temperature)


@CORRECTIONS
@pytest.mark.parametrize("method", ["damped", "newton"])
@given(size=SIZES, gain=st.floats(0, 0.45), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_residual_is_met_as_stated(network, correction, method, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    solution = fixed_point(model, correction=correction, method=method)
    assert solution.converged
    assert solution.residual <= 1e-12
    assert np.abs(image(model, solution.value, correction) - solution.value).max() <= 1.1e-12
    assert ((solution.value >= 0) & (solution.value <= 1)).all()


@CORRECTIONS
@given(size=SIZES, gain=st.floats(0, 0.45), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_damped_and_newton_agree(network, correction, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    values = [fixed_point(model, correction=correction, method=method).value for method in ("damped", "newton")]
    np.testing.assert_allclose(values[0], values[1], rtol=0, atol=1e-11)


@given(size=st.integers(2, 8), gain=st.floats(1.0, 30.0), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_newton_converges_where_many_fixed_points_exist(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    solution = fixed_point(model, start=np.full(size, 0.5), method="newton")
    assert np.abs(image(model, solution.value, "none") - solution.value).max() <= 2e-12


@COSTS_ON
@CORRECTIONS
@given(size=SIZES, gain=st.floats(0, 0.4), nudging=st.floats(-0.5, 0.5), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_nudged_residual_is_met(network, correction, cost_on, size, gain, nudging, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    nudging *= model.temperature
    value = fixed_point(
        model, correction=correction, cost=QuadraticCost([0], [0.8]), nudging=nudging, cost_on=cost_on
    ).value
    force = np.zeros(size)
    force[0] = -nudging * ((value[0] if cost_on == "rates" else 0.5) - 0.8)
    assert np.abs(image(model, value, correction, force) - value).max() <= 1.1e-12


@given(size=SIZES, gain=st.floats(0, 0.9), seed=SEEDS)
def test_a_nudge_on_spikes_is_a_bias(network, size, gain, seed):
    model, cost = network(size, gain, 0.0, seed), QuadraticCost([0], [0.9])
    nudged = fixed_point(model, cost=cost, nudging=0.7, cost_on="spikes").value
    tilted = model.bias.copy()
    tilted[0] += 0.7 * 0.4
    np.testing.assert_allclose(nudged, fixed_point(model.with_bias(tilted)).value, atol=1e-11)


def test_without_couplings_the_fixed_point_is_logistic():
    bias = np.array([-1000.0, -3.0, 0.0, 2.0, 1000.0])
    value = fixed_point(Model(np.zeros((5, 5)), bias, 2.0), damping=0.0).value
    np.testing.assert_allclose(value, expit(bias / 2), rtol=1e-11)
    assert value[[0, 4]].tolist() == [expit(-500.0), 1.0]


@given(size=SIZES, gain=st.floats(0, 0.95), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_every_start_leads_to_the_only_fixed_point_below_four_temperatures(network, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, norm="curvature")
    solution = fixed_point(model, damping=0.9)
    assert solution.unique is True
    assert solution.others == ()
    for start in (np.zeros(size), np.ones(size), np.random.default_rng(seed).uniform(size=size)):
        # the damped map contracts by 1 − ε(1 − gain) at worst, so residual 1e-12 is an error of 1e-12/(1 − gain) at most
        other = fixed_point(model, start=start, damping=0.9)
        assert other.unique is True
        np.testing.assert_allclose(other.value, solution.value, rtol=0, atol=1e-10)


@given(coupling=st.floats(4.5, 30.0), log_temperature=LOG_TEMPERATURES)
def test_all_three_fixed_points_of_the_bistable_pair_are_listed(coupling, log_temperature):
    temperature = math.exp(log_temperature)
    model = symmetric_pair(coupling * temperature, temperature)
    with pytest.warns(MultistabilityWarning, match=r"3 fixed points found at λ_max\(J\)/\(4T\)"):
        solution = fixed_point(model)
    assert solution.unique is False
    found = sorted([solution.value.tolist(), *(other.tolist() for other in solution.others)])
    assert len(found) == 3
    np.testing.assert_allclose(found[1], [0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(np.array(found[0]) + found[2], [1.0, 1.0], atol=1e-9)
    assert found[0][0] < 0.5
    for point in found:
        assert np.abs(image(model, np.array(point), "none") - point).max() < 1e-9


def test_a_start_chooses_without_a_warning_and_without_a_claim_of_uniqueness():
    model = symmetric_pair(8.0)
    low, high = (fixed_point(model, start=[start] * 2) for start in (0.0, 1.0))
    assert low.value[0] < 0.1 < 0.9 < high.value[0]
    assert low.unique is None
    assert high.others == ()


def test_beyond_the_proof_a_lone_fixed_point_is_unknown_to_be_unique():
    # λ_max = 5T, but a bias of −20T leaves the pair silent
    solution = fixed_point(Model([[0, 5.0], [5.0, 0]], [-20.0, -20.0]))
    assert solution.unique is None
    assert solution.others == ()


@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_failure_names_residual_tolerance_and_gain_and_its_remedy_works(temperature):
    model, start = symmetric_pair(-40 * temperature, temperature), [0.9, 0.6]
    with pytest.raises(ConvergenceError) as failure:
        fixed_point(model, damping=0.0, start=start, max_steps=500)
    sentence = str(failure.value)
    assert re.search(r"not reached in 500 steps: residual 1\.0e\+00 > 1\.0e-12 at κ = ‖J‖₂/\(4T\) = 10;", sentence)
    suggested = float(re.search(r"try damping=(0\.\d+)", sentence)[1])
    assert fixed_point(model, damping=suggested, start=start).converged


@pytest.mark.parametrize(
    "ratio",
    [
        10.0,
        100.0,
        700.0,
        2000.0,
    ],
)
def test_the_suggested_damping_converges_whatever_the_antiferromagnet(ratio):
    model, start = symmetric_pair(-ratio), [0.9, 0.6]
    with pytest.raises(ConvergenceError) as failure:
        fixed_point(model, damping=0.0, start=start, max_steps=100)
    suggested = float(re.search(r"try damping=([\d.]+)", str(failure.value))[1])
    assert fixed_point(model, damping=suggested, start=start).converged


def test_without_throw_the_result_is_handed_back_unconverged():
    model = symmetric_pair(-40.0)
    solution = fixed_point(model, damping=0.0, start=[0.9, 0.6], max_steps=50, throw=False)
    assert (solution.converged, solution.steps) == (False, 50)
    assert solution.residual > 0.9
    assert solution.unique is None


def test_a_failure_suggests_halfway_from_the_descent_limit_to_one():
    # λ⁻ = 700, T = 1: descent up to a leak of 8T/(4T + λ⁻), which the suggestion halves
    with pytest.raises(ConvergenceError) as failure:
        fixed_point(symmetric_pair(-700.0), damping=0.0, start=[0.9, 0.6], max_steps=100)
    leak = 8 / 704
    assert f"damping below {1 - leak:.4g} may oscillate: try damping={1 - leak / 2:.4f}" in str(failure.value)
    with pytest.raises(ConvergenceError, match="try method='newton' or more max_steps"):
        fixed_point(symmetric_pair(-700.0), damping=0.995, start=[0.9, 0.6], max_steps=3)


def test_newton_is_tried_at_once_and_once_more_at_the_end():
    # without couplings the first Newton step arrives: start, step, last step
    assert fixed_point(Model(np.zeros((2, 2)), [1.0, -2.0]), method="newton", start=[0.5, 0.5]).steps == 3


def test_newton_rescues_what_plain_iteration_cannot():
    solution = fixed_point(symmetric_pair(-40.0), damping=0.0, start=[0.9, 0.6], method="newton")
    assert solution.converged


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"damping": -0.1}, r"damping must lie in \[0, 1\), got -0.1"),
        ({"damping": 1.0}, r"damping must lie in \[0, 1\), got 1.0"),
        ({"damping": math.nan}, r"damping must lie in \[0, 1\), got nan"),
        ({"tolerance": 0.0}, "tolerance must be positive and finite, got 0.0"),
        ({"tolerance": -1e-9}, "tolerance must be positive and finite, got -1e-09"),
        ({"tolerance": math.inf}, "tolerance must be positive and finite, got inf"),
        ({"tolerance": math.nan}, "tolerance must be positive and finite, got nan"),
        ({"max_steps": 0}, "max_steps must be .*at least 1, got 0"),
        ({"max_steps": -3}, "max_steps must be .*at least 1, got -3"),
        ({"method": "secant"}, "method must be 'damped' or 'newton', got 'secant'"),
        ({"correction": "tap"}, "correction must be 'none' or 'onsager', got 'tap'"),
        ({"nudging": 0.1}, "nudging = 0.1 needs a cost"),
        ({"nudging": math.nan}, "nudging must be finite, got nan"),
        ({"nudging": 0.1j}, "nudging must be real here"),
        ({"nudging": math.inf, "cost": QuadraticCost([0], [1.0])}, "nudging must be finite, got inf"),
        ({"nudging": 0.1, "cost": QuadraticCost([2], [1.0])}, "outputs name unit 2, but the network has 2 units"),
        (
            {"nudging": 0.1, "cost": QuadraticCost([0], [1.0]), "cost_on": "z"},
            "cost_on must be 'rates' or 'spikes', got 'z'",
        ),
        ({"start": [0.5, 1.1]}, r"start must lie in \[0, 1\], got 1.1"),
        ({"start": [-0.1, 1.0]}, r"start must lie in \[0, 1\], got -0.1"),
        ({"start": [0.5, math.nan]}, "start must be finite, got nan"),
        ({"start": [0.5]}, r"start must have shape \(2,\), got \(1,\)"),
        ({"start": 0.5}, r"start must have 1 dimension\(s\)"),
    ],
)
def test_bad_argument_is_refused_with_the_value(arguments, said):
    with pytest.raises(ValueError, match=said):
        fixed_point(symmetric_pair(1.0), **arguments)


@pytest.mark.parametrize("max_steps", [math.nan, 2.5])
def test_steps_are_counted_in_whole_numbers(max_steps):
    with pytest.raises(ValueError, match=f"max_steps must be .*got {max_steps}"):
        fixed_point(symmetric_pair(1.0), max_steps=max_steps)


@pytest.mark.parametrize("nudging", [0.8, -0.8, 0.3 + 0.5j])
def test_continuation_ends_at_the_nudged_fixed_point_on_the_free_ones_branch(network, nudging):
    model, cost = network(4, 0.6, 0.3, 5), QuadraticCost([0, 2], [0.9, 0.2])
    mapping = MeanFieldMap.of(model, "none", cost, nudging, "rates")
    free = fixed_point(model, method="newton").value
    found = continued_fixed_point(mapping, free, 0.1)
    assert np.iscomplexobj(found) == isinstance(nudging, complex)
    np.testing.assert_allclose(mapping(found), found, atol=1e-12)
    if not isinstance(nudging, complex):
        np.testing.assert_allclose(found, fixed_point(model, cost=cost, nudging=nudging).value, atol=1e-10)


def test_a_lost_branch_is_said_with_the_nudging_where_it_was_lost():
    # one unit: m = σ(−β(m − ½)/T) has a branch point at |β| near 4T on the negative ray's other side
    mapping = MeanFieldMap.of(Model([[0.0]], [0.0]), "none", QuadraticCost([0], [0.9]), 1e6j, "rates")
    with pytest.raises(ConvergenceError, match=r"nudged fixed point lost at nudging .*: residual .* > 1e-12; a branch"):
        continued_fixed_point(mapping, np.array([0.5]), 2.5e5)


@given(size=SIZES, gain=st.floats(0, 3), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_free_energy_exceeds_the_exact_one_by_temperature_times_divergence(network, size, gain, log_temperature, seed):
    model, mean = network(size, gain, log_temperature, seed), np.random.default_rng(seed).uniform(size=size)
    mean[0] = round(mean[0])
    states = all_states(size)
    log_weights = -model.energy(states) / model.temperature
    log_partition = logsumexp(log_weights)
    divergence = rel_entr(product_law(mean), np.exp(log_weights - log_partition)).sum()
    gap = free_energy(model, mean) / model.temperature + log_partition
    if np.isfinite(divergence):
        assert np.isclose(gap, divergence, rtol=1e-9, atol=1e-9 * (1 + np.abs(log_weights).max()))
    assert gap >= -1e-9 * (1 + np.abs(log_weights).max())


@given(size=SIZES, gain=st.floats(0, 2), seed=SEEDS)
def test_onsager_term_is_the_sum_over_pairs(network, size, gain, seed):
    model, mean = network(size, gain, 0.3, seed), np.random.default_rng(seed).uniform(size=size)
    v, temperature = mean * (1 - mean), model.temperature
    term = sum(model.couplings[i, j] ** 2 * v[i] * v[j] for i in range(size) for j in range(size)) / (4 * temperature)
    corrected = free_energy(model, mean, correction="onsager")
    assert np.isclose(corrected, free_energy(model, mean) - term, rtol=1e-12)


@CORRECTIONS
@given(size=SIZES, gain=st.floats(0, 0.4), seed=SEEDS)
def test_free_energy_is_stationary_at_the_fixed_point(network, correction, size, gain, seed):
    model = network(size, gain, 0.0, seed)
    value = fixed_point(model, correction=correction).value
    for move in 1e-4 * np.eye(size):
        slope = free_energy(model, value + move, correction) - free_energy(model, value - move, correction)
        # third derivatives of the entropy are at most (1/v)²
        assert abs(slope) / 2e-4 < 1e-8 / (value * (1 - value)).min() ** 2 + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_free_energy_errs_by_the_second_power_of_the_couplings_and_the_corrected_one_by_the_third(network, seed):
    base, errors = network(6, 0.5, 0.0, seed), {"none": [], "onsager": []}
    for factor in (0.02, 0.01):
        model = Model(factor * base.couplings, base.bias)
        exact = -logsumexp(-model.energy(all_states(6)))
        for correction, values in errors.items():
            mean = fixed_point(model, correction=correction, tolerance=1e-15).value
            values.append(abs(free_energy(model, mean, correction) - exact))
    assert abs(math.log2(errors["none"][0] / errors["none"][1]) - 2) < 0.1
    assert math.log2(errors["onsager"][0] / errors["onsager"][1]) > 2.8


@pytest.mark.parametrize("bad", [[0.5, 1.5], [math.nan, 0.5], [0.5]])
def test_free_energy_refuses_what_is_no_activity(bad):
    with pytest.raises(ValueError, match="mean_activity must"):
        free_energy(symmetric_pair(1.0), bad)
    with pytest.raises(ValueError, match="correction must be 'none' or 'onsager', got 'tap'"):
        free_energy(symmetric_pair(1.0), [0.5, 0.5], correction="tap")


@CORRECTIONS
@given(size=SIZES, gain=st.floats(0, 0.45), power=st.integers(-10, 10), seed=SEEDS)
def test_only_ratios_to_the_temperature_matter(network, correction, size, gain, power, seed):
    model, scale = network(size, gain, 0.0, seed), 2.0**power
    scaled = Model(scale * model.couplings, scale * model.bias, scale * model.temperature)
    cost = QuadraticCost([0], [0.3])
    values = [
        fixed_point(m, correction=correction, cost=cost, nudging=0.1 * m.temperature).value for m in (model, scaled)
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-10)
    energies = [free_energy(m, values[0], correction) for m in (model, scaled)]
    assert np.isclose(scale * energies[0], energies[1], rtol=1e-10)


def test_a_saturated_network_warns_of_nothing_but_its_multiplicity():
    model = Model([[0, 1e3], [1e3, 0]], [2e3, 2e3], 1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for correction in ("none", "onsager"):
            solution = fixed_point(model, start=[1.0, 1.0], correction=correction)
            assert solution.value.tolist() == [1.0, 1.0]


@CORRECTIONS
def test_uniqueness_does_not_depend_on_the_unit_of_energy(correction):
    """(J, b, T) and (λJ, λb, λT) have the same fixed points, so proofs of uniqueness must agree."""
    couplings = np.array([[0.0, 1.0, -1.0], [1.0, 0.0, 1.0], [-1.0, 1.0, 0.0]])
    verdicts = {
        unit: [
            MeanFieldMap.of(
                Model(unit * gain * couplings, np.zeros(3), unit), correction, None, 0.0, "rates"
            ).proves_unique()
            for gain in np.linspace(0.1, 5.0, 200)
        ]
        for unit in (1.0, 0.25, 4.0)
    }
    assert verdicts[1.0] == verdicts[0.25] == verdicts[4.0]
    assert True in verdicts[1.0]
    assert False in verdicts[1.0]


def test_a_newton_step_solves_the_linearised_equation(network):
    model = network(5, 2.0, 0.5, 3)
    mapping = MeanFieldMap.of(model, "none", None, 0.0, "rates")
    value = np.full(5, 0.4)
    point = _newton_point(mapping, value, mapping(value))
    expected = value - np.linalg.inv(np.eye(5) - mapping.jacobian(value)) @ (value - mapping(value))
    np.testing.assert_allclose(point, np.clip(expected, 0, 1), rtol=1e-12)
