"""Momentum and Adam are their papers' recursions, and the schedule ends at zero."""

import numpy as np
import pytest

from dynamics.crnn.config import AdamTable, SgdTable
from dynamics.crnn.optimiser import Moments, annealed, descend, schedule

pytestmark = pytest.mark.exact


def run(optimiser, gradients, rates, start):
    parameters, moments = start, Moments.zero(start)
    path = []
    for number, gradient in enumerate(gradients, start=1):
        parameters, moments = descend(optimiser, parameters, gradient, moments, rates, number)
        path.append(parameters)
    return path


def test_momentum_sums_gradients_that_fade():
    generator = np.random.default_rng(0)
    gradients, rates, start = generator.normal(size=(4, 3)), np.array([0.1, 0.2, 0.3]), generator.normal(size=3)
    path = run(SgdTable(momentum=0.9), gradients, rates, start)
    expected, steps = start, []
    for number in range(4):
        steps.append(-rates * sum(0.9 ** (number - k) * gradients[k] for k in range(number + 1)))
        expected = expected + steps[-1]
        np.testing.assert_allclose(path[number], expected, rtol=1e-13)
    plain = run(SgdTable(), gradients, rates, start)
    np.testing.assert_allclose(plain[-1], start - rates * gradients.sum(axis=0), rtol=1e-13)


def test_adam_divides_the_unbiased_mean_by_the_unbiased_root_mean_square():
    generator = np.random.default_rng(1)
    gradients, rates, start = generator.normal(size=(5, 3)), np.array([0.1, 0.2, 0.3]), generator.normal(size=3)
    table = AdamTable(first=0.8, second=0.95, epsilon=1e-3)
    path, expected = run(table, gradients, rates, start), start
    for number in range(1, 6):
        fading = [(0.8 ** (number - k), 0.95 ** (number - k)) for k in range(1, number + 1)]
        mean = sum(0.2 * a * g for (a, _), g in zip(fading, gradients, strict=False)) / (1 - 0.8**number)
        square = sum(0.05 * b * g**2 for (_, b), g in zip(fading, gradients, strict=False)) / (1 - 0.95**number)
        expected = expected - rates * mean / (np.sqrt(square) + 1e-3)
        np.testing.assert_allclose(path[number - 1], expected, rtol=1e-12)


def test_adams_first_step_is_the_rate_whatever_the_gradients_size():
    for size in (1e-3, 1.0, 1e3):
        (found,) = run(AdamTable(), [size * np.array([1.0, -1.0])], np.full(2, 0.5), np.zeros(2))
        np.testing.assert_allclose(found, [-0.5, 0.5], rtol=1e-4)


@pytest.mark.parametrize("table", [SgdTable(momentum=0.5), AdamTable()])
def test_float32_stays_float32(table):
    start = np.ones(3, np.float32)
    parameters, moments = descend(table, start, start, Moments.zero(start), start, 1)
    assert {array.dtype for array in (parameters, *moments)} == {np.dtype(np.float32)}


def test_annealing_goes_along_a_line_and_then_stays():
    assert annealed(None, 0.25, 0.3, 2) == 0.25
    assert annealed(1.0, (0.5, 0.0), 0.5, 2) == (0.75, 0.5)
    assert annealed((2.0, 1.0), 0.0, 0.25, 2) == (1.5, 0.75)
    assert annealed(2.0, 0.25, 1.0, 2) == 0.25


def test_a_cosine_falls_from_one_to_zero_and_a_constant_stays():
    assert [schedule("cosine", done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0], abs=1e-15)
    assert schedule("cosine", 1 / 3) == pytest.approx(0.75)
    assert {schedule("constant", done) for done in (0.0, 0.3, 1.0)} == {1.0}
