"""Deciding in balls: certain, violated, equal to a stated width, or undecided; and what a report makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flint import arb

import stochep
from meanfield import Model
from proofs_numeric import CLAIMS, check, rigorous
from proofs_numeric.balls.arithmetic import Undecided, exact, radius
from proofs_numeric.balls.claims.mean_field import small
from proofs_numeric.instances import Interval
from proofs_numeric.rigorous import BallDecision, BallRefutation, Enclosures, Rigorous, RigorousReport, compare

FALSIFIER = (("constant × 0.9", {}, False),)


def companion(function, falsifiers=FALSIFIER) -> Rigorous:
    return Rigorous(function, {"x": Interval(0.0, 1.0)}, 3, falsifiers)


def test_certain_inequalities_hold_and_certain_violations_are_found() -> None:
    assert compare(exact([1.0, 2.0]), exact([1.5, 2.5]), 128) == BallDecision("holds", 0, 128, -0.5)
    assert compare(exact([1.0, 3.0]), exact([1.5, 2.5]), 128) == BallDecision("violated", 0, 128, 0.5)
    assert compare(exact([1.0]), exact([1.0]), 128).verdict == "holds"
    assert compare([], [], 64) == BallDecision("holds", 0, 64, -math.inf)


def test_equal_sides_hold_only_to_the_stated_width() -> None:
    narrow, wide = arb(0, 1e-40), arb(0, 1e-20)
    assert compare([narrow], [0], 128).verdict == "holds"
    assert compare([narrow, arb(-1)], [0], 128).equal == 1
    assert compare([wide], [0], 128)[:3] == ("undecided", 0, 128)
    assert compare([arb(0, 1e-20)], [arb(1)], 128).equal == 0


def test_nan_is_undecided() -> None:
    assert compare([arb.nan()], [arb(1)], 128).verdict == "undecided"


def test_the_precision_rises_until_it_decides() -> None:
    seen = []

    def narrow_at_256(bits: int) -> Enclosures:
        seen.append(bits)
        return Enclosures([arb(0, 1e-3 if bits < 256 else 0)], [arb(2) ** -20])

    assert companion(narrow_at_256).decide({}) == BallDecision("holds", 0, 256, pytest.approx(-(2.0**-20)))
    assert seen == [128, 256]


def test_undecided_at_every_precision_is_undecided() -> None:
    def lost(bits: int) -> Enclosures:
        raise Undecided("never")

    decision = companion(lost).decide({})
    assert decision.verdict == "undecided"
    assert decision.bits == 512


def test_violations_stop_at_once_and_ties_are_tried_to_the_end() -> None:
    seen = []

    def tie(bits: int, x: float) -> Enclosures:
        seen.append(bits)
        return Enclosures([arb(x).sqrt() ** 2], [arb(x)])

    assert companion(tie).decide({"x": 0.3, "y": 7}) == BallDecision("holds", 1, 512, pytest.approx(0, abs=1e-140))
    assert seen == [128, 256, 512]
    seen.clear()
    assert companion(tie).decide({"x": 0.3}, "constant × 0.9").verdict == "violated"
    assert seen == [128]


def test_a_mutation_is_passed_on() -> None:
    def shifted(bits: int, mutation: str | None = None) -> Enclosures:
        return Enclosures([arb(1)], [arb(0) if mutation == "wrong" else arb(2)])

    assert companion(shifted).decide({}).verdict == "holds"
    assert companion(shifted).decide({}, "wrong").margin == 1.0


def test_a_report_is_decided_when_all_holds_and_all_falsifiers_fall() -> None:
    holds, tied = BallDecision("holds", 0, 128, -1.0), BallDecision("holds", 2, 512, 0.0)
    violated, lost = BallDecision("violated", 0, 128, 1.0), BallDecision("undecided", 0, 512, 0.0)
    refuted = BallRefutation("m", violated, True)
    report = RigorousReport((holds, tied), (refuted,))
    assert report.decided
    assert report.record() == {
        "instances": 2, "holds": 2, "strict": 1, "equal_to": 1e-30, "bits": 512,
        "falsifiers": [{"mutation": "m", "margin": 1.0, "refuted": True}],
    }  # fmt: skip
    assert not RigorousReport((holds, lost), (refuted,)).decided
    assert RigorousReport((holds, lost), (refuted,)).record()["holds"] == 1
    assert not RigorousReport((holds,), (BallRefutation("m", holds, True),)).decided
    assert not RigorousReport((holds,), (BallRefutation("m", violated, False),)).decided
    assert RigorousReport((holds,), (BallRefutation("m", violated, None),)).decided


def test_companions_are_registered_once_and_with_a_falsifier() -> None:
    registered = dict(rigorous.companions())
    assert set(registered) <= set(CLAIMS)
    with pytest.raises(ValueError, match="A4 has a rigorous companion already"):
        rigorous.rigorous("A4", domain={}, falsifiers=FALSIFIER)(lambda bits: Enclosures([], []))
    with pytest.raises(ValueError, match="Z9 has no falsifier"):
        rigorous.rigorous("Z9", domain={}, falsifiers=())(lambda bits: Enclosures([], []))
    assert dict(rigorous.companions()) == registered


def test_companions_stay_on_the_claims_domain_with_few_units() -> None:
    domain = small("B7b", 1)
    assert domain["size"] == Interval(2, 2, integer=True)
    assert small("A4")["size"] == Interval(1, 3, integer=True)
    assert {name: one for name, one in small("A4").items() if name != "size"} == {
        name: one for name, one in CLAIMS["A4"].domain.items() if name != "size"
    }


@pytest.mark.parametrize("label", sorted(rigorous.companions()))
def test_another_seed_is_decided_too(label: str) -> None:
    report = CLAIMS[label].judge(rigorous.companions()[label], np.random.default_rng([7, *label.encode()]))
    assert report.decided, report.record()


def test_a_report_says_rigorous_only_with_balls(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert check("A5", instances=2, search=False).record()["means"] == "rigorous"
    monkeypatch.setattr(rigorous, "installed", lambda: False)
    report = check("A5", instances=2, search=False)
    assert report.rigorous is None
    assert report.record()["means"] == "exact"
    assert report.record()["rigorous"] is None
    assert stochep.run(["claims", "check", "A1b", "--instances", "2"]) == 0
    assert "pip install 'stochep[rigorous]'" in capsys.readouterr().err


def test_with_balls_nothing_is_said_of_installing(capsys) -> None:
    assert stochep.run(["claims", "check", "A1b", "--instances", "2"]) == 0
    streams = capsys.readouterr()
    assert "pip install" not in streams.err
    assert "+20 rigorous" in streams.out


def test_an_undecided_companion_leaves_the_claim_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
        return Enclosures([arb(0, 1e-3)], [arb(0)])

    subject = rigorous.companions()["A5"]
    monkeypatch.setitem(rigorous._COMPANIONS, "A5", Rigorous(lost, subject.domain, 2, subject.falsifiers))
    report = check("A5", instances=2, search=False)
    assert report.verdict == "undecided"
    assert report.means == "exact"
    assert not report.falsifier_refuted


def test_widths_are_widths() -> None:
    assert radius(np.array([arb(0, 0.5), arb(3)], dtype=object)) == pytest.approx(0.5, rel=1e-6)
