"""Compiled kernels never outlive their sources, and an unwritable cache only costs time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dynamics.kernel

pytestmark = pytest.mark.exact

CALLEE = """
from dynamics.kernel import kernel


@kernel()
def scaled(value):
    return {factor} * value
"""

CALLER = """
from dynamics.callee import scaled
from dynamics.constants import OFFSET
from dynamics.kernel import kernel


@kernel()
def shifted(value):
    return scaled(value) + OFFSET
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder dynamics/ with the real decorator, a callee and a caller in another file."""
    folder = tmp_path / "dynamics"
    folder.mkdir()
    (folder / "__init__.py").touch()
    shutil.copy(str(dynamics.kernel.__file__), folder / "kernel.py")
    (folder / "caller.py").write_text(CALLER)
    (folder / "callee.py").write_text(CALLEE.format(factor=1.0))
    (folder / "constants.py").write_text("OFFSET = 1.0\n")
    (folder / "bystander.py").write_text("from dynamics.caller import shifted\n")
    return folder


def run(package: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", "from dynamics.caller import shifted; print(shifted(2.0))"]
    return subprocess.run(command, env=environment, cwd=package.parent, capture_output=True, text=True, check=True)


def compiled(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.nbc"))


def test_an_edited_callee_gives_new_numbers(package, tmp_path):
    cache = tmp_path / "cache"
    assert run(package, cache).stdout == "3.0\n"
    (package / "callee.py").write_text(CALLEE.format(factor=5.0))
    assert run(package, cache).stdout == "11.0\n"


def test_an_edited_constant_that_a_kernel_took_in_gives_new_numbers(package, tmp_path):
    cache = tmp_path / "cache"
    assert run(package, cache).stdout == "3.0\n"
    (package / "constants.py").write_text("OFFSET = 2.0\n")
    assert run(package, cache).stdout == "4.0\n"


def test_a_file_that_only_calls_kernels_may_change(package, tmp_path):
    cache = tmp_path / "cache"
    run(package, cache)
    before = compiled(cache)
    (package / "bystander.py").write_text("from dynamics.caller import shifted\n\nDOUBLED = 2.0\n")
    run(package, cache)
    assert compiled(cache) == before


def test_without_the_source_hash_an_edited_callee_is_not_noticed(package, tmp_path):
    # the falsifier: this is why the folder is named after the sources
    cache = tmp_path / "cache"
    source = (package / "kernel.py").read_text()
    assert "root / _source_hash(" in source
    (package / "kernel.py").write_text(source.replace("root / _source_hash(", 'root / "fixed" or (_source_hash)('))
    assert run(package, cache).stdout == "3.0\n"
    (package / "callee.py").write_text(CALLEE.format(factor=5.0))
    assert run(package, cache).stdout == "3.0\n"


def test_unchanged_sources_are_compiled_once(package, tmp_path):
    cache = tmp_path / "cache"
    run(package, cache)
    first = {path: path.stat().st_mtime_ns for path in compiled(cache)}
    assert first
    run(package, cache)
    assert {path: path.stat().st_mtime_ns for path in compiled(cache)} == first


def test_only_the_newest_folders_are_kept(package, tmp_path):
    cache = tmp_path / "cache"
    for factor in range(dynamics.kernel.KEPT_FOLDERS + 2):
        (package / "callee.py").write_text(CALLEE.format(factor=float(factor)))
        assert run(package, cache).stdout == f"{2.0 * factor + 1.0}\n"
    assert len(list((cache / "stochep").iterdir())) == dynamics.kernel.KEPT_FOLDERS


def test_what_cannot_be_dropped_is_passed_over(package, tmp_path):
    """An old file in the place of a folder: no folder can be removed there, and nothing need be said."""
    root = tmp_path / "cache" / "stochep"
    root.mkdir(parents=True)
    for number in range(dynamics.kernel.KEPT_FOLDERS):
        (root / f"stray{number}").touch()
        os.utime(root / f"stray{number}", (number, number))
    done = run(package, tmp_path / "cache")
    assert (done.stdout, done.stderr) == ("3.0\n", "")


def test_an_unwritable_cache_gives_one_notice_and_still_computes(package, tmp_path):
    # a folder below a file cannot be made, not even by root
    blocked = tmp_path / "file"
    blocked.touch()
    done = run(package, blocked / "cache")
    assert done.stdout == "3.0\n"
    assert len(done.stderr.splitlines()) == 1
    assert "not cached" in done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr
