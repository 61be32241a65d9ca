"""One experiment as a frozen value: read from TOML, overridden key by key, refused with the key's full path.

Main results: Experiment, load, load_all, fingerprint; the rules Deterministic, Stochastic, Continual, Backpropagation, Implicit,
PredictiveCoding, EvolutionStrategies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dynamics.crnn.architecture import Architecture, Conv, Dense, Link
from dynamics.datasets import NAMES, STREAMS, Augmentation, Motion
from dynamics.tables import Positive, Seed, Table, digest, read

# far above what can be waited for, far below what a kernel counts to
Count = Annotated[int, Meta(ge=1, le=10**9)]
NonNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(gt=0, le=1)]


class MotionTable(Table, frozen=True):
    """How saccades move the images: frames, amplitude in pixels, contrast of an event (`datasets.saccades`)."""

    frames: Annotated[int, Meta(ge=1, le=1000)] = Motion().frames
    amplitude: Annotated[float, Meta(gt=0, le=28)] = Motion().amplitude
    contrast: Positive = Motion().contrast


class AugmentationTable(Table, frozen=True):
    """How a training image is drawn anew each time it is shown: mirrored in half of the cases, moved by up to `shift` pixels."""

    flip: bool = Augmentation().flip
    shift: Annotated[int, Meta(ge=0, le=10**9)] = Augmentation().shift


class DataTable(Table, frozen=True):
    """Which images, the seed of the split, and how many train and validate; None takes what the data set has.

    augmentation: of the training images alone. motion: of the saccades alone. Left out, neither is recorded, and there is none, or
    the defaults hold.
    """

    name: Literal[NAMES]  # type: ignore[valid-type]
    split_seed: Seed
    train_images: Count | None = None
    validation_images: Count | None = None
    augmentation: AugmentationTable | msgspec.UnsetType = msgspec.UNSET
    motion: MotionTable | msgspec.UnsetType = msgspec.UNSET


class ConvTable(Table, frozen=True, tag_field="kind", tag="conv"):
    """A convolution with kernel × kernel weights, then the mean (or the largest) of pool × pool windows."""

    channels: Count
    kernel: Count
    stride: Count = 1
    padding: Annotated[int, Meta(ge=0, le=10**9)] = 0
    pool: Count = 1
    pooling: Literal["average", "max"] = "average"


class DenseTable(Table, frozen=True, tag_field="kind", tag="dense"):
    """Units that each see the whole layer below."""

    units: Count


class SpreadTable(Table, frozen=True):
    """Leaks that differ from unit to unit of every layer, evenly apart in their logarithm (thm:G7)."""

    lowest: Fraction
    highest: Fraction


class LinkTable(Table, frozen=True):
    """A residual link of `strength` from each unit of one free layer, counted from 1, to the same unit of a higher one."""

    lower: Count
    upper: Count
    strength: float


class NetworkTable(Table, frozen=True):
    """The free layers from below; temperature T, threshold θ (in the unit of the weights), leak ε: shared, or one a layer.

    readout: "squared-error" nudges the last layer, "cross-entropy" puts a softmax of one more matrix outside the dynamics.
    scales: each array of weights starts uniform on ±scale/√(fan in), the readout's last. rest: every trace starts there.
    activation: σ((h − θ)/T), or for deterministic EP clip((h − θ)/T, 0, 1); not recorded where it is left out, and logistic then.
    What follows is not recorded either where it is left out, and not there then.
    feedback c: temperature, threshold, scales, links and lateral inhibition of layer n are c^{n−1} times what is written, so that
    all that rises stays and what falls a layer counts c (thm:G3, lem:weak-feedback); `training.rates` move weights in the unit
    written. links: `architecture.Link`. lateral g: units of one place inhibit each other by g times the others' mean, one number
    or one a layer. divisive g: an image with mean pixel x̄ divides all fields by 1 + g x̄. What each does to contraction and bias
    is said in lem:options.
    """

    layers: Annotated[tuple[ConvTable | DenseTable, ...], Meta(min_length=1, max_length=100)]
    readout: Literal["squared-error", "cross-entropy"]
    temperature: Positive | tuple[Positive, ...]
    threshold: float | tuple[float, ...]
    leak: Fraction | tuple[Fraction, ...] | SpreadTable
    scales: tuple[Positive, ...]
    rest: Annotated[float, Meta(ge=0, le=1)] = 0.5
    dtype: Literal["float32", "float64"] = "float64"
    activation: Literal["logistic", "hard_sigmoid"] | msgspec.UnsetType = msgspec.UNSET
    feedback: Fraction | msgspec.UnsetType = msgspec.UNSET
    links: tuple[LinkTable, ...] | msgspec.UnsetType = msgspec.UNSET
    lateral: NonNegative | tuple[NonNegative, ...] | msgspec.UnsetType = msgspec.UNSET
    divisive: NonNegative | msgspec.UnsetType = msgspec.UNSET

    def weakened(self, values: float | tuple[float, ...], power: int = 1) -> tuple[float, ...]:
        """Values, one number or one a free layer or array of weights, times c^{power · (n−1)} where layer n is concerned.

        The readout's array, behind the last layer, stays as it is.
        """
        layers = len(self.layers)
        several = (values,) * layers if isinstance(values, (int, float)) else values
        factors = [(self.feedback or 1.0) ** (power * n) for n in range(layers)] + [1.0]
        return tuple(value * factor for value, factor in zip(several, factors, strict=False))


class InputTable(Table, frozen=True):
    """How images reach the first layer: as they are, as Bernoulli spikes, or (event streams) frame by frame, each for `hold` steps.

    leak: of the input's own trace; 1 hands spikes or frames on as they are.
    """

    coding: Literal["static", "bernoulli", "frames"] = "static"
    leak: Fraction = 1.0
    hold: Count = 1


class Phases(Table, frozen=True):
    """A free phase, then two nudged ones from its state; statistics are averaged over each phase's last `window` steps.

    scheme: "symmetric" compares β with −β, "one-sided" β with the free phase continued, "random-sign" ±β, by lot, with it.
    """

    nudging: Positive
    steps_free: Count
    steps_nudged: Count
    window: Count
    scheme: Literal["symmetric", "one-sided", "random-sign"] = "symmetric"


class Deterministic(Phases, frozen=True, tag_field="kind", tag="deterministic"):
    """Deterministic EP: every spike replaced by its probability."""


class Stochastic(Phases, frozen=True, kw_only=True, tag_field="kind", tag="stochastic"):
    """StochEP: leaky spikes; the estimate averages traces, spikes or firing probabilities.

    phases: "coupled" on one noise, "warm-started" from one free state with noise of their own, "independent" from the start.
    """

    estimator: Literal["traces", "spikes", "probabilities"]
    phases: Literal["coupled", "warm-started", "independent"] = "coupled"


class Continual(Table, frozen=True, tag_field="kind", tag="continual"):
    """Continual EP: the weights move in every nudged step, at `rates`, one an array of weights."""

    nudging: Positive
    steps_free: Count
    steps_nudged: Count
    window: Count
    rates: tuple[Positive, ...]


class Backpropagation(Table, frozen=True, tag_field="kind", tag="bptt"):
    """BPTT of the cost of the mean trace over the last `window` of `steps`; through spikes with their probability's slope."""

    steps: Count
    window: Count
    spiking: bool = False


