"""What is computed, one small JSON file a cell, whole or not there: a sweep that goes on takes it up.

Main results: Record, Row, find, keep.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from dynamics.philox import STREAM_VERSION
from dynamics.provenance import SCHEMA_VERSION, write_json
from dynamics.tables import Table, digest
from figures.sweep.grid import Cell


class Row(Table, frozen=True):
    """A cell's numbers, as `bias_study.measured` has them; reference_error: within which, relative, the reference is known.

    value, low, high and floor are None where there is none; high where it is infinite.
    """

    temperature: float
    nudging: float
    estimator: str
    value: float | None
    low: float | None
    high: float | None
    floor: float | None
    note: str
    gain: float
    absolute_gain: float
    fixed_points: int
    reference_error: float


class Record(Table, frozen=True):
    """A cell's file: no time, no place, so that equal cells have equal files. row_digest tells a row that a disk has changed."""

    schema_version: int
    stream_version: int
    cell: Cell
    row: Row
    row_digest: str


def find(folder: Path, cells: Iterable[Cell]) -> dict[Cell, Row]:
    """The rows that the folder holds; a file that is damaged, or of another cell or version, counts as none."""
    found = {}
    for cell in cells:
        try:
            record = msgspec.json.decode(_path(folder, cell).read_bytes(), type=Record)
        except (OSError, ValueError, RecursionError):
            continue
        if record == _record(cell, record.row):
            found[cell] = record.row
    return found


def keep(folder: Path, cell: Cell, row: dict[str, Any]) -> Row:
    """Write a cell's file; its row as `find` will read it. OSError when it cannot be written."""
    # what is infinite is null in JSON
    kept = msgspec.json.decode(msgspec.json.encode(row), type=Row)
    write_json(_path(folder, cell), msgspec.to_builtins(_record(cell, kept)))
    return kept


def _record(cell: Cell, row: Row) -> Record:
    return Record(
        schema_version=SCHEMA_VERSION, stream_version=STREAM_VERSION, cell=cell, row=row, row_digest=digest(row)
    )


def _path(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"
