"""Every closed-form bound, with its hypotheses tested before it answers.

Main results, by module: gibbs (the spikes' laws), leaky (leaky spikes), local
(spikes in a ball about a fixed point), gradients (mean-field against exact ones), holomorphy
(radii in the nudging), nudging (finite nudging), spike_nudging (under the spikes' laws), relaxation (finite nudging, step by
step), smoothing (the loss landscape), variance (coupled phases).

Letters: κ = ‖J‖₂/(4T), κ_a = ‖|J|‖₂/(4T), κ_∞ = ‖J‖_∞/(4T), C = tanh(|J|/(4T)), D = (I − C)⁻¹, ε the leak, K the spiking
copies of a neuron. A bound outside its hypotheses raises HypothesisError naming the one that failed.
"""

from meanfield.bounds.cumulants import Cumulants, gibbs_cumulants
from meanfield.bounds.enclosure import Enclosure
from meanfield.bounds.gibbs import covariance, gibbs_mean_error, little_covariance, little_mean_error, mixing_sweeps
from meanfield.bounds.gradients import gibbs_gradient, gradient_error, local_gradient_error
from meanfield.bounds.holomorphy import holomorphy_radius, local_holomorphy_radius
from meanfield.bounds.leaky import (
    best_leak,
    descent,
    drift_lag,
    leaky_covariance,
    leaky_covariance_matrix,
    leaky_deviation,
    leaky_mean_error,
    leaky_tracking,
)
from meanfield.bounds.local import (
    LocalContraction,
    exit_probability,
    local_contraction,
    local_mean_error,
    local_tracking,
)
from meanfield.bounds.nudging import estimator_bias, local_estimator_bias
from meanfield.bounds.relaxation import relaxation_error
from meanfield.bounds.smoothing import (
    gibbs_loss_curvature,
    gibbs_loss_slope,
    gibbs_loss_smoothness,
    loss_curvature,
    response_curvature,
    response_norm,
)
from meanfield.bounds.spike_nudging import objective_gap, spike_estimator_bias, zero_free_radius
from meanfield.bounds.variance import coupled_second_moment, coupled_variance, spike_difference, trace_difference

__all__ = [
    "Cumulants",
    "Enclosure",
    "LocalContraction",
    "best_leak",
    "coupled_second_moment",
    "coupled_variance",
    "covariance",
    "descent",
    "drift_lag",
    "estimator_bias",
    "exit_probability",
    "gibbs_cumulants",
    "gibbs_gradient",
    "gibbs_loss_curvature",
    "gibbs_loss_slope",
    "gibbs_loss_smoothness",
    "gibbs_mean_error",
    "gradient_error",
    "holomorphy_radius",
    "leaky_covariance",
    "leaky_covariance_matrix",
    "leaky_deviation",
    "leaky_mean_error",
    "leaky_tracking",
    "little_covariance",
    "little_mean_error",
    "local_contraction",
    "local_estimator_bias",
    "local_gradient_error",
    "local_holomorphy_radius",
    "local_mean_error",
    "local_tracking",
    "loss_curvature",
    "mixing_sweeps",
    "objective_gap",
    "relaxation_error",
    "response_curvature",
    "response_norm",
    "spike_difference",
    "spike_estimator_bias",
    "trace_difference",
    "zero_free_radius",
]
