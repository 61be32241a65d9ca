"""Replica exchange: one network at several temperatures, whose chains swap states, so that a cold one leaves its valley (thm:B1).

Main results: temper, Tempered.

Chain k of a replica is Glauber's, in order, at temperature T_k; after each sweep neighbours k and k + 1 swap states with
probability min(1, e^{(1/T_k − 1/T_{k+1})(E_k − E_{k+1})}), k even after even steps and odd after odd ones. Each move leaves the
product of Gibbs' laws invariant. The chains of a replica are lanes of the same vectors: all temperatures share each coupling.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import ArrayLike

from dynamics.glauber import LANES, rough_network, sweep_in_order
from dynamics.kernel import kernel
from dynamics.panels import PANEL, lines, local_fields, packed_couplings
from dynamics.phases import checked_noise, checked_states, over_replicas
from dynamics.philox import STREAM_FREE, STREAM_SWAP, uniforms
from meanfield.model import FloatArray, Model, real_array, whole_number


class Tempered(NamedTuple):
    """States (replicas, K, N) after the last step, their mean and its standard error over replicas (K, N), and swap_rates.

    swap_rates (K − 1,): the share of accepted swaps between neighbours, NaN where none was proposed.
    """

    states: FloatArray
    mean: FloatArray
    standard_error: FloatArray
    swap_rates: FloatArray


@kernel()
def energies(states, fields, bias, out):
    """out (rows,) = −½ Σ_i z_i (h_i + b_i), from the fields h = Jz + b of states (rows, N)."""
    for row in range(states.shape[0]):
        total = 0.0
        for i in range(states.shape[1]):
            total += states[row, i] * (fields[row, i] + bias[i])
        out[row] = -0.5 * total


@kernel()
def swap(states, energy, temperatures, first, noise, accepted):
    """Propose a swap of states k and k + 1 for k = first, first + 2, …, of states (K, N); counts into accepted (K − 1,)."""
    for k in range(first, states.shape[0] - 1, 2):
        gain = (1.0 / temperatures[k] - 1.0 / temperatures[k + 1]) * (energy[k] - energy[k + 1])
        if gain >= 0.0 or noise[k] < math.exp(gain):
            for i in range(states.shape[1]):
                states[k, i], states[k + 1, i] = states[k + 1, i], states[k, i]
            accepted[k] += 1


@kernel(parallel=True)
def _temper(states, couplings, bias, temperatures, seed, first_step, steps, first_replica, accepted):
    """Advance states (replicas, K, N) in place; accepted (replicas, K − 1) counts the swaps."""
    replicas, chains, size = states.shape
    packed, nothing, free = packed_couplings(couplings), np.zeros(size), np.zeros(chains)
    rough, hottest = rough_network(couplings, bias, nothing, nothing, free, temperatures), temperatures.max()
    for r in prange(replicas):
        fields, places = lines(chains, packed.shape[0] // size * PANEL), np.arange(chains)
        noise, energy = np.empty(chains - 1), np.empty(chains)
        number = first_replica + r
        for now in range(first_step, first_step + steps):
            for first in range(0, chains, LANES):
                last = min(first + LANES, chains)
                sweep_in_order(
                    states[r, first:last], couplings, bias, nothing, nothing, rough, free[first:last],
                    temperatures[first:last], hottest, seed, STREAM_FREE, now, 1, number * chains + first,
                )  # fmt: skip
            local_fields(states[r], packed, bias, places, fields)
            energies(states[r], fields, bias, energy)
            uniforms(seed, STREAM_SWAP, now, number, noise)
            swap(states[r], energy, temperatures, now % 2, noise, accepted[r])


def temper(
    model: Model,
    *,
    temperatures: ArrayLike,
    steps: int,
    replicas: int,
    seed: int,
    start: ArrayLike | None = None,
    first_step: int = 0,
    first_replica: int = 0,
) -> Tempered:
    """Independent replicas of K chains, each after `steps` sweeps at its own temperature with swaps between neighbours.

    Row k of `states` has Gibbs' law of the model at temperatures[k], which stands for the model's own; temperatures (K ≥ 2,) rise.
    start: spikes (K, N) or (replicas, K, N), default Bernoulli(½). A run is split without changing a bit as in `sample`.
    Raises ValueError. Paper: thm:B1.
    """
    ladder = real_array("temperatures", temperatures, 1)
    if ladder.size < 2 or ladder[0] <= 0 or (np.diff(ladder) <= 0).any():
        raise ValueError(f"temperatures must be two or more, positive and rising, got {ladder.tolist()}: sort them")
    chains, size = ladder.size, model.size
    whole_number("replicas", replicas, 1)
    whole_number("first_replica", first_replica, 0)
    noise = checked_noise(seed, first_step, steps, first_replica * chains, replicas * chains)
    if start is not None:
        given, shape = np.asarray(start), (replicas, chains, size)
        if given.shape not in (shape[1:], shape):
            raise ValueError(f"start must have shape {shape[1:]} or {shape}, got {given.shape}")
        start = np.broadcast_to(given, shape).reshape(-1, size)
    states = checked_states("glauber", start, replicas * chains, size, noise).reshape(replicas, chains, size)
    accepted = np.zeros((replicas, chains - 1), dtype=np.int64)
    _temper(states, model.couplings, model.bias, ladder, noise.seed, first_step, steps, first_replica, accepted)
    # of the steps below x, (x + 1) // 2 are even and x // 2 are odd
    proposed = np.array(
        [(first_step + steps + 1 - k % 2) // 2 - (first_step + 1 - k % 2) // 2 for k in range(chains - 1)]
    )
    rates = np.where(proposed > 0, accepted.mean(axis=0) / np.maximum(proposed, 1), np.nan)
    return Tempered(states, *over_replicas(states), rates)
