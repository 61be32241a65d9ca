"""What a phase is read by, and what its difference sums are: each against a loop over replicas."""

from __future__ import annotations

import numpy as np
import pytest

from dynamics.pairing import Phase, checked_statistic, difference_sums, read_phase
from dynamics.phases import Noise, Setting, bind, free_phase, nudged_phase
from meanfield import QuadraticCost

COST = QuadraticCost([0, 2], [0.9, 0.2])
REPLICAS, NOISE = 40, Noise(5, 2)
NUDGINGS = np.where(np.arange(REPLICAS) % 2 == 0, 0.7, -0.4)


def start_of(network, dynamics: str, copies: int = 1) -> tuple[Setting, np.ndarray]:
    model = network(4, 0.6, 0.3, 6, layered=dynamics == "block")
    setting = bind(model, dynamics, cost=COST, leak=0.4, copies=copies)
    return setting, free_phase(setting, steps=3, replicas=REPLICAS, noise=Noise(5, 1))


def chance(setting: Setting, state: np.ndarray, nudging: float) -> np.ndarray:
    """σ((h − β ∂C)/T) of one state, written out."""
    force = np.zeros(4)
    for unit, target in zip(COST.outputs, COST.target, strict=True):
        force[unit] = state[unit] - target if setting.dynamics == "leaky" else 0.5 - target
    field = setting.model.couplings @ state + setting.model.bias - nudging * force
    return 1 / (1 + np.exp(-field / setting.model.temperature))


def phase_of(network, dynamics: str, statistic: str, copies: int = 1):
    setting, start = start_of(network, dynamics, copies)
    phase = read_phase(setting, start, 5, NOISE, NUDGINGS, statistic)
    return phase, setting, nudged_phase(setting, start, steps=5, noise=NOISE, nudgings=NUDGINGS)


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", ["glauber", "block"])
def test_sequential_spikes_multiply_at_one_time(network, dynamics):
    phase, _, (_, after, _) = phase_of(network, dynamics, "spikes")
    for factor in phase:
        np.testing.assert_array_equal(factor, after)


@pytest.mark.exact
def test_littles_spikes_multiply_across_the_last_step(network):
    phase, _, (before, after, _) = phase_of(network, "little", "spikes")
    np.testing.assert_array_equal(phase.left, before)
    np.testing.assert_array_equal(phase.right, after)
    np.testing.assert_array_equal(phase.unit, (before + after) / 2)
    assert (before != after).any()


@pytest.mark.exact
@pytest.mark.parametrize("copies", [1, 3])
def test_leaky_reads_traces_or_the_spikes_that_made_them(network, copies):
    phase, setting, (before, after, spikes) = phase_of(network, "leaky", "traces", copies)
    for factor in phase:
        np.testing.assert_array_equal(factor, after)
    phase, _, _ = phase_of(network, "leaky", "spikes", copies)
    for factor in phase:
        np.testing.assert_array_equal(factor, spikes)
    assert set(np.unique(spikes)) <= {k / copies for k in range(copies + 1)}
    np.testing.assert_allclose(after, (1 - setting.leak) * before + setting.leak * spikes, rtol=1e-14)


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", ["glauber", "block", "little", "leaky"])
def test_probabilities_are_those_of_the_nudged_field(network, dynamics):
    phase, setting, (before, after, _) = phase_of(network, dynamics, "probabilities")
    state = after if dynamics in ("glauber", "block") else before
    chances = np.array([chance(setting, z, nudging) for z, nudging in zip(state, NUDGINGS, strict=True)])
    np.testing.assert_allclose(phase.right, chances, rtol=1e-12)
    partner = {"little": before, "leaky": chances}.get(dynamics, after)
    np.testing.assert_allclose(phase.left, partner, rtol=1e-12)
    unit = 0.5 * (before + chances) if dynamics == "little" else chances
    np.testing.assert_allclose(phase.unit, unit, rtol=1e-12)


