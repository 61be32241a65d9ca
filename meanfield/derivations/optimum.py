"""The nudging with the least mean square error, its first correction, and the nudging that needs the fewest samples (paper: C9).

Main results: mean_square_error, optimal_nudging, optimal_error, nudging_shift, error_shift, bias_share.
Definition typed in: squared bias a²β^2p and variance v/(Sβ^q), each with a relative correction of order β^r.
"""

from __future__ import annotations

import sympy as sp

from meanfield.symbols import (
    Expression,
    bend,
    bias_scale,
    fall,
    lift,
    noise_scale,
    nudging,
    power,
    rise,
    samples,
    wanted_error,
)

_logarithm = sp.Symbol("logarithm", real=True)
_shift, _size = sp.symbols("shift size", real=True)
_bias = bias_scale * nudging**rise
_variance = noise_scale / nudging**fall

mean_square_error = _bias**2 + _variance / samples


def in_logarithm(expression: Expression) -> Expression:
    """The expression at nudging e^x: its powers become exponentials of multiples of x."""
    return sp.powsimp(sp.expand(expression.subs(nudging, sp.exp(_logarithm))))


def stationary_point(growing: Expression, falling: Expression) -> Expression:
    """The β at which the slopes in ln β of a growing and a falling power cancel; their logarithms are linear in ln β."""
    slopes = [sp.diff(in_logarithm(growing), _logarithm), -sp.diff(in_logarithm(falling), _logarithm)]
    balance = sp.expand_log(sp.log(slopes[0]) - sp.log(slopes[1]), force=True)
    (root,) = sp.solve(sp.expand(balance), _logarithm)
    return sp.powsimp(sp.exp(sp.logcombine(root, force=True)), force=True)


optimal_nudging = stationary_point(_bias**2, _variance / samples)
# at the optimum 2p · bias² = q · variance, so the error is (1 + 2p/q) bias²
_ratio = sp.simplify(
    sp.diff(in_logarithm(_bias**2), _logarithm)
    / in_logarithm(_bias**2)
    / (-sp.diff(in_logarithm(_variance), _logarithm) / in_logarithm(_variance))
)
optimal_error = (1 + _ratio) * (bias_scale * optimal_nudging**rise) ** 2


def first_correction() -> tuple[Expression, Expression]:
    """(shift of ln β*, relative change of the least error) per β₀^r, by perturbing the sum of powers in units of bias²(β₀)."""
    powers = sp.exp(2 * rise * _logarithm), _ratio * sp.exp(-fall * _logarithm)
    corrections = sp.exp(power * _logarithm)
    perturbed = powers[0] * (1 + _size * bend * corrections)
    perturbed += powers[1] * (1 + _size * lift * corrections)
    slope = sp.diff(perturbed, _logarithm).subs(_logarithm, _shift * _size)
    (shift,) = sp.solve(sp.diff(slope, _size).subs(_size, 0), _shift)
    least = perturbed.subs(_logarithm, shift * _size)
    change = sp.diff(least, _size).subs(_size, 0) / least.subs(_size, 0)
    return sp.factor(shift), sp.factor(sp.simplify(change))


nudging_shift, error_shift = first_correction()


def fewest_samples_share() -> Expression:
    """The bias aβ^p, as a share of E, that makes the variance over (E − aβ^p)² least."""
    share = sp.Symbol("share", positive=True)
    needed = in_logarithm(_variance / (wanted_error - _bias) ** 2)
    slope = sp.diff(sp.log(needed), _logarithm)
    bias = in_logarithm(_bias)
    condition = sp.simplify(slope).subs(bias, share * wanted_error)
    (root,) = sp.solve(sp.simplify(condition), share)
    return sp.factor(root)


bias_share = fewest_samples_share()
