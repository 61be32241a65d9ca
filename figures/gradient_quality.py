"""Quality of the gradient of a convolutional network, layer by layer, at initialisation and after training (thm:F2).

Caption: StochEP's gradient of one batch, from firing probabilities of coupled phases unless said, against BPTT through many steps.
(a) What the error of one estimate consists of, in units of the reference's length: truncation and nudging, read off
deterministic EP, the mean-field bias of spikes, and noise. (b) Squared error of the mean of S estimates: points, disjoint groups;
lines, bias + noise/S. (c) The noise falls with the leak at equal relaxation time, the bias (lines) does not. (d, e) Without
coupling the noise of one estimate grows like β⁻². (f) So only coupled phases give one estimate a direction. (g–i) Cosine of the
mean estimate (points) and of deterministic EP (lines), β/T kept. Temperature at fixed weights moves the loop gain and the drive at
once and spoils the trained net's direction both ways; apart, temperature at one gain does less, a larger gain alone spoils it. The
spikes' mean follows deterministic EP: relaxation and nudging lose the direction. Filled and solid, trained; open and dotted, at
initialisation, where every mean points the right way; 95 % intervals.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtrit

from dynamics.crnn.config import Backpropagation, Deterministic, Experiment, Phases, Rule, Stochastic
from dynamics.crnn.gradient_quality import Quality, layers, quality, repeated, rescaled
from dynamics.crnn.network import Array, Network
from dynamics.crnn.result import recorded
from dynamics.crnn.run import prepare, start
from dynamics.crnn.train import train
from figures import page

# what stands in for a training run: seconds, and a test error of some per cent
SMALL: dict[str, Any] = {
    "name": "digits_small_conv", "seeds": [0], "data": {"name": "digits", "split_seed": 0},
    "network": {
        "layers": [
            {"kind": "conv", "channels": 8, "kernel": 3, "padding": 1, "pool": 2},
            {"kind": "conv", "channels": 16, "kernel": 3, "padding": 1, "pool": 2},
        ],
        "readout": "cross-entropy", "temperature": 0.25, "threshold": 0.5, "leak": 0.5, "scales": [4.0, 2.0, 1.0], "rest": 0.0,
    },
    "rule": {
        "kind": "stochastic", "nudging": 0.5, "steps_free": 20, "steps_nudged": 15, "window": 10, "estimator": "probabilities",
    },
    "training": {"epochs": 16, "batch": 16, "rates": [0.2, 0.1, 0.05], "optimiser": {"kind": "sgd", "momentum": 0.9}},
    "inference": {"steps": 32, "window": 24},
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "independent": {"estimator": "traces", "phases": "independent"},
    "traces": {"estimator": "traces"},
    "probabilities": {},
}
LOOK: dict[str, dict[str, Any]] = {
    "independent": {"marker": "o", "color": page.GREY, "label": "independent"},
    "traces": {"marker": "D", "color": page.LEAKY, "markersize": 2.8, "label": "coupled, traces"},
    "probabilities": {"marker": "^", "color": page.GLAUBER, "label": "coupled, probabilities"},
}
LAYERS = ((page.MEAN_FIELD, "o"), (page.ONSAGER, "^"), (page.GLAUBER, "s"), (page.LINEAR, "D"))
PARTS = ("truncation", "nudging", "mean field", "noise")
HATCHES = ("", "////", "....", "xxxx")
# a nudging so small that deterministic EP has no error left but that of the steps
SMALL_NUDGING = 1e-3


def compute(
    *,
    run: Path | None = None,
    images: int = 32,
    repeats: int = 20,
    reference_steps: int = 150,
    temperatures: Sequence[float] = (0.5, 0.7, 1.0, 1.4, 2.0),
    gains: Sequence[float] = (0.5, 0.7, 1.0, 1.4, 2.0),
    leaks: Sequence[float] = (0.2, 0.4, 0.7, 1.0),
    nudgings: Sequence[float] = (0.05, 0.2, 0.5, 1.0, 2.0),
    samples: Sequence[int] = (1, 2, 4, 8, 16),
    seed: int = 0,
    report: page.Report = page.silent,
) -> dict[str, Any]:
    """The budget, and the quality against every variable, of the network in a run's folder; None trains a small one first.

    temperatures and gains are factors on the run's; images: of the training set, one batch.
    """
    with tempfile.TemporaryDirectory() as folder:
        nets, batch, rule = _nets(Path(folder) if run is None else run, run is None, images)
    told: dict[str, Any] = {"repeats": repeats, "steps": reference_steps, "seed": seed}
    panels = []
    for done, (name, network) in enumerate(nets.items(), start=1):
        study = Study(network, batch, rule, **told)
        panels.append({
            "network": name,
            "budget": study.budget(),
            "samples": study.samples(samples),
            "leaks": [study.at_leak(leak) for leak in leaks],
            "nudgings": [study.at_nudging(nudging) for nudging in nudgings],
            "temperature": [study.varied(factor, 1 / factor, factor) for factor in temperatures],
            "temperature, fixed gain": [study.varied(factor, 1.0, factor) for factor in temperatures],
            "gain": [study.varied(1.0, factor, factor) for factor in gains],
        })  # fmt: skip
        report(done / len(nets))
    return {
        "run": "digits, trained for this figure" if run is None else f"{run.parent.name}, seed {run.name}",
        "layers": list(panels[0]["budget"]),
        "images": images, "repeats": repeats, "rule": msgspec.to_builtins(rule), "panels": panels,
    }  # fmt: skip


def _nets(folder: Path, small: bool, images: int) -> tuple[dict[str, Network], tuple[Array, Array], Stochastic]:
    """The network at initialisation and trained, in float64, a batch of its training images with targets, and the rule."""
    if small:
        (run,) = prepare(msgspec.convert(SMALL, Experiment), folder)
        train(run, lambda _: None)
        folder = run.folder
    run, network = recorded(folder)
    fresh = run.network(start(run.experiment, run.architecture, run.seed))
    exact = {
        name: replace(net, weights=net.weights.astype(np.float64), bias=net.bias.astype(np.float64))
        for name, net in (("start", fresh), ("trained", network))
    }
    train_images = run.data.train
    chosen = np.random.default_rng([run.seed, 0]).permutation(len(train_images.labels))[:images]
    batch = train_images.batch(chosen), np.eye(run.data.classes)[train_images.labels[chosen]]
    return exact, batch, _rule(run.experiment)


def _rule(experiment: Experiment) -> Stochastic:
    """The run's own phases, spiking, coupled, read off the firing probabilities."""
    if not isinstance(experiment.rule, Phases):
        raise ValueError(
            f"{experiment.name} was not trained by two phases: give a run with kind stochastic or deterministic"
        )
    told = {name: getattr(experiment.rule, name) for name in Phases.__struct_fields__}
    return Stochastic(**told, estimator="probabilities", phases="coupled")


