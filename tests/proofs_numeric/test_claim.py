"""The check can fail: it refutes false claims, refuses empty ones, and says undecided when it cannot tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meanfield import Model
from proofs_numeric import CLAIMS, Evidence, Falsifier, check
from proofs_numeric.claim import claim, sampled, table
from proofs_numeric.instances import model_scalars
from proofs_numeric.verdicts import FALSE_ALARMS, Decision, decide_below, ledger

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


def test_a_claim_holds_up_to_rounding_and_no_further() -> None:
    assert Evidence([0.2, 1.0], 1.0).verdict == "holds"
    assert Evidence(0.999, 1.0).verdict == "holds"
    assert Evidence(math.nextafter(1.0, 2.0), 1.0).verdict == "violated"
    assert Evidence(1.1, 1.0, rounding=0.2).verdict == "holds"
    assert Evidence([1.0, 3.0], [2.0, 2.5], rounding=0.1).margin == pytest.approx(0.4)


def test_tightness_and_triviality_read_only_bounds_that_say_something() -> None:
    assert Evidence([0.5, 0.9, 1e-9], [1.0, 1.0, 1e-9], rounding=1e-10).tightness == 0.9
    assert Evidence(1e-9, 1e-9, rounding=1e-11).tightness is None
    assert Evidence(0.5, 1.0, rounding=1e-3).tightness is None
    assert Evidence([0.1, 0.0], [2.0, 0.0], ceiling=1.0).trivial
    assert not Evidence([0.1, 0.1], [2.0, 1.0], ceiling=1.0).trivial
    assert not Evidence(0.0, 0.0, ceiling=1.0).trivial


def edge(model: Model, mutation: str | None = None) -> Evidence:
    """κ ≤ max(κ, 0.3)."""
    return Evidence(model.gain, max(model.gain, 0.3), ceiling=0.9)


def decision(model: Model, alpha: float, seed: int, mutation: str | None = None) -> Decision:
    return decide_below(lambda first, count: np.full(count, 0.1), 0.5, smallest=0.0, largest=1.0, alpha=alpha)


def test_every_verdict_of_a_claim_has_an_equal_share_of_the_false_alarms(register) -> None:
    register(
        edge, falsifiers=(Falsifier("constant × 0.9", {"model": PAIR}), Falsifier("none", {"model": PAIR})), instances=7
    )
    assert CLAIMS["Z1"].alpha == pytest.approx(FALSE_ALARMS / (2 * len(CLAIMS) * (7 + 4)))
    assert not CLAIMS["Z1"].statistical
    sampled("Z1", domain=model_scalars(3), instances=5)(decision)
    assert CLAIMS["Z1"].alpha == pytest.approx(FALSE_ALARMS / (2 * len(CLAIMS) * (7 + 4 + 5)))
    assert CLAIMS["Z1"].statistical
    with ledger() as spent:
        assert check("Z1").verdict == "holds"
    assert spent == [CLAIMS["Z1"].alpha] * 5


def test_a_function_that_asks_gets_its_alpha(register) -> None:
    asked = []

    def asking(model: Model, alpha: float) -> Evidence:
        """Nothing."""
        asked.append(alpha)
        return Evidence(0.0, 1.0)

    register(asking, instances=3)
    assert CLAIMS["Z1"].statistical
    CLAIMS["Z1"].evaluate({"model": PAIR})
    CLAIMS["Z1"].evaluate({"model": PAIR, "alpha": 0.3})
    assert asked == [CLAIMS["Z1"].alpha, 0.3]


def test_a_check_draws_two_hundred_instances_and_three_sampled_ones_unless_told_otherwise(register) -> None:
    register(edge)
    sampled("Z1", domain=model_scalars(3))(decision)
    assert (CLAIMS["Z1"].instances, CLAIMS["Z1"].sampled.instances) == (200, 3)
    assert len(check("Z1", instances=4).decisions) == 3


def test_a_report_is_its_numbers_by_name(register) -> None:
    register(edge, instances=40, search=False, kind="inequality", means="numeric")
    sampled("Z1", domain=model_scalars(3), instances=1)(decision)
    report = check("Z1")
    record = report.record()
    assert list(record) == [
        "label", "title", "kind", "means", "verdict", "tightness", "instances", "trivial", "bound_zero", "gain_quantiles",
        "falsifiers", "falsifier_refuted", "sampled", "rigorous", "worst",
    ]  # fmt: skip
    assert [record[key] for key in ("label", "title", "kind", "means", "verdict")] == [
        "Z1", "made up", "inequality", "numeric", "holds",
    ]  # fmt: skip
    assert (record["instances"], record["bound_zero"], record["rigorous"]) == (40, 0, None)
    # networks without couplings have gain 0 whatever was drawn
    assert 0 < record["trivial"] <= sum(gain > 0.9 for gain in report.gains)
    low, middle, high = np.quantile(report.tightness, (0.1, 0.5, 0.9))
    assert record["tightness"] == {"max": max(report.tightness), "median": middle, "p10": low, "p90": high}
    assert record["gain_quantiles"] == list(np.quantile(report.gains, (0.1, 0.5, 0.9)))
    assert record["falsifiers"] == [
        {"mutation": "constant × 0.9", "margin": report.refutations[0].margin, "drops": None}
    ]
    (drawn,) = report.decisions
    assert record["sampled"] == [
        {"verdict": "holds", "low": drawn.interval.low, "high": drawn.interval.high, "n": 1000, "enough": 1000}
    ]
    assert record["worst"] == {key: value for key, value in report.worst.items() if key != "model"}
    assert report.worst["gain"] == pytest.approx(max(0.3, report.worst["gain"]))


def test_falsifiers_are_judged_mutated_and_plain(register) -> None:
    def named(model: Model, mutation: str | None = None) -> Evidence:
        """0.25 ≤ 0.25, or ≤ 0.2 when mutated."""
        return Evidence(0.25, 0.2 if mutation == "a fifth" else 0.25)

    falsifiers = (
        Falsifier("a fifth", {"model": PAIR}),
        Falsifier("constant × 0.9", {"model": PAIR}),
        Falsifier("unknown", {"model": PAIR}),
        Falsifier("a fifth", {"model": PAIR}, drops="something"),
    )
    register(named, falsifiers=falsifiers)
    report = check("Z1", instances=1, search=False)
    assert [refutation.refuted for refutation in report.refutations] == [True, True, False, True]
    assert [refutation.holds_unmutated for refutation in report.refutations] == [True, True, True, None]
    assert [refutation.margin for refutation in report.refutations] == pytest.approx([0.05, 0.025, 0.0, 0.05])
    assert not report.falsifier_refuted


ROW = {
    "label": "B4", "means": "exact", "verdict": "holds", "tightness": {"max": 0.98765, "median": 0.5}, "instances": 120,
    "falsifiers": [1, 2], "falsifier_refuted": True, "sampled": [1, 2, 3], "rigorous": {"holds": 7}, "title": "tracking",
}  # fmt: skip


def test_the_table_is_aligned_text() -> None:
    other = {**ROW, "label": "B10", "tightness": None, "sampled": [], "rigorous": None, "falsifier_refuted": False}
    assert table([ROW, other]).splitlines() == [
        "claim  means  verdict  tightness max  median  instances                   falsifiers     title",
        "-" * 97,
        "B4     exact  holds    0.9877         0.5000  120 +3 sampled +7 rigorous  2 refuted      tracking",
        "B10    exact  holds    -              -       120                         2 NOT REFUTED  tracking",
    ]


def test_an_equal_tightness_found_by_the_search_changes_nothing_and_a_larger_one_does(register) -> None:
    def tight(model: Model, mutation: str | None = None) -> Evidence:
        """½ ≤ 1 everywhere."""
        return Evidence(0.5, 1.0)

    register(tight)
    report = check("Z1", instances=5)
    assert report.tightest == 0.5
    assert "model" not in report.worst


def test_the_search_stays_within_the_hypothesis_in_units_of_the_temperature(register) -> None:
    seen = []

    def watched(model: Model, mutation: str | None = None) -> Evidence:
        """κ ≤ 1, tightest at the largest κ allowed."""
        seen.append((model.gain, model.temperature, model.size))
        return Evidence(model.gain, 1.0)

    register(watched, domain=model_scalars(6, smallest=2))
    report = check("Z1", instances=15)
    searched = seen[15:-2]
    assert len(searched) > 50
    assert all(gain <= 0.98 * (1 + 1e-12) and temperature == 1.0 and size <= 3 for gain, temperature, size in searched)
    assert report.tightest == pytest.approx(0.98, abs=1e-6)


def test_a_report_shown_at_a_prompt_is_one_line_that_says_what_failed(register) -> None:
    report = check("B6", instances=20, search=False)
    assert repr(report) == f"Report(B6 holds on 20 instances, at most {report.tightest:.4f} tight, falsifiers refuted)"

    def broken(model: Model, mutation: str | None = None) -> Evidence:
        """0.25 ≤ 0.2 on the named pair."""
        return Evidence(model.gain, 0.2)

    register(broken)
    assert repr(check("Z1", instances=1)).endswith(", falsifiers NOT REFUTED)")
