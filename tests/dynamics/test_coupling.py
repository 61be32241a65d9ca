"""Exact laws of coupled phases: against sums over uniforms, against their marginals, against samples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from dynamics import coupled_leaky_law, estimate_gradient, exact_estimator_moments, exact_law, leaky_law
from dynamics.coupling import joint_law
from dynamics.enumeration import all_states, transition_matrix
from meanfield import Gradient, Model, QuadraticCost

COST = QuadraticCost([0, 2], [0.9, 0.2])
FALSE_ALARM, COMPARISONS = 1e-9, 2000
LIMIT = float(stats.norm.isf(FALSE_ALARM / COMPARISONS / 2))
CHAINS = [("glauber", "random"), ("glauber", "systematic"), ("block", "random"), ("little", "random")]
STARTS = [{"coupled": True}, {"coupled": False, "warm": True}, {"coupled": False}]
ESTIMATORS = ["one-sided", "symmetric", "random-sign"]
STATISTICS = ["spikes", "probabilities"]


def flat(gradient: Gradient) -> np.ndarray:
    return np.concatenate([gradient.couplings[np.triu_indices(len(gradient.bias), 1)], gradient.bias])


def models_of(network, dynamics: str, size: int = 3, nudging: float = 0.8) -> tuple[Model, Model, Model]:
    model = network(size, 0.7, 0.3, 6, layered=dynamics == "block")
    offset = np.zeros(size)
    offset[[0, 2]] = 0.5 - COST.target
    return model, model.with_bias(model.bias - nudging * offset), model.with_bias(model.bias + nudging * offset)


def one_update(raised: Model, lowered: Model, units: list[int], pair: tuple[tuple, tuple]) -> dict[tuple, float]:
    """Law of (z⁺, z⁻) after `units` were redrawn at once, by cutting every unit's uniform at both thresholds."""
    fields = [one.couplings @ np.array(z) + one.bias for one, z in zip((raised, lowered), pair, strict=True)]
    chances = [1 / (1 + np.exp(-field / raised.temperature)) for field in fields]
    law: dict[tuple, float] = {}
    cuts = [sorted({0.0, chances[0][unit], chances[1][unit], 1.0}) for unit in units]
    for cells in itertools.product(*(itertools.pairwise(cut) for cut in cuts)):
        states = [list(z) for z in pair]
        for unit, (low, high) in zip(units, cells, strict=True):
            for state, chance in zip(states, chances, strict=True):
                state[unit] = float((low + high) / 2 < chance[unit])
        key = (tuple(states[0]), tuple(states[1]))
        law[key] = law.get(key, 0.0) + math.prod(high - low for low, high in cells)
    return law


def swept(raised: Model, lowered: Model, dynamics: str, scan: str, law: dict[tuple, float]) -> dict[tuple, float]:
    size = raised.size
    if dynamics == "little":
        rounds = [[(1.0, list(range(size)))]]
    elif dynamics == "block":
        rounds = [[(1.0, [0, 1])], [(1.0, [2])]]
    elif scan == "systematic":
        rounds = [[(1.0, [unit])] for unit in range(size)]
    else:
        rounds = [[(1 / size, [unit]) for unit in range(size)]] * size
    for choices in rounds:
        following: dict[tuple, float] = {}
        for pair, weight in law.items():
            for share, units in choices:
                for after, chance in one_update(raised, lowered, units, pair).items():
                    following[after] = following.get(after, 0.0) + weight * share * chance
        law = following
    return law


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan"), CHAINS)
def test_coupled_law_is_the_integral_over_shared_uniforms(network, dynamics, scan):
    _, raised, lowered = models_of(network, dynamics)
    start = np.random.default_rng(0).dirichlet(np.ones(8))
    states = [tuple(state) for state in all_states(3)]
    law = {(state, state): weight for state, weight in zip(states, start, strict=True)}
    for _ in range(2):
        law = swept(raised, lowered, dynamics, scan, law)
    stated = joint_law(raised, lowered, start, dynamics=dynamics, steps=2, coupled=True, scan=scan)
    for (i, up), (j, down) in itertools.product(enumerate(states), repeat=2):
        assert abs(stated[i, j] - law.get((up, down), 0.0)) < 1e-14


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan"), CHAINS)
@pytest.mark.parametrize("start", STARTS)
def test_each_phase_alone_is_the_chain(network, dynamics, scan, start):
    _, raised, lowered = models_of(network, dynamics, size=4)
    begin = np.random.default_rng(1).dirichlet(np.ones(16))
    joint = joint_law(raised, lowered, begin, dynamics=dynamics, steps=3, scan=scan, **start)
    name = "systematic" if scan == "systematic" else dynamics
    for one, axis in ((raised, 1), (lowered, 0)):
        colours = [0, 0, 1, 1] if dynamics == "block" else None
        chain = transition_matrix(one, dynamics=name, colours=colours)
        updates = 3 * 4 if (dynamics, scan) == ("glauber", "random") else 3
        np.testing.assert_allclose(
            joint.sum(axis=axis), begin @ np.linalg.matrix_power(chain, updates), rtol=1e-12, atol=1e-15
        )
    if not start["coupled"] and not start.get("warm"):
        np.testing.assert_allclose(joint, np.outer(joint.sum(axis=1), joint.sum(axis=0)), rtol=1e-12)


