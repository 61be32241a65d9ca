"""Remarks of the section on the mean-field gradient against the exact one."""

from __future__ import annotations

import numpy as np

from dynamics.enumeration import exact_gradient
from figures.networks import sk
from meanfield.model import Model, QuadraticCost
from meanfield.response import implicit_gradient


def _c7() -> dict[str, float | list[float]]:
    """Onsager's term makes the couplings' gradient worse, on a pair with κ < 1 and on a cold SK network."""
    pair, network, cold = Model([[0.0, 3.5], [3.5, 0.0]], [-1.25, -1.45]), sk(8, 0), 0.1
    naive, corrected = _percent_errors(pair, QuadraticCost([1], [0.0]))
    cold_naive, cold_corrected = _percent_errors(network.at(cold), network.cost)
    return {
        "coupling": pair.couplings[0, 1],
        "bias": pair.bias.tolist(),
        "gain": pair.gain,
        "naive": naive,
        "corrected": corrected,
        "cold": cold,
        "cold_naive": cold_naive,
        "cold_corrected": cold_corrected,
    }


def _percent_errors(model: Model, cost: QuadraticCost) -> list[float]:
    """100 ‖EP's gradient − exact gradient‖ / ‖exact gradient‖ over the couplings, naive and corrected."""
    exact = exact_gradient(model, cost).couplings
    errors = [
        implicit_gradient(model, cost, "spikes", correction=correction).couplings - exact
        for correction in ("none", "onsager")
    ]
    return [100 * float(np.linalg.norm(error) / np.linalg.norm(exact)) for error in errors]


REMARKS = {"C7": _c7}
