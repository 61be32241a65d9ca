"""D-Wave's C++ simulated annealing at one temperature, which is heat bath: package dwave-samplers.

Main results: heat_bath.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks import problems
from benchmarks.contender import Contender, peer_module

REMEDY = "make bench installs it, or pip install dwave-samplers"


def heat_bath(size: int, chains: int, sweeps: int) -> Contender:
    """Chains of sweeps in fixed order with its "Gibbs" acceptance, in spins; the model is built beforehand."""
    samplers, dimod = peer_module("dwave.samplers", REMEDY), peer_module("dimod", REMEDY)
    sampler = samplers.SimulatedAnnealingSampler()

    def spins(seed: int) -> object:
        couplings, bias = problems.ising_problem(size, seed)
        rows, columns = np.triu_indices(size, 1)
        units = dimod.BinaryQuadraticModel.from_numpy_vectors(
            -bias, (rows, columns, -couplings[rows, columns]), 0.0, dimod.BINARY
        )
        return units.change_vartype(dimod.SPIN, inplace=False)

    def draw(model: object, chains: int, sweeps: int) -> np.ndarray:
        found = sampler.sample(
            model, num_reads=chains, beta_schedule_type="custom", beta_schedule=[1.0], num_sweeps_per_beta=sweeps,
            proposal_acceptance_criteria="Gibbs", seed=1,
        )  # fmt: skip
        return found.record.sample[:, np.argsort(found.variables)]

    def outcome(seed: int) -> Mapping[str, np.ndarray]:
        return {"states": (draw(spins(seed), 4 * chains, 30) + 1) / 2}

    model = spins(0)
    return Contender(lambda: draw(model, chains, sweeps), outcome, "dwave-samplers")
