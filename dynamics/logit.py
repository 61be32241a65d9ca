"""The field that a uniform number is compared with: u < σ(h/T) where h > T logit(u).

Main results: logit, rough_logit.

A threshold depends on the noise alone. Chains take it before they know the field, for many units or replicas at once in loops that
become vectors, and no exponential stands between one update and the next. The plain form is firing_probability, compared with u.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.kernel import kernel

_LN2 = math.log(2)
# 2⁵¹ rounds a difference of exponents, which a double has from bit 52 on, counted from 1023
_HALF, _MANTISSA, _BIAS = np.int64(1 << 51), np.int64(52), np.int64(1023)
_ROUGH_HALF, _ROUGH_MANTISSA, _ROUGH_BIAS = np.int32(1 << 22), np.int32(23), np.int32(127)
_ROUGH_LN2, _ROUGH_THIRD, _ROUGH_FIFTH, _ROUGH_SEVENTH, _ROUGH_NINTH = (
    np.float32(value) for value in (_LN2, 1 / 3, 1 / 5, 1 / 7, 1 / 9)
)
_ONE, _TWO, _MIDPOINT, _LAST = np.float32(1.0), np.float32(2.0), np.float32(0.5), np.uint32(0xFFFFFFFF)
_C3, _C5, _C7, _C9, _C11, _C13, _C15, _C17, _C19, _C21 = (1 / k for k in range(3, 22, 2))


@kernel(inline=True)
def logit(uniform):
    """ln(u/(1−u)) to 4e-16 of itself for u = (k + ½)/2³²; n ln 2 + 2 artanh(s), s = (u − 2ⁿ(1−u))/(u + 2ⁿ(1−u)), |s| ≤ 0.2.

    The difference of the two numbers' bits is log₂(u/(1−u)) to 0.09, n its nearest whole number; the series ends at s²¹/21.
    """
    rest = 1.0 - uniform
    difference = np.float64(uniform).view(np.int64) - np.float64(rest).view(np.int64)
    n = np.int64(np.int64(difference + _HALF) >> _MANTISSA)
    scaled = rest * np.int64(np.int64(n + _BIAS) << _MANTISSA).view(np.float64)
    s = (uniform - scaled) / (uniform + scaled)
    square = s * s
    series = _C15 + square * (_C17 + square * (_C19 + square * _C21))
    series = _C7 + square * (_C9 + square * (_C11 + square * (_C13 + square * series)))
    series = 1.0 + square * (_C3 + square * (_C5 + square * series))
    return n * _LN2 + 2.0 * s * series


@kernel(inline=True)
def rough_logit(word):
    """logit(to_unit(word)) in float32, to 2.1e-6: the same numbers and series, ended at s⁹/9."""
    whole, rest = np.float32(word) + _MIDPOINT, np.float32(np.uint32(_LAST - word)) + _MIDPOINT
    difference = np.int32(np.float32(whole).view(np.int32) - np.float32(rest).view(np.int32))
    n = np.int32(np.int32(difference + _ROUGH_HALF) >> _ROUGH_MANTISSA)
    scaled = rest * np.int32(np.int32(n + _ROUGH_BIAS) << _ROUGH_MANTISSA).view(np.float32)
    s = (whole - scaled) / (whole + scaled)
    square = s * s
    series = _ROUGH_FIFTH + square * (_ROUGH_SEVENTH + square * _ROUGH_NINTH)
    series = _ONE + square * (_ROUGH_THIRD + square * series)
    return np.float32(n) * _ROUGH_LN2 + _TWO * s * series
