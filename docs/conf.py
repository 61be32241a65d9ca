"""The site: pages of Markdown, the claims as the registry has them, the figures with their captions, the API from docstrings."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

import figures  # noqa: E402
from proofs_numeric import CLAIMS, Claim  # noqa: E402

project, author = "StochEP", "The StochEP authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "StochEP"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "FloatArray", "NDArray", "Array")}
GENERATED = HERE / "generated"


CLAIMS_HEAD = """# Claims

Every claim is a theorem of the paper (`make paper`), a check (`stochep claims check LABEL`) and falsifiers, slightly wrong versions
that the check must refute. Means: how an instance is judged, *exact* by enumeration, *numeric* by a fit or a limit,
*statistical* with a stated rate of false alarms, *rigorous* in ball arithmetic. {told}

| label | title | kind | means | verdict | tightest | median | falsifiers |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
CHECKED = """Verdicts and tightness, measured over bound, are those of `stochep figures claim_tightness`: at most {instances}
instances a claim and the tightest that a search found, seed {seed}.

![claim_tightness](claim_tightness.png)"""
UNCHECKED = "The last four columns are filled once `stochep figures claim_tightness` has checked the claims."


def _claims_page() -> str:
    """A table of all claims with the verdicts of the last check, then each with hypotheses, statement and falsifiers."""
    path = ROOT / "figures" / "out" / "claim_tightness.json"
    data = json.loads(path.read_text(encoding="utf-8"))["data"] if path.is_file() else {"claims": []}
    checked = {record["label"]: record for record in data["claims"]}
    rows = [
        f"| [{label}](#{_anchor(claim)}) | {claim.title} | {claim.kind} | {claim.means} | {_found(checked.get(label))} |"
        for label, claim in CLAIMS.items()
    ]
    head = CLAIMS_HEAD.format(told=CHECKED.format(**data) if checked else UNCHECKED)
    return head + "\n".join(rows) + "\n\n" + "\n\n".join(map(_told, CLAIMS.values())) + "\n"


def _found(record: dict[str, Any] | None) -> str:
    """Verdict, tightness where a bound has one, falsifiers refuted."""
    if record is None:
        return "– | – | – | –"
    tightness = record["tightness"]
    tight = [f"{tightness[name]:.3g}" for name in ("max", "median")] if tightness else ["–", "–"]
    count = len(record["falsifiers"])
    refuted = f"{count} refuted" if record["falsifier_refuted"] else f"not all of {count} refuted"
    return " | ".join([record["verdict"], *tight, refuted])


def _told(claim: Claim) -> str:
    parts = (
        f"({_anchor(claim)})=\n## {claim.label}: {claim.title}",
        f"*Holds for* {_plain(claim.hypotheses)}.",
        _plain(claim.statement),
        "Its check refutes: " + "; ".join(_plain(one.mutation) for one in claim.falsifiers) + ".",
    )
    return "\n\n".join(parts)


def _anchor(claim: Claim) -> str:
    return f"claim-{claim.label.lower()}"


def _plain(text: str) -> str:
    """Text whose signs mean themselves in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)


def _figures_page() -> str:
    """Each figure's caption, and its picture where `make figures` has drawn it."""
    parts = ["# Figures\n\nDrawn by `make figures`, or one by one with `stochep figures NAME`."]
    for name in figures.NAMES:
        document = importlib.import_module(f"figures.{name}").__doc__ or ""
        finding, _, caption = document.partition("\n\n")
        picture = ROOT / "figures" / "out" / f"{name}.png"
        shown = "*Not drawn yet.*"
        if picture.is_file():
            shutil.copyfile(picture, GENERATED / picture.name)
            shown = f"![{name}]({picture.name})"
        parts.append(f"## {name}\n\n{_plain(finding.strip())}\n\n{shown}\n\n{_plain(caption.strip())}")
    return "\n\n".join(parts) + "\n"


def _generate(app: Sphinx) -> None:
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "claims.md").write_text(_claims_page(), encoding="utf-8")
    (GENERATED / "figures.md").write_text(_figures_page(), encoding="utf-8")


def _from_plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with code between backticks: signs that reStructuredText would read are escaped."""
    lines[:] = [_escaped(line) for line in lines]


def _escaped(line: str) -> str:
    pieces = line.split("`")
    if len(pieces) % 2 == 0:
        return re.sub(r"([\\`*_|])", r"\\\1", line)
    words = [re.sub(r"([\\*_|])", r"\\\1", piece) for piece in pieces]
    return "".join(f"``{pieces[n]}``" if n % 2 else word for n, word in enumerate(words))


def setup(app: Sphinx) -> None:
    """Generated pages before the sources are read."""
    app.connect("builder-inited", _generate)
    app.connect("autodoc-process-docstring", _from_plain_text)
