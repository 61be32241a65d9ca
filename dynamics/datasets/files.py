"""Where data sets are looked for, and how their files are read without trusting what they say.

Main results: Missing, find, contents.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
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


def contents(path: Path, most: int) -> bytes:
    """The bytes of a file, unpacked if it ends with .gz; ValueError when it cannot be read or holds more than `most`."""
    packed = path.suffix == ".gz"
    try:
        # a pipe or a device may never end
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path} must be a regular file")
        with gzip.open(path) if packed else path.open("rb") as stream:
            raw = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(raw) > most:
        what = "unpacks to" if packed else "holds"
        raise ValueError(f"{path} {what} more than {most:,} bytes, the most that was expected")
    return raw
