"""Every figure at tiny size: the laws its caption states hold in its own data."""

import functools
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dynamics.crnn.config import fingerprint, load
from figures import (
    NAMES,
    digits_learning,
    free_energy_descent,
    gradient_quality,
    gradient_variance,
    page,
)

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
TINY = {
    "gradient_bias": {"sizes": (4,), "temperatures": (2.0, 32.0), "fine": 11, "samples": 512, "leaks": (0.2, 0.8)},
    "gradient_error_bound": {
        "size": 4, "temperatures": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), "sizes": (2, 4), "gains": (0.1, 0.6),
        "strengths": (0.2, 0.8, 3.0), "instances": 5,
    },
    "tracking_error": {"size": 5, "leaks": (0.1, 0.8), "replicas": 800},
    "across_the_transition": {"size": 6, "gains": (0.5, 1.25, 3.0), "steps": 150, "replicas": 200},
    "mean_field_error": {"sizes": (4, 8, 12), "instances": 3, "size": 6, "temperatures": (0.3, 1.0, 2.0, 8.0, 16.0, 32.0)},
    "nudging_bias": {"size": 4, "shares": (0.05, 0.3, 0.9), "instances": 4},
    "gradient_variance": {"size": 5, "nudgings": (0.05, 0.1, 0.5), "leaks": (0.1, 0.4), "samples": 256},
    "gradient_quality": {
        "images": 4, "repeats": 4, "reference_steps": 40, "temperatures": (0.7, 1.4), "gains": (0.7, 1.4), "leaks": (0.5, 1.0),
        "nudgings": (0.1, 1.0), "samples": (1, 2),
    },
    "optimal_nudging": {"nudgings": 9, "steps": 12, "sizes": (4, 6), "replicas": 128},
    "free_energy_descent": {"size": 8, "steps": 15, "grid": 9},
    "holomorphic_aliasing": {"size": 5, "nudgings": 9},
    "loss_smoothing": {"size": 5, "grid": 9, "temperatures": (0.05, 0.5, 2.0)},
    "claim_tightness": {"labels": ("A1", "A4", "B2", "D1"), "instances": 5},
    "digits_learning": {
        "results": Path("nowhere"),
        "smoke": ("training.epochs=2", "training.batch=256", "network.layers=[{kind='dense', units=8}, {kind='dense', units=10}]"),
    },
    "fashion_learning": {"results": Path("nowhere")},
    "reach_learning": {"results": Path("nowhere")},
    "fashion_rules": {"results": Path("nowhere")},
    "net_size": {"record": Path("nowhere/sizes.json")},
    "fashion_gradient": {"record": Path("nowhere/gradient_quality.json")},
    "event_stream": {"results": Path("nowhere"), "record": Path("nowhere/leaks.json")},
    "sparsity": {"results": Path("nowhere")},
    "training_stability": {"results": Path("nowhere"), "record": Path("nowhere/stability.json")},
    "training_cost": {"results": Path("nowhere"), "bench": Path("nowhere/bench.json")},
    "certificates": {"results": Path("nowhere")},
    "comparators": {"networks": ((2, 1), (2, 1)), "nudgings": (0.8,), "samples": 256, "steps": 8},
    "neighbour_rules": {"results": Path("nowhere")},
    "speed": {"record": Path("nowhere/bench.json")},
}  # fmt: skip


@pytest.fixture(scope="session")
def computed():
    """The data of a named figure at tiny size, computed once."""
    return functools.cache(lambda name: importlib.import_module(f"figures.{name}").compute(**TINY[name]))


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def test_importing_a_figure_computes_and_draws_nothing():
    check = "import sys; import figures." + ", figures.".join(NAMES) + "; assert 'matplotlib.pyplot' not in sys.modules"
    finished = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=EXPERIMENTS.parent)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


@pytest.mark.exact
def test_the_least_error_falls_with_the_powers_of_c9_and_coupling_lowers_it(computed):
    data = computed("optimal_nudging")
    for estimator, coupled, independent in (("symmetric", -4 / 5, -2 / 3), ("one-sided", -2 / 3, -1 / 2)):
        errors = [np.array(data["optima"][f"{estimator}, {kind}"]["error"]) for kind in ("coupled", "independent")]
        assert (errors[0][-3:] < errors[1][-3:]).all()
        for values, exponent in zip(errors, (coupled, independent), strict=True):
            assert slope(data["many"][-3:], values[-3:]) == pytest.approx(exponent, abs=0.07)


