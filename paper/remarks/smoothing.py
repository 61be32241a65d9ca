"""Remarks of the section on the smoothing of the landscape by temperature."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from meanfield.bounds.smoothing import cost_range
from meanfield.equations import firing_probability
from meanfield.model import Model, QuadraticCost
from meanfield.response import implicit_gradient


def _d2() -> dict[str, float]:
    """Near its transition a pair's mean-field cost is steeper in a bias than any mean cost of spikes."""
    coupling, bias = 3.9, -1.95
    model, cost = Model([[0.0, coupling], [coupling, 0.0]], [bias, bias]), QuadraticCost([0], [0.0])
    slope = np.abs(implicit_gradient(model, cost, "spikes").bias).max()
    return {"coupling": coupling, "bias": bias, "ratio": slope / (cost_range(model, cost) / 4)}


def _d3() -> dict[str, float]:
    """Logistic noise and normal noise of its variance, T²π²/3, at h = T."""
    return {"normal": ndtr(math.sqrt(3) / math.pi), "logistic": firing_probability(1.0, 1.0)}


REMARKS = {"D2": _d2, "D3": _d3}
