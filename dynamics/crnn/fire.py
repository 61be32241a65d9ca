"""How all units of an image fire in one step: probabilities, random words and spikes, as loops that become vectors.

Main results: decays, probabilities, pair_probabilities, clipped, pair_clipped, spikes, pair_spikes, fire, fire_pair, follow.

Nothing in them depends on another unit, so LLVM runs 16 units at once. In float32 the exponential is a polynomial: p is within
2e-7 of itself at the rounded h · (1/T) ≥ −87, and below that stays at 1.6e-38; in float64 it is firing_probability, unit by
unit. The plain forms that the tests compare with are firing_probability, and uniforms of dynamics.philox. Two phases fire at
once, as mean and half difference, so that what differs little is exact.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.activations import firing_probability
from dynamics.kernel import kernel
from dynamics.philox import random_words, to_unit

# e^x = 2^n e^r with n = round(x/ln 2), which adding 1.5·2²³ leaves in the last bits; ln 2 in two parts, so that r is exact
_PER_LN2, _ROUND = np.float32(1 / np.log(2)), np.float32(1.5 * 2**23)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(np.log(2) - 0.693359375)
# e^r = 1 + r + r²/2! + … + r⁷/7!, to 2e-8 for |r| ≤ ½ ln 2
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / factorial) for factorial in (2, 6, 24, 120, 720, 5040))
_ZERO, _QUARTER, _ONE, _LEAST = np.float32(0.0), np.float32(0.25), np.float32(1.0), np.float32(-87.0)
# x from which e^{−2x} is below a float64's rounding
_FAR = 40.0
# the bits of 1.5·2²³, less the 127 that a float's exponent is counted from
_OFFSET, _MANTISSA = np.int32(_ROUND.view(np.int32) - 127), np.int32(23)


@kernel()
def decays(field, temperature, inverse, bits, out):
    """out (units,) = e^{−|h|/T}, at least e^{−87} in float32, which takes T's inverse; bits (units,) int32 is working memory."""
    units = field.shape[0]
    if field.itemsize == 8:
        for unit in range(units):
            out[unit] = math.exp(-abs(field[unit] / temperature[unit]))
        return
    power = bits.view(np.float32)
    for unit in range(units):
        x = max(-abs(np.float32(field[unit] * inverse[unit])), _LEAST)
        shifted = np.float32(x * _PER_LN2 + _ROUND)
        n = np.float32(shifted - _ROUND)
        r = np.float32(np.float32(x - n * _LN2_HIGH) - n * _LN2_LOW)
        series = _C5 + r * (_C6 + r * _C7)
        series = _C2 + r * (_C3 + r * (_C4 + r * series))
        out[unit] = _ONE + r * (_ONE + r * series)
        power[unit] = shifted
    for unit in range(units):
        bits[unit] = np.int32(np.int32(bits[unit] - _OFFSET) << _MANTISSA)
    for unit in range(units):
        out[unit] = out[unit] * power[unit]


@kernel()
def probabilities(field, temperature, inverse, bits, chances):
    """chances (units,) = σ(h/T) for field, temperature and its inverse (units,) of one dtype.

    bits (units,) int32 is working memory. A division costs as much as ten terms of the exponential: float32 takes the inverse.
    """
    if field.itemsize == 8:
        for unit in range(field.shape[0]):
            chances[unit] = firing_probability(field[unit], temperature[unit])
        return
    decays(field, temperature, inverse, bits, chances)
    for unit in range(field.shape[0]):
        decayed = chances[unit]
        chances[unit] = (_ONE if field[unit] >= _ZERO else decayed) / (_ONE + decayed)


@kernel()
def pair_probabilities(field, half, temperature, inverse, bits, spare, chances, half_chances):
    """Mean and half difference of p± = σ((h ± d)/T), all (units,); spare, four such arrays, is working memory.

    With x = |h|/T, t = |d|/T, e = e^{−x}, f = e^{−t} and w = 1/(f(1 + e²) + e(1 + f²)): (p₊ − p₋)/2 = ±½ e(1 − f²) w, a series
    where t is small, and (p₊ + p₋)/2 = e(e f + ½(1 + f²)) w for h < 0, (f + ½ e(1 + f²)) w for h ≥ 0. No term is a difference:
    both are to rounding relative to themselves, however small d is. Where x and t both exceed _FAR only their difference counts,
    and what both have more is left out.
    """
    # a bare 0 or 2 would make these loops ones of float64; over more arrays, or rows of one, they would not become vectors
    zero, half_, one, two = field.dtype.type(0.0), field.dtype.type(0.5), field.dtype.type(1.0), field.dtype.type(2.0)
    far = field.dtype.type(_FAR)
    decayed, half_decayed, risen, weight = spare
    for unit in range(field.shape[0]):
        shared = max(zero, min(abs(field[unit]), abs(half[unit])) - far * temperature[unit])
        risen[unit] = abs(field[unit]) - shared
    for unit in range(field.shape[0]):
        shared = max(zero, min(abs(field[unit]), abs(half[unit])) - far * temperature[unit])
        weight[unit] = abs(half[unit]) - shared
    decays(risen, temperature, inverse, bits, decayed)
    decays(weight, temperature, inverse, bits, half_decayed)
    if field.itemsize == 8:
        for unit in range(field.shape[0]):
            risen[unit] = -math.expm1(-two * abs(half[unit] / temperature[unit]))
    else:
        for unit in range(field.shape[0]):
            t = np.float32(two * abs(half[unit] * inverse[unit]))
            series = _C4 - t * (_C5 - t * _C6)
            series = t * (_ONE - t * (_C2 - t * (_C3 - t * series)))
            risen[unit] = series if t < _QUARTER else _ONE - half_decayed[unit] * half_decayed[unit]
    for unit in range(field.shape[0]):
        e, f = decayed[unit], half_decayed[unit]
        weight[unit] = one / (f * (one + e * e) + e * (one + f * f))
    for unit in range(field.shape[0]):
        difference = half_ * (decayed[unit] * weight[unit]) * risen[unit]
        half_chances[unit] = difference if half[unit] >= zero else -difference
    for unit in range(field.shape[0]):
        e, f = decayed[unit], half_decayed[unit]
        middle = half_ * (one + f * f)
        chances[unit] = (f + e * middle if field[unit] >= zero else e * (e * f + middle)) * weight[unit]