@pytest.mark.exact
def test_a_warm_start_gains_no_variance_and_probabilities_do(computed):
    exact = computed("optimal_nudging")["exact"]
    spikes, warm, chances = (
        np.array(exact[name]["variance"]) for name in ("symmetric, independent", "warm start", "coupled, probabilities")
    )
    np.testing.assert_allclose(warm, spikes, rtol=1e-2)
    assert (chances < np.array(exact["symmetric, coupled"]["variance"])).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_json_beside_a_picture_holds_its_data_and_versions(name, computed, tmp_path):
    written = page.publish(name, computed(name), importlib.import_module(f"figures.{name}").draw, tmp_path)
    assert [path.name for path in written] == [f"{name}.pdf", f"{name}.png", f"{name}.json"]
    document = json.loads(written[2].read_bytes())
    assert document["data"].keys() == computed(name).keys()
    assert document["packages"]["numpy"] == np.__version__


@pytest.mark.exact
def test_equal_data_make_equal_pictures(computed):
    data = computed("free_energy_descent")
    for kind in ("pdf", "png"):
        first, second = (page.rendered(free_energy_descent.draw(data), kind) for _ in range(2))
        assert first == second


@pytest.mark.exact
def test_a_seed_fixes_every_number():
    first, second = (gradient_variance.compute(**{**TINY["gradient_variance"], "nudgings": (0.1,)}) for _ in range(2))
    assert first == second
    assert first != gradient_variance.compute(**{**TINY["gradient_variance"], "nudgings": (0.1,)}, seed=9)


@pytest.mark.exact
def test_each_correction_and_each_fixed_field_gains_a_power_of_the_temperature(computed):
    data = computed("gradient_bias")
    for lines, naive, corrected in [(panel["lines"], -2, -3) for panel in data["panels"]] + [
        (data["scaled_bias"], -1, -2)
    ]:
        hot = slice(-3, None)
        assert slope(lines["temperature"][hot], lines["mean_field"][hot]) == pytest.approx(naive, abs=0.25)
        # J² terms cancel in some small networks, so the corrected order may be higher than stated, never lower
        assert slope(lines["temperature"][hot], lines["onsager"][hot]) < corrected + 0.25


@pytest.mark.statistical
def test_sampled_glauber_agrees_with_the_exact_gradient_at_finite_nudging(computed):
    for panel in computed("gradient_bias")["panels"]:
        for point in panel["sampled"]:
            assert point["low"] <= point["nudging_bias"] <= point["high"]


@pytest.mark.statistical
def test_leaky_spikes_lie_on_the_lines_of_their_mean_field_limit(computed):
    leaky = computed("gradient_bias")["leaky"]
    for point in leaky["points"]:
        for key in ("law", "both"):
            line = np.interp(math.log(point["temperature"]), np.log(leaky["temperature"]), leaky["lines"][key])
            # the limit differs from the estimate by leak and nudging too: a tenth of the line and the limit's own error
            assert point[key]["low"] <= 1.1 * line + point["limit"]["high"]
            assert point[key]["high"] >= 0.9 * line - point["limit"]["high"]


@pytest.mark.exact
def test_law_and_cost_bound_the_whole_residual(computed):
    lines = computed("gradient_bias")["leaky"]["lines"]
    for law, cost, both in zip(lines["law"], lines["cost"], lines["both"], strict=True):
        # ‖a − c‖ ≤ ‖a − b‖ + ‖b − c‖ with the law's part in its own unit, ‖b‖ ≤ (1 + cost)‖c‖
        assert both <= law * (1 + cost) + cost + 1e-12


@pytest.mark.exact
@pytest.mark.parametrize("system", ["gibbs", "mean_field"])
def test_aliasing_has_the_order_of_the_points_and_the_predicted_coefficient(computed, system):
    curves = computed("holomorphic_aliasing")[system]
    for row in curves["rows"]:
        assert row["exponent"]["low"] <= row["points"] <= row["exponent"]["high"]
        resolved = [k for k, error in enumerate(row["error"]) if error > 1e-11]
        leading = row["coefficient"] * curves["nudging"][resolved[0]] ** row["points"]
        assert row["error"][resolved[0]] == pytest.approx(leading, rel=0.05)


