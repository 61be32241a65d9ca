"""Results say what made them and are never half written."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from dynamics import provenance as module
from dynamics.provenance import make_writable, provenance, remove_leftovers, write_atomically, write_json

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
    # what it could not finish does not stay to fill the disk
    assert list(tmp_path.iterdir()) == [target]


def test_only_old_halves_are_swept_away(tmp_path):
    names = [".a.json.1.tmp", ".b.npz.2.tmp", "c.tmp", ".d.json"]
    for name in names:
        (tmp_path / name).touch()
    for name in names[1:]:
        os.utime(tmp_path / name, (0, 0))
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json.1.tmp", ".d.json", "c.tmp"]
    remove_leftovers(tmp_path / "absent")


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "result.json", {"value": float("nan"), "bound": float("inf"), "n": 3})
    assert json.loads((tmp_path / "result.json").read_text()) == {"value": None, "bound": None, "n": 3}


def test_json_is_indented_by_two_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "result.json", {"a": {"b": 1}})
    assert (tmp_path / "result.json").read_text() == '{\n  "a": {\n    "b": 1\n  }\n}\n'


def test_a_folder_is_made_and_one_that_cannot_be_is_named(tmp_path, monkeypatch):
    make_writable(tmp_path / "deep" / "run")
    assert (tmp_path / "deep" / "run").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(tmp_path / 'file'))} cannot be made: File exists; choose another --out$"
    ):
        make_writable(tmp_path / "file")
    asked = []
    monkeypatch.setattr(os, "access", lambda folder, mode: asked.append((folder, mode)))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path))} cannot be written to; choose another --out$"):
        make_writable(tmp_path)
    assert asked == [(tmp_path, os.W_OK)]


def test_the_processor_is_the_one_that_linux_names():
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    if not named:
        pytest.skip("no model name in /proc/cpuinfo")
    assert provenance()["cpu"] == named[0]


def test_a_checkout_is_dirty_when_a_tracked_file_changed_but_not_by_results(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    for name in ("dynamics/provenance.py", "results/record.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("old")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "dynamics" / "provenance.py"))
    assert module._commit() == (None, None)
    git("init")
    assert module._commit() == (None, None)
    git("add", "-A")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert module._commit() == (commit, False)
    (tmp_path / "untracked").write_text("new")
    (tmp_path / "results/record.json").write_text("new")
    assert module._commit() == (commit, False)
    (tmp_path / "dynamics/provenance.py").write_text("new")
    assert module._commit() == (commit, True)
