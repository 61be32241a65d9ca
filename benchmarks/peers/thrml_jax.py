"""Extropic's block Gibbs sampler in JAX: package thrml.

Main results: heat_bath.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks import problems
from benchmarks.contender import Contender, peer_module

REMEDY = "make bench installs it, or pip install thrml"


def heat_bath(size: int, chains: int, sweeps: int) -> Contender:
    """Chains of sweeps in fixed order, compiled beforehand.

    With all pairs coupled, a block of units that may be redrawn at once is a single unit.
    """
    jax, thrml, models = (peer_module(name, REMEDY) for name in ("jax", "thrml", "thrml.models"))
    units = [thrml.SpinNode() for _ in range(size)]
    rows, columns = np.triu_indices(size, 1)
    pairs = [(units[i], units[j]) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]
    blocks = [thrml.Block([unit]) for unit in units]

    def sampler(chains: int, sweeps: int):
        schedule = thrml.SamplingSchedule(n_warmup=sweeps - 1, n_samples=1, steps_per_sample=1)

        def draw(key, field, weights):
            model = models.IsingEBM(units, pairs, field, weights, jax.numpy.array(1.0))
            program = models.IsingSamplingProgram(model, blocks, clamped_blocks=[])
            starts, paths = jax.random.split(key)
            start = models.hinton_init(starts, model, blocks, (chains,))
            keys = jax.random.split(paths, chains)
            one = lambda key, state: thrml.sample_states(key, program, schedule, state, [], [thrml.Block(units)])  # noqa: E731
            return jax.vmap(one)(keys, start)[0][:, -1]

        return jax.jit(draw)

    def spins(seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Field and couplings of s = 2z − 1."""
        couplings, bias = problems.ising_problem(size, seed)
        return bias / 2 + couplings.sum(axis=1) / 4, couplings[rows, columns] / 4

    def outcome(seed: int) -> Mapping[str, np.ndarray]:
        states = sampler(4 * chains, 30)(jax.random.key(1), *spins(seed))
        return {"states": np.asarray(states, float)}

    compiled, model, key = sampler(chains, sweeps), spins(0), jax.random.key(0)
    return Contender(lambda: compiled(key, *model).block_until_ready(), outcome, f"thrml, jax {jax.__version__}")
