"""DVS128 Gesture (Amir et al., CVPR 2017): eleven gestures before an event camera, read from AEDAT 3.1 as distributed.

Main results: read, read_aedat, read_labels, binned.

An AEDAT 3.1 file is "#!AER-DAT3.1", more lines that begin with #, then packets: a header of 28 bytes (type and source int16, then
size, time offset, overflow, capacity, number, valid int32, little-endian) and `number` events. A polarity event (type 1)
is a uint32 (bit 0 valid, bit 1 ON, then 15 bits each of y and x) and a time in µs, int32, to which overflow · 2³¹ is added.
A recording's NAME_labels.csv has a row class, start, end (µs) for each gesture; trials_to_{train,test}.txt name the recordings.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynamics.datasets.files import contents, find

NAME = "dvs_gesture"
SIDE, CLASSES = 128, 11
TRIALS = ("trials_to_train.txt", "trials_to_test.txt")
REMEDY = "unpack DvsGesture.tar.gz of IBM's DVS128 Gesture into a folder and name it by --data-dir"
# the longest recording holds about 25 million events
MOST_BYTES = 512 * 2**20
MOST_TEXT = 2**20
# a gesture lasts about six seconds: FRAMES frames cover DURATION µs of it, pixels are joined FACTOR by FACTOR
FRAMES, DURATION, FACTOR = 20, 1_500_000, 4

_HEADER = np.dtype(
    [
        ("type", "<i2"), ("source", "<i2"), ("size", "<i4"), ("offset", "<i4"), ("overflow", "<i4"), ("capacity", "<i4"),
        ("number", "<i4"), ("valid", "<i4"),
    ]
)  # fmt: skip
_EVENT = np.dtype([("data", "<u4"), ("time", "<i4")])
_POLARITY = 1


class Events(NamedTuple):
    """Valid polarity events in the order of the file: x, y (n,), on (n,) bool, time (n,) in µs."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    on: NDArray[np.bool_]
    time: NDArray[np.int64]


def read_aedat(path: Path) -> Events:
    """The polarity events of an AEDAT 3.1 file; ValueError names file, expected and found."""
    raw = contents(path, MOST_BYTES)
    if not raw.startswith(b"#!AER-DAT3.1"):
        raise ValueError(f"{path} is no AEDAT 3.1 file: expected it to begin with #!AER-DAT3.1, found {raw[:12]!r}")
    place = 0
    while raw[place : place + 1] == b"#":
        end = raw.find(b"\n", place)
        if end < 0:
            raise ValueError(f"{path} ends within its header at byte {len(raw):,}")
        place = end + 1
    parts = []
    while place < len(raw):
        if place + _HEADER.itemsize > len(raw):
            raise ValueError(f"{path} ends within a packet's header at byte {len(raw):,}")
        header = np.frombuffer(raw, _HEADER, 1, place)[0]
        size, number = int(header["size"]), int(header["number"])
        place += _HEADER.itemsize
        if size <= 0 or number < 0 or place + size * number > len(raw):
            raise ValueError(
                f"{path} has a packet of {number:,} events of {size:,} bytes at byte {place:,}, but {len(raw) - place:,} bytes "
                "are left"
            )
        if header["type"] == _POLARITY:
            if size != _EVENT.itemsize:
                raise ValueError(
                    f"{path} has polarity events of {size} bytes at byte {place:,}, expected {_EVENT.itemsize}"
                )
            found = np.frombuffer(raw, _EVENT, number, place)
            time = found["time"].astype(np.int64) + (int(header["overflow"]) << 31)
            keep = (found["data"] & 1).astype(bool)
            parts.append((found["data"][keep].astype(np.int64), time[keep]))
        place += size * number
    data = np.concatenate([part for part, _ in parts]) if parts else np.empty(0, np.int64)
    time = np.concatenate([part for _, part in parts]) if parts else np.empty(0, np.int64)
    x, y = data >> 17, (data >> 2) & 0x7FFF
    if data.size and max(x.max(), y.max()) >= SIDE:
        raise ValueError(f"{path} has an event at ({x.max()}, {y.max()}), beyond {SIDE} × {SIDE} pixels")
    return Events(x, y, (data & 2).astype(bool), time)


def read_labels(path: Path) -> list[tuple[int, int, int]]:
    """(class 0 … 10, start, end in µs) of each gesture of a recording; ValueError names the row that is no such."""
    rows = list(csv.reader(contents(path, MOST_TEXT).decode("utf-8", "replace").splitlines()))
    found = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            label, start, end = (int(value) for value in row)
        except ValueError:
            raise ValueError(
                f"{path} row {number} must be class, start, end as whole numbers, found {','.join(row)!r}"
            ) from None
        if not (1 <= label <= CLASSES and start < end):
            raise ValueError(
                f"{path} row {number} must have a class of 1 to {CLASSES} and start < end, found {','.join(row)!r}"
            )
        found.append((label - 1, start, end))
    return found


def binned(
    events: Events, start: int, *, frames: int = FRAMES, duration: int = DURATION, factor: int = FACTOR
) -> NDArray[np.uint8]:
    """Frames (frames, (128/factor)² · 2), ON and OFF last: 1 where an event fell into the frame, from `start` for `duration` µs."""
    side = SIDE // factor
    frame = (events.time - start) * frames // duration
    inside = (frame >= 0) & (frame < frames)
    out = np.zeros((frames, side, side, 2), dtype=np.uint8)
    out[frame[inside], events.y[inside] // factor, events.x[inside] // factor, np.where(events.on[inside], 0, 1)] = 1
    return out.reshape(frames, -1)


def read(data_dir: Path | None = None) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(frames (n, FRAMES, inputs), labels (n,)) of the gestures in the training and in the test recordings."""
    parts = []
    for trials in find(NAME, TRIALS, data_dir, [], REMEDY):
        names = contents(trials, MOST_TEXT).decode("utf-8", "replace").split()
        frames, labels = [], []
        for name in names:
            if Path(name).name != name or not name.endswith(".aedat"):
                raise ValueError(f"{trials} must name .aedat files beside it, found {name!r}")
            recording = trials.with_name(name)
            gestures = read_labels(recording.with_name(f"{recording.stem}_labels.csv"))
            events = read_aedat(recording)
            frames += [binned(events, start) for _, start, _ in gestures]
            labels += [label for label, _, _ in gestures]
        if not frames:
            raise ValueError(f"{trials} names no recording with a gesture")
        parts.append((np.stack(frames), np.array(labels, dtype=np.uint8)))
    return parts
