"""`stochep sweep`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from commands.arguments import Flag
from commands.progress import SECONDS_BETWEEN_LINES, watched
from commands.streams import FAILED, complain, console, heed_polite_kills, print_json, print_table, refuse

if TYPE_CHECKING:
    from figures.sweep.clock import Clock

SECONDS_BETWEEN_COUNTS = 1.0


def sweep(
    experiment: Path,
    *,
    overrides: Annotated[
        tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=(), show_default=False)
    ] = (),
    workers: int | None = None,
    cluster: str | None = None,
    out: Path = Path("runs"),
    json: Flag = False,
) -> int:
    """Compute the grid of gradient errors that a file describes; the same command goes on where one was stopped or killed.

    Writes OUT/NAME/cells, a file a cell, and at the end NAME.csv, NAME.pdf, NAME.png and NAME.json beside them.

    Parameters
    ----------
    experiment
        A TOML file, for instance experiments/bias_sweep.toml.
    overrides
        key=value with a dotted key, any number of them: --set grid.temperatures=[1.0,2.0] seeds=[0]
    workers
        Processes to start on this machine, as many as it has processors unless given.
    cluster
        The address of a dask.distributed scheduler, tcp://HOST:PORT, whose workers compute instead.
    out
        The folder for sweeps.
    json
        One JSON document on stdout in place of the table.
    """
    import msgspec

    from dynamics.kernel import uncached
    from dynamics.provenance import make_writable, provenance
    from figures.sweep import conduct, grid, outcome
    from figures.sweep.workers import ClusterLost

    heed_polite_kills()
    name, again = str(experiment), "the cells that are done are kept, the same command goes on from there"
    try:
        plan = grid.load(experiment, overrides)
        name, folder = plan.name, out / plan.name
        if cluster is None and (reason := uncached()):
            print(f"{name}: compiled kernels {reason}", file=sys.stderr, flush=True)
        with conduct.opened(cluster, workers) as pool:
            make_writable(folder / "cells")
            rows, failures = conduct.fill(plan, folder / "cells", pool, partial(counted, name))
        written = conduct.publish(plan, rows, folder) if rows else []
    except ValueError as error:
        return refuse(error)
    except (ClusterLost, OSError) as error:
        reason = error if isinstance(error, ClusterLost) else f"{out} cannot be written to: {error.strerror or error}"
        return complain(f"{name} failed: {reason}; {again}")
    except KeyboardInterrupt:
        return complain(f"{name} stopped; {again}")
    for cell, reason in failures.items():
        complain(f"{name}: {cell} failed: {reason}")
    document = outcome.document(plan, rows)
    if json:
        failed = [{"cell": msgspec.structs.asdict(cell), "reason": reason} for cell, reason in failures.items()]
        print_json({**provenance(), **document, "failed": failed})
    else:
        print_table(outcome.table(document))
    print(*written, sep="\n", file=sys.stderr if json else sys.stdout)
    return FAILED if failures else 0


@contextmanager
def counted(title: str, clock: Clock, count: Callable[[], int]) -> Iterator[Callable[[], None]]:
    """Shows the clock whenever it is called: a bar on a terminal, a line every ten seconds elsewhere, on stderr.

    count: how many workers there are, asked once a second.
    """
    begin = monotonic()
    found, to_do = clock.done, clock.total - clock.done
    clock.workers, asked = count(), begin

    def look() -> None:
        nonlocal asked
        if monotonic() - asked >= SECONDS_BETWEEN_COUNTS:
            clock.workers, asked = count(), monotonic()

    print(
        f"{title}: {clock.total} cells, {found} done before, {to_do} to do on {_count(clock.workers, 'worker')}",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    if watched():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
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
            if monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = monotonic()
                print(f"{title}: {clock.done}/{clock.total} cells, {_left(clock)}", file=sys.stderr, flush=True)

        yield line
    seconds = monotonic() - begin
    print(f"{title}: {clock.done}/{clock.total} cells after {seconds:.0f} s", file=sys.stderr, flush=True)


def _left(clock: Clock) -> str:
    if not clock.workers:
        return "no worker is there, waiting for one"
    seconds = clock.seconds_left
    return "compiling first where needed" if seconds is None else f"{seconds:.0f} s left"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
