"""What the figures of recorded runs read, and the studies that make records, at tiny size."""

import json
from pathlib import Path

import msgspec
import numba
import numpy as np
import pytest

from dynamics.crnn.config import Experiment, fingerprint, load
from dynamics.crnn.gradient_quality import rescaled
from dynamics.crnn.network import Network
from dynamics.crnn.run import prepare, start
from dynamics.crnn.train import PREFIX, update
from dynamics.datasets import Missing
from dynamics.provenance import provenance
from figures import (
    certificates,
    fashion_learning,
    neighbour_rules,
    net_size,
    rule_time_study,
    size_study,
    sparsity,
    stability_study,
    training_cost,
    training_stability,
)

pytestmark = pytest.mark.exact

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
RESULTS = EXPERIMENTS.with_name("results")
ACCURACY = {"value": 0.9, "n": 100, "low": 0.83, "high": 0.95}


def write(folder, name, seed, **changes):
    """A result of the experiment as its file has it."""
    experiment = load(EXPERIMENTS / f"{name}.toml")
    document = {
        "name": name, "seed": seed, "config": msgspec.to_builtins(experiment), "config_hash": fingerprint(experiment),
        "curves": {
            "train_cost": [0.5, 0.25], "validation_accuracy": [0.5, 0.9], "rates": [[0.5, 0.5], [0.25, 0.125]],
            "norms": [[1.0, 2.0, 3.0]] * 2, "radius": [0.9, None], "contraction": [0.9, None],
        },
        "metrics": {"test_accuracy": ACCURACY}, "train_images": 100,
        **changes,
    }  # fmt: skip
    place = folder / name / str(seed)
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(document), encoding="utf-8")


def test_full_size_runs_are_gathered_by_rule_and_what_is_missing_is_named(tmp_path):
    write(tmp_path, "fashion_bptt", 1)
    write(tmp_path, "fashion_bptt", 0)
    write(tmp_path, "fashion_deterministic", 0, config_hash="another")
    data = fashion_learning.compute(results=tmp_path)
    assert [rule["name"] for rule in data["rules"]] == ["fashion_bptt"]
    assert [seed["seed"] for seed in data["rules"][0]["test"]] == [0, 1]
    assert "fashion_deterministic" in data["missing"]
    assert "seeds 0, 1, 100 test images" in fashion_learning.draw(data).get_suptitle()


def test_work_of_ep_and_bptt_grows_with_steps_and_what_must_be_kept_of_bptts_alone(tmp_path):
    write(tmp_path, training_cost.SPIKING, 0)
    data = training_cost.compute(results=tmp_path, bench=tmp_path / "none", steps=(10, 100))
    short, long = data["counts"]
    assert long["EP kept"] == short["EP kept"]
    assert long["BPTT kept"] == pytest.approx(10 * short["BPTT kept"], rel=0.06)
    assert short["BPTT"] > short["EP"]
    # a spike of a quarter or an eighth of the units spares most additions
    assert short["events"] < 0.25 * short["EP"]
    assert training_cost.draw(data).axes


def test_the_mean_rate_is_over_units_and_the_front_keeps_what_nothing_beats(tmp_path):
    write(tmp_path, sparsity.BASE, 0)
    write(tmp_path, sparsity.KINDS["threshold"][0], 0)
    data = sparsity.compute(results=tmp_path)
    first, second = 16 * 14 * 14, 32 * 7 * 7
    (row,) = data["settings"][sparsity.BASE]
    assert row["rate"] == pytest.approx((0.25 * first + 0.125 * second) / (first + second))
    assert sparsity.draw(data).axes
    assert sparsity.front([(0.3, 5.0), (0.1, 9.0), (0.2, 9.5), (0.2, 6.0)]) == [(0.1, 9.0), (0.2, 6.0), (0.3, 5.0)]


