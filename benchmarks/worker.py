"""A contender in a process of its own, with its own threads and libraries, that does what it is told line by line.

    python -m benchmarks.worker MODULE:FACTORY '{"argument": value}'

Commands on stdin: `run COUNT`, `outcome SEED FILE.npz`, `memory`; each is answered by one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.contender import Contender, MissingPeer


def answer(contender: Contender, command: str, *words: str) -> dict[str, Any]:
    """What a command measured: seconds of process CPU and of wall clock a run, or the peak of resident memory in bytes."""
    if command == "run":
        count = int(words[0])
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            contender.run()
        return {"cpu": (time.process_time() - cpu) / count, "wall": (time.perf_counter() - wall) / count}
    if command == "outcome":
        arrays: dict[str, Any] = dict(contender.outcome(int(words[0])))
        np.savez(words[1], **arrays)
        return {}
    if command == "memory":
        return {"peak": peak_memory()}
    raise ValueError(f"command must be run, outcome or memory, got {command!r}")


def peak_memory() -> int:
    """The largest resident memory so far, in bytes; getrusage's would begin at that of the process that started this one."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def blas() -> str:
    """The kernels of the BLAS libraries in this process, "openblas SkylakeX"."""
    found = {
        f"{pool['internal_api']} {pool.get('architecture') or ''}".strip()
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "none"


def main() -> int:
    """Build the contender, or say which peer is missing, then serve."""
    # a peer that prints must not garble the answers
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=channel, flush=True)

    module, _, factory = sys.argv[1].partition(":")
    try:
        contender = getattr(import_module(module), factory)(**json.loads(sys.argv[2]))
    except MissingPeer as missing:
        say({"missing": str(missing)})
        return 0
    say({"library": contender.library, "blas": blas()})
    for line in sys.stdin:
        say(answer(contender, *line.split()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
