"""Glauber (heat-bath) dynamics: one site at a time, z_i ~ Bern(σ(h_i/T)); leaves exp(−E/T) invariant (thm:B1).

Main results: step, sample.
"""

from __future__ import annotations

from numba import prange

from dynamics.activations import firing_probability
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.philox import site, to_unit, uniforms, words


@kernel()
def step(state, field, couplings, unit, force, temperature, uniform):
    """Redraw one unit from its conditional law and keep field = Jz + b up to date; O(N) when it flips, O(1) otherwise."""
    fired = 1.0 if uniform < firing_probability(field[unit] + force, temperature) else 0.0
    change = fired - state[unit]
    if change != 0.0:
        state[unit] = fired
        for j in range(field.shape[0]):
            field[j] += change * couplings[unit, j]


@kernel()
def _sweep(state, field, couplings, slope, offset, nudging, temperature, systematic, seed, stream, now, replica, noise):
    size = state.shape[0]
    if systematic:
        uniforms(seed, stream, now, replica, noise)
        for unit in range(size):
            force = cost_force(state[unit], slope[unit], offset[unit], nudging)
            step(state, field, couplings, unit, force, temperature, noise[unit])
        return
    for pair in range((size + 1) // 2):
        drawn = words(seed, stream, now, pair, replica)
        unit = site(drawn[0], size)
        force = cost_force(state[unit], slope[unit], offset[unit], nudging)
        step(state, field, couplings, unit, force, temperature, to_unit(drawn[1]))
        if 2 * pair + 1 < size:
            unit = site(drawn[2], size)
            force = cost_force(state[unit], slope[unit], offset[unit], nudging)
            step(state, field, couplings, unit, force, temperature, to_unit(drawn[3]))


@kernel(parallel=True)
def sample(
    states,
    couplings,
    bias,
    slope,
    offset,
    nudgings,
    temperature,
    systematic,
    seed,
    stream,
    first_step,
    steps,
    first_replica,
):
    """Advance states (replicas, N) in place by `steps` sweeps of N updates, at random sites or in order 0 … N−1.

    Replica r feels the cost force of nudgings[r]; its noise is (seed, stream; step, unit, first_replica + r).
    """
    replicas, size = states.shape
    for r in prange(replicas):
        state = states[r]
        field = bias.copy()
        noise = bias.copy()
        for now in range(first_step, first_step + steps):
            # summed afresh each sweep: no drift, and a split run sees the same bits as an unbroken one
            field[:] = bias
            for j in range(size):
                if state[j] != 0.0:
                    for i in range(size):
                        field[i] += couplings[j, i]
            _sweep(
                state,
                field,
                couplings,
                slope,
                offset,
                nudgings[r],
                temperature,
                systematic,
                seed,
                stream,
                now,
                first_replica + r,
                noise,
            )
