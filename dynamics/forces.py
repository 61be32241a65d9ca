"""Forces on a unit beside its local field.

Main results: cost_force.
"""

from __future__ import annotations

from dynamics.kernel import kernel


@kernel(origin="derivations.cost:cost_force")
def cost_force(state, slope, offset, nudging):
    """−β(slope·s + offset) = −β ∂C/∂s, added to the field inside σ.

    (slope, offset) = QuadraticCost.force: (1, −y) for the cost on rates, (0, ½ − y) for the cost on spikes.
    """
    return -nudging * (slope * state + offset)
