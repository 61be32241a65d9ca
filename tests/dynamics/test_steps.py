"""Every sampler is its plain loop, word for word of its noise: update, force of the cost, and which number goes where."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynamics import block, glauber, leaky, little, relax, sample
from dynamics.phases import Noise, bind, nudged_phase
from dynamics.philox import STREAM_FREE, normal, site, to_unit, uniforms, words
from meanfield import Model, QuadraticCost

pytestmark = pytest.mark.exact

SEED, FIRST_STEP, FIRST_REPLICA, STEPS, REPLICAS, SIZE = 3 + (5 << 32), 4, 2, 3, 3, 6
COST, NUDGING = QuadraticCost([0, 3], [0.9, 0.2]), 0.8
LEAKS = np.array([0.3, 0.9, 0.5, 1.0, 0.1, 0.7])


def fires(field: float, temperature: float) -> float:
    return 1 / (1 + math.exp(-field / temperature))


def noise_of(step: int, replica: int, count: int) -> np.ndarray:
    out = np.empty(count)
    uniforms(SEED, STREAM_FREE, step, replica, out)
    return out


class Loop:
    """One unit, one neighbour, one copy at a time."""

    def __init__(self, model: Model, copies: int = 1, cost_on: str = "spikes") -> None:
        self.model, self.copies = model, copies
        self.slope, self.offset = COST.force(model.size, cost_on)

    def field(self, state: np.ndarray, unit: int) -> float:
        total = self.model.bias[unit]
        for other in range(self.model.size):
            total += self.model.couplings[unit, other] * state[other]
        return total - NUDGING * (self.slope[unit] * state[unit] + self.offset[unit])

    def chance(self, state: np.ndarray, unit: int) -> float:
        return fires(self.field(state, unit), self.model.temperature)

    def glauber(self, state: np.ndarray, step: int, replica: int) -> np.ndarray:
        state = state.copy()
        for update in range(self.model.size):
            drawn = words(SEED, STREAM_FREE, step, update // 2, replica)[2 * (update % 2) :]
            unit = int(site(drawn[0], self.model.size))
            state[unit] = float(to_unit(drawn[1]) < self.chance(state, unit))
        return state

    def systematic(self, state: np.ndarray, step: int, replica: int) -> np.ndarray:
        state, noise = state.copy(), noise_of(step, replica, self.model.size)
        for unit in range(self.model.size):
            state[unit] = float(noise[unit] < self.chance(state, unit))
        return state

    def block(self, state: np.ndarray, step: int, replica: int) -> np.ndarray:
        noise = noise_of(step, replica, self.model.size)
        for colour in (0, 1):
            before = state
            redrawn = [float(noise[unit] < self.chance(before, unit)) for unit in range(self.model.size)]
            state = np.where(np.arange(self.model.size) // 3 == colour, redrawn, before)
        return state

    def little(self, state: np.ndarray, step: int, replica: int) -> np.ndarray:
        noise = noise_of(step, replica, self.model.size)
        return np.array([float(noise[unit] < self.chance(state, unit)) for unit in range(self.model.size)])

    def leaky(self, state: np.ndarray, step: int, replica: int) -> np.ndarray:
        noise = noise_of(step, replica, self.copies * self.model.size).reshape(self.copies, self.model.size)
        chances = np.array([self.chance(state, unit) for unit in range(self.model.size)])
        return (1 - LEAKS) * state + LEAKS * (noise < chances).mean(axis=0)

    def langevin(self, state: np.ndarray, step: int, replica: int) -> np.ndarray:
        moved = state.copy()
        for unit in range(self.model.size):
            drawn = words(SEED, STREAM_FREE, step, unit // 2, replica)[2 * (unit % 2) :]
            pull = sum(self.model.couplings[unit, j] * state[j] for j in range(self.model.size)) + self.model.bias[unit]
            kick = math.sqrt(2 * self.model.temperature * LEAKS[unit]) * normal(drawn[0], drawn[1])
            moved[unit] = state[unit] + LEAKS[unit] * (pull - state[unit]) + kick
        return moved


CASES = [
    ("glauber", "random", 1, 6),
    ("glauber", "random", 1, 5),
    ("glauber", "systematic", 1, 5),
    ("block", "random", 1, 6),
    ("little", "random", 1, 5),
    ("leaky", "random", 1, 6),
    ("leaky", "random", 3, 6),
    ("langevin", "random", 1, 6),
]


def start_of(dynamics: str, size: int) -> np.ndarray:
    binary = np.array([1.0, 0, 0, 1, 1, 0])
    return (np.linspace(0.1, 0.9, 6) if dynamics in ("leaky", "langevin") else binary)[:size]


@pytest.mark.parametrize(("dynamics", "scan", "copies", "size"), CASES)
def test_a_sampler_is_its_plain_loop(network, dynamics, scan, copies, size):
    model = network(size, 0.1 if dynamics == "langevin" else 1.5, 0.3, 3, layered=dynamics == "block")
    loop = Loop(model, copies, "rates" if dynamics == "leaky" else "spikes")
    nudge = {} if dynamics == "langevin" else {"cost": COST, "nudging": NUDGING}
    drawn = sample(
        model, dynamics=dynamics, scan=scan, steps=STEPS, replicas=REPLICAS, seed=SEED, leak=LEAKS[:size], copies=copies,
        start=start_of(dynamics, size), first_step=FIRST_STEP, first_replica=FIRST_REPLICA, **nudge,
    )  # fmt: skip
    one_step = getattr(loop, scan if scan == "systematic" else dynamics)
    for replica in range(REPLICAS):
        state = start_of(dynamics, size)
        for step in range(FIRST_STEP, FIRST_STEP + STEPS):
            before, state = state, one_step(state, step, FIRST_REPLICA + replica)
        np.testing.assert_allclose(drawn.states[replica], state, rtol=0, atol=1e-12)
        if dynamics == "leaky":
            np.testing.assert_allclose(drawn.spikes[replica], (state - (1 - LEAKS) * before) / LEAKS, atol=1e-12)


@pytest.mark.parametrize("dynamics", ["glauber", "block", "little", "leaky"])
def test_each_replica_feels_its_own_nudging(network, dynamics):
    model, nudgings = network(SIZE, 0.6, 0.3, 3, layered=dynamics == "block"), np.array([-3.0, 0.0, 3.0])
    setting = bind(model, dynamics, cost=COST, leak=0.5)
    start = np.tile(start_of(dynamics, SIZE), (3, 1))
    mixed = nudged_phase(setting, start, steps=6, noise=Noise(SEED), nudgings=nudgings)[1]
    for replica, nudging in enumerate(nudgings):
        alone = nudged_phase(setting, start, steps=6, noise=Noise(SEED), nudgings=float(nudging))[1]
        np.testing.assert_array_equal(mixed[replica], alone[replica])


def test_deterministic_steps_are_their_plain_loop(network):
    model, state = network(SIZE, 1.5, 0.3, 3), start_of("leaky", SIZE)
    loop = Loop(model, cost_on="rates")
    path = relax(model, steps=4, leak=LEAKS, start=state, cost=COST, nudging=NUDGING, cost_on="rates")
    assert path.shape == (5, SIZE)
    for row in path:
        np.testing.assert_allclose(row, state, rtol=0, atol=1e-13)
        state = (1 - LEAKS) * state + LEAKS * np.array([loop.chance(state, unit) for unit in range(SIZE)])


def test_box_and_muller():
    drawn = words(1, 2, 3, 4, 5)
    one, other = ((int(word) + 0.5) / 2**32 for word in drawn[:2])
    assert normal(drawn[0], drawn[1]) == pytest.approx(
        math.sqrt(-2 * math.log(one)) * math.cos(2 * math.pi * other), rel=1e-14
    )


def test_words_of_a_counter_are_those_of_philox_with_key_and_counter_in_their_places():
    from dynamics.philox import philox

    seed, stream, step, group, replica = 7 + (9 << 32), 2, 11, 13, 17
    assert words(seed, stream, step, group, replica) == philox(group, step, replica, 9, 7, stream)


def test_uniforms_read_the_words_in_order():
    for count in (1, 2, 3, 4, 6, 9):
        expected = [to_unit(words(SEED, 1, 2, unit // 4, 3)[unit % 4]) for unit in range(count)]
        out = np.empty(count)
        uniforms(SEED, 1, 2, 3, out)
        assert out.tolist() == expected


@pytest.mark.parametrize("word", [0, 1, 2**31, 2**32 - 1, 3_000_000_001])
def test_a_word_is_the_midpoint_of_its_cell_and_names_its_site(word):
    assert to_unit(np.uint32(word)) == (word + 0.5) / 2**32
    assert [int(site(np.uint32(word), size)) for size in (1, 7, 12)] == [word * size // 2**32 for size in (1, 7, 12)]


def test_a_uniform_equal_to_the_probability_does_not_fire():
    """P(u < p) = p holds for u = (k + ½)/2³² with p on the grid's edges; at field 0 and temperature 1, p = ½."""
    bare, nothing, half = np.zeros((2, 2)), np.zeros(2), np.full(2, 0.5)
    states = {"glauber": np.zeros(2), "block": np.zeros(2), "little": np.zeros(2), "leaky": np.zeros(2)}
    glauber.step(states["glauber"], np.zeros(2), bare, 0, 0.0, 1.0, 0.5)
    block.step(states["block"], bare, nothing, nothing, nothing, 0.0, 1.0, np.array([0, 0]), 0, half, np.zeros(2))
    little.step(states["little"], bare, nothing, nothing, nothing, 0.0, 1.0, half, np.zeros(2))
    leaky.step(states["leaky"], np.zeros(2), bare, nothing, nothing, nothing, 0.0, 1.0, np.ones(2), half, np.zeros(2))
    for state in states.values():
        assert not state.any()
