"""Verdicts raise false alarms as seldom as they say, and see what is there to be seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta
from scipy.stats import t as student

from proofs_numeric.verdicts import (
    FALSE_ALARMS,
    Bracket,
    average_interval,
    decide_below,
    exponent_interval,
    ledger,
    limit_miss,
    mean_interval,
)

NULLS = 20_000
# of the whole file, shared among at most so many comparisons of a rate with its alpha
FALSE_ALARM, COMPARISONS = 1e-9, 20


def clopper_pearson_high(alarms: int, trials: int) -> float:
    """What the alarm rate may be at most, at this file's confidence."""
    return float(beta.isf(FALSE_ALARM / COMPARISONS, alarms + 1, trials - alarms))


def clopper_pearson_low(alarms: int, trials: int) -> float:
    return float(beta.ppf(FALSE_ALARM / COMPARISONS, alarms, trials - alarms + 1)) if alarms else 0.0


@pytest.mark.statistical
@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("mean", [0.5, 0.02])
def test_mean_interval_misses_no_more_often_than_alpha(alpha: float, mean: float) -> None:
    draws = (np.random.default_rng(1).uniform(size=(NULLS, 200)) < mean).astype(float)
    misses = sum(mean_interval(row, smallest=0.0, largest=1.0, alpha=alpha).distance(mean) > 0 for row in draws)
    assert clopper_pearson_low(misses, NULLS) <= alpha


@pytest.mark.statistical
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_average_interval_misses_as_often_as_alpha_for_normal_values(alpha: float) -> None:
    draws = np.random.default_rng(2).normal(size=(NULLS, 30))
    misses = sum(average_interval(row, alpha=alpha).distance(0.0) > 0 for row in draws)
    assert clopper_pearson_low(misses, NULLS) <= alpha <= clopper_pearson_high(misses, NULLS)


@pytest.mark.statistical
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_looking_again_raises_no_more_false_alarms_than_alpha(alpha: float) -> None:
    generator = np.random.default_rng(3)

    def verdict() -> str:
        # the mean is exactly the bound: the hardest true statement, and all but the hardest false one
        return decide_below(
            lambda first, count: (generator.uniform(size=count) < 0.3).astype(float),
            0.3, smallest=0.0, largest=1.0, alpha=alpha, first=20, most=80,
        ).verdict  # fmt: skip

    verdicts = [verdict() for _ in range(NULLS)]
    for alarm in ("violated", "holds"):
        assert clopper_pearson_low(verdicts.count(alarm), NULLS) <= alpha


def test_the_first_of_two_looks_gets_half_of_alpha() -> None:
    """An unbounded search with α at every look would raise an alarm for sure: here the shares are seen in the intervals."""
    values = np.tile([0.0, 1.0], 8)
    looks = {}
    for most in (16, 64):
        decision = decide_below(
            lambda first, count: np.tile([0.0, 1.0], count // 2), 0.5,
            smallest=0.0, largest=1.0, alpha=0.1, first=16, most=most,
        )  # fmt: skip
        assert decision.verdict == "undecided"
        looks[decision.n] = decision.interval
    assert looks[16] == mean_interval(values, smallest=0.0, largest=1.0, alpha=0.05)
    assert looks[64] == mean_interval(np.tile(values, 4), smallest=0.0, largest=1.0, alpha=0.025)


def test_the_ledger_notes_what_each_verdict_spends_and_looking_again_spends_nothing_more() -> None:
    with ledger() as spent:
        mean_interval([0.2, 0.4], smallest=0.0, largest=1.0, alpha=0.1)
        average_interval([0.2, 0.4], alpha=0.2)
        with ledger() as inner:
            average_interval([0.2, 0.4], alpha=0.3)
        decide_below(
            lambda first, count: np.full(count, 0.5), 0.5, smallest=0.0, largest=1.0, alpha=0.4, first=20, most=320
        )
    mean_interval([0.2, 0.4], smallest=0.0, largest=1.0, alpha=0.5)
    assert spent == [0.1, 0.2, 0.4]
    assert inner == [0.3]


@pytest.mark.statistical
def test_a_violation_is_seen_and_a_truth_confirmed() -> None:
    generator = np.random.default_rng(4)

    def draw(first: int, count: int) -> np.ndarray:
        return (generator.uniform(size=count) < 0.3).astype(float)

    verdicts = [decide_below(draw, bound, smallest=0.0, largest=1.0, alpha=1e-9).verdict for bound in (0.25, 0.35)]
    assert verdicts == ["violated", "holds"]


def test_an_undecided_verdict_names_a_sample_that_decides() -> None:
    generator = np.random.default_rng(5)

    def draw(first: int, count: int) -> np.ndarray:
        return (generator.uniform(size=count) < 0.3).astype(float)

    undecided = decide_below(draw, 0.31, smallest=0.0, largest=1.0, alpha=1e-9, most=1000)
    assert undecided.verdict == "undecided"
    decided = decide_below(draw, 0.31, smallest=0.0, largest=1.0, alpha=1e-9, most=16 * undecided.enough)
    assert decided.verdict == "holds"
    assert decided.n > undecided.n


@pytest.mark.parametrize(("power", "correction"), [(2.0, 0.3), (-3.0, -0.5), (0.5, 1.0)])
def test_an_exponent_is_found_in_spite_of_the_next_order(power: float, correction: float) -> None:
    scales = 2.0 ** -np.arange(2, 9)
    interval = exponent_interval(scales, scales**power * (1 + correction * scales))
    assert interval.distance(power) == 0
    assert interval.distance(power + 0.5) > 0
    assert interval.distance(power - 0.5) > 0


def test_values_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"values must lie in \[0.0, 1.0\], got 0.5 to 1.5"):
        mean_interval([0.5, 1.5], smallest=0.0, largest=1.0, alpha=0.1)