@dataclass(frozen=True)
class Study:
    """One network's gradient of one batch under variants of `rule`, held against BPTT through `steps`."""

    network: Network
    batch: tuple[Array, Array]
    rule: Stochastic
    repeats: int
    steps: int
    seed: int

    @cached_property
    def reference(self) -> list[Array]:
        """BPTT's gradient, layer by layer."""
        return self._layers(Backpropagation(steps=self.steps, window=1))[0]

    def _layers(self, rule: Rule, repeats: int = 1) -> list[list[Array]]:
        """Gradients of each repeat, layer by layer."""
        found = repeated(rule, self.network, *self.batch, seed=self.seed, repeats=repeats)
        return [layers(self.network, one) for one in found]

    def _deterministic(self, nudging: float) -> list[Array]:
        told = {name: getattr(self.rule, name) for name in Phases.__struct_fields__}
        return self._layers(Deterministic(**{**told, "nudging": nudging}))[0]

    def _qualities(self, rule: Stochastic) -> tuple[dict[str, Quality], list[list[Array]]]:
        estimates = self._layers(rule, self.repeats)
        columns = zip(*estimates, strict=True)
        found = [quality(np.array(own), aim) for own, aim in zip(columns, self.reference, strict=True)]
        return {f"layer {n}": one for n, one in enumerate(found, start=1)}, estimates

    def measured(self, rule: Stochastic) -> dict[str, Any]:
        """Every layer's quality under a rule, and deterministic EP's cosine and bias at the same steps."""
        spiking, _ = self._qualities(rule)
        exact = self._deterministic(rule.nudging)
        rows = {}
        for (name, one), own, aim in zip(spiking.items(), exact, self.reference, strict=True):
            plain = quality(own[None], aim)
            rows[name] = {key: value._asdict() for key, value in one._asdict().items()}
            rows[name] |= {"deterministic_cosine": plain.cosine.value, "deterministic_bias": plain.bias.value}
        return rows

    def budget(self) -> dict[str, dict[str, dict[str, float]]]:
        """Per layer, in units of the reference's length: what each part of the error of one estimate contributes."""
        truncated, nudged = self._deterministic(SMALL_NUDGING), self._deterministic(self.rule.nudging)
        estimates = self._layers(self.rule, self.repeats)
        rows = {}
        for n, (aim, first, second) in enumerate(zip(self.reference, truncated, nudged, strict=True)):
            own = np.array([one[n] for one in estimates])
            length, unit = np.linalg.norm(aim), float(np.sum(second**2) / np.sum(aim**2))
            spiking = quality(own, second)
            parts = [
                _exact(float(np.linalg.norm(first - aim) / length)),
                _exact(float(np.linalg.norm(second - first) / length)),
                *(
                    {end: float(np.sqrt(max(unit * value, 0.0))) for end, value in part._asdict().items()}
                    for part in (spiking.bias, spiking.noise)
                ),
            ]
            rows[f"layer {n + 1}"] = dict(zip(PARTS, parts, strict=True))
        return rows

    def samples(self, counts: Sequence[int]) -> dict[str, Any]:
        """Squared error of the mean of S estimates over ‖g‖², from disjoint groups, and bias + noise/S of the same estimates."""
        study = replace(self, repeats=max(self.repeats, 2 * max(counts)))
        found, estimates = study._qualities(self.rule)
        rows: dict[str, Any] = {}
        for n, (name, one) in enumerate(found.items()):
            own, aim = np.array([each[n] for each in estimates]), self.reference[n]
            rows[name] = []
            for count in counts:
                means = own[: len(own) // count * count].reshape(-1, count, own.shape[1]).mean(axis=1)
                errors = ((means - aim) ** 2).sum(axis=1) / (aim**2).sum()
                rows[name].append(
                    {"samples": count, "expected": one.bias.value + one.noise.value / count, **_interval(errors)}
                )
        return rows

    def at_leak(self, leak: float) -> dict[str, Any]:
        """Another leak, with steps so that the relaxation lasts as long."""
        shared = self.network.leak
        own = shared if isinstance(shared, (int, float)) else shared[0]
        longer = {
            name: max(1, round(getattr(self.rule, name) * own / leak))
            for name in ("steps_free", "steps_nudged", "window")
        }
        study = replace(
            self, network=replace(self.network, leak=leak), steps=max(self.steps, round(self.steps * own / leak))
        )
        return {"leak": leak, "layers": study.measured(msgspec.structs.replace(self.rule, **longer))}

    def at_nudging(self, nudging: float) -> dict[str, Any]:
        """Another nudging, for every way to share noise and to read the phases."""
        variants = {
            name: msgspec.structs.replace(self.rule, nudging=nudging, **told) for name, told in VARIANTS.items()
        }
        return {"nudging": nudging, "variants": {name: self.measured(rule) for name, rule in variants.items()}}

    def varied(self, temperature: float, loop: float, factor: float) -> dict[str, Any]:
        """Temperature and loop gain times these, β/T kept; the learned weights otherwise stay."""
        study = replace(self, network=rescaled(self.network, loop=loop, temperature=temperature))
        rule = msgspec.structs.replace(self.rule, nudging=self.rule.nudging * temperature)
        return {"factor": factor, "layers": study.measured(rule)}


def _exact(value: float) -> dict[str, float]:
    return {"value": value, "low": value, "high": value}


def _interval(values: Array) -> dict[str, float]:
    """Mean with its 95 % interval; of fewer than three groups only the mean."""
    mean = float(values.mean())
    if len(values) < 3:
        return _exact(mean)
    reach = float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": mean, "low": mean - reach, "high": mean + reach}


def draw(data: dict[str, Any]) -> Figure:
    """Budget, samples and leak; three views of the nudging; temperature and gain, together and apart."""
    names, nets = data["layers"], {panel["network"]: panel for panel in data["panels"]}
    last = names[-1]
    with page.style():
        figure, (budget, many, leak, *nudged, together, cold, gain) = page.page(3, 3, height=7.6)
        _draw_budget(budget, nets, names)
        counts = [row["samples"] for row in nets["trained"]["samples"][last]]
        leaks = [row["leak"] for row in nets["trained"]["leaks"]]
        for net, name, look, line in _series(nets, names):
            rows = nets[net]["samples"][name]
            page.points(many, counts, rows, **look)
            many.plot(counts, [row["expected"] for row in rows], **line)
            rows = nets[net]["leaks"]
            page.points(leak, leaks, [row["layers"][name]["noise"] for row in rows], **look)
            bias = np.array([row["layers"][name]["bias"]["value"] for row in rows])
            # below zero by chance: too small to be seen in the noise
            leak.plot(leaks, np.where(bias > 0, bias, np.nan), **line)
        many.set(xscale="log", yscale="log", xlabel="samples $S$", ylabel="error² / length²")
        many.set_title("mean of $S$ estimates", loc="center")
        page.log_ticks(many.xaxis, counts)
        rows = nets["trained"]["leaks"]
        page.guide(leak, leaks[:2], 1, 0.5 * rows[0]["layers"][last]["noise"]["value"], "$ε$")
        leak.set(xscale="log", yscale="log", xlabel="leak $ε$", ylabel="part of error² / length²")
        leak.set_title("noise (points), bias (lines)", loc="center")
        page.log_ticks(leak.xaxis, leaks)
        own = data["rule"]["nudging"]
        for axis, name in zip(nudged[:2], (names[0], last), strict=True):
            _draw_nudgings(axis, nets, name, "noise", own)
            axis.set(yscale="log", ylabel="noise / length², one estimate")
            axis.set_title(f"noise, {name}", loc="center")
        _draw_nudgings(nudged[2], nets, last, "single", own)
        nudged[2].set(ylabel="cosine of one estimate", ylim=(-0.1, 1.02))
        nudged[2].set_title(f"one estimate, {last}", loc="center")
        rows = nets["trained"]["nudgings"]
        page.guide(
            nudged[1], (rows[0]["nudging"] / own, rows[1]["nudging"] / own), -2,
            0.3 * rows[0]["variants"]["independent"][last]["noise"]["value"], "$β^{-2}$",
        )  # fmt: skip
        nudged[1].legend(fontsize=6, loc="upper right")
        for axis in nudged:
            axis.set(xscale="log", xlabel="nudging, times the run's")
            page.log_ticks(axis.xaxis, [row["nudging"] / own for row in rows])
        titles = ("temperature, weights fixed", "temperature, gain fixed", "loop gain, temperature fixed")
        cosines = dict(zip(("temperature", "temperature, fixed gain", "gain"), (together, cold, gain), strict=True))
        for (key, axis), title in zip(cosines.items(), titles, strict=True):
            _draw_cosines(axis, nets, names, key)
            axis.set_title(title, loc="center")
        for axis in cosines.values():
            axis.set(ylim=(-0.3, 1.06), ylabel="cosine of the mean estimate")
        gain.set_xlabel("loop gain, times the run's")
        gain.legend(fontsize=6, loc="lower left")
        figure.suptitle(_title(data), fontsize=8)
    return figure


def _series(nets: dict[str, Any], names: list[str]) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """(network, layer, look of its points, look of its line): filled and solid where trained."""
    series = []
    for net, name in itertools.product(nets, names):
        colour, marker = LAYERS[names.index(name) % len(LAYERS)]
        trained = net == "trained"
        points = {"color": colour, "marker": marker, "markerfacecolor": colour if trained else "white"}
        line = {"color": colour, "linestyle": "-" if trained else (0, (1, 1))}
        series.append((net, name, {**points, "label": f"{name}, {net}"}, line))
    return series


def _draw_budget(axis: Axes, nets: dict[str, Any], names: list[str]) -> None:
    """Four bars a layer and network."""
    groups = [(net, name) for net in nets for name in names]
    for place, (net, name) in enumerate(groups):
        for k, (part, hatch) in enumerate(zip(PARTS, HATCHES, strict=True)):
            row = nets[net]["budget"][name][part]
            colour = (page.GREY, page.LINEAR, page.MEAN_FIELD, page.LEAKY)[k]
            where = place + (k - 1.5) * 0.2
            axis.bar(
                where,
                row["value"],
                0.19,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                label=part if place == 0 else None,
            )
            axis.plot([where, where], [max(row["low"], 1e-4), row["high"]], color="black", linewidth=0.7)
    axis.set(yscale="log", ylabel="error / length")
    axis.set_xticks(range(len(groups)), [f"{net}\n{name}" for net, name in groups])
    axis.set_title("parts of the error", loc="center")
    axis.legend(fontsize=6, ncols=2, loc="upper left")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 8)


