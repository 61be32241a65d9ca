"""Remarks of the section on neighbouring rules."""

from __future__ import annotations

import numpy as np

from meanfield.model import Model, QuadraticCost
from proofs_numeric.comparators.evolution_strategies import race

SIZES = (2, 3, 4, 5, 6)
FIELD = 0.3


def _g11b() -> dict[str, float | list[float]]:
    """Chains: the least errors of evolution strategies over those of equilibrium propagation."""
    found = []
    for size in SIZES:
        links = np.diag(np.ones(size - 1), 1)
        couplings = links + links.T
        model = Model(couplings, FIELD - 0.5 * couplings.sum(axis=1))
        found.append(race(model, QuadraticCost([size - 1], [1.0])))
    return {
        "sizes": list(SIZES),
        "field": FIELD,
        "parameters": [one.parameters for one in found],
        "coupled": [one.coupled for one in found],
        "independent": [one.independent for one in found],
    }


REMARKS = {"G11b": _g11b}
