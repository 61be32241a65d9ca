"""Checkpoints: a training's whole state, after an epoch and when it is stopped; a kill at any moment loses at most one epoch.

Main results: save, newest, clear.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamics.provenance import write_atomically

KEPT = 2
_KEY = "experiment"


def save(folder: Path, epoch: int, batch: int, key: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Write `arrays` under the experiment's `key`, as folder/epoch-NNNNNN.npz, or epoch-NNNNNN_BBBBBB.npz within the epoch after.

    The last two are kept.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{_KEY: np.array(key)}, **arrays)
    # the underscore sorts after the dot
    write_atomically(folder / f"epoch-{epoch:06d}{f'_{batch:06d}' if batch else ''}.npz", buffer.getvalue())
    for stale in _files(folder)[KEPT:]:
        stale.unlink()


def newest(folder: Path, key: str) -> dict[str, NDArray[Any]] | None:
    """The newest readable checkpoint, None where there is none; ValueError when it belongs to another `key`."""
    files = _files(folder)
    for file in files:
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
                arrays = dict(archive)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            continue
        found = str(arrays.pop(_KEY, np.array("none")))
        if found != key:
            raise ValueError(
                f"checkpoint {file} belongs to another experiment or seed ({found[:12]}, not {key[:12]}): "
                "run without --resume to start over, or choose another --out"
            )
        return arrays
    if files:
        raise ValueError(f"no checkpoint in {folder} can be read: run without --resume to start over")
    return None


def clear(folder: Path) -> None:
    """Remove every checkpoint and what a killed process left half-written."""
    for file in [*_files(folder), *folder.glob(".epoch-*.tmp")]:
        file.unlink()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.npz"), reverse=True)
