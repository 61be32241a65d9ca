"""The mutants are those that tests should notice, a sample is stable, and a run tells the killed from the living."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut")
pytest.importorskip("cosmic_ray")

from tests.mutants.__main__ import lower_limit, summary
from tests.mutants.campaign import Result
from tests.mutants.mirrors import PACKAGES, mirror, modules
from tests.mutants.mutations import mutants_of
from tests.mutants.server import KILLED, SURVIVED, TIMEOUT

ROOT = Path(__file__).parents[1]
SOURCE = '''"""A module."""

from functools import cached_property

LIMIT: float | None = 3.0


def plain(x: int | None, *, y: float = 1.0) -> float:
    """Returns x + y."""
    return x + y


@claim(instances=100)
def claimed(x):
    """Holds."""
    return x * 2


@kernel(parallel=True)
def decorated(word, size):
    """Uses bits."""
    if word < size:
        return word >> 3
    return word ^ size
'''


def edits() -> set[tuple[str, str]]:
    return {(mutant.identity[2], mutant.identity[3]) for mutant in mutants_of(SOURCE, "toy.py")}


def test_every_kind_of_code_has_its_mutants() -> None:
    found = edits()
    assert ("return x + y", "return x - y") in found
    assert ("LIMIT: float | None = 3.0", "LIMIT: float | None = 4.0") in found
    assert ("if word < size:", "if word <= size:") in found
    assert ("return word >> 3", "return word << 3") in found
    assert ("return word ^ size", "return word | size") in found


def test_annotations_docstrings_kernel_options_and_other_families_are_left_alone() -> None:
    for before, after in edits():
        assert "Returns" not in before
        assert "Uses" not in before
        assert "@kernel" not in before
        assert "@claim(" not in before or after == ""
        assert after.count("int | None") == before.count("int | None")
        assert after.count("float | None") == before.count("float | None")
    assert ("return word >> 3", "return word + 3") not in edits()


def test_each_mutant_is_one_edit_that_compiles() -> None:
    for mutant in mutants_of(SOURCE, "toy.py"):
        mutated = mutant.apply(SOURCE)
        compile(mutated, "toy", "exec")
        if mutant.after:
            changed = [a != b for a, b in zip(SOURCE.splitlines(), mutated.splitlines(), strict=True)]
            assert sum(changed) == len(mutant.before) == 1
            assert changed[mutant.first - 1]
        else:
            assert mutant.before == ("@claim(instances=100)",)


def test_the_tools_share_the_code() -> None:
    tools = {mutant.scope: mutant.tool for mutant in mutants_of(SOURCE, "toy.py")}
    assert tools == {"": "cosmic-ray", "plain": "mutmut", "claimed": "cosmic-ray", "decorated": "cosmic-ray"}


def test_lines_that_move_do_not_move_the_sample() -> None:
    moved = SOURCE.replace("LIMIT", "\n\nLIMIT")
    ranks = [{mutant.rank(1) for mutant in mutants_of(text, "toy.py")} for text in (SOURCE, moved)]
    assert ranks[0] == ranks[1]
    assert ranks[0].isdisjoint({mutant.rank(2) for mutant in mutants_of(SOURCE, "toy.py")})


def test_every_module_has_tests() -> None:
    for package in PACKAGES:
        for module in modules(package, ROOT):
            tests = mirror(module, ROOT)
            assert tests, f"{module} has no test file"
            assert all((ROOT / test).exists() for test in tests), module
    assert mirror("meanfield/dream.py", ROOT) == ()


def test_a_summary_counts_and_gives_reasons() -> None:
    first, second, third, *_ = mutants_of(SOURCE, "toy.py")
    results = [Result(first, KILLED), Result(second, SURVIVED), Result(third, TIMEOUT)]
    part = summary(results, {"toy.py": 9}, {second.identity: "equivalent"})
    assert (part["killed"], part["survived"], part["timeouts"], part["sampled"]) == (2, 1, 1, 3)
    assert part["modules"] == {"toy.py": {"mutants": 9, "sampled": 3, "killed": 2}}
    assert part["survivors"][0]["reason"] == "equivalent"
    assert part["survivors"][0]["original"] == second.identity[2]


def test_the_lower_limit_is_clopper_and_pearsons() -> None:
    assert lower_limit(400, 400) == pytest.approx(0.05 ** (1 / 400))
    assert lower_limit(0, 10) == 0.0
    assert lower_limit(380, 400) == pytest.approx(0.9278, abs=1e-3)


TOY = """def larger(a: float, b: float) -> float:
    if a > b:
        return a
    return b


def countdown(start: int) -> int:
    while start > 0:
        start -= 1
    return start


def unseen(x: float) -> float:
    return x + 1
"""
TOY_TEST = """from meanfield.toy import countdown, larger


def test_larger():
    assert (larger(1, 2), larger(2, 1)) == (2, 1)


def test_countdown():
    assert countdown(3) == 0
"""


@pytest.mark.thorough
def test_a_run_tells_killed_from_living_and_hanging_and_is_not_repeated(tmp_path: Path) -> None:
    files = {
        "meanfield/toy.py": TOY,
        "tests/meanfield/test_toy.py": TOY_TEST,
        "pyproject.toml": (ROOT / "pyproject.toml").read_text(),
    }
    files["tests/conftest.py"] = (
        'def pytest_addoption(parser):\n    parser.addoption("--instances")\n\n\n'
        'from hypothesis import settings\n\nsettings.register_profile("ci", deadline=None, database=None)\n'
    )
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for package in PACKAGES:
        (tmp_path / package).mkdir(exist_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    command = [sys.executable, "-m", "tests.mutants", "--packages", "meanfield", "--sample", "100", "--processes", "1"]
    runs = [
        subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        for _ in range(2)
    ]
    record = json.loads((tmp_path / "results" / "mutation.json").read_text())["packages"]["meanfield"]
    # a > b and a >= b give the same larger number, and nothing tests `unseen`
    survivors = {(row["mutant"], row["outcome"]) for row in record["survivors"]}
    assert {
        ("if a >= b:", "survived"),
        ("return x - 1", "no test enters it"),
        ("return x + 2", "no test enters it"),
    } == survivors
    assert record["timeouts"] >= 1, runs[0].stderr
    assert [run.returncode for run in runs] == [1, 1]
    assert "without a mutant" in runs[0].stderr
    assert "without a mutant" not in runs[1].stderr
