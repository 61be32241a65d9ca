"""Every check says today what it said when it was recorded (tests/recorded.json)."""

import json

import pytest

from proofs_numeric import CLAIMS
from tests.recorded import FILE, PARTS, evidences

pytestmark = pytest.mark.exact

RECORD = json.loads(FILE.read_text(encoding="utf-8"))
# relative, for another processor's rounding through a solver and a fit; some roundings are themselves measured
TOLERANCES = {"measured": 1e-4, "bound": 1e-4, "rounding": 0.05, "ceiling": 1e-4}


@pytest.mark.parametrize("label", CLAIMS)
def test_the_check_says_what_it_said(label):
    found = evidences(CLAIMS[label])
    assert list(found) == list(RECORD[label])
    for name, values in found.items():
        recorded = dict(zip(PARTS, RECORD[label][name], strict=True))
        for part, value in zip(PARTS, values, strict=True):
            slack = 2 * abs(recorded["rounding"] or 0.0) if part == "measured" else 0.0
            expected = recorded[part]
            assert value == (
                None if expected is None else pytest.approx(expected, rel=TOLERANCES[part], abs=slack + 1e-300)
            ), f"{label}, {name}: {part} was {expected}, is {value}; python -m tests.recorded if it is meant to be"


def test_every_claim_is_recorded_and_no_other():
    assert list(RECORD) == list(CLAIMS)
