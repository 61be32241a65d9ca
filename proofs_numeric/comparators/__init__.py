"""Neighbouring learning systems held against the same theory, a module each; importing the package registers their claims."""

from proofs_numeric.comparators import (
    continual,
    evolution_strategies,
    feedback_scaling,
    group_communication,
    heterogeneous_leaks,
    lateral_inhibition,
    memory_capacity,
    predictive_coding,
    self_prediction,
    speciation,
    symmetric_nudging,
    target_propagation,
)

__all__ = [
    "continual",
    "evolution_strategies",
    "feedback_scaling",
    "group_communication",
    "heterogeneous_leaks",
    "lateral_inhibition",
    "memory_capacity",
    "predictive_coding",
    "self_prediction",
    "speciation",
    "symmetric_nudging",
    "target_propagation",
]
