"""Where data sets are looked for.

Main results: Missing, find.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


class Missing(ValueError):
    """A data set that is nowhere to be found, with how to get it."""


def find(name: str, wanted: Sequence[str], data_dir: Path | None, system: Sequence[Path], remedy: str) -> list[Path]:
    """The wanted files of data set `name`, plain or with .gz, all from the first folder that has one of them.

    Raises Missing when no folder has one, ValueError when that folder lacks another.
    Looked through: data_dir/name and data_dir, the system's folders, the user's cache (XDG_CACHE_HOME/stochep/name).
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stochep" / name
    folders = [*([data_dir / name, data_dir] if data_dir else []), *system, cache]
    for folder in folders:
        found = [_variant(folder / file) for file in wanted]
        if any(found):
            if None in found:
                absent = wanted[found.index(None)]
                raise ValueError(f"{name}: {folder} lacks {absent} (or {absent}.gz): {remedy}")
            return [file for file in found if file is not None]
    raise Missing(f"{name} is not in {', '.join(map(str, folders))}: {remedy}")


def _variant(path: Path) -> Path | None:
    # os.path: a folder that may not be entered is no file, where Path.is_file would raise
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if os.path.isfile(file)), None)
