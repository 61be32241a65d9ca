"""The nearest complex zero of the partition function, proven to be a simple zero and to be the nearest.

Main results: certify_nearest_zero, CertifiedZeros (thm:C5c).

Existence and uniqueness in a ball: interval Newton. Nearest: the winding of Z along a slightly larger half circle is enclosed
and contains one integer, the number of zeros inside; on the real line Z is positive.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np
from flint import acb, arb

from dynamics.enumeration import all_states
from dynamics.partition_zeros import nearest_zeros
from meanfield.model import Model, QuadraticCost
from proofs_numeric.balls.arithmetic import Balls, Undecided, each, exact, precision
from proofs_numeric.balls.models import BallModel, cost_coefficients

BITS = 128
NEWTON_STEPS = 8
# Half-widths of the box for interval Newton, and margins of the half circle, relative to |β|.
WIDTHS = tuple(2.0**-k for k in (60, 50, 40, 30, 20))
MARGINS = (2e-2, 1e-3, 1e-5, 1e-8)
HALVINGS = 40


class CertifiedZeros(NamedTuple):
    """The nearest zeros of Z with Im β > 0, all simple, a ball each: one, or several of equal modulus.

    modulus encloses the least |β|; no zero beside these and their conjugates has |β| < clear.
    """

    zeros: tuple[Any, ...]
    modulus: Any
    clear: Any


class _Partition(NamedTuple):
    """Z(β) = Σ_l masses_l e^{−rates_l β}: masses Σ e^{−E/T} of the output patterns, rates c·pattern/T."""

    masses: Balls
    rates: Balls

    def value(self, nudging: Any) -> Any:
        return sum((m * (-(r * nudging)).exp() for m, r in zip(self.masses, self.rates, strict=True)), acb(0))

    def slope(self, nudging: Any) -> Any:
        return -sum((m * r * (-(r * nudging)).exp() for m, r in zip(self.masses, self.rates, strict=True)), acb(0))

    def over(self, middle: Any, box: Any) -> Any:
        """Z over a convex box that holds `middle`, by the mean-value theorem."""
        return self.value(middle) + self.slope(box) * (box - middle)


def certify_nearest_zero(model: Model, cost: QuadraticCost, *, bits: int = BITS) -> CertifiedZeros:
    """Enclose the nearest zero of Z(β) = Σ_z exp(−(E(z) + β c·z)/T), c = ½ − y, and prove that no other is nearer.

    The floats of model and cost are exact numbers. At a symmetric point (b = −½J1) zeros come in fours and two share the least
    modulus. Raises Undecided when `bits` do not suffice or a zero is multiple, ValueError for a constant cost. Meant for
    N ≤ 8, sums over all states. Paper: thm:C5c.
    """
    candidates = nearest_zeros(model, cost)
    if not candidates.size:
        raise ValueError("a constant cost has no zeros: its slopes ½ − y are all 0")
    with precision(bits):
        partition = _partition(model, cost)
        zeros = tuple(_enclosed(partition, acb(zero.real, zero.imag)) for zero in candidates)
        if any(first.overlaps(second) for first, second in itertools.combinations(zeros, 2)):
            raise Undecided("two zeros are too close together to be told apart")
        modulus = functools.reduce(arb.min, map(abs, zeros))
        for margin in MARGINS:
            radius = max(abs(zero).upper() for zero in zeros) * (1 + arb(margin))
            try:
                if _winding(partition, radius) == len(zeros):
                    return CertifiedZeros(zeros, modulus, radius)
            except Undecided:
                continue
    raise Undecided(f"no half circle about the origin was proven to hold {complex(candidates[0])} and no farther zero")


def _partition(model: Model, cost: QuadraticCost) -> _Partition:
    balls, states = BallModel.of(model), all_states(model.size)
    weights = each(arb.exp, -balls.energy(exact(states)) / balls.temperature)
    pattern = (states[:, cost.outputs] @ 2.0 ** np.arange(cost.outputs.size)).astype(int)
    masses = [weights[pattern == p].sum() for p in range(1 << cost.outputs.size)]
    slopes = cost_coefficients(cost, model.size)[cost.outputs]
    rates = exact(all_states(cost.outputs.size)) @ slopes / balls.temperature
    return _Partition(np.array([acb(mass) for mass in masses], dtype=object), rates)


def _enclosed(partition: _Partition, start: Any) -> Any:
    """Interval Newton: x − Z(x)/Z'(X) inside X proves exactly one zero in X, and encloses it."""
    middle = start
    for _ in range(NEWTON_STEPS):
        middle = (middle - partition.value(middle) / partition.slope(middle)).mid()
    for width in WIDTHS:
        reach = abs(middle).upper() * arb(width)
        box = acb(_widened(middle.real, reach), _widened(middle.imag, reach))
        image = middle - partition.value(middle) / partition.slope(box)
        if box.real.contains_interior(image.real) and box.imag.contains_interior(image.imag):
            return image
    raise Undecided("interval Newton proves no zero: it is multiple, or the bits do not suffice")


def _widened(middle: Any, reach: Any) -> Any:
    return (middle - reach).union(middle + reach)


def _winding(partition: _Partition, radius: Any) -> int:
    """Zeros with |β| < radius and Im β > 0: the turns of Z along the upper half circle, where Z is real at both ends.

    On each arc Z is enclosed in a half plane about its value at the middle, so that the turn between the arc's ends is
    the difference of two arguments within ±π/2.
    """
    pieces = [(k, 16) for k in range(15, -1, -1)]
    total = arb(0)
    while pieces:
        place, count = pieces.pop()
        middle = _on_circle(radius, 2 * place + 1, 2 * count)
        direction = partition.value(middle)
        arc = acb(arb(place) / count).union(acb(arb(place + 1) / count)).exp_pi_i() * radius
        if not (partition.over(middle, arc) / direction).real > 0:
            if count >= 16 << HALVINGS:
                raise Undecided("the half circle passes too close to a zero")
            pieces += [(2 * place + 1, 2 * count), (2 * place, 2 * count)]
            continue
        ends = [partition.value(_on_circle(radius, end, count)) / direction for end in (place, place + 1)]
        total += ends[1].arg() - ends[0].arg()
    turns = (total / (2 * arb.pi())).unique_fmpz()
    if turns is None:
        raise Undecided("the winding number is not certainly one integer")
    return int(turns)


def _on_circle(radius: Any, place: int, count: int) -> Any:
    """radius · e^{iπ place/count}."""
    return acb(arb(place) / count).exp_pi_i() * radius
