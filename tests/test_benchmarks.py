"""The benchmarks run, hold both sides equal, say what is missing, and keep a record; no test looks at a time."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ours, problems, profile, race
from benchmarks.__main__ import main
from benchmarks.contender import MissingPeer
from benchmarks.memory import KINDS
from benchmarks.peers import dwave, laborieux, plain_numpy, scellier, thrml_jax
from benchmarks.race import Setting, Side, Unequal, Worker, environment
from benchmarks.record import Record, opened
from benchmarks.roofline import fused_multiply_adds, step_flops
from benchmarks.rows import ROWS, same_arrays, same_gradients, same_law
from dynamics import exact_law
from dynamics.crnn.architecture import Architecture, Conv, Dense
from figures import speed
from meanfield import Model

RESULTS = Path(__file__).resolve().parents[1] / "results" / "bench.json"
TINY = {"channels": (3, 4), "batch": 2}
KEYS = {"name", "work", "peer", "ratio", "low", "high", "floor", "goal", "threads", "clock", "pool", "blas"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """(exit code, record) of a quick run of a row whose peer is NumPy and of one whose peer is not here."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(laborieux.VARIABLE, raising=False)
        names = ["enumeration-24", "laborieux-average-16-32"]
        code = main(["--quick", "--threads", "1", "--out", str(path), "--rows", *names])
    return code, json.loads(path.read_bytes())


def check_schema(record):
    assert {
        "machine",
        "blas",
        "rows",
        "further",
        "scaling",
        "roofline",
        "memory",
        "profile",
        "left_out",
    } <= record.keys()
    for row in (*record["rows"], *record["further"]):
        assert row.keys() >= KEYS
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["name"] in ROWS
    for row in record["rows"]:
        assert row["floor"] < row["goal"]
        assert (row["threads"], row["clock"]) == (1, ROWS[row["name"]].clock)
    names = [row["name"] for row in record["rows"]]
    assert len(set(names)) == len(names)


def test_a_quick_run_writes_the_row_and_says_which_peer_is_missing(quick):
    code, record = quick
    assert code == 0
    assert record["quick"]
    check_schema(record)
    assert [row["name"] for row in record["rows"]] == ["enumeration-24"]
    assert record["rows"][0]["blas"].startswith("openblas")
    assert laborieux.VARIABLE in record["left_out"]["laborieux-average-16-32"]


def test_the_recorded_run_keeps_the_schema():
    if not RESULTS.is_file():
        pytest.skip("no recorded run in results/bench.json")
    record = json.loads(RESULTS.read_bytes())
    check_schema(record)
    assert not record["quick"]
    listed = {row["name"] for row in record["rows"]}
    assert listed | record["left_out"].keys() >= {name for name, row in ROWS.items() if row.floor is not None}


def test_the_table_has_a_line_for_every_goal():
    assert sum(row.floor is not None for row in ROWS.values()) == 15
    assert all((row.floor is None) == (row.goal is None) for row in ROWS.values())


@pytest.mark.exact
def test_a_contender_computes_what_its_rival_computes():
    same_arrays(ours.enumeration(8).outcome(1), plain_numpy.enumeration(8).outcome(1), limit=1e-12)
    sides = [module.spike_convolution(**TINY, activity=0.1).outcome(1) for module in (ours, plain_numpy)]
    same_arrays(*sides, limit=1e-5)
    with pytest.raises(Unequal, match=r"field by 1\.0e-01"):
        same_arrays({"field": 1.1 * sides[1]["field"]}, sides[1], limit=1e-5)


@pytest.mark.exact
@pytest.mark.parametrize("fused", [False, True])
def test_the_plain_writing_in_torch_fires_the_same_spikes(fused):
    pytest.importorskip("torch")
    from benchmarks.peers import plain_torch

    arguments = {**TINY, "free": 6, "nudged": 4}
    same_gradients(
        ours.stochastic_step(**arguments).outcome(1), plain_torch.stochastic_step(**arguments, fused=fused).outcome(1)
    )


@pytest.mark.exact
def test_gradients_that_differ_are_not_timed():
    found = ours.ep_step(**TINY, pooling="average", free=3, nudged=5).outcome(0)
    same_gradients(found, found)
    for name in ("float64.bias", "float64.weights.0", "float32.weights.2"):
        with pytest.raises(Unequal, match=name.replace(".", r"\.")):
            same_gradients({**found, name: 1.01 * found[name]}, found)


