"""An exponential that loops over arrays turn into vectors, which math.exp does not.

Main results: exponential.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.kernel import kernel

_PER_LN2 = 1 / math.log(2)
# adding 1.5·2⁵² leaves the nearest whole number in the last bits
_ROUND = 1.5 * 2.0**52
# ln 2 in two parts, the first of 32 bits: n·_LN2_HIGH is exact
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
# the bits of 1.5·2⁵², less the 1023 that a double's exponent is counted from
_OFFSET, _MANTISSA = np.float64(_ROUND).view(np.int64) - np.int64(1023), np.int64(52)
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (1 / math.factorial(k) for k in range(2, 14))
_LEAST = -708.0


@kernel(inline=True)
def exponential(x):
    """e^x to 2e-16 of itself for −708 ≤ x ≤ 709, e^−708 below; e^x = 2ⁿeʳ, |r| ≤ ½ ln 2, eʳ its series to r¹³/13!."""
    bounded = max(x, _LEAST)
    shifted = bounded * _PER_LN2 + _ROUND
    n = shifted - _ROUND
    r = (bounded - n * _LN2_HIGH) - n * _LN2_LOW
    series = _C10 + r * (_C11 + r * (_C12 + r * _C13))
    series = _C6 + r * (_C7 + r * (_C8 + r * (_C9 + r * series)))
    series = _C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * series)))
    power = np.int64((np.float64(shifted).view(np.int64) - _OFFSET) << _MANTISSA).view(np.float64)
    return (1.0 + r * (1.0 + r * series)) * power