@pytest.mark.exact
def test_warm_phases_are_independent_given_their_start(network):
    _, raised, lowered = models_of(network, "glauber")
    chains = [np.linalg.matrix_power(transition_matrix(one), 6) for one in (raised, lowered)]
    for state in range(8):
        begin = np.eye(8)[state]
        joint = joint_law(raised, lowered, begin, dynamics="glauber", steps=2, coupled=False, warm=True)
        np.testing.assert_allclose(joint, np.outer(chains[0][state], chains[1][state]), rtol=1e-12)


@pytest.mark.statistical
@pytest.mark.parametrize(("dynamics", "scan"), CHAINS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_moments_are_those_of_the_sampled_estimate(network, dynamics, scan, estimator, start, statistic):
    model = network(4, 0.6, 0.3, 6, layered=dynamics == "block")
    shared = {
        "dynamics": dynamics, "scan": scan, "estimator": estimator, "statistic": statistic, "nudging": 1.5,
        "steps_free": 2, "steps_nudged": 3, **start,
    }  # fmt: skip
    mean, variance = exact_estimator_moments(model, COST, **shared)
    samples = 4000
    estimate = estimate_gradient(model, COST, samples=samples, seed=8, **shared)
    spread = np.sqrt(flat(variance))
    assert (np.abs(flat(estimate.value) - flat(mean)) <= LIMIT * spread / math.sqrt(samples)).all()
    # the sample variance of bounded differences is within a few tens of per cent, a factor of two is not
    ratio = samples * flat(estimate.standard_error) ** 2 / flat(variance)
    assert ((ratio > 0.7) & (ratio < 1.4)).all()


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "scan"), CHAINS[:3])
def test_independent_variances_add(network, dynamics, scan):
    # thm:C8: (Var_β + Var_{−β})/4β², (Var_β + Var_0)/β²; little's statistic spans two steps
    model, raised, lowered = models_of(network, dynamics, size=4)
    states = all_states(4)
    first, second = np.triu_indices(4, 1)
    readings = np.concatenate([states[:, first] * states[:, second], states], axis=1)

    def spread(one: Model) -> np.ndarray:
        law = exact_law(one).probabilities
        return law @ readings**2 - (law @ readings) ** 2

    for estimator, other, gap in (("symmetric", lowered, 1.6), ("one-sided", model, 0.8)):
        variance = exact_estimator_moments(
            model, COST, dynamics=dynamics, scan=scan, estimator=estimator, nudging=0.8, steps_nudged=300, coupled=False
        ).variance
        np.testing.assert_allclose(flat(variance), (spread(raised) + spread(other)) / gap**2, rtol=1e-6)


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", ["glauber", "little"])
@pytest.mark.parametrize("start", STARTS)
def test_free_phases_start_in_the_stationary_law_unless_told(network, dynamics, start):
    model = network(3, 0.5, 0.3, 6)
    shared = {"dynamics": dynamics, "nudging": 0.4, "steps_nudged": 2, **start}
    late, stationary = (exact_estimator_moments(model, COST, **shared, steps_free=s) for s in (400, None))
    np.testing.assert_allclose(flat(late.variance), flat(stationary.variance), rtol=1e-9)
    early = exact_estimator_moments(model, COST, **shared, steps_free=0)
    assert np.abs(flat(early.variance) / flat(stationary.variance) - 1).max() > 1e-3


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", ["glauber", "block", "little"])
def test_gradients_are_symmetric_with_a_zero_diagonal(network, dynamics):
    model = network(4, 0.6, 0.3, 6, layered=dynamics == "block")
    for part in exact_estimator_moments(model, COST, dynamics=dynamics, nudging=0.5, steps_nudged=2):
        np.testing.assert_array_equal(part.couplings, part.couplings.T)
        assert not np.diagonal(part.couplings).any()
        assert part.bias.shape == (4,)


@pytest.mark.exact
@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
def test_each_leaky_phase_alone_is_the_leaky_chain(network, copies, cost_on):
    model, leak, steps = network(2, 0.7, 0.3, 6), np.array([0.3, 0.7]), 2
    cost, begin = QuadraticCost([1], [0.8]), np.array([0.2, 0.7])
    up, down, weights = coupled_leaky_law(
        model, cost, nudgings=(0.9, -0.6), leak=leak, steps=steps, start=begin, cost_on=cost_on, copies=copies
    )
    assert up.shape == down.shape == (len(weights), steps + 1, 2)
    assert abs(weights.sum() - 1) < 1e-13
    assert (weights > 0).all()
    if cost_on == "rates":
        # a nudge by the cost on rates is a coupling of the unit with itself: compare the first step only
        field = model.local_field(begin)
        for traces, nudging in ((up, 0.9), (down, -0.6)):
            pushed = field - nudging * np.array([0.0, begin[1] - 0.8])
            stated = (1 - leak) * begin + leak / (1 + np.exp(-pushed / model.temperature))
            np.testing.assert_allclose(weights @ traces[:, 1], stated, rtol=1e-12)
        return
    for traces, nudging in ((up, 0.9), (down, -0.6)):
        moved = model.with_bias(model.bias - nudging * np.array([0.0, 0.5 - 0.8]))
        paths, law = leaky_law(moved, leak=leak, steps=steps, start=begin, copies=copies)
        for power in (1, 2, 3):
            np.testing.assert_allclose(weights @ traces[:, -1] ** power, law @ paths[:, -1] ** power, rtol=1e-12)
        np.testing.assert_allclose(weights @ traces[:, -1].prod(axis=1), law @ paths[:, -1].prod(axis=1), rtol=1e-12)


