"""Figures drawn side by side are those drawn in turn, byte for byte, and an interruption leaves no process and no half file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import stochep
from commands.progress import Lines
from figures import NAMES, certificates, page, press

ROOT = Path(__file__).resolve().parents[2]
# seconds of work together
QUICK = ["free_energy_descent", "fashion_rules", "certificates"]


def draw(folder: Path, *more: str) -> int:
    return stochep.run(["figures", *QUICK, "--out", str(folder), *more])


def paths(folder: Path) -> list[str]:
    return [str(path) for name in NAMES if name in QUICK for path in page.paths(name, folder)]


def test_files_do_not_depend_on_the_number_of_workers(tmp_path, capsys):
    assert draw(tmp_path / "one", "--workers", "1") == 0
    assert capsys.readouterr().out.splitlines() == paths(tmp_path / "one")
    assert draw(tmp_path / "two", "--workers", "2") == 0
    streams = capsys.readouterr()
    assert streams.out.splitlines() == paths(tmp_path / "two")
    for one, two in zip(paths(tmp_path / "one"), paths(tmp_path / "two"), strict=True):
        assert Path(one).read_bytes() == Path(two).read_bytes(), one
    for name in QUICK:
        assert f"{name}: computing\n" in streams.err
        assert f"{name}: done after" in streams.err
    assert draw(tmp_path / "two", "--workers", "2", "--json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["status"]) for one in records] == [(name, "unchanged") for name in NAMES if name in QUICK]
    assert [path for one in records for path in one["paths"]] == paths(tmp_path / "two")


def test_a_figure_that_fails_is_one_sentence_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    def compute(report):
        raise KeyError("no such row")

    monkeypatch.setattr(certificates, "compute", compute)
    asked = ["figures", "certificates", "fashion_rules", "--workers", "1", "--json", "--out", str(tmp_path)]
    assert stochep.run(asked) == 1
    streams = capsys.readouterr()
    assert "stochep: certificates failed: KeyError: 'no such row'\n" in streams.err
    drawn, failed = json.loads(streams.out)
    assert (drawn["name"], drawn["status"], drawn["problem"]) == ("fashion_rules", "drawn", None)
    assert (failed["status"], failed["paths"], failed["problem"]) == ("failed", [], "KeyError: 'no such row'")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(Path(path).name for path in drawn["paths"])


def test_a_process_that_dies_is_named_with_a_remedy(capsys):
    future: Future[press.Drawn] = Future()
    future.set_exception(BrokenProcessPool())
    assert press._outcome("certificates", future, Lines()).status == "failed"
    assert (
        "certificates failed: a drawing process died, perhaps for want of memory: try --workers 1"
        in capsys.readouterr().err
    )


def test_what_a_process_says_is_told_in_whole_lines_under_the_name_of_its_figure(capsys):
    lines = press._Lines(Lines())
    lines.title = "certificates"
    print("a warning", 1, file=lines)
    print("begun", end="", file=lines)
    assert capsys.readouterr().err == "certificates: a warning 1\n"


def test_workers_must_be_a_whole_number_above_nothing(capsys):
    assert stochep.run(["figures", "--workers", "0"]) == 2
    assert "--workers must be at least 1, got 0" in capsys.readouterr().err


def children(process: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_drawing_processes_end_with_the_one_that_started_them(tmp_path, end):
    command = [sys.executable, "-m", "stochep", "figures", "gradient_quality", "claim_tightness", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "0"},
    )  # fmt: skip
    begun = {process.stderr.readline().partition(":")[0] for _ in range(2)}
    assert begun == {"gradient_quality", "claim_tightness"}
    drawing = children(process.pid)
    assert len(drawing) >= 2
    process.send_signal(end)
    out, err = process.communicate(timeout=240)
    assert out == ""
    assert "Traceback" not in err
    if end == signal.SIGINT:
        assert process.returncode == 1
        assert "stochep: interrupted" in err
    deadline = time.monotonic() + 30
    while any(map(alive, drawing)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, drawing))
    assert list(tmp_path.iterdir()) == []
