"""How far a sweep is and how long it still takes, from the seconds that its own cells took.

Main results: Clock, progress.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from figures.sweep.grid import Cell
from figures.sweep.worker import Outcome

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_COUNTS = 1.0


class Clock:
    """Cells done, of all; seconds left, of the cells that this call computes.

    What a cell takes depends on its estimator most of all: the rest is what is left of each at its mean so far. Cells found done
    do not count; nor does a process's first of an estimator, which may compile, once there is another.
    """

    def __init__(self, cells: Sequence[Cell], found: int) -> None:
        self.total, self.done = len(cells) + found, found
        # those there are, at the last look
        self.workers = 0
        self._left: dict[str, int] = defaultdict(int)
        for cell in cells:
            self._left[cell.estimator] += 1
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._first_seconds: dict[str, list[float]] = defaultdict(list)
        self._last = time.monotonic()

    def settle(self, cell: Cell, outcome: Outcome) -> None:
        """Count a cell as done, and take its time."""
        (self._first_seconds if outcome.first else self._seconds)[cell.estimator].append(outcome.seconds)
        self.done += 1
        self.drop(cell)

    def drop(self, cell: Cell) -> None:
        """Count a cell as no longer to come."""
        self._left[cell.estimator] -= 1
        self._last = time.monotonic()

    @property
    def seconds_left(self) -> float | None:
        """None as long as no cell is computed, or when there are no workers."""
        every = [second for taken in (self._seconds or self._first_seconds).values() for second in taken]
        if not every or not self.workers:
            return None
        work = 0.0
        for estimator, count in self._left.items():
            taken = self._seconds.get(estimator) or self._first_seconds.get(estimator) or every
            work += count * sum(taken) / len(taken)
        # the cells under way are that much further by now
        return max(0.0, work / self.workers - (time.monotonic() - self._last))


@contextmanager
def progress(title: str, clock: Clock, count: Callable[[], int]) -> Iterator[Callable[[], None]]:
    """Shows the clock whenever it is called: a bar on a terminal, a line every ten seconds elsewhere, on stderr.

    count: how many workers there are, asked once a second.
    """
    console, begin = Console(stderr=True), time.monotonic()
    found, to_do = clock.done, clock.total - clock.done
    clock.workers, asked = count(), begin

    def look() -> None:
        nonlocal asked
        if time.monotonic() - asked >= SECONDS_BETWEEN_COUNTS:
            clock.workers, asked = count(), time.monotonic()

    print(
        f"{title}: {clock.total} cells, {found} done before, {to_do} to do on {_count(clock.workers, 'worker')}",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=clock.total, completed=found, left=_left(clock))

            def move() -> None:
                look()
                bar.update(task, completed=clock.done, left=_left(clock))

            yield move
    else:
        last = begin

        def line() -> None:
            nonlocal last
            look()
            if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                print(f"{title}: {clock.done}/{clock.total} cells, {_left(clock)}", file=sys.stderr, flush=True)

        yield line
    seconds = time.monotonic() - begin
    print(f"{title}: {clock.done}/{clock.total} cells after {seconds:.0f} s", file=sys.stderr, flush=True)


def _left(clock: Clock) -> str:
    if not clock.workers:
        return "no worker is there, waiting for one"
    seconds = clock.seconds_left
    return "compiling first where needed" if seconds is None else f"{seconds:.0f} s left"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
