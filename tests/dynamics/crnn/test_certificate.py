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
from dynamics.crnn.certificate import Bracket, Drives, LinearNoise, certify, neumann, spectral_radius, table
from dynamics.crnn.train import recorded
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
        truth = np.abs(np.linalg.eigvals(slope * np.abs(couplings))).max()
        assert gain.low - 1e-6 <= truth <= gain.high + 1e-6


@pytest.mark.exact
@settings(max_examples=25)
@given(architectures(), st.integers(0, 2**16))
def test_drives_are_products_with_the_twins_matrices_both_up_and_down(architecture, seed):
    net = stacks.network(architecture, seed)
    drives, couplings = Drives(net), net.couplings
    vectors = np.random.default_rng(seed).normal(size=(3, architecture.units))
    for kind, matrix in (("signed", couplings), ("absolute", np.abs(couplings)), ("squared", couplings**2)):
        np.testing.assert_allclose(drives.apply(kind, vectors), vectors @ matrix, rtol=1e-10, atol=1e-10)


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
def test_a_power_iteration_stopped_early_still_brackets_and_is_no_upper_bound_itself():
    """The falsifier: the Rayleigh quotient of a few steps lies below ρ, where the bracket's upper end never does."""
    matrix = np.abs(stacks.network(SMALL, 1).couplings)
    truth = np.linalg.eigvalsh(matrix).max()
    brackets = [spectral_radius(lambda v: matrix @ v, len(matrix), steps=steps) for steps in (1, 3, 10, 300)]
    assert [one.high for one in brackets] == sorted((one.high for one in brackets), reverse=True)
    assert [one.low for one in brackets] == sorted(one.low for one in brackets)
    assert all(one.low <= truth * (1 + 1e-12) and truth <= one.high * (1 + 1e-12) for one in brackets)
    vector = matrix @ np.ones(len(matrix))
    quotient = vector @ matrix @ vector / (vector @ vector)
    assert quotient < 0.999 * truth
    assert brackets[-1].high - brackets[-1].low < 1e-6 * truth


@pytest.mark.exact
def test_the_bracket_knows_disconnected_and_silent_parts():
    matrix = np.zeros((5, 5))
    matrix[0, 1] = matrix[1, 0] = 2.0
    matrix[2, 3] = matrix[3, 2] = 0.5
    found = spectral_radius(lambda v: matrix @ v, 5)
    assert found.low <= 2.0 * (1 + 1e-12)
    assert found.high >= 2.0 * (1 - 1e-12)
    matrix[2, 3] = matrix[3, 2] = 0.0
    found = spectral_radius(lambda v: matrix @ v, 5)
    # silent units must not hide that the rest is beyond the limit
    assert found.below(1.0) == "fails"
    assert (found.low, found.high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert spectral_radius(lambda v: 0.0 * v, 3) == Bracket(0.0, 0.0)


@pytest.mark.exact
def test_the_neumann_series_is_the_inverse_within_its_stated_rest():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(8, 8))
    matrix = np.abs(matrix + matrix.T)
    for gain in (0.3, 0.9, 0.999):
        scaled = gain * matrix / np.linalg.norm(matrix, 2)
        source = generator.random(8)
        total, rest = neumann(lambda v, a=scaled: a @ v, source, gain)
        exact = np.linalg.solve(np.eye(8) - scaled, source)
        assert np.linalg.norm(total - exact) <= rest + 1e-12 * np.linalg.norm(exact)
        np.testing.assert_allclose(total, exact, rtol=1e-7)


@pytest.mark.exact
def test_bounds_are_the_theorys_where_their_hypotheses_hold_and_none_where_not():
    net = stacks.network(SMALL, 3, scale=0.4, leak=0.3)
    images, _ = stacks.batch(net, 3, count=2)
    found = certify(net, images, **QUICK)
    assert {verdict for _, verdict, _ in found.hypotheses} == {"holds"}
    model = net.as_model(images[0])
    predicted = {one.claim: one.predicted for one in found.predictions}
    # B4 with κ_a in κ's place, in the norm weighted with T
    gain = np.linalg.eigvalsh(np.abs(model.couplings)).max() / 2.0
    slack = 0.3 * (1 - gain)
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
    assert "outside" in table(outside)


@pytest.mark.statistical
def test_linear_noise_foretells_the_measured_fluctuations_and_bounds_hold():
    net = stacks.network(SMALL, 3, scale=0.4, leak=0.3)
    images, _ = stacks.batch(net, 3, count=4)
    found = certify(net, images, replicas=64, probes=64, steps=200)
    one = {prediction.claim: prediction for prediction in found.predictions}
    assert one["B11"].measured == pytest.approx(one["B11"].predicted, rel=0.03)
    assert 0.3 * one["B4"].predicted < one["B4"].measured < one["B4"].predicted
    for label in ("B5", "B6", "B7"):
        # the noise of 64 replicas hides errors below it: nothing may stand out by seven standard errors
        assert one[label].measured < one[label].predicted + 7 * one[label].standard_error


@pytest.mark.exact
def test_verdicts_say_what_is_proven_and_what_is_estimated():
    assert Bracket(0.2, 0.9).below(1.0) == "holds"
    assert Bracket(1.0, 3.0, 2.0).below(1.0) == "fails"
    assert Bracket(0.2, 3.0, 0.5).below(1.0) == "holds by estimate"
    assert Bracket(0.2, 3.0, 1.5).below(1.0) == "fails by estimate"
    assert Bracket(0.2, 3.0).below(1.0) == "undecided"


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
    assert [len(document[key]) for key in ("local_radius", "local_gain")] == [3, 3]
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
        (lambda folder: None, [], "holds no finished run: result.json cannot be read (No such file or directory)"),
        (lambda folder: (folder / "weights.npz").write_bytes(b"PK"), [], "holds no run of this version"),
        (lambda folder: (folder / "result.json").write_text("{}"), [], "holds no run of this version"),
        (lambda folder: None, ["--images", "1"], "--images must be at least 2, got 1"),
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


def test_max_pooling_is_outside_the_theory():
    net = stacks.network(Architecture((1, 6, 6), (Conv(2, 3, pool=2, pooling="max"),), classes=2), 0)
    with pytest.raises(ValueError, match="max pooling is outside the theory"):
        certify(net, np.zeros((2, 36)))
