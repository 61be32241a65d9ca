"""The one decorator for compiled code, and where its machine code is kept.

Main results: kernel, KERNELS.

Strict floating point everywhere (no fastmath: it would make isnan lie), NumPy's division rules, compiled at first use
and cached on disk. numba's own cache does not notice an edited callee in another file, so the folder is named after
a hash of every kernel's source, of what these import, and of the numba version: new sources, new folder.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Waiting threads that spin would slow a small kernel many times on a busy machine; read when numba starts its threads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
from numba.core import config

KEPT_FOLDERS = 3

# origin (module:name in meanfield) -> compiled scalar kernel; one test compares each with its SymPy expression
KERNELS: dict[str, Callable[..., float]] = {}


def _cache_root() -> Path:
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _source_hash(folder: Path) -> str:
    digest = hashlib.sha256(f"numba {numba.__version__} python {sys.version_info[:2]}".encode())
    for source in _sources(folder):
        digest.update(source.relative_to(folder).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _sources(folder: Path) -> list[Path]:
    """The files that hold kernels, and all of this package that they import, whose values a kernel may have taken in."""
    names = {".".join(path.relative_to(folder.parent).with_suffix("").parts): path for path in folder.rglob("*.py")}
    found = {name for name, path in names.items() if "@kernel" in path.read_text(encoding="utf-8")}
    waiting = list(found)
    while waiting:
        for node in ast.walk(ast.parse(names[waiting.pop()].read_bytes())):
            imported: list[str] = []
            if isinstance(node, ast.Import):
                imported = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported = [str(node.module), *(f"{node.module}.{one.name}" for one in node.names)]
            new = {name for name in imported if name in names} - found
            found |= new
            waiting += new
    return [names[name] for name in sorted(found)]


def _prepare_cache() -> bool:
    """Point numba at a folder for exactly these sources, drop the oldest; False (one notice) when it cannot be written."""
    root = _cache_root() / "stochep"
    folder = root / _source_hash(Path(__file__).parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
        os.utime(folder)
        for stale in sorted(root.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_FOLDERS:]:
            shutil.rmtree(stale, ignore_errors=True)
    except OSError as error:
        print(f"compiled kernels are not cached: {error}; set NUMBA_CACHE_DIR to a writable folder", file=sys.stderr)
        return False
    config.CACHE_DIR = str(folder)
    return True


_CACHE = _prepare_cache()


def kernel(
    origin: str | None = None, parallel: bool = False, inline: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function; `origin` names the SymPy expression, "module:name" in meanfield, that a scalar kernel computes.

    `parallel` allows prange, over replicas, images or blocks of states only, never over a reduction. `inline` puts a scalar kernel
    into the loops that call it, whatever its length: a loop with a call in it does not become vectors.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(function, cache=_CACHE, error_model="numpy", parallel=parallel, forceinline=inline)
        if origin is not None:
            KERNELS[origin] = compiled
        return compiled

    return compile_
