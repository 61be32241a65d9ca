"""Inputs that once ended in a traceback, a hang or gigabytes, each by name."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dynamics.crnn.config import load
from dynamics.crnn.spectra import extreme_eigenvalue
from dynamics.datasets import idx
from meanfield import ConvergenceError
from tests.hostile import specimens
from tests.hostile.door import ask, fault

ROOT = Path(__file__).parents[2]
DEEP = "a." * 2000 + "b=1"
TRAIN = ["train", str(specimens.EXPERIMENT), "--out", "runs", "--set", *specimens.DIGITS]
BIAS = ["bias", "--size", "3", "--estimators", "symmetric"]
COMPARE = ["claims", "compare", "--networks", "2-1", "--rules", "FRE"]
RUN = str(ROOT / "results" / "digits_stochastic" / "0")


def refusal(arguments):
    """The one sentence that refuses a command line."""
    answer = ask(arguments)
    assert answer.code in (1, 2), answer.err
    assert not fault(answer, ("",)), answer.err
    return answer.err


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*TRAIN, "network.leak=" + "[" * 3000], "--set 'network.leak=[[["),
        ([*TRAIN, "network.leak=" + "[" * 3000], "nests tables or arrays too deep"),
        ([*TRAIN, DEEP], "nests tables or arrays too deep"),
        ([*TRAIN, "network.leak={" + DEEP + "}"], "a line has more than 200 dots"),
        ([*TRAIN, "training.epochs=" + "9" * 5000], "--set 'training.epochs=999"),
        ([*TRAIN, "training.epochs=0x" + "f" * 9000], "training.epochs must be 0 or between 1e-30 and 1e+30 in size, got a whole"),
        ([*TRAIN, "rule.steps_free=9999999999999999999"], "rule.steps_free: expected `int` <= 1000000000"),
        ([*TRAIN, "network.layers=[{kind='dense', units=1000000}, {kind='dense', units=10}]"], "74,000,000 weights, for 1 seed(s)"),
        ([*TRAIN, "network.layers=[{kind='conv', channels=1, kernel=1, padding=100000, stride=100000}, {kind='dense', units=10}]"],
         "hold 40,003,200,156 numbers an image"),
        ([*TRAIN, "network.layers=[{kind='conv', channels=5000000, kernel=1, pool=8}, {kind='dense', units=1}, "
          "{kind='dense', units=10}]",
          "network.scales=[1,1,1]", "training.rates=[1,1,1]"], "hold 325,000,139 numbers an image"),
        ([*TRAIN, "network.temperature=1e-320"], "network.temperature must be 0 or between 1e-30 and 1e+30 in size, got 1e-320"),
        ([*TRAIN, "network.scales=[1e308, 1.0]"], "network.scales.0 must be 0 or between 1e-30 and 1e+30 in size, got 1e+308"),
        ([*TRAIN, f"seeds={list(range(1001))}"], "seeds: expected `array` of length <= 1000"),
        ([*TRAIN, "\x1b[31m=3"], "unknown key \\x1b[31m: remove it"),
        ([*TRAIN, "name='" + "x" * 201 + "'"], "name: expected `str` of length <= 200"),
        (["train", "\0"], "'\\x00' is no text"),
        (["train", "\udcff"], "'\\udcff' is no text"),
        ([*TRAIN[:3], "\udcff"], "'\\udcff' is no text"),
        ([*BIAS, "--couplings", "x" * 5000], "--couplings must be one of sk, ferromagnet, layered or a .npz file"),
        ([*BIAS, "--temperatures", "1e308"], "temperature must be between 1e-30 and 1e+30"),
        ([*BIAS, "--temperatures", "1e-320"], "temperature must be between 1e-30 and 1e+30"),
        ([*BIAS, "--nudgings", "1e308"], "--nudgings must be between 1e-30 and 1e+30 in size, got 1e+308"),
        ([*BIAS, "--nudgings", "1e-320"], "--nudgings must be between 1e-30 and 1e+30 in size, got 1e-320"),
        ([*BIAS, "--temperatures", "1", "--recommend", "--error", "1e-300"], "more than the 2^32 that one seed has"),
        (["bias", "--size", "9" * 30], "--size must be at most 2,048"),
        (["bias", "--size", "1000", "--reference", "sampled"], "262,144,000 numbers"),
        (["certify", RUN, "--replicas", "9" * 30], "--replicas must be at least 2 and at most 1000000"),
        (["certify", RUN, "--replicas", "1000000"], "traces at once"),
        (["certify", RUN, "--seed", "9" * 30], "--seed must be at least 0 and at most 9223372036854775807"),
        ([*COMPARE, "--steps", "9" * 30], "steps must be at most 10,000,000"),
        ([*COMPARE, "--nudging", "1e-320"], "nudging must be between 1e-30 and 1e+30, got 1e-320"),
        ([*COMPARE, "--temperatures", "1e308"], "temperature must be at most 1e+30, got 1e+308"),
    ],
)  # fmt: skip
def test_a_command_line_that_broke_is_refused(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(arguments)


def test_a_key_of_thousands_of_parts_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "slow.toml"
    path.write_text("a." * 20_000 + "b = 1", encoding="utf-8")
    assert "slow.toml is not valid TOML: a line has more than 200 dots" in refusal(["train", str(path)])
    path.write_bytes(b"# " + b"x" * 2**21)
    assert "slow.toml holds more than 65,536 bytes" in refusal(["train", str(path)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([f"grid.temperatures=[{', '.join(str(k) for k in range(1, 3000))}]", f"grid.samples={list(range(2, 102))}"],
         "seeds and grid span 64,778,400 cells, more than the 200,000 that are listed"),
        (["reference=sampled", "grid.samples=[100000000]"], "25,600,000,000 numbers, more than the 67,108,864"),
        (["reference=sampled", "grid.sizes=[100000]"], "grid.sizes.0: expected `int` <= 2048"),
    ],
)  # fmt: skip
def test_a_sweep_too_large_to_be_listed_is_refused(tmp_path, changes, words):
    line = ["sweep", str(ROOT / "experiments" / "bias_sweep.toml"), "--out", str(tmp_path), "--set", *changes]
    assert words in refusal(line)


def test_no_thousands_of_processes_are_begun(tmp_path):
    line = ["sweep", str(ROOT / "experiments" / "bias_sweep.toml"), "--out", str(tmp_path), "--workers", "9" * 30]
    assert "--workers must be at most 1,024, got 999" in refusal(line)
    assert "--workers must be at most" in refusal(["figures", "--out", str(tmp_path), "--workers", "9" * 30])


def test_a_nudging_too_far_to_be_followed_is_a_row_without_a_value():
    answer = ask([*BIAS, "--temperatures", "1", "--nudgings", "1e30", "--json"])
    assert answer.code == 0
    assert [row["note"] for row in json.loads(answer.out)["rows"]] == ["nudged fixed point lost"]


def test_an_eigenvalue_that_lanczos_does_not_find_is_said_so():
    with pytest.raises(ConvergenceError, match=r"no extreme eigenvalue of 30 × 30 found in 1000 steps"):
        extreme_eigenvalue(lambda vector: np.full(30, np.nan), 30, "LA")


def test_nothing_is_waited_for_that_never_ends():
    for line in (["train", "/dev/zero"], ["bias", "--couplings", "/dev/zero"], ["certify", "/dev"]):
        refusal(line)


def test_a_value_of_megabytes_is_told_in_a_line(tmp_path):
    path = specimens.experiment(tmp_path / "long.toml")
    text = path.read_text(encoding="utf-8").replace("rates = [", "rates = [\n    '" + "x" * 30_000 + "',")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"training\.rates\.0: expected `float`, got `str`, got 'xxx.*…$") as caught:
        load(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document.pop("seed"), "missing required field `seed`"),
        (lambda document: document.update(seed="0"), "Expected `int`, got `str`"),
        (lambda document: document.update(schema_version=7), "is of schema version 7, this stochep reads 1"),
        (
            lambda document: document["config"]["network"].update(temperature=1e-320),
            "temperature must be 0 or between 1e-30",
        ),
        (lambda document: document.update(config=[1]), "Expected `object`, got `array`"),
        (
            lambda document: document["config"]["inference"].update(window=100),
            "inference.window must not exceed its phase of 4",
        ),
    ],
)
def test_a_result_of_another_form_is_refused(tmp_path, change, words):
    path, _ = specimens.finished(tmp_path)
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    assert words in refusal(["certify", str(path.parent)])
    path.write_text("[" * 100_000, encoding="utf-8")
    assert "result.json is of no run of this version" in refusal(["certify", str(path.parent)])


@pytest.mark.parametrize("other", [np.nan, np.inf, 1j, "1"])
def test_weights_that_are_no_finite_real_numbers_are_refused(tmp_path, other):
    _, path = specimens.finished(tmp_path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays | {"bias_1": np.full(10, other)})
    sentence = refusal(["certify", str(path.parent)])
    assert "weights.npz must hold finite real numbers, in bias_1 it does not" in sentence or "more than" in sentence


BOMB = 3 * 2**27
WITHIN = """
import sys
import figures.bias_study, dynamics.crnn.train
from tests.hostile.door import ask
for path in ("bomb.npz", "promise.npz", ""):
    answer = ask(["bias", "--couplings", f"{sys.argv[1]}/{path}"] if path else sys.argv[2:], extra=256 * 2**20)
    print(answer.code, answer.err, end="")
