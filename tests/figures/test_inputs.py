"""A figure is drawn again when something that it is made of has changed, and only then."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from figures import NAMES, inputs, page
from stochep import figures

ROOT = Path(__file__).resolve().parents[2]
RECORDED = [name for name in NAMES if any(path.is_relative_to(ROOT / "results") for path in inputs.read(name))]
opened: set[Path] = set()


def _note(event: str, details: tuple) -> None:
    if event == "open" and isinstance(details[0], str | Path):
        opened.add(Path(details[0]))


sys.addaudithook(_note)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of what the certificates' figure is made of, two small results included, that a test may change."""
    for path in (*inputs.sources("figures.certificates"), inputs.STYLE, *inputs.read("certificates")[:2]):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(inputs, "ROOT", tmp_path)
    monkeypatch.setattr(inputs, "STYLE", tmp_path / "figures" / inputs.STYLE.name)
    inputs._imported.cache_clear()
    yield tmp_path
    inputs._imported.cache_clear()


def test_runs_and_studies_are_read():
    assert {"fashion_learning", "net_size", "certificates", "speed"} <= set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_a_script_names_every_file_of_results_that_it_opens(name):
    opened.clear()
    importlib.import_module(f"figures.{name}").compute()
    seen = {path for path in opened if any(path.is_relative_to(ROOT / kind) for kind in ("results", "experiments"))}
    assert seen
    assert seen <= set(inputs.read(name))


def test_sources_are_followed_through_every_import():
    found = {path.relative_to(ROOT).as_posix() for path in inputs.sources("figures.gradient_bias")}
    assert {"figures/page.py", "figures/bias_study.py", "dynamics/enumeration.py", "meanfield/equations.py"} <= found
    assert "figures/speed.py" not in found


@pytest.mark.parametrize(
    "change",
    ["figures/certificates.py", "figures/page.py", "dynamics/provenance.py", "figures/style.mplstyle", "results"],
)
def test_a_change_of_what_it_is_made_of_changes_the_digest(checkout, change):
    before = inputs.digest("certificates")
    path = checkout / change if change != "results" else next(checkout.glob("results/*/*/certificate.json"))
    path.write_bytes(path.read_bytes() + b"\n")
    inputs._imported.cache_clear()
    assert inputs.digest("certificates") != before


def test_a_result_more_changes_the_digest_and_a_stranger_does_not(checkout):
    before = inputs.digest("certificates")
    (checkout / "figures" / "stranger.py").write_text("print()\n", encoding="utf-8")
    assert inputs.digest("certificates") == before
    (checkout / "results" / "one" / "0").mkdir(parents=True)
    (checkout / "results" / "one" / "0" / "certificate.json").write_text("{}", encoding="utf-8")
    assert inputs.digest("certificates") != before


def test_an_unchanged_figure_is_left_as_it_is(tmp_path, capsys):
    written = page.paths("certificates", tmp_path)
    assert figures("certificates", out=tmp_path) == 0
    stamps = [path.stat().st_mtime_ns for path in written]
    assert capsys.readouterr().out.split() == [str(path) for path in written]
    assert figures("certificates", out=tmp_path) == 0
    assert [path.stat().st_mtime_ns for path in written] == stamps
    assert capsys.readouterr() == ("".join(f"{path}\n" for path in written), "certificates: unchanged\n")
    assert figures("certificates", out=tmp_path, anew=True) == 0
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in zip(written, stamps, strict=True))


def test_a_figure_of_which_a_file_is_missing_is_drawn(tmp_path):
    assert figures("certificates", out=tmp_path) == 0
    made_of = inputs.digest("certificates")
    assert inputs.is_current("certificates", made_of, tmp_path)
    page.paths("certificates", tmp_path)[0].unlink()
    assert not inputs.is_current("certificates", made_of, tmp_path)
