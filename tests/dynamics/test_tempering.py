"""Swapping chains follow their joint transition matrix, have Gibbs' laws, and leave valleys that hold plain chains."""

from __future__ import annotations

import itertools
import math
import re

import numba
import numpy as np
import pytest
from scipy import stats

from dynamics import exact_law, sample, temper, transition_matrix
from dynamics.enumeration import all_states
from dynamics.philox import STREAM_SWAP, uniforms
from dynamics.tempering import energies, swap
from meanfield import Model
from proofs_numeric.verdicts import mean_interval
from tests.dynamics.counts import surprise

# of the whole file, shared by Bonferroni among its comparisons of a law with its samples
FALSE_ALARM, COMPARISONS = 1e-9, 8
LADDER = [0.5, 0.8, 1.5]


def at(model: Model, temperature: float) -> Model:
    return Model(model.couplings, model.bias, temperature)


def swap_matrix(model: Model, temperatures: list[float], first: int, sign: float = 1.0) -> np.ndarray:
    """P[(z_0, z_1, …), …] of the swaps of pairs first, first + 2, …; chain 0 is the slowest digit."""
    count = 1 << model.size
    energy = model.energy(all_states(model.size))
    matrix = np.zeros((count ** len(temperatures),) * 2)
    shape = (count,) * len(temperatures)
    for joint in itertools.product(range(count), repeat=len(temperatures)):
        moves = {joint: 1.0}
        for k in range(first, len(temperatures) - 1, 2):
            gain = (1 / temperatures[k] - 1 / temperatures[k + 1]) * (energy[joint[k]] - energy[joint[k + 1]])
            chance, moved = min(1.0, math.exp(sign * gain)), {}
            for state, weight in moves.items():
                other = list(state)
                other[k], other[k + 1] = other[k + 1], other[k]
                for target, share in ((state, 1 - chance), (tuple(other), chance)):
                    moved[target] = moved.get(target, 0.0) + weight * share
            moves = moved
        for target, weight in moves.items():
            matrix[np.ravel_multi_index(joint, shape), np.ravel_multi_index(target, shape)] += weight
    return matrix


def joint_sweep(model: Model, temperatures: list[float]) -> np.ndarray:
    matrix = np.ones((1, 1))
    for temperature in temperatures:
        matrix = np.kron(matrix, transition_matrix(at(model, temperature), dynamics="systematic"))
    return matrix


@pytest.mark.exact
def test_sweeps_and_swaps_leave_the_product_of_gibbs_laws_invariant(network):
    model, law = network(2, 0.9, 0.0, 4), np.ones(1)
    for temperature in LADDER:
        law = np.kron(law, exact_law(at(model, temperature)).probabilities)
    for first in (0, 1):
        np.testing.assert_allclose(law @ swap_matrix(model, LADDER, first), law, atol=1e-14)
        assert np.abs(law @ swap_matrix(model, LADDER, first, sign=-1.0) - law).max() > 1e-3
    np.testing.assert_allclose(law @ joint_sweep(model, LADDER), law, atol=1e-14)


@pytest.mark.statistical
def test_chains_follow_their_joint_transition_matrix_from_a_start(network):
    model, replicas = network(2, 1.5, 0.0, 4), 40_000
    start = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    drawn = temper(model, temperatures=LADDER, steps=2, replicas=replicas, seed=7, start=start)
    digits = (drawn.states @ [1, 2]).astype(int)
    indices = digits @ [16, 4, 1]
    begin = np.eye(64)[int((start @ [1, 2]) @ [16, 4, 1])]
    sweep = joint_sweep(model, LADDER)
    laws = [
        begin @ sweep @ swap_matrix(model, LADDER, 0, sign) @ sweep @ swap_matrix(model, LADDER, 1, sign)
        for sign in (1.0, -1.0)
    ]
    assert surprise(indices, laws[0]) > FALSE_ALARM / COMPARISONS
    assert surprise(indices, laws[1]) < FALSE_ALARM / COMPARISONS


