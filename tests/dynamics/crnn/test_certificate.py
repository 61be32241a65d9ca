"""What is certified without a matrix is what the dense twin's matrices say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stochep
from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.certificate import LinearNoise, certify
from dynamics.crnn.result import recorded
from dynamics.crnn.spectra import Drives
from meanfield import bounds, fixed_point
from meanfield.bounds.leaky import discrete_lyapunov
from tests.dynamics.crnn import stacks
from tests.dynamics.crnn.stacks import architectures

RESULTS = Path(__file__).parents[3] / "results"
QUICK = {"replicas": 4, "probes": 4, "steps": 20}
SMALL = Architecture((1, 6, 6), (Conv(3, 3, padding=1, pool=2), Conv(4, 2), Dense(3)))


@pytest.mark.exact
@settings(max_examples=15)
@given(architectures(), st.integers(0, 2**16), st.floats(0.1, 2.0))
def test_gains_and_radii_are_those_of_the_dense_twin(architecture, seed, scale):
    net = stacks.network(architecture, seed, scale=scale)
    images, _ = stacks.batch(net, seed, count=2)
    found = certify(net, images, **QUICK)
    couplings, size = net.couplings, architecture.units
    eigenvalues = np.linalg.eigvalsh(couplings) / 2.0
    slack = 1e-9 * (1 + np.abs(eigenvalues).max())
    absolute = np.linalg.eigvalsh(np.abs(couplings)).max() / 2.0
    assert found.absolute_gain.low - slack <= absolute <= found.absolute_gain.high + slack
    assert found.gain.low - slack <= np.abs(eigenvalues).max() <= found.gain.high + slack
    assert found.gain.estimate == pytest.approx(np.abs(eigenvalues).max(), abs=1e-8)
    assert found.largest_eigenvalue.estimate == pytest.approx(eigenvalues[-1], abs=1e-8)
    assert found.row_gain == pytest.approx(np.abs(couplings).sum(axis=1).max() / 2.0)
    assert found.residual < 1e-9
    for image, local, gain in zip(images, found.local, found.local_gain, strict=True):
        mean = fixed_point(net.as_model(image), start=np.full(size, 0.3)).value
        slope = (mean * (1 - mean))[:, None] / 0.5
        jacobian = 0.5 * np.eye(size) + 0.5 * slope * couplings
        radius = np.abs(np.linalg.eigvals(jacobian)).max()
        assert local.estimate == pytest.approx(radius, abs=1e-6)
        assert local.low - 1e-6 <= radius <= local.high + 1e-6
        truth = np.abs(np.linalg.eigvals(slope * couplings)).max()
        assert gain.estimate == pytest.approx(truth, abs=1e-6)
        assert gain.low - 1e-6 <= truth <= gain.high + 1e-6


@pytest.mark.exact
@settings(max_examples=10)
@given(st.integers(0, 2**16))
def test_linear_noise_is_the_lyapunov_equations_for_leaks_and_temperatures_of_each_layer(seed):
    net = replace(stacks.network(SMALL, seed, scale=0.8), leak=(0.3, 0.6, 1.0), temperature=(0.5, 0.8, 0.6))
    drives = Drives(net)
    mean = np.random.default_rng(seed).uniform(0.2, 0.8, SMALL.units)
    noise = LinearNoise(drives, mean)
    slope = mean * (1 - mean) / drives.temperatures
    transition = np.diag(1 - drives.leaks) + drives.leaks[:, None] * slope[:, None] * net.couplings
    radius = noise.radius()
    assert radius.estimate == pytest.approx(np.abs(np.linalg.eigvals(transition)).max(), abs=1e-7)
    spread = discrete_lyapunov(transition, np.diag(drives.leaks**2 * mean * (1 - mean)))
    probes = np.eye(SMALL.units)
    found, rest = noise.quadratic(probes, radius.estimate)
    np.testing.assert_allclose(found.sum(axis=1), np.diag(spread), rtol=1e-5)
    assert (np.abs(found.sum(axis=1) - np.diag(spread)) <= rest + 1e-12).all()
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(3, SMALL.units))
    expected = signs * (signs @ spread)
    np.testing.assert_allclose(noise.quadratic(signs, radius.estimate)[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.exact
def test_bounds_are_the_theorys_where_their_hypotheses_hold_and_none_where_not():
    net = stacks.network(SMALL, 3, scale=0.4, leak=0.3)
    images, _ = stacks.batch(net, 3, count=2)
    found = certify(net, images, **QUICK)
    assert {verdict for _, verdict, _ in found.hypotheses} == {"holds"}
    model = net.as_model(images[0])
    predicted = {one.claim: one.predicted for one in found.predictions}
    # B4 with κ's proven upper end, in the norm weighted with T
    assert np.linalg.norm(model.couplings, 2) / 2.0 <= found.gain.high
    slack = 0.3 * (1 - found.gain.high)
    assert predicted["B4"] == pytest.approx(0.3**2 * SMALL.units * 0.5 / (4 * slack * (2 - slack)), rel=1e-6)
    for label, bound in (
        ("B5", bounds.leaky_mean_error(model, leak=0.3)),
        ("B6", bounds.gibbs_mean_error(model)),
        ("B7", bounds.little_mean_error(model)),
    ):
        assert predicted[label] >= np.linalg.norm(bound) * (1 - 1e-9)
        assert predicted[label] <= 4 * np.linalg.norm(bound)
    strong = stacks.network(SMALL, 3, scale=4.0, leak=0.3)
    outside = certify(strong, images, **QUICK)
    verdicts = {condition: verdict for condition, verdict, _ in outside.hypotheses}
    assert verdicts["κ_a < 1"] == verdicts["κ_∞ < 1"] == "fails"
    assert all(one.predicted is None for one in outside.predictions if one.kind == "bound")
    assert {one.unsaid for one in outside.predictions if one.kind == "bound"} <= {"outside", "says nothing"}
    assert {one.unsaid for one in found.predictions} == {""}


@pytest.mark.exact
def test_a_bound_no_better_than_the_largest_value_says_nothing():
    """A pair at m = ½ with κ = 0.4: at leak 1, B4's T/2(1 − κ²) is above T/2, what E Σ T(s − m)² can be at most."""
    net = stacks.network(Architecture.dense(2, 1, 1), 0, leak=1.0)
    net = replace(net, weights=np.array([0.0, 0.0, 0.8]), bias=np.full(2, -0.2))
    found = certify(net, np.zeros((2, 2)), **QUICK)
    one = {prediction.claim: prediction for prediction in found.predictions}
    assert (one["B4"].predicted, one["B4"].unsaid) == (None, "says nothing")
    assert one["B4"].measured == pytest.approx(0.25, rel=1e-6)
    calmer = certify(replace(net, leak=0.5), np.zeros((2, 2)), **QUICK)
    assert calmer.predictions[0].predicted == pytest.approx(0.25 / (4 * 0.3 * 1.7), rel=1e-6)