@pytest.mark.exact
def test_more_points_help_inside_the_nearest_zero_and_not_beyond(computed):
    data = computed("holomorphic_aliasing")
    two, eight = (data["gibbs"]["rows"][place]["error"] for place in (0, -1))
    for strength, few, many in zip(data["gibbs"]["nudging"], two, eight, strict=True):
        if strength < 0.9 * data["nearest"]:
            assert many < few
    assert eight[-1] > 0.3 * min(data["beyond"]["error"][-10:])


@pytest.mark.exact
def test_the_certified_radius_is_the_modulus_of_the_first_zero_drawn(computed):
    data = computed("holomorphic_aliasing")
    assert data["certified"]["value"] == pytest.approx(data["nearest"], rel=1e-10)
    assert data["certified"]["radius"] < 1e-12
    assert math.hypot(*data["zeros"][0]) == pytest.approx(data["nearest"], rel=1e-9)
    assert data["zero_free"] <= min(zero[1] for zero in data["zeros"])
    assert data["holomorphy"] <= data["local_holomorphy"]


@pytest.mark.statistical
def test_tracking_error_and_covariance_lie_under_their_bounds_and_on_linear_noise(computed):
    for row in computed("tracking_error")["rows"]:
        for key in ("tracking", "spread", "shift"):
            assert row[key]["low"] <= row[f"{key}_bound"]
        if row["leak"] == 0.1:
            assert row["tracking"]["value"] == pytest.approx(row["tracking_linear"], rel=0.2)
            assert row["spread"]["value"] == pytest.approx(row["spread_linear"], rel=0.3)


@pytest.mark.exact
def test_more_copies_divide_the_noise_and_its_bound(computed):
    rows = computed("tracking_error")["rows"]
    single, fourfold = ([row for row in rows if row["copies"] == copies] for copies in (1, 4))
    for one, four in zip(single, fourfold, strict=True):
        assert four["tracking_bound"] == pytest.approx(one["tracking_bound"] / 4)
        assert four["spread_linear"] == pytest.approx(one["spread_linear"] / 4)


@pytest.mark.exact
def test_mean_field_error_lies_under_b6_and_falls_with_its_powers_of_temperature(computed):
    data = computed("mean_field_error")
    for name, rows in data["against_temperature"].items():
        for row in rows:
            assert math.isnan(row["bound"]) == (row["absolute_gain"] >= 1)
            assert not row["mean_field"] > row["bound"]
        exponent = slope([row["temperature"] for row in rows[-3:]], [row["mean_field"] for row in rows[-3:]])
        assert exponent == pytest.approx(-2 if name.endswith("scaled") else -3, abs=0.3), name


@pytest.mark.exact
def test_more_units_shrink_the_error_of_a_ferromagnet_only(computed):
    sizes = computed("mean_field_error")["against_size"]
    first, last = (sizes["ferromagnet"][end]["mean_field"]["value"] for end in (0, -1))
    assert last < first / 1.5
    assert sizes["sk"][-1]["mean_field"]["high"] > sizes["sk"][0]["mean_field"]["low"]


@pytest.mark.statistical
def test_coupled_phases_have_less_variance_and_stay_under_c8(computed):
    for row in computed("gradient_variance")["rows"]:
        assert row["coupled"]["high"] < row["independent"]["low"]
        assert row["coupled"]["low"] <= row["bound"]


@pytest.mark.statistical
def test_coupling_and_probabilities_lower_the_noise_of_a_networks_gradient(computed):
    for panel in computed("gradient_quality")["panels"]:
        small = panel["nudgings"][0]["variants"]
        for name in computed("gradient_quality")["layers"]:
            independent, traces, chances = (
                small[variant][name]["noise"]["value"] for variant in ("independent", "traces", "probabilities")
            )
            assert chances < traces < independent
            # one estimate's squared error is bias and noise, to rounding
            assert panel["samples"][name][0]["value"] == pytest.approx(panel["samples"][name][0]["expected"])


def test_quality_of_a_run_is_read_from_its_folder(tmp_path):
    with pytest.raises(ValueError, match=r"holds no finished run: .*result\.json cannot be read"):
        gradient_quality.compute(run=tmp_path)


@pytest.mark.exact
def test_free_energy_falls_at_least_as_guaranteed_and_rises_beyond_the_step_limit(computed):
    for name in ("random", "antiferromagnet"):
        network = computed("free_energy_descent")[name]
        for path in network["paths"]:
            gap = np.array(path["gap"])
            assert (gap <= np.array(path["guaranteed"]) + 1e-12).all()
            if path["leak"] <= network["step_limit"]:
                assert (np.diff(gap) <= 1e-12).all()
        for row in network["factors"]:
            assert row["smallest"] >= row["bound"] - 1e-6
    beyond = computed("free_energy_descent")["antiferromagnet"]["paths"][-1]
    assert beyond["gap"][-1] > 2 * beyond["gap"][0] > 0