@pytest.mark.exact
def test_shared_uniforms_let_copies_differ_with_the_difference_of_chances():
    model, cost = Model([[0.0]], [0.4]), QuadraticCost([0], [1.0])
    up, down, weights = coupled_leaky_law(
        model, cost, nudgings=(0.5, -0.5), leak=0.3, steps=1, cost_on="spikes", copies=3
    )
    chances = [1 / (1 + math.exp(-(0.4 + push))) for push in (0.25, -0.25)]
    assert weights @ np.abs(up - down)[:, 1, 0] == pytest.approx(0.3 * (chances[0] - chances[1]), rel=1e-12)
    # of three copies all differ with the cube
    assert weights[(up - down)[:, 1, 0] > 0.29].sum() == pytest.approx((chances[0] - chances[1]) ** 3, rel=1e-12)
    assert (up >= down).all()


@pytest.mark.exact
def test_leak_one_is_littles_coupled_chain(network):
    model, raised, lowered = models_of(network, "little")
    begin = np.array([1.0, 0.0, 1.0])
    up, down, weights = coupled_leaky_law(
        model, COST, nudgings=(0.8, -0.8), leak=1.0, steps=2, start=begin, cost_on="spikes"
    )
    joint = joint_law(raised, lowered, np.eye(8)[0b101], dynamics="little", steps=2, coupled=True)
    counted = np.zeros((8, 8))
    bits = 1 << np.arange(3)
    np.add.at(counted, ((up[:, -1] @ bits).astype(int), (down[:, -1] @ bits).astype(int)), weights)
    np.testing.assert_allclose(counted, joint, atol=1e-14)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dynamics": "leaky"}, "^dynamics must be glauber, block or little, got 'leaky': only chains are enumerated$"),
        (
            {"estimator": "three-factor"},
            "^estimator must be one of one-sided, symmetric, random-sign, got 'three-factor'",
        ),
        ({"nudging": 0.0}, "^nudging must be finite and non-zero, got 0.0: the symmetric estimator divides by it$"),
        ({"nudging": math.inf}, "^nudging must be finite and non-zero, got inf"),
        ({"warm": True}, "^warm=True needs coupled=False: coupled phases start at the free state already$"),
        ({"scan": "zigzag"}, "^scan must be 'random' or 'systematic', got 'zigzag'$"),
        ({"statistic": "traces"}, "^statistic 'traces' needs dynamics 'leaky'"),
        ({"steps_nudged": 0}, "^steps_nudged must be a whole number of at least 1, got 0"),
        ({"steps_free": -1}, "^steps_free must be a whole number of at least 0, got -1"),
    ],
)
def test_bad_argument_is_refused_with_the_value(network, arguments, said):
    with pytest.raises(ValueError, match=said):
        exact_estimator_moments(network(3, 0.5, 0.3, 6), COST, **{"nudging": 0.1, "steps_nudged": 2, **arguments})


@pytest.mark.exact
def test_too_many_pairs_or_histories_are_refused(network):
    with pytest.raises(
        ValueError, match=r"^6 units have 4\^6 pairs of states, too many here \(limit 5 units\): use esti"
    ):
        exact_estimator_moments(network(6, 0.5, 0.3, 6), COST, nudging=0.1, steps_nudged=1)
    assert exact_estimator_moments(network(5, 0.5, 0.3, 6), COST, nudging=0.1, steps_nudged=1).mean.bias.shape == (5,)
    model, cost = network(3, 0.5, 0.3, 6), QuadraticCost([0], [1.0])
    shared = {"nudgings": (0.1, -0.1), "leak": 0.5}
    said = r"^3 units with 1 copies over 4 steps have 3\^12 coupled histories, more than 2\^18: use fewer steps, or"
    with pytest.raises(ValueError, match=said):
        coupled_leaky_law(model, cost, **shared, steps=4)
    assert coupled_leaky_law(model, cost, **shared, steps=3)[0].shape[1:] == (4, 3)
    with pytest.raises(ValueError, match=r"^start must have one trace per unit, \(3,\), got shape \(2,\)$"):
        coupled_leaky_law(model, cost, **shared, steps=1, start=[0.5, 0.5])
    with pytest.raises(ValueError, match="copies must be a whole number of at least 1, got 0"):
        coupled_leaky_law(model, cost, **shared, steps=1, copies=0)
