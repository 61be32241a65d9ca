"""Files and archives read without trusting what they say: no code is run, no more memory taken than was allowed for.

Main results: contents, archive. What is wrong is a ValueError of one sentence that names the file.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# A packed file may be a little larger than what it holds.
OVERHEAD = 2**20
# of what is unpacked at a time
PIECE = 2**20
# Bounds on an archive's list of members, which zipfile reads whole: 1 MiB of it takes 20 MiB of memory.
MOST_MEMBERS, MOST_DIRECTORY, MOST_HEADER = 1000, 2**20, 10_000

# The last record of a zip file without a comment: magic, four fields, bytes and place of the directory, length of the comment.
_END, _END_MAGIC = struct.Struct("<4s4HIIH"), b"PK\5\6"
# Of a file that would put a larger directory elsewhere.
_LOCATOR, _LOCATOR_BYTES = b"PK\6\7", 20
_MAGIC = b"\x93NUMPY"
# The header as numpy.save writes it; a regular expression reads it, where numpy evaluates it as Python.
_HEADER = re.compile(
    r"\{'descr': '([^'\\]{1,20})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,20}, ?){0,8}(?:\d{1,20})?)\),? ?\}\s*"
)
# numbers and text: no code is run for them
_PLAIN = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|c(?:8|16)|U[1-9]\d{0,5})")


def contents(path: Path, most: int) -> bytes | bytearray:
    """The bytes of a file, unpacked if it ends with .gz; ValueError when it cannot be read or holds more than `most`."""
    packed = path.suffix == ".gz"
    with _opened(path, most) as file:
        try:
            raw = _unpacked(file, most + 1) if packed else file.read(most + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be read: {_reason(error)}") from error
    if len(raw) > most:
        what = "unpacks to" if packed else "holds"
        raise ValueError(f"{path} {what} more than {most:,} bytes, the most that was expected")
    return raw


def _unpacked(file: BinaryIO, most: int) -> bytearray:
    """The first `most` bytes of what is packed; asked for at once, later versions of Python hold them twice."""
    whole = bytearray()
    with gzip.GzipFile(fileobj=file) as packed:
        while piece := packed.read(min(PIECE, most - len(whole))):
            whole += piece
    return whole


def archive(path: Path, most: int) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, numbers or text; ValueError when it is none, or they take more than `most` bytes in all."""
    with _opened(path, most) as file:
        try:
            _check_directory(file)
            with zipfile.ZipFile(file) as members:
                return {one.filename.removesuffix(".npy"): _array(members, one) for one in _listed(members, most)}
        # RuntimeError: a password is asked for, or NotImplementedError; ValueError: places before the file, names
        # cut short; ArithmeticError: sides beyond 64 bits of an array without entries
        except (
            OSError,
            EOFError,
            ValueError,
            ArithmeticError,
            RuntimeError,
            struct.error,
            zlib.error,
            zipfile.BadZipFile,
        ) as error:
            raise ValueError(f"{path} cannot be read as an .npz file: {_reason(error)}") from error


def _opened(path: Path, most: int) -> BinaryIO:
    try:
        status = path.stat()
        # a pipe or a device may never end
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} must be a regular file")
        if status.st_size > most + OVERHEAD:
            raise ValueError(f"{path} holds more than {most:,} bytes, the most that was expected")
        return path.open("rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _check_directory(file: BinaryIO) -> None:
    """Refuse a directory that is not where numpy.savez puts it, at the end and small, before zipfile reads it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END.size - _LOCATOR_BYTES))
    tail = file.read()
    if len(tail) < _END.size:
        raise zipfile.BadZipFile(f"it has {size} bytes, too few")
    magic, *_, length, _, comment = _END.unpack(tail[-_END.size :])
    if magic != _END_MAGIC or comment:
        raise zipfile.BadZipFile("it does not end as a zip file without a comment")
    if length > MOST_DIRECTORY or tail.startswith(_LOCATOR):
        raise zipfile.BadZipFile(f"its list of members takes more than {MOST_DIRECTORY:,} bytes")


def _listed(members: zipfile.ZipFile, most: int) -> list[zipfile.ZipInfo]:
    """The members, each an array packed as numpy does it, under a name of its own, `most` bytes in all."""
    listed = members.infolist()
    names = [one.filename for one in listed]
    if len(listed) > MOST_MEMBERS or len(set(names)) != len(names):
        raise zipfile.BadZipFile(f"it must hold at most {MOST_MEMBERS} members, each once, got {len(listed)}")
    for one in listed:
        if not one.filename.endswith(".npy"):
            raise zipfile.BadZipFile(f"its member {one.filename[:60]!r} is no array, which ends with .npy")
        # other ways of packing may ask for gigabytes to unpack a byte
        if one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile(f"its member {one.filename[:60]!r} is packed in a way that numpy does not use")
    if (total := sum(one.file_size for one in listed)) > most + OVERHEAD:
        raise zipfile.BadZipFile(f"it unpacks to {total:,} bytes, more than the {most:,} that were expected")
    return listed


def _array(members: zipfile.ZipFile, one: zipfile.ZipInfo) -> NDArray[Any]:
    """A member's array, a copy; zipfile.BadZipFile names what is wrong."""
    name = one.filename.removesuffix(".npy")[:60]
    with members.open(one) as file:
        # one byte more than was said: read() would unpack all that is there
        raw = file.read(one.file_size + 1)
    width = 2 if raw[6:7] == b"\1" else 4
    start = 8 + width + int.from_bytes(raw[8 : 8 + width], "little")
    header = _HEADER.fullmatch(raw[8 + width : min(start, 8 + width + MOST_HEADER)].decode("latin-1"))
    if len(raw) != one.file_size or not raw.startswith(_MAGIC) or header is None:
        raise zipfile.BadZipFile(f"array {name!r} has no header as numpy.save writes it, or ends within it")
    kind, fortran, sides = header.groups()
    if not _PLAIN.fullmatch(kind):
        what = "Python objects, which are not loaded" if "O" in kind else f"the type {kind!r}"
        raise zipfile.BadZipFile(f"array {name!r} holds {what}: expected numbers")
    dtype, shape = np.dtype(kind), tuple(int(side) for side in re.findall(r"\d+", sides))
    if (expected := math.prod(shape) * dtype.itemsize) != len(raw) - start:
        raise zipfile.BadZipFile(
            f"array {name!r} says shape {shape} of {dtype}, which takes {expected:,} bytes: found {len(raw) - start:,}"
        )
    if dtype.kind == "U":
        raw[start:].decode("utf-32-be" if kind[0] == ">" else "utf-32-le")
    flat = np.frombuffer(raw, dtype, offset=start) if expected else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran == "True" else "C").copy(order="C")
