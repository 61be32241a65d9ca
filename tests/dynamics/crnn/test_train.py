"""A run that was split, or ran on other threads, is the unbroken run bit by bit."""

from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import numba
import numpy as np
import pytest

from dynamics.crnn import checkpoint
from dynamics.crnn.config import Backpropagation, Continual, EvolutionStrategies, PredictiveCoding, load
from dynamics.crnn.learning import estimate
from dynamics.crnn.result import accuracy, recorded
from dynamics.crnn.run import prepare, restored
from dynamics.crnn.train import Divergence, close_epoch, train, update
from dynamics.datasets import Augmentation, augmented

EXPERIMENT = Path(__file__).parents[3] / "experiments" / "digits_stochastic.toml"
TINY = [
    "name=tiny", "network.layers=[{kind='dense', units=8}, {kind='dense', units=10}]", "training.epochs=3", "training.batch=128",
    "rule.steps_free=4", "rule.steps_nudged=4", "rule.window=2", "inference.steps=4", "inference.window=2",
]  # fmt: skip


def tiny(*overrides, seeds=(0,)):
    return load(EXPERIMENT, [*TINY, *overrides], seeds)


def finish(runs):
    return [train(run, lambda state: None) for run in runs]


def interrupt_at(run, updates):
    """A report that stops the run after so many updates, as Ctrl-C would."""

    def report(now):
        if round((now.epoch + now.share) * run.batches) >= updates:
            raise KeyboardInterrupt

    return report


def epoch(run, state):
    while state.batch < run.batches:
        state = update(run, state)
    return close_epoch(run, state)


@pytest.fixture(autouse=True)
def every_update_is_reported(monkeypatch):
    monkeypatch.setattr("dynamics.crnn.train.SECONDS_BETWEEN_REPORTS", 0.0)


def weights(folder):
    with np.load(folder / "weights.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.exact
@pytest.mark.parametrize(
    "rule",
    [
        tiny().rule,
        PredictiveCoding(nudging=0.5, rate=0.2, steps=4),
        EvolutionStrategies(pairs=2, width=0.1, steps=4, window=2, spiking=True),
    ],
)
def test_a_resumed_run_equals_the_unbroken_one(tmp_path, rule):
    experiment = msgspec.structs.replace(tiny(), rule=rule)
    (expected,) = finish(prepare(experiment, tmp_path / "whole"))
    (broken,) = prepare(experiment, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(broken, interrupt_at(broken, 12))
    assert [file.name for file in (broken.folder / "checkpoints").iterdir()] == [
        "epoch-000001.npz",
        "epoch-000001_000003.npz",
    ]
    (resumed,) = prepare(experiment, tmp_path / "broken", resume=True)
    assert (resumed.state.epoch, int(resumed.state.batch)) == (1, 3)
    (found,) = finish([resumed])
    assert found["metrics"] == expected["metrics"]
    # a pass from below has no relaxation to look at: nan there
    np.testing.assert_equal(found["curves"], expected["curves"])
    assert np.isnan(found["curves"]["radius"]).all() == isinstance(rule, PredictiveCoding)
    whole, folder = tmp_path / "whole/tiny/0", tmp_path / "broken/tiny/0"
    for name in ("weights.npz", "checkpoints/epoch-000003.npz"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.exact
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread here")
@pytest.mark.parametrize("rule", ["stochastic", "implicit", "predictive_coding", "evolution"])
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
        # nan where nothing relaxes
        np.testing.assert_array_equal(array, getattr(found[1], name), err_msg=name)


def test_training_learns_and_records_what_it_did(tmp_path):
    (run,) = prepare(tiny(seeds=[3]), tmp_path)
    (document,) = finish([run])
    assert document["seed"] == 3
    assert len(document["curves"]["train_cost"]) == 3
    assert document["curves"]["train_cost"][-1] < document["curves"]["train_cost"][0]
    assert document["curves"]["validation_accuracy"][-1] == document["metrics"]["validation_accuracy"]["value"]
    assert document["metrics"]["test_accuracy"]["n"] == 540
    curves = document["curves"]
    norms = [np.linalg.norm(run.architecture.arrays(recorded(run.folder)[0].state.weights)[n]) for n in range(2)]
    np.testing.assert_allclose(curves["norms"][-1], norms, rtol=1e-6)
    assert len(curves["radius"]) == len(curves["contraction"]) == len(curves["norms"]) == 3
    assert all(0.5 < radius < 1.0 for radius in curves["radius"])
    assert {"config_hash", "stream_version", "packages", "cpu", "threads", "commit", "dirty", "dtype"} <= set(document)
    assert str(tmp_path) not in (run.folder / "result.json").read_text(encoding="utf-8")
    assert document["wall"]["updates"] == 3 * run.batches
    assert document["wall"]["seconds"] > 0
    stored = weights(run.folder)
    assert {name: array.shape for name, array in stored.items()} == {
        "weights_0": (64, 8), "weights_1": (8, 10), "bias_0": (8,), "bias_1": (10,),
    }  # fmt: skip
    assert {array.dtype for array in stored.values()} == {np.dtype("float32")}


ORIGIN = checkpoint.Origin("tiny", 0, {"stochep": "0.1.0"}, {"network": {"leak": 0.5}})


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    assert checkpoint.newest(tmp_path, ORIGIN, 10_000) is None
    for number in range(1, 5):
        checkpoint.save(tmp_path, number, 0, ORIGIN, {"value": np.full(2, float(number))})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["epoch-000003.npz", "epoch-000004.npz"]
    newest = tmp_path / "epoch-000004.npz"
    newest.write_bytes(newest.read_bytes()[:100])
    found = checkpoint.newest(tmp_path, ORIGIN, 10_000)
    assert found is not None
    assert found[0] == tmp_path / "epoch-000003.npz"
    assert list(found[1]) == ["value"]
    assert (found[1]["value"] == 3.0).all()
    (tmp_path / "epoch-000003.npz").write_bytes(b"")
    sentence = r"no checkpoint in .* can be read: .*epoch-000004\.npz cannot be read as .*; run without --resume to start over$"
    with pytest.raises(ValueError, match=sentence):
        checkpoint.newest(tmp_path, ORIGIN, 10_000)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            checkpoint.Origin("tiny", 0, {"stochep": "0.0.9", "random stream": "1"}, ORIGIN.tables),
            r"was written by stochep 0\.0\.9, random stream 1, this is stochep 0\.1\.0, and a run must end as it began: ",
        ),
        (
            checkpoint.Origin("tiny", 1, ORIGIN.versions, ORIGIN.tables),
            r"another experiment or seed, tiny seed 1 where seed is 1; asked for is tiny seed 0 where it is 0: run without",
        ),
        (
            checkpoint.Origin("tiny", 0, ORIGIN.versions, {"network": {"leak": 0.25}}),
            r"tiny seed 0 where network\.leak is 0\.25; asked for is tiny seed 0 where it is 0\.5: run without --resume",
        ),
        (
            checkpoint.Origin("tiny", 0, ORIGIN.versions, {"network": {"leak": 0.5, "rest": None}}),
            r"where network\.rest is None; asked for is tiny seed 0 where it is 'nothing'",
        ),
    ],
)
def test_a_checkpoint_of_another_origin_is_refused_with_both_named(tmp_path, other, sentence):
    checkpoint.save(tmp_path, 1, 0, other, {"value": np.zeros(1)})
    with pytest.raises(ValueError, match=rf"checkpoint .*epoch-000001\.npz .*{sentence}"):
        checkpoint.newest(tmp_path, ORIGIN, 10_000)