@pytest.mark.exact
def test_littles_last_spikes_are_drawn_with_the_probabilities_read(network):
    # given the state before, spikes are the probabilities on average: replicas share the state, not the noise
    setting, start = start_of(network, "little")
    many = np.tile(start[:1], (20_000, 1))
    nudgings = np.full(len(many), 0.7)
    spikes = nudged_phase(setting, many, steps=1, noise=NOISE, nudgings=nudgings)[1]
    chances = read_phase(setting, many, 1, NOISE, nudgings, "probabilities").right
    np.testing.assert_array_equal(chances, np.tile(chances[:1], (len(many), 1)))
    # Hoeffding at 1e-9 for four units
    assert np.abs(spikes.mean(axis=0) - chances[0]).max() < np.sqrt(np.log(8e9) / (2 * len(many)))


@pytest.mark.exact
def test_difference_sums_are_those_of_a_loop():
    generator = np.random.default_rng(3)
    raised, lowered = (Phase(*generator.uniform(size=(3, 30, 4))) for _ in range(2))
    scale = generator.uniform(0.5, 2.0, size=30)
    pairs, units = np.zeros((2, 4, 4)), np.zeros((2, 4))
    for r in range(30):
        statistic = [
            (np.outer(one.left[r], one.right[r]) + np.outer(one.right[r], one.left[r])) / 2 for one in (raised, lowered)
        ]
        pair = scale[r] * (statistic[0] - statistic[1])
        unit = scale[r] * (raised.unit[r] - lowered.unit[r])
        pairs += np.stack([pair, pair**2])
        units += np.stack([unit, unit**2])
    for stated, counted in zip(
        difference_sums(raised, lowered, scale), (pairs[0], pairs[1], units[0], units[1]), strict=True
    ):
        np.testing.assert_allclose(stated, counted, rtol=1e-12, atol=1e-13)


@pytest.mark.exact
def test_tiny_differences_keep_their_digits():
    generator = np.random.default_rng(4)
    left, right = generator.uniform(0.4, 0.6, size=(2, 10, 3))
    change = 1e-9 * generator.normal(size=(10, 3))
    raised, lowered = Phase(left + change, right, left), Phase(left, right, left)
    moved = (left + change) - left
    expected = 0.5 * np.einsum("ri,rj->ij", moved, right)
    pair, square, unit, _ = difference_sums(raised, lowered, np.full(10, 1e9))
    np.testing.assert_allclose(pair, 1e9 * (expected + expected.T), rtol=1e-12)
    per_replica = 0.5e9 * (moved[:, :, None] * right[:, None] + right[:, :, None] * moved[:, None])
    np.testing.assert_allclose(square, (per_replica**2).sum(axis=0), rtol=1e-12)
    assert not unit.any()


@pytest.mark.exact
def test_every_dynamics_has_a_default_statistic():
    assert checked_statistic(None, "leaky", "symmetric") == "traces"
    assert checked_statistic(None, "little", "three-factor") == "spikes"
    assert checked_statistic("probabilities", "leaky", "one-sided") == "probabilities"


@pytest.mark.exact
@pytest.mark.parametrize(
    ("statistic", "dynamics", "estimator", "said"),
    [
        ("rates", "leaky", "symmetric", "^statistic must be one of spikes, traces, probabilities, got 'rates'$"),
        ("traces", "block", "symmetric", "^statistic 'traces' needs dynamics 'leaky': 'block' has none, use 'spikes'$"),
        (
            "probabilities", "glauber", "three-factor",
            "^estimator 'three-factor' correlates spikes with the cost of the same spikes, which a firing probability "
            "does not share: use statistic='spikes'$",
        ),
    ],
)  # fmt: skip
def test_a_statistic_that_is_not_there_is_refused(statistic, dynamics, estimator, said):
    with pytest.raises(ValueError, match=said):
        checked_statistic(statistic, dynamics, estimator)
