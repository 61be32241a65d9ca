"""The entropy of a product law, one unit at a time.

Main results: entropy, entropy_slope.
Definition typed in: −Σ q ln q.
"""

from __future__ import annotations

import sympy as sp

from meanfield.symbols import mean_activity

entropy = -sum(weight * sp.log(weight) for weight in (mean_activity, 1 - mean_activity))
entropy_slope = sp.simplify(sp.diff(entropy, mean_activity))
