"""The range of the cost that C8's bound on the variance of independent phases is made of is the sum over the outputs."""

from __future__ import annotations

import numpy as np
import pytest

from meanfield import Model, QuadraticCost
from proofs_numeric.claims.variance import _independent_excess

pytestmark = pytest.mark.exact


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_pairs_of_rare_spikes_scatter_by_cosh_of_their_own_force_within_the_range_of_all_outputs(temperature):
    # Var s_is_j ∝ e^{∓β(f_i + f_j)/T} with f = ½ each; R = 4 · ½, so that cosh(β/T) ≤ e^{2β/T} but not e^{β/2T}
    model = Model(np.zeros((4, 4)), np.full(4, -12.0 * temperature), temperature)
    excess = _independent_excess(model, QuadraticCost(np.arange(4), np.zeros(4)), 2.0 * temperature)
    np.testing.assert_array_equal(excess, 0.0)
