"""The quadratic cost in its three readings, and the force of a nudge (paper: §1, A1b).

Main results: rates_force, spikes_force, cost_force, mean_spike_cost_gap.
Definition typed in: C(s) = ½(s − y)² on an output unit; a nudge adds nudging · cost to the energy.
"""

from __future__ import annotations

import sympy as sp

from meanfield.derivations.energy import unit_expectation
from meanfield.symbols import mean_activity, nudging, offset, slope, state, target

cost_on_rates = (state - target) ** 2 / 2
cost_on_mean_spikes = unit_expectation(cost_on_rates)

# (slope, offset) of ∂C/∂s = slope·s + offset, read off by differentiating twice
rates_slope = sp.diff(cost_on_rates, state, 2)
rates_offset = sp.diff(cost_on_rates, state).subs(state, 0)
spikes_slope = sp.diff(cost_on_mean_spikes, mean_activity, 2)
spikes_offset = sp.diff(cost_on_mean_spikes, mean_activity).subs(mean_activity, 0)

_any_cost = sp.integrate(slope * state + offset, state)
cost_force = -sp.diff(nudging * _any_cost, state)
mean_spike_cost_gap = sp.factor(cost_on_mean_spikes - cost_on_rates.subs(state, mean_activity))
