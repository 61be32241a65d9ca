"""Langevin dynamics, the linear case: s ← s + ε(h(s) − s) + √(2Tε) ξ, Gaussian stationary law (thm:B1b).

Main results: step, sample.
"""

from __future__ import annotations

import math

from numba import prange

from dynamics.kernel import kernel
from dynamics.philox import normal, words


@kernel()
def step(state, couplings, bias, temperature, leak, noise, field):
    """One parallel update with standard normal noise (N,)."""
    size = state.shape[0]
    field[:] = bias
    for j in range(size):
        for i in range(size):
            field[i] += state[j] * couplings[j, i]
    for i in range(size):
        state[i] += leak[i] * (field[i] - state[i]) + math.sqrt(2.0 * temperature * leak[i]) * noise[i]


@kernel(parallel=True)
def sample(states, couplings, bias, temperature, leak, seed, stream, first_step, steps, first_replica):
    """Advance states (replicas, N) in place by `steps` parallel updates."""
    size = states.shape[1]
    for r in prange(states.shape[0]):
        field, noise = bias.copy(), bias.copy()
        for now in range(first_step, first_step + steps):
            for pair in range((size + 1) // 2):
                drawn = words(seed, stream, now, pair, first_replica + r)
                noise[2 * pair] = normal(drawn[0], drawn[1])
                if 2 * pair + 1 < size:
                    noise[2 * pair + 1] = normal(drawn[2], drawn[3])
            step(states[r], couplings, bias, temperature, leak, noise, field)
