"""A sweep from what is already there to its last file: cells found, cells computed, then table and figure.

Main results: opened, fill, publish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynamics.provenance import processors, remove_leftovers, write_atomically
from figures import page
from figures.sweep import cells as store
from figures.sweep import grid, outcome, workers
from figures.sweep.cells import Row
from figures.sweep.clock import Clock
from figures.sweep.grid import Cell, Sweep
from figures.sweep.worker import Outcome

# processes of one machine
MOST_WORKERS = 1024


@contextmanager
def opened(cluster: str | None, count: int | None) -> Iterator[workers.Pool]:
    """The workers of a cluster, or `count` processes here (as many as processors unless given); ValueError says what is wrong."""
    if cluster is not None and count is not None:
        raise ValueError(f"--workers {count} are started here, --cluster {cluster} has its own: leave one out")
    if count is not None and count < 1:
        raise ValueError(f"--workers must be at least 1, got {count}")
    if count is not None and count > MOST_WORKERS:
        raise ValueError(f"--workers must be at most {MOST_WORKERS:,}, got {count}: a process each is begun here")
    if cluster is None:
        yield workers.Local(processors() if count is None else count)
        return
    with workers.Cluster(cluster) as pool:
        yield pool


# shows a clock, given how many workers there are, as often as what it yields is called
Watch = Callable[[Clock, Callable[[], int]], AbstractContextManager[Callable[[], None]]]


def fill(sweep: Sweep, folder: Path, pool: workers.Pool, watch: Watch) -> tuple[dict[Cell, Row], dict[Cell, str]]:
    """Compute the cells that the folder lacks, each kept as it comes; all rows in the table's order, and why cells failed.

    Raises OSError when a file cannot be written and workers.ClusterLost; what is written stays.
    """
    remove_leftovers(folder)
    every = grid.cells(sweep)
    rows = store.find(folder, every)
    # by names, which are hashes: the cells done at any time are a fair sample of those to come, and so are their times
    lacking = sorted((cell for cell in every if cell not in rows), key=lambda cell: cell.name)
    failures: dict[Cell, str] = {}
    if lacking:
        clock = Clock(lacking, len(rows))
        with watch(clock, pool.count) as show:
            workers.run(pool, lacking, _Desk(folder, rows, failures, clock, show))
    return {cell: rows[cell] for cell in every if cell in rows}, failures


@dataclass(frozen=True)
class _Desk:
    """Keeps what comes back, and the time."""

    folder: Path
    rows: dict[Cell, Row]
    failures: dict[Cell, str]
    clock: Clock
    show: Callable[[], None]

    def settle(self, cell: Cell, found: Outcome) -> None:
        self.rows[cell] = store.keep(self.folder, cell, found.row)
        self.clock.settle(cell, found)

    def fail(self, cell: Cell, reason: str) -> None:
        self.failures[cell] = reason
        self.clock.drop(cell)

    def look(self) -> None:
        self.show()


def publish(sweep: Sweep, rows: dict[Cell, Row], folder: Path) -> list[Path]:
    """Write NAME.csv, NAME.pdf, NAME.png and NAME.json, each whole or not at all; their paths. Raises OSError."""
    data = outcome.document(sweep, rows)
    table = folder / f"{sweep.name}.csv"
    write_atomically(table, outcome.csv(data).encode())
    return [table, *page.publish(sweep.name, data, outcome.draw, folder)]
