"""Race this package against its peers, and write results/bench.json.

    python -m benchmarks [--quick] [--rows NAME …] [--threads 1 2] [--out results/bench.json]

A peer that is not here is left out and named. Rows named on the command line take the place of the same rows in the file. Exit
code 1 when two sides compute different things, or one of them fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks import memory, profile, roofline, scaling
from benchmarks.contender import MissingPeer
from benchmarks.race import Setting, Unequal
from benchmarks.record import SECTIONS, Record, opened
from benchmarks.rows import ROWS
from dynamics.provenance import make_writable

# load of other work from which on a run says so
BUSY = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for, saving after every row."""
    names = (*ROWS, *SECTIONS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, one repeat: does it run? its numbers mean nothing"
    )
    parser.add_argument("--rows", nargs="+", default=names, choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], choices=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("results/bench.json"))
    options = parser.parse_args(arguments)
    setting = Setting(quick=options.quick, threads=tuple(sorted(set(options.threads))))
    try:
        make_writable(options.out.parent)
        record = opened(options.out, quick=options.quick, whole=set(options.rows) == set(names))
    except ValueError as error:
        parser.error(str(error))
    if record.machine["load"] > BUSY:
        print(f"the machine is busy, load {record.machine['load']:.1f}: two-thread times suffer first", file=sys.stderr)
    failed = False
    for name in options.rows:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            _measure(name, setting, record)
        except MissingPeer as reason:
            record.leave_out(name, str(reason))
        except (Unequal, RuntimeError) as reason:
            record.leave_out(name, str(reason))
            failed = True
        if name in record.left_out:
            print(f"{name}: left out: {record.left_out[name]}", flush=True)
        record.save(options.out)
    return int(failed)


def _measure(name: str, setting: Setting, record: Record) -> None:
    """Measure one row or section, put it into the record and print it."""
    if name in ROWS:
        records = ROWS[name].records(setting)
        record.put(name, records)
        for row in records:
            print(_line(row), flush=True)
        return
    if name == "roofline":
        record.roofline = roofline.measure(setting)
    elif name == "scaling":
        record.scaling = scaling.measure(setting)
    elif name == "profile":
        record.profile = profile.measure(setting)
        for work in record.profile:
            print(_parts(work), flush=True)
    else:
        record.memory, missing = memory.against_steps(setting)
        stale = [kind for kind in record.left_out if kind.startswith("memory of")]
        for kind in stale:
            del record.left_out[kind]
        record.left_out |= missing
    record.left_out.pop(name, None)
    print(f"{name}: measured", flush=True)


def _parts(work: dict[str, Any]) -> str:
    parts = ", ".join(f"{part['part']} {100 * part['share']:.0f} %" for part in work["parts"])
    return f"{work['work']}: {1e6 * work['seconds']:.0f} µs a {work['unit']}: {parts}"


def _line(row: dict[str, Any]) -> str:
    goal = f", floor {row['floor']:g}, goal {row['goal']:g}" if row["floor"] is not None else ""
    return (
        f"{row['name']} against {row['peer']}: {row['ratio']:.2f} × ({row['low']:.2f} to {row['high']:.2f}; "
        f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}, {row['clock']}{goal})"
    )


if __name__ == "__main__":
    sys.exit(main())