def test_digits_without_results_are_marked_smoke(computed):
    data = computed("digits_learning")
    assert data["smoke"]
    assert "SMOKE" in [text.get_text() for text in digits_learning.draw(data).texts]


def record(folder, name, seed, config_hash):
    document = {
        "seed": seed, "config_hash": config_hash,
        "curves": {"train_cost": [0.5, 0.25], "validation_accuracy": [0.5, 0.9]},
        "metrics": {"test_accuracy": {"value": 0.9, "n": 100, "low": 0.83, "high": 0.95}},
    }  # fmt: skip
    place = folder / name / str(seed)
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(document), encoding="utf-8")


def test_digits_read_only_results_of_the_same_configuration(tmp_path):
    name = "digits_stochastic"
    for seed in (2, 0):
        record(tmp_path, name, seed, fingerprint(load(EXPERIMENTS / f"{name}.toml")))
    record(tmp_path, name, 7, "another configuration")
    data = digits_learning.compute(results=tmp_path)
    assert not data["smoke"]
    assert [seed["seed"] for seed in data["rules"][0]["test"]] == [0, 2]
    assert "digits_implicit" in data["missing"]
    figure = digits_learning.draw(data)
    assert not figure.texts or "SMOKE" not in [text.get_text() for text in figure.texts]
    assert "seeds 0, 2" in figure.get_suptitle()


def test_digits_away_from_a_checkout_say_so(tmp_path):
    with pytest.raises(ValueError, match="run this figure from a checkout"):
        digits_learning.compute(experiments=tmp_path)


@pytest.mark.exact
def test_the_landscape_is_a_step_function_at_zero_temperature_and_obeys_its_bounds_above(computed):
    data = computed("loss_smoothing")
    frozen = np.unique(np.round(data["slices"][0]["cost"], 9))
    warm = np.unique(np.round(data["slices"][-1]["cost"], 9))
    assert len(frozen) <= 4 < len(warm)
    for row in data["rows"]:
        assert row["slope"] <= data["cost_range"] / (4 * row["temperature"])
        assert row["curvature"] <= data["cost_range"] / (6 * math.sqrt(3) * row["temperature"] ** 2)
        assert (row["mean_field_slope"] is None) == (row["temperature"] <= data["critical_temperature"])
        if row["mean_field_slope"] is not None:
            assert row["mean_field_slope"] <= row["mean_field_slope_bound"]


@pytest.mark.exact
def test_slopes_along_the_slice_are_the_differences_of_its_costs(computed):
    data = computed("loss_smoothing")
    for one in data["slices"][2:]:
        steepest = np.abs(np.diff(one["cost"]) / np.diff(data["line"])).max()
        nearest = min(data["rows"], key=lambda row, t=one["temperature"]: abs(row["temperature"] - t))
        assert steepest <= data["cost_range"] / (4 * one["temperature"])
        assert nearest["slope"] > 0


@pytest.mark.exact
def test_the_chart_shows_each_claims_own_record(computed):
    records = {record["label"]: record for record in computed("claim_tightness")["claims"]}
    assert list(records) == ["A1", "A4", "B2", "D1"]
    assert records["A1"]["tightness"] is None
    assert 0 < records["A4"]["tightness"]["median"] <= records["A4"]["tightness"]["max"] <= 1 + 1e-9
    assert all(record["verdict"] == "holds" and record["instances"] == 5 for record in records.values())


@pytest.mark.exact
def test_every_estimators_bias_has_its_slope_its_leading_term_and_its_bounds(computed):
    data = computed("nudging_bias")
    assert data["radii"]["certified"] <= data["radii"]["singularity"]
    for line, power in zip(data["lines"], (1, 2, 4, 8), strict=True):
        assert line["low"] <= power <= line["high"]
        assert line["high"] - line["low"] < 0.5
        small, *_, large = line["rows"]
        if power <= 4:
            assert small["bias"] == pytest.approx(small["leading"], rel=0.1)
        for row in (small, large):
            for bound in row["bounds"].values():
                assert bound is None or row["bias"] <= bound + 1e-12
        if line["name"] == "symmetric":
            assert small["random_sign"] == pytest.approx(small["bias"], rel=1e-6)


