"""Kinds of options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

# there or not, without a --no- of its own
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
# all values after one flag
SEVERAL = Parameter(consume_multiple=True, negative=(), show_default=lambda values: " ".join(map(str, values)))


def unknown(what: str, given: Sequence[str], names: Sequence[str], *, called: str = "names") -> str | None:
    """The sentence for the first that is given and is no `what` of these names; None where all are."""
    wrong = next((name for name in given if name not in names), None)
    return (
        None if wrong is None else f"no {what} {wrong!r}: {_nearest(wrong, names)}the {called} are {', '.join(names)}"
    )


def _nearest(name: str, names: Sequence[str]) -> str:
    """A question after the one of the names that was meant, or nothing where none is near."""
    from difflib import get_close_matches

    lower = {known.lower(): known for known in names}
    near = get_close_matches(name.lower(), lower, n=1)
    return f"did you mean {lower[near[0]]}? " if near else ""
