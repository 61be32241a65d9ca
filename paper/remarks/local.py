"""Remarks of the section on balls about a fixed point."""

from __future__ import annotations

import numpy as np

from dynamics.enumeration import all_states, exact_law
from meanfield.bounds import local_contraction
from meanfield.model import Model
from meanfield.response import contraction_rate
from meanfield.solve import fixed_point

PAIR = Model([[0.0, 6.0], [6.0, 0.0]], [-3.0, -3.0])


def _a5c() -> dict[str, float]:
    """The local gain κ* at the middle one of a pair's three fixed points."""
    return {"gain": contraction_rate(PAIR, np.full(2, 0.5))}


def _b11b() -> dict[str, float]:
    """The stationary second moment about an outer fixed point over x_∞, ε = K = 1: spikes leave the ball."""
    radius, mean = 0.2, fixed_point(PAIR, start=np.ones(2)).value
    ball = local_contraction(PAIR, mean, radius=radius)
    law = exact_law(PAIR, dynamics="little").probabilities
    moment = law @ ((all_states(PAIR.size) - mean) ** 2 / ball.slopes).sum(axis=1)
    return {"radius": radius, "excess": moment * (1 - ball.rate(1.0) ** 2) / PAIR.size}


REMARKS = {"A5c": _a5c, "B11b": _b11b}
