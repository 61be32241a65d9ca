"""Philox4x32-10 gives Random123's known answers, and its words are distinct and uniform."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dynamics.kernel import kernel
from dynamics.philox import philox, site, to_unit, uniforms, words

# family-wise; the seeds are fixed, so a failure is a defect and never a matter of luck twice
FALSE_ALARM = 1e-9

KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def hexadecimal(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@kernel()
def first_words(count):
    drawn = np.empty((count, 4), dtype=np.uint32)
    for step in range(count):
        drawn[step] = words(7, 1, step, 0, 0)
    return drawn


def sampled(steps: int, units: int) -> np.ndarray:
    out = np.empty((steps, units))
    for step in range(steps):
        uniforms(2024, 1, step, 3, out[step])
    return out


@pytest.mark.exact
@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers_of_random123(counter, key, answer):
    arguments = [np.uint32(word) for word in hexadecimal(counter) + hexadecimal(key)]
    with np.errstate(over="ignore"):
        assert [int(word) for word in philox(*arguments)] == hexadecimal(answer)


@pytest.mark.exact
def test_distinct_counters_give_distinct_blocks():
    # philox is a bijection of the counter for each key, so no block of 128 bits repeats
    blocks = first_words(20_000)
    assert np.unique(blocks, axis=0).shape == blocks.shape


@pytest.mark.exact
@pytest.mark.parametrize("place", range(5))
def test_every_argument_changes_the_words(place):
    arguments = [5, 1, 2, 3, 4]
    moved = list(arguments)
    moved[place] += 1
    assert set(words(*arguments)).isdisjoint(words(*moved))


@pytest.mark.exact
def test_high_word_of_the_seed_counts():
    assert words(1, 0, 0, 0, 0) != words(1 + 2**32, 0, 0, 0, 0)


@pytest.mark.exact
def test_uniforms_of_a_unit_do_not_depend_on_the_number_of_units():
    short, long = np.empty(5), np.empty(11)
    uniforms(1, 2, 3, 4, short)
    uniforms(1, 2, 3, 4, long)
    assert (short == long[:5]).all()


@pytest.mark.exact
def test_unit_interval_is_open():
    assert 0 < to_unit(np.uint32(0)) < to_unit(np.uint32(0xFFFFFFFF)) < 1


@pytest.mark.exact
def test_sites_cover_exactly_the_units():
    assert site(np.uint32(0), 7) == 0
    assert site(np.uint32(0xFFFFFFFF), 7) == 6


@pytest.mark.statistical
def test_uniforms_are_uniform():
    # Dvoretzky-Kiefer-Wolfowitz with Massart's constant: the bound holds at every sample size
    values = np.sort(sampled(4_000, 13).ravel())
    count = values.size
    rank = np.arange(1, count + 1)
    distance = max((rank / count - values).max(), (values - (rank - 1) / count).max())
    assert distance <= np.sqrt(np.log(2 / FALSE_ALARM) / (2 * count))


@pytest.mark.statistical
def test_words_of_neighbouring_steps_and_units_are_uncorrelated():
    # Hoeffding, for products of centred uniforms in [−¼, ¼]; alternate products are independent
    values = sampled(4_000, 13) - 0.5
    pairs = [(values[:-1:2], values[1::2]), (values[:, :-1:2], values[:, 1::2])]
    for one, other in pairs:
        limit = 0.5 * np.sqrt(np.log(2 * len(pairs) / FALSE_ALARM) / (2 * one.size))
        assert abs((one * other).mean()) <= limit


@pytest.mark.statistical
def test_bits_are_fair():
    blocks = first_words(20_000).ravel()
    ones = [int(((blocks >> np.uint32(bit)) & np.uint32(1)).sum()) for bit in range(32)]
    p_values = [stats.binomtest(count, blocks.size).pvalue for count in ones]
    assert min(p_values) * len(p_values) > FALSE_ALARM
