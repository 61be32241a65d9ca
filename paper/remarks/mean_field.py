"""Remarks of the section on the mean field."""

from __future__ import annotations

import numpy as np

from meanfield.equations import activity_variance
from meanfield.model import Model
from meanfield.solve import fixed_point


def _a5() -> dict[str, float]:
    """With two leaks the derivative at m* has a Euclidean norm above one, though every q_i is below."""
    coupling, leaks = 3.6, np.array([0.1, 1.0])
    model = Model([[0.0, coupling], [coupling, 0.0]], [-coupling / 2] * 2)
    variance = activity_variance(fixed_point(model).value)
    derivative = np.diag(1 - leaks) + (leaks * variance)[:, None] * model.couplings
    return {
        "coupling": coupling,
        "gain": model.gain,
        "leak": leaks[0],
        "kept": derivative[0, 0],
        "to_slow": derivative[0, 1],
        "to_fast": derivative[1, 0],
        "norm": float(np.linalg.norm(derivative, 2)),
        "factor": np.max(1 - leaks * (1 - model.gain)),
    }


def _a6() -> dict[str, float]:
    """A triangle with J_ij = T, K = 1/4: F_TAP exceeds −T ln Z."""
    strength = 1 / 4
    return {"triangle": np.log1p(np.tanh(strength) ** 3) - strength**4 / 4}


REMARKS = {"A5": _a5, "A6": _a6}
