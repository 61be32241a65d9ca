"""The check can fail: it refutes false claims, refuses empty ones, and says undecided when it cannot tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meanfield import Model
from proofs_numeric import CLAIMS, Evidence, Falsifier, check
from proofs_numeric.claim import claim
from proofs_numeric.instances import model_scalars

FALSE_ALARM = 1e-9
PAIR = ([[0.0, 1.0], [1.0, 0.0]], [0.0, 0.0], 1.0)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    """Register claims that are gone after the test."""
    kept = dict(CLAIMS)

    def make(function, **settings):
        defaults = {
            "label": "Z1", "title": "made up", "kind": "inequality", "hypotheses": "none", "norm": "spectral",
            "domain": model_scalars(3), "falsifiers": (Falsifier("constant × 0.9", {"model": PAIR, "seed": 0}),),
        }  # fmt: skip
        return claim(**{**defaults, **settings})(function)

    yield make
    CLAIMS.clear()
    CLAIMS.update(kept)


def test_a_false_inequality_is_violated_and_its_instance_kept(register) -> None:
    def smaller(model: Model, mutation: str | None = None) -> Evidence:
        """κ ≤ ½ for every model drawn with κ up to 0.98."""
        return Evidence(model.gain, 0.5)

    register(smaller)
    report = check("Z1", instances=100)
    assert report.verdict == "violated"
    assert report.worst is not None
    assert CLAIMS["Z1"].evaluate(report.worst).verdict == "violated"


def test_a_falsifier_that_the_check_misses_is_reported(register) -> None:
    def loose(model: Model, mutation: str | None = None) -> Evidence:
        """κ ≤ 100."""
        return Evidence(model.gain, 100.0)

    register(loose)
    report = check("Z1", instances=20)
    assert report.verdict == "holds"
    assert not report.falsifier_refuted


def test_a_falsifier_on_an_instance_that_breaks_the_true_claim_does_not_count(register) -> None:
    def broken(model: Model, mutation: str | None = None) -> Evidence:
        """0.25 ≤ 0.2 on the named pair."""
        return Evidence(model.gain, 0.2)

    register(broken)
    assert not check("Z1", instances=1).falsifier_refuted


def test_nan_is_a_violation() -> None:
    assert Evidence(math.nan, 1.0).verdict == "violated"


def test_undecided_evidence_is_neither(register) -> None:
    def unsure(model: Model, mutation: str | None = None) -> Evidence:
        """Nobody knows."""
        return Evidence(0.0, 1.0, decided=False)

    register(unsure)
    assert check("Z1", instances=3, search=False).verdict == "undecided"


def test_the_search_finds_tighter_instances_than_the_draws(register) -> None:
    def bowl(model: Model, mutation: str | None = None) -> Evidence:
        """exp(−|b − 1|²) ≤ 1, tight at b = 1 only."""
        return Evidence(float(np.exp(-((model.bias / model.temperature - 1) ** 2).sum())), 1.0)

    register(bowl)
    report = check("Z1", instances=20)
    assert report.tightest > max(report.tightness)
    assert report.tightest == pytest.approx(1.0, abs=1e-3)


def test_a_claim_without_falsifier_or_statement_is_refused(register) -> None:
    def silent(model: Model) -> Evidence:
        return Evidence(0.0, 1.0)

    with pytest.raises(ValueError, match="no falsifier"):
        register(silent, falsifiers=())
    with pytest.raises(ValueError, match="no statement"):
        register(silent)


@pytest.mark.parametrize(
    ("label", "instances", "sentence"),
    [("B99", 1, "no claim 'B99': the labels are A0"), ("A1", 0, "at least 1, got 0"), ("A1", 2.5, "got 2.5")],
)
def test_bad_requests_are_one_sentence(label: str, instances, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check(label, instances=instances)


def test_the_same_seed_draws_the_same_instances() -> None:
    first, second = (check("A5", instances=10, seed=3, search=False).record() for _ in range(2))
    assert first == second
    assert check("A5", instances=10, seed=4, search=False).record() != first


def test_tight_inequalities_are_falsified_by_nine_tenths_of_their_constant() -> None:
    for subject in CLAIMS.values():
        if subject.kind == "inequality":
            assert any(falsifier.mutation == "constant × 0.9" for falsifier in subject.falsifiers), subject.label


@pytest.mark.statistical
def test_sampling_many_neurons_refutes_a_wrong_power_of_the_leak() -> None:
    companion = CLAIMS["B4"].sampled
    assert companion is not None
    scalars = {"size": 32, "gain": 0.2, "log_temperature": 0.0, "shape": 4, "field": 0, "seed": 0, "leak": 0.3}
    assert companion.decide("spectral", scalars, FALSE_ALARM / 2).verdict == "holds"
    assert companion.decide("spectral", scalars, FALSE_ALARM / 2, "ε²/K → ε³/K").verdict == "violated"
