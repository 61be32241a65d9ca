"""What the theory says of every recorded net, and what its spikes do (results/*/*/certificate.json; thm:F1).

Caption: what is foretold for a trained net is what its spikes do, whether or not the global gains are below one. (a) measured
against predicted, every certified net and every quantity that has a prediction: circles, approximations, which belong on the
diagonal; triangles, bounds, which belong below it; two standard errors. (b) What the hypotheses ask to be below 1: the global
gains κ, κ_a, κ_∞ from the proven lower to the proven upper end, and, image by image, the local gain and the local radius by
estimate. Each family of experiments has a colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import page
from figures.learning import ROOT

INPUTS = ("results/*/*/certificate.json",)

COLOURS = (page.MEAN_FIELD, page.ONSAGER, page.GLAUBER, page.LEAKY, page.LINEAR)
GAINS = ("κ", "κ_a", "κ_∞", "local gain", "local radius")


def compute(*, results: Path = ROOT / "results", report: page.Report = page.silent) -> dict[str, Any]:
    """Of each certified run: its gains, and its predictions beside what was measured."""
    report(1.0)
    rows = []
    for path in sorted(results.glob("*/*/certificate.json")):
        found = msgspec.json.decode(path.read_bytes())
        rows.append({
            "name": found["name"], "seed": found["seed"], "family": found["name"].partition("_")[0],
            "gains": [_ends(found["gain"]), _ends(found["absolute_gain"]), [found["row_gain"]] * 2],
            "local": [[_best(one) for one in found[key]] for key in ("local_gain", "local_radius")],
            "predictions": [one for one in found["predictions"] if one["predicted"] is not None],
        })  # fmt: skip
    return {"nets": rows}


def _ends(bracket: dict[str, Any]) -> list[float]:
    return [bracket["low"], bracket["high"]]


def _best(bracket: dict[str, Any]) -> float:
    return bracket["high"] if bracket["estimate"] is None else bracket["estimate"]


def draw(data: dict[str, Any]) -> Figure:
    """Measured against predicted, and gains."""
    with page.style():
        if not data["nets"]:
            return page.nothing("no net is certified: stochep certify results/NAME/SEED --out results/NAME/SEED")
        figure, (errors, gains) = page.page(1, 2, height=3.2)
        families = sorted({net["family"] for net in data["nets"]})
        colours = dict(zip(families, COLOURS, strict=False))
        for place, net in enumerate(data["nets"]):
            _predictions(errors, net["predictions"], colours[net["family"]])
            shift = 0.6 * (place / max(1, len(data["nets"]) - 1) - 0.5)
            _gains(gains, net, shift, colours[net["family"]])
        errors.set(xscale="log", yscale="log", xlabel="predicted", ylabel="measured")
        ends = np.array([max(1e-12, errors.dataLim.x0), errors.dataLim.x1])
        errors.plot(ends, ends, color=page.BOUND, linewidth=0.6)
        gains.axhline(1.0, color=page.BOUND, linewidth=0.6)
        gains.set(yscale="log", ylabel="gain")
        gains.set_xticks(range(len(GAINS)), GAINS)
        figure.legend(
            [Line2D([], [], color=colours[name], marker="o", linestyle="none") for name in families], families,
            loc="outside lower center", ncols=len(families),
        )  # fmt: skip
    return figure


def _predictions(axis: Axes, rows: list[dict[str, Any]], colour: str) -> None:
    for row in rows:
        axis.errorbar(
            row["predicted"], row["measured"], 2 * row["standard_error"],
            None if row["predicted_error"] is None else 2 * row["predicted_error"],
            marker="o" if row["kind"] == "approximation" else "v", markersize=3, color=colour, linestyle="none",
        )  # fmt: skip


def _gains(axis: Axes, net: dict[str, Any], shift: float, colour: str) -> None:
    for place, (low, high) in enumerate(net["gains"]):
        axis.plot([place + shift] * 2, [low, high], color=colour, marker="_", markersize=4)
    for place, values in enumerate(net["local"], start=len(net["gains"])):
        axis.plot([place + shift] * len(values), values, color=colour, marker=".", markersize=2, linestyle="none")


def main() -> None:
    """Compute and write figures/out/certificates.*."""
    page.publish("certificates", compute(), draw)


if __name__ == "__main__":
    main()
