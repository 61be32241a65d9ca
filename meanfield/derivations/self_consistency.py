"""The mean-field free energy of a pair, its stationary points, and the descent of the leaky map (paper: A2-A5).

Main results: pair_free_energy, self_consistent_activity, map_slope, free_energy_curvature, descent_factor,
descent_leak_limit.
"""

from __future__ import annotations

import sympy as sp

from meanfield.derivations.activation import firing_probability, firing_slope
from meanfield.derivations.energy import mean_pair_energy
from meanfield.derivations.entropy import entropy
from meanfield.derivations.field import pair_mean_field
from meanfield.derivations.leaky import leaky_trace
from meanfield.symbols import (
    Expression,
    drive,
    leak,
    local_field,
    mean_activity,
    negative_curvature,
    neighbour_activity,
    probability,
    temperature,
    trace,
)

pair_free_energy = mean_pair_energy - temperature * (entropy + entropy.subs(mean_activity, neighbour_activity))
free_energy_slope = sp.diff(pair_free_energy, mean_activity)

# A3: ∂F/∂m = 0 solved for m; a test says that it is the firing probability in the mean field
(self_consistent_activity,) = sp.solve(sp.simplify(free_energy_slope), mean_activity)

mean_field_map = firing_probability.subs(local_field, pair_mean_field)
# ∂/∂m_j σ(h_i/T) by the chain rule, at a fixed point where p = m
map_slope = firing_slope.subs(probability, mean_activity) * sp.diff(pair_mean_field, neighbour_activity)

free_energy_curvature = sp.factor(sp.diff(pair_free_energy, mean_activity, 2))


def least_curvature() -> Expression:
    """min over m of −S''(m), the entropy's modulus of strong concavity."""
    concavity = sp.simplify(-sp.diff(entropy, mean_activity, 2))
    (flattest,) = sp.solve(sp.diff(concavity, mean_activity), mean_activity)
    return concavity.subs(mean_activity, flattest)


def descent() -> Expression:
    """−(F(m') − F(m))/(p − m)² when −S is the quadratic of least curvature and −J has the curvature λ⁻.

    The true decrease is no smaller: −S enters through Bregman's divergence and Jensen's gap, both monotone in
    its curvature (proof in the paper).
    """
    modulus = least_curvature()
    centre = sp.Rational(1, 2)

    def quadratic(activity: Expression) -> Expression:
        return temperature * modulus * (activity - centre) ** 2 / 2

    field = sp.diff(quadratic(probability), probability)  # p is stationary in the field h: T·S'(p) = −h
    moved = leaky_trace.subs({trace: mean_activity, drive: probability}, simultaneous=True)
    step = sp.expand(moved - mean_activity)
    change = -field * step + negative_curvature * step**2 / 2 + quadratic(moved) - quadratic(mean_activity)
    return sp.factor(sp.simplify(-change / (probability - mean_activity) ** 2))


descent_factor = descent()
(descent_leak_limit,) = sp.solve(sp.expand(descent_factor / leak), leak)
