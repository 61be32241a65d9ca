"""What the documentation shows is what the code prints."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

import stochep
from proofs_numeric import CLAIMS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
# with arguments, between backticks or at the start of a line; one without is a name
SHOWN = re.compile(r"(?:^|`)(?:\.venv/bin/)?stochep (\w+ [^`#\n]+)", re.MULTILINE)
COMMANDS = sorted(
    {line.strip() for page in (ROOT / "README.md", *PAGES) for line in SHOWN.findall(page.read_text(encoding="utf-8"))}
)


def blocks(page: Path) -> list[str]:
    """The page's Python code blocks, in order."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def registry():
    """The registry, put back as it was."""
    kept = dict(CLAIMS)
    yield
    CLAIMS.clear()
    CLAIMS.update(kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_session_of_a_page_prints_what_it_shows(page: Path, registry: None) -> None:
    text = "\n".join(blocks(page))
    assert not text or text.startswith(">>>"), "a page of the documentation shows sessions"
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test).failed == 0


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_that_is_shown_is_one(line: str) -> None:
    arguments = shlex.split(line)
    command, _, _ = stochep.app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert callable(command)
    named = [word for word in arguments if word.startswith(("experiments/", "results/"))]
    assert [word for word in named if not (ROOT / word).exists()] == []


def test_the_readme_example_runs() -> None:
    for block in blocks(ROOT / "README.md"):
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.stem)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []
