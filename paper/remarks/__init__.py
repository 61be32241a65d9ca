"""What the paper's remarks say of single networks, computed anew whenever the paper is built.

Main results: record.

A module a section of the paper holds REMARKS: by theorem a function that returns, by name, the instance's parameters and what they
lead to. paper/numbers.typ prints them, so that none of these numbers is typed.
"""

from __future__ import annotations

import numpy as np

from paper.remarks import (
    comparators_ep,
    comparators_networks,
    comparators_rules,
    exact_gradients,
    gradient_error,
    leaky,
    learning,
    local,
    mean_field,
    optimal_nudging,
    sampling,
    smoothing,
    variance,
)

MODULES = (
    sampling,
    leaky,
    mean_field,
    smoothing,
    local,
    learning,
    variance,
    gradient_error,
    exact_gradients,
    optimal_nudging,
    comparators_ep,
    comparators_networks,
    comparators_rules,
)


def record() -> dict[str, dict[str, float | list[float]]]:
    """By theorem, then by name, what the text tells."""
    return {
        theorem: {name: np.asarray(value).tolist() for name, value in compute().items()}
        for module in MODULES
        for theorem, compute in module.REMARKS.items()
    }
