"""What a result was made with: versions, processor, threads, commit. No host name, no path.

Main results: provenance, make_writable, write_json, write_atomically, remove_leftovers, processors, SCHEMA_VERSION.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numba

from dynamics.philox import STREAM_VERSION

# Of every result.json; raise it whenever a key changes its meaning.
SCHEMA_VERSION = 1

# A write takes moments: what is half-written and older is of a process that died.
LEFTOVER_SECONDS = 60.0

_PACKAGES = ("stochep", "numpy", "scipy", "numba", "scikit-learn")


def provenance() -> dict[str, Any]:
    """Schema, stream and package versions, Python, CPU, threads, commit and dirty flag (None outside a checkout)."""
    commit, dirty = _commit()
    return {
        "schema_version": SCHEMA_VERSION,
        "stream_version": STREAM_VERSION,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "cpu": _cpu_model(),
        "threads": numba.get_num_threads(),
        "commit": commit,
        "dirty": dirty,
    }


def make_writable(folder: Path) -> None:
    """Make a folder before the work whose results go there; ValueError when it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} cannot be made: {error.strerror}; choose another --out") from error
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{folder} cannot be written to; choose another --out")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either absent, old, or complete, whatever moment the process dies at.

    OSError when it cannot be written; then nothing half-written is left to fill the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; another process may be writing there."""
    for temporary in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - temporary.stat().st_mtime > LEFTOVER_SECONDS:
                temporary.unlink()


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document as indented JSON, atomically; NaN and infinity become null."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether its tracked files, results/ aside, differ from it."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, bool(changed)


def _git(root: Path, *arguments: str) -> str:
    finished = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True)
    return finished.stdout.strip()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
