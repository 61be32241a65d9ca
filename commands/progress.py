"""How far a computation is, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamics.crnn.run import Run
    from dynamics.crnn.train import Progress

# of a training that is not watched on a terminal
SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def bar(title: str) -> Iterator[Callable[[float], None]]:
    """Takes fractions done: a bar on a terminal, a line at the start, each quarter and the end elsewhere; on stderr."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    console, start = Console(stderr=True), monotonic()
    if console.is_terminal:
        with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task(title, total=1.0)
            yield lambda fraction: progress.update(task, completed=fraction)
        return
    print(f"{title}: computing, compiling first where needed", file=sys.stderr, flush=True)
    quarter = 1

    def line(fraction: float) -> None:
        nonlocal quarter
        while quarter < 4 and 4 * fraction >= quarter:
            print(f"{title}: {25 * quarter} % after {monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            quarter += 1

    yield line
    print(f"{title}: done after {monotonic() - start:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def progress(one: Run) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line an epoch and every ten seconds elsewhere, on stderr; the first update compiles the kernels."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    epochs, title = one.experiment.training.epochs, f"{one.experiment.name} seed {one.seed}"

    def describe(now: Progress) -> str:
        validated = "" if now.validation_error is None else f", validation error {100 * now.validation_error:.1f} %"
        rates = " ".join(f"{rate:.2f}" for rate in now.rates)
        return f"cost {now.cost:.4f}, error {100 * now.error:.1f} %{validated}, rates {rates}, {now.images_per_second:.0f} images/s"

    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{title}: {epochs - one.state.epoch} epochs to do, compiling first where needed", file=sys.stderr)
        last = monotonic()

        def line(now: Progress) -> None:
            nonlocal last
            if now.share and monotonic() - last < SECONDS_BETWEEN_LINES:
                return
            last = monotonic()
            done = f"{now.epoch}/{epochs}" if not now.share else f"{now.epoch + now.share:.2f}/{epochs}"
            left = f", {now.seconds_left:.0f} s left" if now.seconds_left else ""
            print(f"{title} epoch {done}: {describe(now)}{left}", file=sys.stderr, flush=True)
            if now.warning and not now.share:
                print(f"{title} epoch {done}: {now.warning}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{title}, compiling", total=epochs, completed=one.state.epoch, left="")

        def move(now: Progress) -> None:
            bar.update(
                task,
                completed=now.epoch + now.share,
                description=f"{title}, {describe(now)}",
                left=f"{now.seconds_left:.0f} s left",
            )
            if now.warning and not now.share:
                bar.console.print(f"{title} epoch {now.epoch}/{epochs}: {now.warning}")
