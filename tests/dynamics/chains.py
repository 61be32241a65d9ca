"""A network and the noise of one replica's sweep: shared by the tests that hold chains against their plain steps."""

from __future__ import annotations

import math

import numpy as np

from dynamics.philox import STREAM_FREE, uniforms
from meanfield import Model, QuadraticCost

SEED, STEPS = 5 + (3 << 32), 3
COST, NUDGING = QuadraticCost([0], [0.9]), 0.8


def net(size: int) -> Model:
    generator = np.random.default_rng(size)
    weights = np.triu(generator.normal(size=(size, size)) / math.sqrt(size), 1)
    return Model(weights + weights.T, generator.normal(size=size), 0.7)


def noise_of(step: int, replica: int, count: int) -> np.ndarray:
    out = np.empty(count)
    uniforms(SEED, STREAM_FREE, step, replica, out)
    return out