@pytest.mark.exact
def test_balls_are_reported_with_what_was_seen_of_them():
    net = stacks.network(Architecture.dense(4, 5, 3), 4, scale=6.0, leak=1e-4)
    images, _ = stacks.batch(net, 4, count=2)
    found = certify(net, images, replicas=400, probes=4, steps=20)
    assert all(ball.radius is not None and 0 < ball.gain < 1 for ball in found.balls)
    assert all(0 < ball.leaving < 1 for ball in found.balls)
    assert all(0 < ball.farthest < 1 and ball.left == 0 for ball in found.balls)
    chance, square = (one for one in found.predictions if one.claim == "B11b")
    assert chance.predicted == pytest.approx(np.mean([ball.leaving for ball in found.balls]), rel=1e-12)
    assert (chance.measured, chance.standard_error) == (0.0, 0.0)
    # nearly an equality for so small a leak: 400 replicas tell it to 5 %
    assert 0.8 * square.predicted < square.measured < 1.2 * square.predicted
    noisy = certify(replace(net, leak=0.9), images, **QUICK)
    assert all((ball.leaving, ball.left) == (1.0, 1.0) and ball.farthest > 1 for ball in noisy.balls)
    assert [one.unsaid for one in noisy.predictions if one.claim == "B11b"] == ["says nothing"] * 2
    mixed = certify(replace(net, leak=(0.3, 0.9)), images, **QUICK)
    assert [ball.leaving for ball in mixed.balls] == [None, None]
    assert [one.unsaid for one in mixed.predictions if one.claim == "B11b"] == ["outside"] * 2
    warm = certify(replace(net, temperature=(0.5, 0.6)), images, **QUICK)
    assert warm.balls == (None, None)
    assert not [one for one in warm.predictions if one.claim == "B11b"]


