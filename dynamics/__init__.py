"""Simulation of stochastic equilibrium propagation: what can be sampled or relaxed."""

from dynamics.backpropagation import Backpropagation, backpropagated_gradient, backpropagation_through_time
from dynamics.coupling import EstimatorMoments, coupled_leaky_law, exact_estimator_moments
from dynamics.enumeration import ExactLaw, exact_gradient, exact_law, leaky_law, transition_matrix
from dynamics.estimators import Estimate, estimate_gradient
from dynamics.exact_nudging import CostLaw, cost_law, exact_equilibrium_gradient, nudging_series
from dynamics.exact_variance import coupled_variance_coefficient, stationary_estimator_moments, three_factor_variance
from dynamics.pair_transfer import stationary_trace_moments
from dynamics.partition_zeros import nearest_zero, partition_zeros
from dynamics.phases import Samples, advance, relax, sample
from dynamics.recommendation import Recommendation, recommend, recommendations
from dynamics.tempering import Tempered, temper
from dynamics.transfer import StationaryMoments, leaky_stationary

__all__ = [
    "Backpropagation",
    "CostLaw",
    "Estimate",
    "EstimatorMoments",
    "ExactLaw",
    "Recommendation",
    "Samples",
    "StationaryMoments",
    "Tempered",
    "advance",
    "backpropagated_gradient",
    "backpropagation_through_time",
    "cost_law",
    "coupled_leaky_law",
    "coupled_variance_coefficient",
    "estimate_gradient",
    "exact_equilibrium_gradient",
    "exact_estimator_moments",
    "exact_gradient",
    "exact_law",
    "leaky_law",
    "leaky_stationary",
    "nearest_zero",
    "nudging_series",
    "partition_zeros",
    "recommend",
    "recommendations",
    "relax",
    "sample",
    "stationary_estimator_moments",
    "stationary_trace_moments",
    "temper",
    "three_factor_variance",
    "transition_matrix",
]