def test_scales_out_of_progression_are_refused() -> None:
    with pytest.raises(ValueError, match="geometric progression"):
        exponent_interval([1, 2, 3, 4], [1, 2, 3, 4])


def test_more_samples_continue_where_the_first_ended() -> None:
    asked = []

    def draw(first: int, count: int) -> list[int]:
        asked.append((first, count))
        return [0, 1] * (count // 2)

    decision = decide_below(draw, 0.5, smallest=0.0, largest=1.0, alpha=0.1)
    assert asked == [(0, 1000), (1000, 3000), (4000, 12_000), (16_000, 48_000), (64_000, 192_000)]
    assert (decision.verdict, decision.n) == ("undecided", 256_000)
    half = decision.interval.high - 0.5
    # √ of the number of samples: a gap as small as the least one allowed asks for (half / 1e-12)² times as many
    assert decision.enough == pytest.approx(256_000 * (half / 1e-12) ** 2, rel=1e-9)


def test_a_verdict_needs_the_whole_interval_on_one_side() -> None:
    values = np.tile([0.0, 1.0], 50)
    interval = mean_interval(values, smallest=0.0, largest=1.0, alpha=0.05)
    arguments = {"smallest": 0.0, "largest": 1.0, "alpha": 0.1, "first": 100, "most": 100}
    verdicts = [
        decide_below(lambda first, count: values, bound, **arguments).verdict
        for bound in (interval.high, np.nextafter(interval.high, 0), interval.low, np.nextafter(interval.low, 0))
    ]
    assert verdicts == ["holds", "undecided", "undecided", "violated"]


def test_the_interval_is_empirical_bernsteins() -> None:
    values, alpha = np.array([0.1, 0.5, 0.2, 0.9]), 0.03
    log = np.log(4 / alpha)
    width = np.sqrt(2 * values.var(ddof=1) * log / 4) + 7 * 2.0 * log / (3 * 3)
    interval = mean_interval(values, smallest=-1.0, largest=1.0, alpha=alpha)
    assert interval == pytest.approx((values.mean() - width, values.mean() + width))
    with pytest.raises(ValueError, match="an interval needs at least 2 values, got 1"):
        mean_interval([0.5], smallest=0.0, largest=1.0, alpha=0.1)
    for outside in (-0.5, 1.5):
        with pytest.raises(ValueError, match=r"values must lie in \[0.0, 1.0\], got "):
            mean_interval([0.5, outside], smallest=0.0, largest=1.0, alpha=0.1)
    mean_interval([0.0, 1.0], smallest=0.0, largest=1.0, alpha=0.1)


@pytest.mark.parametrize("alpha", [0.05, 1e-12])
def test_the_average_interval_is_students(alpha: float) -> None:
    values = np.array([0.1, 0.5, 0.2, 0.9, -0.4])
    width = student.isf(alpha / 2, 4) * values.std(ddof=1) / np.sqrt(5)
    assert average_interval(values, alpha=alpha) == pytest.approx((values.mean() - width, values.mean() + width))


def test_the_distance_to_a_bracket_is_zero_inside_and_grows_outside() -> None:
    bracket = Bracket(1.0, 2.0)
    assert [bracket.distance(value) for value in (0.5, 1.0, 1.5, 2.0, 2.25)] == [0.5, 0.0, 0.0, 0.0, 0.25]


def test_an_exponent_interval_is_three_times_the_last_change_and_at_least_a_hundredth() -> None:
    scales = 2.0 ** -np.arange(2, 6)
    exact = exponent_interval(scales, scales**1.5)
    assert exact == pytest.approx((1.49, 1.51))
    values = scales**1.5 * (1 + 3 * scales + 5 * scales**2)
    slopes = np.diff(np.log(values)) / np.diff(np.log(scales))
    last, before = 2 * slopes[2] - slopes[1], 2 * slopes[1] - slopes[0]
    width = 3 * abs(last - before)
    assert width > 0.01
    assert exponent_interval(scales, values) == pytest.approx((last - width, last + width))
    with pytest.raises(ValueError, match="an exponent needs at least 4 scales, got 3"):
        exponent_interval(scales[:3], scales[:3])


@pytest.mark.exact
def test_a_limit_with_errors_of_first_and_second_order_is_met_and_another_is_missed():
    scales = 2.0 ** -np.arange(2, 8)
    ratios = 3 + 0.7 * scales - 1.1 * scales**2
    assert limit_miss(ratios, 3.0) == 0.0
    assert limit_miss(ratios, 3.1) == pytest.approx(0.1 / 3.1, rel=1e-4)
    assert limit_miss(ratios, 3.1, rounding=0.01) == pytest.approx(0.05 / 3.1, rel=1e-4)


@pytest.mark.exact
def test_a_limit_is_given_up_to_its_last_changes():
    scales = 2.0 ** -np.arange(1, 6)
    ratios = 1 + scales**3
    # the extrapolations turn s³ into s³/8 at the scale s two halvings before: 8, 64 and 512 times the last s³
    left, changes = 8 * scales[-1] ** 3, np.array([56, 448]) * scales[-1] ** 3
    assert limit_miss(ratios, 2.0) == pytest.approx((1 - left - 3 * changes[0] - 2e-6) / 2, rel=1e-9)


def test_a_limit_needs_five_ratios():
    with pytest.raises(ValueError, match="a limit needs at least 5 ratios, got 4"):
        limit_miss([1.0, 1.0, 1.0, 1.0], 1.0)


def test_a_run_may_raise_one_false_alarm_in_a_thousand_million():
    assert FALSE_ALARMS == 1e-9
