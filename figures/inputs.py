"""What a figure is made of: the project's sources that it reaches, the files of results that it reads, and the packages' versions.

Main results: sources, read, digest, is_current.

A figure whose digest stands beside its picture is not drawn again. A script that reads files names them in INPUTS, as patterns
from the root of the checkout; a new result of a pattern changes the digest as well as a changed one.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from figures.page import OUT, STYLE, paths

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "matplotlib", "python-flint")
OWN = ("dynamics", "figures", "meanfield", "proofs_numeric")


def digest(name: str) -> str:
    """SHA-256 over the names and contents of all that the figure is made of, and over the packages' versions."""
    found = hashlib.sha256()
    for path in (*sources(f"figures.{name}"), STYLE, *read(name)):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    found.update(" ".join(_version(package) for package in PACKAGES).encode())
    return found.hexdigest()


def is_current(name: str, made_of: str, folder: Path = OUT) -> bool:
    """Whether the folder holds the figure, made of what has this digest."""
    written = paths(name, folder)
    if not all(path.is_file() for path in written):
        return False
    return msgspec.json.decode(written[-1].read_bytes()).get("inputs") == made_of


def read(name: str) -> list[Path]:
    """The files of results and experiments that the figure's script reads, sorted."""
    patterns: tuple[str, ...] = getattr(import_module(f"figures.{name}"), "INPUTS", ())
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def sources(module: str) -> list[Path]:
    """The files of a module of the project and of all that it imports from the project, however far, sorted."""
    found: set[str] = set()
    ahead = {module}
    while ahead:
        found |= ahead
        ahead = {name for one in ahead for name in _imported(one)} - found
    return sorted(_file(name) for name in found)


@cache
def _imported(module: str) -> frozenset[str]:
    """The project's modules that a module's text imports, with the packages that hold them."""
    tree = ast.parse(_file(module).read_bytes())
    named = {name for node in ast.walk(tree) for name in _names(node) if name.partition(".")[0] in OWN}
    packages = {name.rsplit(".", count)[0] for name in named for count in range(1, name.count(".") + 1)}
    return frozenset(name for name in named | packages if _file(name).is_file())


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        # what follows "import" may be a module or something in it: a name without a file is dropped later
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _file(module: str) -> Path:
    place = ROOT.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
