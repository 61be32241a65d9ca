"""What is done to files: seeded edits of bytes, arrays and values, and other things in the place of a file."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator
HEADERS = (
    b"PK\3\4", b"\x1f\x8b\x08\0", b"\0\0\x08\x03", b"\x93NUMPY\1\0", b"#!AER-DAT3.1\r\n", b"\x7fELF", b"\x80\4\x95", b"{",
    b"\xff\xfe",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**15, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1)
VALUES: tuple[Any, ...] = (
    0, -1, 3, 10**9, 10**12, 2**64, 10**400, 0.0, -0.5, 1e308, 5e-324, float("inf"), float("nan"), True, False, "", "x", "x" * 5000,
    "\x1b[31m\n\r\t\0", "\u202e\u0301\ud7ff", [], [0], [[[]]], [1.0] * 3000, {}, {"kind": "dense"}, {"a": {"b": {"c": 1}}}, None,
)  # fmt: skip


def _place(random: Random, raw: bytes) -> tuple[int, int]:
    first = int(random.integers(0, max(len(raw), 1)))
    return first, first + int(random.integers(1, 65))


def flip(random: Random, raw: bytes) -> bytes:
    edited = bytearray(raw)
    for _ in range(int(random.integers(1, 9)) if raw else 0):
        edited[random.integers(0, len(edited))] ^= 1 << int(random.integers(0, 8))
    return bytes(edited)


def truncate(random: Random, raw: bytes) -> bytes:
    return raw[: random.integers(0, max(len(raw), 1))]


def extend(random: Random, raw: bytes) -> bytes:
    return raw + random.bytes(int(random.integers(1, 4096)))


def blank(random: Random, raw: bytes) -> bytes:
    first, last = _place(random, raw)
    return raw[:first] + bytes([random.choice([0, 255])]) * len(raw[first:last]) + raw[last:]


def swap_header(random: Random, raw: bytes) -> bytes:
    header = HEADERS[random.integers(0, len(HEADERS))]
    return header + raw[len(header) :]


def absurd_number(random: Random, raw: bytes) -> bytes:
    order, kind = random.choice(["<", ">"]), random.choice(["i", "q", "h"])
    number = struct.pack(f"{order}q", NUMBERS[random.integers(0, len(NUMBERS))])
    number = number[: struct.calcsize(kind)] if order == "<" else number[-struct.calcsize(kind) :]
    first = int(random.integers(0, max(1, min(len(raw), 96))))
    return raw[:first] + number + raw[first + len(number) :]


def nothing(random: Random, raw: bytes) -> bytes:
    return b""


def twice(random: Random, raw: bytes) -> bytes:
    return raw + raw


def shuffled(random: Random, raw: bytes) -> bytes:
    first, last = _place(random, raw)
    return raw[last:] + raw[first:last] + raw[:first]


def other_format(random: Random, raw: bytes) -> bytes:
    """Packed once more, or as another archive than the name says."""
    buffer, kind = io.BytesIO(), random.integers(0, 4)
    if kind == 0:
        return gzip.compress(raw)
    if kind == 1:
        with zipfile.ZipFile(buffer, "w") as members:
            members.writestr("inner", raw)
    elif kind == 2:
        with tarfile.open(fileobj=buffer, mode="w") as members:
            members.addfile(tarfile.TarInfo("inner"), io.BytesIO(b""))
    else:
        return random.bytes(len(raw))
    return buffer.getvalue()


BYTES = (
    flip, flip, truncate, extend, blank, swap_header, absurd_number, absurd_number, nothing, twice, shuffled, other_format,
)  # fmt: skip


def edited(random: Random, raw: bytes) -> bytes:
    """One of the edits of bytes."""
    edit: Callable[[Random, bytes], bytes] = BYTES[random.integers(0, len(BYTES))]
    return edit(random, raw)


def misplace(random: Random, path: Path) -> None:
    """Something in the file's place that is no file, or one that never ends."""
    path.unlink()
    kind = random.integers(0, 6)
    if kind == 0:
        path.mkdir()
    elif kind < 4:
        path.symlink_to((path, path.with_name("absent"), Path("/dev/zero"))[kind - 1])
    elif kind == 4:
        os.mkfifo(path)


def damage(random: Random, path: Path) -> None:
    """Edit a file's bytes, or now and then put something else in its place."""
    if random.random() < 0.1:
        misplace(random, path)
    else:
        path.write_bytes(edited(random, path.read_bytes()))


def _other_array(random: Random, array: np.ndarray) -> Any:
    kind, where = random.integers(0, 9), int(random.integers(0, max(array.size, 1)))
    numbers = np.array(array, dtype=np.float64)
    if kind == 0 and array.size:
        numbers.flat[where] = random.choice([np.nan, np.inf, -np.inf, 1e308, -1e300, 5e-324])
        return numbers.astype(array.dtype) if array.dtype == np.float64 else numbers
    choices = [
        numbers, array.astype(random.choice(["f2", "i1", "c16", "U9", "?", ">f8", "u8"])), array.astype(object), array.ravel()[:-1],
        array[None], np.zeros((0, *array.shape)), np.array("text"), np.zeros(array.shape, [("field", "f8")]),
        np.asfortranarray(numbers * 1e200),
    ]  # fmt: skip
    return choices[kind]


def other_arrays(random: Random, path: Path) -> None:
    """An archive in which one array is another, missing, doubled, packed otherwise, or of another size than it says."""
    with np.load(path, allow_pickle=False) as archive:
        arrays: dict[str, Any] = dict(archive)
    name, kind = sorted(arrays)[random.integers(0, len(arrays))], random.integers(0, 12)
    if kind < 7:
        with np.errstate(all="ignore"):
            arrays[name] = _other_array(random, arrays[name])
    elif kind == 7:
        del arrays[name]
    elif kind == 8:
        arrays[str(random.choice(["more", "../up", "ü\n", "x" * 300]))] = np.zeros(2)
    np.savez(path, allow_pickle=True, **arrays)
    if kind == 9:
        method = int(random.choice([zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]))
        repack(path, lambda member, raw: raw, method)
    elif kind == 10:
        shape = str(tuple(int(side) for side in random.choice([2**20, 2**40, 0, 10**18], 3))).encode()
        repack(
            path,
            lambda member, raw: raw.replace(b"'shape': (", b"'shape': " + shape + b", #(") if name in member else raw,
        )
    elif kind == 11:
        repack(path, lambda member, raw: edited(random, raw) if name in member else raw)


def repack(path: Path, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> None:
    """The same archive, each member's bytes changed, with checksums that fit."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(name, change(name, raw))


def other_value(random: Random, tree: Any) -> None:
    """Replace, remove, add or misspell one entry somewhere in nested tables."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = keys[random.integers(0, len(keys))]
        if isinstance(tree[key], dict | list) and tree[key] and random.random() < 0.8:
            tree = tree[key]
            continue
        kind = random.integers(0, 8)
        if kind == 0:
            del tree[key]
        elif kind == 1 and isinstance(tree, dict):
            tree[key[:-1] + "x"] = tree.pop(key)
        elif kind == 2 and isinstance(tree, dict):
            tree[str(random.choice(["more", "", "a.b", "ключ", "\x07\n"]))] = 1
        else:
            tree[key] = VALUES[random.integers(0, len(VALUES))]
        return
