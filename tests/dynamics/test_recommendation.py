"""Recommended estimators reach the wanted error, are the cheapest that do, and say why when nothing does."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from dynamics import (
    estimate_gradient,
    exact_equilibrium_gradient,
    exact_gradient,
    pilot,
    recommend,
    recommendations,
)
from dynamics.recommendation import RADIUS
from figures import advice, networks
from meanfield import Model, QuadraticCost

NET = networks.family("layered", 6, 3)
RECORD = Path(__file__).resolve().parents[2] / "results" / "recommendation.json"


@pytest.fixture(scope="module")
def found():
    model = NET.at(1.0)
    return model, recommendations(model, NET.cost, error=0.25, steps_free=15, steps_nudged=15, seed=4)


@pytest.mark.statistical
def test_runs_as_recommended_stay_within_the_wanted_error(found):
    model, candidates = found
    target = exact_gradient(model, NET.cost).couplings
    for one in [one for one in candidates if one.relaxations < 1e5]:
        errors = [
            np.linalg.norm(estimate_gradient(model, NET.cost, seed=seed, **one.arguments()).value.couplings - target)
            for seed in range(100, 108)
        ] / np.linalg.norm(target)
        assert (errors <= 0.25).mean() >= one.share
        assert np.sqrt((errors**2).mean()) == pytest.approx(one.predicted_error, rel=0.5)


@pytest.mark.exact
def test_the_predicted_bias_is_near_the_exact_one(found):
    model, candidates = found
    target = exact_gradient(model, NET.cost).couplings
    for one in candidates:
        if one.nudging is None:
            assert (one.estimator, one.predicted_bias, one.bias_from) == ("three-factor", 0.0, "none")
            assert not {"nudging", "steps_nudged", "coupled", "statistic", "leak"} & set(one.arguments())
            continue
        assert one.bias_from in ("mean field", "pilot")
        mean = exact_equilibrium_gradient(model, NET.cost, nudging=one.nudging, estimator=one.estimator).couplings
        exact = np.linalg.norm(mean - target) / np.linalg.norm(target)
        assert one.predicted_bias == pytest.approx(exact, rel=0.25)


@pytest.mark.exact
def test_the_bias_takes_its_share_and_the_samples_the_rest(found):
    for one in found[1]:
        if one.nudging is not None:
            order, fall = (2 if one.estimator == "symmetric" else 1), (1 if one.coupled else 2)
            assert one.predicted_bias == pytest.approx(0.25 * fall / (2 * order + fall), rel=0.01)
        assert one.predicted_bias + RADIUS * one.predicted_noise == pytest.approx(0.25, rel=0.01)
        assert one.predicted_error == pytest.approx(math.hypot(one.predicted_bias, one.predicted_noise))
        few = estimate_gradient(found[0], NET.cost, seed=0, **{**one.arguments(), "samples": 64})
        assert one.relaxations * 64 == few.relaxations * one.samples


@pytest.mark.exact
def test_candidates_come_cheapest_first_and_a_wish_selects_among_them(found):
    model, candidates = found
    assert [one.relaxations for one in candidates] == sorted(one.relaxations for one in candidates)
    assert len({(one.estimator, one.coupled, one.statistic) for one in candidates}) == len(candidates) == 9
    request = {"error": 0.25, "steps_free": 15, "steps_nudged": 15, "seed": 4}
    best = next(one for one in candidates if one.estimator == "three-factor" or one.statistic == "probabilities")
    assert best == candidates[0]
    assert recommend(model, NET.cost, estimator="three-factor", **request) in candidates
    wish = recommend(model, NET.cost, estimator="symmetric", coupled=False, statistic="spikes", **request)
    assert (wish.estimator, wish.coupled, wish.statistic) == ("symmetric", False, "spikes")
    with pytest.raises(
        ValueError,
        match="no candidate has estimator='three-factor', coupled=True: glauber offers three-factor, coupled=False, spikes; ",
    ):
        recommend(model, NET.cost, estimator="three-factor", coupled=True, **request)


@pytest.mark.exact
def test_coupling_saves_relaxations_and_so_do_firing_probabilities(found):
    cost = {(one.estimator, one.coupled, one.statistic): one.relaxations for one in found[1]}
    for estimator in ("symmetric", "one-sided"):
        for statistic in ("spikes", "probabilities"):
            assert cost[estimator, True, statistic] < cost[estimator, False, statistic]
        for coupled in (True, False):
            assert cost[estimator, coupled, "probabilities"] < cost[estimator, coupled, "spikes"]


@pytest.mark.statistical
def test_where_the_mean_field_fails_the_pilot_says_what_the_bias_is():
    """Below the ferromagnet's transition the fixed point found is one of two, and its gradient is not Gibbs'."""
    cold = networks.family("ferromagnet", 6, 0)
    model = cold.at(0.3)
    wish = {"estimator": "symmetric", "coupled": True, "statistic": "spikes"}
    symmetric = recommend(model, cold.cost, error=0.3, steps_free=150, steps_nudged=150, seed=1, **wish)
    target = exact_gradient(model, cold.cost).couplings
    assert symmetric.bias_from == "pilot"
    mean = exact_equilibrium_gradient(model, cold.cost, nudging=symmetric.nudging).couplings
    exact = np.linalg.norm(mean - target) / np.linalg.norm(target)
    assert symmetric.predicted_bias == pytest.approx(exact, rel=0.5)


@pytest.mark.statistical
def test_leaky_spikes_are_recommended_above_their_floor_and_refused_below():
    model = NET.at(2.0)
    request = {"dynamics": "leaky", "steps_free": 40, "steps_nudged": 40, "seed": 3}
    one = recommend(model, NET.cost, error=0.3, coupled=True, **request)
    assert (one.statistic, one.bias_from, one.estimator, one.leak) == ("traces", "pilot", "symmetric", 0.2)
    target = exact_gradient(model, NET.cost).couplings
    for seed in range(3):
        estimate = estimate_gradient(model, NET.cost, seed=50 + seed, **one.arguments()).value.couplings
        assert np.linalg.norm(estimate - target) <= 0.3 * np.linalg.norm(target)
    with pytest.raises(ValueError, match=r"error 0.05 is below the floor of leaky spikes here, about 0\.\d+ at leak 1"):
        recommend(NET.at(0.5), NET.cost, error=0.05, leak=1.0, coupled=True, **request)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"error": 0.0}, "error must be between 0 and 1, relative to the gradient's norm, got 0.0"),
        ({"error": 1.0}, "error must be between 0 and 1"),
        ({"error": math.nan}, "got nan"),
        (
            {"error": 1e-7},
            "error 1e-07 needs .* samples, more than the 2\\^32 that one seed has: ask for a larger error",
        ),
        ({"dynamics": "little"}, "dynamics must be glauber, block or leaky, got 'little'"),
        ({"dynamics": "block"}, "odd"),
        ({"seed": -1}, "seed"),
        ({"steps_free": 0}, "steps_free"),
    ],
)
def test_what_cannot_be_reached_is_refused_with_the_reason(changes, words):
    triangle = Model([[0.0, 0.5, 0.4], [0.5, 0.0, 0.3], [0.4, 0.3, 0.0]], [0.1, 0.2, -0.1])
    request = {"error": 0.2, "steps_free": 10, "steps_nudged": 10, **changes}
    with pytest.raises(ValueError, match=words):
        recommendations(triangle, QuadraticCost([2], [1.0]), **request)


def test_without_a_proven_mixing_time_the_steps_are_asked_for():
    strong = Model(9.0 * (1 - np.eye(3)), np.zeros(3), 0.5)
    with pytest.raises(ValueError, match="steps_free must be given here: no mixing time is proven"):
        recommendations(strong, QuadraticCost([1], [1.0]), error=0.2)
    with pytest.raises(ValueError, match="target must differ from ½"):
        recommendations(strong, QuadraticCost([1], [0.5]), error=0.2)


@pytest.mark.statistical
def test_a_gradient_lost_in_the_noise_is_not_guessed(monkeypatch):
    monkeypatch.setattr(pilot, "MOST_PILOT_SPIKES", 1 << 15)
    saturated = Model([[0.0, 0.1], [0.1, 0.0]], [0.0, 60.0])
    with pytest.raises(ValueError, match=r"the gradient is lost in the noise of \d+ pilot samples"):
        recommendations(saturated, QuadraticCost([1], [1.0]), error=0.2, steps_free=40, steps_nudged=40)


@pytest.mark.thorough
@pytest.mark.statistical
@pytest.mark.parametrize("case", advice.UNSEEN, ids=str)
def test_networks_that_nothing_was_tuned_on_are_served_as_promised(case):
    for row in advice.served(case, runs=40, most=3e7):
        assert row["share_reached"] >= row["share"]
        assert row["rms"] == pytest.approx(row["predicted_error"], rel=0.4)


@pytest.mark.exact
def test_the_record_shows_every_unseen_network_served_as_promised():
    rows = json.loads(RECORD.read_bytes())["rows"]
    assert {tuple(row["case"]) for row in rows} == set(advice.UNSEEN)
    for row in rows:
        assert row["largest"] <= row["error"]
        assert row["share_reached"] >= row["share"]
        assert row["rms"] == pytest.approx(row["predicted_error"], rel=0.2)
