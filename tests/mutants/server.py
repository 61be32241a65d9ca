"""Runs mirrored tests against one mutant at a time, in forked children of a process that has loaded the heavy libraries.

Main results: Slot, Baseline, outcome, preload.

A child takes numpy, scipy, sympy, numba and pytest as they are in its parent and imports the packages afresh from its own copy
of the tree, without the compiler where the module holds kernels. Tests run cheapest first, and only those that enter the mutated
function: the others cannot tell. Limits are in processor time, so that a busy machine changes nothing.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numba
import pytest
from hypothesis import Phase, settings

from tests.mutants.mirrors import GENERATORS, LEFT_OUT, PACKAGES
from tests.mutants.mutations import Mutant

# processor seconds, tracing included: tests that are slower take no part, and are listed
SLOWEST = {"compiled": 20.0, "not compiled": 4.0}
# processor seconds: a mutant may take so many times as long as its tests, and so many more
PATIENCE, GRACE = 4.0, 10.0
MEMORY = 6 * 2**30
OPTIONS = (
    "-q", "-x", "--no-header", "--tb=no", "--assert=plain", "--instances=20",
    "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:unraisableexception", "-p", "no:threadexception",
    # the children inherit hypothesis
    "-W", "ignore:Module already imported so cannot be rewritten",
)  # fmt: skip
# samples are drawn by compiled code only
UNCOMPILED = ["-m", "not statistical"]
# what runs when the test files are imported, any test may notice
AT_IMPORT = "import"
SURVIVED, KILLED, UNTESTED, TIMEOUT = "survived", "killed", "no test enters it", "timeout"


@dataclass
class Baseline:
    """What test files do without a mutant: processor seconds and functions entered (module, line), by test."""

    seconds: dict[str, float] = field(default_factory=dict)
    entered: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def able(self, mutant: Mutant) -> list[str]:
        """The tests that can notice a mutant, cheapest first; what writes machine code is entered by the compiler alone."""
        allowed = [test for test in self.seconds if not any(name in test for name in LEFT_OUT.get(mutant.path, ()))]
        if mutant.in_body and mutant.path not in GENERATORS and not self._enters(AT_IMPORT, mutant):
            allowed = [test for test in allowed if self._enters(test, mutant)]
        return sorted(allowed, key=self.seconds.__getitem__)

    def _enters(self, test: str, mutant: Mutant) -> bool:
        first, last = mutant.span
        return any(path == mutant.path and first <= line <= last for path, line in self.entered.get(test, ()))


class _Plugin:
    """What all children need of pytest: no shrinking, the first failing example is enough."""

    def pytest_collection(self) -> None:
        settings.register_profile(
            "mutants", settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False
        )
        settings.load_profile("mutants")


class _Recorder(_Plugin):
    """A pytest plugin: what each test takes and which functions of the packages it enters."""

    def __init__(self, log: Path, root: Path, skip: Iterable[str], slowest: float) -> None:
        self.log, self.root, self.skip, self.slowest = log, f"{root}/", set(skip), slowest
        self.seen: set[CodeType] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self) -> Any:
        return (yield from self.profiled(AT_IMPORT))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Any:
        return (yield from self.profiled(AT_IMPORT))

    def profiled(self, name: str) -> Any:
        """Note the functions that are entered while the wrapped hook runs."""
        self.seen = set()
        sys.settrace(self.enter)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            entered = {
                (code.co_filename.removeprefix(self.root), code.co_firstlineno)
                for code in self.seen
                if code.co_filename.startswith(self.root)
            }
            self.write({"by": name, "entered": sorted(entered)})

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid not in self.skip]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.write({"start": item.nodeid})
        signal.setitimer(signal.ITIMER_PROF, self.slowest)
        begin = time.process_time()
        try:
            return (yield from self.profiled(item.nodeid))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.write({"end": item.nodeid, "seconds": time.process_time() - begin})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped:
            self.write({"not passed": report.nodeid, "outcome": report.outcome})

    def enter(self, frame: FrameType, _event: str, _argument: object) -> None:
        # as a trace function that returns None it is called at calls alone
        self.seen.add(frame.f_code)

    def write(self, line: dict[str, Any]) -> None:
        with self.log.open("a") as stream:
            stream.write(json.dumps(line) + "\n")


class _Order(_Plugin):
    """A pytest plugin: exactly these tests, in this order; the first that fails is written down."""

    def __init__(self, wanted: list[str], killer: Path) -> None:
        self.wanted = {test: place for place, test in enumerate(wanted)}
        self.killer = killer

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.nodeid in self.wanted:
            self.killer.write_text(report.nodeid)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # a mutant may rename a test: what was not there before it cannot be ordered, and runs last
        known = [item for item in items if item.nodeid in self.wanted]
        missing = len(known) < len(self.wanted)
        items[:] = sorted(known, key=lambda item: self.wanted[item.nodeid]) + (
            [item for item in items if item.nodeid not in self.wanted] if missing else []
        )


class Slot:
    """One copy of the tree, and at most one child that runs in it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.tree = folder / "tree"
        self.log = folder / "log"
        self.noted = folder / "killer"
        shutil.rmtree(self.tree, ignore_errors=True)
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, names):
            target = self.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # with its times: compiled kernels are kept by them
            shutil.copy2(root / name, target)
        self.environment = {
            "PYTHONPATH": str(self.tree), "NUMBA_CACHE_DIR": str(folder.parent / "compiled"),
            "HYPOTHESIS_PROFILE": "ci", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0",
        }  # fmt: skip
        self.sources = source_hash(self.tree / "dynamics")
        # byte code that is valid by its source's hash: an edit within one second of another is never missed
        command = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", *PACKAGES, "tests"]
        subprocess.run([sys.executable, *command], cwd=self.tree, check=True)

    def fork(self, work: Callable[[], int], seconds: float, compiled: bool) -> int:
        """Start work() in a child that lives in this tree; its process id."""
        child = os.fork()
        if child:
            return child
        status = 70
        try:
            os.setsid()
            os.chdir(self.tree)
            output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(output, stream)
            os.environ.update(self.environment)
            if compiled:
                self.keep_compiled()
            else:
                os.environ["NUMBA_DISABLE_JIT"] = "1"
                numba.config.DISABLE_JIT = 1  # type: ignore[attr-defined]
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            sys.dont_write_bytecode = True
            sys.path[:] = [str(self.tree)] + [p for p in sys.path if p and not Path(p, PACKAGES[0]).is_dir()]
            for name in [name for name in sys.modules if name.split(".")[0] in ("tests", *PACKAGES)]:
                del sys.modules[name]
            status = work()
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(status)

    def keep_compiled(self) -> None:
        """Let every mutated tree use the machine code of the unmutated one: no kernel is in the mutated file."""
        kept = self.tree.parents[1] / "compiled" / self.sources
        kept.mkdir(parents=True, exist_ok=True)
        # one link for one tree: of more than a few folders dynamics.kernel would drop the oldest
        cache = self.tree.parent / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        root = cache / "stochep" / "kernels"
        root.mkdir(parents=True)
        (root / source_hash(self.tree / "dynamics")).symlink_to(kept)
        os.environ["NUMBA_CACHE_DIR"] = str(cache)
        # numba files machine code under the folder of its source: all slots share one
        locator = numba.core.caching.UserProvidedCacheLocator
        subpath = locator.get_suitable_cache_subpath
        here = str(self.tree)
        locator.get_suitable_cache_subpath = classmethod(lambda _, path: subpath(path.replace(here, "/tree")))

    def baseline(self, tests: str, compiled: bool) -> Baseline:
        """Run a test file as it is; tests that fail, are skipped or are too slow are left out."""
        found = Baseline()
        if compiled:
            # once before the clock runs: a limit that falls while a kernel is compiled keeps nothing, for the next test either
            plain = [option for option in OPTIONS if option != "-x"]
            os.waitpid(self.fork(lambda: int(pytest.main([*plain, tests])), 3600, compiled), 0)
        record = self.tree.parent / "record"
        slowest = SLOWEST["compiled" if compiled else "not compiled"]
        while True:
            record.unlink(missing_ok=True)
            plugin = _Recorder(record, self.tree, [*found.seconds, *found.left_out], slowest)
            options = [option for option in OPTIONS if option != "-x"] + ([] if compiled else UNCOMPILED)
            child = self.fork(lambda p=plugin, o=options: int(pytest.main([*o, tests], plugins=[p])), 3600, compiled)
            _, status = os.waitpid(child, 0)
            current = _read(record, found)
            if not os.WIFSIGNALED(status):
                if os.waitstatus_to_exitcode(status) not in (0, 1, 5):
                    raise RuntimeError(f"{tests} cannot be run:\n{self.log.read_text()[-3000:]}")
                break
            if os.WTERMSIG(status) != signal.SIGPROF or not current:
                raise RuntimeError(f"{tests} died of signal {os.WTERMSIG(status)} in {current or 'collection'}")
            found.left_out[current] = f"slower than {slowest:g} s"
        for test in found.left_out:
            found.seconds.pop(test, None)
        return found

    def start(self, mutant: Mutant, tests: list[str], seconds: float, compiled: bool) -> int:
        """Write the mutant into the tree and start its tests."""
        path = self.tree / mutant.path
        source = path.read_text()
        path.write_text(mutant.apply(source))
        files = list(dict.fromkeys(test.split("::")[0] for test in tests))
        self.undo = lambda: path.write_text(source)
        self.noted.unlink(missing_ok=True)
        plugin = _Order(tests, self.noted)
        return self.fork(
            lambda: int(pytest.main([*OPTIONS, *files], plugins=[plugin])), GRACE + PATIENCE * seconds, compiled
        )

    def killer(self) -> str:
        """The test that noticed the last mutant; "" when none did, or the import failed."""
        return self.noted.read_text() if self.noted.exists() else ""


