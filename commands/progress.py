"""How far a computation is, on stderr: bars on a terminal, plain lines elsewhere.

Main results: board, bar, steps, watched.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from commands.streams import console

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

# of a training or a claim that is not watched on a terminal
SECONDS_BETWEEN_LINES = 10.0


def watched() -> bool:
    """Whether stderr is a terminal that can move its cursor; FORCE_COLOR asks for colours, not for that."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def board() -> Iterator[Lines | Marks]:
    """Several computations at once, each under its title."""
    if not watched():
        yield Lines()
        return
    with _bars() as bars:
        yield Marks(bars)


@contextmanager
def bar(title: str) -> Iterator[Callable[[float], None]]:
    """One computation; takes fractions done."""
    with board() as shown:
        shown.start(title)
        yield lambda fraction: shown.move(title, fraction)
        shown.end(title)


class Lines:
    """A line at the start, at each quarter and at the end; a figures.press.Board, as are Marks."""

    def __init__(self) -> None:
        self._starts: dict[str, float] = {}
        self._quarters: dict[str, int] = {}

    def start(self, title: str) -> None:
        self._starts[title], self._quarters[title] = monotonic(), 1
        self.say(f"{title}: computing")

    def move(self, title: str, fraction: float) -> None:
        while self._quarters[title] < 4 and 4 * fraction >= self._quarters[title]:
            self.say(f"{title}: {25 * self._quarters[title]} % after {monotonic() - self._starts[title]:.0f} s")
            self._quarters[title] += 1

    def end(self, title: str) -> None:
        self.say(f"{title}: done after {monotonic() - self._starts[title]:.0f} s")

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def put(self, result: str) -> None:
        print(result, flush=True)


class Marks:
    """A bar each, and sentences above them."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def start(self, title: str) -> None:
        self._tasks[title] = self._bars.add_task(title, total=1.0)

    def move(self, title: str, fraction: float) -> None:
        self._bars.update(self._tasks[title], completed=fraction)

    def end(self, title: str) -> None:
        self.move(title, 1.0)

    def say(self, sentence: str) -> None:
        self._bars.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def put(self, result: str) -> None:
        # on the same terminal only the bars' own console knows where the bars are
        if sys.stdout.isatty():
            self.say(result)
        else:
            print(result, flush=True)


@contextmanager
def steps(total: int) -> Iterator[Callable[[str], Callable[[float], None]]]:
    """One thing after another: takes what comes next, and gives what takes the fraction of it that is done."""
    done = 0

    def numbered(text: str) -> str:
        nonlocal done
        done += 1
        return f"[{done}/{total}] {text}"

    if not watched():
        yield lambda text: _lines(numbered(text))
        return
    with _bars() as bars:
        task = bars.add_task("", total=total)

        def begin(text: str) -> Callable[[float], None]:
            bars.update(task, description=numbered(text), completed=done - 1)
            return lambda fraction: bars.update(task, completed=done - 1 + fraction)

        yield begin
        bars.update(task, completed=total)


def _lines(title: str) -> Callable[[float], None]:
    """A line now, and then one every ten seconds."""
    start = last = monotonic()
    print(title, file=sys.stderr, flush=True)

    def move(fraction: float) -> None:
        nonlocal last
        if monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = monotonic()
            print(f"{title}: {100 * fraction:.0f} % after {last - start:.0f} s", file=sys.stderr, flush=True)

    return move


def _bars() -> Bars:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    # a title is what it is: brackets in it are no markup
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # stdout is not taken along: results belong into the file or the pipe that it is
    return Bars(*columns, console=console(stderr=True), redirect_stdout=False)
