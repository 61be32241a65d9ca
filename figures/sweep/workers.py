"""Cells handed out to an Executor, processes of this machine or workers of a cluster, until each is done or said to have failed.

Main results: Pool, Local, Cluster, Desk, run, ClusterLost, processors.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import get_context
from typing import Protocol

from figures.sweep import worker
from figures.sweep.grid import Cell
from figures.sweep.worker import Outcome

INSTALL = "pip install 'stochep[cluster]'"
SECONDS_TO_CONNECT = 10
SECONDS_BETWEEN_LOOKS = 0.5


class ClusterLost(RuntimeError):
    """The scheduler is gone."""


class Desk(Protocol):
    """What becomes of the cells that come back."""

    def settle(self, cell: Cell, found: Outcome) -> None:
        """A cell is computed."""
        ...

    def fail(self, cell: Cell, reason: str) -> None:
        """A cell is given up."""
        ...

    def look(self) -> None:
        """Called now and then."""
        ...


class Pool(Protocol):
    """Where cells are computed."""

    # cells handed out at a time; None: all of them, the scheduler keeps them
    window: int | None

    def executor(self) -> AbstractContextManager[Executor]:
        """A fresh Executor; left by an exception, it drops what is under way."""
        ...

    def count(self) -> int:
        """How many workers there are now."""
        ...


class Local:
    """`workers` processes of this machine, of one thread each; started afresh, since a fork may not use OpenMP again."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # one waits for each that is computed, so that no worker does; few are suspects when one is lost
        self.window = 2 * workers

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        context = get_context("spawn")
        reader, writer = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=worker.begin, initargs=(reader,))
        try:
            yield pool
        except BaseException:
            # the workers end in the midst of their cells
            writer.close()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            writer.close()
            reader.close()

    def count(self) -> int:
        return self.workers


class Cluster:
    """The workers of a dask.distributed scheduler, however many come and go. Use it in a with statement."""

    window = None

    def __init__(self, address: str) -> None:
        """Connect; ValueError when there is no dask.distributed here, no scheduler there, or workers of another version."""
        try:
            from distributed import Client
            from distributed.comm import get_address_host_port
        except ImportError as error:
            raise ValueError(f"--cluster needs dask.distributed, which is not installed: {INSTALL}") from error
        self.address = address
        try:
            # a Client that finds nobody takes long to go, and complains
            socket.create_connection(get_address_host_port(address), SECONDS_TO_CONNECT).close()
            self.client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
        except (OSError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(
                f"--cluster {address} cannot be reached: start `dask scheduler` and name its address, tcp://HOST:PORT"
            ) from error
        try:
            self._refuse_other_versions()
        except BaseException:
            self.client.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        # a scheduler that is gone cannot be told
        with suppress(OSError, TimeoutError):
            self.client.close()

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        from distributed import CommClosedError

        pool = self.client.get_executor(pure=False)
        try:
            yield pool
        except BaseException as error:
            with suppress(OSError, TimeoutError):
                pool.shutdown(wait=False)
            if isinstance(error, CommClosedError):
                raise ClusterLost(f"the scheduler at {self.address} is gone") from error
            raise

    def count(self) -> int:
        try:
            return len(self.client.nthreads())
        except (OSError, TimeoutError) as error:
            raise ClusterLost(f"the scheduler at {self.address} is gone") from error

    def _refuse_other_versions(self) -> None:
        for name, found in self.client.run(worker.version, on_error="return").items():
            if isinstance(found, Exception):
                raise ValueError(
                    f"--cluster {self.address}: worker {name} lacks this package ({found}): {INSTALL} there"
                )
            if tuple(found) != worker.version():
                raise ValueError(
                    f"--cluster {self.address}: worker {name} has versions {tuple(found)} of files and random numbers, not "
                    f"{worker.version()}: install the same stochep there"
                )


def run(pool: Pool, cells: Sequence[Cell], desk: Desk) -> None:
    """Compute the cells; each is settled, or fails with a reason.

    When a worker is lost, any cell that was handed out may have brought it down: each is computed once more, by itself, and one
    that loses its worker again is not tried a third time. A cluster's scheduler hands them out again itself.
    Raises ClusterLost, and what the desk raises; then cells under way are dropped.
    """
    waiting, suspects = deque(cells), deque[Cell]()
    tried: set[Cell] = set()
    while waiting or suspects:
        with pool.executor() as executor:
            lost = _hand_out(executor, suspects, 1, desk)
            if not lost:
                lost = _hand_out(executor, waiting, pool.window, desk)
        for cell in lost:
            if cell in tried:
                desk.fail(
                    cell, "its worker died twice, the second time with nothing else to do: is there too little memory?"
                )
            else:
                tried.add(cell)
                suspects.append(cell)


def _hand_out(executor: Executor, cells: deque[Cell], window: int | None, desk: Desk) -> list[Cell]:
    """Compute `cells`, at most `window` at a time, until none is left or a worker is lost; the cells that were lost with it."""
    under_way: dict[Future[Outcome], Cell] = {}
    lost: list[Cell] = []
    broken = False
    while under_way or (cells and not broken):
        while cells and not broken and (window is None or len(under_way) < window):
            try:
                under_way[executor.submit(worker.compute, cells[0])] = cells[0]
                cells.popleft()
            except BrokenExecutor:
                broken = True
        for future in wait(under_way, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done:
            cell = under_way.pop(future)
            if future.cancelled():
                raise ClusterLost("the scheduler is gone, or has dropped the cells that are left")
            error = future.exception()
            if error is None:
                desk.settle(cell, future.result())
            elif isinstance(error, BrokenExecutor):
                broken = True
                lost.append(cell)
            else:
                desk.fail(cell, _reason(error))
        desk.look()
    return lost


def _reason(error: BaseException) -> str:
    if type(error).__name__ == "KilledWorker":
        return "each worker that it was handed to died: is there too little memory?"
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | RuntimeError) and text else f"{type(error).__name__}: {text}"


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