# 24 moments beyond 6.5 standard errors on either side
FALSE_ALARM = 2e-9


@pytest.mark.statistical
def test_laws_are_held_equal_by_their_moments():
    """The chains' law against draws from the exact one: 24 moments, none beyond 6.5 standard errors but for twice in 10⁹."""
    chains, law = ours.heat_bath(12, 64, 10), exact_law(Model(*problems.ising_problem(12, 0)))
    drawn = np.random.default_rng(0).choice(1 << 12, size=4000, p=law.probabilities / law.probabilities.sum())
    exact = {"states": (drawn[:, None] >> np.arange(12) & 1).astype(float)}
    same_law(chains.outcome(0), exact)
    with pytest.raises(Unequal, match="standard errors"):
        same_law(chains.outcome(1), exact)


@pytest.mark.parametrize(("module", "factory"), [(laborieux, "ep_step"), (scellier, "ep_step")])
def test_a_folder_that_is_no_clone_is_refused(module, factory, monkeypatch, tmp_path):
    arguments = {**TINY, "pooling": "average", "free": 1, "nudged": 1}
    monkeypatch.delenv(module.VARIABLE, raising=False)
    with pytest.raises(MissingPeer, match=f"{module.VARIABLE} is not set: clone https://"):
        getattr(module, factory)(**arguments)
    monkeypatch.setenv(module.VARIABLE, str(tmp_path))
    with pytest.raises(MissingPeer, match=f"{tmp_path} has no"):
        getattr(module, factory)(**arguments)


@pytest.mark.parametrize(
    ("peer", "package", "remedy"), [(dwave, "dwave", "dwave-samplers"), (thrml_jax, "jax", "thrml")]
)
def test_a_package_that_is_not_installed_is_named(monkeypatch, peer, package, remedy):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPeer, match=f"pip install {remedy}"):
        peer.heat_bath(4, 2, 3)


def test_a_worker_that_dies_leaves_its_last_words():
    with (
        Worker(Side("benchmarks.ours:enumeration", {"size": 99}), 1) as worker,
        pytest.raises(RuntimeError, match="99 units"),
    ):
        worker.ask("run 1")


