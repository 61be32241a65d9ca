"""Family C, zeros of the partition function decided in balls: thm:C5c on at most three units."""

from __future__ import annotations

from flint import arb

from meanfield.model import Model
from proofs_numeric.balls.arithmetic import exact
from proofs_numeric.balls.claims.mean_field import falsifiers, rows, small
from proofs_numeric.balls.partition_zeros import certify_nearest_zero
from proofs_numeric.instances import random_cost
from proofs_numeric.rigorous import Enclosures, rigorous


@rigorous(
    "C5c", domain=small("C5c"), falsifiers=falsifiers("C5c", "constant × 0.9", "zero-free to 2πT/R_C", "T² for T")
)
def zeros_of_the_partition_function(model: Model, seed: int, bits: int, mutation: str | None = None) -> Enclosures:
    """(πT/R_C)/|β₀| ≤ (πT/R_C)/Im β₀ ≤ 1 at the nearest zeros, proven to be zeros and to be the nearest."""
    cost = random_cost(model.size, seed)
    certified = certify_nearest_zero(model, cost, bits=bits)
    spread = abs(exact(cost.target) - arb(1) / 2).sum()
    radius = arb.pi() * arb(model.temperature) / spread
    radius = radius * {"zero-free to 2πT/R_C": arb(2), "T² for T": arb(model.temperature)}.get(mutation or "", arb(1))
    heights = [radius / zero.imag for zero in certified.zeros]
    return rows((radius / certified.modulus, arb(1)), (heights, arb(1)), (certified.modulus / certified.clear, arb(1)))
