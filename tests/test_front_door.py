"""The front door teaches by example, suggests what was meant, stays plain in a pipe and opens without the heavy packages."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import stochep
from commands.examples import EXAMPLES
from dynamics.datasets import NAMES

ROOT = Path(__file__).parents[1]
# half a second each, or most of one
HEAVY = ("matplotlib", "sympy", "sklearn", "scipy.stats", "scipy.optimize", "scipy.integrate")


# what the documentation shows with arguments, between backticks or at the start of a line; without any it is a name
_SHOWN = re.compile(r"(?:^|`)(?:\.venv/bin/)?stochep (\w+ [^`#\n]+)", re.MULTILINE)
SHOWN = {
    line.strip()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    for line in _SHOWN.findall(page.read_text(encoding="utf-8"))
}


def commands(app=stochep.app, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command that help shows, groups and the root among them."""
    found = [path]
    for name, below in app.resolved_commands().items():
        if not name.startswith("-"):
            found += commands(below, (*path, name))
    return found


COMMANDS = commands()


def shell(*arguments: str, stdout: int = subprocess.PIPE, **variables: str) -> subprocess.CompletedProcess[str]:
    """The front door in a process of its own."""
    return python("-m", "stochep", *arguments, stdout=stdout, **variables)


def python(*arguments: str, stdout: int = subprocess.PIPE, **variables: str) -> subprocess.CompletedProcess[str]:
    hidden = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | variables
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_text_ends_with_examples_of_its_own(capsys, path):
    assert stochep.run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    lines, purposes = zip(*EXAMPLES[" ".join(path)], strict=True)
    shown = text.partition("Examples:\n")[2]
    assert [line for line in lines if f"stochep {line}" not in shown] == []
    assert [purpose for purpose in purposes if purpose not in shown] == []
    assert all(line.startswith(" ".join(path)) for line in lines)


def test_no_example_is_of_a_command_that_is_not():
    assert {tuple(name.split()) for name in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("line", sorted({line for one in EXAMPLES.values() for line, _ in one} | SHOWN))
def test_an_example_of_help_or_of_a_page_is_a_command_line(line):
    arguments = shlex.split(line)
    command, bound, _ = stochep.app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert callable(command)
    named = [word for word in arguments if word.startswith("experiments/") or word.startswith("results/")]
    assert [word for word in named if not (ROOT / word).exists()] == []
    assert bound is not None


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["trian"], '"train"'),
        (["figure"], '"figures"'),
        (["cliams", "list"], '"claims"'),
        (["claims", "chek"], '"check"'),
        (["data", "lst"], '"list"'),
        (["completion", "instal"], '"install"'),
        (["train", "x.toml", "--sede", "3"], "--seed"),
        (["claims", "check", "A1", "--instance", "3"], "--instances"),
        (["bias", "--temperature", "1"], "--temperatures"),
        (["figures", "--worker", "2"], "--workers"),
        (["certify", "x", "--image", "3"], "--images"),
        (["data", "check", "--datadir", "."], "--data-dir"),
        (["claims", "list", "b7B"], "B7b"),
        (["figures", "gradient_bais"], "gradient_bias"),
        (["data", "check", "mnits"], "mnist"),
    ],
)
def test_a_wrong_name_is_answered_with_the_one_that_was_meant(capsys, arguments, meant):
    assert stochep.run(arguments) == 2
    streams = capsys.readouterr()
    assert f"id you mean {meant}?" in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)


def test_help_opens_without_the_packages_behind_it():
    run = f"import sys, stochep; print({{stochep.run([*path, '--help']) for path in {COMMANDS}}}, file=sys.stderr)"
    done = python("-c", f"{run}; print(*sys.modules, file=sys.stderr)")
    codes, modules = done.stderr.splitlines()
    assert codes == "{0}"
    found = set(modules.split())
    assert not found & {
        *HEAVY,
        "numpy",
        "scipy",
        "numba",
        "msgspec",
        "meanfield",
        "dynamics",
        "proofs_numeric",
        "figures",
    }


