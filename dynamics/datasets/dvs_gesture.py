"""DVS128 Gesture (Amir et al., CVPR 2017): eleven gestures before an event camera, read from AEDAT 3.1 as distributed.

Main results: read, read_aedat, read_labels, binned.

An AEDAT 3.1 file is "#!AER-DAT3.1", more lines that begin with #, then packets: a header of 28 bytes (type and source int16, then
size, time offset, overflow, capacity, number, valid int32, little-endian) and `number` events. A polarity event (type 1)
is a uint32 (bit 0 valid, bit 1 ON, then 15 bits each of y and x) and a time in µs, int32, to which overflow · 2³¹ is added.
A recording's NAME_labels.csv has a row class, start, end (µs) for each gesture; trials_to_{train,test}.txt name the recordings.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets.files import find
from dynamics.reading import contents

NAME = "dvs_gesture"
SIDE, CLASSES = 128, 11
TRIALS = ("trials_to_train.txt", "trials_to_test.txt")
REMEDY = "unpack DvsGesture.tar.gz of IBM's DVS128 Gesture into a folder and name it by --data-dir"
# Bounds on what is read, far above the true files: an AEDAT file, its packets, a text file (and an AEDAT file's header lines), the
# recordings a list names, the gestures in one. Reading a file, and all streams together, take below 1 GiB of memory each.
MOST_BYTES, MOST_PACKETS = 256 * 2**20, 400_000
MOST_TEXT, MOST_TRIALS, MOST_GESTURES = 2**20, 200, 20
MOST_TIME = 2**62
# a gesture lasts about six seconds: FRAMES frames of INTERVAL µs cover its first 1.5, pixels are joined FACTOR by FACTOR
FRAMES, INTERVAL, FACTOR = 20, 75_000, 4
# events binned at once, which bounds the memory that it takes
CHUNK = 2**20

# type, source, size, time offset, overflow, capacity, number, valid
_HEADER = struct.Struct("<hhiiiiii")
_EVENT = np.dtype([("data", "<u4"), ("time", "<i4")])
_POLARITY = 1


class Events(NamedTuple):
    """Valid polarity events in the order of the file: x, y (n,), on (n,) bool, time (n,) in µs."""

    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    on: NDArray[np.bool_]
    time: NDArray[np.int64]


def read_aedat(path: Path) -> Events:
    """The polarity events of an AEDAT 3.1 file; ValueError names file, expected and found."""
    raw = contents(path, MOST_BYTES)
    if not raw.startswith(b"#!AER-DAT3.1"):
        raise ValueError(f"{path} is no AEDAT 3.1 file: expected it to begin with #!AER-DAT3.1, found {raw[:12]!r}")
    place = 0
    while raw[place : place + 1] == b"#":
        end = raw.find(b"\n", place, MOST_TEXT)
        if end < 0:
            limit = "" if len(raw) < MOST_TEXT else f", or has one of more than {MOST_TEXT:,} bytes"
            raise ValueError(f"{path} ends within its header at byte {len(raw):,}{limit}")
        place = end + 1
    packets = _packets(path, raw, place)
    total = sum(number for _, number, _ in packets)
    x, y = np.empty(total, np.uint16), np.empty(total, np.uint16)
    on, time = np.empty(total, np.bool_), np.empty(total, np.int64)
    filled = 0
    for start, number, overflow in packets:
        found = np.frombuffer(raw, _EVENT, number, start)
        found = found[(found["data"] & 1).astype(bool)]
        here = slice(filled, filled + len(found))
        x[here], y[here] = found["data"] >> 17, found["data"] >> 2 & 0x7FFF
        on[here] = found["data"] & 2
        time[here] = found["time"]
        time[here] += overflow << 31
        filled += len(found)
    if filled and max(x[:filled].max(), y[:filled].max()) >= SIDE:
        raise ValueError(
            f"{path} has an event at ({x[:filled].max()}, {y[:filled].max()}), beyond {SIDE} × {SIDE} pixels"
        )
    return Events(x[:filled], y[:filled], on[:filled], time[:filled])


def _packets(path: Path, raw: bytes | bytearray, place: int) -> list[tuple[int, int, int]]:
    """(first byte, number of events, overflow of their times) of each packet of polarity events from byte `place` on."""
    packets, passed = [], 0
    while place < len(raw):
        if place + _HEADER.size > len(raw):
            raise ValueError(f"{path} ends within a packet's header at byte {len(raw):,}")
        kind, _, size, _, overflow, _, number, _ = _HEADER.unpack_from(raw, place)
        place += _HEADER.size
        passed += 1
        if size <= 0 or number < 0 or place + size * number > len(raw):
            raise ValueError(
                f"{path} has a packet of {number:,} events of {size:,} bytes at byte {place:,}, but {len(raw) - place:,} bytes "
                "are left"
            )
        if kind == _POLARITY and size != _EVENT.itemsize:
            raise ValueError(
                f"{path} has polarity events of {size} bytes at byte {place:,}, expected {_EVENT.itemsize}"
            )
        if passed > MOST_PACKETS:
            raise ValueError(f"{path} has more than {MOST_PACKETS:,} packets, the most that was expected")
        if kind == _POLARITY:
            packets.append((place, number, overflow))
        place += size * number
    return packets


def read_labels(path: Path) -> list[tuple[int, int, int]]:
    """(class 0 … 10, start, end in µs) of each gesture of a recording; ValueError names the row that is no such."""
    rows = contents(path, MOST_TEXT).decode("utf-8", "replace").splitlines()[1:]
    if len(rows) > MOST_GESTURES:
        raise ValueError(f"{path} has {len(rows):,} rows of gestures, expected at most {MOST_GESTURES}")
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            label, start, end = (int(value) for value in row.split(","))
        except ValueError:
            raise ValueError(
                f"{path} row {number} must be class, start, end as whole numbers, found {row[:60]!r}"
            ) from None
        if not (1 <= label <= CLASSES and 0 <= start < end < MOST_TIME):
            raise ValueError(
                f"{path} row {number} must have a class of 1 to {CLASSES} and 0 ≤ start < end < 2⁶², found {row[:60]!r}"
            )
        found.append((label - 1, start, end))
    return found


def binned(
    events: Events, start: int, *, frames: int = FRAMES, interval: int = INTERVAL, factor: int = FACTOR
) -> NDArray[np.uint8]:
    """Frames (frames, (128/factor)² · 2), ON and OFF last: 1 where an event fell into it; `interval` µs each, from `start`."""
    side = SIDE // factor
    out = np.zeros((frames, side, side, 2), dtype=np.uint8)
    for first in range(0, len(events.time), CHUNK):
        x, y, on, time = (values[first : first + CHUNK] for values in events)
        frame = (time - start) // interval
        inside = (frame >= 0) & (frame < frames)
        out[frame[inside], y[inside] // factor, x[inside] // factor, np.where(on[inside], 0, 1)] = 1
    return out.reshape(frames, -1)


def read(data_dir: Path | None = None) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(frames (n, FRAMES, inputs), labels (n,)) of the gestures in the training and in the test recordings."""
    parts = []
    for trials in find(NAME, TRIALS, data_dir, [], REMEDY):
        frames, labels = [], []
        for recording in _recordings(trials):
            gestures = read_labels(recording.with_name(f"{recording.stem}_labels.csv"))
            events = read_aedat(recording)
            frames += [binned(events, start) for _, start, _ in gestures]
            labels += [label for label, _, _ in gestures]
        if not frames:
            raise ValueError(f"{trials} names no recording with a gesture")
        parts.append((np.stack(frames), np.array(labels, dtype=np.uint8)))
    return parts


def _recordings(trials: Path) -> list[Path]:
    """The files that a list of trials names, all beside it."""
    names = contents(trials, MOST_TEXT).decode("utf-8", "replace").split()
    if len(names) > MOST_TRIALS:
        raise ValueError(f"{trials} names {len(names):,} recordings, expected at most {MOST_TRIALS}")
    if doubled := next((name for number, name in enumerate(names) if name in names[:number]), None):
        raise ValueError(f"{trials} must name each recording once, found {doubled[:60]!r} again")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]+\.aedat", name):
            raise ValueError(f"{trials} must name .aedat files beside it, found {name[:60]!r}")
    return [trials.with_name(name) for name in names]
