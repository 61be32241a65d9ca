"""Cells handed out to an Executor, processes of this machine or workers of a cluster, until each is done or said to have failed.

Main results: Pool, Local, Processes, Cluster, Desk, run, ClusterLost.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import get_context
from queue import SimpleQueue
from typing import Any, Protocol, cast

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

    @property
    def window(self) -> int | None:
        """Cells handed out at a time; None: all of them, a scheduler keeps them."""
        ...

    def executor(self) -> AbstractContextManager[Executor]:
        """A fresh Executor; left by an exception, it drops what is under way."""
        ...

    def count(self) -> int:
        """How many workers there are now."""
        ...


class Local:
    """`workers` processes of this machine, of one thread each."""

    def __init__(self, workers: int) -> None:
        self.window = workers

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        reader, writer = get_context("spawn").Pipe(duplex=False)
        pool = Processes(self.window, reader)
        try:
            yield pool
        except BaseException:
            # the processes end in the midst of their cells
            writer.close()
            raise
        finally:
            pool.shutdown()
            writer.close()
            reader.close()

    def count(self) -> int:
        return self.window


class Processes(Executor):
    """A ProcessPoolExecutor of one process for each worker: a process that dies takes what it computed with it, and nothing else.

    Processes are started afresh, since a fork may not use OpenMP again; `parent` is what `worker.begin` asks for.
    """

    def __init__(self, count: int, parent: Any) -> None:
        self._parent = parent
        self._pools: list[ProcessPoolExecutor] = []
        self._idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for _ in range(count):
            self._idle.put(self._pool())

    def submit(self, fn: Callable[..., Outcome], /, *args: Any, **kwargs: Any) -> Future[Outcome]:
        """A call by an idle process; waits for one."""
        pool = self._idle.get()
        try:
            future = pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            # its process died while it was idle
            pool = self._pool()
            future = pool.submit(fn, *args, **kwargs)

        def back(done: Future[Outcome]) -> None:
            broken = not done.cancelled() and isinstance(done.exception(), BrokenExecutor)
            self._idle.put(self._pool() if broken else pool)

        future.add_done_callback(back)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End all processes once they are done; at once where the parent's pipe is closed."""
        for pool in self._pools:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _pool(self) -> ProcessPoolExecutor:
        """A pool; its process starts with its first call."""
        pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=worker.begin, initargs=(self._parent,)
        )
        self._pools.append(pool)
        return pool


class Cluster:
    """The workers of a dask.distributed scheduler, however many come and go. Use it in a with statement."""

    window = None

    def __init__(self, address: str) -> None:
        """Connect; ValueError when there is no dask.distributed here, no scheduler there, or workers of another version."""
        try:
            from distributed import Client
            from distributed.comm.addressing import get_address_host_port
        except ImportError as error:
            raise ValueError(f"--cluster needs dask.distributed, which is not installed: {INSTALL}") from error
        self.address = address
        # what they would tell of a lost scheduler, with tracebacks, is told here in one sentence
        for logger in ("distributed", "distributed.client", "tornado.application"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
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
        from distributed.comm.core import CommClosedError

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
            return len(cast(dict[str, int], self.client.nthreads()))
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

    A cell whose process dies is computed once more. A cluster's scheduler hands out the cells of a lost worker again itself.
    Raises ClusterLost, and what the desk raises; then cells under way are dropped.
    """
    waiting, tried = deque(cells), set[Cell]()
    under_way: dict[Future[Outcome], Cell] = {}
    with pool.executor() as executor:
        while waiting or under_way:
            while waiting and (pool.window is None or len(under_way) < pool.window):
                cell = waiting.popleft()
                under_way[executor.submit(worker.compute, cell)] = cell
            for future in wait(under_way, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done:
                cell = under_way.pop(future)
                if future.cancelled():
                    raise ClusterLost("the scheduler is gone, or has dropped the cells that are left")
                error = future.exception()
                if error is None:
                    desk.settle(cell, future.result())
                elif isinstance(error, BrokenExecutor) and cell not in tried:
                    tried.add(cell)
                    waiting.append(cell)
                else:
                    desk.fail(cell, _reason(error))
            desk.look()


def _reason(error: BaseException) -> str:
    if isinstance(error, BrokenExecutor):
        return "its process died twice: is there too little memory?"
    # of dask.distributed, which may not be here
    if type(error).__name__ == "KilledWorker":
        return "each worker that it was handed to died: is there too little memory?"
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | RuntimeError) and text else f"{type(error).__name__}: {text}"