class Implicit(Table, frozen=True, tag_field="kind", tag="implicit"):
    """The exact gradient at the fixed point, found to max|residual| ≤ tolerance, by solving the adjoint system."""

    tolerance: Positive
    max_steps: Count


class PredictiveCoding(Table, frozen=True, tag_field="kind", tag="predictive_coding"):
    """Predictive coding on dense layers: `steps` of descent on the activities at `rate`, outputs nudged, then local updates.

    The network computes from below and is asked so: network.leak, network.rest and inference are not read.
    """

    nudging: Positive
    rate: Positive
    steps: Count


class EvolutionStrategies(Table, frozen=True, tag_field="kind", tag="evolution_strategies"):
    """Costs of `pairs` of opposite perturbations of all free layers' parameters, each from one relaxation.

    width: standard deviation of a perturbation in units of 1/√(fan in), those of network.scales, of a layer's weights and biases;
    one number, or one a free layer. spiking: leaky spikes, of one noise in all relaxations of an update.
    """

    pairs: Count
    width: Positive | tuple[Positive, ...]
    steps: Count
    window: Count
    spiking: bool = False


Rule = Deterministic | Stochastic | Continual | Backpropagation | Implicit | PredictiveCoding | EvolutionStrategies


class SgdTable(Table, frozen=True, tag_field="kind", tag="sgd"):
    """Gradient descent with momentum: velocity ← momentum · velocity − rate · gradient."""

    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class AdamTable(Table, frozen=True, tag_field="kind", tag="adam"):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980)."""

    first: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    second: Annotated[float, Meta(ge=0, lt=1)] = 0.999
    epsilon: Positive = 1e-8


class AnnealTable(Table, frozen=True):
    """Temperature and threshold begin here and reach the network's own, along a line, when a `share` of the training is over."""

    share: Fraction
    temperature: Positive | tuple[Positive, ...] | None = None
    threshold: float | tuple[float, ...] | None = None


