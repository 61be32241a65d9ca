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
