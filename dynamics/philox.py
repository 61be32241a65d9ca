"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011).

Main results: philox, words, random_words, uniforms, site, normal; STREAM_VERSION.

A draw is a pure function of (seed, stream; step, unit, replica): nothing is carried along, so results do not depend on
threads, on the order of replicas or on where a run was split, and two phases share their noise by sharing a stream.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.kernel import kernel

# Written into every result; raise it whenever the meaning of a (key, counter) pair changes.
STREAM_VERSION = 1

# Streams: which use of randomness a number belongs to. Coupled phases draw from the same one.
STREAM_START, STREAM_FREE, STREAM_NUDGED, STREAM_OPPOSITE, STREAM_SIGN, STREAM_SWAP = range(6)

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint32(0x9E3779B9)
_WEYL_1 = np.uint32(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_TO_UNIT = 1.0 / 4294967296.0


@kernel(inline=True)
def philox(counter_0, counter_1, counter_2, counter_3, key_0, key_1):
    """Ten rounds of Philox4x32 on four uint32 counter words and two uint32 key words: four uint32 words."""
    # numba promotes uint32 arithmetic to 64 bits: every step is cast back.
    x0, x1 = np.uint32(counter_0), np.uint32(counter_1)
    x2, x3 = np.uint32(counter_2), np.uint32(counter_3)
    k0, k1 = np.uint32(key_0), np.uint32(key_1)
    for _ in range(10):
        product_0 = np.uint64(x0) * _MULTIPLIER_0
        product_1 = np.uint64(x2) * _MULTIPLIER_1
        high_0, low_0 = np.uint32(product_0 >> _HALF), np.uint32(product_0 & _LOW)
        high_1, low_1 = np.uint32(product_1 >> _HALF), np.uint32(product_1 & _LOW)
        x0 = np.uint32(np.uint32(high_1 ^ x1) ^ k0)
        x1 = low_1
        x2 = np.uint32(np.uint32(high_0 ^ x3) ^ k1)
        x3 = low_0
        k0 = np.uint32((np.uint64(k0) + np.uint64(_WEYL_0)) & _LOW)
        k1 = np.uint32((np.uint64(k1) + np.uint64(_WEYL_1)) & _LOW)
    return x0, x1, x2, x3


@kernel(inline=True)
def words(seed, stream, step, group, replica):
    """Four uint32 words for (seed, stream; step, group, replica); all arguments are non-negative int64.

    key = (low word of the seed, stream), counter = (group, step, replica, high word of the seed).
    """
    return philox(group, step, replica, seed >> 32, seed & 0xFFFFFFFF, stream)


@kernel()
def to_unit(word):
    """The midpoint (word + ½)/2³² of a uint32's cell: uniform on (0, 1), never 0 or 1; resolution 2⁻³²."""
    return (float(word) + 0.5) * _TO_UNIT


@kernel()
def uniforms(seed, stream, step, replica, out):
    """Fill out (N,) with one uniform a unit: unit i reads word i mod 4 of group i div 4."""
    size = out.shape[0]
    for group in range((size + 3) // 4):
        drawn = words(seed, stream, step, group, replica)
        unit = 4 * group
        out[unit] = to_unit(drawn[0])
        if unit + 1 < size:
            out[unit + 1] = to_unit(drawn[1])
        if unit + 2 < size:
            out[unit + 2] = to_unit(drawn[2])
        if unit + 3 < size:
            out[unit + 3] = to_unit(drawn[3])


@kernel()
def random_words(seed, stream, step, replica, drawn):
    """drawn (4·groups,) uint32: the words whose to_unit are `uniforms`, unit by unit."""
    for group in range(drawn.shape[0] // 4):
        first, second, third, fourth = words(seed, stream, step, group, replica)
        drawn[4 * group] = first
        drawn[4 * group + 1] = second
        drawn[4 * group + 2] = third
        drawn[4 * group + 3] = fourth


@kernel()
def site(word, size):
    """A unit index from a uint32: floor(word · size / 2³²), uniform up to size/2³²."""
    return np.int64((np.uint64(word) * np.uint64(size)) >> _HALF)


@kernel()
def normal(word_0, word_1):
    """A standard normal from two uint32 words by Box and Muller; |x| ≤ 6.8, the reach of 32-bit uniforms."""
    return math.sqrt(-2.0 * math.log(to_unit(word_0))) * math.cos(2.0 * math.pi * to_unit(word_1))
