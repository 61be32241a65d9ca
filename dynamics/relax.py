"""Deterministic EP: s ← (1−ε)s + ε σ(h(s)/T), the mean of the leaky spikes' step (thm:A4, thm:A5).

Main results: step, trajectory, advance. Step t uses row t mod period of the leaks, (period, N).
"""

from __future__ import annotations

from dynamics.activations import firing_probability, leaky_trace
from dynamics.forces import cost_force
from dynamics.kernel import kernel


@kernel()
def step(state, couplings, bias, slope, offset, nudging, temperature, leak, field):
    """One parallel update of the rates s."""
    size = state.shape[0]
    field[:] = bias
    for j in range(size):
        for i in range(size):
            field[i] += state[j] * couplings[j, i]
    for i in range(size):
        force = cost_force(state[i], slope[i], offset[i], nudging)
        state[i] = leaky_trace(state[i], firing_probability(field[i] + force, temperature), leak[i])


@kernel()
def trajectory(path, couplings, bias, slope, offset, nudging, temperature, leaks):
    """Fill path (steps + 1, N) from its first row on."""
    field = bias.copy()
    for t in range(path.shape[0] - 1):
        path[t + 1] = path[t]
        leak = leaks[t % leaks.shape[0]]
        step(path[t + 1], couplings, bias, slope, offset, nudging, temperature, leak, field)


@kernel()
def advance(state, couplings, bias, slope, offset, nudging, temperature, leaks, steps):
    """Move the state (N,) by `steps` updates in place, with no memory of the path."""
    field = bias.copy()
    for t in range(steps):
        step(state, couplings, bias, slope, offset, nudging, temperature, leaks[t % leaks.shape[0]], field)