def test_a_certificate_is_read_with_its_ends_its_estimates_and_what_it_foretells(tmp_path):
    bracket = {"low": 1.0, "high": 2.0, "estimate": 1.5}
    said = {"quantity": "q", "claim": "B11", "kind": "approximation", "measured": 2.0, "standard_error": 0.1}
    said["predicted_error"] = None
    document = {
        "name": "family_net", "seed": 3, "gain": bracket, "absolute_gain": bracket, "row_gain": 4.0,
        "local_gain": [bracket], "local_radius": [{**bracket, "estimate": None}],
        "predictions": [{**said, "predicted": 1.9}, {**said, "predicted": None}],
    }  # fmt: skip
    (tmp_path / "family_net/3").mkdir(parents=True)
    (tmp_path / "family_net/3/certificate.json").write_text(json.dumps(document))
    data = certificates.compute(results=tmp_path)
    (net,) = data["nets"]
    assert (net["family"], net["seed"], net["gains"], net["local"]) == (
        "family",
        3,
        [[1.0, 2.0], [1.0, 2.0], [4.0, 4.0]],
        [[1.5], [2.0]],
    )
    assert [one["predicted"] for one in net["predictions"]] == [1.9]
    assert certificates.draw(data).axes


def network(experiment: Experiment) -> Network:
    architecture = experiment.architecture((1, 8, 8), 10)
    state, shared = start(experiment, architecture, 0), experiment.network
    return Network(
        architecture, state.weights, state.bias, shared.temperature, shared.threshold, shared.leak, shared.rest
    )


@pytest.mark.parametrize("factor", [0.25, 2.0])
def test_the_paths_begin_where_f2_says(factor):
    """With weights kept a net starts with the same weights, with its gain kept as `rescaled`; β/T is the same on both."""
    base = load(EXPERIMENTS / "stability_stochastic.toml")
    for path, loop in (("weights kept", 1 / factor), ("gain kept", 1.0)):
        found = stability_study._experiment("stability_stochastic", path, factor, (), ())
        expected = rescaled(network(base), loop=loop, temperature=factor)
        np.testing.assert_allclose(network(found).weights, expected.weights, rtol=1e-12)
        assert network(found).temperature == expected.temperature
        assert found.rule.nudging / found.network.temperature == pytest.approx(
            base.rule.nudging / base.network.temperature
        )
    assert found.training.rates == pytest.approx((0.2, 0.1 * factor**2, 0.05))


def test_a_study_of_temperatures_records_each_seed_and_its_picture_counts_failures(tmp_path):
    overrides = (
        "training.epochs=1",
        "rule.steps_free=4",
        "rule.steps_nudged=4",
        "rule.window=2",
        "data.train_images=400",
    )
    experiment = stability_study._experiment("stability_stochastic", "gain kept", 1.0, overrides, (0, 1))
    rows = [
        {"rule": "stability_stochastic", "path": "gain kept", "temperature": 0.25, **row}
        for row in stability_study._trained(experiment)
    ]
    assert [row["seed"] for row in rows] == [0, 1]
    for row in rows:
        assert 0.0 < row["start"]["spikes"] < 1.0
        assert row["start"]["roughness"] > 0.0
        assert 0.0 < row["radius"][0] < 1.0
    record = tmp_path / "stability.json"
    rows[1]["error"], rows[0]["error"] = 0.6, 0.1
    record.write_text(json.dumps({"runs": rows}), encoding="utf-8")
    data = training_stability.compute(record=record, results=tmp_path)
    (cell,) = data["cells"]
    assert (cell["failed"]["value"], cell["failed"]["n"]) == (0.5, 2)
    assert training_stability.draw(data).axes


DIGITS = (
    "data={name='digits', split_seed=0, train_images=100}",
    "rule.steps_free=2",
    "rule.steps_nudged=2",
    "rule.window=1",
)


@pytest.mark.parametrize("feedback", [1 / 512, 0.25, 1.0])
@pytest.mark.parametrize("channels", [(2,), (2, 3), (2, 3, 4)])
def test_layers_of_a_net_of_any_depth_hand_up_the_same_and_down_in_proportion_to_the_feedback(channels, feedback):
    rule = size_study.RULES[0]
    net = size_study.Net(channels, 2, feedback)
    base, found = load(EXPERIMENTS / f"{rule}.toml"), size_study._experiment(rule, net, ())
    falling = feedback ** np.arange(len(channels))
    for values in (found.network.temperature, found.network.threshold):
        assert np.array(values) == pytest.approx(values[0] * falling)
    # the nudging is the same share of the last layer's temperature, the weights of further layers of the layer's own
    assert found.rule.nudging / found.network.temperature[-1] == pytest.approx(
        base.rule.nudging / base.network.temperature[-1]
    )
    inner = np.array(found.network.scales[1:-1]) / found.network.temperature[1:]
    assert inner == pytest.approx(np.full(inner.size, base.network.scales[1] / base.network.temperature[1]))
    assert found.network.scales[-1] == base.network.scales[-1]
    assert [layer.channels for layer in found.network.layers] == list(channels)
    assert found.training.epochs == 2


