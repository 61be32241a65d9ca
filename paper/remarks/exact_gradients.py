"""Remarks of the section on equilibrium propagation without a mean field."""

from __future__ import annotations

import numpy as np

from dynamics.transfer import leaky_stationary
from meanfield.model import Model
from proofs_numeric.claims.exact_gradients import TRIANGLE

# Change of a bias in a central difference, extrapolated from it and twice it.
STEP = 1e-3


def _c5b() -> dict[str, float | list[float]]:
    """The triangle of the machine check, and a pair of leaky traces whose response is not symmetric."""
    triangle, pair = Model(*TRIANGLE), Model([[0.0, 3.0], [3.0, 0.0]], [1.0, -2.0])
    return {
        "triangle": triangle.couplings[np.triu_indices(3, 1)].tolist(),
        "first": _response(pair, 0, 1, 1 / 2),
        "second": _response(pair, 1, 0, 1 / 2),
        "shares": [_asymmetry(pair, leak / 2) / _asymmetry(pair, leak) for leak in (1 / 8, 1 / 16, 1 / 32)],
    }


def _asymmetry(pair: Model, leak: float) -> float:
    """∂E s₂/∂b₁ − ∂E s₁/∂b₂."""
    return _response(pair, 1, 0, leak) - _response(pair, 0, 1, leak)


def _response(pair: Model, read: int, moved: int, leak: float) -> float:
    """∂E s_read/∂b_moved."""
    unit = np.eye(2)[moved]
    up, down, far_up, far_down = (
        leaky_stationary(pair.with_bias(pair.bias + shift * STEP * unit), leak=leak).mean[read]
        for shift in (1, -1, 2, -2)
    )
    return (8 * (up - down) - (far_up - far_down)) / (12 * STEP)


REMARKS = {"C5b": _c5b}
