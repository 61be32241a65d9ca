"""The paper's theorems and the registry's claims are the same list."""

from __future__ import annotations

import re
from pathlib import Path

from proofs_numeric import CLAIMS

SECTIONS = Path(__file__).parent.parent / "paper" / "sections"
TEXT = "\n".join(section.read_text(encoding="utf-8") for section in sorted(SECTIONS.glob("*.typ")))


def test_every_claim_is_a_theorem_and_every_theorem_a_claim() -> None:
    assert set(re.findall(r"^\] <thm:(\w+)>", TEXT, flags=re.MULTILINE)) == set(CLAIMS)


def test_a_theorem_carries_the_code_of_its_label() -> None:
    for code, label in re.findall(r'#theorem\("(\w+)".*?^\] <thm:(\w+)>', TEXT, flags=re.MULTILINE | re.DOTALL):
        assert code == label


def test_every_theorem_is_followed_by_its_proof() -> None:
    assert re.findall(r"<thm:(\w+)>\s*\n\s*#proof\[", TEXT) == re.findall(r"^\] <thm:(\w+)>", TEXT, flags=re.MULTILINE)


def test_the_paper_includes_every_section() -> None:
    main = (SECTIONS.parent / "main.typ").read_text(encoding="utf-8")
    included = re.findall(r'^#include "sections/(\w+\.typ)"$', main, flags=re.MULTILINE)
    assert sorted(included) == sorted(section.name for section in SECTIONS.glob("*.typ"))


def test_labels_are_sorted_as_a_reader_counts() -> None:
    labels = list(CLAIMS)
    assert labels.index("B7") < labels.index("B7b") < labels.index("B8") < labels.index("B10")
