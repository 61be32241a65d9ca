"""Speed, memory and scaling of the kernels, drawn from results/bench.json, which `make bench` measures; nothing is timed here.

Caption: (a) how many times faster (or, for memory and precision, smaller) ours is than the peer, one thread, process CPU: medians
with the least and the largest of the repeats; the tick is what it must never fall below, the open circle the goal. (b) Roofline
of one core, measured in the same run, and what a conv EP step reaches: float32 operations counted as the direct sum's with pooling
folded, of which fewer products are done, so that a share may exceed 1. (c) Peak memory of a learning step against its free
steps. (d–f) Cost of a unit of work against size: a heat-bath update and an enumerated state; an image of a conv EP step against
free steps and channels of layer 1, and against batch and threads. SMOKE: a quick run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import page

INPUTS = ("results/bench.json",)

RECORD = Path(__file__).resolve().parents[1] / "results" / "bench.json"
COLOURS = (page.MEAN_FIELD, page.ONSAGER, page.GLAUBER, page.LEAKY)
# curve -> its panel, its unit as shown, and seconds in that unit
PANELS = {
    ("heat bath", "units"): (0, "ns", 1e-9),
    ("enumeration", "units"): (0, "ns", 1e-9),
    ("conv EP step", "free steps"): (1, "ms", 1e-3),
    ("conv EP step", "channels of layer 1"): (1, "ms", 1e-3),
    ("conv EP step", "batch"): (2, "ms", 1e-3),
    ("conv EP step", "threads"): (2, "ms", 1e-3),
}


def compute(*, record: Path = RECORD, report: page.Report = page.silent) -> dict[str, Any]:
    """What the record holds; {"missing": …} where there is none yet, which is drawn as a page that says so."""
    report(1.0)
    if not record.is_file():
        return {"missing": f"{record.parent.name}/{record.name} is not here: make bench"}
    try:
        found = msgspec.json.decode(record.read_bytes())
        return {name: found[name] for name in ("quick", "machine", "rows", "roofline", "scaling", "memory", "left_out")}
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{record} is not a record of benchmarks: {error!r}; measure it anew with make bench"
        ) from error


def draw(data: dict[str, Any]) -> Figure:
    """Ratios, roofline, memory, and three panels of scaling."""
    with page.style():
        if "missing" in data:
            return page.nothing(data["missing"])
        figure, axes = page.page(2, 3, height=5.6)
        _ratios(axes[0], data["rows"])
        if data["roofline"]:
            _roofline(axes[1], data["roofline"])
        draw_memory(axes[2], data["memory"])
        _scaling(axes[3:], data["scaling"])
        figure.suptitle(f"{data['machine']['cpu']}, {data['machine']['cores']} cores{_absent(data)}", fontsize=8)
        if data["quick"]:
            page.smoke(figure)
    return figure


def _absent(data: dict[str, Any]) -> str:
    names = sorted(data["left_out"])
    return f"; left out: {len(names)} of the rows and sections" if names else ""


def _ratios(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """One line a row, best known at the top."""
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        reached = row["ratio"] >= row["floor"]
        colour = page.GLAUBER if reached else page.ONSAGER
        span = [[row["ratio"] - row["low"]], [row["high"] - row["ratio"]]]
        axes.errorbar(row["ratio"], place, xerr=span, marker="o", color=colour, elinewidth=0.8, zorder=3)
        axes.plot(row["floor"], place, "|", color=page.BOUND, markersize=7)
        axes.plot(row["goal"], place, "o", color=page.BOUND, markerfacecolor="none", markersize=4)
    axes.set(xscale="log", xlabel="times better than the peer", ylim=(-0.7, len(rows) - 0.3))
    axes.set_yticks(places, [row["name"] for row in rows], fontsize=5)
    page.log_ticks(axes.xaxis, (0.1, 1, 10, 100, 1000, 100_000))
    axes.axvline(1.0, color=page.GREY, linewidth=0.6, zorder=0)


def _roofline(axes: Axes, found: dict[str, Any]) -> None:
    """min(peak, bandwidth · intensity), the two sgemm kernels as lines, and the points."""
    reached = [point["intensity"] for point in found["points"]]
    intensity = np.geomspace(1.0, 4 * max(reached), 100)
    axes.plot(intensity, np.minimum(found["fma"], found["triad"] * intensity), color=page.BOUND)
    lines = (
        ("FMA", found["fma"], "-"),
        ("sgemm, own choice", found["sgemm"], "--"),
        (f"sgemm, {found['pinned_kernel']}", found["sgemm_pinned"], ":"),
    )
    for text, height, style in lines:
        axes.axhline(
            height, color=page.GREY, linewidth=0.8, linestyle=style, zorder=0, label=f"{text}: {height:.0f} GF/s"
        )
    for point, colour in zip(found["points"], COLOURS, strict=False):
        label = f"{point['name']}: {100 * point['share']:.0f} % of FMA"
        axes.plot(point["intensity"], point["gflops"], "o", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="GF/s of one core")
    axes.set_ylim(found["triad"] / 4, 1.5 * found["fma"])
    page.log_ticks(axes.yaxis, (5, 10, 20, 50, 100, 200, 500))
    axes.legend(fontsize=5.5, loc="lower right")


def draw_memory(axes: Axes, points: list[dict[str, Any]]) -> None:
    """Peak bytes of a step."""
    kinds = list(dict.fromkeys(point["kind"] for point in points))
    for kind, colour in zip(kinds, COLOURS, strict=False):
        free, size = np.array([(point["free"], point["bytes"]) for point in points if point["kind"] == kind]).T
        axes.plot(free, size / 1e6, "o-", color=colour, label=kind, markersize=2.5)
    axes.set(xscale="log", yscale="log", xlabel="free steps", ylabel="peak memory of a step (MB)")
    page.log_ticks(axes.xaxis, (1, 3, 10, 30, 100, 300))
    if kinds:
        axes.legend(fontsize=6)


def _scaling(panels: list[Axes], curves: list[dict[str, Any]]) -> None:
    """Cost of a unit of work against what it depends on, curves of one unit in one panel."""
    for number, curve in enumerate(curves):
        panel, unit, seconds = PANELS[curve["name"], curve["against"]]
        x, cost = np.array([(point["x"], point["seconds"] / seconds) for point in curve["points"]]).T
        label = f"{curve['name']}, {curve['against']}" if panel else f"{curve['name']}, one {curve['unit']}"
        panels[panel].plot(x, cost, "o-", color=COLOURS[number % 2], label=label, markersize=2.5)
        panels[panel].set_ylabel(unit if panel == 0 else f"{unit} an image")
    for axes, against in zip(panels, ("units", "free steps, or channels", "batch, or threads"), strict=True):
        axes.set(xscale="log", yscale="log", xlabel=against)
        page.log_ticks(axes.xaxis, (1, 2, 4, 10, 20, 50, 100, 300, 1000, 3000))
        page.log_ticks(axes.yaxis, [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)])
        if axes.lines:
            # room for the legend
            axes.set_ylim(top=2 * axes.get_ylim()[1])
            axes.legend(fontsize=6)


def main() -> None:
    """Draw figures/out/speed.*."""
    page.publish("speed", compute(), draw)


if __name__ == "__main__":
    main()
