"""The page that every figure is drawn on: style, axes, shaded failures of a hypothesis, and the files it ends in.

Main results: page, points, log_ticks, guide, shade, smoke, nothing, publish, paths, Report.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from dynamics.provenance import provenance, write_atomically, write_json

STYLE = Path(__file__).with_name("style.mplstyle")
OUT = Path("figures/out")
# Okabe and Ito's colours by what they stand for, the same in every figure.
MEAN_FIELD, ONSAGER, GLAUBER, LEAKY, BOUND, LINEAR, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#888888",
)  # fmt: skip

# of a line of small text that stands upright, in widths of a panel
LABEL_WIDTH = 0.06

# A figure's computation says how far it is, from 0 to 1.
Report = Callable[[float], None]


def silent(fraction: float) -> None:
    """A Report that nobody reads."""


def style() -> AbstractContextManager[None]:
    """The house style, for a with statement."""
    return matplotlib.style.context(STYLE)


def page(
    rows: int, columns: int, *, width: float = 7.1, height: float, letters: bool = True
) -> tuple[Figure, list[Axes]]:
    """A Figure of rows × columns axes, read row by row, each with its letter; width and height in inches."""
    figure = Figure(figsize=(width, height))
    axes: list[Axes] = list(np.atleast_1d(np.asarray(figure.subplots(rows, columns))).ravel())
    if letters and len(axes) > 1:
        for letter, panel in zip("abcdefghijkl", axes, strict=False):
            panel.set_title(letter, loc="left", fontweight="bold", x=-0.12)
    return figure, axes


def points(axes: Axes, x: ArrayLike, rows: Sequence[dict[str, float]], **look: Any) -> None:
    """Simulated values with their 95 % intervals, rows of {value, low, high}; an arrow down where it reaches 0."""
    value, low, high = (np.array([row[key] for row in rows]) for key in ("value", "low", "high"))
    where, look = (
        np.asarray(x, dtype=float),
        {"marker": "o", "elinewidth": 0.8, "zorder": 3, "linestyle": "none", **look},
    )
    seen, reaches = value > 0, low <= 0
    # on a logarithmic axis zero is out of sight: an arrow of fixed length stands for the way there
    tail = np.where(reaches, 0.6 * value, low)
    bars = np.stack([value - tail, np.maximum(high - value, 0.0)])
    axes.errorbar(where[seen], value[seen], bars[:, seen], **look)
    # an estimate below zero leaves only the upper end of its interval to show
    ends = np.where(seen, tail, high)[reaches]
    axes.plot(where[reaches], ends, marker="v", markersize=2.5, linestyle="none", color=look.get("color"), zorder=3)


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis at the given values, written out."""
    axis.set_major_locator(FixedLocator(list(values)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def guide(axes: Axes, x: Sequence[float], exponent: float, at: float, text: str) -> None:
    """A grey slope at · (x/x₀)^exponent over x = (from, to), labelled at its end."""
    ends = np.array([x[0], x[-1]], dtype=float)
    heights = at * (ends / ends[0]) ** exponent
    axes.plot(ends, heights, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    axes.annotate(
        text, (ends[1], heights[1]), (2, 0), textcoords="offset points", color="#555555", fontsize=6.5, va="center"
    )


def shade(axes: Axes, low: float, high: float, text: str, *, hatch: bool = False, height: float = 0.03) -> None:
    """Mark where a hypothesis fails, between low and high on the abscissa; hatched where several fixed points exist."""
    axes.axvspan(
        low, high, facecolor="none" if hatch else "#EEEEEE", edgecolor="#BBBBBB" if hatch else "none",
        hatch="////" if hatch else None, linewidth=0, zorder=0,
    )  # fmt: skip
    middle = np.sqrt(low * high) if axes.get_xscale() == "log" else 0.5 * (low + high)
    ends = axes.transAxes.inverted().transform(axes.transData.transform([(low, 1.0), (high, 1.0)]))[:, 0]
    # a label wider than its strip would lie on the axis at its left
    place, side = (middle, "center") if np.ptp(ends) > LABEL_WIDTH else (low, "left")
    axes.text(
        place, height, text, transform=axes.get_xaxis_transform(), ha=side, va="bottom", fontsize=6.5, color="#555555",
        rotation=90,
    )  # fmt: skip


def smoke(figure: Figure) -> None:
    """SMOKE across the page: the numbers are of a short run that stands in for the reported one."""
    figure.text(0.5, 0.5, "SMOKE", fontsize=80, color="#CC0000", alpha=0.2, rotation=15, ha="center", va="center")


def nothing(text: str) -> Figure:
    """A page that says why there is nothing to draw."""
    figure = Figure(figsize=(7.1, 1.0))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def rendered(figure: Figure, kind: str, **settings: Any) -> bytes:
    """The figure as a "pdf" or "png" file, free of dates so that equal data make equal bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(
            buffer, format=kind, metadata={"CreationDate": None} if kind == "pdf" else {"Software": None}, **settings
        )
    return buffer.getvalue()


def publish(
    name: str,
    data: dict[str, Any],
    draw: Callable[[dict[str, Any]], Figure],
    folder: Path = OUT,
    inputs: str | None = None,
) -> list[Path]:
    """Write NAME.pdf, NAME.png and NAME.json (the data and what they were made with), each whole or not at all; their paths.

    inputs: the digest of what the figure is made of (`figures.inputs`), where it is known.
    """
    figure, written = draw(data), paths(name, folder)
    *pictures, document = written
    contents = [rendered(figure, path.suffix[1:]) for path in pictures]
    for path, content in zip(pictures, contents, strict=True):
        write_atomically(path, content)
    # not with how many threads: no number depends on it, and neither may the file
    made_with = {key: value for key, value in provenance().items() if key != "threads"}
    write_json(document, {**made_with, "figure": name, "inputs": inputs, "data": data})
    return written


def paths(name: str, folder: Path = OUT) -> list[Path]:
    """Where a figure goes: its pictures, then its data."""
    return [folder / f"{name}.{kind}" for kind in ("pdf", "png", "json")]
