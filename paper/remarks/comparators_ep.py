"""Remarks of the section on neighbours that change EP."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from meanfield.model import Model, QuadraticCost
from meanfield.response import susceptibility
from proofs_numeric.comparators.feedback_scaling import chain_steps
from proofs_numeric.comparators.symmetric_nudging import (
    at_rest,
    relaxed_shift,
    symmetric_turning_nudging,
    turning_nudging,
)


def _g1() -> dict[str, float]:
    """A neuron that fires more often than its target: where its two estimates turn."""
    field, target = 2.0, 0.7
    rate = np.array(expit(field))
    return {
        "field": field,
        "rate": float(rate),
        "target": target,
        "turning": float(turning_nudging(rate, np.array(target), 1.0)),
        "symmetric_turning": float(symmetric_turning_nudging(rate, np.array(target), 1.0)),
    }


def _g1c() -> dict[str, float | list[float]]:
    """A pair whose relaxed one-sided estimate opposes its gradient in the Euclidean metric, and not in that of the response."""
    coupling, bias, target, nudging = -3.9, [-4.0, 0.75], [1.0, 0.73], 7.0
    model, cost = Model([[0.0, coupling], [coupling, 0.0]], bias), QuadraticCost([0, 1], target)
    mean = at_rest(model)
    force, response = mean - cost.target, susceptibility(model, mean)
    estimate, gradient = -relaxed_shift(model, cost, nudging=nudging)[0], response @ force
    metric = np.linalg.inv(response)
    lengths = math.sqrt(estimate @ metric @ estimate) * math.sqrt(force @ gradient)
    return {
        "coupling": coupling,
        "bias": bias,
        "target": target,
        "nudging": nudging,
        "euclidean": float(estimate @ gradient / np.linalg.norm(estimate) / np.linalg.norm(gradient)),
        "response": float(estimate @ force / lengths),
    }


def _g3b() -> dict[str, float]:
    """Steps of a chain of five layers to a millionth, with feedback whole, at a hundredth, and at a millionth."""
    layers, size, gain, tolerance = 5, 500, 0.95, 1e-6
    whole, weak, weaker = (chain_steps(size, layers, factor, gain, tolerance) for factor in (1.0, 1e-2, 1e-6))
    return {"size": size, "gain": gain, "whole": whole, "weak": weak, "weaker": weaker}


REMARKS = {"G1": _g1, "G1c": _g1c, "G3b": _g3b}
