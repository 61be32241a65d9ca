"""Exit codes, and how sentences and tables are printed: results go to stdout, all else to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

FAILED, USAGE = 1, 2


def refuse(error: Exception | str) -> int:
    print(f"stochep: {error}", file=sys.stderr)
    return USAGE


def print_table(lines: Table) -> None:
    from rich.console import Console

    # a narrow pipe must not cut columns off
    needed = Console(width=1000).measure(lines).maximum
    Console(width=max(Console().width, needed)).print(lines)
