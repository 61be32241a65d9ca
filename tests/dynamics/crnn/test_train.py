"""A run that was split, or ran on other threads, is the unbroken run bit by bit."""

from dataclasses import asdict
from pathlib import Path

import numba
import numpy as np
import pytest

from dynamics.crnn import checkpoint
from dynamics.crnn.config import load
from dynamics.crnn.train import accuracy, epoch, prepare, train

EXPERIMENT = Path(__file__).parents[3] / "experiments" / "digits_stochastic.toml"
TINY = [
    "name=tiny", "network.layers=[64, 8, 10]", "training.epochs=3", "training.batch=128",
    "rule.steps_free=4", "rule.steps_nudged=4", "rule.window=2", "inference.steps=4", "inference.window=2",
]  # fmt: skip


def tiny(*overrides, seeds=(0,)):
    return load(EXPERIMENT, [*TINY, *overrides], seeds)


def finish(runs):
    return [train(run, lambda state: None) for run in runs]


def weights(folder):
    with np.load(folder / "weights.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.exact
def test_a_resumed_run_equals_the_unbroken_one(tmp_path):
    (expected,) = finish(prepare(tiny(), tmp_path / "whole"))
    (broken,) = prepare(tiny(), tmp_path / "broken")
    state = epoch(broken, broken.state)
    checkpoint.save(broken.folder / "checkpoints", state.epoch, broken.key, asdict(state))
    (resumed,) = prepare(tiny(), tmp_path / "broken", resume=True)
    assert resumed.state.epoch == 1
    (found,) = finish([resumed])
    assert (found["metrics"], found["curves"]) == (expected["metrics"], expected["curves"])
    whole, folder = tmp_path / "whole/tiny/0", tmp_path / "broken/tiny/0"
    for name in ("weights.npz", "checkpoints/epoch-000003.npz"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.exact
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread here")
@pytest.mark.parametrize("rule", ["stochastic", "implicit"])
def test_an_epoch_does_not_depend_on_the_number_of_threads(tmp_path, rule):
    path = EXPERIMENT.with_name(f"digits_{rule}.toml")
    shared = [o for o in TINY if rule == "stochastic" or not o.startswith("rule.")]
    (run,) = prepare(load(path, shared, [5]), tmp_path)
    before, found = numba.get_num_threads(), []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        found.append(epoch(run, run.state))
    numba.set_num_threads(before)
    for name, array in asdict(found[0]).items():
        assert (array == getattr(found[1], name)).all(), name


def test_training_learns_and_records_what_it_did(tmp_path):
    (run,) = prepare(tiny(seeds=[3]), tmp_path)
    (document,) = finish([run])
    assert document["seed"] == 3
    assert len(document["curves"]["train_cost"]) == 3
    assert document["curves"]["train_cost"][-1] < document["curves"]["train_cost"][0]
    assert document["curves"]["validation_accuracy"][-1] == document["metrics"]["validation_accuracy"]["value"]
    assert document["metrics"]["test_accuracy"]["n"] == 540
    assert {"config_hash", "stream_version", "packages", "cpu", "threads", "commit", "dirty", "dtype"} <= set(document)
    assert str(tmp_path) not in (run.folder / "result.json").read_text(encoding="utf-8")
    stored = weights(run.folder)
    assert {name: array.shape for name, array in stored.items()} == {
        "weights_0": (64, 8), "weights_1": (8, 10), "bias_1": (8,), "bias_2": (10,),
    }  # fmt: skip
    assert {array.dtype for array in stored.values()} == {np.dtype("float32")}


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    for number in range(1, 5):
        checkpoint.save(tmp_path, number, "key", {"value": np.full(2, float(number))})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["epoch-000003.npz", "epoch-000004.npz"]
    newest = tmp_path / "epoch-000004.npz"
    newest.write_bytes(newest.read_bytes()[:100])
    found = checkpoint.newest(tmp_path, "key")
    assert found is not None
    assert (found["value"] == 3.0).all()
    (tmp_path / "epoch-000003.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read: run without --resume"):
        checkpoint.newest(tmp_path, "key")


def test_resume_refuses_another_experiments_checkpoint(tmp_path):
    finish(prepare(tiny("training.epochs=1"), tmp_path))
    with pytest.raises(ValueError, match=r"epoch-000001\.npz belongs to another experiment or seed"):
        prepare(tiny("training.epochs=1", "network.leak=0.75"), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("network.layers=[64, 8, 9]", r"start with 64 inputs and end with 10 outputs for digits, got \[64, 8, 9\]"),
        ("training.epochs=99999999", r"training\.epochs must be below \d+, got 99999999"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_written(tmp_path, override, sentence):
    with pytest.raises(ValueError, match=sentence):
        prepare(tiny(override), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_accuracy_carries_its_wilson_interval():
    found = accuracy(np.arange(540) < 520)
    assert (found["n"], found["value"]) == (540, 520 / 540)
    assert found["low"] == pytest.approx(0.9435, abs=1e-4)
    assert found["high"] == pytest.approx(0.9759, abs=1e-4)
