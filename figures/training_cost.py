"""What learning one image costs, EP against BPTT, as the relaxation grows longer (results/fashion_*, results/bench.json; thm:E2).

Caption: EP needs no memory for its steps, and spikes replace most multiply-adds by fewer additions. The full-size net of
Fashion-MNIST, as many nudged steps as 0.8 times the free ones, BPTT through the sum of both. (a) Multiply-adds of an image with
every drive computed in full, and StochEP's synaptic events, the additions its spikes cause at the rates recorded in the last
epoch. (b) Numbers that must be kept of an image until its gradient is formed. (c) Peak memory of a learning step as measured
(`make bench`, 32→64 channels, batch 64). (d) Test error against multiply-adds of the whole training, or events where the rule
spikes and learns by EP; each seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynamics.crnn.config import Backpropagation, Deterministic, Experiment, Stochastic
from dynamics.crnn.cost import synapses, work
from figures import page
from figures.fashion_learning import TAUGHT as RULES
from figures.learning import ROOT, draw_errors, gathered
from figures.speed import RECORD, draw_memory

INPUTS = ("results/bench.json", "results/fashion_*/*/result.json", "experiments/fashion_*.toml")

STEPS = (10, 20, 50, 100, 200)
SHOWN = {
    "EP": ("deterministic EP", page.MEAN_FIELD),
    "BPTT": ("BPTT", page.BOUND),
    "events": ("StochEP, events", page.LEAKY),
}
SPIKING = "fashion_stochastic_probabilities"
# work does not depend on them
PHASES: dict[str, Any] = {"nudging": 1.0, "window": 1}


def compute(
    *,
    results: Path = ROOT / "results",
    experiments: Path = ROOT / "experiments",
    bench: Path = RECORD,
    steps: tuple[int, ...] = STEPS,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """Counts of one image against the free steps, the measured memory, and what each recorded run took in all."""
    found = gathered(RULES, results=results, experiments=experiments)
    report(1.0)
    runs = [_run(document) for documents in found.values() for document in documents]
    memory = msgspec.json.decode(bench.read_bytes())["memory"] if bench.is_file() else []
    if not found[SPIKING]:
        return {"counts": [], "memory": memory, "runs": runs}
    document = found[SPIKING][0]
    architecture, rates = _experiment(document).architecture((1, 28, 28), 10), document["curves"]["rates"][-1]
    counts = []
    for free in steps:
        phases = {**PHASES, "steps_free": free, "steps_nudged": int(0.8 * free)}
        ep = work(architecture, Deterministic(**phases))
        bptt = work(architecture, Backpropagation(steps=free + int(0.8 * free), window=1))
        spiking = work(architecture, Stochastic(**phases, estimator="probabilities"), rates)
        counts.append({
            "free": free, "EP": ep.multiply_adds, "BPTT": bptt.multiply_adds, "events": spiking.events,
            "EP kept": ep.states * architecture.units, "BPTT kept": bptt.states * architecture.units,
        })  # fmt: skip
    return {"counts": counts, "memory": memory, "runs": runs, "synapses": synapses(architecture)}


def _experiment(document: dict[str, Any]) -> Experiment:
    return msgspec.convert(document["config"], Experiment)


def _run(document: dict[str, Any]) -> dict[str, Any]:
    """Work of the whole training, its last epoch's rates taken for all."""
    experiment = _experiment(document)
    one = work(experiment.architecture((1, 28, 28), 10), experiment.rule, document["curves"]["rates"][-1])
    shown = experiment.training.epochs * document["train_images"]
    return {
        "name": document["name"],
        "work": shown * (one.multiply_adds if one.events is None else one.events),
        "test": {"seed": document["seed"], **document["metrics"]["test_accuracy"]},
    }


def draw(data: dict[str, Any]) -> Figure:
    """Work, numbers kept, memory, error against work."""
    with page.style():
        if not data["counts"]:
            return page.nothing(f"no recorded run matches experiments/{SPIKING}.toml: stochep train makes one")
        figure, (adds, kept, memory, errors) = page.page(1, 4, height=2.7)
        free = [row["free"] for row in data["counts"]]
        for key, (label, colour) in SHOWN.items():
            adds.plot(free, [row[key] / 1e6 for row in data["counts"]], "o-", color=colour, label=label, markersize=2.5)
        for key in ("EP", "BPTT"):
            kept.plot(
                free, [row[f"{key} kept"] / 1e3 for row in data["counts"]], "o-", color=SHOWN[key][1], markersize=2.5
            )
        adds.set(ylabel="operations an image (10⁶)")
        kept.set(ylabel="numbers kept an image (10³)")
        for axis in (adds, kept):
            axis.set(xscale="log", yscale="log", xlabel="free steps")
            page.log_ticks(axis.xaxis, free)
        draw_memory(memory, data["memory"])
        # room for its legend
        memory.set_ylim(top=20 * memory.get_ylim()[1])
        _errors(errors, data["runs"])
        figure.legend(*adds.get_legend_handles_labels(), loc="outside lower center", ncols=len(SHOWN))
    return figure


def _errors(axis: Axes, runs: list[dict[str, Any]]) -> None:
    for run in runs:
        draw_errors(axis, run["work"] / 1e12, [run["test"]], RULES[run["name"]].colour)
    axis.set(xscale="log", xlabel="operations in all (10¹²)", ylabel="test error (%)")
    page.log_ticks(axis.xaxis, (1, 2, 5, 10, 20, 50, 100))
    # room for the legend
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.5 * (high - low))
    shown = [RULES[name] for name in dict.fromkeys(run["name"] for run in runs)]
    handles = [Line2D([], [], color=rule.colour, marker="o", linestyle="none", markersize=3) for rule in shown]
    axis.legend(handles, [rule.short for rule in shown], loc="upper right", fontsize=6)


def main() -> None:
    """Compute and write figures/out/training_cost.*."""
    page.publish("training_cost", compute(), draw)


if __name__ == "__main__":
    main()
