"""Simulation of stochastic equilibrium propagation: what can be sampled or relaxed."""

from dynamics.enumeration import ExactLaw, exact_gradient, exact_law, leaky_law, transition_matrix
from dynamics.estimators import Estimate, estimate_gradient
from dynamics.phases import Samples, relax, sample
from dynamics.transfer import StationaryMoments, leaky_stationary

__all__ = [
    "Estimate",
    "ExactLaw",
    "Samples",
    "StationaryMoments",
    "estimate_gradient",
    "exact_gradient",
    "exact_law",
    "leaky_law",
    "leaky_stationary",
    "relax",
    "sample",
    "transition_matrix",
]