"""


def test_bombs_are_refused_in_a_process_of_little_memory(tmp_path):
    """256 MiB above what the import takes: half as much again of zeros in a .gz and a .npz, and a header that says terabytes."""
    files = specimens.mnist(tmp_path / "data", packed=True)
    files[0].write_bytes(gzip.compress(b"\0" * BOMB, 1))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("couplings.npy", b"\0" * BOMB)
    with zipfile.ZipFile(tmp_path / "promise.npz", "w") as archive:
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1048576, 1048576), }\n"
        archive.writestr("couplings.npy", b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head)
    line = [sys.executable, "-c", WITHIN, str(tmp_path), *specimens.training(tmp_path, specimens.TINY, "mnist")]
    found = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=300, check=True)
    first, second, third = found.stdout.splitlines()
    assert first.startswith(
        f"2 stochep: {tmp_path}/bomb.npz cannot be read as an .npz file: it unpacks to 402,653,184 bytes, more than"
    )
    assert (
        "promise.npz cannot be read as an .npz file: array 'couplings' says shape (1048576, 1048576) of float64"
        in second
    )
    assert third == f"2 stochep: {files[0]} unpacks to more than {idx.MOST_BYTES:,} bytes, the most that was expected"


def test_from_outside_too_a_sentence_and_an_exit_code(tmp_path):
    """Child processes: a byte that is no text, a folder as experiment, a damaged archive."""
    (tmp_path / "net.npz").write_bytes(b"PK\3\4" * 9)
    for line in (["train", b"\xff.toml"], ["train", str(tmp_path)], ["bias", "--couplings", str(tmp_path / "net.npz")]):
        found = subprocess.run(
            [sys.executable, "-m", "stochep", *line], capture_output=True, cwd=ROOT, timeout=120, check=False
        )
        assert found.returncode == 2
        assert found.stdout == b""
        assert found.stderr.startswith(b"stochep: ")
        assert found.stderr.count(b"\n") == 1
