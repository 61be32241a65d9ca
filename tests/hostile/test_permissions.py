"""What may not be read or written is one sentence that names it, for every command that reads or writes."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import specimens
from tests.hostile.door import Answer, fault

ROOT = Path(__file__).parents[2]
# of linux/prctl.h and linux/capability.h: an administrator's leave to pass over permissions
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
ASKED = """
import json, sys
from tests.hostile.door import ask
print(json.dumps([ask(line) for line in json.load(sys.stdin)]))
"""


def without_leave() -> None:
    """Take from this process, and from what it becomes, the leave to pass over permissions; another user has none."""
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def without_leave_here() -> bool:
    try:
        return subprocess.run([sys.executable, "-c", ""], preexec_fn=without_leave, check=False).returncode == 0
    except subprocess.SubprocessError:
        return False


def locked_lines(folder: Path) -> list[tuple[list[str], Path]]:
    """Command lines, and what none of them may read or write; everything else about them is as it should be."""
    files = specimens.mnist(folder / "data")
    digits = ["--set", *specimens.DIGITS]
    train = ["train", str(specimens.EXPERIMENT), *digits]
    net = specimens.couplings(folder / "net.npz")
    toml = specimens.experiment(folder / "one.toml")
    result, _ = specimens.finished(folder / "result")
    _, weights = specimens.finished(folder / "weights")
    saved = specimens.saved(folder / "saved")
    (shut := folder / "shut").mkdir()
    (run := folder / "runs" / "tiny" / "0").mkdir(parents=True)
    (cells := folder / "begun" / "bias_sweep" / "cells").mkdir(parents=True)
    sweep = ["sweep", str(ROOT / "experiments" / "bias_sweep.toml")]
    return [
        (["bias", "--couplings", str(net)], net),
        (["bias", "--size", "3", "--out", str(shut / "made")], shut),
        (["train", str(toml), "--out", str(folder / "other")], toml),
        (specimens.training(folder, specimens.TINY, "mnist"), files[0]),
        ([*train, "--out", str(shut)], shut),
        ([*train, "--out", str(folder / "runs")], run),
        ([*train, "--resume", "--out", str(folder / "saved")], saved),
        (["certify", str(result.parent)], result),
        (["certify", str(weights.parent)], weights),
        ([*sweep, "--out", str(shut)], shut),
        ([*sweep, "--out", str(folder / "begun")], cells),
        (["figures", "tracking_error", "--out", str(shut)], shut),
    ]


@pytest.mark.skipif(os.name == "nt", reason="permissions are of another kind there")
def test_what_may_not_be_read_or_written_is_named_in_one_sentence(tmp_path):
    if not without_leave_here():
        pytest.skip("this administrator cannot give up the leave to pass over permissions")
    lines = locked_lines(tmp_path)
    locked = {path for _, path in lines}
    for path in locked:
        path.chmod(0o500 if path.is_dir() else 0)
    try:
        found = subprocess.run(
            [sys.executable, "-c", ASKED], input=json.dumps([line for line, _ in lines]), preexec_fn=without_leave,
            capture_output=True, text=True, cwd=ROOT, timeout=300, check=True,
        )  # fmt: skip
    finally:
        for path in locked:
            path.chmod(0o700)
    answers = [Answer(*answer) for answer in json.loads(found.stdout)]
    for (line, path), answer in zip(lines, answers, strict=True):
        assert answer.code in (1, 2), (line, answer)
        assert not fault(answer, (str(path),)), (line, answer)
