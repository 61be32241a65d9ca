"""Draw figures, several side by side in processes of their own; what comes out does not depend on how many.

Main results: draw, Drawn, Board.

Every figure is computed with one BLAS thread, and kernels do not depend on theirs, so that a file is the same byte by byte
whatever the number of workers.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from queue import Empty
from threading import Event, Thread
from typing import Any, NamedTuple, Protocol

import numba
from threadpoolctl import threadpool_limits

from figures import inputs, page

# those that take longest begin first: one that began last would be drawn alone
LONGEST = ("gradient_quality", "claim_tightness", "gradient_bias", "comparators")
# seconds between two looks at whether there is an end to wait for
PATIENCE = 0.2


class Board(Protocol):
    """Where progress is shown: a figure starts, moves to a fraction and ends; a sentence is said as it is."""

    def start(self, title: str) -> None: ...
    def move(self, title: str, fraction: float) -> None: ...
    def end(self, title: str) -> None: ...
    def say(self, sentence: str) -> None: ...


class Drawn(NamedTuple):
    """What became of a figure: status "drawn", "unchanged" or "failed", then without paths and with what the problem was."""

    name: str
    status: str
    paths: list[Path]
    problem: str | None = None


def draw(names: Sequence[str], folder: Path, *, workers: int, anew: bool, board: Board) -> Generator[Drawn, None, None]:
    """Draw the figures that are not current (all of them if anew), at most `workers` at once; in the order of names.

    With one worker, or one figure, in this process. A figure that fails is said on the board, and the others go on.
    """
    digests = {name: inputs.digest(name) for name in names}
    stale = [name for name in names if anew or not inputs.is_current(name, digests[name], folder)]
    workers = min(workers, len(stale))
    studio = _side_by_side(stale, folder, digests, workers, board) if workers > 1 else _here(folder, digests, board)
    with studio as drawn:
        for name in names:
            yield drawn(name) if name in stale else Drawn(name, "unchanged", page.paths(name, folder))


@contextmanager
def _here(folder: Path, digests: dict[str, str], board: Board) -> Iterator[Callable[[str], Drawn]]:
    yield lambda name: _drawn(name, folder, digests[name], board)


def _drawn(name: str, folder: Path, digest: str, board: Board) -> Drawn:
    script = import_module(f"figures.{name}")
    board.start(name)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            data = script.compute(report=lambda fraction: board.move(name, fraction))
        written = page.publish(name, data, script.draw, folder, digest)
    # the board's reader is gone: no fault of the figure
    except BrokenPipeError:
        raise
    except Exception as error:
        return _failed(name, error, board)
    board.end(name)
    return Drawn(name, "drawn", written)


def _failed(name: str, error: Exception, board: Board) -> Drawn:
    # an error of the project's own explains itself, any other is named
    told = str(error) if isinstance(error, ValueError | OSError | RuntimeError) else f"{type(error).__name__}: {error}"
    board.say(f"stochep: {name} failed: {told}")
    return Drawn(name, "failed", [], told)


@contextmanager
def _side_by_side(
    names: Sequence[str], folder: Path, digests: dict[str, str], workers: int, board: Board
) -> Iterator[Callable[[str], Drawn]]:
    """Processes that share the cores; none outlives this."""
    context, others, over = multiprocessing.get_context("spawn"), set(multiprocessing.active_children()), Event()
    told = context.Queue()
    threads = max(1, numba.get_num_threads() // workers)
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(told, threads))
    listener = Thread(target=_relay, args=(told, board, over), daemon=True)
    listener.start()
    try:
        order = sorted(names, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))
        futures = {name: executor.submit(_remotely, name, folder, digests[name]) for name in order}
        yield lambda name: _outcome(name, futures[name], board)
        executor.shutdown()
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        over.set()
        # what a process was saying when it was ended never comes to its end
        listener.join(timeout=10 * PATIENCE)


def _outcome(name: str, future: Future[Drawn], board: Board) -> Drawn:
    try:
        return future.result()
    except BrokenProcessPool:
        died = RuntimeError("a drawing process died, perhaps for want of memory: try --workers 1")
        return _failed(name, died, board)


def _relay(told: Any, board: Board, over: Event) -> None:
    """Hand on to the board what the processes say, until it is over and all is said."""
    while True:
        try:
            verb, *words = told.get(timeout=PATIENCE)
        except Empty:
            if over.is_set():
                return
            continue
        getattr(board, verb)(*words)


class _Distant:
    """A Board in another process. A fraction is told when its percentage changes."""

    def __init__(self, told: Any) -> None:
        self._told, self._percent = told, 0

    def start(self, title: str) -> None:
        self._percent = 0
        self._told.put(("start", title))

    def move(self, title: str, fraction: float) -> None:
        if (percent := int(100 * fraction)) > self._percent:
            self._percent = percent
            self._told.put(("move", title, fraction))

    def end(self, title: str) -> None:
        self._told.put(("end", title))

    def say(self, sentence: str) -> None:
        self._told.put(("say", sentence))


class _Lines(io.TextIOBase):
    """A process's stderr: whole lines, said on the board with the name of the figure."""

    def __init__(self, board: Board) -> None:
        self.title, self._board, self._begun = "figures", board, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._board.say(f"{self.title}: {line}")
        return len(text)


_BOARD: _Distant
_STDERR: _Lines


def _begin(told: Any, threads: int) -> None:
    """Make a process ready to draw."""
    global _BOARD, _STDERR
    # Ctrl-C reaches every process of a terminal, and the first one answers it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow, daemon=True).start()
    numba.set_num_threads(threads)
    _BOARD = _Distant(told)
    sys.stderr = _STDERR = _Lines(_BOARD)


def _follow() -> None:
    """End when the process that started this one has, however it did."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _remotely(name: str, folder: Path, digest: str) -> Drawn:
    _STDERR.title = name
    return _drawn(name, folder, digest, _BOARD)
