"""Drawing a sample of mutants and running it, with what was run before kept by content.

Main results: Campaign, Result.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.mutants.mirrors import GENERATORS, PACKAGES, mirror, modules
from tests.mutants.mutations import Mutant, mutants_of
from tests.mutants.server import UNTESTED, Baseline, Slot, outcome

KEPT = ".mutants"


@dataclass(frozen=True)
class Result:
    mutant: Mutant
    outcome: str


@dataclass
class _Running:
    slot: Slot
    mutant: Mutant


class Campaign:
    """Samples of the packages under `root`, run in `processes` children at once."""

    def __init__(self, root: Path, processes: int) -> None:
        self.kept = root / KEPT
        # a copy that nobody edits meanwhile
        self.clean = Slot(root, self.kept / "clean")
        self.root = self.clean.tree
        self.slots = [Slot(root, self.kept / f"slot{k}") for k in range(processes)]
        self.mirrors = {m: mirror(m, self.root) for package in PACKAGES for m in modules(package, self.root)}
        self.baselines: dict[tuple[str, bool], Baseline] = {}
        self.left_out: dict[str, str] = {}
        self.known: dict[str, dict[str, str]] = {}
        path = self.kept / "killers.json"
        self.killers: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def draw(self, package: str, seed: int, size: int, only: Sequence[str] = ()) -> tuple[Counter[str], list[Mutant]]:
        """How many mutants each module has, and a uniform sample of them all; ValueError for a module without."""
        population: list[Mutant] = []
        for module in modules(package, self.root):
            if only and module not in only:
                continue
            if not mirror(module, self.root):
                raise ValueError(f"no tests mirror {module}: write its test file under tests/{package}")
            found = self._mutants(module)
            if not found:
                raise ValueError(f"{module} has no mutants: give it code, or leave it out as a module of imports")
            population += found
        sample = sorted(population, key=lambda mutant: mutant.rank(seed))[:size]
        return Counter(mutant.path for mutant in population), sample

    def run(self, sample: list[Mutant], seconds: float = math.inf) -> list[Result]:
        """The outcome of each, progress on stderr; only of the first in the sample's order when the time is over."""
        done = {mutant: known for mutant in sample if (known := self._recall(mutant))}
        waiting = [mutant for mutant in sample if mutant not in done]
        free, running = list(self.slots), dict[int, _Running]()
        begin = last = time.monotonic()
        finished = 0
        total = len(waiting)
        while waiting or running:
            if waiting and time.monotonic() - begin > seconds:
                # those known from before count up to here only, lest the sample prefer them
                sample, waiting = sample[: sample.index(waiting[0])], []
            while waiting and free:
                mutant = waiting.pop(0)
                baseline = self._baseline(mutant.path)
                tests = baseline.able(mutant)
                if not tests:
                    done[mutant] = self._keep(mutant, UNTESTED)
                    finished += 1
                    continue
                slot = free.pop()
                cost = sum(baseline.seconds[test] for test in tests)
                # the test that noticed it last time first: what it still fails is killed at once
                killer = self.killers.get(mutant.rank(0))
                tests.sort(key=lambda test: test != killer)
                running[slot.start(mutant, tests, cost, self._compiled(mutant.path))] = _Running(slot, mutant)
            if running:
                child, status = os.waitpid(-1, 0)
                ended = running.pop(child)
                ended.slot.undo()
                free.append(ended.slot)
                self._note_killer(ended)
                done[ended.mutant] = self._keep(ended.mutant, outcome(status))
                finished += 1
            if time.monotonic() - last > 10 or not (waiting or running):
                last = time.monotonic()
                left = (last - begin) / max(finished, 1) * (total - finished)
                alive = sum(kind in ("survived", UNTESTED) for kind in done.values())
                print(
                    f"{len(done)} of {len(sample)} run, {alive} survive, {left:.0f} s left", file=sys.stderr, flush=True
                )
        return [Result(mutant, done[mutant]) for mutant in sample]

    def _mutants(self, module: str) -> list[Mutant]:
        source = (self.root / module).read_text()
        rules = Path(__file__).with_name("mutations.py").read_text()
        path = self.kept / "mutants" / f"{_hash(module, source, rules)}.json"
        if path.exists():
            return [_mutant(row) for row in json.loads(path.read_text())]
        found = mutants_of(source, module)
        _write(path, [asdict(mutant) for mutant in found])
        return found

    def _compiled(self, module: str) -> bool:
        """Whether a module's mutants are run with the compiler: it must hold no kernel, or write machine code itself."""
        return module in GENERATORS or "@kernel(" not in (self.root / module).read_text()

    def _baseline(self, module: str) -> Baseline:
        """The baselines of a module's test files together."""
        parts = [self._file_baseline(test, self._compiled(module)) for test in mirror(module, self.root)]
        merged = Baseline()
        for part in parts:
            merged.seconds |= part.seconds
            merged.left_out |= part.left_out
            for test, places in part.entered.items():
                merged.entered[test] = [*merged.entered.get(test, []), *places]
        return merged

    def _file_baseline(self, test: str, compiled: bool) -> Baseline:
        key = test, compiled
        if key not in self.baselines:
            held = [module for module, tests in self.mirrors.items() if test in tests]
            path = self.kept / "baselines" / f"{self._tests_hash((test,), held)}-{compiled}.json"
            if path.exists():
                self.baselines[key] = Baseline(**json.loads(path.read_text()))
            else:
                print(f"without a mutant: {test}", file=sys.stderr, flush=True)
                self.baselines[key] = self.clean.baseline(test, compiled)
                _write(path, asdict(self.baselines[key]))
            for name, why in self.baselines[key].left_out.items():
                self.left_out[name] = f"{why}, {'with' if compiled else 'without'} the compiler"
        return self.baselines[key]

    def _tests_hash(self, tests: tuple[str, ...], also: list[str]) -> str:
        names = [*tests, "tests/conftest.py", *also]
        return _hash(*((self.root / name).read_text() for name in names))

    def _outcomes(self, module: str) -> tuple[Path, dict[str, str]]:
        key = self._tests_hash(mirror(module, self.root), [module])
        path = self.kept / "outcomes" / f"{key}.json"
        if key not in self.known:
            self.known[key] = json.loads(path.read_text()) if path.exists() else {}
        return path, self.known[key]

    def _recall(self, mutant: Mutant) -> str | None:
        return self._outcomes(mutant.path)[1].get(mutant.rank(0))

    def _keep(self, mutant: Mutant, kind: str) -> str:
        path, outcomes = self._outcomes(mutant.path)
        outcomes[mutant.rank(0)] = kind
        _write(path, outcomes)
        return kind

    def _note_killer(self, ended: _Running) -> None:
        if killer := ended.slot.killer():
            self.killers[ended.mutant.rank(0)] = killer
            _write(self.kept / "killers.json", self.killers)


def _mutant(row: dict[str, Any]) -> Mutant:
    return Mutant(**{**row, "span": tuple(row["span"]), "before": tuple(row["before"]), "after": tuple(row["after"])})


def _hash(*parts: str) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content))
    os.replace(fresh, path)
