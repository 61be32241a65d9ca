"""The one decorator for compiled code, and where its machine code is kept.

Main results: kernel, KERNELS, uncached, leave_unsaid.

Strict floating point everywhere (no fastmath: it would make isnan lie), NumPy's division rules, compiled at first use
and cached on disk. numba's own cache does not notice an edited callee in another file, so the folder is named after
a hash of every kernel's source, of what these import, and of the numba version: new sources, new folder. Several processes
may compile at once, and whatever is wrong with the folder costs a compilation and no more. The first one is announced.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

# Waiting threads that spin would slow a small kernel many times on a busy machine; read when numba starts its threads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
from numba.core import config, serialize
from numba.core.caching import FunctionCache, NullCache

_HERE = Path(__file__).parent
KEPT_FOLDERS = 3
# "from a.b import (c, d)" and "import a.b", to the end of the line or of the parentheses
_IMPORTS = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)

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
        new = _imported(names[waiting.pop()].read_text(encoding="utf-8")) & names.keys() - found
        found |= new
        waiting += new
    return [names[name] for name in sorted(found)]


def _imported(text: str) -> set[str]:
    """The dotted names that a source imports, modules and what is taken from them; a parse would take ten times as long."""
    found: set[str] = set()
    for module, rest in _IMPORTS.findall(text):
        taken = re.findall(r"[\w.]+", re.sub(r"#.*", "", rest))
        found |= {module, *(f"{module}.{name}" for name in taken)} if module else set(taken)
    return found


def _prepare_cache() -> str | None:
    """Point numba at a folder for exactly these sources, and drop the oldest others; why not, when it cannot be written."""
    try:
        root = _cache_root() / "stochep" / "kernels"
        folder = root / _source_hash(_HERE)
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)
    # RuntimeError: a user without a home
    except (OSError, RuntimeError) as error:
        return str(error)
    config.CACHE_DIR = str(folder)
    # another process may be dropping the same
    with suppress(OSError):
        for stale in sorted(root.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_FOLDERS:]:
            shutil.rmtree(stale, ignore_errors=True)
    return None


_UNCACHED = _prepare_cache()
_unsaid = False


def uncached() -> str | None:
    """Why compiled kernels cannot be kept, and the remedy, as the end of a sentence; None where they are."""
    return None if _UNCACHED is None else f"are not cached: {_UNCACHED}; set NUMBA_CACHE_DIR to a writable folder"


@cache
def _announce() -> None:
    """Say once that kernels are being compiled, which may take minutes, and where they go."""
    if not _unsaid:
        reason = uncached()
        kept = f"kept in {config.CACHE_DIR}" if reason is None else f"which {reason}"
        print(f"compiling kernels, {kept}", file=sys.stderr, flush=True)


def leave_unsaid() -> None:
    """Announce nothing in this process: the one that started it says that it may compile."""
    global _unsaid
    _unsaid = True


class _Files:
    """The machine code of one kernel: a file a signature, named after all that the code depends on, and put in its place whole.

    numba numbers a kernel's files in an index, which has to be locked, and to be begun anew where it is damaged: who has read it
    before may then be given the code of another signature. A name that is never given to other code needs neither an index nor a
    lock, however many processes read and write.
    """

    def __init__(self, folder: Path, name: str, stamp: Any) -> None:
        self._folder = folder
        self._name = name
        self._stamp = stamp

    def load(self, key: Any) -> Any:
        try:
            kept, data = pickle.loads(self._path(key).read_bytes())
        except FileNotFoundError:
            return None
        return data if kept == key else None

    def save(self, key: Any, data: Any) -> None:
        path = self._path(key)
        descriptor, part = tempfile.mkstemp(dir=self._folder, prefix=path.name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(serialize.dumps((key, data)))
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}.{hashlib.sha256(repr((self._stamp, key)).encode()).hexdigest()[:16]}.nbc"


class _Cached(FunctionCache):
    """numba's cache of one kernel, with files of our own: a damaged one or a full disk costs a compilation and no more."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # a kernel outside this package may change while the sources that name the folder stay
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _Files(Path(self.cache_path), self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = None
        # a damaged pickle may raise anything
        with suppress(Exception):
            found = super().load_overload(sig, target_context)
        if found is None:
            _announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        # sources edited since the folder was named: what a module imported later calls may be of other ones
        with suppress(OSError):
            if _source_hash(_HERE) == Path(config.CACHE_DIR).name:
                super().save_overload(sig, data)


class _Uncached(NullCache):
    def load_overload(self, sig: Any, target_context: Any) -> None:
        _announce()


def kernel(
    origin: str | None = None, parallel: bool = False, inline: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function; `origin` names the SymPy expression, "module:name" in meanfield, that a scalar kernel computes.

    `parallel` allows prange, over replicas, images or blocks of states only, never over a reduction. `inline` puts a scalar kernel
    into the loops that call it, whatever its length: a loop with a call in it does not become vectors.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(function, error_model="numpy", parallel=parallel, forceinline=inline)
        # with NUMBA_DISABLE_JIT the function itself
        if compiled is not function:
            compiled._cache = _Cached(function) if _UNCACHED is None else _Uncached()
        if origin is not None:
            KERNELS[origin] = compiled
        return compiled

    return compile_
