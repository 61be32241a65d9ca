"""Little's parallel dynamics: all units at once, z_i ~ Bern(σ(h_i(z)/T)); Peretto's stationary law (thm:B1, thm:B2).

Main results: step, sample.
"""

from __future__ import annotations

from numba import prange

from dynamics.activations import firing_probability
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.philox import uniforms


@kernel()
def step(state, couplings, bias, slope, offset, nudging, temperature, noise, field):
    """Redraw every unit given the whole previous state."""
    size = state.shape[0]
    field[:] = bias
    for j in range(size):
        if state[j] != 0.0:
            for i in range(size):
                field[i] += couplings[j, i]
    for i in range(size):
        force = cost_force(state[i], slope[i], offset[i], nudging)
        state[i] = 1.0 if noise[i] < firing_probability(field[i] + force, temperature) else 0.0


@kernel(parallel=True)
def sample(
    states, couplings, bias, slope, offset, nudgings, temperature, seed, stream, first_step, steps, first_replica
):
    """Advance states (replicas, N) in place by `steps` parallel updates."""
    for r in prange(states.shape[0]):
        field, noise = bias.copy(), bias.copy()
        for now in range(first_step, first_step + steps):
            uniforms(seed, stream, now, first_replica + r, noise)
            step(states[r], couplings, bias, slope, offset, nudgings[r], temperature, noise, field)
