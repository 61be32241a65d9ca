"""`stochep train` and `stochep data` from outside: exit codes, streams, and a kill at any moment."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

import stochep
from dynamics.datasets import NAMES

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "digits_stochastic.toml"
TINY = [
    "name=tiny", "network.layers=[{kind='dense', units=8}, {kind='dense', units=10}]", "training.epochs=3", "training.batch=512",
    "rule.steps_free=4", "rule.steps_nudged=4", "rule.window=2", "inference.steps=4", "inference.window=2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny nets gain nothing from threads, and barriers are slow on a busy machine; the killed runs choose their own."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def command(out, *more):
    return ["train", str(EXPERIMENT), "--out", str(out), "--seed", "0", "--set", *TINY, *more]


def killed(arguments, when, threads):
    """Start the command line and SIGKILL it as soon as `when()` is true; whether it was still running."""
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stochep", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not when():
        time.sleep(0.001)
    alive = process.poll() is None
    process.kill()
    process.wait()
    return alive


@pytest.mark.exact
def test_a_run_killed_twice_and_resumed_on_other_threads_equals_the_unbroken_one(tmp_path, capsys):
    long = ["training.epochs=100"]
    assert stochep.run(command(tmp_path / "whole", *long)) == 0
    folder = tmp_path / "broken/tiny/0"
    first = killed(command(tmp_path / "broken", *long), (folder / "checkpoints/epoch-000004.npz").exists, threads=1)
    second = killed(
        [*command(tmp_path / "broken", *long), "--resume"],
        lambda: any((folder / f"checkpoints/epoch-0000{n}.npz").exists() for n in range(15, 20)),
        threads=min(2, os.cpu_count() or 1),
    )
    assert first
    assert second
    assert not (folder / "result.json").exists()
    assert stochep.run([*command(tmp_path / "broken", *long), "--resume"]) == 0
    whole = tmp_path / "whole/tiny/0"
    for name in ("weights.npz", "checkpoints/epoch-000100.npz"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes(), name
    documents = [json.loads((place / "result.json").read_text(encoding="utf-8")) for place in (whole, folder)]
    for key in ("metrics", "curves", "config_hash"):
        assert documents[0][key] == documents[1][key]
    assert "100/100" in capsys.readouterr().err


def test_stdout_carries_one_line_a_seed_or_one_document(tmp_path, capsys):
    assert stochep.run([*command(tmp_path, "training.epochs=1"), "--seed", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["tiny seed 0", "tiny seed 1"]
    assert stochep.run([*command(tmp_path, "training.epochs=1"), "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)["runs"]
    assert document == json.loads((tmp_path / "tiny/0/result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["training.epoch=2"], "unknown key training.epoch: did you mean training.epochs?"),
        (["network.temperature=0"], "network.temperature: expected `float` > 0.0, got 0"),
        (
            ["network.layers=[{kind='dense', units=3}]", "network.scales=[1.0]", "training.rates=[1.0]"],
            "must end with 10 outputs for digits",
        ),
        (["--sede", "3"], "--sede"),
    ],
)
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(tmp_path, capsys, arguments, sentence):
    assert stochep.run(command(tmp_path / "new", *arguments)) == 2
    caught = capsys.readouterr()
    assert sentence in caught.err
    assert caught.out == ""
    assert "Traceback" not in caught.err
    assert not (tmp_path / "new").exists()


def test_a_missing_file_an_unknown_command_and_an_unwritable_folder_are_usage(tmp_path, capsys):
    assert stochep.run(["train", str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml cannot be read: No such file or directory" in capsys.readouterr().err
    assert stochep.run(["trian"]) == 2
    assert 'Unknown command "trian"' in capsys.readouterr().err
    assert stochep.run(["train"]) == 2
    assert "no experiment is named" in capsys.readouterr().err
    assert stochep.run(["train", str(EXPERIMENT), str(EXPERIMENT), "--out", str(tmp_path)]) == 2
    assert (
        "experiments must have distinct names, got ['digits_stochastic', 'digits_stochastic']"
        in capsys.readouterr().err
    )
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert stochep.run(command(tmp_path / "file")) == 2
    assert "cannot be made: Not a directory; choose another --out" in capsys.readouterr().err


def test_several_experiments_run_one_after_another(tmp_path, capsys):
    files = [str(EXPERIMENT), str(EXPERIMENT.with_name("digits_deterministic.toml"))]
    overrides = [setting for setting in TINY if not setting.startswith("name=")]
    arguments = ["train", *files, "--out", str(tmp_path), "--seed", "2", "--set", *overrides, "training.epochs=1"]
    assert stochep.run(arguments) == 0
    assert [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()] == [Path(f).stem for f in files]
    assert (tmp_path / "digits_deterministic/2/weights.npz").exists()


def test_a_run_that_fails_is_exit_code_1_with_its_reason(tmp_path, capsys):
    experiment = str(EXPERIMENT.with_name("digits_implicit.toml"))
    assert stochep.run(["train", experiment, "--out", str(tmp_path), "--set", "rule.max_steps=2"]) == 1
    assert "seed 0 failed: fixed point not reached in 2 steps: residual" in capsys.readouterr().err


def test_data_is_listed_and_checked(capsys, monkeypatch):
    assert stochep.run(["data", "list"]) == 0
    listed = "digits: 1,797 images of 64 pixels, 10 classes, split 1,077 / 180 / 540, handwritten, in scikit-learn\n"
    lines = capsys.readouterr().out.splitlines(keepends=True)
    assert lines[0] == listed
    assert [line.split(":")[0] for line in lines] == list(NAMES)
    assert stochep.run(["data", "list", "--data-dir", "x" * 300]) == 2
    assert stochep.run(["data", "list", "--data-dir", "/nowhere"]) == 2
    assert "--data-dir must be a folder, got /nowhere" in capsys.readouterr().err
    assert stochep.run(["data", "check"]) == 0
    assert capsys.readouterr().out.startswith("digits: as expected\n")
    monkeypatch.setattr("dynamics.datasets.digits.FINGERPRINT", "0" * 64)
    assert stochep.run(["data", "check"]) == 1
    assert "expected" in capsys.readouterr().out
    # the others are named all the same
    assert stochep.run(["data", "list"]) == 1
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == list(NAMES)
