"""Results say what made them and are never half written."""

from __future__ import annotations

import json
import os

import pytest

from dynamics.provenance import provenance, write_atomically, write_json

pytestmark = pytest.mark.exact


def test_provenance_names_versions_and_no_path():
    record = provenance()
    assert {"schema_version", "stream_version", "python", "packages", "cpu", "threads", "commit", "dirty"} <= set(
        record
    )
    assert os.getcwd() not in json.dumps(record)


def test_write_replaces_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "deep" / "result.bin"
    for content in (b"old", b"new and longer"):
        write_atomically(target, content)
        assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["result.bin"]


def test_a_write_that_dies_keeps_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "result.bin"
    write_atomically(target, b"old")

    def die(*_):
        raise OSError("power cut")

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(OSError, match="power cut"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "result.json", {"value": float("nan"), "bound": float("inf"), "n": 3})
    assert json.loads((tmp_path / "result.json").read_text()) == {"value": None, "bound": None, "n": 3}
