"""What a sweep is: every combination of couplings, sizes, seeds, temperatures, nudgings, samples and estimators, as frozen values.

Main results: Sweep, Cell, load, cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from dynamics.enumeration import MAX_UNITS
from dynamics.philox import STREAM_VERSION
from dynamics.provenance import SCHEMA_VERSION
from dynamics.tables import Positive, Seed, Table, digest, read
from figures.bias_study import ESTIMATORS, REFERENCES, check_samples
from figures.networks import FAMILIES, MOST_UNITS

if TYPE_CHECKING:
    Family = Estimator = Reference = str
else:
    Family, Estimator, Reference = (Literal[tuple(words)] for words in (FAMILIES, ESTIMATORS, REFERENCES))
# two outputs and a unit beside them
Size = Annotated[int, Meta(ge=3, le=MOST_UNITS)]
Samples = Annotated[int, Meta(ge=2, lt=2**32)]
Some = Meta(min_length=1)
# of a sweep, which are listed before the first is computed: 0.1 GiB
MOST_CELLS = 200_000


class GridTable(Table, frozen=True):
    """The axes. Temperatures and nudgings are in the unit of the couplings; samples are the independent replicas of an estimate."""

    couplings: Annotated[tuple[Family, ...], Some]
    sizes: Annotated[tuple[Size, ...], Some]
    temperatures: Annotated[tuple[Positive, ...], Some]
    nudgings: Annotated[tuple[float, ...], Some]
    estimators: Annotated[tuple[Estimator, ...], Some]
    samples: Annotated[tuple[Samples, ...], Some]


class Sweep(Table, frozen=True):
    """A grid for each of `seeds`, of the random couplings and of all sampling; its files lie in OUT/name.

    reference: the gradient that errors are relative to, "exact" by enumeration or "sampled".
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$")]
    seeds: Annotated[tuple[Seed, ...], Some]
    grid: GridTable
    reference: Reference = "exact"


class Cell(Table, frozen=True):
    """One combination: all that its row is a function of."""

    couplings: Family
    size: Size
    seed: Seed
    temperature: Positive
    nudging: float
    samples: Samples
    estimator: Estimator
    reference: Reference

    def __str__(self) -> str:
        return (
            f"{self.couplings}, N = {self.size}, seed {self.seed}, temperature {self.temperature:g}, nudging {self.nudging:g}, "
            f"{self.samples} samples, {self.estimator}"
        )

    @property
    def name(self) -> str:
        """Equal for equal cells under one version of the random numbers and of the files: 32 hexadecimal digits."""
        return digest([SCHEMA_VERSION, STREAM_VERSION, msgspec.structs.asdict(self)])[:32]


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """The sweep in a TOML file under overrides "a.b=value"; ValueError names key, value and remedy."""
    sweep = read(path, Sweep, overrides)
    grid = sweep.grid
    axes = [("seeds", sweep.seeds), *((f"grid.{name}", getattr(grid, name)) for name in grid.__struct_fields__)]
    for name, values in axes:
        if len(set(values)) != len(values):
            raise ValueError(f"{path}: {name} must be distinct, got {list(values)}")
    if (count := math.prod(len(values) for _, values in axes)) > MOST_CELLS:
        raise ValueError(
            f"{path}: seeds and grid span {count:,} cells, more than the {MOST_CELLS:,} that are listed: split the sweep"
        )
    for number, nudging in enumerate(grid.nudgings):
        if nudging == 0:
            raise ValueError(
                f"{path}: grid.nudgings.{number} must not be 0, the estimators divide by it, got {nudging}"
            )
    if sweep.reference == "exact" and max(grid.sizes) > MAX_UNITS:
        raise ValueError(
            f"{path}: grid.sizes must be at most {MAX_UNITS} where the reference is exact, by enumeration, got "
            f"{max(grid.sizes)}: set reference = 'sampled'"
        )
    try:
        check_samples(sweep.reference, max(grid.samples), max(grid.sizes))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return sweep


def cells(sweep: Sweep) -> list[Cell]:
    """The cells in the table's order: couplings, sizes, seeds, temperatures, nudgings, samples, estimators fastest."""
    grid = sweep.grid
    axes = (grid.couplings, grid.sizes, sweep.seeds, grid.temperatures, grid.nudgings, grid.samples, grid.estimators)
    return [
        Cell(
            couplings=couplings, size=size, seed=seed, temperature=temperature, nudging=nudging, samples=samples,
            estimator=estimator, reference=sweep.reference,
        )
        for couplings, size, seed, temperature, nudging, samples, estimator in product(*axes)
    ]  # fmt: skip
