"""Theory of stochastic equilibrium propagation: what can be written down."""

from meanfield.model import Gradient, HypothesisError, Model, QuadraticCost

__all__ = ["Gradient", "HypothesisError", "Model", "QuadraticCost"]
