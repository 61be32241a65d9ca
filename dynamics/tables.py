"""TOML files as frozen values: read, overridden key by key, refused with the key's full path and the nearest thing that is known.

Main results: Table, Seed, Positive, read, check_numbers, digest.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, inspect

from dynamics.reading import contents

# Of a file, and of one line in it: tomllib takes a time that grows with the square of a dotted key's parts.
MOST_BYTES, MOST_DOTS = 2**16, 200
MOST_SHOWN = 100
# Of every number but 0: products of a few and their squares stay in the range of float64, each of them in that of float32.
SMALLEST, LARGEST = 1e-30, 1e30
_TOO_DEEP = "nests tables or arrays too deep"

Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Positive = Annotated[float, Meta(gt=0)]

Whole = TypeVar("Whole", bound="Table")


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML table; every key without a default is required."""


def read(path: Path, kind: type[Whole], overrides: Sequence[str] = (), **replaced: Any) -> Whole:
    """The file's table as a `kind`, under overrides "a.b=value" and `replaced` top-level keys; ValueError names key and value."""
    try:
        text = contents(path, MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{error}{_meant(path) if isinstance(error.__cause__, FileNotFoundError) else ''}") from error
    try:
        raw = _parsed(text.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    for override in overrides:
        _override(raw, override)
    raw |= replaced
    try:
        check_numbers(raw)
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {_sentence(str(error), raw, kind)}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path} or --set {_TOO_DEEP}") from error


def check_numbers(value: Any, path: str = "") -> None:
    """ValueError with the path of the first number in nested tables that is neither 0 nor between SMALLEST and LARGEST in size."""
    # nan and inf pass every comparison that asks for too little
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} must be finite, got {value}")
    if isinstance(value, float | int) and value and not SMALLEST <= abs(value) <= LARGEST:
        raise ValueError(f"{path} must be 0 or between {SMALLEST:g} and {LARGEST:g} in size, got {_shown(value)}")
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in pairs:
        check_numbers(inner, f"{path}.{key}".lstrip("."))


def digest(value: Any) -> str:
    """SHA-256 of a value's JSON with sorted keys, in hexadecimal: equal for equal values, on any machine."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def _meant(path: Path) -> str:
    """What to do about a file that is not there."""
    near = difflib.get_close_matches(path.stem, sorted(file.stem for file in path.parent.glob("*.toml")), n=1)
    if near:
        return f"; did you mean {path.with_name(f'{near[0]}.toml')}?"
    return "; the project's own files are in experiments/ of its checkout"


def _parsed(text: str) -> dict[str, Any]:
    """What tomllib reads; ValueError before it would take minutes, or recurse beyond what Python allows."""
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {MOST_DOTS} dots, of numbers or of dotted keys")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _override(raw: dict[str, Any], override: str) -> None:
    """Write one "a.b=value" into the raw tables; the value reads as TOML, or else as a string."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ValueError(f"--set takes key=value with a dotted key, got {override!r}: try --set training.epochs=5")
    try:
        value = _parsed(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except ValueError as error:
        raise ValueError(f"--set {_shown(override)} cannot be read: {error}") from error
    table = raw
    for depth, key in enumerate(keys[:-1], start=1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ValueError(f"--set {override}: {'.'.join(keys[:depth])} is a value, not a table")
    table[keys[-1]] = value


def _sentence(message: str, raw: dict[str, Any], kind: type[Table]) -> str:
    """msgspec's complaint with the key's full path in front and the refused value or the nearest known one behind."""
    complaint, _, where = message.partition(" - at `")
    path = re.sub(r"\[(\d+)\]", r".\1", where.rstrip("`")).removeprefix("$").lstrip(".")
    keys = [key for key in path.split(".") if key]
    known = list(_known("", inspect.type_info(kind)))
    if unknown := re.search(r"unknown field `(.*)`", complaint, re.DOTALL):
        places = {name: prefix + name for prefix, name, _ in known}
        return f"unknown key {'.'.join([*keys, unknown[1]])}: {_nearest(unknown[1], places) or 'remove it'}"
    if missing := re.search(r"missing required field `(.*)`", complaint):
        return f"key {'.'.join([*keys, missing[1]])} is missing: add it"
    value: Any = raw
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else value[key]
    named = ".".join(key for key in keys if not key.isdigit())
    words = {word: repr(word) for prefix, name, inner in known if prefix + name == named for word in _words(inner)}
    meant = _nearest(value, words) if isinstance(value, str) else ""
    return f"{path}: {complaint[:1].lower() + complaint[1:]}, got {_shown(value)}{': ' * bool(meant)}{meant}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        # hexadecimal ones are read however long they are
        text = "a whole number of more digits than Python writes"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _nearest(word: str, known: dict[str, str]) -> str:
    """A question whether the most alike of the known words was meant, as it is called; "" where none is alike."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {known[close[0]]}?" if close else ""


def _known(prefix: str, kind: inspect.Type) -> Iterator[tuple[str, str, inspect.Type]]:
    """Every key of a table and of the tables in it: the path of its table, its name, its type."""
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            yield prefix, field.encode_name, field.type
            yield from _known(f"{prefix}{field.encode_name}.", field.type)
    for inner in _inner(kind):
        yield from _known(prefix, inner)


def _words(kind: inspect.Type) -> Iterator[str]:
    """The words that a key may be set to."""
    if isinstance(kind, inspect.LiteralType):
        yield from (value for value in kind.values if isinstance(value, str))
    for inner in _inner(kind):
        yield from _words(inner)


def _inner(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.UnionType):
        return kind.types
    return (kind.item_type,) if isinstance(kind, inspect.VarTupleType) else ()
