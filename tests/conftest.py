"""Hypothesis profiles, the --thorough option, and the random networks and numerical derivatives that tests share."""

from __future__ import annotations

import math
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
from hypothesis import settings

from meanfield import Gradient, Model
from proofs_numeric.claim import label_order, table

# a job in the background ignores Ctrl-C, and so would every process that a test starts and interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("ci", deadline=None, derandomize=True, database=None, max_examples=25)
settings.register_profile("dev", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

SIGNS = (lambda w: w, np.abs, lambda w: -np.abs(w))
MEASURES = {
    "spectral": lambda model: model.gain,
    "absolute": lambda model: model.absolute_gain,
    "row": lambda model: model.row_gain,
    "curvature": lambda model: model.spectrum[-1] / 4,
    "influence": lambda model: np.linalg.eigvalsh(np.abs(model.couplings))[-1] / 4,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="also run the tests marked thorough")
    parser.addoption("--instances", type=int, help="check each claim on so many instances, without the search")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--thorough"):
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(pytest.mark.skip(reason="runs with --thorough"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of the claims that this run has checked, whichever workers did."""
    reports = [report for group in ("passed", "failed") for report in terminalreporter.stats.get(group, [])]
    records = [value for report in reports for name, value in report.user_properties if name == "claim"]
    if records:
        terminalreporter.section("claims")
        terminalreporter.write_line(table(sorted(records, key=lambda record: label_order(record["label"]))))


@contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """Within it, the most bytes that Python has held at once so far; a test that fails traces no other's memory."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def random_network(
    size: int, gain: float, log_temperature: float, seed: int, norm: str = "absolute", layered: bool = False
) -> Model:
    """A network whose `norm` of J/4T is `gain` (0 for N = 1): of mixed, positive or negative couplings, about m = ½."""
    generator = np.random.default_rng(seed)
    weights = np.triu(SIGNS[seed % 3](generator.normal(size=(size, size))), 1)
    if layered:
        weights[: (size + 1) // 2, : (size + 1) // 2] = weights[(size + 1) // 2 :] = 0.0
    couplings = weights + weights.T
    largest = MEASURES[norm](Model(couplings, np.zeros(size)))
    couplings = couplings * (gain / largest if largest else 0.0)
    temperature = math.exp(log_temperature)
    return Model(
        couplings * temperature, (generator.normal(size=size) - 0.5 * couplings.sum(axis=1)) * temperature, temperature
    )


def numerical_gradient(model: Model, loss: Callable[[Model], float], step: float = 1e-5) -> Gradient:
    """Central differences of a loss, J_ij and J_ji moved together; step in units of the temperature."""
    size, move = model.size, step * model.temperature

    def slope(couplings: np.ndarray, bias: np.ndarray) -> float:
        up = Model(model.couplings + couplings, model.bias + bias, model.temperature)
        down = Model(model.couplings - couplings, model.bias - bias, model.temperature)
        return (loss(up) - loss(down)) / (2 * move)

    couplings = np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            change = np.zeros((size, size))
            change[i, j] = change[j, i] = move
            couplings[i, j] = couplings[j, i] = slope(change, np.zeros(size))
    return Gradient(couplings, np.array([slope(np.zeros((size, size)), row) for row in move * np.eye(size)]))


@pytest.fixture(scope="session")
def network() -> Callable[..., Model]:
    return random_network


@pytest.fixture(scope="session")
def differentiate() -> Callable[..., Gradient]:
    return numerical_gradient


@pytest.fixture(scope="session")
def tracing() -> Callable[[], AbstractContextManager[Callable[[], int]]]:
    return traced_memory
