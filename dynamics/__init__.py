"""Simulation of stochastic equilibrium propagation: what can be sampled or relaxed."""