@kernel()
def clipped(field, temperature, chances):
    """chances (units,) = clip(h/T, 0, 1), the hard sigmoid, for field and temperature (units,) of one dtype."""
    zero, one = field.dtype.type(0.0), field.dtype.type(1.0)
    for unit in range(field.shape[0]):
        chances[unit] = min(max(field[unit] / temperature[unit], zero), one)


@kernel()
def pair_clipped(field, half, temperature, chances, half_chances):
    """Mean and half difference of p± = clip((h ± d)/T, 0, 1), all (units,), to rounding relative to themselves.

    With a = h + |d| and b = h − |d|, T(p₊ − p₋) = ±2|d| where 0 ≤ b and a ≤ T, clip(a, 0, T) where b < 0, else T − b, of which
    one of T − h and h − |d| is exact.
    """
    zero, two = field.dtype.type(0.0), field.dtype.type(2.0)
    for unit in range(field.shape[0]):
        gap, top = abs(half[unit]), temperature[unit]
        upper, lower = min(max(field[unit] + gap, zero), top), min(max(field[unit] - gap, zero), top)
        chances[unit] = (upper + lower) / (two * top)
    for unit in range(field.shape[0]):
        h, gap, top = field[unit], abs(half[unit]), temperature[unit]
        beyond = max((top - h) + gap if h <= two * top else top - (h - gap), zero)
        inside = two * gap if gap <= top - h else beyond
        apart = (inside if gap <= h else min(max(h + gap, zero), top)) / (two * top)
        half_chances[unit] = apart if half[unit] >= zero else -apart


@kernel()
def spikes(drawn, chances, pulses):
    """pulses (units,) = 1 where the unit's uniform is below its chance, else 0."""
    for unit in range(chances.shape[0]):
        pulses[unit] = 1.0 if to_unit(drawn[unit]) < chances[unit] else 0.0


@kernel()
def pair_spikes(drawn, other_drawn, chances, half_chances, pulses, half_pulses):
    """Mean and half difference of the spikes of two phases with p± = chance ± half chance, all (units,): 0, ½ or 1, and 0 or ±½."""
    zero, half = chances.dtype.type(0.0), chances.dtype.type(0.5)
    for unit in range(chances.shape[0]):
        up = half if to_unit(drawn[unit]) < chances[unit] + half_chances[unit] else zero
        down = half if to_unit(other_drawn[unit]) < chances[unit] - half_chances[unit] else zero
        pulses[unit], half_pulses[unit] = up + down, up - down


@kernel()
def fire(field, temperature, inverse, hard, spiking, seed, stream, step, replica, bits, noise, chances, pulses):
    """A step of one phase, all (units,): chances = σ(h/T), pulses = spikes with these chances, or the chances where not spiking.

    hard: clip(h/T, 0, 1) in place of σ. noise (4·groups,) uint32 and bits (units,) int32 are working memory.
    """
    if hard:
        clipped(field, temperature, chances)
    else:
        probabilities(field, temperature, inverse, bits, chances)
    if spiking:
        random_words(seed, stream, step, replica, noise)
        spikes(noise, chances, pulses)
    else:
        pulses[:] = chances


@kernel()
def fire_pair(
    field, half_field, temperature, inverse, hard, spiking, seed, stream, other_stream, step, replica, bits, spare, noise,
    other_noise, chances, half_chances, pulses, half_pulses,
):  # fmt: skip
    """`fire` of two phases as their mean and half difference; equal streams give both the same noise."""
    if hard:
        pair_clipped(field, half_field, temperature, chances, half_chances)
    else:
        pair_probabilities(field, half_field, temperature, inverse, bits, spare, chances, half_chances)
    if spiking:
        random_words(seed, stream, step, replica, noise)
        if stream == other_stream:
            pair_spikes(noise, noise, chances, half_chances, pulses, half_pulses)
        else:
            random_words(seed, other_stream, step, replica, other_noise)
            pair_spikes(noise, other_noise, chances, half_chances, pulses, half_pulses)
    else:
        pulses[:] = chances
        half_pulses[:] = half_chances


@kernel()
def follow(state, pulses, leak):
    """s ← (1 − ε)s + ε z of every unit, all (units,): leaky_trace without its float64 one."""
    one = state.dtype.type(1.0)
    for unit in range(state.shape[0]):
        state[unit] = (one - leak[unit]) * state[unit] + leak[unit] * pulses[unit]