def test_the_study_of_sizes_begins_with_the_recorded_net():
    base = load(EXPERIMENTS / f"{size_study.RULES[0]}.toml", seeds=[0])
    assert size_study._experiment(size_study.RULES[0], size_study.Net((16, 32), base.training.epochs), ()) == base


def test_a_study_of_sizes_is_drawn_from_its_rows(tmp_path):
    measured = [
        size_study._trained(size_study._experiment(size_study.RULES[0], size_study.Net(channels, 1), DIGITS))
        for channels in ((2, 3), (2, 3, 2))
    ]
    assert [len(row["rates"]) for row in measured] == [2, 3]
    nets = {net for points in net_size.PANELS.values() for net, _ in points}
    rows = [{"rule": rule, **net._asdict(), **measured[0]} for rule in size_study.RULES for net in nets]
    record = tmp_path / "sizes.json"
    record.write_text(json.dumps({"rows": rows}), encoding="utf-8")
    figure = net_size.draw(net_size.compute(record=record))
    error = 100 * (1 - measured[0]["validation_accuracy"]["value"])
    lines = [line.get_ydata() for line in figure.axes[0].get_lines() if line.get_label() == "StochEP"]
    assert lines[0] == pytest.approx(np.full(len(size_study.WIDTHS), error))


RUNS = sorted(RESULTS.glob("*/*/result.json"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_recorded_run_belongs_to_its_experiment_file(path):
    document = msgspec.json.decode(path.read_bytes())
    experiment = load(EXPERIMENTS / f"{document['name']}.toml")
    assert document["config_hash"] == fingerprint(experiment)
    assert document["seed"] in experiment.seeds
    assert not document["dirty"]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_training_again_begins_as_recorded(path, tmp_path):
    """The cost of each of the first updates, to the bit on the processor that recorded it, elsewhere but for rounding."""
    document = msgspec.json.decode(path.read_bytes())
    experiment = load(EXPERIMENTS / f"{document['name']}.toml", seeds=[document["seed"]])
    try:
        (run,) = prepare(experiment, tmp_path)
    except Missing as error:
        pytest.skip(str(error))
    state = run.state
    for _ in range(PREFIX):
        state = update(run, state)
    alike = all(provenance()[key] == document[key] for key in ("cpu", "packages"))
    np.testing.assert_allclose(state.first_costs, document["curves"]["first_costs"], rtol=0.0 if alike else 1e-4)


def test_updates_of_every_rule_are_timed_over_stochep_and_drawn_where_they_match_their_run(tmp_path):
    threads = numba.get_num_threads()
    found = rule_time_study.study(families=("digits",), overrides=("training.batch=2",), rounds=2)
    assert numba.get_num_threads() == threads
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == list(neighbour_rules.looks("digits"))
    assert all(0 < row["low"] <= row["ratio"] <= row["high"] for row in rows.values())
    assert rows["digits_stochastic_probabilities"]["ratio"] == 1.0
    assert rows["digits_evolution_32"]["ratio"] > rows["digits_evolution"]["high"]
    assert (rows["digits_implicit"]["steps"], rows["digits_stochastic_probabilities"]["steps"]) == (None, 120)
    times = tmp_path / "times.json"
    for digest, count in ((None, 0), (fingerprint(load(EXPERIMENTS / "digits_continual.toml")), 1)):
        if digest is not None:
            rows["digits_continual"]["config_hash"] = digest
        times.write_text(json.dumps({"rows": list(rows.values())}), encoding="utf-8")
        data = neighbour_rules.compute(times=times)
        # timed with another batch than its run had: left out
        assert len(data["digits"]["times"]) == count
        neighbour_rules.draw(data)
