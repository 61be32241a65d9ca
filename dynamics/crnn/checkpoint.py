"""Checkpoints: a training's whole state, after an epoch and when it is stopped; a kill at any moment loses at most one epoch.

Main results: Origin, save, newest, clear.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dynamics.provenance import write_atomically
from dynamics.reading import archive

KEPT = 2
_KEY = "origin"
REMEDY = "run without --resume to start over, or choose another --out"


class Origin(msgspec.Struct, frozen=True):
    """What a checkpoint is of: an experiment's name and resolved tables without seeds, the seed, and the versions that made it."""

    name: str
    seed: int
    versions: dict[str, str]
    tables: dict[str, Any]

    @property
    def version(self) -> str:
        """For a sentence."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())


def save(folder: Path, epoch: int, batch: int, origin: Origin, arrays: dict[str, NDArray[Any]]) -> None:
    """Write `arrays` and their origin, as folder/epoch-NNNNNN.npz, or epoch-NNNNNN_BBBBBB.npz within the epoch after.

    The last two are kept.
    """
    buffer = io.BytesIO()
    text = np.frombuffer(msgspec.json.encode(origin), np.uint8)
    np.savez_compressed(buffer, allow_pickle=False, **{_KEY: text}, **arrays)
    # the underscore sorts after the dot
    write_atomically(folder / f"epoch-{epoch:06d}{f'_{batch:06d}' if batch else ''}.npz", buffer.getvalue())
    for stale in _files(folder)[KEPT:]:
        stale.unlink()


def newest(folder: Path, origin: Origin, most: int) -> tuple[Path, dict[str, NDArray[Any]]] | None:
    """The newest readable checkpoint and its arrays, None where there is none; ValueError when it is of another origin.

    A file of more than `most` bytes is not readable.
    """
    files, unread = _files(folder), ""
    for file in files:
        try:
            arrays = archive(file, most)
        except ValueError as error:
            unread = unread or str(error)
            continue
        _check_origin(file, arrays.pop(_KEY, np.empty(0)), origin)
        return file, arrays
    if files:
        raise ValueError(f"no checkpoint in {folder} can be read: {unread}; run without --resume to start over")
    return None


def clear(folder: Path) -> None:
    """Remove every checkpoint and what a killed process left half-written."""
    for file in [*_files(folder), *folder.glob(".epoch-*.tmp")]:
        file.unlink()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.npz"), reverse=True)


def _check_origin(file: Path, text: NDArray[Any], asked: Origin) -> None:
    """Refuse a checkpoint of another version, seed or experiment, with both named."""
    try:
        # as JSON once more, in which lists and tuples are one
        found = msgspec.json.decode(text.tobytes(), type=Origin)
        asked = msgspec.json.decode(msgspec.json.encode(asked), type=Origin)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(
            f"checkpoint {file} does not say what it is of, as those of {asked.version} do: {REMEDY}"
        ) from error
    if found.versions != asked.versions:
        raise ValueError(
            f"checkpoint {file} was written by {found.version}, this is {asked.version}, and a run must end as it began: {REMEDY}"
        )
    if found != asked:
        where, there, here = next(_differences(msgspec.to_builtins(found), msgspec.to_builtins(asked), ""))
        raise ValueError(
            f"checkpoint {file} belongs to another experiment or seed, {found.name} seed {found.seed} where {where} is {there!r}; "
            f"asked for is {asked.name} seed {asked.seed} where it is {here!r}: {REMEDY}"
        )


def _differences(one: Any, other: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """(key, one's value, the other's) of what differs, "nothing" for a key that is not there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            below = f"{path}.{key}".removeprefix(".tables").lstrip(".")
            yield from _differences(one.get(key, "nothing"), other.get(key, "nothing"), below)
    elif one != other:
        yield path, one, other