@pytest.mark.statistical
def test_a_cold_ferromagnet_has_both_valleys_by_tempering_and_one_without():
    size, cold, replicas = 8, 0.25, 4000
    couplings = np.ones((size, size)) - np.eye(size)
    model = Model(couplings, np.full(size, -0.5 * (size - 1) + 0.01), cold)
    start, law = np.zeros(size), exact_law(model)
    up = float(law.probabilities[[state.sum() > size / 2 for state in all_states(size)]].sum())
    assert 0.5 < up < 0.7
    ladder = np.geomspace(cold, 2.5, 8)
    shared = {"steps": 400, "replicas": replicas, "seed": 2}
    tempered = temper(model, temperatures=ladder, start=np.tile(start, (8, 1)), **shared)
    alpha = FALSE_ALARM / COMPARISONS
    for temperature, states in zip(ladder[[0, 3]], tempered.states[:, [0, 3]].swapaxes(0, 1), strict=True):
        exact = exact_law(at(model, float(temperature))).probabilities
        truth = exact[[state.sum() > size / 2 for state in all_states(size)]].sum()
        interval = mean_interval(states.sum(axis=1) > size / 2, smallest=0, largest=1, alpha=alpha)
        assert interval.low < truth < interval.high
        assert interval.high - interval.low < 0.25
    stuck = sample(model, scan="systematic", start=start, **shared)
    assert mean_interval(stuck.states.sum(axis=1) > size / 2, smallest=0, largest=1, alpha=alpha).high < 0.1
    assert (tempered.swap_rates > 0.2).all()


@pytest.mark.exact
def test_a_split_run_is_the_unbroken_run_bit_for_bit(network):
    model, shared = network(9, 1.2, 0.0, 3), {"temperatures": np.linspace(0.5, 2, 18), "seed": 11}
    whole = temper(model, steps=9, replicas=5, **shared)
    first = temper(model, steps=4, replicas=5, **shared)
    second = temper(model, steps=5, replicas=5, start=first.states, first_step=4, **shared)
    np.testing.assert_array_equal(second.states, whole.states)
    parts = [temper(model, steps=9, replicas=n, first_replica=k, **shared).states for k, n in ((0, 2), (2, 3))]
    np.testing.assert_array_equal(np.concatenate(parts), whole.states)
    assert (whole.states[0] != whole.states[1]).any()
    even, odd = np.arange(0, 17, 2), np.arange(1, 17, 2)
    proposals = {"whole": (5, 4), "first": (2, 2), "second": (3, 2)}
    for pairs, which in ((even, 0), (odd, 1)):
        counts = [
            proposals[name][which] * run.swap_rates[pairs]
            for name, run in (("first", first), ("second", second), ("whole", whole))
        ]
        np.testing.assert_allclose(counts[0] + counts[1], counts[2], atol=1e-12)


@pytest.mark.exact
def test_thread_count_does_not_change_a_bit(network):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    runs, before = [], numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            runs.append(temper(network(9, 1.2, 0.0, 3), temperatures=LADDER, steps=6, replicas=7, seed=3))
    finally:
        numba.set_num_threads(before)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.exact
def test_a_swap_is_decided_by_its_uniform_and_its_pair(network):
    model, temperatures = network(4, 1.5, 0.0, 2), np.array([0.5, 0.8, 1.1, 1.5])
    states = np.array([[0.0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0]])
    energy = np.empty(4)
    energies(states, model.local_field(states), model.bias, energy)
    np.testing.assert_allclose(energy, model.energy(states), atol=1e-13)
    for first in (0, 1):
        for k in range(first, 3, 2):
            gain = (1 / temperatures[k] - 1 / temperatures[k + 1]) * (energy[k] - energy[k + 1])
            chance = min(1.0, math.exp(gain))
            for noise, swapped in ((0.999 * chance, True), (1.001 * chance, chance == 1.0)):
                moved, accepted = states.copy(), np.zeros(3, dtype=np.int64)
                # no other pair may move
                uniforms_ = np.full(3, 1.0 - 1e-12)
                uniforms_[k] = noise
                swap(moved, energy, temperatures, first, uniforms_, accepted)
                assert accepted[k] == swapped
                expected = states[[k + 1, k]] if swapped else states[[k, k + 1]]
                np.testing.assert_array_equal(moved[[k, k + 1]], expected)
                assert not accepted[1 - first :: 2].any()


