"""Command lines that are killed and started again, for tests of survival.

Main results: TRAIN, SWEEP, Command, start, finished, run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROUGH = Path(__file__).with_name("rough.py")


@dataclass(frozen=True)
class Command:
    """A command line on `out`, how it is taken up again, where its whole files go and which of them must be equal in the end."""

    arguments: tuple[str, ...]
    again: tuple[str, ...]
    progress: str
    equal: tuple[str, ...]

    def files(self, out: Path) -> set[Path]:
        """The whole files that tell of progress."""
        return set(out.glob(self.progress))

    def contents(self, out: Path) -> dict[str, Any]:
        """What must not depend on how often the command was killed."""
        found: dict[str, Any] = {}
        for pattern in self.equal:
            for path in sorted(out.glob(pattern)):
                found[path.relative_to(out).as_posix()] = _lasting(path)
        return found


TRAIN = Command(
    (
        "train", str(ROOT / "experiments/digits_stochastic.toml"), "--seed", "0", "--set", "name=tiny",
        "network.layers=[{kind='dense', units=8}, {kind='dense', units=10}]", "training.epochs=24", "training.batch=512",
        "rule.steps_free=4", "rule.steps_nudged=4", "rule.window=2", "inference.steps=4", "inference.window=2",
    ),
    ("--resume",),
    "tiny/0/checkpoints/epoch-*.npz",
    ("tiny/0/weights.npz", "tiny/0/checkpoints/epoch-000024.npz", "tiny/0/result.json"),
)  # fmt: skip
SWEEP = Command(
    (
        "sweep", str(ROOT / "experiments/bias_sweep.toml"), "--json", "--set", "name=tiny", "seeds=[0,1]",
        "grid.couplings=['sk']", "grid.sizes=[4]", "grid.temperatures=[1,2,4]", "grid.nudgings=[0.5]", "grid.samples=[64]",
        "grid.estimators=['symmetric','onsager','sampled']",
    ),
    (),
    "tiny/cells/*.json",
    ("tiny/cells/*.json", "tiny/tiny.csv", "tiny/tiny.json", "tiny/tiny.p*"),
)  # fmt: skip


def start(command: Command, out: Path, *more: str, rough: dict[str, Any] | None = None) -> subprocess.Popen[str]:
    """The command in a process of its own, on one thread, under what `rough` says."""
    environment = os.environ | {
        "NUMBA_NUM_THREADS": "1", "STOCHEP_ROUGH": json.dumps(rough or {}), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(ROUGH), *command.arguments, *more, "--out", str(out)], env=environment, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(command: Command, out: Path, *more: str, rough: dict[str, Any] | None = None) -> tuple[int, str]:
    """Its exit code and stderr; there is never a traceback."""
    return finished(start(command, out, *more, rough=rough))


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and stderr of a command that is let run."""
    _, told = process.communicate()
    assert "Traceback" not in told, told
    return process.returncode, told


def waited_for(process: subprocess.Popen[str], happened: Callable[[], bool]) -> bool:
    """Whether it happened before the process ended."""
    while process.poll() is None:
        if happened():
            return True
        time.sleep(0.002)
    return False


def _lasting(path: Path) -> Any:
    """A file's bytes, or a document without what clocks, threads and a checkout that is being worked on have put there."""
    if path.suffix != ".json" or path.parent.name == "cells":
        return path.read_bytes()
    document = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in document.items() if key not in ("wall", "threads", "commit", "dirty")}
