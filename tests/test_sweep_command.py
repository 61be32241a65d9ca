"""`stochep sweep` from outside: the same bits from any workers, only what is missing computed, one sentence when it cannot be."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

import stochep
from figures import bias_study, networks
from figures.sweep.grid import cells, load
from tests.survival.driven import ROOT, SWEEP, finished, run, start, waited_for

FILE = ROOT / "experiments" / "bias_sweep.toml"
PLAN = load(FILE, SWEEP.arguments[4:])
CLUSTER = """
import os, sys
from distributed import Client, LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        print(cluster.scheduler_address, *client.run(os.getpid).values(), flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep by one process."""
    out = tmp_path_factory.mktemp("whole")
    assert run(SWEEP, out, "--workers", "1")[0] == 0
    return out


@contextmanager
def local_cluster():
    """A dask.distributed cluster of two workers in processes of their own: its address and theirs."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address, *workers = process.stdout.readline().split()
        yield address, [int(worker) for worker in workers]
    finally:
        process.communicate()


def document(out):
    return json.loads((out / "tiny/tiny.json").read_text(encoding="utf-8"))["data"]


@pytest.mark.exact
def test_every_row_is_what_the_bias_study_computes(whole):
    rows = document(whole)["rows"]
    for row in rows:
        (expected,) = bias_study.compute(
            networks.family(row["couplings"], row["size"], row["seed"]), temperatures=[row["temperature"]],
            nudgings=[row["nudging"]], estimators=[row["estimator"]], samples=row["samples"], seed=row["seed"],
        )["rows"]  # fmt: skip
        assert expected.items() <= row.items()
    combinations = [(row["seed"], row["temperature"], row["estimator"]) for row in rows]
    assert combinations == [
        (seed, T, name) for seed in (0, 1) for T in (1, 2, 4) for name in ("symmetric", "onsager", "sampled")
    ]


@pytest.mark.exact
def test_the_table_holds_every_digit_of_every_row(whole):
    with (whole / "tiny/tiny.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    rows = document(whole)["rows"]
    assert len(read) == len(rows) == 18
    for line, row in zip(read, rows, strict=True):
        assert line == {name: "" if value is None else str(value) for name, value in row.items()}


@pytest.mark.exact
def test_a_rerun_computes_missing_and_damaged_cells_alone_and_ends_in_the_same_bits(whole, tmp_path):
    names = [cell.name for cell in cells(PLAN)]
    assert {path.stem for path in whole.glob("tiny/cells/*.json")} == set(names)
    folder = tmp_path / "tiny/cells"
    folder.mkdir(parents=True)
    for path in whole.glob("tiny/cells/*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    damaged = [folder / f"{name}.json" for name in names[:5]]
    damaged[0].unlink()
    damaged[1].write_bytes(damaged[1].read_bytes()[:40])
    damaged[2].write_bytes(b"\xff\x00")
    # whole, of the right cell, but a digit has changed
    damaged[3].write_text(damaged[3].read_text().replace('"gain": 0', '"gain": 1'), encoding="utf-8")
    damaged[4].write_bytes((folder / f"{names[5]}.json").read_bytes())
    code, told = run(SWEEP, tmp_path, "--workers", "2")
    assert code == 0
    assert "tiny: 18 cells, 13 done before, 5 to do on 2 workers" in told
    assert SWEEP.contents(tmp_path) == SWEEP.contents(whole)


@pytest.mark.exact
def test_a_lost_worker_costs_one_more_try_and_a_cell_that_takes_two_is_named_while_the_others_go_on(whole, tmp_path):
    (marks := tmp_path / "marks").mkdir()
    rough = {"killer": 2.0, "once": 4.0, "marks": str(marks)}
    less = ("--set", "seeds=[1]", "grid.estimators=['onsager']")
    code, told = run(SWEEP, tmp_path, "--workers", "2", *less, rough=rough)
    assert code == 1
    assert len(list(marks.iterdir())) == 1
    (sentence,) = [line for line in told.splitlines() if "failed" in line]
    assert (
        "sk, N = 4, seed 1, temperature 2, nudging 0.5, 64 samples, onsager failed: its process died twice" in sentence
    )
    found, expected = SWEEP.contents(tmp_path), SWEEP.contents(whole)
    kept = {name for name in found if "/cells/" in name}
    assert len(kept) == 2
    assert all(found[name] == expected[name] for name in kept)
    assert [row["temperature"] for row in document(tmp_path)["rows"]] == [1, 4]


@pytest.mark.exact
def test_a_cluster_that_loses_a_worker_in_the_midst_ends_in_the_same_bits(whole, tmp_path):
    with local_cluster() as (address, workers):
        process = start(SWEEP, tmp_path, "--cluster", address)
        assert waited_for(process, lambda: len(SWEEP.files(tmp_path)) >= 2)
        os.kill(workers[0], signal.SIGKILL)
        code, told = finished(process)
    assert code == 0, told
    assert "to do on 2 workers" in told
    assert SWEEP.contents(tmp_path) == SWEEP.contents(whole)


@pytest.mark.thorough
def test_a_cluster_whose_scheduler_dies_is_one_sentence_and_what_is_done_stays(tmp_path):
    with local_cluster() as (address, _):
        process = start(SWEEP, tmp_path, "--cluster", address, "--set", "grid.samples=[100000]")
        assert waited_for(process, lambda: len(SWEEP.files(tmp_path)) >= 2)
    code, told = finished(process)
    assert code == 1
    assert "the scheduler" in told.splitlines()[-1]
    assert "the same command goes on" in told.splitlines()[-1]
    assert 2 <= len(SWEEP.files(tmp_path)) < 18


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "grid.temperatures=[]"], "grid.temperatures: expected `array` of length >= 1, got []"),
        (["--set", "seeds=[]"], "seeds: expected `array` of length >= 1, got []"),
        (["--set", "grid.temperatures=[1, -2]"], "grid.temperatures.1: expected `float` > 0.0, got -2"),
        (["--set", "grid.temperatures=[0.0]"], "grid.temperatures.0: expected `float` > 0.0, got 0.0"),
        (["--set", "grid.temperatures=[nan]"], "grid.temperatures.0 must be finite, got nan"),
        (["--set", "grid.temperatures=[1, 1.0]"], "grid.temperatures must be distinct, got [1.0, 1.0]"),
        (["--set", "grid.nudgings=[0.5, 0]"], "grid.nudgings.1 must not be 0, the estimators divide by it, got 0.0"),
        (["--set", "grid.temperature=[1]"], "unknown key grid.temperature: did you mean grid.temperatures?"),
        (["--set", "grid.estimators=['smapled']"], "got 'smapled': did you mean 'sampled'?"),
        (["--set", "grid.couplings=['layerd']"], "got 'layerd': did you mean 'layered'?"),
        (["--set", "grid.sizes=[2]"], "grid.sizes.0: expected `int` >= 3, got 2"),
        (["--set", "grid.sizes=[25]"], "grid.sizes must be at most 24 where the reference is exact"),
        (["--set", "grid.samples=[1]"], "grid.samples.0: expected `int` >= 2, got 1"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--workers", "1", "--cluster", "tcp://127.0.0.1:1"], "leave one out"),
    ],
)
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(tmp_path, capsys, arguments, sentence):
    assert stochep.run(["sweep", str(FILE), *arguments, "--out", str(tmp_path / "new")]) == 2
    streams = capsys.readouterr()
    assert sentence in streams.err
    assert streams.err.count("\n") == 1
    assert streams.out == ""
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "nowhere", "127.0.0.1:none", "carrier://pigeon:1"]
)
def test_a_cluster_that_cannot_be_reached_is_one_sentence(tmp_path, capsys, address):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    assert stochep.run(["sweep", str(FILE), "--cluster", address, "--out", str(tmp_path / "new")]) == 2
    told = capsys.readouterr().err
    assert f"--cluster {address} cannot be reached" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_cluster_without_dask_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert stochep.run(["sweep", str(FILE), "--cluster", "tcp://127.0.0.1:1", "--out", str(tmp_path / "new")]) == 2
    assert "pip install 'stochep[cluster]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