@pytest.mark.exact
def test_swaps_draw_from_a_stream_of_their_own():
    """The uniform of (seed, STREAM_SWAP; step, pair, replica) decides; chain k of replica r is plain replica 2r + k."""
    model, ladder = Model(np.zeros((1, 1)), [-3.0], 1.0), [1.0, 3.0]
    start, moved = np.array([[0.0], [1.0]]), []
    for replica in range(40):
        before = sample(
            model, scan="systematic", steps=1, replicas=1, seed=5, start=start[0], first_replica=2 * replica
        )
        hot = sample(
            Model(np.zeros((1, 1)), [-3.0], 3.0), scan="systematic", steps=1, replicas=1, seed=5, start=start[1],
            first_replica=2 * replica + 1,
        )  # fmt: skip
        pair, noise = [before.states[0], hot.states[0]], np.empty(1)
        uniforms(5, STREAM_SWAP, 0, replica, noise)
        gain = (1 - 1 / 3) * 3.0 * (pair[0][0] - pair[1][0])
        if noise[0] < math.exp(gain):
            pair.reverse()
        after = temper(model, temperatures=ladder, steps=1, replicas=1, seed=5, start=start, first_replica=replica)
        np.testing.assert_array_equal(after.states[0], pair)
        moved.append(pair[0][0])
    assert 0 < sum(moved) < 40


@pytest.mark.exact
def test_mean_and_standard_error_are_over_replicas_and_unproposed_swaps_have_no_rate(network):
    drawn = temper(network(3, 0.8, 0.0, 1), temperatures=LADDER, steps=1, replicas=30, seed=0)
    np.testing.assert_allclose(drawn.mean, drawn.states.mean(axis=0))
    np.testing.assert_allclose(drawn.standard_error, stats.sem(drawn.states, axis=0))
    assert np.isfinite(drawn.swap_rates[0])
    assert np.isnan(drawn.swap_rates[1])
    assert np.isnan(
        temper(network(3, 0.8, 0.0, 1), temperatures=LADDER, steps=1, replicas=1, seed=0).standard_error
    ).all()


@pytest.mark.exact
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"temperatures": [1.0]}, "temperatures must be two or more, positive and rising, got [1.0]: sort them"),
        ({"temperatures": [1.0, 0.5]}, "temperatures must be two or more, positive and rising, got [1.0, 0.5]"),
        ({"temperatures": [1.0, 1.0]}, "temperatures must be two or more, positive and rising, got [1.0, 1.0]"),
        ({"temperatures": [0.0, 1.0]}, "temperatures must be two or more, positive and rising, got [0.0, 1.0]"),
        ({"temperatures": [1.0, math.nan]}, "temperatures must be finite, got nan"),
        ({"replicas": 0}, "replicas must be a whole number of at least 1, got 0"),
        ({"replicas": 1.5}, "replicas must be a whole number of at least 1, got 1.5"),
        ({"first_replica": -1}, "first_replica must be a whole number of at least 0, got -1"),
        ({"first_replica": 1 << 31}, "replicas must stay below 2^32"),
        ({"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        ({"start": np.zeros(3)}, "start must have shape (2, 3) or (4, 2, 3), got (3,)"),
        ({"start": np.full((2, 3), 0.5)}, "start must be spikes 0 or 1 for glauber, got 0.5"),
    ],
)
def test_bad_argument_is_refused_with_the_value(network, arguments, said):
    with pytest.raises(ValueError, match="^" + re.escape(said)):
        temper(
            network(3, 0.5, 0.0, 0),
            **{"temperatures": [0.5, 1.0], "steps": 2, "replicas": 4, "seed": 0, **arguments},
        )
