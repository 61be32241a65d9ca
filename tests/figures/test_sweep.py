"""A sweep's parts: what its cells are called, what its clock foretells, what its files and its figure hold."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from dynamics.provenance import processors
from figures import bias_study
from figures.sweep import cells as store
from figures.sweep import clock as clocks
from figures.sweep import conduct, grid, outcome, workers
from figures.sweep.clock import Clock
from figures.sweep.worker import Outcome

pytestmark = pytest.mark.exact

FILE = Path(__file__).resolve().parents[2] / "experiments" / "bias_sweep.toml"
SWEEP = grid.load(FILE)
ROW = {
    "temperature": 0.5, "nudging": 0.1, "estimator": "one-sided", "value": 0.25, "low": 0.2, "high": 0.3, "floor": 0.1, "note": "",
    "gain": 0.5, "absolute_gain": 0.75, "fixed_points": 1, "reference_error": 0.0,
}  # fmt: skip


def test_cells_are_every_combination_once_and_names_tell_them_apart():
    every = grid.cells(SWEEP)
    axes = [getattr(SWEEP.grid, name) for name in SWEEP.grid.__struct_fields__]
    count = len(SWEEP.seeds)
    for axis in axes:
        count *= len(axis)
    assert len({cell.name for cell in every}) == len(set(every)) == len(every) == count
    # the last axis fastest
    assert [cell.estimator for cell in every[:6]] == list(SWEEP.grid.estimators)


def test_a_name_hangs_on_the_cell_and_on_the_meaning_of_random_numbers(monkeypatch):
    cell = grid.cells(SWEEP)[0]
    changes = {
        "size": 9,
        "seed": 7,
        "temperature": 0.51,
        "nudging": -0.1,
        "samples": 9,
        "estimator": "onsager",
        "reference": "sampled",
    }
    changed = {msgspec.structs.replace(cell, **{key: value}).name for key, value in changes.items()}
    assert len(changed | {cell.name}) == 8
    before = cell.name
    monkeypatch.setattr(grid, "STREAM_VERSION", grid.STREAM_VERSION + 1)
    assert cell.name != before


def test_what_is_kept_is_what_is_found_and_infinity_is_nothing(tmp_path):
    first, second = grid.cells(SWEEP)[:2]
    kept = store.keep(tmp_path, first, ROW | {"high": float("inf")})
    assert kept.high is None
    assert store.find(tmp_path, [first, second]) == {first: kept}
    document = json.loads((tmp_path / f"{first.name}.json").read_text(encoding="utf-8"))
    assert document["row"] == ROW | {"high": None}
    assert document["cell"] == msgspec.structs.asdict(first)


def test_the_clock_foretells_each_estimator_by_its_own_mean_shared_among_workers(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clocks.time, "monotonic", lambda: now[0])
    every = [cell for cell in grid.cells(SWEEP) if cell.estimator in ("onsager", "leaky")][:12]
    slow, fast = ([cell for cell in every if cell.estimator == name] for name in ("leaky", "onsager"))
    clock = Clock(every, found=5)
    assert (clock.done, clock.total, clock.seconds_left) == (5, 17, None)
    clock.workers = 2
    clock.settle(slow[0], Outcome({}, 60.0, first=True))
    # nothing better is known than a cell that may have compiled
    assert clock.seconds_left == pytest.approx(11 * 60.0 / 2)
    clock.settle(slow[1], Outcome({}, 4.0, first=False))
    clock.settle(fast[0], Outcome({}, 0.5, first=False))
    assert clock.seconds_left == pytest.approx((4 * 4.0 + 5 * 0.5) / 2)
    now[0] += 2.0
    assert clock.seconds_left == pytest.approx((4 * 4.0 + 5 * 0.5) / 2 - 2.0)
    clock.drop(slow[2])
    assert clock.seconds_left == pytest.approx((3 * 4.0 + 5 * 0.5) / 2)
    assert clock.done == 8
    clock.workers = 0
    assert clock.seconds_left is None


def rows(sweep):
    """A row a cell whose error falls with the temperature."""
    found = {}
    for cell in grid.cells(sweep):
        own = {key: getattr(cell, key) for key in ("temperature", "nudging", "estimator")}
        error = 0.1 * (1 + cell.seed) / cell.temperature
        found[cell] = msgspec.convert(ROW | own | {"value": error, "low": error, "high": error}, store.Row)
    return found


def test_a_page_has_a_row_of_panels_for_each_couplings_and_at_most_four_columns():
    for nudgings, columns in ((1, 1), (2, 2), (9, 4)):
        overrides = ["grid.sizes=[8]", f"grid.nudgings={[1.0 + n for n in range(nudgings)]}", "grid.temperatures=[1,2]"]
        data = outcome.document(sweep := grid.load(FILE, overrides), rows(sweep))
        figure = outcome.draw(data)
        assert len(figure.axes) == 3 * columns
        (line,) = [line for line in figure.axes[0].lines if line.get_label() == "mean field, symmetric"]
        # the median over seeds 0, 1, 2
        assert list(line.get_xdata()) == [1.0, 2.0]
        assert list(line.get_ydata()) == pytest.approx([0.2, 0.1])
        assert ("more columns of panels are in bias_sweep.csv" in figure._suptitle.get_text()) == (nudgings > 4)


@pytest.mark.parametrize("value", [None, 0.3])
def test_a_cell_without_a_number_leaves_a_gap_and_an_open_interval_is_drawn(value):
    sweep = grid.load(
        FILE, ["grid.couplings=['sk']", "grid.sizes=[8]", "grid.nudgings=[0.5]", "seeds=[0]", "grid.temperatures=[1]"]
    )
    every = {cell: msgspec.structs.replace(row, value=value, low=value, high=None) for cell, row in rows(sweep).items()}
    data = outcome.document(sweep, every)
    assert len(outcome.draw(data).axes) == 1
    assert len(outcome.csv(data).splitlines()) == 7
    lines = outcome.table(data)
    assert lines.row_count == 6
    assert "note" not in [column.header for column in lines.columns]
    one = {cell: msgspec.structs.replace(row, fixed_points=3, note="lost") for cell, row in list(every.items())[:1]}
    cells = outcome.table(outcome.document(sweep, every | one)).columns
    assert (cells[-1].header, list(cells[-1].cells)[:2]) == ("note", ["3 fixed points; lost", ""])


def test_a_row_is_told_in_few_digits_and_what_was_infinite_is_none_in_a_file():
    for row, told in (
        ({"value": 0.12345, "low": 0.12345, "high": 0.12345}, ("0.123", "")),
        ({"value": 0.12345, "low": 0.1, "high": 0.2345}, ("0.123", "0.1 … 0.23")),
        ({"value": 0.12345, "low": 0.1, "high": None}, ("0.123", "0.1 … ∞")),
        ({"value": 0.12345, "low": 0.1, "high": float("inf")}, ("0.123", "0.1 … ∞")),
        ({"value": None, "low": None, "high": None}, ("–", "")),
    ):
        assert bias_study.told(row) == told


def test_workers_are_those_of_a_cluster_or_so_many_here():
    with conduct.opened(None, 3) as pool:
        assert isinstance(pool, workers.Local)
        assert (pool.window, pool.count()) == (3, 3)
    with conduct.opened(None, None) as pool:
        assert pool.count() == processors() >= 1
