"""Whatever a file, a table or a command line holds, the answer is a result or one sentence, within a bound on memory.

Each kind below is a true small file, damaged 200 times from seeds; everyday runs take the first 20. Work stops where training or
certifying would begin, so that what is valid and huge is prepared for and not done. Memory: door.BOUND above the start, enforced.
"""

from __future__ import annotations

import json
import shutil
import tomllib
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from dynamics.datasets import cifar10
from tests.hostile import mutations, specimens
from tests.hostile.commands import command_line
from tests.hostile.door import ask, fault

Random = np.random.Generator
# a command line, and names of which its refusal must say one
Attempt = tuple[list[str], tuple[str, ...]]
EVERYDAY, THOROUGH = 20, 200


def _on_data(folder: Path, random: Random, files: list[Path], line: list[str]) -> Attempt:
    file = files[random.integers(0, len(files))]
    mutations.damage(random, file)
    return line, (str(folder / "data"),)


def idx_plain(folder: Path, random: Random) -> Attempt:
    files = specimens.mnist(folder / "data")
    return _on_data(folder, random, files, specimens.training(folder, specimens.TINY, "mnist"))


def idx_packed(folder: Path, random: Random) -> Attempt:
    files = specimens.mnist(folder / "data", packed=True)
    return _on_data(folder, random, files, specimens.training(folder, specimens.TINY, "mnist"))


def cifar_binary(folder: Path, random: Random) -> Attempt:
    files = specimens.cifar(folder / "data", cifar10.RECORDS)
    return _on_data(folder, random, files, specimens.training(folder, specimens.TINY, "cifar10"))


def aedat(folder: Path, random: Random) -> Attempt:
    files = specimens.gestures(folder / "data")
    return _on_data(folder, random, files, specimens.training(folder, specimens.GESTURES, "dvs_gesture"))


def couplings(folder: Path, random: Random) -> Attempt:
    path = specimens.couplings(folder / "net.npz")
    (mutations.other_arrays if random.random() < 0.6 else mutations.damage)(random, path)
    options = ["--temperatures", "1", "--nudgings", "0.1", "--estimators", "symmetric", "onsager", "--json"]
    return ["bias", "--couplings", str(path), *options], (
        str(path),
        "couplings",
        "bias",
        "outputs",
        "target",
        "temperature",
    )


def experiment(folder: Path, random: Random) -> Attempt:
    path = specimens.experiment(folder / "one.toml")
    if random.random() < 0.7:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        for _ in range(int(random.integers(1, 3))):
            mutations.other_value(random, tree)
        path.write_text(tomli_w.dumps(_in_toml(tree)), encoding="utf-8")
    else:
        mutations.damage(random, path)
    named = (
        str(path),
        *(f"{table}." for table in ("network", "training", "rule", "data", "inference", "input")),
        "seeds",
        "name",
    )
    return ["train", str(path), "--out", str(folder / "runs"), "--json"], named


def _in_toml(tree):
    if isinstance(tree, dict):
        return {key: _in_toml(value) for key, value in tree.items() if value is not None}
    return [_in_toml(value) for value in tree if value is not None] if isinstance(tree, list) else tree


def saved(folder: Path, random: Random) -> Attempt:
    path = specimens.saved(folder / "runs")
    (mutations.other_arrays if random.random() < 0.6 else mutations.damage)(random, path)
    line = [
        "train",
        str(specimens.EXPERIMENT),
        "--out",
        str(folder / "runs"),
        "--json",
        "--resume",
        "--set",
        *specimens.DIGITS,
    ]
    return line, (str(path.parent),)


def result(folder: Path, random: Random) -> Attempt:
    path, _ = specimens.finished(folder / "runs")
    if random.random() < 0.7:
        tree = json.loads(path.read_text(encoding="utf-8"))
        mutations.other_value(random, tree)
        path.write_text(json.dumps(tree), encoding="utf-8")
    else:
        mutations.damage(random, path)
    return ["certify", str(path.parent), "--json"], (
        str(path.parent),
        "network.",
        "training.",
        "data.",
        "input.",
        "fixed point",
    )


def weights(folder: Path, random: Random) -> Attempt:
    _, path = specimens.finished(folder / "runs")
    (mutations.other_arrays if random.random() < 0.6 else mutations.damage)(random, path)
    return ["certify", str(path.parent), "--json"], (str(path), "weights")


def commands(folder: Path, random: Random) -> Attempt:
    return command_line(folder, random)


KINDS: tuple[Callable[[Path, Random], Attempt], ...] = (
    idx_plain, idx_packed, cifar_binary, aedat, couplings, experiment, saved, result, weights, commands,
)  # fmt: skip


@pytest.fixture
def stopped(monkeypatch):
    """Where training, certifying or checking a claim would begin, nothing is done."""
    record = types.SimpleNamespace(record=lambda: {"verdict": "holds", "falsifier_refuted": True})
    monkeypatch.setattr("dynamics.crnn.train.train", lambda run, report: {"metrics": {}})
    monkeypatch.setattr("dynamics.crnn.certificate.certify", lambda *images, **options: record)
    monkeypatch.setattr("proofs_numeric.check", lambda label, **options: record)
    monkeypatch.setattr("figures.inputs.is_current", lambda *of: True)
    monkeypatch.setattr(cifar10, "RECORDS", 4)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(EVERYDAY), id="everyday"),
        pytest.param(range(EVERYDAY, THOROUGH), id="all", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_damaged_input_is_a_result_or_one_sentence(tmp_path, monkeypatch, stopped, kind, seeds):
    monkeypatch.chdir(tmp_path)
    faults = {}
    for seed in seeds:
        folder = tmp_path / "case"
        folder.mkdir()
        line, names = kind(folder, np.random.default_rng([seed, *kind.__name__.encode()]))
        if found := fault(ask(line), names):
            faults[seed] = found
        shutil.rmtree(folder)
    assert not faults, "\n".join(f"{kind.__name__} {seed}: {found}" for seed, found in faults.items())


@pytest.mark.parametrize("kind", KINDS[:-1], ids=lambda kind: kind.__name__)
def test_what_is_not_damaged_is_a_result(tmp_path, monkeypatch, stopped, kind):
    for name in ("damage", "other_arrays", "other_value"):
        monkeypatch.setattr(mutations, name, lambda random, subject: None)
    line, _ = kind(tmp_path, np.random.default_rng(0))
    answer = ask(line)
    assert answer.code == 0, answer.err