def test_a_checkpoint_that_does_not_say_what_it_is_of_is_refused(tmp_path):
    np.savez(tmp_path / "epoch-000001.npz", experiment=np.array("abc/0"), value=np.zeros(1))
    with pytest.raises(ValueError, match=r"does not say what it is of, as those of stochep 0\.1\.0 do: run without"):
        checkpoint.newest(tmp_path, ORIGIN, 10_000)


def test_resume_refuses_another_experiments_checkpoint(tmp_path):
    finish(prepare(tiny("training.epochs=1"), tmp_path))
    sentence = r"belongs to another experiment or seed, tiny seed 0 where network\.leak is 0\.25; .* where it is 0\.75"
    with pytest.raises(ValueError, match=sentence):
        prepare(tiny("training.epochs=1", "network.leak=0.75"), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"more": np.zeros(1)}, r"must hold weights, bias, .*, first_costs, got weights, .*, more: run without"),
        ({"weights": np.zeros(3)}, r"must hold weights of shape \(592,\) and type float64, got \(3,\) and float64"),
        ({"weights": np.zeros(592, np.float32)}, r"must hold weights of shape \(592,\) and type float64, got \(592,\) and float32"),
        ({"bias": np.full(18, np.nan)}, "holds bias that are not finite"),
        ({"rates": np.zeros((2, 2))}, r"must hold rates of shape \(0, 2\) and type float64, got \(2, 2\)"),
        ({"batch": np.array(10)}, "says 0 epochs and 10 updates are done, beyond the run's 3 epochs of 9 updates"),
        ({"batch": np.array(-1)}, "says 0 epochs and -1 updates are done"),
        ({"first_costs": np.zeros(21)}, "updates are done, beyond the run's"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_holds_another_state_is_refused(tmp_path, change, sentence):
    (run,) = prepare(tiny(), tmp_path)
    arrays = asdict(run.state)
    assert restored(run, tmp_path, arrays).epoch == 0
    with pytest.raises(ValueError, match=sentence):
        restored(run, tmp_path, arrays | change)


def test_as_many_epochs_as_there_are_may_be_done_and_no_update_more(tmp_path):
    (run,) = prepare(tiny(), tmp_path)

    def done(epochs, batch):
        curves = {
            name: np.zeros((epochs, *array.shape[1:]))
            for name, array in asdict(run.state).items()
            if array.shape[:1] == (0,)
        }
        return restored(run, tmp_path, asdict(run.state) | curves | {"batch": np.array(batch)})

    assert (done(2, 9).epoch, done(3, 0).epoch) == (2, 3)
    for epochs, batch in ((3, 1), (4, 0)):
        with pytest.raises(ValueError, match=f"says {epochs} epochs and {batch} updates are done"):
            done(epochs, batch)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "network.layers=[{kind='dense', units=8}, {kind='dense', units=9}]",
            r"network\.layers must end with 10 outputs for digits .*, got 9",
        ),
        (
            "network.layers=[{kind='conv', channels=2, kernel=9}, {kind='dense', units=10}]",
            r"layer 1: a kernel \(9, 9\) does not fit an image \(8, 8\)",
        ),
        (
            "data.augmentation.shift=8",
            r"data\.augmentation\.shift must be below the images' 8 × 8 pixels, got 8",
        ),
        ("training.epochs=99999999", r"training\.epochs must be below \d+, got 99999999"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_written(tmp_path, override, sentence):
    with pytest.raises(ValueError, match=sentence):
        prepare(tiny(override), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.exact
def test_annealing_ends_at_the_networks_own_values_and_the_net_kept_is_that_one(tmp_path):
    (run,) = prepare(tiny("training.anneal={share=0.5, temperature=1.25, threshold=-0.5}"), tmp_path)
    epochs, batches = run.experiment.training.epochs, run.batches
    for done, temperature in (
        (0, 1.25),
        (batches * epochs / 4, 0.75),
        (batches * epochs / 2, 0.25),
        (2 * batches, 0.25),
    ):
        at = replace(run.state, batch=np.array(int(done)))
        share = min(1.0, int(done) / (batches * epochs / 2))
        expected = 1.25 - share * 1.0
        np.testing.assert_allclose(run.network(at).temperature, expected)
        np.testing.assert_allclose(run.network(at).threshold, -0.5 + share * 1.0)
        assert abs(expected - temperature) < 1 / batches
    finish([run])
    kept, network = recorded(run.folder)
    assert (network.temperature, network.threshold) == (0.25, 0.5)
    assert kept.state.epoch == 0


@pytest.mark.exact
def test_each_epoch_shows_every_image_once_drawn_anew(tmp_path, monkeypatch):
    (run,) = prepare(tiny("data.augmentation.shift=2", "training.epochs=2"), tmp_path)
    seen = []

    def watched(rule, network, images, targets, *, seed, replicas):
        seen.append((images, replicas))
        return estimate(rule, network, images, targets, seed=seed, replicas=replicas)

    monkeypatch.setattr("dynamics.crnn.train.estimate", watched)
    finish([run])
    train_part = run.data.train
    place = {index: k for k, index in enumerate(train_part.indices)}
    shown = {}
    for images, replicas in seen:
        for image, number in zip(images, replicas, strict=True):
            shown[int(number)] = image
    assert sorted(shown) == sorted(e * run.data.total + i for e in range(2) for i in train_part.indices)
    for number, image in list(shown.items())[:50]:
        raw = train_part.raw[place[number % run.data.total]][None]
        expected = augmented(raw, np.array([number]), size=(8, 8), seed=0, augmentation=Augmentation(shift=2))
        assert np.array_equal(image, expected[0] / 16)


def test_an_accuracy_carries_its_wilson_interval():
    found = accuracy(np.arange(540) < 520)
    assert (found["n"], found["value"]) == (540, 520 / 540)
    assert found["low"] == pytest.approx(0.9435, abs=1e-4)
    assert found["high"] == pytest.approx(0.9759, abs=1e-4)


def test_progress_counts_up_to_the_end_and_says_what_was_learned(tmp_path):
    seen = []
    (run,) = prepare(tiny(), tmp_path)
    document = train(run, seen.append)
    shares = [now.epoch + now.share for now in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 3
    assert seen[0].validation_error is None
    assert seen[-1].seconds_left == 0
    for name, curve in (("cost", "train_cost"), ("error", "train_error")):
        closed = [getattr(now, name) for now in seen if not now.share]
        assert closed == document["curves"][curve]
    assert [list(now.rates) for now in seen if not now.share] == document["curves"]["rates"]
    assert all(now.images_per_second > 0 for now in seen)


def test_a_silent_or_saturated_layer_is_named(tmp_path):
    for threshold, words in ((50.0, "layer 1 is nearly silent"), (-50.0, "layer 1 fires more than half of the time")):
        seen = []
        train(
            *prepare(tiny("network.leak=1.0", f"network.threshold={threshold}", f"name=at{int(threshold)}"), tmp_path),
            seen.append,
        )
        assert words in seen[-1].warning
        assert "lower training.rates" in seen[-1].warning
    assert not seen[-1]._replace(rates=(0.2, 0.3)).warning


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_that_are_no_numbers_stop_the_run_with_the_layer_and_the_remedy(tmp_path, dtype):
    rates = ["training.rates=[1e30, 1e30]", "training.weight_decay=1e30"]
    (run,) = prepare(tiny(*rates, f"network.dtype={dtype}", "training.batch=10"), tmp_path)
    with pytest.raises(
        Divergence, match=r"the weights of layer \d are no longer finite after update \d+ of epoch 1: lower training"
    ) as caught:
        train(run, lambda now: None)
    # none was written yet
    assert "checkpoint" not in str(caught.value)
    later = replace(
        run.state, train_cost=np.ones(1), batch=np.array(3), weights=np.full_like(run.state.weights, np.nan)
    )
    with pytest.raises(Divergence, match=r"after update 4 of epoch 2: .*; the checkpoint after epoch 1 is kept$"):
        update(run, later)


@pytest.mark.exact
@pytest.mark.parametrize(
    "rule",
    [
        ["rule.estimator=spikes"], ["rule.estimator=probabilities"], ["rule.phases=warm-started"], ["rule.phases=independent"],
        ["rule.scheme=one-sided"], ["rule.scheme=random-sign"], ["input.coding=bernoulli", "input.leak=0.5"],
        ["training.optimiser={kind='adam'}", "training.rates=[0.01, 0.01]"], ["training.weight_decay=0.01"],
        ["training.schedule=constant"], ["network.dtype=float32"],
        ["network.readout=cross-entropy", "network.scales=[2.0, 2.0, 1.0]", "training.rates=[0.1, 0.1, 0.1]"],
        ["network.layers=[{kind='conv', channels=3, kernel=3, pool=2}, {kind='dense', units=10}]"],
        ["network.layers=[{kind='conv', channels=3, kernel=3, pool=2, pooling='max'}, {kind='dense', units=10}]"],
        ["data.augmentation.shift=1"], ["data.augmentation={flip=true}"], ["training.rate_penalty=0.5"],
        ["training.anneal={share=0.5, temperature=[0.5, 0.4]}"], ["training.anneal={share=1.0, threshold=0.0}"],
        ["network.leak=[0.5, 0.25]", "network.temperature=[0.3, 0.25]", "network.threshold=[0.4, 0.5]"],
    ],
)  # fmt: skip
def test_every_option_trains_and_differs_from_the_plain_run(tmp_path, rule):
    plain, other = (
        prepare(tiny("training.epochs=1"), tmp_path / "plain"),
        prepare(tiny("training.epochs=1", *rule), tmp_path),
    )
    documents = finish([*plain, *other])
    assert documents[0]["config_hash"] != documents[1]["config_hash"]
    assert documents[0]["curves"] != documents[1]["curves"]
    assert np.isfinite(documents[1]["curves"]["train_cost"]).all()


@pytest.mark.exact
@pytest.mark.parametrize("rule", ["bptt", "bptt_spikes", "continual", "predictive_coding", "evolution"])
def test_the_other_rules_lower_the_cost(tmp_path, rule):
    tables = {
        "bptt": Backpropagation(steps=8, window=2),
        "bptt_spikes": Backpropagation(steps=8, window=4, spiking=True),
        "continual": Continual(nudging=0.5, steps_free=8, steps_nudged=4, window=2, rates=(1e-3, 1e-3)),
        "predictive_coding": PredictiveCoding(nudging=0.5, rate=0.2, steps=8),
        "evolution": EvolutionStrategies(pairs=60, width=0.1, steps=8, window=2),
    }
    # random directions bear no larger rates
    rates = [0.05, 0.05] if rule == "evolution" else [0.5, 0.2]
    experiment = msgspec.structs.replace(
        tiny("training.batch=16", f"training.rates={rates}", "network.leak=0.5"), rule=tables[rule]
    )
    (document,) = finish(prepare(experiment, tmp_path))
    assert document["curves"]["train_cost"][-1] < 0.8 * document["curves"]["train_cost"][0]
    assert ("test_accuracy_mean_field" in document["metrics"]) == (rule == "bptt_spikes")
