"""One experiment as a frozen value: read from TOML, overridden key by key, refused with the key's full path.

Main results: Experiment, load, load_all, fingerprint; the rules Deterministic, Stochastic, Continual, Backpropagation, Implicit.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.datasets import NAMES, STREAMS, Augmentation, Motion
from dynamics.reading import contents

# Of a file of experiments, and of one line in it: tomllib takes a time that grows with the square of a dotted key's parts.
MOST_BYTES, MOST_DOTS = 2**16, 200
MOST_SHOWN = 100
_TOO_DEEP = "nests tables or arrays too deep"

# far above what can be waited for, far below what a kernel counts to
Count = Annotated[int, Meta(ge=1, le=10**9)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(gt=0, le=1)]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML table; every key without a default is required."""


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


class NetworkTable(Table, frozen=True):
    """The free layers from below; temperature T, threshold θ (in the unit of the weights), leak ε: shared, or one a layer.

    readout: "squared-error" nudges the last layer, "cross-entropy" puts a softmax of one more matrix outside the dynamics.
    scales: each array of weights starts uniform on ±scale/√(fan in), the readout's last. rest: every trace starts there.
    activation: σ((h − θ)/T), or for deterministic EP clip((h − θ)/T, 0, 1); not recorded where it is left out, and logistic then.
    """

    layers: Annotated[tuple[ConvTable | DenseTable, ...], Meta(min_length=1, max_length=100)]
    readout: Literal["squared-error", "cross-entropy"]
    temperature: Positive | tuple[Positive, ...]
    threshold: float | tuple[float, ...]
    leak: Fraction | tuple[Fraction, ...]
    scales: tuple[Positive, ...]
    rest: Annotated[float, Meta(ge=0, le=1)] = 0.5
    dtype: Literal["float32", "float64"] = "float64"
    activation: Literal["logistic", "hard_sigmoid"] | msgspec.UnsetType = msgspec.UNSET


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


Rule = Deterministic | Stochastic | Continual | Backpropagation | Implicit


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
        return isinstance(self.rule, Stochastic) or (isinstance(self.rule, Backpropagation) and self.rule.spiking)

    def architecture(self, shape: tuple[int, ...], classes: int) -> Architecture:
        """The layers on images of this shape, the readout included; ValueError says what does not fit."""
        layers = tuple(
            Dense(layer.units)
            if isinstance(layer, DenseTable)
            else Conv(layer.channels, layer.kernel, layer.stride, layer.padding, layer.pool, layer.pooling)
            for layer in self.network.layers
        )
        readout = classes if self.network.readout == "cross-entropy" else 0
        architecture = Architecture(shape, layers, readout)
        if architecture.outputs != classes:
            raise ValueError(
                f"network.layers must end with {classes} outputs for {self.data.name} where readout is 'squared-error', got "
                f"{architecture.outputs}"
            )
        return architecture


def load(path: Path, overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> Experiment:
    """The experiment in a TOML file under `overrides` "a.b=value" and other `seeds`; ValueError names key and value."""
    text = contents(path, MOST_BYTES)
    try:
        raw = _parsed(text.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    for override in overrides:
        _override(raw, override)
    if seeds:
        raw["seeds"] = list(seeds)
    try:
        _refuse_infinite(raw, "")
        experiment = msgspec.convert(raw, Experiment)
        check_together(experiment)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {_sentence(str(error), raw)}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path} or --set {_TOO_DEEP}") from error
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
    return hashlib.sha256(msgspec.json.encode(tables(experiment), order="sorted")).hexdigest()


def tables(experiment: Experiment) -> dict[str, Any]:
    """The resolved experiment without its seeds."""
    return {key: value for key, value in msgspec.to_builtins(experiment).items() if key != "seeds"}


def _parsed(text: str) -> dict[str, Any]:
    """What tomllib reads; ValueError before it would take minutes, or recurse beyond what Python allows."""
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {MOST_DOTS} dots, of numbers or of dotted keys")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _override(raw: dict[str, Any], override: str) -> None:
    """Write one "a.b=value" into the raw tables; the value reads as TOML, or else as a string."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ValueError(f"--set takes key=value with a dotted key, got {override!r}: try --set training.epochs=5")
    try:
        value = _parsed(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except ValueError as error:
        raise ValueError(f"--set {_shown(override)} cannot be read: {error}") from error
    table = raw
    for depth, key in enumerate(keys[:-1], start=1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ValueError(f"--set {override}: {'.'.join(keys[:depth])} is a value, not a table")
    table[keys[-1]] = value


def _refuse_infinite(value: Any, path: str) -> None:
    """nan and inf are TOML floats and pass every comparison that asks for too little."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} must be finite, got {value}")
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        _refuse_infinite(inner, f"{path}.{key}".lstrip("."))


def _sentence(message: str, raw: dict[str, Any]) -> str:
    """msgspec's complaint with the key's full path in front and the refused value or the nearest key behind."""
    complaint, _, where = message.partition(" - at `")
    path = re.sub(r"\[(\d+)\]", r".\1", where.rstrip("`")).removeprefix("$").lstrip(".")
    keys = [key for key in path.split(".") if key]
    if unknown := re.search(r"unknown field `(.*)`", complaint, re.DOTALL):
        return f"unknown key {'.'.join([*keys, unknown[1]])}: {_nearest(unknown[1])}"
    if missing := re.search(r"missing required field `(.*)`", complaint):
        return f"key {'.'.join([*keys, missing[1]])} is missing: add it"
    value: Any = raw
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return f"{path}: {complaint[:1].lower() + complaint[1:]}, got {_shown(value)}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        # hexadecimal ones are read however long they are
        text = "a whole number of more digits than Python writes"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _nearest(key: str) -> str:
    tables = [
        ("", Experiment), ("data.", DataTable), ("data.augmentation.", AugmentationTable), ("data.motion.", MotionTable),
        ("network.", NetworkTable), ("network.layers.", ConvTable), ("network.layers.", DenseTable),
        *(("rule.", rule) for rule in get_args(Rule)), ("training.", TrainingTable), ("training.anneal.", AnnealTable),
        ("training.optimiser.", SgdTable), ("training.optimiser.", AdamTable), ("inference.", InferenceTable),
        ("input.", InputTable),
    ]  # fmt: skip
    known = {name: prefix + name for prefix, table in tables for name in table.__struct_fields__}
    close = difflib.get_close_matches(key, sorted(known), n=1)
    return f"did you mean {known[close[0]]}?" if close else "remove it"


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
    per_layer.append(("training.rate_penalty", training.rate_penalty))
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
    if isinstance(rule, Backpropagation):
        windows.append(("rule.window", rule.window, rule.steps))
    for path, window, steps in windows:
        if window > steps:
            raise ValueError(f"{path} must not exceed its phase of {steps} steps, got {window}")
    if network.activation == "hard_sigmoid" and not isinstance(rule, Deterministic | Continual):
        raise ValueError(
            "network.activation 'hard_sigmoid' needs deterministic EP: use rule.kind = 'deterministic' or 'continual', or "
            f"network.activation = 'logistic', got rule {type(rule).__name__}"
        )
    _check_input(experiment)
    if len(set(experiment.seeds)) != len(experiment.seeds):
        raise ValueError(f"seeds must be distinct, got {list(experiment.seeds)}")


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
