"""What runs in a worker: one cell at a time, on one thread. Nothing here is imported before the threads are set.

Main results: begin, compute, Outcome.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from figures.bias_study import Setting
    from figures.sweep.grid import Cell

# the settings of so many temperatures are kept, for the other estimators and nudgings there
KEPT_SETTINGS = 256
# warning filters, which the study sets, belong to the process: a cluster's worker with several threads takes cells in turn
_ONE_AT_A_TIME = threading.Lock()
_met: set[str] = set()


class Outcome(NamedTuple):
    """A cell's row and the seconds it took; `first` of its estimator in this process, which may have compiled."""

    row: dict[str, Any]
    seconds: float
    first: bool


def begin(parent: Any) -> None:
    """Prepare a process of this machine: one thread, silent, deaf to Ctrl-C, which the parent answers, gone when the parent is.

    parent: a pipe that nobody writes to; it ends when the parent closes it or dies.
    """
    os.environ["NUMBA_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from dynamics.kernel import leave_unsaid

    # a line of this process would tear the parent's bar
    leave_unsaid()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def compute(cell: Cell) -> Outcome:
    """The cell's row as `bias_study.measured` has it, the same bit by bit in any process; raises what that raises."""
    import numba

    from figures import bias_study

    with _ONE_AT_A_TIME:
        # a cluster's worker may have started its threads already: then all but one rest
        numba.set_num_threads(1)
        begin, first = time.perf_counter(), cell.estimator not in _met
        setting = _setting(cell.couplings, cell.size, cell.temperature, cell.reference, cell.samples, cell.seed)
        row = bias_study.measured(setting, cell.nudging, cell.estimator, cell.samples, cell.seed)
        _met.add(cell.estimator)
        return Outcome({**row, "reference_error": setting.blur}, time.perf_counter() - begin, first)


def version() -> tuple[int, int]:
    """The versions of files and random numbers that this process computes by."""
    from dynamics.philox import STREAM_VERSION
    from dynamics.provenance import SCHEMA_VERSION

    return SCHEMA_VERSION, STREAM_VERSION


@lru_cache(KEPT_SETTINGS)
def _setting(couplings: str, size: int, temperature: float, reference: str, samples: int, seed: int) -> Setting:
    from figures import bias_study, networks

    network = networks.family(couplings, size, seed)
    return bias_study.setting(network.at(temperature), network.cost, reference, samples, seed)


def _end_with(parent: Any) -> None:
    try:
        parent.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
