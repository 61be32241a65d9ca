"""How a unit turns its field into spikes, and spikes into a trace.

Main results: firing_probability, firing_slope, leaky_trace.
"""

from __future__ import annotations

import math

from dynamics.kernel import kernel


@kernel(origin="derivations.activation:firing_probability")
def firing_probability(local_field, temperature):
    """P(z = 1) = 1/(1 + exp(−h/T)), to full relative accuracy for every h, small probabilities included."""
    scaled = local_field / temperature
    # exp of −|h|/T cannot overflow, and only one exponential is taken
    decayed = math.exp(-abs(scaled))
    return (1.0 if scaled >= 0.0 else decayed) / (1.0 + decayed)


@kernel(origin="derivations.activation:firing_slope")
def firing_slope(probability, temperature):
    """∂p/∂h = p(1 − p)/T at p = σ(h/T)."""
    return probability * (1.0 - probability) / temperature


@kernel(origin="derivations.leaky:leaky_trace")
def leaky_trace(trace, drive, leak):
    """s' = (1 − ε)s + ε·drive; the drive is a spike z (leaky spikes) or a probability σ(h/T) (deterministic EP)."""
    return (1.0 - leak) * trace + leak * drive
