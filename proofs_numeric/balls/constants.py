"""The constants of the logistic function, proven on the whole line by exact division and branch and bound.

Main results: derivative, gap_quotient, least_value, CONSTANTS (thm:A0).

With u = tanh(x/2) the line is (−1, 1), d/dx = ½(1 − u²) d/du, and σ and its derivatives are polynomials in u with rational
coefficients; u = ±1 are the limits at ±∞. So [−1, 1] is compact, the tails included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flint import arb, fmpq, fmpq_poly

from proofs_numeric.balls.arithmetic import Undecided

MOST_PIECES = 10_000


class Constant(NamedTuple):
    """sup|σ^(order)|² = square, at the roots of `peaks`."""

    name: str
    order: int
    square: Any
    peaks: Any


# |σ'| = 1/4 at u = 0, |σ''| = 1/(6√3) at u² = 1/3, |σ‴| = 1/8 at u = 0
CONSTANTS = (
    Constant("sup|σ'| = 1/4", 1, fmpq(1, 16), fmpq_poly([0, 1])),
    Constant("sup|σ''| = 1/(6√3)", 2, fmpq(1, 108), fmpq_poly([fmpq(-1, 3), 0, 1])),
    Constant("sup|σ‴| = 1/8", 3, fmpq(1, 64), fmpq_poly([0, 1])),
)


def derivative(order: int) -> Any:
    """σ^(order) as a polynomial in u = tanh(x/2), from σ = (1 + u)/2."""
    chain = fmpq_poly([fmpq(1, 2), 0, fmpq(-1, 2)])
    polynomial = fmpq_poly([fmpq(1, 2), fmpq(1, 2)])
    for _ in range(order):
        polynomial = polynomial.derivative() * chain
    return polynomial


def gap_quotient(constant: Constant) -> Any:
    """(square − σ^(order)²)/peaks², exactly; a ValueError when the division leaves a remainder.

    No remainder: the square is attained at the peaks. Quotient > 0 on [−1, 1]: and exceeded nowhere.
    """
    gap = fmpq_poly([constant.square]) - derivative(constant.order) ** 2
    quotient, remainder = divmod(gap, constant.peaks**2)
    if remainder != 0:
        raise ValueError(f"{constant.name}: the constant is not attained where it is stated")
    return quotient


def least_value(polynomial: Any) -> Any:
    """A positive lower bound of a polynomial on [−1, 1], by bisection until every piece is certainly positive.

    Raises ValueError at a point where it is certainly not positive, Undecided after MOST_PIECES pieces.
    """
    waiting, least, pieces = [(fmpq(-1), fmpq(1))], None, 0
    while waiting:
        low, high = waiting.pop()
        pieces += 1
        value = at(polynomial, arb(low).union(arb(high)))
        middle = (low + high) / 2
        if value > 0:
            least = value.lower() if least is None else least.min(value.lower())
        elif at(polynomial, arb(middle)) <= 0:
            raise ValueError(f"the polynomial is not positive at u = {middle}")
        elif pieces >= MOST_PIECES:
            raise Undecided(f"not decided after {MOST_PIECES} pieces, near u = {middle}")
        else:
            waiting += [(low, middle), (middle, high)]
    return least


def at(polynomial: Any, point: Any) -> Any:
    """The polynomial over a ball, by Horner's rule."""
    value = arb(0)
    for coefficient in reversed(polynomial.coeffs()):
        value = value * point + arb(coefficient)
    return value
