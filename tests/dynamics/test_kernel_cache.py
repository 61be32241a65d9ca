"""Compiled kernels never outlive their sources, and whatever is wrong with their cache only costs time."""

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


SHIFT = "from dynamics.caller import shifted; print(shifted(2.0))"


def start(package: Path, code: str = SHIFT, **variables: str) -> subprocess.Popen[str]:
    """A process that runs `code` beside the package."""
    hidden = ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, cwd=package.parent, stdout=pipe, stderr=pipe, text=True
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return subprocess.CompletedProcess(process.args, 0, out, err)


def run(package: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return finish(start(package, NUMBA_CACHE_DIR=str(cache)))


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
    hashed = "return digest.hexdigest()[:16]"
    assert hashed in source
    (package / "kernel.py").write_text(source.replace(hashed, 'return "fixed"'))
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
    assert len(list((cache / "stochep" / "kernels").iterdir())) == dynamics.kernel.KEPT_FOLDERS


def test_data_sets_beside_the_kernels_are_never_dropped(package, tmp_path):
    beside = tmp_path / "cache" / "stochep"
    for number in range(dynamics.kernel.KEPT_FOLDERS + 1):
        (beside / f"data{number}").mkdir(parents=True)
        os.utime(beside / f"data{number}", (number, number))
    run(package, tmp_path / "cache")
    assert len(list(beside.glob("data*"))) == dynamics.kernel.KEPT_FOLDERS + 1


def test_what_cannot_be_dropped_is_passed_over(package, tmp_path):
    """An old file in the place of a folder: no folder can be removed there, and nothing need be said."""
    root = tmp_path / "cache" / "stochep" / "kernels"
    root.mkdir(parents=True)
    for number in range(dynamics.kernel.KEPT_FOLDERS):
        (root / f"stray{number}").touch()
        os.utime(root / f"stray{number}", (number, number))
    done = run(package, tmp_path / "cache")
    assert (done.stdout, len(done.stderr.splitlines())) == ("3.0\n", 1)
    assert compiled(root)


def test_the_first_compilation_is_announced_once_and_a_later_start_is_silent(package, tmp_path):
    cache = tmp_path / "cache"
    (folder,) = {line.partition("kept in ")[2] for line in run(package, cache).stderr.splitlines()}
    assert compiled(Path(folder))
    assert run(package, cache).stderr == ""
    (package / "callee.py").write_text(CALLEE.format(factor=5.0))
    assert run(package, cache).stderr.startswith("compiling kernels, kept in ")


def test_an_import_alone_announces_nothing(package, tmp_path):
    done = finish(start(package, "import dynamics.caller", NUMBA_CACHE_DIR=str(tmp_path / "file" / "cache")))
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("content", [b"", b"no pickle"])
def test_a_damaged_file_is_compiled_again(package, tmp_path, content):
    cache = tmp_path / "cache"
    run(package, cache)
    for path in compiled(cache):
        path.write_bytes(content)
    assert run(package, cache).stdout == "3.0\n"
    assert run(package, cache).stderr == ""


def test_code_under_the_name_of_another_signature_is_not_taken(package, tmp_path):
    cache = tmp_path / "cache"
    run(package, cache)
    before = set(compiled(cache))
    finish(start(package, SHIFT.replace("2.0", "2"), NUMBA_CACHE_DIR=str(cache)))
    (of_a_float,) = {path for path in before if path.name.startswith("caller")}
    (of_a_whole_number,) = {path for path in compiled(cache) if path.name.startswith("caller")} - before
    shutil.copy(of_a_whole_number, of_a_float)
    assert run(package, cache).stdout == "3.0\n"


def test_what_is_compiled_of_sources_edited_meanwhile_is_not_kept(package, tmp_path):
    """Modules are imported for as long as a minute after the folder is named: an edit in between is of other sources."""
    cache = tmp_path / "cache"
    edit = f"import dynamics.kernel, pathlib; pathlib.Path('dynamics/callee.py').write_text({CALLEE.format(factor=5.0)!r}); "
    assert finish(start(package, edit + SHIFT, NUMBA_CACHE_DIR=str(cache))).stdout == "11.0\n"
    assert compiled(cache) == []
    # back to what the folder was named after
    (package / "callee.py").write_text(CALLEE.format(factor=1.0))
    assert run(package, cache).stdout == "3.0\n"


def test_every_signature_has_files_of_its_own(package, tmp_path):
    cache = tmp_path / "cache"
    run(package, cache)
    before = {path: path.read_bytes() for path in compiled(cache)}
    finish(start(package, SHIFT.replace("2.0", "2"), NUMBA_CACHE_DIR=str(cache)))
    assert {path: path.read_bytes() for path in before} == before
    assert len(compiled(cache)) == 2 * len(before)


def test_processes_that_compile_at_once_lose_no_signature(package, tmp_path):
    cache = tmp_path / "cache"
    both = f"{SHIFT}; print(shifted(2))"
    at_once = [start(package, code, NUMBA_CACHE_DIR=str(cache)) for code in (SHIFT, SHIFT.replace("2.0", "2"), both)]
    assert [finish(process).stdout for process in at_once] == ["3.0\n", "3.0\n", "3.0\n3.0\n"]
    done = finish(start(package, both, NUMBA_CACHE_DIR=str(cache)))
    assert (done.stdout, done.stderr) == ("3.0\n3.0\n", "")
    assert {path.suffix for path in cache.rglob("*") if path.is_file()} == {".nbc"}


def test_an_unwritable_cache_gives_one_notice_and_still_computes(package, tmp_path):
    # a folder below a file cannot be made, not even by root
    blocked = tmp_path / "file"
    blocked.touch()
    for variables in ({"NUMBA_CACHE_DIR": str(blocked / "cache")}, {"HOME": str(blocked / "home")}):
        done = finish(start(package, **variables))
        assert done.stdout == "3.0\n"
        assert len(done.stderr.splitlines()) == 1
        assert "not cached" in done.stderr
        assert "NUMBA_CACHE_DIR" in done.stderr


def test_a_user_without_a_home_computes_without_a_cache(package):
    stranger = "import os, pwd; del os.environ['HOME']; pwd.getpwuid = lambda number: {}[number]; "
    done = finish(start(package, stranger + SHIFT))
    assert done.stdout == "3.0\n"
    assert "not cached: Could not determine home directory" in done.stderr


def test_a_process_that_another_speaks_for_announces_nothing(package, tmp_path):
    silent = f"from dynamics.kernel import leave_unsaid, uncached; leave_unsaid(); print(uncached()); {SHIFT}"
    done = finish(start(package, silent, NUMBA_CACHE_DIR=str(tmp_path / "cache")))
    assert (done.stdout, done.stderr) == ("None\n3.0\n", "")
    (tmp_path / "file").touch()
    done = finish(start(package, silent, NUMBA_CACHE_DIR=str(tmp_path / "file" / "cache")))
    assert done.stderr == ""
    assert done.stdout.startswith("are not cached: ")
    assert done.stdout.endswith("; set NUMBA_CACHE_DIR to a writable folder\n3.0\n")
