"""The networks that the gradient studies run on: three families of couplings, or a file's.

Main results: Network, FAMILIES, family, from_file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dynamics.reading import archive
from dynamics.tables import LARGEST
from meanfield import Model, QuadraticCost
from meanfield.model import FloatArray, positive_number, whole_number

# What is made room for: three matrices of so many units take 0.1 GiB. A file holds two arrays and two short ones.
MOST_UNITS = 2048
MOST_BYTES = 8 * (MOST_UNITS**2 + 8 * MOST_UNITS)


class Network(NamedTuple):
    """Couplings (N, N) and bias (N,) that a temperature makes a Model, and the cost to learn."""

    name: str
    couplings: FloatArray
    bias: FloatArray
    cost: QuadraticCost

    @property
    def size(self) -> int:
        """N."""
        return len(self.bias)

    def at(self, temperature: float, *, scaled_bias: bool = False) -> Model:
        """The model at one temperature; scaled_bias: b ∝ T, which keeps the units' activities as the temperature grows.

        ValueError where it is so high or low that what is computed leaves the range of float64.
        """
        largest = max(np.abs(self.couplings).max(), np.abs(self.bias).max())
        temperature = positive_number("temperature", temperature)
        if not (1 / LARGEST <= temperature <= LARGEST and largest <= LARGEST * min(1.0, temperature)):
            raise ValueError(
                f"temperature must be between {1 / LARGEST:g} and {LARGEST:g}, and couplings and bias at most {LARGEST:g} in size "
                f"and times the temperature, got temperature {temperature} and {largest:g}: choose another unit for all of them"
            )
        return Model(self.couplings, self.bias * (temperature if scaled_bias else 1.0), temperature)


def sk(size: int, seed: int) -> Network:
    """J_ij ~ N(0, 1/N), b_i ~ N(0, ¼): Sherrington and Kirkpatrick's couplings."""
    rng = np.random.default_rng([seed, size])
    couplings = _symmetric(rng.normal(size=(size, size)) / np.sqrt(size))
    return Network("sk", couplings, 0.5 * rng.normal(size=size), _cost(size))


def ferromagnet(size: int, seed: int) -> Network:
    """J_ij = 2/N, b = −½J1 + 0.02 + N(0, 0.01): below about T = ½ there are two fixed points."""
    rng = np.random.default_rng([seed, size])
    couplings = np.full((size, size), 2 / size)
    np.fill_diagonal(couplings, 0.0)
    bias = -0.5 * couplings.sum(axis=1) + 0.02 + 0.1 * rng.normal(size=size)
    return Network("ferromagnet", couplings, bias, _cost(size))


def layered(size: int, seed: int) -> Network:
    """Three layers of about 3/8, 3/8 and 1/4 of the units, J_ij ~ N(0, 1/units below), b_i ~ N(0, ¼); no lateral links."""
    rng = np.random.default_rng([seed, size])
    last = max(2, size // 4)
    first = (size - last + 1) // 2
    layer = np.repeat([0, 1, 2], [first, size - last - first, last])
    width = np.bincount(layer, minlength=3)
    couplings = np.zeros((size, size))
    for below in (0, 1):
        here, above = np.flatnonzero(layer == below), np.flatnonzero(layer == below + 1)
        couplings[np.ix_(here, above)] = rng.normal(size=(len(here), len(above))) / np.sqrt(max(width[below], 1))
    return Network("layered", _symmetric(couplings), 0.5 * rng.normal(size=size), _cost(size))


FAMILIES: dict[str, Callable[[int, int], Network]] = {"sk": sk, "ferromagnet": ferromagnet, "layered": layered}


def family(name: str, size: int, seed: int) -> Network:
    """A member of a named family with at least 3 units; ValueError for another name."""
    if name not in FAMILIES:
        raise ValueError(f"--couplings must be one of {', '.join(FAMILIES)} or a .npz file, got {name!r}")
    if isinstance(size, bool) or size < 3:
        raise ValueError(f"--size must be at least 3, one unit beside the two outputs, got {size}")
    if size > MOST_UNITS:
        raise ValueError(f"--size must be at most {MOST_UNITS:,}, got {size}: more couplings are not made room for")
    return FAMILIES[name](whole_number("size", size, 3), whole_number("seed", seed, 0))


def from_file(path: Path) -> Network:
    """The arrays couplings and bias of an .npz file, optionally outputs and target (default: the last unit, towards 1)."""
    # os.path: what no file can be named is no file
    if not os.path.exists(path):
        raise ValueError(f"{path} does not exist: name an .npz file or one of {', '.join(FAMILIES)}")
    try:
        arrays = archive(path, MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{error}: write it with numpy.savez({path.name!r}, couplings=…, bias=…)") from error
    for name in ("couplings", "bias"):
        if name not in arrays:
            raise ValueError(
                f"{path} lacks the array {name!r}, it holds {sorted(arrays) or 'nothing'}: add it with numpy.savez"
            )
    model = Model(arrays["couplings"], arrays["bias"])
    if model.size < 2:
        raise ValueError(f"{path} holds {model.size} unit: a coupling gradient needs at least 2")
    outputs = arrays.get("outputs", np.array([model.size - 1]))
    cost = QuadraticCost(outputs, arrays.get("target", np.ones(np.shape(outputs))))
    cost.force(model.size, "spikes")
    return Network(path.stem, model.couplings, model.bias, cost)


def _symmetric(one_way: FloatArray) -> FloatArray:
    upper = np.triu(one_way, 1)
    return upper + upper.T


def _cost(size: int) -> QuadraticCost:
    """The last two units, towards 1 and 0."""
    return QuadraticCost([size - 2, size - 1], [1.0, 0.0])