def _read(record: Path, found: Baseline) -> str:
    """Add what a run has recorded; the test that was running when it ended, "" when none was."""
    current = ""
    for line in map(json.loads, record.read_text().splitlines() if record.exists() else []):
        if "start" in line:
            current = line["start"]
        elif "not passed" in line:
            found.left_out[line["not passed"]] = line["outcome"]
        elif "by" in line:
            places = found.entered.setdefault(line["by"], [])
            places += [place for place in map(tuple, line["entered"]) if place not in places]
        else:
            current = ""
            found.seconds[line["end"]] = line["seconds"]
    return current


def outcome(status: int) -> str:
    """killed, survived or timeout, from a child's wait status: a crash and a failed import are noticed too."""
    if os.WIFSIGNALED(status):
        return TIMEOUT if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else KILLED
    code = os.waitstatus_to_exitcode(status)
    if code == 70:
        raise RuntimeError("a child broke down before its tests began")
    return {0: SURVIVED, 5: UNTESTED}.get(code, KILLED)


def source_hash(folder: Path) -> str:
    """The name of the kernels' cache folder for these sources, as dynamics.kernel has it."""
    from dynamics.kernel import _source_hash

    return _source_hash(folder)


def preload() -> None:
    """Import what every child needs."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    for name in (
        "numpy", "scipy.stats", "scipy.optimize", "scipy.linalg", "scipy.integrate", "scipy.special", "sympy", "numba", "mpmath",
        "hypothesis.strategies", "hypothesis.extra.numpy", "flint", "msgspec", "tomli_w", "cyclopts", "rich.progress",
        "threadpoolctl", "sklearn.datasets", "sklearn.model_selection", "tomllib",
    ):  # fmt: skip
        __import__(name)
    gc.collect()
    gc.freeze()
