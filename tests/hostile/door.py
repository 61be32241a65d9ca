"""The front door as these tests use it: what a command line answered, and within which memory."""

from __future__ import annotations

import contextlib
import io
import resource
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import stochep

# of address space, above what the process has when a command begins
BOUND = 2**30


class Answer(NamedTuple):
    """code None: what should have been a sentence was an exception, and err is its traceback."""

    code: int | None
    out: str
    err: str


@contextlib.contextmanager
def bounded(extra: int) -> Iterator[None]:
    """Refuse this process more address space than it has and `extra`: what would take more is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def ask(arguments: list[str], extra: int = BOUND) -> Answer:
    """One command line, in this process, within the bound."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), bounded(extra):
        try:
            code = stochep.run(arguments)
        except Exception:
            return Answer(None, out.getvalue(), traceback.format_exc())
    return Answer(code, out.getvalue(), err.getvalue())


def fault(answer: Answer, names: tuple[str, ...]) -> str:
    """Why an answer is neither a result nor one sentence with one of the names in it; "" when it is."""
    if answer.code is None or "Traceback" in answer.err:
        return answer.err[-600:]
    if answer.code == 0:
        return ""
    sentences = [line for line in answer.err.split("\n") if line.startswith("stochep: ")]
    if answer.code not in (1, 2) or len(sentences) != 1 or not answer.err.endswith(f"{sentences[0]}\n"):
        return f"exit code {answer.code} without one last sentence: {answer.err[-300:]!r}"
    if not sentences[0].isprintable() or not 20 < len(sentences[0]) < 2000:
        return f"no clear sentence: {sentences[0][:300]!r} of {len(sentences[0])} characters"
    if not any(name in sentences[0] for name in names):
        return f"none of {names} is named: {sentences[0][:600]}"
    return ""
