"""`stochep bias` and `stochep figures` from outside: exit codes, streams, files, and the numbers they report."""

import json

import numpy as np
import pytest

import stochep
from dynamics import exact_gradient
from figures import NAMES, bias_study, networks
from meanfield import Model, QuadraticCost, equilibrium_gradient

QUICK = ["--size", "4", "--temperatures", "2", "--nudgings", "0.5", "--samples", "256"]


def document(capsys, *more):
    assert stochep.run(["bias", *QUICK, "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert stochep.run(list(arguments)) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.count("\n") == 1
    return streams.err


@pytest.fixture
def network_file(tmp_path):
    def write(**arrays):
        path = tmp_path / "network.npz"
        np.savez(path, **arrays)
        return str(path)

    return write


@pytest.mark.exact
def test_the_error_in_the_document_is_the_distance_of_the_two_public_gradients(capsys, network_file):
    couplings = np.array([[0.0, 0.7, -0.4], [0.7, 0.0, 0.5], [-0.4, 0.5, 0.0]])
    bias = np.array([0.1, -0.3, 0.2])
    path = network_file(couplings=couplings, bias=bias, outputs=np.array([2, 0]), target=np.array([1.0, 0.25]))
    options = ["--temperatures", "0.9", "--nudgings", "0.3", "--estimators", "one-sided"]
    assert stochep.run(["bias", "--couplings", path, *options, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    model, cost = Model(couplings, bias, 0.9), QuadraticCost([2, 0], [1.0, 0.25])
    target = exact_gradient(model, cost).couplings
    estimate = equilibrium_gradient(model, cost, nudging=0.3, estimator="one-sided", cost_on="spikes").couplings
    assert row["value"] == pytest.approx(np.linalg.norm(estimate - target) / np.linalg.norm(target), rel=1e-12)
    assert (row["gain"], row["absolute_gain"]) == (model.gain, model.absolute_gain)
    assert row["low"] == row["high"] == row["value"]


def test_rows_are_every_temperature_nudging_and_estimator_in_order(capsys):
    options = ["--temperatures", "4", "1", "--nudgings", "0.2", "-0.4", "--estimators", "onsager", "sampled"]
    assert stochep.run(["bias", "--size", "4", "--samples", "64", *options, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    found = [(row["temperature"], row["nudging"], row["estimator"]) for row in rows]
    assert found == [(T, beta, name) for T in (4, 1) for beta in (0.2, -0.4) for name in ("onsager", "sampled")]


@pytest.mark.exact
def test_the_same_seed_prints_the_same_document(capsys):
    assert document(capsys, "--seed", "3")["rows"] == document(capsys, "--seed", "3")["rows"]
    assert document(capsys, "--seed", "3")["rows"] != document(capsys, "--seed", "4")["rows"]


@pytest.mark.statistical
def test_a_sampled_reference_knows_how_far_it_may_be_off():
    """The exact error lies in the interval around the one against a sampled reference."""
    network = networks.family("layered", 6, 1)
    request = {
        "temperatures": [1.0],
        "nudgings": [0.4],
        "estimators": ["symmetric", "onsager"],
        "samples": 512,
        "seed": 2,
    }
    exact, sampled = (bias_study.compute(network, reference=kind, **request) for kind in ("exact", "sampled"))
    for one, other in zip(exact["rows"], sampled["rows"], strict=True):
        assert other["low"] <= one["value"] <= other["high"]
        assert other["low"] < other["high"]
    assert sampled["reference_errors"][0]["relative_error"] > 0


def test_the_table_shows_every_row_whole_and_progress_stays_on_stderr(capsys):
    assert stochep.run(["bias", *QUICK]) == 0
    streams = capsys.readouterr()
    for name in bias_study.ESTIMATORS:
        assert f" {name} " in streams.out
    assert "…" not in streams.out.replace(" … ", "")
    assert "done" in streams.err


def test_several_fixed_points_are_counted_and_no_warning_is_lost_silently(capsys):
    rows = document(capsys, "--couplings", "ferromagnet", "--temperatures", "0.1", "2")["rows"]
    assert {row["fixed_points"] > 1 for row in rows if row["temperature"] == 0.1} == {True}
    assert {row["fixed_points"] for row in rows if row["temperature"] == 2} == {1}


def test_out_receives_picture_and_numbers(capsys, tmp_path):
    result = document(capsys, "--out", str(tmp_path / "new" / "folder"))
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["bias.json", "bias.pdf", "bias.png"]
    assert json.loads((folder / "bias.json").read_text(encoding="utf-8"))["data"]["rows"] == result["rows"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--temperatures", "nan"], ["temperature", "positive", "nan"]),
        (["--temperatures", "1", "-2"], ["temperature", "positive", "-2.0"]),
        (["--temperatures", "0"], ["temperature", "positive", "0.0"]),
        (["--nudgings", "0"], ["--nudgings", "non-zero", "0.0"]),
        (["--nudgings", "inf"], ["--nudgings", "finite", "inf"]),
        (["--estimators", "magic"], ["--estimators", "holomorphic", "'magic'"]),
        (["--reference", "none"], ["--reference", "exact, sampled", "'none'"]),
        (["--size", "25"], ["25", "24", "--reference sampled"]),
        (["--size", "2"], ["--size", "at least 3", "2"]),
        (["--samples", "1"], ["samples", "at least 2", "1"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--couplings", "square"], ["--couplings", "ferromagnet", "'square'"]),
        (["--couplings", "missing.npz"], ["missing.npz", "does not exist"]),
    ],
)
def test_bad_input_gets_one_sentence_and_writes_nothing(capsys, tmp_path, arguments, words):
    sentence = refusal(capsys, "bias", *arguments, "--out", str(tmp_path / "out"))
    assert all(word in sentence for word in words)
    assert not (tmp_path / "out").exists()


def test_a_bad_network_file_is_named_with_what_is_wrong(capsys, tmp_path, network_file):
    text = tmp_path / "text.npz"
    text.write_text("no archive", encoding="utf-8")
    assert "cannot be read as an .npz file" in refusal(capsys, "bias", "--couplings", str(text))
    pair = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert "lacks the array 'bias'" in refusal(capsys, "bias", "--couplings", network_file(couplings=pair))
    path = network_file(couplings=np.triu(pair), bias=np.zeros(2))
    assert "symmetric" in refusal(capsys, "bias", "--couplings", path)
    path = network_file(couplings=pair, bias=np.zeros(2), outputs=np.array([5]))
    assert "unit 5" in refusal(capsys, "bias", "--couplings", path)
    path = network_file(couplings=pair, bias=np.array([None, 1]))
    assert "cannot be read as an .npz file" in refusal(capsys, "bias", "--couplings", path)
    path = network_file(couplings=pair, bias=np.zeros(2), target=np.array([0.5]))
    assert "differ from ½" in refusal(capsys, "bias", "--couplings", path)
    path = network_file(couplings=pair, bias=np.zeros(2))
    assert "contradicts" in refusal(capsys, "bias", "--couplings", path, "--size", "3")


def test_a_file_in_place_of_the_folder_is_refused_before_any_work(capsys, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    for command in (["bias"], ["figures"]):
        assert "taken cannot be made: File exists; choose another --out" in refusal(
            capsys, *command, "--out", str(tmp_path / "taken")
        )


def test_an_unknown_figure_is_answered_with_the_names(capsys):
    sentence = refusal(capsys, "figures", "gradient_bias", "magic")
    assert "'magic'" in sentence
    assert all(name in sentence for name in NAMES)


def test_figures_prints_the_paths_it_wrote(capsys, tmp_path):
    assert stochep.run(["figures", "free_energy_descent", "--out", str(tmp_path)]) == 0
    streams = capsys.readouterr()
    assert streams.out.split() == [str(tmp_path / f"free_energy_descent.{kind}") for kind in ("pdf", "png", "json")]
    assert "free_energy_descent" in streams.err
    assert all((tmp_path / f"free_energy_descent.{kind}").stat().st_size > 0 for kind in ("pdf", "png", "json"))


ADVICE = ["bias", "--recommend", "--size", "4", "--temperatures", "2", "--error", "0.3"]


def test_a_recommendation_reaches_the_wanted_error_in_the_document_and_the_table(capsys):
    assert stochep.run([*ADVICE, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    first = result["rows"][0]
    assert [row["recommended"] for row in result["rows"]] == [True] + [False] * (len(result["rows"]) - 1)
    assert first["relaxations"] == min(row["relaxations"] for row in result["rows"])
    assert (result["error"], result["dynamics"], first["temperature"], first["error"]) == (0.3, "glauber", 2.0, 0.3)
    assert first["predicted_bias"] + 1.96 * first["predicted_noise"] <= 0.301
    assert stochep.run(ADVICE) == 0
    streams = capsys.readouterr()
    assert f"▸ {first['estimator']}" in streams.out
    assert str(first["samples"]) in streams.out
    assert "done" in streams.err


def test_a_temperature_without_a_way_is_a_row_with_the_reason(capsys, network_file):
    couplings = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    path = network_file(couplings=couplings, bias=np.array([0.0, 0.0, 40.0]))
    options = ["--couplings", path, "--temperatures", "0.5", "30", "--error", "0.4"]
    assert stochep.run(["bias", "--recommend", *options, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert "lost in the noise" in rows[0]["note"]
    assert rows[0]["temperature"] == 0.5
    assert rows[1]["note"] is None
    assert stochep.run(["bias", "--recommend", *options]) == 0
    assert "lost in the noise" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--error", "0.1"], ["--error", "add --recommend"]),
        (["--dynamics", "leaky"], ["--dynamics", "add --recommend"]),
        (["--recommend", "--out", "somewhere"], ["--recommend", "leave out --out somewhere"]),
        (["--recommend", "--temperatures", "-1"], ["temperature", "positive", "-1.0"]),
    ],
)
def test_options_of_a_recommendation_are_refused_in_one_sentence(capsys, arguments, words):
    sentence = refusal(capsys, "bias", *arguments)
    assert all(word in sentence for word in words)


@pytest.mark.parametrize("error", ["0", "1.5", "nan"])
def test_a_wanted_error_that_means_nothing_is_refused(capsys, error):
    assert stochep.run([*ADVICE[:-1], error]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "error must be between 0 and 1" in streams.err
