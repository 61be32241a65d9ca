"""`stochep claims` from outside: which claims it names and checks, its streams and exit codes."""

from __future__ import annotations

import json

import stochep


def test_claims_list_states_the_named_ones_and_refuses_others(capsys):
    assert stochep.run(["claims", "list", "B7b", "A4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == ["A4", "B7b"]
    assert stochep.run(["claims", "list", "Z9"]) == 2
    assert "no claim 'Z9': the labels are A0, A1" in capsys.readouterr().err


def test_claims_check_prints_one_json_document_of_the_named_claims(capsys):
    assert stochep.run(["claims", "check", "A1b", "A1", "--instances", "3", "--seed", "5", "--json"]) == 0
    streams = capsys.readouterr()
    records = json.loads(streams.out)
    assert [(record["label"], record["verdict"], record["instances"]) for record in records] == [
        ("A1", "holds", 3),
        ("A1b", "holds", 3),
    ]
    assert streams.err.startswith("[1/2] A1: ")


def test_claims_check_refuses_what_it_cannot_draw(capsys):
    for arguments, sentence in (
        (["--instances", "0"], "instances must be at least 1, got 0"),
        (["--seed", "-1"], "got -1"),
    ):
        assert stochep.run(["claims", "check", "A1", *arguments]) == 2
        assert sentence in capsys.readouterr().err


COMPARED = ["claims", "compare", "--networks", "2-1", "--steps", "8", "--samples", "64"]


def test_claims_compare_prints_a_table_and_keeps_progress_on_stderr(capsys):
    assert stochep.run([*COMPARED, "--rules", "FRE", "coupled StochEP", "--budget", "50"]) == 0
    streams = capsys.readouterr()
    assert "mean cost of spikes under Gibbs, T = 1, 1 networks" in streams.out
    assert [line.split("  ")[0] for line in streams.out.splitlines() if line.endswith("O(1)")] == [
        "coupled StochEP",
        "FRE",
    ]
    assert "error after 50" in streams.out
    assert "done" in streams.err


def test_claims_compare_prints_one_json_document_of_all_rules(capsys):
    from proofs_numeric.comparators import harness

    assert stochep.run([*COMPARED, "--temperatures", "2", "--nudging", "0.1", "--seed", "7", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["rule"] for row in rows] == list(harness.NAMES)
    assert {(row["network"], row["temperature"], row["nudging"]) for row in rows} == {("2-1 #7", 2.0, 0.1)}


def test_claims_compare_refuses_what_cannot_be_compared(capsys):
    for arguments, sentence in (
        (["--networks", "3-x"], "networks must be units a layer, as in 4-3-2, got '3-x'"),
        (["--networks", "9-2"], "at most 10 units, got 9-2"),
        (["--temperatures", "0.5"], "temperature must be above gain = 0.6, got 0.5"),
        (["--rules", "magic"], "no rule 'magic'"),
        (["--budget", "0"], "budget must be positive and finite, got 0.0"),
    ):
        assert stochep.run([*COMPARED, *arguments]) == 2
        streams = capsys.readouterr()
        assert sentence in streams.err
        assert streams.out == ""
