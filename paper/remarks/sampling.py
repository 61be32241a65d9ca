"""Remarks of the section on samplers and their distance from the mean field."""

from __future__ import annotations

import numpy as np

from dynamics.enumeration import exact_law, transition_matrix
from meanfield.model import Model


def _b1() -> dict[str, float]:
    """The sweep (1, 2) of a pair is not reversible; two coupled neurons updated in parallel leave exp(−E/T)."""
    model = Model(np.array([[0.0, 2.0], [2.0, 0.0]]), np.zeros(2), 1.0)
    law, sweep = exact_law(model).probabilities, transition_matrix(model, dynamics="systematic")
    moved = law @ transition_matrix(model, dynamics="little")
    return {
        "forward": law[0] * sweep[0, 1],
        "back": law[1] * sweep[1, 0],
        "moved": np.abs(moved - law).max(),
        "distance": np.abs(exact_law(model, dynamics="little").probabilities - law).sum() / 2,
    }


REMARKS = {"B1": _b1}
