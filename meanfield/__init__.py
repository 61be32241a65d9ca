"""Theory of stochastic equilibrium propagation: what can be written down."""

from meanfield import bounds
from meanfield.gradient_bias import leading_gradient_bias
from meanfield.learning_rule import equilibrium_gradient, leading_bias
from meanfield.model import Gradient, HypothesisError, Model, QuadraticCost
from meanfield.response import contraction_rate, implicit_gradient, linear_noise, susceptibility
from meanfield.solve import ConvergenceError, MultistabilityWarning, Solution, fixed_point, free_energy
from meanfield.tradeoff import Tradeoff

__all__ = [
    "ConvergenceError",
    "Gradient",
    "HypothesisError",
    "Model",
    "MultistabilityWarning",
    "QuadraticCost",
    "Solution",
    "Tradeoff",
    "bounds",
    "contraction_rate",
    "equilibrium_gradient",
    "fixed_point",
    "free_energy",
    "implicit_gradient",
    "leading_bias",
    "leading_gradient_bias",
    "linear_noise",
    "susceptibility",
]
