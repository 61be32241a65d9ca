"""Killed at any moment, by anything, a training or a sweep goes on with the same command and ends in the same bits."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

import stochep
from tests.survival.driven import SWEEP, TRAIN, Command, finished, run, start, waited_for

COMMANDS = {"train": TRAIN, "sweep": SWEEP}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What each command leaves when nothing happens to it."""
    found = {}

    def contents(name):
        if name not in found:
            out = tmp_path_factory.mktemp(name)
            assert run(COMMANDS[name], out)[0] == 0
            found[name] = COMMANDS[name].contents(out)
        return found[name]

    return contents


def half_written(out: Path) -> list[Path]:
    return list(out.rglob(".*.tmp"))


def killed_at_random(command: Command, out: Path, generator: random.Random) -> bool:
    """Start or go on and SIGKILL after a few more files, at any point of the next; whether it was still running."""
    rough = {"slow": generator.choice([0.0, 0.05, 0.05])}
    process = start(command, out, *(command.again if out.exists() else ()), rough=rough)
    before, more = command.files(out), generator.randrange(4)
    seen: set[Path] = set()

    def far_enough() -> bool:
        seen.update(command.files(out) - before)
        return len(seen) >= more

    if not more:
        # before anything is written: while modules load, data are read, or workers start
        moment = time.monotonic() + 3 * generator.random()
        waited_for(process, lambda: time.monotonic() > moment)
    waited_for(process, far_enough)
    time.sleep(0.08 * generator.random())
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def killed_within_a_write(command: Command, out: Path, call: str) -> None:
    """SIGKILL as the second file is flushed, or put in its place: the first is there, and the second only half."""
    files, halves = command.contents(out), len(half_written(out))
    code, _ = run(command, out, *(command.again if out.exists() else ()), rough={"fatal": [2, call]})
    assert code == -signal.SIGKILL
    assert len(half_written(out)) == halves + 1
    assert files.items() <= command.contents(out).items()


def out_of_disk(command: Command, out: Path) -> None:
    """One sentence says so and how to go on; what was half-written is gone, what was whole is not."""
    files, halves = command.contents(out), len(half_written(out))
    code, told = run(command, out, *command.again, rough={"full": 1})
    assert code == 1
    assert "No space left on device" in told.splitlines()[-1]
    assert "the same command" in told.splitlines()[-1]
    assert len(half_written(out)) == halves
    assert files.items() <= command.contents(out).items()


def interrupted(command: Command, out: Path) -> None:
    """Ctrl-C in the midst: one sentence says that it stopped and how to go on."""
    before = command.files(out)
    process = start(command, out, *command.again, rough={"slow": 0.05})
    assert waited_for(process, lambda: bool(command.files(out) - before))
    process.send_signal(signal.SIGINT)
    code, told = finished(process)
    assert code == 1
    assert "stopped" in told.splitlines()[-1]
    assert "the same command" in told.splitlines()[-1]


@pytest.mark.exact
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=[pytest.mark.thorough, pytest.mark.timeout(7200)])])
def test_a_run_killed_at_random_moments_and_within_writes_ends_as_the_unbroken_one(tmp_path, unbroken, name, kills):
    command, generator, done, number = COMMANDS[name], random.Random(kills), 0, 0
    while done < kills:
        out = tmp_path / str(number)
        for call in ("fsync", "replace"):
            killed_within_a_write(command, out, call)
            done += 1
        out_of_disk(command, out)
        interrupted(command, out)
        alive = True
        while alive and done < kills:
            alive = killed_at_random(command, out, generator)
            done += alive
        assert run(command, out, *command.again)[0] == 0
        assert command.contents(out) == unbroken(name)
        number += 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_cannot_be_made_is_refused_before_any_work(capsys, name):
    # even an administrator makes no folder there
    assert stochep.run([*COMMANDS[name].arguments, "--out", "/proc/stochep"]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "cannot be made" in told
    assert "choose another --out" in told