@pytest.mark.exact
@pytest.mark.parametrize(("name", "value"), [("replicas", 1), ("probes", 1), ("steps", 0)])
def test_too_few_paths_probes_or_steps_are_refused(name, value):
    net = stacks.network(Architecture.dense(2, 1), 0)
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
        certify(net, np.zeros((2, 2)), **{**QUICK, name: value})


@pytest.mark.exact
def test_the_ball_is_watched_for_the_steps_that_the_bound_speaks_of():
    """A free unit that fires with probability ½: E(s_t − ½)² = ¼(1 − (1 − ε)^{2t})ε/(2 − ε), an equality in B11b."""
    net = stacks.network(Architecture.dense(2, 1), 0, leak=0.5)
    net = replace(net, weights=np.zeros(2), bias=np.full(1, 0.2))
    found = certify(net, np.zeros((2, 2)), replicas=4000, probes=2, steps=2)
    square = next(one for one in found.predictions if one.quantity.startswith("E‖s − m*‖_ŝ²"))
    # ŝ = ¼: ¼·ε² + ¼·ε²(1 + (1 − ε)²), times 4, halved
    assert square.predicted == pytest.approx(0.5 * (0.25 + 0.25 * 1.25), rel=1e-6)
    assert square.measured == pytest.approx(square.predicted, rel=0.03)


@pytest.mark.exact
def test_the_cube_is_a_ball_that_nothing_leaves():
    net = stacks.network(SMALL, 3, scale=0.4, leak=0.3)
    images, _ = stacks.batch(net, 3, count=2)
    found = certify(net, images, **QUICK)
    assert [(ball.radius, ball.leaving, ball.farthest, ball.left) for ball in found.balls] == [
        (None, 0.0, 0.0, 0.0)
    ] * 2
    chance, square = (one for one in found.predictions if one.claim == "B11b")
    assert (chance.predicted, chance.measured) == (0.0, 0.0)
    assert 0.2 * square.predicted < square.measured < square.predicted
    assert json.dumps(found.record(), allow_nan=False)
    assert replace(found, balls=(None, found.balls[1])).record()["balls"] == [None, found.record()["balls"][1]]


@pytest.mark.statistical
def test_the_standard_error_of_the_trace_is_that_of_its_probes():
    net = stacks.network(SMALL, 3, scale=2.0, leak=0.3)
    images, _ = stacks.batch(net, 3, count=2)
    drives = Drives(net)
    means, _ = net.settle(net.constants(images), tolerance=1e-12, max_steps=5000)
    traces = []
    for mean in means:
        slope = mean * (1 - mean) / 0.5
        transition = 0.7 * np.eye(SMALL.units) + 0.3 * slope[:, None] * net.couplings
        traces.append(np.trace(discrete_lyapunov(transition, np.diag(0.09 * mean * (1 - mean)))))
    assert drives.size == SMALL.units
    few, many = (
        next(one for one in certify(net, images, **{**QUICK, "probes": probes}).predictions if one.claim == "B11")
        for probes in (8, 512)
    )
    for one in (few, many):
        # seven standard errors; few probes have a Student's law
        assert abs(one.predicted - np.mean(traces)) < (7 if one is many else 20) * one.predicted_error
    assert many.predicted_error == pytest.approx(few.predicted_error / 8, rel=0.8)


