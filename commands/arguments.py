"""Kinds of options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

# there or not, without a --no- of its own
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
# all values after one flag
SEVERAL = Parameter(consume_multiple=True, negative=(), show_default=lambda values: " ".join(map(str, values)))


def nearest(name: str, names: Sequence[str]) -> str:
    """A question after the one of the names that was meant, or nothing where none is near."""
    from difflib import get_close_matches

    lower = {known.lower(): known for known in names}
    near = get_close_matches(name.lower(), lower, n=1)
    return f"did you mean {lower[near[0]]}? " if near else ""
