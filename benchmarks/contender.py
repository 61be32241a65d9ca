"""One side of a race: what is timed, and what it computed.

Main results: Contender, MissingPeer, peer_module, peer_folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Contender(NamedTuple):
    """run: one piece of timed work. outcome(seed): arrays to compare with the other side's. library: what computes it."""

    run: Callable[[], object]
    outcome: Callable[[int], Mapping[str, np.ndarray]]
    library: str


class MissingPeer(Exception):
    """A peer that is not here, with the remedy."""


def peer_module(name: str, remedy: str) -> Any:
    """An imported package, untyped; MissingPeer where it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPeer(f"{error.name} is not installed: {remedy}") from error


def peer_folder(variable: str, source: str, inside: str) -> None:
    """Put the checkout that an environment variable names on the path; MissingPeer where it names none."""
    named = os.environ.get(variable)
    if not named:
        raise MissingPeer(f"{variable} is not set: clone {source} and name its folder there")
    if not (Path(named) / inside).exists():
        raise MissingPeer(f"{variable} = {named} has no {inside}: name the folder of a clone of {source}")
    sys.path.insert(0, named)
