"""The false alarms of a whole run add up to less than the budget, and fresh seeds raise none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from proofs_numeric import CLAIMS
from proofs_numeric.verdicts import FALSE_ALARMS
from tests.false_alarms import RUNS, rerun, statistical_labels

TESTS = Path(__file__).parent
# everything together: the claims' checks and the tests' own statistics
BUDGET = 1e-7
# bars drawn and printed at 95 %, and margins that are no levels: looked at with the one seed that the test names
ONE_SEED = {
    "figures/test_figures.py",
    "test_bias_command.py",
    "dynamics/crnn/test_certificate.py",
    "dynamics/test_pilot.py",
    "dynamics/test_recommendation.py",
}


def stated_level(path: Path) -> float | None:
    """The FALSE_ALARM that a test file states for all of its comparisons together."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            names = [element.id for element in target.elts] if isinstance(target, ast.Tuple) else [ast.unparse(target)]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            if "FALSE_ALARM" in names:
                return float(ast.literal_eval(values[names.index("FALSE_ALARM")]))
    return None


def statistical_files() -> dict[str, Path]:
    found = {path.relative_to(TESTS).as_posix(): path for path in TESTS.rglob("test_*.py") if path != Path(__file__)}
    return {
        name: path for name, path in found.items() if "mark.statistical" in path.read_text() and name not in ONE_SEED
    }


def test_the_false_alarms_of_claims_and_tests_stay_within_the_budget() -> None:
    levels = {name: stated_level(path) for name, path in statistical_files().items()}
    assert levels, "no statistical tests found"
    unstated = [name for name, level in levels.items() if level is None]
    assert not unstated, f"no FALSE_ALARM stated in {unstated}"
    assert FALSE_ALARMS + sum(level for level in levels.values() if level) <= BUDGET


def test_the_shares_of_all_claims_add_up_to_the_budget_of_claims() -> None:
    """Instances, companions and falsifiers (mutated and not) of one check, and once more for tests that draw their own."""
    total = 0.0
    for claim in CLAIMS.values():
        companion = claim.sampled.instances if claim.sampled else 0
        total += 2 * claim.alpha * (claim.instances + companion + 2 * len(claim.falsifiers))
    assert total == pytest.approx(FALSE_ALARMS, rel=1e-12)


def test_claims_with_samples_are_known_as_statistical() -> None:
    assert {"B4", "B9"} <= set(statistical_labels())
    assert "A1" not in statistical_labels()


@pytest.mark.parametrize("label", statistical_labels())
def test_fresh_seeds_raise_no_alarm(label: str) -> None:
    assert rerun(label, 3)["holds"] >= 3


@pytest.mark.thorough
@pytest.mark.parametrize("label", statistical_labels())
def test_two_hundred_fresh_seeds_raise_no_alarm(label: str) -> None:
    record = rerun(label, RUNS)
    assert record["violated"] == record["undecided"] == 0, record
