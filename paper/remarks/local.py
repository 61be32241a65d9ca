"""Remarks of the section on balls about a fixed point."""

from __future__ import annotations

import numpy as np

from meanfield.model import Model
from meanfield.response import contraction_rate


def _a5c() -> dict[str, float]:
    """The local gain κ* at the middle one of a pair's three fixed points."""
    return {"gain": contraction_rate(Model([[0.0, 6.0], [6.0, 0.0]], [-3.0, -3.0]), np.full(2, 0.5))}


REMARKS = {"A5c": _a5c}
