"""The leaky trace, and stationary variances of linear dynamics (paper: B1b, B4, B11).

Main results: leaky_trace, langevin_variance, linear_noise_variance, tracking_second_moment.
Definition typed in: the relaxation ṡ = drive − s, and the linear updates whose variances are asked for.
"""

from __future__ import annotations

import sympy as sp

from meanfield.symbols import (
    Expression,
    contraction_rate,
    copies,
    curvature,
    drive,
    gain,
    leak,
    spike_variance,
    steps,
    temperature,
    trace,
)

_next, _noise = sp.symbols("next noise", real=True)
_second_moment = sp.Symbol("second_moment", positive=True)

# one Euler step, of length leak, of ṡ = drive − s
(leaky_trace,) = (sp.collect(root, trace) for root in sp.solve(sp.Eq((_next - trace) / leak, drive - trace), _next))


def stationary_variance(update: Expression, noise_variance: Expression) -> Expression:
    """x solving Var(update) = x, for an update linear in the trace (variance x) and in independent noise."""
    carried, injected = sp.diff(update, trace), sp.diff(update, _noise)
    balance = sp.Eq(_second_moment, carried**2 * _second_moment + injected**2 * noise_variance)
    (variance,) = sp.solve(balance, _second_moment)
    return sp.factor(variance)


# s ← s − εAs + √(2Tε)ξ, one eigenvalue A of I − J
langevin_variance = stationary_variance(
    trace - leak * curvature * trace + sp.sqrt(2 * temperature * leak) * _noise, sp.Integer(1)
)

# s ← (1 − ε)s + ε(gs + ξ), one eigenvalue g of VJ/T; K copies divide the spikes' variance by K
linear_noise_variance = stationary_variance(leaky_trace.subs(drive, gain * trace + _noise), spike_variance / copies)


def tracking() -> Expression:
    """x_t of x_{t+1} = ρ²x_t + ε²v/K, x_0 = 0, by summing the geometric series of its unrolled terms."""
    age = sp.Dummy("age", integer=True, nonnegative=True)
    injected = leak**2 * spike_variance / copies
    ratio = contraction_rate**2
    series: Expression = sp.summation(sp.Dummy("ratio", positive=True) ** age, (age, 0, steps - 1))
    (dummy_ratio,) = series.free_symbols - {steps}
    generic = next(value for value, condition in series.args if condition == sp.true)
    return sp.simplify(injected * generic.subs(dummy_ratio, ratio))


tracking_second_moment = tracking()
