"""Two contenders run in turn, on one machine in one hour: the only way in which a ratio means anything.

Main results: Worker, Side, Setting, race, Unequal.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.contender import MissingPeer

ROOT = Path(__file__).resolve().parents[1]
# a shorter piece of work is repeated until it takes this long, in seconds
SHORTEST = 0.25
CLOCKS = ("cpu", "wall")

Outcome = Mapping[str, np.ndarray]


class Unequal(Exception):
    """Two contenders computed different things: there is nothing to time."""


@dataclass(frozen=True)
class Side:
    """A factory "module:function" of a Contender and its arguments; threads None takes the race's.

    blas_kernels: those of OpenBLAS among which the fastest is taken, None being the one that it chooses itself.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None
    blas_kernels: tuple[str | None, ...] = (None,)


@dataclass(frozen=True)
class Setting:
    """How to race: quick takes tiny sizes and one repeat, and means nothing."""

    quick: bool = False
    threads: tuple[int, ...] = (1, 2)
    repeats: int = 5


class Worker:
    """A contender's process; MissingPeer when it says so, RuntimeError with its last words when it dies."""

    def __init__(self, side: Side, threads: int, *, blas_kernel: str | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        self._factory = side.factory
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", side.factory, json.dumps(dict(side.arguments))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=ROOT,
            env=environment(side.threads or threads, blas_kernel),
        )  # fmt: skip
        self._greeting: dict[str, str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
        self._errors.close()

    @property
    def greeting(self) -> dict[str, str]:
        """{library, blas}, once it is ready."""
        if self._greeting is None:
            self._greeting = self._read()
            if "missing" in self._greeting:
                raise MissingPeer(self._greeting["missing"])
        return self._greeting

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            words = self._errors.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"{self._factory} died: {words[-1] if words else self._process.returncode}")
        return json.loads(line)

    def ask(self, command: str) -> dict[str, Any]:
        """The answer to one command of benchmarks.worker."""
        _ = self.greeting
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._read()

    def outcome(self, seed: int) -> Outcome:
        """The arrays that it computes from `seed`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "outcome.npz"
            self.ask(f"outcome {seed} {path}")
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)


def environment(threads: int, blas_kernel: str | None = None) -> dict[str, str]:
    """This process's environment with `threads` for every library, and OpenBLAS free to choose its kernel unless one is named."""
    # a pinned OpenBLAS kernel would run a peer at half its speed
    pinned = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY")
    kept = {name: value for name, value in os.environ.items() if name not in pinned}
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    kept.update(dict.fromkeys(names, str(threads)))
    return kept if blas_kernel is None else {**kept, "OPENBLAS_CORETYPE": blas_kernel}


def at_its_best(side: Side, threads: int) -> Worker:
    """A worker with the OpenBLAS kernel that runs fastest here; OpenBLAS's own choice is not always that."""
    if len(side.blas_kernels) == 1:
        return Worker(side, threads, blas_kernel=side.blas_kernels[0])
    seconds: dict[str | None, float] = {}
    for kernel in side.blas_kernels:
        with Worker(side, threads, blas_kernel=kernel) as worker:
            seconds[kernel] = min(worker.ask("run 1")["cpu"] for _ in range(2))
    return Worker(side, threads, blas_kernel=min(seconds, key=seconds.__getitem__))


def race(
    ours: Side, theirs: Side, agree: Callable[[Outcome, Outcome], None], *, threads: int, setting: Setting
) -> dict[str, Any]:
    """Both sides' seconds a run, in turn: {cpu, wall: {ratio, low, high, ours, theirs}, repeats, blas, library}.

    ratio: theirs over ours, the median over repeats; low and high: the least and the largest of them (of five, the median's
    interval with 94 % confidence). `agree` raises Unequal before anything is timed.
    """
    with at_its_best(theirs, threads) as peer, Worker(ours, threads) as own:
        greeting = peer.greeting
        agree(own.outcome(0), peer.outcome(0))
        return {**timed(own, peer, setting), "blas": greeting["blas"], "library": greeting["library"]}


def timed(own: Worker, peer: Worker, setting: Setting) -> dict[str, Any]:
    """The numbers of `race`, of two workers that agree."""
    for worker in (own, peer):
        worker.ask("run 1")
    counts = [math.ceil(SHORTEST / max(worker.ask("run 1")["wall"], 1e-6)) for worker in (own, peer)]
    if setting.quick:
        counts = [1, 1]
    pairs = [
        [worker.ask(f"run {count}") for worker, count in zip((own, peer), counts, strict=True)]
        for _ in range(1 if setting.quick else setting.repeats)
    ]
    found: dict[str, Any] = {"repeats": len(pairs)}
    for clock in CLOCKS:
        ratios = [b[clock] / a[clock] for a, b in pairs]
        found[clock] = {
            "ratio": median(ratios), "low": min(ratios), "high": max(ratios),
            "ours": median(a[clock] for a, _ in pairs), "theirs": median(b[clock] for _, b in pairs),
        }  # fmt: skip
    return found
