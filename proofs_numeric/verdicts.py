"""Error-controlled statistics: what may be said of a quantity that was sampled, or of an exponent that was fitted.

Main results: decide_below, mean_interval, average_interval, exponent_interval, limit_miss, FALSE_ALARMS, ledger.

Every statistical verdict is told its alpha, the probability of a false alarm that it may spend; Claim.alpha hands out shares of
FALSE_ALARMS, and `ledger` adds up what was spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

# One run of all claims' statistical verdicts raises a false alarm with at most this probability (a union bound).
FALSE_ALARMS = 1e-9

_LEDGER: ContextVar[list[float] | None] = ContextVar("ledger", default=None)


@contextmanager
def ledger() -> Iterator[list[float]]:
    """The alpha of every statistical verdict reached inside the with-block, in order."""
    spent: list[float] = []
    token = _LEDGER.set(spent)
    try:
        yield spent
    finally:
        _LEDGER.reset(token)


def _spend(alpha: float) -> None:
    spent = _LEDGER.get()
    if spent is not None:
        spent.append(alpha)


class Bracket(NamedTuple):
    """low ≤ the true value ≤ high, but for the stated probability."""

    low: float
    high: float

    def distance(self, value: float) -> float:
        """How far `value` lies outside; 0 inside."""
        return max(self.low - value, value - self.high, 0.0)


def mean_interval(values: ArrayLike, *, smallest: float, largest: float, alpha: float) -> Bracket:
    """A 1 − alpha interval for the mean of i.i.d. values in [smallest, largest]: empirical Bernstein.

    mean ± [√(2 V ln(4/α)/n) + 7 R ln(4/α)/(3(n − 1))], V the sample variance, R the range; any law (Maurer & Pontil 2009, thm 4).
    """
    _spend(alpha)
    return _bernstein(values, smallest, largest, alpha)


def _bernstein(values: ArrayLike, smallest: float, largest: float, alpha: float) -> Bracket:
    sample = np.ravel(values)
    if sample.size < 2:
        raise ValueError(f"an interval needs at least 2 values, got {sample.size}")
    if sample.min() < smallest or sample.max() > largest:
        raise ValueError(f"values must lie in [{smallest}, {largest}], got {sample.min()} to {sample.max()}")
    logarithm = math.log(4 / alpha)
    width = math.sqrt(2 * sample.var(ddof=1) * logarithm / sample.size)
    width += 7 * (largest - smallest) * logarithm / (3 * (sample.size - 1))
    return Bracket(float(sample.mean()) - width, float(sample.mean()) + width)


def average_interval(values: ArrayLike, *, alpha: float) -> Bracket:
    """A 1 − alpha interval for the mean of i.i.d. values that are close to normal: Student's t."""
    _spend(alpha)
    sample = np.ravel(values)
    width = -float(stdtrit(sample.size - 1, alpha / 2)) * sample.std(ddof=1) / math.sqrt(sample.size)
    return Bracket(float(sample.mean() - width), float(sample.mean() + width))


class Decision(NamedTuple):
    """What sampling says of mean ≤ bound: 'holds', 'violated' or 'undecided', on n samples; `enough` would decide."""

    verdict: str
    interval: Bracket
    n: int
    enough: int


def decide_below(
    draw: Callable[[int, int], ArrayLike],
    bound: float,
    *,
    smallest: float,
    largest: float,
    alpha: float,
    first: int = 1000,
    most: int = 256_000,
) -> Decision:
    """Decide whether the mean of draw(first, count) is at most `bound`, wrong with probability at most alpha.

    Samples are added fourfold until the interval clears the bound; look k spends alpha/2^(k+1), so looking again is
    paid for whatever the data say. Undecided at `most` samples.
    """
    _spend(alpha)
    values = np.asarray(draw(0, first), dtype=np.float64)
    share = alpha / 2
    while True:
        interval = _bernstein(values, smallest, largest, share)
        if interval.high <= bound or interval.low > bound:
            return Decision("holds" if interval.high <= bound else "violated", interval, values.size, values.size)
        if 4 * values.size > most:
            break
        share /= 2
        values = np.concatenate([values, np.asarray(draw(values.size, 3 * values.size), dtype=np.float64)])
    gap = max(abs(bound - float(values.mean())), 1e-12)
    enough = values.size * (0.5 * (interval.high - interval.low) / gap) ** 2
    return Decision("undecided", interval, values.size, math.ceil(enough))


def exponent_interval(scales: ArrayLike, values: ArrayLike) -> Bracket:
    """The exponent p of values ~ scales^p as the scales approach their last entry's limit, from noise-free values.

    scales in a geometric progression towards the limit. The local slopes p_k = p + c·r^k + … are extrapolated once
    (Richardson, first-order correction); the interval is the last extrapolate ± three times its change from the one before, at
    least ± 0.01: an a-posteriori estimate of the truncation error, not a statistical statement.
    """
    x, y = np.log(np.asarray(scales, dtype=np.float64)), np.log(np.asarray(values, dtype=np.float64))
    if x.size < 4:
        raise ValueError(f"an exponent needs at least 4 scales, got {x.size}")
    steps = np.diff(x)
    if not np.allclose(steps, steps[0]):
        raise ValueError("scales must be in a geometric progression")
    slopes = np.diff(y) / steps
    ratio = math.exp(abs(steps[0]))
    extrapolated = (ratio * slopes[1:] - slopes[:-1]) / (ratio - 1)
    width = max(3 * abs(extrapolated[-1] - extrapolated[-2]), 0.01)
    return Bracket(float(extrapolated[-1] - width), float(extrapolated[-1] + width))


def limit_miss(ratios: ArrayLike, limit: float, *, rounding: float = 0.0) -> float:
    """How far noise-free ratios, their scale halved each time, tend past `limit`, relative to it; 0 within the estimate's error.

    The limit is extrapolated twice (Richardson, errors of first and second order in the scale) and given up to three times
    its last change, or an eighth of the change before where that is more (errors of third order shrink eightfold), and 1e-6
    of the limit: an a-posteriori estimate of the truncation error, not a statistical statement. rounding: what floating point
    may add to a ratio, which the two extrapolations multiply by at most 5.
    """
    values = np.asarray(ratios, dtype=np.float64)
    if values.size < 5:
        raise ValueError(f"a limit needs at least 5 ratios, got {values.size}")
    first = 2 * values[1:] - values[:-1]
    second = (4 * first[1:] - first[:-1]) / 3
    changes = np.abs(np.diff(second))
    uncertainty = 3 * max(changes[-1], changes[-2] / 8) + 1e-6 * abs(limit) + 5 * rounding
    return max(0.0, abs(second[-1] - limit) - uncertainty) / abs(limit)