@pytest.mark.parametrize(
    ("package", "more"),
    [
        ("meanfield", ("numba", "rich")),
        ("dynamics", ("rich",)),
        ("proofs_numeric", ("rich", "flint")),
        ("figures", ("numpy",)),
        ("benchmarks", ("numpy",)),
    ],
)
def test_a_package_is_imported_without_what_only_some_of_it_needs(package, more):
    done = python("-c", f"import sys, {package}; print(*sys.modules)")
    assert not set(done.stdout.split()) & {*HEAVY, *more}


@pytest.mark.parametrize(
    "variables", [{}, {"TERM": "dumb"}, {"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"COLUMNS": "20"}]
)
def test_help_in_a_pipe_is_plain(variables):
    done = shell("claims", "check", "--help", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert not {"\x1b", "\r"} & set(done.stdout)


def test_the_version_is_that_of_the_package():
    assert shell("--version").stdout == f"{version('stochep')}\n"


def test_colours_come_where_they_are_forced():
    done = shell("--help", FORCE_COLOR="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b[" in done.stdout


def test_a_reader_who_leaves_is_no_error_to_speak_of():
    reading, writing = os.pipe()
    os.close(reading)
    done = shell("claims", "list", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_data_sets_are_one_document(capsys):
    assert stochep.run(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(NAMES)
    assert listed[0] == {
        "name": "digits", "title": "handwritten, in scikit-learn", "classes": 10, "here": True, "images": 1797,
        "pixels": 64, "split": {"train": 1077, "validation": 180, "test": 540},
    }  # fmt: skip
    assert all(("split" in one) == one["here"] == ("remedy" not in one) for one in listed)


def test_a_damaged_data_set_is_a_record_with_its_problem(capsys, monkeypatch):
    monkeypatch.setattr("dynamics.datasets.digits.FINGERPRINT", "0" * 64)
    for command in ("list", "check"):
        assert stochep.run(["data", command, "--json"]) == 1
        streams = capsys.readouterr()
        first = json.loads(streams.out)[0]
        assert first["name"] == "digits"
        assert "reinstall scikit-learn" in first["problem"]
        assert streams.err.startswith(f"[1/{len(NAMES)}] digits")


def test_a_data_set_that_was_asked_for_has_to_be_here(capsys, tmp_path):
    assert stochep.run(["data", "check", "mnist", "digits", "--data-dir", str(tmp_path), "--json"]) == 1
    digits, mnist = json.loads(capsys.readouterr().out)
    assert digits == {"name": "digits", "here": True, "as_expected": True, "problem": None}
    assert (mnist["name"], mnist["here"], mnist["as_expected"]) == ("mnist", False, None)
    assert "train-images-idx3-ubyte" in mnist["problem"]
    assert stochep.run(["data", "list", "digits"]) == 0
    assert capsys.readouterr().out.startswith("digits: 1,797 images")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["certify", "run", "other"], "stochep certify"),
        (["completion", "install", "other"], "stochep completion install"),
    ],
)
def test_what_a_command_has_no_use_for_is_named_with_the_command(capsys, arguments, command):
    assert stochep.run(arguments) == 2
    told = f"stochep: {command} has no use for 'other': {command} --help says what it takes\n"
    assert capsys.readouterr() == ("", told)


PROGRESS = """
import sys
from commands.progress import bar, board, steps
with board() as shown:
    for title in ("one [a]", "two"):
        shown.start(title)
    shown.move("one [a]", 0.6)
    shown.say("said [b]")
    shown.put("put [c]")
    shown.end("two")
with steps(2) as begin:
    begin("first")(0.5)
    begin("second [d]")(1.0)
with bar("three") as report:
    report(0.3)
"""


@pytest.mark.parametrize("variables", [{"TERM": "xterm"}, {"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_progress_is_bars_on_a_terminal_and_lines_on_one_that_cannot_move_its_cursor(variables):
    main, side = pty.openpty()
    environment = {
        key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")
    } | variables
    done = subprocess.Popen([sys.executable, "-c", PROGRESS], cwd=ROOT, env=environment, stdout=side, stderr=side)
    os.close(side)
    seen = b""
    # Linux ends the reading of a terminal that nobody holds with an error
    try:
        while part := os.read(main, 4096):
            seen += part
    except OSError:
        pass
    assert done.wait() == 0
    text = seen.decode()
    for word in ("one [a]", "two", "said [b]", "put [c]", "second [d]", "three"):
        assert word in text
    assert ("\x1b[" in text) == (variables["TERM"] != "dumb")
    # colours are 30 to 37 and 90 to 97, alone or after a 38;…
    assert ("\x1b[3" in text) == (variables == {"TERM": "xterm"})


def test_progress_elsewhere_is_lines():
    done = python("-c", PROGRESS, FORCE_COLOR="1")
    assert done.stdout == "put [c]\n"
    assert done.stderr.splitlines() == [
        "one [a]: computing", "two: computing", "one [a]: 25 % after 0 s", "one [a]: 50 % after 0 s", "said [b]",
        "two: done after 0 s", "[1/2] first", "[2/2] second [d]", "three: computing", "three: 25 % after 0 s",
        "three: done after 0 s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shell_name", "place", "start"),
    [
        ("bash", ".local/share/bash-completion/completions/stochep", ".bashrc"),
        ("zsh", ".zsh/completions/_cyclopts_stochep", ".zshrc"),
        ("fish", ".config/fish/completions/stochep.fish", None),
    ],
)
def test_completion_is_written_where_it_says_once(capsys, tmp_path, monkeypatch, shell_name, place, start):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ZSH", "ZSH_CUSTOM"):
        monkeypatch.delenv(name, raising=False)
    for arguments in (["completion", "install"], ["--install-completion"]):
        assert stochep.run([*arguments, "--shell", shell_name]) == 0
        assert capsys.readouterr().out == f"{tmp_path / place}\n"
    assert "certify" in (tmp_path / place).read_text(encoding="utf-8")
    if start is not None:
        lines = (tmp_path / start).read_text(encoding="utf-8").splitlines()
        assert sum(str((tmp_path / place).parent) in line for line in lines) == 1
        assert sum(line.startswith("autoload") for line in lines) == (shell_name == "zsh")
    assert stochep.run(["completion", "show", "--shell", shell_name]) == 0
    assert capsys.readouterr().out.strip() == (tmp_path / place).read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(
    ("before", "calls"),
    [("autoload -U compinit; compinit\n", 1), ("source $ZSH/oh-my-zsh.sh\n", 0), ("alias l=ls", 1)],
)
def test_a_zshrc_looks_for_completions_once_whatever_it_holds(tmp_path, monkeypatch, before, calls):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".zshrc").write_text(before, encoding="utf-8")
    for _ in range(2):
        assert stochep.run(["completion", "install", "--shell", "zsh"]) == 0
    lines = (tmp_path / ".zshrc").read_text(encoding="utf-8").splitlines()
    assert before.strip() in lines
    assert sum(line.startswith("autoload") for line in lines) == calls


@pytest.mark.parametrize(
    ("shell_name", "asked", "answer"),
    [
        ("fish", "complete -C 'stochep train --se'", "--seed"),
        ("zsh", "print $_comps[stochep]", "_cyclopts_stochep"),
    ],
)
def test_an_installed_shell_finds_its_completion(tmp_path, shell_name, asked, answer):
    if (program := shutil.which(shell_name)) is None:
        pytest.skip(f"{shell_name} is not installed")
    shell("completion", "install", "--shell", shell_name, HOME=str(tmp_path))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {"PATH": path, "HOME": str(tmp_path), "TERM": "dumb"}
    done = subprocess.run([program, "-i", "-c", asked], env=environment, capture_output=True, text=True, timeout=60)
    assert answer in done.stdout.split()


def test_bash_completes_commands_and_options(tmp_path):
    script = shell("completion", "show", "--shell", "bash").stdout
    (tmp_path / "script").write_text(script, encoding="utf-8")
    for words, expected in ((["stochep", "cl"], "claims"), (["stochep", "train", "--se"], "--seed")):
        typed = " ".join(words)
        asked = f"source {tmp_path / 'script'}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _stochep; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout.split()


def test_a_completion_that_cannot_be_written_is_one_sentence(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert stochep.run(["completion", "install", "--shell", "bash"]) == 1
    streams = capsys.readouterr()
    assert (streams.out, streams.err.count("\n")) == ("", 1)
    assert "cannot be written" in streams.err
