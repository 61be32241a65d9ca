"""How all units of an image fire in one step: probabilities, random words and spikes, as loops that become vectors.

Main results: probabilities, random_words, spikes.

Nothing in them depends on another unit, so LLVM runs 16 units at once. In float32 the exponential is a polynomial: p is within
2e-7 of itself at the rounded h/T ≥ −87, and below that stays at 1.6e-38; in float64 it is firing_probability, unit by unit. The
plain forms that the tests compare with are firing_probability, and uniforms of dynamics.philox.
"""

from __future__ import annotations

import numpy as np

from dynamics.activations import firing_probability
from dynamics.kernel import kernel
from dynamics.philox import to_unit, words

# e^x = 2^n e^r with n = round(x/ln 2), which adding 1.5·2²³ leaves in the last bits; ln 2 in two parts, so that r is exact
_PER_LN2, _ROUND = np.float32(1 / np.log(2)), np.float32(1.5 * 2**23)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(np.log(2) - 0.693359375)
# e^r = 1 + r + r²/2! + … + r⁷/7!, to 2e-8 for |r| ≤ ½ ln 2
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / factorial) for factorial in (2, 6, 24, 120, 720, 5040))
_ZERO, _ONE, _LEAST = np.float32(0.0), np.float32(1.0), np.float32(-87.0)
# the bits of 1.5·2²³, less the 127 that a float's exponent is counted from
_OFFSET, _MANTISSA = np.int32(_ROUND.view(np.int32) - 127), np.int32(23)


@kernel()
def probabilities(field, temperature, bits, chances):
    """chances (units,) = σ(h/T) for field and temperature (units,) of one dtype; bits (units,) int32 is working memory."""
    units = field.shape[0]
    if field.itemsize == 8:
        for unit in range(units):
            chances[unit] = firing_probability(field[unit], temperature[unit])
        return
    power = bits.view(np.float32)
    for unit in range(units):
        x = max(-abs(np.float32(field[unit] / temperature[unit])), _LEAST)
        shifted = np.float32(x * _PER_LN2 + _ROUND)
        n = np.float32(shifted - _ROUND)
        r = np.float32(np.float32(x - n * _LN2_HIGH) - n * _LN2_LOW)
        series = _C5 + r * (_C6 + r * _C7)
        series = _C2 + r * (_C3 + r * (_C4 + r * series))
        chances[unit] = _ONE + r * (_ONE + r * series)
        power[unit] = shifted
    for unit in range(units):
        bits[unit] = np.int32(np.int32(bits[unit] - _OFFSET) << _MANTISSA)
    for unit in range(units):
        decayed = chances[unit] * power[unit]
        chances[unit] = (_ONE if field[unit] >= _ZERO else decayed) / (_ONE + decayed)


@kernel()
def random_words(seed, stream, step, replica, drawn):
    """drawn (4·groups,) uint32: the words whose to_unit are the `uniforms` of dynamics.philox, unit by unit."""
    for group in range(drawn.shape[0] // 4):
        first, second, third, fourth = words(seed, stream, step, group, replica)
        drawn[4 * group] = first
        drawn[4 * group + 1] = second
        drawn[4 * group + 2] = third
        drawn[4 * group + 3] = fourth


@kernel()
def spikes(drawn, chances, pulses):
    """pulses (units,) = 1 where the unit's uniform is below its chance, else 0."""
    for unit in range(chances.shape[0]):
        pulses[unit] = 1.0 if to_unit(drawn[unit]) < chances[unit] else 0.0
