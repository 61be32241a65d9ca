"""Claims decided in ball arithmetic on small instances, every rounding included.

Main results: rigorous, Rigorous, RigorousReport, companion, INSTALL.

A companion returns what it measured and the bound, each enclosed in balls; the bound is evaluated in balls too. An instance
holds when measured ≤ bound is certain in every entry and is violated when measured > bound is certain in one. Where both
sides are equal no precision decides: such an entry counts as equal when the enclosure of the difference, which then
contains 0, is narrower than EQUAL. What is neither at the highest precision is undecided.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from proofs_numeric.instances import Interval

PRECISIONS = (128, 256, 512)
EQUAL = 1e-30
INSTALL = (
    "ball arithmetic is not installed, small instances were not decided rigorously: pip install 'stochep[rigorous]'"
)


class Enclosures(NamedTuple):
    """Balls measured and bound that broadcast; the claim says measured ≤ bound in every entry."""

    measured: Any
    bound: Any


class BallDecision(NamedTuple):
    """verdict 'holds', 'violated' or 'undecided'; equal: entries decided only up to EQUAL; bits: the precision it took.

    margin: a number that measured − bound certainly exceeds in some entry; positive means violated.
    """

    verdict: str
    equal: int
    bits: int
    margin: float


@dataclass(frozen=True)
class Rigorous:
    """A claim's companion in ball arithmetic, on its own small instances.

    function(model or scalars, bits, mutation=None) -> Enclosures, called once a precision. falsifiers: (mutation, instance,
    whether a hypothesis is dropped there).
    """

    function: Callable[..., Enclosures]
    domain: Mapping[str, Interval]
    instances: int
    falsifiers: tuple[tuple[str, Mapping[str, Any], bool], ...]

    def decide(self, arguments: Mapping[str, Any], mutation: str | None = None) -> BallDecision:
        """The decision on one instance at the least precision that reaches one."""
        from proofs_numeric.balls.arithmetic import Undecided, precision

        wanted = inspect.signature(self.function).parameters
        given = {name: value for name, value in arguments.items() if name in wanted}
        if mutation is not None and mutation != "constant × 0.9":
            given["mutation"] = mutation
        decision = BallDecision("undecided", 0, PRECISIONS[-1], -np.inf)
        for bits in PRECISIONS:
            with precision(bits):
                try:
                    rows = self.function(**given, bits=bits)
                except Undecided:
                    continue
                bound = np.asarray(rows.bound, dtype=object)
                decision = compare(rows.measured, bound * 9 / 10 if mutation == "constant × 0.9" else bound, bits)
            if decision.verdict == "violated" or (decision.verdict == "holds" and not decision.equal):
                break
        return decision


def compare(measured: Any, bound: Any, bits: int) -> BallDecision:
    """Decide measured ≤ bound at one precision."""
    left, right = np.broadcast_arrays(np.asarray(measured, dtype=object), np.asarray(bound, dtype=object))
    if left.size == 0:
        return BallDecision("holds", 0, bits, -np.inf)
    differences = [a - b for a, b in zip(left.ravel(), right.ravel(), strict=True)]
    margin = max(float(difference.lower()) for difference in differences)
    if any(difference > 0 for difference in differences):
        return BallDecision("violated", 0, bits, margin)
    # a comparison of equal balls is not certain, one of equal exact numbers is; NaN is never ≤
    open_ones = [difference for difference in differences if not difference <= 0]
    if all(difference.is_finite() and float(difference.rad()) < EQUAL for difference in open_ones):
        return BallDecision("holds", len(open_ones), bits, margin)
    return BallDecision("undecided", 0, bits, margin)


@dataclass(frozen=True)
class BallRefutation:
    """What the balls said of one falsifier on its instance; holds_unmutated None where a hypothesis is dropped."""

    mutation: str
    decision: BallDecision
    holds_unmutated: bool | None

    @property
    def refuted(self) -> bool:
        """Certainly violated when mutated, and true unmutated where no hypothesis is dropped."""
        return self.decision.verdict == "violated" and self.holds_unmutated is not False


@dataclass(frozen=True)
class RigorousReport:
    """All decisions of one companion."""

    decisions: tuple[BallDecision, ...]
    refutations: tuple[BallRefutation, ...]

    @property
    def decided(self) -> bool:
        """Whether every instance holds, rounding included, and every falsifier is refuted likewise."""
        return all(one.verdict == "holds" for one in self.decisions) and all(one.refuted for one in self.refutations)

    def record(self) -> dict[str, Any]:
        """instances; strict: those with every entry certain; equal_to: the width below which the others' ties lie."""
        strict = sum(one.verdict == "holds" and one.equal == 0 for one in self.decisions)
        return {
            "instances": len(self.decisions),
            "holds": sum(one.verdict == "holds" for one in self.decisions),
            "strict": strict,
            "equal_to": EQUAL,
            "bits": max(one.bits for one in self.decisions),
            "falsifiers": [
                {"mutation": one.mutation, "margin": one.decision.margin, "refuted": one.refuted}
                for one in self.refutations
            ],
        }


_COMPANIONS: dict[str, Rigorous] = {}


def rigorous(
    label: str,
    *,
    domain: Mapping[str, Interval],
    falsifiers: tuple[tuple[str, Mapping[str, Any], bool], ...],
    instances: int = 20,
) -> Callable[[Callable[..., Enclosures]], Callable[..., Enclosures]]:
    """Register a function of a small instance as the companion of thm:label."""

    def register(function: Callable[..., Enclosures]) -> Callable[..., Enclosures]:
        if label in _COMPANIONS:
            raise ValueError(f"claim {label} has a rigorous companion already")
        if not falsifiers:
            raise ValueError(f"the companion of {label} has no falsifier: a check that cannot fail proves nothing")
        _COMPANIONS[label] = Rigorous(function, dict(domain), instances, falsifiers)
        return function

    return register


def installed() -> bool:
    """Whether python-flint can be imported."""
    return importlib.util.find_spec("flint") is not None


def companion(label: str) -> Rigorous | None:
    """The companion of a claim; None when it has none or python-flint is missing."""
    return companions().get(label)


def companions() -> Mapping[str, Rigorous]:
    """All companions by label; none when python-flint is missing."""
    if not installed():
        return {}
    importlib.import_module("proofs_numeric.balls.claims")
    return _COMPANIONS
