"""Ball arithmetic: fixed points, laws, gradients and bounds with every rounding included. Needs python-flint.

Main results: certify_fixed_point, certify_contraction, susceptibility, implicit_gradient, equilibrium_gradient, law, cost_gradient,
certify_nearest_zero, CertifiedZeros.
"""

from proofs_numeric.balls.arithmetic import Undecided
from proofs_numeric.balls.fixed_points import (
    CertifiedFixedPoint,
    certify_fixed_point,
    equilibrium_gradient,
    implicit_gradient,
    susceptibility,
)
from proofs_numeric.balls.local import CertifiedContraction, certify_contraction, leave_probability
from proofs_numeric.balls.models import cost_gradient, law
from proofs_numeric.balls.partition_zeros import CertifiedZeros, certify_nearest_zero

__all__ = [
    "CertifiedContraction",
    "CertifiedFixedPoint",
    "CertifiedZeros",
    "Undecided",
    "certify_contraction",
    "certify_fixed_point",
    "certify_nearest_zero",
    "cost_gradient",
    "equilibrium_gradient",
    "implicit_gradient",
    "law",
    "leave_probability",
    "susceptibility",
]
