"""Blocks of low rank: what truncation keeps, and the bounds against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics.enumeration import all_states, exact_gradient, exact_law
from meanfield import HypothesisError, Model, QuadraticCost, fixed_point, implicit_gradient
from proofs_numeric.comparators.group_communication import (
    blocks,
    compressed,
    gibbs_law,
    group_labels,
    mean_changes,
    message_gradient,
    update_change,
)

pytestmark = pytest.mark.exact


def symmetric(size: int, seed: int) -> np.ndarray:
    matrix = np.triu(np.random.default_rng(seed).normal(size=(size, size)), 1)
    return matrix + matrix.T


def test_groups_are_consecutive_and_nearly_equal():
    assert group_labels(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert [(a.tolist(), b.tolist()) for a, b in blocks(group_labels(4, 2))] == [([0, 1], [2, 3])]
    assert len(list(blocks(group_labels(6, 3)))) == 3


def test_truncation_is_the_best_of_its_rank_in_every_block_and_leaves_the_inside_alone():
    labels, couplings = group_labels(7, 2), symmetric(7, 1)
    result, lost = compressed(couplings, labels, 1)
    assert (result == result.T).all()
    inside = labels[:, None] == labels
    np.testing.assert_array_equal(result[inside], couplings[inside])
    block, kept = couplings[:4, 4:], result[:4, 4:]
    assert np.linalg.matrix_rank(kept, tol=1e-10) == 1
    singular = np.linalg.svd(block)[1]
    assert np.linalg.norm(block - kept, 2) == pytest.approx(singular[1])
    np.testing.assert_allclose(lost, [[0, singular[1]], [singular[1], 0]])


def test_full_rank_changes_nothing_and_rank_zero_cuts_the_groups_apart():
    labels, couplings = group_labels(5, 2), symmetric(5, 2)
    result, lost = compressed(couplings, labels, 2)
    np.testing.assert_allclose(result, couplings, atol=1e-14)
    assert not lost.any()
    apart, lost = compressed(couplings, labels, 0)
    assert not apart[:3, 3:].any()
    assert lost[0, 1] == pytest.approx(np.linalg.norm(couplings[:3, 3:], 2))


def test_every_pair_of_groups_loses_its_own_singular_value():
    labels, couplings = group_labels(6, 3), symmetric(6, 3)
    lost = compressed(couplings, labels, 1)[1]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        block = couplings[2 * a : 2 * a + 2, 2 * b : 2 * b + 2]
        assert lost[a, b] == lost[b, a] == pytest.approx(np.linalg.svd(block)[1][1])


@pytest.mark.parametrize("seed", range(6))
def test_the_change_of_an_update_is_bounded_over_all_states_and_by_the_range_of_the_field(network, seed):
    model, other = network(4, 0.8, 0.3, seed), network(4, 0.5, 0.3, seed + 10)
    states, temperature = all_states(4), model.temperature
    fields = model.local_field(states), other.local_field(states)
    largest = np.abs(1 / (1 + np.exp(-fields[0] / temperature)) - 1 / (1 + np.exp(-fields[1] / temperature))).max(
        axis=0
    )
    bound = update_change(model, other)
    assert (largest <= bound + 1e-14).all()
    assert (bound <= np.tanh(np.abs(fields[1] - fields[0]).max(axis=0) / (4 * temperature)) + 1e-14).all()


def test_the_change_of_an_update_is_that_of_the_only_field_there_is():
    one, two = Model([[0.0]], [0.7], 0.5), Model([[0.0]], [-0.2], 0.5)
    assert update_change(one, two) == pytest.approx(abs(1 / (1 + np.exp(-1.4)) - 1 / (1 + np.exp(0.4))))


def test_both_networks_bound_the_change_where_both_are_contracting(network):
    strong, weak = network(3, 2.5, 0.0, 3), network(3, 0.2, 0.0, 4)
    assert len(mean_changes(weak, weak.with_bias(weak.bias + 0.1))) == 2
    assert len(mean_changes(weak, strong)) == 1
    with pytest.raises(HypothesisError, match=r"ρ\(C\)"):
        mean_changes(strong, weak)
    change = np.abs(exact_law(strong).mean - exact_law(weak).mean)
    assert (change <= mean_changes(weak, strong)[0]).all()


def test_without_couplings_the_bound_is_the_change():
    one, two = Model(np.zeros((2, 2)), [0.3, -0.2]), Model(np.zeros((2, 2)), [0.5, 1.0])
    for bound in mean_changes(one, two):
        np.testing.assert_allclose(bound, np.abs(exact_law(one).mean - exact_law(two).mean), atol=1e-14)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_dropping_the_least_singular_value_may_nearly_double_the_absolute_gain(size):
    block = np.eye(size) - 1e-9 / size
    couplings = np.block([[np.zeros((size, size)), block], [block, np.zeros((size, size))]])
    result, lost = compressed(couplings, group_labels(2 * size, 2), size - 1)
    assert np.linalg.norm(result, 2) == pytest.approx(np.linalg.norm(couplings, 2))
    assert lost[0, 1] == pytest.approx(1 - 1e-9)
    ratio = np.linalg.norm(np.abs(result), 2) / np.linalg.norm(np.abs(couplings), 2)
    assert ratio == pytest.approx(2 * (1 - 1 / size), abs=1e-6)


def test_the_law_of_factors_is_gibbs_and_messages_carry_the_chain_rule():
    generator = np.random.default_rng(8)
    first, second = generator.normal(size=(3, 2)), generator.normal(size=(2, 2))
    bias, cost = generator.normal(size=5), QuadraticCost([0, 4], [0.2, 0.9])
    couplings = np.zeros((5, 5))
    couplings[:3, 3:] = first @ second.T
    couplings[3:, :3] = couplings[:3, 3:].T
    model, states = Model(couplings, bias), all_states(5)
    law = np.real(gibbs_law(first, second, bias, states))
    np.testing.assert_allclose(law, exact_law(model).probabilities, atol=1e-14)
    block = exact_gradient(model, cost).couplings[:3, 3:]
    costs = cost.on_spikes(states)
    found = message_gradient(law, costs, states[:, :3], states[:, 3:] @ second)
    np.testing.assert_allclose(found, block @ second, atol=1e-13)
    found = message_gradient(law, costs, states[:, 3:], states[:, :3] @ first)
    np.testing.assert_allclose(found, block.T @ first, atol=1e-13)


def test_the_mean_field_learns_factors_from_mean_messages():
    generator = np.random.default_rng(9)
    first, second = generator.normal(size=(3, 2)), generator.normal(size=(2, 2))
    couplings = np.zeros((5, 5))
    couplings[:3, 3:] = first @ second.T
    couplings[3:, :3] = couplings[:3, 3:].T
    model, cost = Model(couplings, generator.normal(size=5), 2.0), QuadraticCost([0, 4], [0.2, 0.9])
    step, statistics = 1e-4, []
    for nudging in (step, -step):
        mean = fixed_point(model, cost=cost, nudging=nudging, tolerance=1e-14, method="newton").value
        statistics.append(-np.outer(mean[:3], mean[3:] @ second))
    found = (statistics[0] - statistics[1]) / (2 * step)
    np.testing.assert_allclose(found, implicit_gradient(model, cost).couplings[:3, 3:] @ second, atol=1e-8)