@pytest.mark.statistical
def test_linear_noise_foretells_the_measured_fluctuations_and_bounds_hold():
    net = stacks.network(SMALL, 3, scale=0.4, leak=0.3)
    images, _ = stacks.batch(net, 3, count=4)
    found = certify(net, images, replicas=64, probes=64, steps=200)
    one = {prediction.claim: prediction for prediction in found.predictions}
    assert one["B11"].predicted_error < 0.01 * one["B11"].predicted
    assert one["B11"].measured == pytest.approx(one["B11"].predicted, rel=0.03)
    assert 0.3 * one["B4"].predicted < one["B4"].measured < one["B4"].predicted
    for label in ("B5", "B6", "B7"):
        # the noise of 64 replicas hides errors below it: nothing may stand out by seven standard errors
        assert one[label].measured < one[label].predicted + 7 * one[label].standard_error


def test_a_recorded_run_is_certified_from_the_command_line(tmp_path, capsys):
    run = str(RESULTS / "digits_stochastic" / "0")
    command = ["certify", run, "--images", "3", "--replicas", "2"]
    assert stochep.run([*command, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "138 units, 3 images" in shown
    assert "κ < 1                            fails" in shown
    assert stochep.run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "certificate.json").read_text(encoding="utf-8"))
    assert document["gain"]["low"] > 1
    assert [len(document[key]) for key in ("local_radius", "local_gain", "balls")] == [3, 3, 3]
    # one dense block, whose norm is known
    assert document["gain"]["high"] == pytest.approx(document["gain"]["estimate"], rel=1e-6)
    verdicts = {row["condition"]: row["verdict"] for row in document["hypotheses"]}
    assert verdicts["local radius < 1, every image"].startswith("holds")


def test_a_recorded_networks_weights_are_those_of_the_file():
    run, network = recorded(RESULTS / "digits_stochastic" / "0")
    with np.load(RESULTS / "digits_stochastic" / "0" / "weights.npz") as archive:
        np.testing.assert_array_equal(network.architecture.arrays(network.weights)[1], archive["weights_1"])
        np.testing.assert_array_equal(network.architecture.bias_arrays(network.bias)[0], archive["bias_0"])
    assert (run.experiment.name, run.seed, run.folder.name) == ("digits_stochastic", 0, "0")


@pytest.mark.parametrize(
    ("prepare", "arguments", "sentence"),
    [
        (lambda folder: None, [], "holds no finished run: "),
        (lambda folder: (folder / "weights.npz").write_bytes(b"PK"), [], "weights.npz cannot be read as an .npz file"),
        (lambda folder: (folder / "result.json").write_text("{}"), [], "result.json is of no run of this version"),
        (lambda folder: None, ["--images", "1"], "--images must be at least 2 and at most 1000000, got 1"),
        (lambda folder: None, ["--images", "181"], "--images must be at most the 180 validation images, got 181"),
    ],
)
def test_what_is_no_run_is_one_sentence(tmp_path, capsys, prepare, arguments, sentence):
    folder = tmp_path / "run"
    if "finished" not in sentence:
        folder.mkdir()
        for name in ("result.json", "weights.npz"):
            (folder / name).write_bytes((RESULTS / "digits_stochastic" / "0" / name).read_bytes())
    prepare(folder)
    assert stochep.run(["certify", str(folder), *arguments]) == 2
    caught = capsys.readouterr()
    assert sentence in caught.err
    assert caught.out == ""


def test_a_net_that_computes_from_below_is_not_certified(capsys):
    assert stochep.run(["certify", str(RESULTS / "digits_predictive_coding" / "0")]) == 2
    assert "answers by a pass from below, which has no fixed point to certify" in capsys.readouterr().err


def test_max_pooling_is_outside_the_theory():
    net = stacks.network(Architecture((1, 6, 6), (Conv(2, 3, pool=2, pooling="max"),), classes=2), 0)
    with pytest.raises(ValueError, match="max pooling is outside the theory"):
        certify(net, np.zeros((2, 36)))