def _draw_nudgings(axis: Axes, nets: dict[str, Any], name: str, key: str, own: float) -> None:
    """Against the nudging over the run's own."""
    for net, panel in nets.items():
        for variant, look in LOOK.items():
            x = [row["nudging"] / own for row in panel["nudgings"]]
            rows = [row["variants"][variant][name][key] for row in panel["nudgings"]]
            fill = {"label": None, "markerfacecolor": "white"} if net == "start" else {}
            told = {**look, **fill}
            _cosines(axis, x, rows, **told) if key == "single" else page.points(axis, x, rows, **told)


def _draw_cosines(axis: Axes, nets: dict[str, Any], names: list[str], key: str) -> None:
    """Spikes as points, deterministic EP as lines."""
    x = [row["factor"] for row in nets["trained"][key]]
    for net, name, look, line in _series(nets, names):
        rows = [row["layers"][name] for row in nets[net][key]]
        axis.plot(x, [row["deterministic_cosine"] for row in rows], **line)
        _cosines(axis, x, [row["cosine"] for row in rows], **look)
    axis.set(xscale="log", xlabel="temperature, times the run's")
    page.log_ticks(axis.xaxis, x)


def _cosines(axis: Axes, x: Sequence[float], rows: list[dict[str, float]], **look: Any) -> None:
    """Points with their intervals on a linear axis, where a direction was found."""
    # what was no number came back from a record as None
    value, low, high = (np.array([row[end] for row in rows], dtype=float) for end in ("value", "low", "high"))
    seen = np.isfinite(low)
    bars = np.stack([value - low, high - value])[:, seen]
    axis.errorbar(np.array(x)[seen], value[seen], bars, **{"linestyle": "none", "elinewidth": 0.8, **look})


def _title(data: dict[str, Any]) -> str:
    rule, kept = data["rule"], f"{data['images']} images, {data['repeats']} repeats"
    steps = f"{rule['steps_free']} free and {rule['steps_nudged']} nudged steps, averaged over {rule['window']}"
    return f"{data['run']}; {kept}; β = {rule['nudging']:g}, {steps}"


def main() -> None:
    """Compute and write figures/out/gradient_quality.*."""
    page.publish("gradient_quality", compute(), draw)


if __name__ == "__main__":
    main()
