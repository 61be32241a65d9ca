"""Firing in vectors is firing unit by unit: the same words, and the same probabilities to the stated error."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics.activations import firing_probability
from dynamics.crnn.fire import clipped, pair_clipped, pair_probabilities, pair_spikes, probabilities, spikes
from dynamics.philox import random_words, uniforms

pytestmark = pytest.mark.exact


def chances_of(field, temperature):
    chances = np.empty_like(field)
    probabilities(field, temperature, 1 / temperature, np.empty(len(field), np.int32), chances)
    return chances


def reference(scaled):
    return np.array([firing_probability(float(value), 1.0) for value in scaled])


def test_float32_probabilities_are_within_2e_minus_7_of_themselves():
    field = np.concatenate(
        [np.linspace(-21.7, 30.0, 4001), np.geomspace(1e-20, 20, 200), -np.geomspace(1e-20, 20, 200)]
    )
    field = field.astype(np.float32)
    temperature = np.full_like(field, 0.25)
    wanted = reference(field.astype(np.float64) / 0.25)
    assert np.max(np.abs(chances_of(field, temperature) - wanted) / wanted) < 2e-7
    assert chances_of(np.zeros(1, np.float32), np.ones(1, np.float32))[0] == 0.5


def test_the_least_float32_probability_is_that_of_minus_87_and_the_largest_is_1():
    field = np.array([-1e30, -1000.0, -87.0, 1000.0, 1e30], np.float32)
    chances = chances_of(field, np.ones_like(field))
    assert np.array_equal(chances[:3], np.repeat(chances[2], 3))
    assert 1.6e-38 < chances[2] < 1.7e-38
    assert np.array_equal(chances[3:], [1.0, 1.0])


def test_each_unit_has_its_own_temperature_and_the_places_do_not_matter():
    generator = np.random.default_rng(0)
    field, temperature = (
        generator.normal(size=103).astype(np.float32),
        generator.uniform(0.1, 2, 103).astype(np.float32),
    )
    chances = chances_of(field, temperature)
    np.testing.assert_allclose(chances, reference(field * (1 / temperature)), rtol=2e-7, atol=0)
    single = [chances_of(field[k : k + 1], temperature[k : k + 1])[0] for k in range(103)]
    assert np.array_equal(chances, single)


def test_float64_probabilities_are_those_of_firing_probability_to_the_bit():
    field, temperature = np.linspace(-900.0, 900.0, 333), np.linspace(0.1, 2.0, 333)
    wanted = [firing_probability(h, t) for h, t in zip(field, temperature, strict=True)]
    assert np.array_equal(chances_of(field, temperature), wanted)


@given(
    key=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**16), st.integers(0, 2**31), st.integers(0, 2**31)),
    units=st.integers(1, 90), dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_words_are_those_of_the_uniforms_and_spikes_are_their_comparison(key, units, dtype):
    drawn, noise = np.empty(4 * (-(-units // 4)), np.uint32), np.empty(units)
    random_words(*key, drawn)
    uniforms(*key, noise)
    assert np.array_equal((drawn[:units] + 0.5) / 2.0**32, noise)
    chances, pulses = np.linspace(0, 1, units).astype(dtype), np.empty(units, dtype)
    spikes(drawn, chances, pulses)
    assert np.array_equal(pulses, noise < chances)


def pair_of(field, half, temperature):
    chances, halves = np.empty_like(field), np.empty_like(field)
    spare, bits = tuple(np.empty_like(field) for _ in range(4)), np.empty(len(field), np.int32)
    pair_probabilities(field, half, temperature, 1 / temperature, bits, spare, chances, halves)
    return chances, halves


def exact_pair(field, half, temperature):
    """In 60 digits, from the numbers as they are."""
    with mpmath.workdps(60):
        ends = [
            [
                1 / (1 + mpmath.exp(-(mpmath.mpf(float(h)) + sign * mpmath.mpf(float(d))) / mpmath.mpf(float(t))))
                for sign in (1, -1)
            ]
            for h, d, t in zip(field, half, temperature, strict=True)
        ]
        return np.array([[float((up + down) / 2), float((up - down) / 2)] for up, down in ends]).T


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-6), (np.float64, 4e-15)])
def test_a_pair_is_two_firing_probabilities_whose_difference_is_exact_however_small(dtype, error):
    generator = np.random.default_rng(4)
    half = np.concatenate(
        [10.0 ** generator.uniform(-30, 1, 400) * generator.choice([-1, 1], 400), [0.0, 0.0624, 0.0626]]
    )
    field, temperature = generator.uniform(-8, 8, len(half)), generator.uniform(0.5, 1.0, len(half))
    field, half, temperature = field.astype(dtype), half.astype(dtype), temperature.astype(dtype)
    chances, halves = pair_of(field, half, temperature)
    mean, difference = exact_pair(field, half, temperature)
    assert (np.abs(chances - mean) <= error * mean).all()
    # the two ends are rounded before they are taken to a probability
    ends = 1 + (np.abs(field) + np.abs(half)) / temperature
    assert (np.abs(halves - difference) <= error * ends * np.abs(difference)).all()
    assert halves[-3] == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pair_far_out_is_all_or_nothing(dtype):
    field, half = np.array([-300, 300, 0, -300, 300], dtype), np.array([500, 500, -1000, 1, 1], dtype)
    chances, halves = pair_of(field, half, np.ones(5, dtype))
    np.testing.assert_allclose(chances, [0.5, 0.5, 0.5, 0, 1], atol=1e-30)
    np.testing.assert_allclose(halves, [0.5, 0.5, -0.5, 0, 0], atol=1e-30)


@given(units=st.integers(1, 40), seed=st.integers(0, 2**31 - 1), shared=st.booleans())
def test_pair_spikes_are_the_spikes_of_each_phase(units, seed, shared):
    generator = np.random.default_rng(seed)
    drawn, other = generator.integers(0, 2**32, (2, 4 * (-(-units // 4))), dtype=np.uint32)
    other = drawn if shared else other
    chances, halves = generator.uniform(0.3, 0.7, units), generator.uniform(-0.3, 0.3, units)
    pulses, half_pulses, up, down = np.empty((4, units))
    pair_spikes(drawn, other, chances, halves, pulses, half_pulses)
    spikes(drawn, chances + halves, up)
    spikes(other, chances - halves, down)
    assert np.array_equal(pulses, (up + down) / 2)
    assert np.array_equal(half_pulses, (up - down) / 2)


@given(
    field=st.floats(-3, 3, width=32), size=st.floats(0, 3, width=32), exponent=st.integers(-40, 0), sign=st.sampled_from([1, -1]),
    temperature=st.floats(0.0625, 2, width=32), dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_hard_chances_are_clipped_and_a_pairs_difference_is_exact_relative_to_itself(
    field, size, exponent, sign, temperature, dtype
):
    fields, halves, temperatures = (np.array([v], dtype) for v in (field, sign * size * 2.0**exponent, temperature))
    chances, pair, half_pair = np.empty(1, dtype), np.empty(1, dtype), np.empty(1, dtype)
    clipped(fields, temperatures, chances)
    pair_clipped(fields, halves, temperatures, pair, half_pair)
    h, d, top = (Fraction(float(values[0])) for values in (fields, halves, temperatures))

    def exact(value):
        return min(max(value / top, Fraction(0)), Fraction(1))

    upper, lower = exact(h + d), exact(h - d)
    wanted = exact(h), (upper + lower) / 2, (upper - lower) / 2
    eps, least = Fraction(float(np.finfo(dtype).eps)), Fraction(float(np.finfo(dtype).tiny))
    for found, value in zip((chances, pair, half_pair), wanted, strict=True):
        assert abs(Fraction(float(found[0])) - value) <= 3 * eps * abs(value) + least


def test_hard_chances_of_many_units_are_those_of_one():
    generator = np.random.default_rng(8)
    field, half = generator.normal(size=(2, 103)).astype(np.float32)
    temperature = generator.uniform(0.2, 2, 103).astype(np.float32)
    many, one = np.empty((3, 103), np.float32), np.empty((3, 103), np.float32)
    clipped(field, temperature, many[0])
    pair_clipped(field, half, temperature, many[1], many[2])
    for k in range(103):
        place = slice(k, k + 1)
        clipped(field[place], temperature[place], one[0, place])
        pair_clipped(field[place], half[place], temperature[place], one[1, place], one[2, place])
    assert np.array_equal(many, one)
    assert 0 < (many[0] == 0).sum() < 103
    assert (many[0] == 1).any()
