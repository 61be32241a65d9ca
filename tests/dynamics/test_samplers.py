"""Every sampler draws from its exact law, and the same bits however the work is split."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

import numba
import numpy as np
import pytest
from scipy import stats

from dynamics import block, exact_law, leaky_law, relax, sample, transition_matrix
from dynamics.block import two_colouring
from dynamics.phases import Noise, advance, bind, free_phase, nudged_phase
from meanfield import Model, QuadraticCost, fixed_point
from tests.dynamics.counts import surprise

# of the whole file, shared by Bonferroni among at most so many comparisons of a law with its samples
FALSE_ALARM, COMPARISONS = 1e-9, 64
REPLICAS = 40_000
CHAINS = [("glauber", "random"), ("glauber", "systematic"), ("block", "random"), ("little", "random")]
ALL = [*CHAINS, ("leaky", "random"), ("langevin", "random")]
COST = QuadraticCost([0], [0.9])


def network_for(network: Callable[..., Model], dynamics: str, size: int = 5, gain: float = 0.6) -> Model:
    if dynamics == "langevin":
        return Model(0.2 * network(size, gain, 0.0, 3, norm="spectral").couplings, np.linspace(-1, 1, size), 0.7)
    return network(size, gain, 0.3, 3, layered=dynamics == "block")


def index_of(states: np.ndarray) -> np.ndarray:
    return (states @ (1 << np.arange(states.shape[1]))).astype(np.int64)


def accepted(indices: np.ndarray, law: np.ndarray) -> bool:
    return surprise(indices, law) > FALSE_ALARM / COMPARISONS


def sweep_matrix(model: Model, dynamics: str, scan: str) -> np.ndarray:
    if dynamics == "block":
        return transition_matrix(model, dynamics="block", colours=two_colouring(model.couplings))
    if scan == "systematic":
        return transition_matrix(model, dynamics="systematic")
    updates = model.size if dynamics == "glauber" else 1
    return np.linalg.matrix_power(transition_matrix(model, dynamics=dynamics), updates)


@pytest.mark.statistical
@pytest.mark.parametrize(("dynamics", "scan"), CHAINS)
@pytest.mark.parametrize("steps", [1, 3])
def test_chain_follows_its_transition_matrix_from_a_start(network, dynamics, scan, steps):
    model, start = network_for(network, dynamics), np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    law = np.linalg.matrix_power(sweep_matrix(model, dynamics, scan), steps)[index_of(start[None])[0]]
    drawn = sample(model, dynamics=dynamics, scan=scan, steps=steps, replicas=REPLICAS, seed=steps, start=start)
    assert accepted(index_of(drawn.states), law)


@pytest.mark.statistical
@pytest.mark.parametrize(("dynamics", "scan"), CHAINS)
@pytest.mark.parametrize("nudging", [0.0, 0.8])
def test_chain_reaches_its_stationary_law_nudged_or_not(network, dynamics, scan, nudging):
    model = network_for(network, dynamics)
    law = exact_law(model, dynamics="little" if dynamics == "little" else "gibbs", cost=COST, nudging=nudging)
    drawn = sample(model, dynamics=dynamics, scan=scan, steps=60, replicas=REPLICAS, seed=5, cost=COST, nudging=nudging)
    # 60 sweeps at ‖|J|‖₂/4T = 0.6: the rest of the start is below 1e-9
    assert accepted(index_of(drawn.states), law.probabilities)


@pytest.mark.statistical
def test_the_verdict_rejects_gibbs_for_littles_samples_and_little_for_gibbs(network):
    model = network_for(network, "little", gain=0.9)
    laws = {"glauber": exact_law(model).probabilities, "little": exact_law(model, dynamics="little").probabilities}
    for dynamics in laws:
        drawn = index_of(sample(model, dynamics=dynamics, steps=100, replicas=REPLICAS, seed=8).states)
        for name, law in laws.items():
            assert accepted(drawn, law) == (name == dynamics)


@pytest.mark.statistical
def test_littles_same_time_pairs_are_products_and_its_lagged_pairs_are_gibbs(network):
    # thm:B7b, across the layers 0–2 and 3–5
    model = network(6, 0.9, 0.0, 4, layered=True)
    gibbs = exact_law(model)
    before = sample(model, dynamics="little", steps=100, replicas=REPLICAS, seed=2).states
    after = sample(model, dynamics="little", steps=1, replicas=REPLICAS, seed=2, start=before, first_step=100).states
    same, lagged = before[:, 0] * before[:, 3], before[:, 0] * after[:, 3]
    product, pair = gibbs.mean[0] * gibbs.mean[3], gibbs.covariance[0, 3] + gibbs.mean[0] * gibbs.mean[3]
    for values, truth, falsehood in ((same, product, pair), (lagged, pair, product)):
        assert accepted(values.astype(int), np.array([1 - truth, truth]))
        assert not accepted(values.astype(int), np.array([1 - falsehood, falsehood]))


@pytest.mark.statistical
@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("leaks", [[0.37, 0.37], [0.2, 0.71]])
def test_leaky_traces_follow_the_exact_law_of_their_histories(network, leaks, copies):
    model, start = network(2, 0.9, 0.2, 6), np.array([0.3, 0.8])
    paths, chances = leaky_law(model, leak=leaks, steps=3, start=start, copies=copies)
    drawn = sample(model, dynamics="leaky", steps=3, replicas=REPLICAS, seed=4, leak=leaks, start=start, copies=copies)
    # each history has a trace of its own: rounding names it
    names, where = np.unique(np.round(paths[:, -1], 9), axis=0, return_inverse=True)
    law = np.bincount(where.ravel(), weights=chances)
    known, indices = np.unique(np.concatenate([names, np.round(drawn.states, 9)]), axis=0, return_inverse=True)
    assert len(known) == len(names)
    assert accepted(indices.ravel()[len(names) :], law)


@pytest.mark.statistical
def test_leaky_spikes_have_the_firing_probability_of_the_trace_before(network):
    model, start = network(4, 0.7, 0.2, 6), np.array([0.1, 0.5, 0.6, 1.0])
    drawn = sample(model, dynamics="leaky", steps=1, replicas=REPLICAS, seed=9, leak=0.3, start=start)
    p = 1 / (1 + np.exp(-model.local_field(start) / model.temperature))
    law = exact_law(Model(np.zeros((4, 4)), np.log(p / (1 - p)))).probabilities
    assert accepted(index_of(drawn.spikes), law)
    np.testing.assert_allclose(drawn.states, 0.7 * start + 0.3 * drawn.spikes, atol=1e-15)


@pytest.mark.statistical
@pytest.mark.parametrize("leak", [0.5, [0.1, 0.5, 0.3, 0.6, 0.9]])
@pytest.mark.parametrize("steps", [3, 120])
def test_langevin_has_its_gaussian_law(network, leak, steps):
    model, leaks = network_for(network, "langevin"), np.broadcast_to(leak, (5,))
    mean, covariance = np.full(5, 0.5), np.zeros((5, 5))
    transition = np.eye(5) - leaks[:, None] * (np.eye(5) - model.couplings)
    for _ in range(steps):
        mean = transition @ mean + leaks * model.bias
        covariance = transition @ covariance @ transition.T + 2 * model.temperature * np.diag(leaks)
    drawn = sample(model, dynamics="langevin", steps=steps, replicas=REPLICAS, seed=1, leak=leak).states
    white = np.linalg.solve(np.linalg.cholesky(covariance), (drawn - mean).T)
    shift = stats.norm.sf(np.abs(white.mean(axis=1)) * math.sqrt(REPLICAS)) * 2
    pairs = np.stack([(white[i] + sign * white[j]) ** 2 / 2 for i in range(5) for j in range(i) for sign in (1, -1)])
    total = np.concatenate([(white**2).sum(axis=1), pairs.sum(axis=1)])
    spread = 2 * np.minimum(stats.chi2.cdf(total, REPLICAS), stats.chi2.sf(total, REPLICAS))
    p_values = np.concatenate([shift, spread])
    assert p_values.min() * len(p_values) > FALSE_ALARM / COMPARISONS
    if steps == 120 and np.ndim(leak) == 0:
        stiffness = np.eye(5) - model.couplings
        stated = model.temperature * np.linalg.inv(stiffness @ (np.eye(5) - leak * stiffness / 2))
        np.testing.assert_allclose(covariance, stated, rtol=1e-6)


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan", "copies"), [*((*which, 1) for which in ALL), ("leaky", "random", 3)])
def test_a_split_run_is_the_unbroken_run_bit_for_bit(network, dynamics, scan, copies):
    model = network_for(network, dynamics)
    shared = {"dynamics": dynamics, "scan": scan, "seed": 11, "leak": 0.3, "copies": copies}
    whole = sample(model, steps=9, replicas=7, **shared)
    first = sample(model, steps=4, replicas=7, **shared)
    second = sample(model, steps=5, replicas=7, start=first.states, first_step=4, **shared)
    np.testing.assert_array_equal(second.states, whole.states)
    if whole.spikes is not None:
        np.testing.assert_array_equal(second.spikes, whole.spikes)
    parts = [sample(model, steps=9, replicas=n, first_replica=k, **shared).states for k, n in ((0, 3), (3, 4))]
    np.testing.assert_array_equal(np.concatenate(parts), whole.states)


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan"), ALL)
def test_thread_count_does_not_change_a_bit(network, dynamics, scan):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    model, runs = network_for(network, dynamics), []
    before = numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            runs.append(sample(model, dynamics=dynamics, scan=scan, steps=20, replicas=101, seed=3, leak=0.3))
    finally:
        numba.set_num_threads(before)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan"), ALL)
def test_the_seed_is_the_run_and_replicas_differ(network, dynamics, scan):
    model = network_for(network, dynamics)
    runs = [
        sample(model, dynamics=dynamics, scan=scan, steps=5, replicas=50, seed=s).states
        for s in (3, 3, 4, 3 + (1 << 40))
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    assert (runs[0] != runs[3]).any()
    assert len(np.unique(runs[0], axis=0)) > 5


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan"), ALL[:-1])
def test_coupled_runs_agree_where_nothing_differs(network, dynamics, scan):
    model = network_for(network, dynamics)
    runs = [
        sample(
            model, dynamics=dynamics, scan=scan, steps=20, replicas=1000, seed=6, cost=COST, nudging=b, cost_on="spikes"
        )
        for b in (0.0, 1e-9)
    ]
    # a spike differs with probability below β/4T a draw: 1e-4 in all
    np.testing.assert_array_equal(runs[0].spikes, runs[1].spikes)


@pytest.mark.statistical
@pytest.mark.parametrize(("dynamics", "scan"), CHAINS)
def test_coupled_runs_differ_no_more_than_the_influence_allows(network, dynamics, scan):
    # thm:C8: E|Δz| ≤ D tanh(|β c|/4T), from a shared start
    model, nudging = network_for(network, dynamics), 0.6
    setting = bind(model, dynamics, cost=COST, scan=scan)
    start = free_phase(setting, steps=30, replicas=REPLICAS, noise=Noise(7))
    runs = [nudged_phase(setting, start, steps=30, noise=Noise(7, 2), nudgings=b)[1] for b in (0.0, nudging)]
    push = np.zeros(5)
    push[0] = math.tanh(nudging * 0.4 / (4 * model.temperature))
    bound = np.linalg.solve(np.eye(5) - model.influence, push)
    differing = np.abs(runs[0] - runs[1]).mean(axis=0)
    assert (differing < bound + math.sqrt(math.log(5 * COMPARISONS / FALSE_ALARM) / (2 * REPLICAS))).all()
    assert 0 < differing[0] < 0.25


@pytest.mark.exact
def test_a_phase_hands_back_its_last_two_states(network):
    setting = bind(network_for(network, "little"), "little", cost=COST)
    start = free_phase(setting, steps=3, replicas=20, noise=Noise(1))
    before, after, spikes = nudged_phase(setting, start, steps=4, noise=Noise(1, 2), nudgings=0.5)
    assert spikes is after
    shorter = nudged_phase(setting, start, steps=3, noise=Noise(1, 2), nudgings=0.5)[1]
    np.testing.assert_array_equal(before, shorter)
    assert (before != after).any()


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan"), ALL)
def test_no_steps_hand_back_the_start(network, dynamics, scan):
    model, start = network_for(network, dynamics), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    drawn = sample(model, dynamics=dynamics, scan=scan, steps=0, replicas=3, seed=0, start=start)
    np.testing.assert_array_equal(drawn.states, np.tile(start, (3, 1)))


@pytest.mark.exact
def test_mean_and_standard_error_are_over_replicas(network):
    drawn = sample(network_for(network, "leaky"), dynamics="leaky", steps=8, replicas=40, seed=0)
    np.testing.assert_allclose(drawn.mean, np.mean(drawn.states, axis=0))
    np.testing.assert_allclose(drawn.standard_error, stats.sem(drawn.states, axis=0))
    assert np.isnan(sample(network_for(network, "leaky"), steps=8, replicas=1, seed=0).standard_error).all()


@pytest.mark.exact
def test_many_copies_are_deterministic_equilibrium_propagation(network):
    model = network_for(network, "leaky")
    drawn = sample(model, dynamics="leaky", steps=30, replicas=4, seed=0, leak=0.2, copies=20_000)
    np.testing.assert_allclose(drawn.states, np.tile(relax(model, steps=30, leak=0.2)[-1], (4, 1)), atol=0.02)


@pytest.mark.exact
@pytest.mark.parametrize("leak", [1.0, 0.3, [0.2, 0.9, 0.5, 1.0, 0.1]])
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
def test_relaxation_is_its_plain_loop_and_ends_at_the_fixed_point(network, leak, cost_on):
    model, state = network_for(network, "leaky"), np.full(5, 0.5)
    path = relax(model, steps=400, leak=leak, cost=COST, nudging=0.4, cost_on=cost_on)
    slope, offset = COST.force(5, cost_on)
    for t in range(30):
        np.testing.assert_allclose(path[t], state, atol=1e-14)
        field = model.couplings @ state + model.bias - 0.4 * (slope * state + offset)
        state = state + np.asarray(leak) * (1 / (1 + np.exp(-field / model.temperature)) - state)
    end = fixed_point(model, cost=COST, nudging=0.4, cost_on=cost_on).value
    np.testing.assert_allclose(path[-1], end, atol=1e-7)


@pytest.mark.exact
@pytest.mark.parametrize("temperature", [1e-3, 1e3])
@pytest.mark.parametrize("dynamics", ["glauber", "little", "leaky"])
def test_frozen_and_boiling_networks_behave(dynamics, temperature):
    model = Model([[0, 1.0], [1.0, 0]], [1.0, -3.0], temperature)
    drawn = sample(model, dynamics=dynamics, steps=30, replicas=2000, seed=0, leak=0.9)
    if temperature < 1:
        np.testing.assert_allclose(drawn.states, np.tile([1.0, 0.0], (2000, 1)), atol=1e-12)
    else:
        np.testing.assert_allclose(drawn.mean, 0.5, atol=0.1)


ODD_CYCLES = {
    "triangle": [(0, 1), (1, 2), (2, 0)],
    "pentagon with a tail": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 2), (5, 6)],
    "two components": [(0, 1), (2, 3), (3, 4), (4, 5), (5, 6), (6, 2)],
}


@pytest.mark.exact
@pytest.mark.parametrize("seed", [*ODD_CYCLES, *range(20)])
def test_block_refusal_names_an_odd_cycle_of_the_network(seed):
    couplings = np.zeros((7, 7))
    if seed in ODD_CYCLES:
        for i, j in ODD_CYCLES[seed]:
            couplings[i, j] = couplings[j, i] = -1.5
    else:
        generator = np.random.default_rng(seed)
        ring = generator.permutation(7)[: generator.choice([3, 5, 7])]
        couplings[ring, np.roll(ring, 1)] = 1.0
        couplings[generator.uniform(size=(7, 7)) < 0.1] = -2.0
        couplings = np.triu(couplings + couplings.T, 1)
        couplings += couplings.T
    with pytest.raises(ValueError, match="form an odd cycle: use dynamics='glauber'") as refusal:
        bind(Model(couplings, np.zeros(7)), "block")
    cycle = [int(unit) for unit in re.search(r"units ([\d \-]+) form", str(refusal.value))[1].split(" - ")]
    assert cycle[0] == cycle[-1]
    assert len(cycle) % 2 == 0
    assert len(set(cycle[:-1])) == len(cycle) - 1 >= 3
    assert all(couplings[i, j] != 0 for i, j in itertools.pairwise(cycle))


@pytest.mark.exact
@pytest.mark.parametrize("seed", range(10))
def test_colours_paint_every_layered_network(network, seed):
    order = np.random.default_rng(seed).permutation(7)
    couplings = network(7, 1.0, 0.0, seed, layered=True).couplings[np.ix_(order, order)]
    couplings = np.where(np.abs(couplings) > 0.2, couplings, 0.0)
    colours = two_colouring(couplings)
    assert set(colours) <= {0, 1}
    assert not couplings[colours[:, None] == colours[None, :]].any()


@pytest.mark.exact
@pytest.mark.parametrize(
    ("dynamics", "arguments", "said"),
    [
        ("gibbs", {}, "dynamics must be one of glauber, block, little, leaky, langevin, got 'gibbs'"),
        ("glauber", {"scan": "zigzag"}, "scan must be 'random' or 'systematic', got 'zigzag'"),
        ("glauber", {"start": [0.5] * 5}, "start must be spikes 0 or 1 for glauber, got 0.5"),
        ("block", {"start": [0, 0, 0, 2, 0]}, "start must be spikes 0 or 1 for block, got 2.0"),
        ("little", {"start": [math.nan] * 5}, "start must be finite, got nan"),
        ("leaky", {"start": [0, 0, 0, 0, 1.2]}, r"start must be traces in \[0, 1\], got 1.2"),
        ("leaky", {"start": [0, 0, 0, 0, -0.2]}, r"start must be traces in \[0, 1\], got -0.2"),
        ("langevin", {"start": [0, 0, math.inf, 0, 0]}, "start must be finite, got inf"),
        ("leaky", {"start": [0.5] * 4}, r"start must have shape \(5,\) or \(4, 5\), got \(4,\)"),
        ("leaky", {"start": np.zeros((3, 5))}, r"start must have shape \(5,\) or \(4, 5\), got \(3, 5\)"),
        ("leaky", {"start": 0.5}, r"start must have shape \(5,\) or \(4, 5\), got \(\)"),
        ("leaky", {"leak": 0.0}, r"leak must lie in \(0, 1\], got 0.0"),
        ("leaky", {"leak": [0.1, 0.1, 0.1, 0.1, 1.1]}, r"leak must lie in \(0, 1\], got 1.1"),
        ("leaky", {"leak": [0.1]}, r"leak must be a number or have shape \(5,\), got shape \(1,\)"),
        ("leaky", {"copies": 0}, "copies must be a whole number of at least 1, got 0"),
        ("little", {"copies": 2}, "copies = 2 needs dynamics 'leaky', got 'little'"),
        ("glauber", {"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        ("glauber", {"steps": 1.5}, "steps must be a whole number of at least 0, got 1.5"),
        ("glauber", {"replicas": 0}, "replicas must be a whole number of at least 1, got 0"),
        ("glauber", {"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ("glauber", {"seed": 1.0}, "seed must be a whole number of at least 0, got 1.0"),
        ("glauber", {"seed": 1 << 63}, r"seed must be below 2\^63, got 9223372036854775808"),
        ("glauber", {"first_step": (1 << 32) - 1}, r"steps must stay below 2\^32"),
        ("glauber", {"first_replica": (1 << 32) - 1}, r"replicas must stay below 2\^32"),
        ("glauber", {"nudging": 0.1}, "nudging must be finite and needs a cost, got 0.1"),
        ("glauber", {"nudging": math.nan, "cost": COST}, "nudging must be finite and needs a cost, got nan"),
        ("glauber", {"cost": COST, "cost_on": "rates"}, "dynamics 'glauber' has cost_on='spikes' only"),
        ("leaky", {"cost": COST, "cost_on": "z"}, "cost_on must be 'rates' or 'spikes', got 'z'"),
        ("leaky", {"cost": QuadraticCost([5], [0.5])}, "outputs name unit 5, but the network has 5 units"),
        ("langevin", {"cost": COST}, "dynamics 'langevin' takes no cost"),
        ("langevin", {"leak": 1.9}, r"langevin needs leak < 2/λ_max\(I − J\) = [\d.]+, got 1.9"),
    ],
)
def test_bad_argument_is_refused_with_the_value(network, dynamics, arguments, said):
    with pytest.raises(ValueError, match=said):
        sample(
            network_for(network, dynamics), **{"dynamics": dynamics, "steps": 2, "replicas": 4, "seed": 0, **arguments}
        )


@pytest.mark.exact
def test_langevin_refuses_an_unstable_network():
    with pytest.raises(ValueError, match=r"I − J positive definite, but λ_max\(J\) = 1.5 ≥ 1"):
        sample(Model([[0, 1.5], [1.5, 0]], [0, 0]), dynamics="langevin", steps=1, replicas=1, seed=0)


def test_advance_ends_where_relax_does():
    """To the bit, whatever of leak, start, cost and nudging is given; the cost acts on the rates unless asked otherwise."""
    model = Model([[0.0, 1.5, 0.0], [1.5, 0.0, -0.7], [0.0, -0.7, 0.0]], [0.3, -0.2, 0.1], 0.6)
    cost = QuadraticCost([2], [1.0])
    for given in (
        {}, {"leak": 0.3}, {"start": [0.1, 0.9, 0.4]}, {"cost": cost, "nudging": 0.4, "leak": [0.2, 0.5, 1.0]},
        {"cost": cost, "nudging": -0.4, "cost_on": "spikes"}, {"leak": [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]},
    ):  # fmt: skip
        for steps in (0, 1, 7):
            assert (advance(model, steps=steps, **given) == relax(model, steps=steps, **given)[-1]).all()
    rates, spikes = (advance(model, steps=5, cost=cost, nudging=0.4, cost_on=on) for on in ("rates", "spikes"))
    assert (advance(model, steps=5, cost=cost, nudging=0.4) == rates).all()
    assert (relax(model, steps=5, cost=cost, nudging=0.4)[-1] == rates).all()
    assert (rates != spikes).any()


@pytest.mark.parametrize("run", [advance, relax])
def test_deterministic_relaxation_refuses_what_it_cannot_do(run):
    model = Model([[0.0, 1.0], [1.0, 0.0]], [0.0, 0.0])
    for given, message in (
        ({"steps": -1}, "steps must be"),
        ({"steps": 1, "start": [0.0, 1.5]}, "start must be traces in [0, 1], got 1.5"),
        ({"steps": 1, "nudging": 0.1}, "nudging must be finite and needs a cost, got 0.1 with cost=None"),
        ({"steps": 1, "leak": 0.0}, "leak must"),
    ):
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            run(model, **given)


def test_a_block_step_adds_the_force_to_the_field():
    """Noise on either side of σ((h − β(z − y))/T) decides the spike."""
    couplings = np.array([[0.0, 2.0], [2.0, 0.0]])
    bias, slope, offset = np.array([-0.5, 0.3]), np.zeros(2), np.array([-0.5, 0.0])
    field = np.empty(2)
    chance = 1 / (1 + math.exp(-(2.0 - 0.5 + 0.7 * 0.5) / 0.8))
    for noise, spike in ((chance - 1e-9, 1.0), (chance + 1e-9, 0.0)):
        state = np.array([0.0, 1.0])
        block.step(state, couplings, bias, slope, offset, 0.7, 0.8, np.array([0, 1]), 0, np.array([noise, 0.5]), field)
        assert state.tolist() == [spike, 1.0]
