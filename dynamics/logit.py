"""The field that a uniform number is compared with: u < σ(h/T) where h > T logit(u).

Main results: logit.

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
