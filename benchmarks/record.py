"""results/bench.json: what it holds, and how a run puts its rows in the place of older ones.

Main results: Record, opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from dynamics.provenance import provenance, write_json

SECTIONS = ("roofline", "scaling", "memory", "profile")


class Record(msgspec.Struct):
    """machine (load: of the minute before the run), and what was measured on it.

    rows: one for each line of the table of goals; further: other clocks, threads and peers. left_out: name of a row or section ->
    why it is not here. blas: the OpenBLAS kernel that the environment pins, which no race obeys. quick: tiny sizes, whose numbers
    mean nothing.
    """

    machine: dict[str, Any]
    blas: dict[str, Any]
    quick: bool = False
    rows: list[dict[str, Any]] = []
    further: list[dict[str, Any]] = []
    scaling: list[dict[str, Any]] = []
    roofline: dict[str, Any] = {}
    memory: list[dict[str, Any]] = []
    profile: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}

    def put(self, name: str, records: list[dict[str, Any]]) -> None:
        """Put a row's records in the place of those on as many threads and by the same clock; lines of the table have a floor."""
        made_by = {"commit": self.machine["commit"], "dirty": self.machine["dirty"]}
        replaced = {_key(record) for record in records}
        for group in ("rows", "further"):
            kept = [record for record in getattr(self, group) if _key(record) not in replaced]
            new = [{**record, **made_by} for record in records if (record["floor"] is not None) == (group == "rows")]
            setattr(self, group, kept + new)
        self.left_out.pop(name, None)

    def leave_out(self, name: str, reason: str) -> None:
        """Say why a row or section is not here; older numbers of it go."""
        if name in SECTIONS:
            setattr(self, name, {} if name == "roofline" else [])
        else:
            self.rows = [record for record in self.rows if record["name"] != name]
            self.further = [record for record in self.further if record["name"] != name]
        self.left_out[name] = reason

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, msgspec.to_builtins(self))


def _key(record: dict[str, Any]) -> tuple[str, int, str]:
    return record["name"], record["threads"], record["clock"]


def opened(path: Path, *, quick: bool, whole: bool) -> Record:
    """The record in a file, to be gone on with, or an empty one; ValueError where rows would stand beside another machine's."""
    made = provenance()
    machine = {"cpu": made["cpu"], "cores": os.cpu_count(), "load": os.getloadavg()[0]} | {
        name: made[name] for name in ("python", "packages", "commit", "dirty")
    }
    fresh = Record(machine, {"pinned_by_environment": os.environ.get("OPENBLAS_CORETYPE")}, quick)
    if not path.is_file():
        return fresh
    try:
        old = msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is not a record of benchmarks: {error}; choose another --out") from error
    if (old.machine.get("cpu"), old.quick) == (machine["cpu"], quick):
        old.machine, old.blas = machine, fresh.blas
        return old
    if whole:
        return fresh
    what = "a quick run" if old.quick else f"measured on {old.machine.get('cpu')}"
    raise ValueError(f"{path} is {what}, whose rows do not compare with these: choose another --out, or run all rows")