def test_a_race_frees_openblas_and_sets_the_threads(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE" not in environment(2)
    assert environment(2)["OMP_NUM_THREADS"] == "2"
    assert environment(1, "Haswell")["OPENBLAS_CORETYPE"] == "Haswell"


def test_a_side_runs_on_the_faster_of_its_blas_kernels(monkeypatch):
    seconds, made = {None: 3.0, "Haswell": 1.0, "Prescott": 2.0}, []

    class Timed:
        def __init__(self, side, threads, *, blas_kernel):
            made.append(blas_kernel)
            self.ask = lambda command: {"cpu": seconds[blas_kernel]}

        __enter__, __exit__ = (lambda self: self), (lambda self, *error: None)

    monkeypatch.setattr(race, "Worker", Timed)
    race.at_its_best(Side("module:function", blas_kernels=(None, "Haswell", "Prescott")), 1)
    assert made == [None, "Haswell", "Prescott", "Haswell"]
    made.clear()
    race.at_its_best(Side("module:function"), 1)
    assert made == [None]


def record_of(cpu="this", quick=False):
    return Record({"cpu": cpu, "commit": "c", "dirty": False}, {}, quick)


def test_rows_take_the_place_of_the_same_rows():
    record = record_of()
    row = {"name": "a", "floor": 1.0, "ratio": 2.0, "threads": 1, "clock": "cpu"}
    further = {**row, "floor": None, "threads": 2}
    record.put("a", [row, further])
    record.put("b", [{**row, "name": "b"}])
    record.put("a", [{**row, "ratio": 3.0}])
    assert [(found["name"], found["ratio"]) for found in record.rows] == [("b", 2.0), ("a", 3.0)]
    assert [(found["threads"], found["ratio"]) for found in record.further] == [(2, 2.0)]
    record.leave_out("a", "why")
    assert [found["name"] for found in (*record.rows, *record.further)] == ["b"]
    assert record.left_out == {"a": "why"}
    record.put("a", [row])
    assert record.left_out == {}


def test_a_record_of_another_machine_is_not_mixed_with(tmp_path):
    path = tmp_path / "bench.json"
    record_of("another").save(path)
    with pytest.raises(ValueError, match="measured on another, whose rows do not compare"):
        opened(path, quick=False, whole=False)
    assert opened(path, quick=False, whole=True).rows == []
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a record of benchmarks"):
        opened(path, quick=False, whole=True)


def test_a_profile_names_every_part_and_its_rest_makes_up_the_whole():
    works = profile.measure(Setting(quick=True))
    assert [work["unit"] for work in works] == ["image", "image", "sweep"]
    for work in works:
        *parts, rest = work["parts"]
        assert rest["part"] == "rest"
        assert len({part["part"] for part in parts}) == len(parts) >= 3
        assert all(part["seconds"] > 0 for part in parts)
        assert sum(part["seconds"] for part in work["parts"]) == pytest.approx(work["seconds"])
        assert sum(part["share"] for part in work["parts"]) == pytest.approx(1.0)


@pytest.mark.exact
def test_the_operations_of_a_step_are_counted_place_by_place():
    channels, free, nudged = (3, 4), 5, 2
    architecture = Architecture((1, 28, 28), (*(Conv(count, 5, pool=2) for count in channels), Dense(10)))
    reach, products = problems.KERNEL + 1, []
    for below, above in zip((architecture.input, *architecture.shapes), architecture.shapes, strict=False):
        window = below[0] * reach**2 if len(above) == 3 else int(np.prod(below))
        products.append(int(np.prod(above)) * window)
    # up and down in every step but for the clamped input, which drives once; two products a gradient but for the input's one
    steps = (free + 2 * nudged) * 2 * (products[1] + products[2])
    assert step_flops(channels, free, nudged) == 2 * (
        steps + products[0] + products[0] + 2 * (products[1] + products[2])
    )


@pytest.mark.exact
def test_the_chains_of_additions_add():
    contender = fused_multiply_adds()
    contender.run()
    # v ← v/2 + 1/2 from 1/2 has reached 1, in eight chains, and ½ itself is added
    np.testing.assert_array_equal(contender.outcome(0)["sum"], np.full(16, 8.5, np.float32))


def sections():
    """A roofline, memory and scaling as a run leaves them."""
    points = [{"name": "conv", "gflops": 50.0, "share": 0.5, "intensity": 90.0}]
    roofline = {
        "fma": 100.0,
        "sgemm": 80.0,
        "sgemm_pinned": 40.0,
        "pinned_kernel": "Haswell",
        "triad": 10.0,
        "points": points,
    }
    curves = [
        {
            "name": name,
            "against": against,
            "unit": "update",
            "clock": "cpu",
            "points": [{"x": x, "seconds": x * 1e-6} for x in (1, 2)],
        }
        for name, against in speed.PANELS
    ]
    memory = [{"kind": kind, "free": free, "bytes": 1000 * free} for kind in KINDS for free in (10, 100)]
    return {"roofline": roofline, "scaling": curves, "memory": memory}


def test_the_figure_shows_every_row_curve_and_kind_of_the_record(quick, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({**quick[1], **sections()}), encoding="utf-8")
    figure = speed.draw(speed.compute(record=path))
    ratios, roofline, memory, *scaling = figure.axes
    assert [label.get_text() for label in ratios.get_yticklabels()] == ["enumeration-24"]
    assert "conv: 50 % of FMA" in roofline.get_legend_handles_labels()[1]
    assert memory.get_legend_handles_labels()[1] == list(KINDS)
    assert [len(axes.lines) for axes in scaling] == [2, 2, 2]
    assert any(text.get_text() == "SMOKE" for text in figure.texts)


def test_the_figure_says_when_there_is_no_record(tmp_path):
    assert "make bench" in speed.draw(speed.compute(record=tmp_path / "bench.json")).texts[0].get_text()
    (tmp_path / "bench.json").write_text('{"rows": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="is not a record of benchmarks"):
        speed.compute(record=tmp_path / "bench.json")


def test_every_kind_of_memory_names_a_factory():
    assert {factory.split(":")[1] for factory, _ in KINDS.values()} == {"ep_step", "bptt_step"}
