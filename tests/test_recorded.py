"""Every check says today what it said when it was recorded (tests/recorded.json)."""

import json

import pytest

from proofs_numeric import CLAIMS
from proofs_numeric.rigorous import installed
from tests.recorded import FILE, evidences

pytestmark = pytest.mark.exact

RECORD = json.loads(FILE.read_text(encoding="utf-8"))
# relative, for another processor's rounding through a solver and a fit
TOLERANCE = 1e-4
# where an evidence's rounding is itself measured
MEASURED_ROUNDING = {"C4": 0.05}


@pytest.mark.parametrize("label", CLAIMS)
def test_the_check_says_what_it_said(label):
    found, recorded = evidences(CLAIMS[label]), RECORD[label]
    assert list(found) == [name for name in recorded if installed() or not name.startswith("balls")]
    for name, parts in found.items():
        assert list(parts) == list(recorded[name])
        for part, values in parts.items():
            expected = recorded[name][part]
            # an identity's miss is rounding, and no two processors' alike; balls start from floats
            slack = 1e-12 if name.startswith("balls") else 1e-30
            if part == "measured" and "rounding" in parts:
                slack = 2 * recorded[name]["rounding"][1]
            tolerance = MEASURED_ROUNDING.get(label, TOLERANCE) if part == "rounding" else TOLERANCE
            assert values == pytest.approx(expected, rel=tolerance, abs=slack), (
                f"{label}, {name}: {part} was {expected}, is {values}; python -m tests.recorded if it is meant to be"
            )


def test_every_claim_is_recorded_and_no_other():
    assert list(RECORD) == list(CLAIMS)
