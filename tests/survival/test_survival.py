"""Killed at any moment, by anything, a training or a sweep goes on with the same command and ends in the same bits."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from commands import SWEEP, TRAIN, Command, finished, run, start, waited_for

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


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.thorough)])
def test_a_run_killed_at_random_moments_ends_as_the_unbroken_one(tmp_path, unbroken, name, kills):
    command, generator, done, run_number = COMMANDS[name], random.Random(kills), 0, 0
    while done < kills:
        out = tmp_path / str(run_number)
        alive = True
        while alive and done < kills:
            alive = killed_at_random(command, out, generator)
            done += alive
        assert run(command, out, *command.again)[0] == 0
        assert command.contents(out) == unbroken(name)
        run_number += 1


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_kill_within_a_write_loses_that_write_alone(tmp_path, unbroken, name, call):
    command = COMMANDS[name]
    assert run(command, tmp_path, rough={"fatal": [3, call]})[0] == -signal.SIGKILL
    assert len(half_written(tmp_path)) == 1
    kept = command.contents(tmp_path)
    assert len(command.files(tmp_path)) == 2
    assert run(command, tmp_path, *command.again)[0] == 0
    assert command.contents(tmp_path) == unbroken(name)
    assert kept.items() <= command.contents(tmp_path).items()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_sentence_and_loses_nothing_written(tmp_path, unbroken, name):
    command = COMMANDS[name]
    code, told = run(command, tmp_path, rough={"full": 3})
    assert code == 1
    assert [line for line in told.splitlines() if "No space left on device" in line and "the same command" in line]
    assert half_written(tmp_path) == []
    assert command.files(tmp_path)
    assert run(command, tmp_path, *command.again)[0] == 0
    assert command.contents(tmp_path) == unbroken(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path, unbroken, name):
    command = COMMANDS[name]
    process = start(command, tmp_path, rough={"slow": 0.05})
    assert waited_for(process, lambda: len(command.files(tmp_path)) >= 2)
    process.send_signal(signal.SIGINT)
    code, told = finished(process)
    assert code == 1
    assert "stopped" in told.splitlines()[-1]
    assert "the same command" in told.splitlines()[-1]
    assert run(command, tmp_path, *command.again)[0] == 0
    assert command.contents(tmp_path) == unbroken(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_cannot_be_made_is_refused_before_any_work(name):
    # even an administrator makes no folder there
    code, told = run(COMMANDS[name], Path("/proc/stochep"))
    assert code == 2
    assert len(told.splitlines()) == 1
    assert "cannot be made" in told
    assert "choose another --out" in told