@pytest.mark.exact
def test_exact_coefficients_make_the_bounds_on_the_bias_tighter(computed):
    tightness = computed("nudging_bias")["tightness"]
    for values in tightness.values():
        assert values == sorted(values)
        assert all(0 < value <= 1 + 1e-6 for value in values)
    medians = [np.median(tightness[name]) for name in ("closed form", "leading coefficient", "16 coefficients")]
    assert medians == sorted(medians)


@pytest.mark.exact
def test_the_gradients_error_lies_under_its_two_bounds_and_the_local_one_is_the_tighter(computed):
    data = computed("gradient_error_bound")
    for row in data["against_temperature"] + data["against_size"]:
        if row["absolute_gain"] < 1:
            assert row["mean_field"] <= row["local"] <= row["apriori"]
        else:
            assert math.isnan(row["local"])
    rows = data["against_temperature"][-3:]
    for key, exponent in (("mean_field", -2), ("local", -2), ("onsager", -3)):
        fitted = slope([row["temperature"] for row in rows], [row[key] for row in rows])
        assert fitted == pytest.approx(exponent, abs=0.3), key
    for rows in data["tightness"].values():
        for row in rows:
            assert 0 < row["apriori"]["value"] <= row["local"]["value"] <= 1 + 1e-9
            assert row["local_entry"]["value"] <= row["local"]["value"]


@pytest.mark.exact
def test_onsagers_term_doubles_the_work_of_a_step_and_gains_most_where_couplings_are_weak(computed):
    weak, middle, strong = computed("gradient_error_bound")["onsager"]
    assert weak["ratio"]["value"] < middle["ratio"]["value"] < strong["ratio"]["high"]
    assert weak["corrected"]["value"] >= 2 * weak["plain"]["value"]
    assert weak["worse"] == weak["unsettled"] == 0.0
    assert strong["unsettled"] > 0.5


def test_across_the_transition_the_global_bound_stops_and_local_slopes_go_on(computed):
    rows = computed("across_the_transition")["rows"]
    assert [(row["couplings"], row["gain"]) for row in rows[:4]] == [
        ("ferromagnet", 0.5), ("ferromagnet", 1.25), ("ferromagnet", 3.0), ("sk", 0.5),
    ]  # fmt: skip
    for row in rows:
        assert (row["tracking_bound"] is None) == (row["gain"] >= 1)
        assert row["local_gain"] <= row["ball_gain"] < 1
        assert row["tracking_linear"] <= row["ball_tracking"]
        assert row["tracking_stayed"]["low"] <= row["ball_tracking"]
        if row["gain"] < 1:
            assert row["fits"]
            assert row["leave"] == 0
            assert row["ball_tracking"] <= row["tracking_bound"] * (1 + 1e-6)
    deep = next(row for row in rows if row["couplings"] == "ferromagnet" and row["gain"] == 3.0)
    assert deep["stable_points"] == 2
    assert deep["passed"]["low"] <= deep["passed"]["value"] <= deep["passed"]["high"]


def test_passing_to_another_fixed_point_is_what_linear_noise_misses(computed):
    rows = [row for row in computed("across_the_transition")["rows"] if row["passed"]["value"] > 0.02]
    assert rows
    for row in rows:
        assert row["stable_points"] > 1
        assert row["tracking"]["low"] > 2 * row["tracking_linear"]
        assert row["tracking_stayed"]["value"] < row["tracking"]["value"]


@pytest.mark.exact
def test_relaxations_lower_noise_to_the_bias_and_the_best_nudging_is_never_worse(computed):
    data = computed("comparators")
    spent = np.array(data["relaxations"])
    for rule, errors in data["best"].items():
        rows = [row for row in data["rows"] if row["rule"] == rule and row["nudging"] == data["nudging"]]
        shown = np.median([np.hypot(row["bias"], row["rate"] / np.sqrt(spent)) for row in rows], axis=0)
        assert (np.array(errors) <= shown * (1 + 1e-12)).all()
        assert (np.diff(errors) < 0).all()
    assert "symmetric EP" not in data["best"]
    rates = {line["rule"]: line["rate"]["median"] for line in data["summary"]}
    noisiest = [
        "three-factor covariance", "coupled StochEP, probabilities", "coupled StochEP", "ES, one sample a loss",
        "independent StochEP",
    ]  # fmt: skip
    assert sorted(noisiest, key=rates.__getitem__) == noisiest
