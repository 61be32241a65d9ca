"""How far a sweep is and how long it still takes, from the seconds that its own cells took.

Main results: Clock.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from figures.sweep.grid import Cell
from figures.sweep.worker import Outcome


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
