"""Exact laws agree with plain loops, are stationary under their dynamics, and exact gradients are derivatives."""

from __future__ import annotations

import itertools
import math
import re

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logsumexp

from dynamics import exact_gradient, exact_law, leaky_law, sample, transition_matrix
from dynamics.enumeration import all_states, product_law
from meanfield import Gradient, Model, QuadraticCost, equilibrium_gradient

pytestmark = pytest.mark.exact

FALSE_ALARM = 1e-9
SEEDS = st.integers(0, 2**31 - 1)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
LAWS = pytest.mark.parametrize("dynamics", ["gibbs", "little"])
COST = QuadraticCost([0], [0.9])


def plain_law(model: Model, dynamics: str, bias: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """(probabilities, log normaliser), state by state; unit 0 is the fastest digit."""
    bias, temperature, log_weights = model.bias if bias is None else bias, model.temperature, []
    for digits in itertools.product((0, 1), repeat=model.size):
        z = np.array(digits[::-1], dtype=float)
        field = model.couplings @ z
        if dynamics == "gibbs":
            log_weights.append((0.5 * z @ field + bias @ z) / temperature)
        else:
            log_weights.append(bias @ z / temperature + np.logaddexp(0, (field + bias) / temperature).sum())
    total = float(logsumexp(log_weights))
    return np.exp(np.array(log_weights) - total), total


def check_moments(law, probabilities: np.ndarray, log_partition: float, size: int) -> None:
    states = all_states(size)
    mean = probabilities @ states
    covariance = (states - mean).T @ (probabilities[:, None] * (states - mean))
    np.testing.assert_allclose(law.mean, mean, rtol=0, atol=1e-11)
    np.testing.assert_allclose(law.covariance, covariance, rtol=0, atol=1e-11)
    assert np.isclose(law.log_partition, log_partition, rtol=1e-12, atol=1e-11)


@LAWS
@given(size=st.integers(1, 10), gain=st.floats(0, 4), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_law_is_the_plain_loop(network, dynamics, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    law, (probabilities, log_partition) = exact_law(model, dynamics=dynamics), plain_law(model, dynamics)
    check_moments(law, probabilities, log_partition, size)
    np.testing.assert_allclose(law.probabilities, probabilities, rtol=1e-9, atol=1e-300)


@LAWS
@pytest.mark.parametrize("size", [11, 12, 13, 14])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_law_is_the_plain_sum_across_the_border_of_the_low_table(network, dynamics, size, temperature):
    model = network(size, 0.8, math.log(temperature), size)
    law, states = exact_law(model, dynamics=dynamics), all_states(size)
    if dynamics == "gibbs":
        log_weights = -model.energy(states) / temperature
    else:
        excess = np.logaddexp(0, model.local_field(states) / temperature).sum(axis=1)
        log_weights = states @ model.bias / temperature + excess
    log_partition = logsumexp(log_weights)
    probabilities = np.exp(log_weights - log_partition)
    check_moments(law, probabilities, log_partition, size)
    np.testing.assert_allclose(law.probabilities, probabilities, rtol=1e-9, atol=1e-300)


@LAWS
@pytest.mark.parametrize("ratio", [700.0, 1e4, 1e8])
def test_frozen_law_neither_overflows_nor_loses_its_ground_states(dynamics, ratio):
    # degenerate ground states (0, 0) and (1, 1)
    law = exact_law(Model([[0, ratio], [ratio, 0]], [-ratio / 2] * 2), dynamics=dynamics)
    np.testing.assert_allclose(law.mean, [0.5, 0.5], atol=1e-9)
    # Little's layers are independent (thm:B7b): (0, 1) and (1, 0) alternate for ever and weigh as much
    np.testing.assert_allclose(
        law.covariance, np.full((2, 2), 0.25) if dynamics == "gibbs" else 0.25 * np.eye(2), atol=1e-9
    )
    assert np.isfinite(law.log_partition)


@pytest.mark.parametrize("size", [1, 5, 12, 13])
def test_bit_i_of_the_index_is_unit_i(size):
    bias = np.full(size, -1000.0)
    bias[size // 2] = 1000.0
    law = exact_law(Model(np.zeros((size, size)), bias))
    assert law.probabilities.argmax() == 1 << size // 2
    assert all_states(size)[law.probabilities.argmax()].tolist() == (bias > 0).tolist()


@LAWS
def test_without_couplings_the_law_is_a_product(dynamics):
    bias = np.linspace(-2, 2, 9)
    law = exact_law(Model(np.zeros((9, 9)), bias, 0.7), dynamics=dynamics)
    np.testing.assert_allclose(law.probabilities, product_law(expit(bias / 0.7)), rtol=1e-11)


@LAWS
@given(size=st.integers(1, 6), power=st.integers(-10, 10), seed=SEEDS)
def test_law_depends_on_ratios_to_the_temperature_alone(network, dynamics, size, power, seed):
    model, scale = network(size, 1.0, 0.0, seed), 2.0**power
    other = Model(scale * model.couplings, scale * model.bias, scale * model.temperature)
    np.testing.assert_array_equal(
        exact_law(model, dynamics=dynamics).probabilities, exact_law(other, dynamics=dynamics).probabilities
    )


@LAWS
@given(size=st.integers(1, 6), nudging=st.floats(-2, 2), seed=SEEDS)
def test_nudging_is_a_bias_against_the_linear_cost(network, dynamics, size, nudging, seed):
    model = network(size, 0.7, 0.3, seed)
    bias = model.bias.copy()
    bias[0] -= nudging * (0.5 - 0.9)
    law = exact_law(model, dynamics=dynamics, cost=COST, nudging=nudging)
    probabilities, log_partition = plain_law(model, dynamics, bias)
    check_moments(law, probabilities, log_partition, size)
    np.testing.assert_allclose(law.probabilities, probabilities, rtol=1e-9)


def test_gibbs_nudged_is_the_law_of_energy_plus_nudging_times_cost(network):
    model, states = network(4, 0.7, 0.3, 2), all_states(4)
    log_weights = -(model.energy(states) + 0.8 * COST.on_spikes(states)) / model.temperature
    law = exact_law(model, cost=COST, nudging=0.8)
    np.testing.assert_allclose(law.probabilities, np.exp(log_weights - logsumexp(log_weights)), rtol=1e-10)


@LAWS
@pytest.mark.parametrize("size", [12, 17, 19])
def test_thread_count_does_not_change_a_bit(network, dynamics, size):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    model, laws = network(size, 0.8, 0.0, 4), []
    before = numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            laws.append(exact_law(model, dynamics=dynamics))
    finally:
        numba.set_num_threads(before)
    assert laws[0].log_partition == laws[1].log_partition
    np.testing.assert_array_equal(laws[0].mean, laws[1].mean)
    np.testing.assert_array_equal(laws[0].covariance, laws[1].covariance)


HALVES = [pytest.param("gibbs", 30), pytest.param("little", 24, marks=pytest.mark.thorough)]


@pytest.mark.parametrize(("dynamics", "size"), HALVES)
def test_the_largest_network_in_two_halves_has_the_law_of_the_halves(network, dynamics, size):
    halves = [network(size // 2, 0.8, 0.0, seed) for seed in (1, 2)]
    couplings, bias = np.zeros((size, size)), np.zeros(size)
    for half, units in zip(halves, (np.arange(0, size, 2), np.arange(1, size, 2)), strict=True):
        couplings[np.ix_(units, units)], bias[units] = half.couplings, half.bias
    whole, parts = (
        exact_law(Model(couplings, bias), dynamics=dynamics),
        [exact_law(m, dynamics=dynamics) for m in halves],
    )
    assert np.isclose(whole.log_partition, sum(part.log_partition for part in parts), rtol=1e-12)
    for part, first in zip(parts, (0, 1), strict=True):
        np.testing.assert_allclose(whole.mean[first::2], part.mean, atol=1e-12)
        np.testing.assert_allclose(whole.covariance[first::2, first::2], part.covariance, atol=1e-12)
    np.testing.assert_allclose(whole.covariance[0::2, 1::2], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "size", "limit"),
    [
        (exact_law, 31, 30),
        (lambda model: exact_gradient(model, COST), 31, 30),
        (lambda model: exact_law(model, dynamics="little"), 25, 24),
        (lambda model: exact_gradient(model, COST, dynamics="little"), 17, 16),
    ],
)
def test_too_many_units_are_refused(function, size, limit):
    said = f"{size} units have 2^{size} states, too many to enumerate (limit {limit} units): use sample or estimate"
    with pytest.raises(ValueError, match=re.escape(said)):
        function(Model(np.zeros((size, size)), np.zeros(size)))


def test_a_law_too_large_to_store_has_moments_and_no_probabilities():
    bias = np.linspace(-1, 1, 25)
    law = exact_law(Model(np.zeros((25, 25)), bias))
    np.testing.assert_allclose(law.mean, expit(bias), rtol=1e-12)
    said = "25 units have 2^25 states, too many to enumerate (limit 24 units): mean, covariance and log_partition are summed"
    for stored in (law.log_probabilities, lambda: law.probabilities):
        with pytest.raises(ValueError, match=re.escape(said)):
            stored()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dynamics": "leaky"}, "dynamics must be 'gibbs' or 'little', got 'leaky'"),
        ({"nudging": 0.5}, "nudging = 0.5 needs a cost"),
        ({"nudging": math.nan, "cost": COST}, "nudging must be finite, got nan"),
        ({"nudging": 0.5, "cost": QuadraticCost([7], [0.5])}, "outputs name unit 7, but the network has 2 units"),
    ],
)
def test_bad_law_is_refused_with_the_value(network, arguments, said):
    with pytest.raises(ValueError, match=said):
        exact_law(network(2, 0.5, 0.0, 0), **arguments)


@pytest.mark.parametrize("cost_on", ["spikes", "rates"])
@given(size=st.integers(1, 5), gain=st.floats(0, 1.5), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_exact_gradient_is_the_derivative_of_the_loss(
    network, differentiate, cost_on, size, gain, log_temperature, seed
):
    model, cost = (
        network(size, gain, log_temperature, seed),
        QuadraticCost([0, size - 1][: min(size, 2)], [0.8, 0.1][: min(size, 2)]),
    )
    reading = cost.on_mean_spikes if cost_on == "spikes" else cost.on_rates
    numeric = differentiate(model, lambda moved: reading(exact_law(moved).mean))
    for exact, difference in zip(exact_gradient(model, cost, cost_on=cost_on), numeric, strict=True):
        np.testing.assert_allclose(model.temperature * exact, model.temperature * difference, rtol=0, atol=1e-8)


def test_exact_gradient_across_the_border_of_the_low_table_is_a_covariance(network):
    model, states, cost = network(13, 0.8, 0.2, 5), all_states(13), QuadraticCost([0, 12], [0.8, 0.1])
    p = exact_law(model).probabilities
    centred = p * (cost.on_spikes(states) - p @ cost.on_spikes(states)) / model.temperature
    gradient = exact_gradient(model, cost)
    np.testing.assert_allclose(gradient.bias, centred @ states, atol=1e-12)
    expected = states.T @ (centred[:, None] * states)
    np.testing.assert_allclose(gradient.couplings, expected - np.diag(np.diagonal(expected)), atol=1e-12)


@pytest.mark.parametrize("cost_on", ["spikes", "rates"])
@given(size=st.integers(1, 5), seed=SEEDS)
def test_littles_gradient_is_the_derivative_of_littles_own_loss(network, differentiate, cost_on, size, seed):
    model, cost = network(size, 0.9, 0.3, seed), QuadraticCost([size - 1], [0.8])

    def loss(moved: Model) -> float:
        mean = exact_law(moved, dynamics="little").mean
        return float(cost.on_mean_spikes(mean) if cost_on == "spikes" else cost.on_rates(mean))

    exact = exact_gradient(model, cost, cost_on=cost_on, dynamics="little")
    for value, numeric in zip(exact, differentiate(model, loss), strict=True):
        np.testing.assert_allclose(value, numeric, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "dynamics", "said"),
    [
        (17, "little", "17 units have 2^17 states, too many to enumerate (limit 16 units)"),
        (2, "block", "dynamics must be 'gibbs' or 'little', got 'block': only these have a law in closed form"),
    ],
)
def test_exact_gradient_refuses_what_it_cannot_enumerate(size, dynamics, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        exact_gradient(Model(np.zeros((size, size)), np.zeros(size)), COST, dynamics=dynamics)


@given(size=st.integers(2, 5), nudging=st.floats(0.05, 2), seed=SEEDS)
def test_finite_nudge_of_the_gibbs_law_is_the_derivative_of_its_free_energy_difference(
    network, differentiate, size, nudging, seed
):
    # thm:C5: (⟨∂E/∂θ⟩_β − ⟨∂E/∂θ⟩_0)/β = ∂/∂θ (A_β − A_0)/β
    model = network(size, 0.7, 0.2, seed)

    def objective(moved: Model) -> float:
        raised, free = exact_law(moved, cost=COST, nudging=nudging), exact_law(moved)
        return -moved.temperature * (raised.log_partition - free.log_partition) / nudging

    def statistic(strength: float) -> Gradient:
        law = exact_law(model, cost=COST, nudging=strength)
        pairs = law.covariance + np.outer(law.mean, law.mean)
        return Gradient(-pairs + np.diag(np.diagonal(pairs)), -law.mean)

    for up, free, numeric in zip(statistic(nudging), statistic(0.0), differentiate(model, objective), strict=True):
        np.testing.assert_allclose((up - free) / nudging, numeric, rtol=0, atol=1e-7 / nudging)


def test_mean_field_gradient_meets_the_exact_one_only_through_the_cost_on_mean_spikes(network):
    base = network(4, 0.3, 0.0, 7)
    model = Model(base.couplings, base.bias + 150, 100.0)
    exact = exact_gradient(model, COST).couplings
    right, wrong = (
        equilibrium_gradient(model, COST, nudging=0.01, cost_on=cost_on).couplings for cost_on in ("spikes", "rates")
    )
    assert np.linalg.norm(right - exact) < 0.05 * np.linalg.norm(exact)
    assert np.linalg.norm(wrong - exact) > 0.05 * np.linalg.norm(exact)


CHAINS = {"glauber": "gibbs", "systematic": "gibbs", "block": "gibbs", "little": "little"}


def matrix_of(model: Model, dynamics: str) -> np.ndarray:
    colours = (np.arange(model.size) >= (model.size + 1) // 2).astype(int) if dynamics == "block" else None
    return transition_matrix(model, dynamics=dynamics, colours=colours)


@pytest.mark.parametrize("dynamics", CHAINS)
@given(size=st.integers(1, 6), gain=st.floats(0, 3), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_transition_rows_sum_to_one_and_leave_the_law_invariant(network, dynamics, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed, layered=dynamics == "block")
    matrix, law = matrix_of(model, dynamics), exact_law(model, dynamics=CHAINS[dynamics]).probabilities
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(law @ matrix, law, atol=1e-12)


@given(size=st.integers(2, 6), gain=st.floats(0.1, 3), seed=SEEDS)
def test_random_scan_and_little_are_reversible_and_systematic_sweeps_are_not(network, size, gain, seed):
    model = network(size, gain, 0.0, seed)
    flows = {
        name: exact_law(model, dynamics=CHAINS[name]).probabilities[:, None] * matrix_of(model, name)
        for name in ("glauber", "little", "systematic")
    }
    for name in ("glauber", "little"):
        np.testing.assert_allclose(flows[name], flows[name].T, atol=1e-13)
    assert np.abs(flows["systematic"] - flows["systematic"].T).max() > 1e-6


@given(size=st.integers(1, 6), gain=st.floats(0, 3), seed=SEEDS)
def test_a_block_sweep_is_a_systematic_sweep_in_the_order_of_the_colours(network, size, gain, seed):
    model = network(size, gain, 0.0, seed, layered=True)
    np.testing.assert_allclose(matrix_of(model, "block"), matrix_of(model, "systematic"), atol=1e-13)


def test_little_on_a_layered_net_has_gibbs_layers_that_are_independent(network):
    model = network(6, 1.5, 0.0, 4, layered=True)
    little, gibbs = exact_law(model, dynamics="little"), exact_law(model)
    np.testing.assert_allclose(little.mean, gibbs.mean, atol=1e-12)
    for layer in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(little.covariance[layer, layer], gibbs.covariance[layer, layer], atol=1e-12)
    np.testing.assert_allclose(little.covariance[:3, 3:], 0, atol=1e-12)
    assert np.abs(gibbs.covariance[:3, 3:]).max() > 0.05


@pytest.mark.parametrize(
    ("size", "arguments", "said"),
    [
        (2, {"dynamics": "leaky"}, "dynamics must be 'glauber', 'systematic', 'block' or 'little', got 'leaky'"),
        (2, {"dynamics": "block"}, "dynamics 'block' needs colours"),
        (11, {}, r"11 units have 2\^11 states, too many to enumerate \(limit 10 units\)"),
    ],
)
def test_bad_transition_is_refused(size, arguments, said):
    with pytest.raises(ValueError, match=said):
        transition_matrix(Model(np.zeros((size, size)), np.zeros(size)), **arguments)


@given(size=st.integers(1, 3), leak=st.floats(0.05, 1), copies=st.integers(1, 2), steps=st.integers(0, 3), seed=SEEDS)
def test_leaky_histories_have_total_probability_one_and_bounded_traces(network, size, leak, copies, steps, seed):
    model, steps = network(size, 0.7, 0.0, seed), min(steps, 6 // size)
    paths, probabilities = leaky_law(model, leak=leak, steps=steps, copies=copies)
    assert paths.shape == ((copies + 1) ** (size * steps), steps + 1, size)
    assert np.isclose(probabilities.sum(), 1, rtol=1e-12)
    assert ((paths >= 0) & (paths <= 1)).all()
    assert (paths[:, 0] == 0.5).all()


def test_leaky_law_is_the_plain_recursion(network):
    model, leaks, start = network(2, 0.9, 0.3, 6), np.array([0.3, 0.8]), np.array([0.2, 0.9])
    paths, probabilities = leaky_law(model, leak=leaks, steps=3, start=start)
    found = {tuple(np.round(path[-1], 12)): p for path, p in zip(paths, probabilities, strict=True)}
    for history in itertools.product(itertools.product((0, 1), repeat=2), repeat=3):
        trace, chance = start, 1.0
        for spikes in history:
            p = expit((model.couplings @ trace + model.bias) / model.temperature)
            chance *= np.prod(np.where(spikes, p, 1 - p))
            trace = (1 - leaks) * trace + leaks * np.array(spikes)
        assert np.isclose(found[tuple(np.round(trace, 12))], chance, rtol=1e-12)


def test_copies_are_units_that_share_their_couplings(network):
    model = network(2, 0.9, 0.0, 6)
    paths, probabilities = leaky_law(model, leak=0.4, steps=2, copies=2)
    split = Model(np.kron(model.couplings, np.full((2, 2), 0.5)), np.repeat(model.bias, 2), model.temperature)
    wide, chances = leaky_law(split, leak=0.4, steps=2)
    average = wide[:, -1].reshape(-1, 2, 2).mean(axis=2)
    assert np.allclose(probabilities @ paths[:, -1], chances @ average, rtol=1e-12)
    assert np.allclose(probabilities @ paths[:, -1] ** 4, chances @ average**4, rtol=1e-12)


def test_leaky_law_with_leak_one_is_littles_chain(network):
    model = network(3, 1.2, 0.0, 3)
    paths, probabilities = leaky_law(model, leak=1.0, steps=3, start=[1.0, 0.0, 1.0])
    law = np.zeros(8)
    np.add.at(law, (paths[:, -1] @ [1, 2, 4]).astype(int), probabilities)
    start = np.eye(8)[0b101]
    np.testing.assert_allclose(law, start @ np.linalg.matrix_power(transition_matrix(model, dynamics="little"), 3))


def test_drifting_biases_replace_the_bias_step_by_step(network):
    model = network(2, 0.7, 0.0, 1)
    constant = leaky_law(model, leak=0.3, steps=3, biases=np.tile(model.bias, (3, 1)))[1]
    np.testing.assert_array_equal(constant, leaky_law(model, leak=0.3, steps=3)[1])
    silenced = leaky_law(model, leak=0.3, steps=3, biases=np.full((3, 2), -1e4))
    assert np.isclose(silenced[0][silenced[1].argmax(), -1, 0], 0.5 * 0.7**3)


@pytest.mark.parametrize("leak", [0.0, 1.5, math.nan, [0.5, 0.5, 0.5]])
def test_leaky_law_refuses_a_bad_leak(network, leak):
    with pytest.raises(ValueError, match="leak must"):
        leaky_law(network(2, 0.5, 0.0, 0), leak=leak, steps=2)


def test_leaky_law_starts_anywhere_in_the_cube_and_names_what_it_refuses(network):
    model = network(2, 0.5, 0.0, 0)
    paths, _ = leaky_law(model, leak=0.5, steps=1, start=[0.0, 1.0])
    assert (paths[:, 0] == [0.0, 1.0]).all()
    with pytest.raises(ValueError, match=r"^start must be traces in \[0, 1\], got -0.5$"):
        leaky_law(model, leak=0.5, steps=1, start=[0.0, -0.5])
    with pytest.raises(ValueError, match=r"^copies must be"):
        leaky_law(model, leak=0.5, steps=1, copies=0)


@pytest.mark.parametrize("start", [[0.5, math.nan], [0.5], [0.5, 1.5], [-0.5, 0.5]])
def test_leaky_law_refuses_a_bad_start(network, start):
    with pytest.raises(ValueError, match="start must"):
        leaky_law(network(2, 0.5, 0.0, 0), leak=0.5, steps=2, start=start)


@pytest.mark.parametrize("biases", [[0.0, 0.0], np.zeros((2, 3)), np.zeros((3, 2)), [[0.0, math.nan], [0.0, 0.0]]])
def test_leaky_law_refuses_bad_biases(network, biases):
    with pytest.raises(ValueError, match="biases must"):
        leaky_law(network(2, 0.5, 0.0, 0), leak=0.5, steps=2, biases=biases)


@pytest.mark.parametrize(
    ("colours", "message"),
    [
        ([0, 0, 1], "colours must differ for coupled units, but units 0 and 1 are both 0"),
        ([0, 1], "colours must be one 0 or 1 for each of the 3 units, got [0, 1]"),
        ([0, 1, 2], "colours must be one 0 or 1 for each of the 3 units, got [0, 1, 2]"),
    ],
)
def test_block_transition_refuses_bad_colours(network, colours, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        transition_matrix(network(3, 0.5, 0.0, 0), dynamics="block", colours=colours)


def test_too_many_histories_are_refused(network):
    with pytest.raises(ValueError, match=re.escape("have 2^24 spike histories, more than 2^22")):
        leaky_law(network(3, 0.5, 0.0, 0), leak=0.5, steps=8)


@pytest.mark.statistical
@pytest.mark.parametrize("copies", [1, 2])
def test_sampled_leaky_traces_average_to_the_exact_law(network, copies):
    model, leaks = network(2, 0.9, 0.3, 6), np.array([0.3, 0.8])
    paths, probabilities = leaky_law(model, leak=leaks, steps=4, copies=copies)
    drawn = sample(model, dynamics="leaky", steps=4, replicas=20_000, seed=3, leak=leaks, copies=copies)
    # Hoeffding on [0, 1], two units, two sides, one test for each number of copies
    radius = math.sqrt(math.log(4 / (FALSE_ALARM / 2)) / (2 * 20_000))
    assert (np.abs(drawn.mean - probabilities @ paths[:, -1]) < radius).all()


@settings(max_examples=10)
@given(size=st.integers(1, 6), seed=SEEDS)
def test_product_law_of_counts_has_binomial_marginals(size, seed):
    means = np.random.default_rng(seed).uniform(size=size)
    law = product_law(means, copies=2).reshape((3,) * size)
    for i in range(size):
        marginal = law.sum(axis=tuple(k for k in range(size) if k != size - 1 - i))
        np.testing.assert_allclose(
            marginal, [(1 - means[i]) ** 2, 2 * means[i] * (1 - means[i]), means[i] ** 2], rtol=1e-12
        )