class TrainingTable(Table, frozen=True):
    """Descent with one rate an array of weights (and the biases beside it), constant or falling to 0 along a cosine.

    rates: 0 leaves an array as it starts.
    weight_decay: each update also takes rate · weight_decay · weights off the weights, not off biases (decoupled).
    rate_penalty λ: the cost becomes C + Σ λ_l · (mean rate of layer l), an L1 norm of rates; λ one number, or one a free layer.
    """

    epochs: Count
    batch: Count
    rates: tuple[NonNegative, ...]
    optimiser: SgdTable | AdamTable
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    rate_penalty: NonNegative | tuple[NonNegative, ...] | msgspec.UnsetType = msgspec.UNSET
    anneal: AnnealTable | msgspec.UnsetType = msgspec.UNSET


class InferenceTable(Table, frozen=True):
    """Traces of the output layer are averaged over the last `window` of `steps`; spikes where the rule spikes."""

    steps: Count
    window: Count


class Experiment(Table, frozen=True):
    """One reported run, for each of `seeds`; results lie in OUT/name/seed."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$", max_length=200)]
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1, max_length=1000)]
    data: DataTable
    network: NetworkTable
    rule: Rule
    training: TrainingTable
    inference: InferenceTable
    input: InputTable = InputTable()

    @property
    def spikes(self) -> bool:
        """Whether the rule learns, and the network is asked, with spikes."""
        rule = self.rule
        return isinstance(rule, Stochastic) or (
            isinstance(rule, Backpropagation | EvolutionStrategies) and rule.spiking
        )

    @property
    def from_below(self) -> bool:
        """Whether the rule learns, and the network is asked, by passes from below, in which nothing relaxes."""
        return isinstance(self.rule, PredictiveCoding)

    def architecture(self, shape: tuple[int, ...], classes: int) -> Architecture:
        """The layers on images of this shape, the readout included; ValueError says what does not fit."""
        layers = tuple(
            Dense(layer.units)
            if isinstance(layer, DenseTable)
            else Conv(layer.channels, layer.kernel, layer.stride, layer.padding, layer.pool, layer.pooling)
            for layer in self.network.layers
        )
        network = self.network
        readout = classes if network.readout == "cross-entropy" else 0
        links = tuple(
            Link(link.lower, link.upper, link.strength * (network.feedback or 1.0) ** (link.upper - 1))
            for link in network.links or ()
        )
        lateral = network.weakened(network.lateral) if network.lateral else ()
        architecture = Architecture(shape, layers, readout, links, lateral)
        if architecture.outputs != classes:
            raise ValueError(
                f"network.layers must end with {classes} outputs for {self.data.name} where readout is 'squared-error', got "
                f"{architecture.outputs}"
            )
        return architecture


def load(path: Path, overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> Experiment:
    """The experiment in a TOML file under `overrides` "a.b=value" and other `seeds`; ValueError names key and value."""
    experiment = read(path, Experiment, overrides, **({"seeds": list(seeds)} if seeds else {}))
    try:
        check_together(experiment)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return experiment


def load_all(paths: Sequence[Path], overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[Experiment]:
    """`load` for each of several files; ValueError too when there is none, or when two would write to one folder."""
    if not paths:
        raise ValueError("no experiment is named: give a TOML file, for instance experiments/digits_stochastic.toml")
    experiments = [load(path, overrides, seeds) for path in paths]
    names = [experiment.name for experiment in experiments]
    if len(set(names)) != len(names):
        raise ValueError(f"experiments must have distinct names, got {names}")
    return experiments


def fingerprint(experiment: Experiment) -> str:
    """SHA-256 of the resolved experiment without its seeds: equal for the runs that one figure may put together."""
    return digest(tables(experiment))


def tables(experiment: Experiment) -> dict[str, Any]:
    """The resolved experiment without its seeds."""
    return {key: value for key, value in msgspec.to_builtins(experiment).items() if key != "seeds"}


def check_together(experiment: Experiment) -> None:
    """What no single key can tell: windows fit into phases, and there is one value a layer or array where there are several."""
    network, rule = experiment.network, experiment.rule
    arrays = len(network.layers) + (network.readout == "cross-entropy")
    per_array = [("network.scales", network.scales), ("training.rates", experiment.training.rates)]
    if isinstance(rule, Continual):
        per_array.append(("rule.rates", rule.rates))
    for path, values in per_array:
        if len(values) != arrays:
            raise ValueError(
                f"{path} must have one value per array of weights, {arrays}, got {len(values)}: {list(values)}"
            )
    training = experiment.training
    if not any(training.rates):
        raise ValueError(f"training.rates must not all be 0, nothing would be learned, got {list(training.rates)}")
    per_layer = [(f"network.{name}", getattr(network, name)) for name in ("temperature", "threshold", "leak")]
    per_layer += [("network.lateral", network.lateral), ("training.rate_penalty", training.rate_penalty)]
    if isinstance(rule, EvolutionStrategies):
        per_layer.append(("rule.width", rule.width))
    if training.anneal:
        per_layer += [
            (f"training.anneal.{name}", getattr(training.anneal, name)) for name in ("temperature", "threshold")
        ]
    for path, values in per_layer:
        if isinstance(values, tuple) and len(values) != len(network.layers):
            raise ValueError(
                f"{path} must be one number or one per layer, {len(network.layers)}, got {len(values)}: {list(values)}"
            )
    windows = [("inference.window", experiment.inference.window, experiment.inference.steps)]
    if isinstance(rule, Phases | Continual):
        windows.append(("rule.window", rule.window, rule.steps_free))
    if isinstance(rule, Phases):
        windows.append(("rule.window", rule.window, rule.steps_nudged))
    if isinstance(rule, Backpropagation | EvolutionStrategies):
        windows.append(("rule.window", rule.window, rule.steps))
    for path, window, steps in windows:
        if window > steps:
            raise ValueError(f"{path} must not exceed its phase of {steps} steps, got {window}")
    if network.activation == "hard_sigmoid" and not isinstance(rule, Deterministic | Continual):
        raise ValueError(
            "network.activation 'hard_sigmoid' needs deterministic EP: use rule.kind = 'deterministic' or 'continual', or "
            f"network.activation = 'logistic', got rule {type(rule).__name__}"
        )
    _check_options(network, rule)
    _check_input(experiment)
    if experiment.from_below:
        _check_from_below(experiment)
    if len(set(experiment.seeds)) != len(experiment.seeds):
        raise ValueError(f"seeds must be distinct, got {list(experiment.seeds)}")


def _check_options(network: NetworkTable, rule: Rule) -> None:
    """What spread leaks, residual links, weak feedback and divisive inhibition ask for."""
    leak = network.leak
    if isinstance(leak, SpreadTable) and leak.lowest > leak.highest:
        raise ValueError(f"network.leak.lowest must not exceed highest, got {leak.lowest:g} and {leak.highest:g}")
    for link in network.links or ():
        if not link.lower < link.upper <= len(network.layers):
            raise ValueError(
                f"network.links must go from a free layer to a higher one, 1 to {len(network.layers)}, got lower = {link.lower}, "
                f"upper = {link.upper}"
            )
    if network.feedback and isinstance(rule, Continual):
        raise ValueError(
            "network.feedback is not for continual EP, whose rule.rates move the weights as they are: leave it out, and give each "
            f"layer its own network.temperature, threshold and scales, got {network.feedback:g}"
        )
    if network.divisive and isinstance(rule, Implicit):
        raise ValueError(
            "network.divisive is not for an implicit gradient, which needs one temperature for all images: use "
            f"rule.kind = 'deterministic', got {network.divisive:g}"
        )


def _check_from_below(experiment: Experiment) -> None:
    """What a pass from below, layer by layer, asks of the network and of the input."""
    if any(isinstance(layer, ConvTable) for layer in experiment.network.layers):
        raise ValueError(
            "network.layers must all be dense for rule.kind 'predictive_coding', got a conv layer: use kind = 'dense' or another "
            "rule"
        )
    for option in ("links", "lateral", "divisive"):
        if getattr(experiment.network, option):
            raise ValueError(
                f"network.{option} is for networks that relax: leave it out, or use another rule than 'predictive_coding'"
            )
    if experiment.input.coding != "static":
        raise ValueError(
            "input.coding must be 'static' for rule.kind 'predictive_coding', whose network answers at once, got "
            f"{experiment.input.coding!r}"
        )


def _check_input(experiment: Experiment) -> None:
    """What the input's coding asks of the rule and of the data."""
    coding, rule = experiment.input.coding, experiment.rule
    if coding != "static" and isinstance(rule, Implicit):
        raise ValueError(
            f"input.coding must be 'static' for an implicit gradient, which needs a fixed point, got {coding!r}"
        )
    if coding == "bernoulli" and not experiment.spikes:
        raise ValueError("input.coding 'bernoulli' needs a rule that spikes: without spikes it is the static image")
    if (coding == "frames") != (experiment.data.name in STREAMS):
        streams = ", ".join(STREAMS)
        raise ValueError(
            f"input.coding must be 'frames' for the event streams ({streams}) and for them alone, got {coding!r} with "
            f"data.name = {experiment.data.name!r}"
        )
    if experiment.data.augmentation and experiment.data.name == "dvs_gesture":
        raise ValueError(
            "data.augmentation is for images and saccades: dvs_gesture, whose labels tell left from right, takes none"
        )
    pooled = any(isinstance(layer, ConvTable) and layer.pooling == "max" for layer in experiment.network.layers)
    if pooled and isinstance(rule, Backpropagation | Implicit):
        raise ValueError("network.layers with pooling = 'max' learn by EP only here: use pooling = 'average'")
