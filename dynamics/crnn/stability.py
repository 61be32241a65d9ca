"""How a network relaxes, looked at as it learns: what stands between EP and a settled free phase.

Main results: Stability, stability, NO_MAP.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dynamics.crnn.certificate import LinearNoise
from dynamics.crnn.network import Array, Frames, Network
from dynamics.crnn.spectra import Drives

# of the deterministic relaxation that is looked at
STEPS = 150
# residuals below are rounding
LEAST_RESIDUAL = 1e-12


class Stability(NamedTuple):
    """radius: largest |eigenvalue| of the leaky map's Jacobian; contraction: factor of the residual max|σ(h/T) − s| a step.

    Both below 1 where a relaxation settles, and equal where it has come near its fixed point along the slowest direction.
    """

    radius: float
    contraction: float


# of what does not relax by one map
NO_MAP = Stability(math.nan, math.nan)


def stability(network: Network, images: Array | Frames) -> Stability:
    """Means over images (B, inputs), in float64, of 150 deterministic steps from rest, fewer where a residual meets rounding.

    The radius, Lanczos' estimate from inside, is taken where they end; the factor is geometric, of their second half. nan, both,
    where a changing input, max pooling or hard sigmoids leave no such map.
    """
    try:
        drives = Drives(network)
    except ValueError:
        return NO_MAP
    if isinstance(images, Frames):
        return NO_MAP
    network, states = drives.network, drives.network.start(len(images))
    constants, residuals = network.constants(images), []
    while len(residuals) < STEPS and not (residuals and residuals[-1].min() < LEAST_RESIDUAL):
        before = states.copy()
        network.phase(states, constants, steps=1, window=1)
        # a step moves a trace by ε(σ(h/T) − s)
        residuals.append((np.abs(states - before) / drives.leaks).max(axis=1))
    half = len(residuals) // 2
    # a state that is at its fixed point from the start is left by no step
    ratios = np.divide(residuals[-1], residuals[half], out=np.zeros(len(states)), where=residuals[half] > 0)
    factors = ratios ** (1.0 / max(1, len(residuals) - 1 - half))
    radii = [LinearNoise(drives, state).largest() for state in states]
    return Stability(float(np.mean(radii)), float(np.mean(factors)))
