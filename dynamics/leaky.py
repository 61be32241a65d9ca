"""Leaky spikes, the StochEP dynamics: z ~ Bern(σ(h(s)/T)), s ← (1−ε)s + ε z (thm:B4, thm:B5).

Main results: step, sample.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dynamics.activations import firing_probability, leaky_trace
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.philox import uniforms


@kernel()
def step(trace, spikes, couplings, bias, slope, offset, nudging, temperature, leak, noise, field):
    """One parallel update; noise (K·N,) gives copy k of unit i its uniform k·N + i, spikes (N,) the mean of the K copies."""
    size = trace.shape[0]
    copies = noise.shape[0] // size
    field[:] = bias
    for j in range(size):
        for i in range(size):
            field[i] += trace[j] * couplings[j, i]
    for i in range(size):
        force = cost_force(trace[i], slope[i], offset[i], nudging)
        probability = firing_probability(field[i] + force, temperature)
        fired = 0.0
        for k in range(copies):
            if noise[k * size + i] < probability:
                fired += 1.0
        spikes[i] = fired / copies
    for i in range(size):
        trace[i] = leaky_trace(trace[i], spikes[i], leak[i])


@kernel(parallel=True)
def sample(
    traces,
    spikes,
    couplings,
    bias,
    slope,
    offset,
    nudgings,
    temperature,
    leak,
    copies,
    seed,
    stream,
    first_step,
    steps,
    first_replica,
):
    """Advance traces (replicas, N) in place by `steps` parallel updates; spikes (replicas, N) holds the last ones."""
    for r in prange(traces.shape[0]):
        field = bias.copy()
        noise = np.empty(copies * traces.shape[1])
        for now in range(first_step, first_step + steps):
            uniforms(seed, stream, now, first_replica + r, noise)
            step(traces[r], spikes[r], couplings, bias, slope, offset, nudgings[r], temperature, leak, noise, field)
