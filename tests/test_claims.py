"""Every claim of the paper, checked: it holds on its domain, its falsifiers are refuted, its bound says something."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_numeric import CLAIMS, check
from proofs_numeric.instances import Interval
from proofs_numeric.verdicts import FALSE_ALARMS, ledger

THEOREMS = [pytest.param(label, id=f"{label}: {claim.title}") for label, claim in CLAIMS.items()]
# The seeded check draws many instances; here Hypothesis looks at edges, and shrinks what fails.
EXAMPLES = {"B9": 2, "B11": 3, "B4": 10, "B5": 10, "B11b": 10, "C3": 6, "C9b": 4}
LEAST_NONTRIVIAL = 0.95


def draws(interval: Interval) -> st.SearchStrategy[float | int]:
    if interval.integer:
        return st.integers(int(interval.low), int(interval.high))
    return st.floats(interval.low, interval.high)


@pytest.mark.exact
@pytest.mark.parametrize("label", THEOREMS)
def test_theorem(label: str, record_property: pytest.FixtureRequest, pytestconfig: pytest.Config) -> None:
    instances = pytestconfig.getoption("--instances")
    with ledger() as spent:
        report = check(label, instances=instances, search=instances is None)
    record_property("spent", sum(spent))
    record_property("claim", report.record())
    assert report.verdict == "holds", report.worst
    for refutation in report.refutations:
        assert refutation.refuted, f"not refuted: {refutation.falsifier.mutation}, margin {refutation.margin}"
    assert report.rigorous is None or report.rigorous.decided
    assert sum(spent) <= FALSE_ALARMS / (2 * len(CLAIMS)) * (1 + 1e-9)
    assert bool(spent) == CLAIMS[label].statistical
    assert report.trivial <= (1 - LEAST_NONTRIVIAL) * report.instances


@pytest.mark.exact
@pytest.mark.parametrize("label", THEOREMS)
def test_claim_holds_wherever_hypothesis_looks(label: str) -> None:
    claim = CLAIMS[label]

    @settings(max_examples=EXAMPLES.get(label, 25))
    @given(st.fixed_dictionaries({name: draws(interval) for name, interval in claim.domain.items()}))
    def holds(scalars: dict[str, float | int]) -> None:
        evidence = claim.evaluate(scalars)
        assert evidence.verdict == "holds", f"margin {evidence.margin}"

    with ledger() as spent:
        holds()
    assert sum(spent) <= FALSE_ALARMS / (2 * len(CLAIMS)) * (1 + 1e-9)
