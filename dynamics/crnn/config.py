"""One experiment as a frozen value: read from TOML, overridden key by key, refused with the key's full path.

Main results: Experiment, load, load_all, fingerprint; the rules Deterministic, Stochastic, Implicit.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(gt=0, le=1)]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML table; every key without a default is required."""


class DataTable(Table, frozen=True):
    """Which images, and the seed of the split into training, validation and test."""

    name: Literal["digits"]
    split_seed: Seed


class NetworkTable(Table, frozen=True):
    """Units a layer, input first; temperature T and threshold θ in the unit of the weights; leak ε.

    scales: each matrix starts uniform on ±scale/√(units below).
    """

    layers: Annotated[tuple[Count, ...], Meta(min_length=2)]
    temperature: Positive
    threshold: float
    leak: Fraction
    scales: tuple[Positive, ...]


class Phases(Table, frozen=True):
    """A free phase, then two nudged by ±nudging; statistics are averaged over each phase's last `window` steps."""

    nudging: Positive
    steps_free: Count
    steps_nudged: Count
    window: Count


class Deterministic(Phases, frozen=True, tag_field="kind", tag="deterministic"):
    """Deterministic EP: every spike replaced by its probability."""


class Stochastic(Phases, frozen=True, tag_field="kind", tag="stochastic"):
    """StochEP: leaky spikes; the estimate averages traces or probabilities, both phases on one noise where coupled."""

    estimator: Literal["traces", "probabilities"]
    coupled: bool = True


class Implicit(Table, frozen=True, tag_field="kind", tag="implicit"):
    """The exact gradient at the fixed point, found to max|residual| ≤ tolerance, by solving the adjoint system."""

    tolerance: Positive
    max_steps: Count


Rule = Deterministic | Stochastic | Implicit


class TrainingTable(Table, frozen=True):
    """Gradient descent with momentum; rates, one a matrix (and the bias above it), fall to 0 along a cosine."""

    epochs: Count
    batch: Count
    rates: tuple[Positive, ...]
    momentum: Annotated[float, Meta(ge=0, lt=1)]


class InferenceTable(Table, frozen=True):
    """Traces of the output layer are averaged over the last `window` of `steps`; spikes where the rule spikes."""

    steps: Count
    window: Count


class Experiment(Table, frozen=True):
    """One reported run, for each of `seeds`; results lie in OUT/name/seed."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$")]
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)]
    data: DataTable
    network: NetworkTable
    rule: Rule
    training: TrainingTable
    inference: InferenceTable


def load(path: Path, overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> Experiment:
    """The experiment in a TOML file under `overrides` "a.b=value" and other `seeds`; ValueError names key and value."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    for override in overrides:
        _override(raw, override)
    if seeds:
        raw["seeds"] = list(seeds)
    _refuse_infinite(raw, "")
    try:
        experiment = msgspec.convert(raw, Experiment)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {_sentence(str(error), raw)}") from error
    _check_together(experiment)
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
    fields = {key: value for key, value in msgspec.to_builtins(experiment).items() if key != "seeds"}
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def _override(raw: dict[str, Any], override: str) -> None:
    """Write one "a.b=value" into the raw tables; the value reads as TOML, or else as a string."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ValueError(f"--set takes key=value with a dotted key, got {override!r}: try --set training.epochs=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
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
    if unknown := re.search(r"unknown field `(.*)`", complaint):
        return f"unknown key {'.'.join([*keys, unknown[1]])}: {_nearest(unknown[1])}"
    if missing := re.search(r"missing required field `(.*)`", complaint):
        return f"key {'.'.join([*keys, missing[1]])} is missing: add it"
    value: Any = raw
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return f"{path}: {complaint[:1].lower() + complaint[1:]}, got {value!r}"


def _nearest(key: str) -> str:
    rules = (Deterministic, Stochastic, Implicit)
    tables = [("", Experiment), ("data.", DataTable), ("network.", NetworkTable), *(("rule.", rule) for rule in rules)]
    tables += [("training.", TrainingTable), ("inference.", InferenceTable)]
    known = {name: prefix + name for prefix, table in tables for name in table.__struct_fields__}
    close = difflib.get_close_matches(key, sorted(known), n=1)
    return f"did you mean {known[close[0]]}?" if close else "remove it"


def _check_together(experiment: Experiment) -> None:
    """What no single key can tell: windows fit into phases, and there is one scale and one rate a matrix."""
    network, rule, inference = experiment.network, experiment.rule, experiment.inference
    matrices = len(network.layers) - 1
    for path, values in (("network.scales", network.scales), ("training.rates", experiment.training.rates)):
        if len(values) != matrices:
            raise ValueError(
                f"{path} must have one value per weight matrix, {matrices}, got {len(values)}: {list(values)}"
            )
    windows = [("inference.window", inference.window, inference.steps)]
    if isinstance(rule, Deterministic | Stochastic):
        windows.append(("rule.window", rule.window, min(rule.steps_free, rule.steps_nudged)))
    for path, window, steps in windows:
        if window > steps:
            raise ValueError(f"{path} must not exceed its phase of {steps} steps, got {window}")
    if len(set(experiment.seeds)) != len(experiment.seeds):
        raise ValueError(f"seeds must be distinct, got {list(experiment.seeds)}")
