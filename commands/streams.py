"""Exit codes, and how sentences, tables and documents are printed: results go to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FAILED, USAGE = 1, 2
# characters of a sentence that refuses
MOST_SHOWN = 1500


def refuse(error: Exception | str) -> int:
    """Say what is wrong with the command line; its exit code."""
    return complain(error, USAGE)


def complain(error: Exception | str, code: int = FAILED) -> int:
    """One line on stderr that says what is wrong or stopped; the exit code.

    What a file or an argument made longer than can be read is cut in its middle, and nothing moves a terminal's cursor.
    """
    text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in " ".join(str(error).split()))
    if len(text) > MOST_SHOWN:
        text = f"{text[: MOST_SHOWN // 2]} … {text[-MOST_SHOWN // 2 :]}"
    print(f"stochep: {text}", file=sys.stderr, flush=True)
    return code


def unreadable(text: str) -> bool:
    """Whether an argument holds a NUL character or bytes that are not UTF-8, which Python keeps as surrogates."""
    return any(one == "\0" or "\ud800" <= one <= "\udfff" for one in text)


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Where rich prints; with NO_COLOR in the environment without escape codes for looks, bold included."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, color_system=None if os.environ.get("NO_COLOR") else "auto")


def print_table(lines: Table) -> None:
    # a narrow pipe must not cut columns off
    needed = console(width=1000).measure(lines).maximum
    console(width=max(console().width, needed)).print(lines)


def heed_polite_kills() -> None:
    """A SIGTERM stops a computation as Ctrl-C does."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)


def print_json(document: Any) -> None:
    """One JSON document on a line of stdout."""
    import msgspec

    print(msgspec.json.encode(document).decode())
