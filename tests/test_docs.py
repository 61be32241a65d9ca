"""What the documentation shows is what the code prints."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from proofs_numeric import CLAIMS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


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


def test_the_readme_example_runs() -> None:
    for block in blocks(ROOT / "README.md"):
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.stem)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []
