"""The comparison from outside: what must hold of every rule's row, whatever the network."""

from __future__ import annotations

import math

import numpy as np
import pytest

from proofs_numeric.comparators import harness

NETWORKS = ((3, 2), (2, 2, 1))
QUICK = {"networks": NETWORKS, "samples": 256, "steps": 16, "seed": 3}


@pytest.fixture(scope="module")
def rows():
    return harness.compare(**QUICK)


def one(name, **asked):
    """The fields of one rule, an entry a network."""
    found = harness.compare(**(QUICK | {"rules": [name]} | asked))
    return {key: np.array([row[key] for row in found]) for key in found[0]}


def of(rows, name):
    return [row for row in rows if row["rule"] == name]


@pytest.mark.exact
def test_every_rule_has_a_row_on_every_network_and_one_gradient_a_loss(rows):
    assert [(row["network"], row["rule"]) for row in rows] == [
        (name, rule) for name in ("3-2 #3", "2-2-1 #4") for rule in harness.NAMES
    ]
    for network in {row["network"] for row in rows}:
        sizes = {(row["loss"], row["gradient"]) for row in rows if row["network"] == network}
        assert len(sizes) == len({size for _, size in sizes}) == 3
    assert {row["parameters"] for row in rows} == {11, 6 + 5}
    assert list(harness.Row._fields) == list(rows[0])


@pytest.mark.exact
def test_biases_cosines_and_noise_are_consistent(rows):
    for row in rows:
        assert row["bias_low"] <= row["bias"] <= row["bias_high"]
        assert -1 - 1e-12 <= row["cosine"] <= 1 + 1e-12
        assert abs(row["cosine_one"]) <= abs(row["cosine"]) + 1e-12
        # E ĝ = ∇(1 + noise) only where it has no bias: ‖E ĝ‖² = (1 − bias² + …), so the law of cosines decides
        if row["bias_low"] == row["bias_high"]:
            length = math.sqrt(max(row["bias"] ** 2 - 1 + row["cosine"] ** 2, 0.0))
            candidates = [row["cosine"] + side * length for side in (-1, 1)]
            seen = [size * row["cosine"] / math.hypot(size, row["deviation"]) for size in candidates]
            assert min(abs(value - row["cosine_one"]) for value in seen) < 1e-6


@pytest.mark.exact
def test_unbiased_rules_have_no_bias_and_point_along_the_gradient(rows):
    for row in of(rows, "three-factor covariance"):
        assert row["bias"] < 1e-12
        assert row["cosine"] == pytest.approx(1)
    for row in of(rows, "coupled StochEP"):
        # what is left is β² and what 16 sweeps have not forgotten
        assert row["bias"] < 0.01


@pytest.mark.exact
@pytest.mark.parametrize(
    ("rule", "order"),
    [("one-sided EP", 1), ("symmetric EP", 2), ("holomorphic EP", 4), ("predictive coding", 1)],
)
def test_the_bias_has_the_power_of_the_nudging_that_its_claim_says(rule, order):
    wide, narrow = (one(rule, nudging=value)["bias"] for value in (0.1, 0.05))
    np.testing.assert_allclose(np.log2(wide / narrow), order, atol=0.15)


@pytest.mark.exact
def test_symmetric_beats_one_sided_and_four_points_beat_two(rows):
    for better, worse in (("symmetric EP", "one-sided EP"), ("holomorphic EP", "symmetric EP")):
        for good, bad in zip(of(rows, better), of(rows, worse), strict=True):
            assert good["bias"] < bad["bias"]


@pytest.mark.exact
def test_onsagers_term_lowers_the_bias_against_gibbs_and_not_the_nudging(rows):
    for good, bad in zip(of(rows, "Onsager-corrected EP"), of(rows, "symmetric EP, mean field"), strict=True):
        assert good["bias"] < bad["bias"]
        assert good["relaxations"] == 2 * bad["relaxations"]
    assert (one("symmetric EP, mean field", nudging=0.01)["bias"] > 1e-3).all()


@pytest.mark.exact
def test_shared_noise_and_firing_probabilities_lower_the_variance_at_one_mean(rows):
    kinds = ("coupled StochEP, probabilities", "coupled StochEP", "independent StochEP")
    for chances, coupled, independent in zip(*(of(rows, kind) for kind in kinds), strict=True):
        assert chances["deviation"] < coupled["deviation"] < independent["deviation"]
        assert coupled["bias"] == independent["bias"]
        assert (coupled["relaxations"], independent["relaxations"]) == (3, 4)


@pytest.mark.exact
def test_noise_grows_with_small_nudgings_by_the_powers_of_c9():
    for rule, power in (("independent StochEP", 1), ("coupled StochEP", 0.5)):
        wide, narrow = (one(rule, nudging=value)["deviation"] for value in (0.1, 0.05))
        np.testing.assert_allclose(np.log2(narrow / wide), power, atol=0.05)


@pytest.mark.exact
def test_bptt_tends_to_the_implicit_gradient_as_it_is_truncated_later():
    few, some, many = (one("truncated BPTT", steps=steps)["bias"] for steps in (2, 6, 200))
    assert (few > 5 * some).all()
    assert (some > 1e-6).all()
    assert (many < 1e-12).all()


@pytest.mark.exact
def test_bptt_pays_with_memory_and_other_layers_weights_and_ep_does_not(rows):
    [bptt] = {(row["local"], row["memory"]) for row in of(rows, "truncated BPTT")}
    assert bptt == (harness.ELSEWHERE, harness.LONG)
    for name in ("symmetric EP", "coupled StochEP", "FRE", "predictive coding"):
        [row, _] = of(rows, name)
        assert (row["local"], row["memory"]) == (harness.NEURONS, harness.SHORT)
    assert of(rows, "three-factor covariance")[0]["local"] == harness.SCALAR


@pytest.mark.exact
def test_weak_feedback_is_nearer_to_backpropagation_in_proportion_and_relaxes_sooner():
    strong, weak, weaker = (one("FRE", nudging=1e-5, feedback=value) for value in (1.0, 0.02, 0.01))
    assert (weak["bias"] < strong["bias"]).all()
    np.testing.assert_allclose(weak["bias"] / weaker["bias"], 2, rtol=0.05)
    np.testing.assert_array_equal(strong["relaxations"], 2)
    assert (weak["relaxations"] < 2).all()


@pytest.mark.exact
def test_continual_ep_is_one_sided_ep_as_the_learning_rate_vanishes():
    for value, factor in ((0.1, None), (0.001, 3e-3)):
        found = one("continual EP", nudging=value, steps=80)["bias"]
        assert (found < (factor or 1)).all()
    wide, narrow = (one("continual EP", nudging=value, steps=80)["bias"] for value in (0.02, 0.01))
    np.testing.assert_allclose(wide / narrow, 2, rtol=0.15)


@pytest.mark.exact
def test_a_direction_is_scaled_by_the_rate_that_suits_it_best(rows):
    for name in ("difference targets", "predictive coding, clamped"):
        for row in of(rows, name):
            assert row["bias"] == pytest.approx(math.sqrt(1 - row["cosine"] ** 2), rel=1e-6)


@pytest.mark.exact
def test_relaxations_buy_noise_and_not_bias(rows):
    [row, _] = of(rows, "coupled StochEP")
    assert row["rate"] == pytest.approx(row["deviation"] * math.sqrt(row["relaxations"]))
    assert harness.error_after(row, row["relaxations"]) == pytest.approx(math.hypot(row["bias"], row["deviation"]))
    assert harness.error_after(row, 1e30) == pytest.approx(row["bias"])
    # two samples have a covariance, at more than twice the variance of half of four
    [three, _] = of(rows, "three-factor covariance")
    assert three["rate"] < three["deviation"] * math.sqrt(2)


@pytest.mark.exact
def test_summary_takes_medians_and_ranges_over_networks_within_a_temperature():
    found = harness.compare(**QUICK | {"temperatures": (1.0, 2.0), "rules": ["FRE"]})
    lines = harness.summary(found)
    assert [(line["temperature"], line["networks"]) for line in lines] == [(1.0, 2), (2.0, 2)]
    values = [row["bias"] for row in found if row["temperature"] == 2.0]
    assert lines[1]["bias"] == {"median": np.median(values), "low": min(values), "high": max(values)}
    assert lines[0]["bias"] != lines[1]["bias"]


def test_the_table_names_every_rule_once_a_loss_and_tells_what_was_restated(rows):
    text = harness.table(rows)
    body, notes = text.split("\n\nholomorphic EP: ")
    for rule in harness.RULES:
        assert sum(line.startswith(f"{rule.name}  ") for line in body.splitlines()) == 1
    assert "logistic layers, where thm:G9 has linear ones" in notes
    assert [title in text for title in ("fixed point, T = 1", "under Gibbs", "pass from below")] == [True] * 3
    assert "nan" not in text
    assert "error after 50" in harness.table(rows, budget=50)


def test_a_seed_fixes_every_number(rows):
    assert harness.compare(**QUICK) == rows
    assert harness.compare(**QUICK | {"seed": 4, "rules": ["FRE"]}) != of(rows, "FRE")


def test_progress_ends_at_one():
    seen = []
    harness.compare(**QUICK | {"rules": ["FRE"], "temperatures": (1, 2)}, report=seen.append)
    assert seen == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"networks": ()}, "networks must name at least one"),
        ({"networks": ((3,),)}, "two layers or more and at most 10 units, got 3"),
        ({"networks": ((3, 0),)}, "got 3-0"),
        ({"networks": ((6, 5),)}, "got 6-5"),
        ({"temperatures": (0.5,)}, "temperature must be above gain = 0.6, got 0.5"),
        ({"temperatures": ()}, "temperatures must name at least one"),
        ({"nudging": 0.0}, "nudging must be positive"),
        ({"gain": -1.0}, "gain must be positive"),
        ({"feedback": 0.0}, r"feedback must be in \(0, 1\], got 0.0"),
        ({"leak": 1.5}, r"leak must be in \(0, 1\], got 1.5"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"samples": 15}, "samples must be a whole number of at least 16"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"rules": ["magic"]}, "no rule 'magic': the rules are one-sided EP"),
        ({"rules": []}, "rules must name at least one"),
    ],
)
def test_what_cannot_be_compared_is_refused(asked, words):
    with pytest.raises(ValueError, match=words):
        harness.compare(**QUICK | asked)
