"""What a sweep found, as a table and as a figure: relative gradient error against temperature (thm:C5, thm:C6, thm:C7).

Main results: document, csv, table, draw.
"""

from __future__ import annotations

import csv as tables
import io
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from dynamics.tables import digest
from figures import page
from figures.bias_study import LOOKS, MOST_TICKS, SAMPLED, drawable, note, shade_failures, told, without_empty_notes
from figures.sweep.cells import Row
from figures.sweep.grid import Cell, Sweep

COLUMNS = tuple(dict.fromkeys((*Cell.__struct_fields__, *Row.__struct_fields__)))
# Columns of panels that a page has room for.
MOST_PANELS = 4
MARKERS = "os^Dv"


def document(sweep: Sweep, rows: dict[Cell, Row]) -> dict[str, Any]:
    """The sweep, the digest of its configuration, and one flat row a cell: what it is, then what came of it."""
    return {
        "name": sweep.name,
        "config": msgspec.to_builtins(sweep),
        "config_hash": digest(sweep),
        "rows": [msgspec.structs.asdict(cell) | msgspec.structs.asdict(row) for cell, row in rows.items()],
    }


def csv(data: dict[str, Any]) -> str:
    """The rows with a head of names; every digit of a number, nothing where there is none."""
    text = io.StringIO()
    lines = tables.DictWriter(text, COLUMNS, lineterminator="\n")
    lines.writeheader()
    lines.writerows(data["rows"])
    return text.getvalue()


def table(data: dict[str, Any]) -> Table:
    """The rows for a terminal."""
    grid = data["config"]["grid"]
    title = (
        f"{data['name']}: error of the coupling gradient relative to Gibbs' ({data['config']['reference']} reference)"
    )
    lines = Table(title=title, title_justify="left")
    # columns of words
    left = ("couplings", "estimator", "note")
    for column in (
        "couplings", "N", "seed", "temperature", "nudging", "samples", "estimator", "error", "95 % interval", "κ_a", "note",
    ):  # fmt: skip
        lines.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    for row in data["rows"]:
        # a mean-field estimate draws no samples
        samples = f"{row['samples']}" if row["estimator"] in SAMPLED or len(grid["samples"]) > 1 else "–"
        lines.add_row(
            row["couplings"], f"{row['size']}", f"{row['seed']}", f"{row['temperature']:g}", f"{row['nudging']:g}", samples,
            row["estimator"], *told(row), f"{row['absolute_gain']:.3f}",
            note(row),
        )  # fmt: skip
    return without_empty_notes(lines)


def draw(data: dict[str, Any]) -> Figure:
    """Error against temperature: a row of panels for each couplings, a column for each size and nudging, at most four of them.

    Mean-field estimators are lines, the median over seeds with their range; sampled ones points with 95 % intervals, one a seed,
    a marker for each number of samples, over the median of their noise.
    """
    rows = data["rows"]
    families = list(dict.fromkeys(row["couplings"] for row in rows))
    pairs = sorted({(row["size"], row["nudging"]) for row in rows})
    shown = [pairs[n] for n in sorted(set(np.linspace(0, len(pairs) - 1, MOST_PANELS).round().astype(int)))]
    with page.style():
        figure, panels = page.page(
            len(families), len(shown), width=max(3.6, 2.4 * len(shown)), height=0.8 + 2.2 * len(families)
        )
        cases = [(family, size, nudging) for family in families for size, nudging in shown]
        for panel, case in zip(panels, cases, strict=True):
            own = [row for row in rows if (row["couplings"], row["size"], row["nudging"]) == case]
            panel.set_title("{}, $N={}$, β = {:g}".format(*case), loc="center")
            _draw_panel(panel, own, data["config"]["grid"]["samples"])
        for panel in panels[:: len(shown)]:
            panel.set_ylabel("relative gradient error ‖ĝ − g‖/‖g‖")
        for panel in panels[-len(shown) :]:
            panel.set_xlabel("temperature $T$")
        entries = {
            label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(4, len(shown) + 1))
        figure.suptitle(_title(data, len(pairs) - len(shown)), fontsize=8)
    return figure


def _draw_panel(panel: Axes, rows: Sequence[dict[str, Any]], samples: Sequence[int]) -> None:
    panel.set(xscale="log", yscale="log")
    for estimator, (colour, line) in LOOKS.items():
        own = [row for row in rows if row["estimator"] == estimator and row["value"] is not None]
        if own and estimator in SAMPLED:
            _draw_sampled(panel, own, samples, colour, line)
        elif own:
            x, middle, low, high = _over_seeds(own, "value")
            panel.plot(x, middle, color=colour, linestyle=line, marker=".", label=f"mean field, {estimator}")
            panel.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    if rows:
        shade_failures(panel, rows)
        temperatures = sorted({row["temperature"] for row in rows})
        if len(temperatures) <= MOST_TICKS:
            page.log_ticks(panel.xaxis, temperatures)


def _draw_sampled(panel: Axes, rows: Sequence[dict[str, Any]], samples: Sequence[int], colour: str, name: str) -> None:
    for number, count in enumerate(samples):
        own = [row for row in rows if row["samples"] == count]
        if not own:
            continue
        # side by side, within a fiftieth of a decade
        x = [row["temperature"] * 10 ** (0.02 * number) for row in own]
        look = {
            "marker": MARKERS[number % len(MARKERS)],
            "markersize": 2.5,
            "label": f"{name}, {count:,} samples, 95 %",
        }
        page.points(panel, x, drawable(own), color=colour, **look)
        where, noise, _, _ = _over_seeds(own, "floor")
        panel.plot(where, noise, color=colour, linewidth=0.7, linestyle="--", label=f"noise of {name}")


def _over_seeds(rows: Sequence[dict[str, Any]], key: str) -> tuple[list[float], list[float], list[float], list[float]]:
    """Temperatures in order; median, least and largest value at each."""
    at: dict[float, list[float]] = {}
    for row in rows:
        at.setdefault(row["temperature"], []).append(row[key])
    x = sorted(at)
    middle, low, high = ([float(f(at[one])) for one in x] for f in (np.median, np.min, np.max))
    return x, middle, low, high


def _title(data: dict[str, Any], hidden: int) -> str:
    seeds = data["config"]["seeds"]
    text = f"{data['name']}, {data['config']['reference']} reference, {'seed' if len(seeds) == 1 else 'seeds'} "
    text += ", ".join(map(str, seeds)) if len(seeds) <= 5 else f"{len(seeds)} of them"
    return text + (f"; {hidden} more columns of panels are in {data['name']}.csv" if hidden else "")
