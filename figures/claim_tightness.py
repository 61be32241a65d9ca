"""Tightness of every claim in one chart: the machine check's measured/bound.

Caption: for each inequality the ratio of what was measured to its bound, over random instances of its domain: bar, 10 to 90 %; dot,
median; triangle, the tightest instance found by search. A ratio of 1 says that the constant cannot be improved. Identities and
asymptotic laws have no ratio: they are listed with what decided them, and every claim with the number of its falsifiers refuted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import page
from proofs_numeric import CLAIMS, check

# loaded by name where ball arithmetic is installed
INPUTS = ("proofs_numeric/balls/**/*.py",)

COLOURS = {"A": page.MEAN_FIELD, "B": page.GLAUBER, "C": page.ONSAGER, "D": page.LINEAR, "E": page.LEAKY}


def compute(
    *, labels: Sequence[str] | None = None, instances: int = 30, seed: int = 0, report: page.Report = page.silent
) -> dict[str, Any]:
    """The record of each claim's check on at most `instances` instances; all claims unless labels are given."""
    chosen = [label for label in CLAIMS if labels is None or label in labels]
    records = []
    for label in chosen:
        records.append(check(label, instances=min(instances, CLAIMS[label].instances), seed=seed).record())
        report(len(records) / len(chosen))
    return {"instances": instances, "seed": seed, "claims": records}


def draw(data: dict[str, Any]) -> Figure:
    """One line a claim, from the first at the top."""
    records = data["claims"]
    with page.style():
        figure, (axes,) = page.page(1, 1, height=0.6 + 0.165 * len(records), letters=False)
        for row, record in enumerate(records):
            colour = COLOURS.get(record["label"][0], page.GREY)
            axes.text(1.15, row, _verdict(record), va="center", fontsize=6.5, color="#555555")
            tightness = record["tightness"]
            if tightness is None:
                axes.text(
                    0.9,
                    row,
                    f"{record['kind']}, {record['means']}",
                    va="center",
                    ha="right",
                    fontsize=6.5,
                    color=colour,
                )
                continue
            axes.plot([tightness["p10"], tightness["p90"]], [row, row], color=colour, linewidth=3, alpha=0.35)
            axes.plot(tightness["median"], row, "o", color=colour)
            axes.plot(tightness["max"], row, marker="<", color=colour, markersize=4, linestyle="none")
        axes.axvline(1.0, color=page.GREY, linewidth=0.8)
        axes.set(xscale="log", xlabel="measured / bound", ylim=(len(records) - 0.4, -0.6))
        axes.set_xlim(1e-4, 1.05)
        axes.set_yticks(range(len(records)), [f"{record['title']}  {record['label']}" for record in records])
        axes.tick_params(axis="y", length=0)
        marks = [Line2D([], [], color="black", linewidth=3, alpha=0.35), Line2D([], [], color="black", marker="o", linestyle=""),
                 Line2D([], [], color="black", marker="<", linestyle="")]  # fmt: skip
        axes.legend(marks, ["10 to 90 %", "median", "tightest found"], loc="upper left")
    return figure


def _verdict(record: dict[str, Any]) -> str:
    count = len(record["falsifiers"])
    falsified = (
        f"{count} falsifier{'s' if count > 1 else ''} {'refuted' if record['falsifier_refuted'] else 'NOT refuted'}"
    )
    return f"{record['verdict']}, {falsified}"


def main() -> None:
    """Compute and write figures/out/claim_tightness.*."""
    page.publish("claim_tightness", compute(), draw)


if __name__ == "__main__":
    main()
