"""What the paper's remarks tell of single networks is what paper.remarks computes: nothing typed, nothing left over."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from paper.remarks import record

PAPER = Path(__file__).parent.parent / "paper"
SECTIONS = sorted((PAPER / "sections").glob("*.typ"))
CITED = re.findall(r"^@\w+\{([\w-]+),", (PAPER / "refs.bib").read_text(encoding="utf-8"), flags=re.MULTILINE)
# what a call of Typst says, lengths, and numbers of preprints
NOT_TYPED = re.compile(r"#[\w.-]+(?:\((?:[^()]|\([^()]*\))*\))+|[\w.]+(?:pt|em|cm|fr)\b|arXiv \d{4}\.\d{5}")


@pytest.fixture(scope="module")
def values() -> dict[str, dict[str, float | list[float]]]:
    return record()


def test_what_is_told_is_computed_and_what_is_computed_is_told(values: dict) -> None:
    told = {name for path in SECTIONS for name in re.findall(r'told\("([^"]+)"', path.read_text(encoding="utf-8"))}
    assert told == {f"{theorem}.{name}" for theorem, found in values.items() for name in found}


def test_every_value_is_a_number(values: dict) -> None:
    assert values
    assert all(
        math.isfinite(one) for found in values.values() for value in found.values() for one in np.atleast_1d(value)
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda path: path.stem)
def test_no_decimal_is_typed(section: Path) -> None:
    """Unless a cited paper says it, in the sentence that cites it."""
    text = NOT_TYPED.sub("", section.read_text(encoding="utf-8"))
    sentences = re.split(r"(?<=[.:;])\s", text)
    own = [sentence for sentence in sentences if not any(f"@{key}" in sentence for key in CITED)]
    assert [sentence for sentence in own if re.search(r"\d\.\d", sentence)] == []
