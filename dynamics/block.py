"""Block Gibbs dynamics on a two-coloured network: all units of one colour at once, then all of the other (thm:B1).

Main results: step, sample, two_colouring.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dynamics.activations import firing_probability
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.philox import uniforms
from meanfield.model import FloatArray


@kernel()
def step(state, couplings, bias, slope, offset, nudging, temperature, colours, colour, noise, field):
    """Redraw every unit of one colour from its conditional law given the other colour."""
    size = state.shape[0]
    field[:] = bias
    for j in range(size):
        if state[j] != 0.0 and colours[j] != colour:
            for i in range(size):
                field[i] += couplings[j, i]
    for i in range(size):
        if colours[i] == colour:
            force = cost_force(state[i], slope[i], offset[i], nudging)
            state[i] = 1.0 if noise[i] < firing_probability(field[i] + force, temperature) else 0.0


@kernel(parallel=True)
def sample(
    states,
    couplings,
    bias,
    slope,
    offset,
    nudgings,
    temperature,
    colours,
    seed,
    stream,
    first_step,
    steps,
    first_replica,
):
    """Advance states (replicas, N) in place by `steps` sweeps: colour 0, then colour 1, each in parallel."""
    for r in prange(states.shape[0]):
        field, noise = bias.copy(), bias.copy()
        for now in range(first_step, first_step + steps):
            uniforms(seed, stream, now, first_replica + r, noise)
            for colour in range(2):
                step(states[r], couplings, bias, slope, offset, nudgings[r], temperature, colours, colour, noise, field)


def two_colouring(couplings: FloatArray) -> NDArray[np.int64]:
    """Colours 0 and 1, (N,), with no coupling within a colour; the lowest unit of each component has colour 0.

    Raises ValueError naming an odd cycle when there is none.
    """
    size = couplings.shape[0]
    colours = np.full(size, -1, dtype=np.int64)
    parent = np.full(size, -1)
    for root in range(size):
        if colours[root] >= 0:
            continue
        colours[root] = 0
        queue = [root]
        for unit in queue:
            for neighbour in np.flatnonzero(couplings[unit]):
                if colours[neighbour] < 0:
                    colours[neighbour], parent[neighbour] = 1 - colours[unit], unit
                    queue.append(int(neighbour))
                elif colours[neighbour] == colours[unit]:
                    cycle = _odd_cycle(parent, unit, int(neighbour))
                    raise ValueError(
                        "block Gibbs needs a network that two colours can paint, but units "
                        f"{' - '.join(map(str, cycle))} form an odd cycle: use dynamics='glauber'"
                    )
    return colours


def _odd_cycle(parent: NDArray[np.int64], first: int, second: int) -> list[int]:
    """The closed walk first → common ancestor → second → first in the search tree."""
    ancestors = [first]
    while parent[ancestors[-1]] >= 0:
        ancestors.append(int(parent[ancestors[-1]]))
    branch = [second]
    while branch[-1] not in ancestors:
        branch.append(int(parent[branch[-1]]))
    return [*ancestors[: ancestors.index(branch[-1]) + 1], *branch[-2::-1], first]
