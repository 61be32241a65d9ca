"""Leaky spikes, the StochEP dynamics: z ~ Bern(σ(h(s)/T)), s ← (1−ε)s + ε z (thm:B4, thm:B5).

Main results: step, sample. `step` is the plain form of an update; `sample` takes the fields of a group of replicas at once.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dynamics.activations import firing_probability, leaky_trace
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.panels import GROUP, PANEL, lines, local_fields, packed_couplings, unit_thresholds


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


@kernel()
def _fire(trace, spikes, field, thresholds, slope, offset, nudging, leak, copies):
    """What `step` does once the field is known; thresholds (≥ K·N,) in the place of noise, field becomes field and force."""
    size = trace.shape[0]
    for i in range(size):
        field[i] += cost_force(trace[i], slope[i], offset[i], nudging)
        spikes[i] = 0.0
    for k in range(copies):
        of_copy = thresholds[k * size : (k + 1) * size]
        for i in range(size):
            spikes[i] += 1.0 if field[i] > of_copy[i] else 0.0
    for i in range(size):
        spikes[i] /= copies
        trace[i] = leaky_trace(trace[i], spikes[i], leak[i])


@kernel(parallel=True)
def sample(
    traces, spikes, couplings, bias, slope, offset, nudgings, temperature, leak, copies, seed, stream, first_step, steps,
    first_replica,
):  # fmt: skip
    """Advance traces (replicas, N) in place by `steps` parallel updates; spikes (replicas, N) holds the last ones."""
    replicas, size = traces.shape
    packed = packed_couplings(couplings)
    for group in prange((replicas + GROUP - 1) // GROUP):
        first = group * GROUP
        rows = traces[first : min(first + GROUP, replicas)]
        fields, places = lines(GROUP, packed.shape[0] // size * PANEL), np.arange(GROUP)
        drawn = np.empty((copies * size + 3) // 4 * 4, np.uint32)
        thresholds = np.empty(drawn.shape[0])
        for now in range(first_step, first_step + steps):
            local_fields(rows, packed, bias, places, fields)
            for r in range(rows.shape[0]):
                unit_thresholds(seed, stream, now, first_replica + first + r, temperature, drawn, thresholds)
                _fire(
                    rows[r], spikes[first + r], fields[r], thresholds, slope, offset, nudgings[first + r], leak, copies
                )
