"""How a network relaxes, looked at as it learns: what stands between EP and a settled free phase.

Main results: Stability, stability.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dynamics.crnn.certificate import LinearNoise
from dynamics.crnn.network import Array, Frames, Network
from dynamics.crnn.spectra import Drives

# of the deterministic relaxation before and while its contraction is measured
SETTLING, MEASURED = 100, 50
# residuals below are rounding
LEAST_RESIDUAL = 1e-12


class Stability(NamedTuple):
    """radius: largest |eigenvalue| of the leaky map's Jacobian; contraction: factor of the residual max|σ(h/T) − s| a step.

    Both below 1 where a relaxation settles, and equal where it has come near its fixed point along the slowest direction.
    """

    radius: float
    contraction: float


def stability(network: Network, images: Array | Frames) -> Stability:
    """Means over images (B, inputs), in float64: the radius after 100 deterministic steps from rest, and 50 more steps' factor.

    The radius is Lanczos' (an estimate from inside); the factor is geometric, counted until a residual meets rounding. nan, both,
    where a changing input, max pooling or hard sigmoids leave no such map.
    """
    if isinstance(images, Frames) or network.wiring.routes or network.activation != "logistic":
        return Stability(math.nan, math.nan)
    drives = Drives(network)
    network, states = drives.network, drives.network.start(len(images))
    constants = network.constants(images)
    network.phase(states, constants, steps=SETTLING, window=1)
    radii = [LinearNoise(drives, state).largest() for state in states]
    residuals = []
    for _ in range(MEASURED):
        before = states.copy()
        network.phase(states, constants, steps=1, window=1)
        # a step moves a trace by ε(σ(h/T) − s)
        residuals.append((np.abs(states - before) / drives.leaks).max(axis=1))
        if residuals[-1].min() < LEAST_RESIDUAL:
            break
    steps = len(residuals) - 1
    factors = (residuals[-1] / residuals[0]) ** (1.0 / steps) if steps else np.zeros(len(states))
    return Stability(float(np.mean(radii)), float(np.mean(factors)))
