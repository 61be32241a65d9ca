"""Centre-radius arithmetic: members stay inside, and the radii are the smallest of its rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield.bounds import Enclosure

pytestmark = pytest.mark.exact
ONE = Enclosure(np.array([1.0, -2.0]), np.array([0.5, 0.25]))
TWO = Enclosure(np.array([-3.0, 0.5]), np.array([0.1, 2.0]))


def same(enclosure, centre, radius):
    np.testing.assert_allclose(enclosure.centre, centre, rtol=1e-15)
    np.testing.assert_allclose(enclosure.radius, radius, rtol=1e-15)


def test_sums_add_centres_and_radii():
    same(ONE + TWO, [-2.0, -1.5], [0.6, 2.25])
    same(ONE + np.array([2.0, 2.0]), [3.0, 0.0], [0.5, 0.25])
    same(1.0 + ONE, [2.0, -1.0], [0.5, 0.25])
    same(ONE - np.array([1.0, 4.0]), [0.0, -6.0], [0.5, 0.25])


def test_a_product_errs_by_each_factors_error_and_by_both():
    same(ONE * TWO, [-3.0, -1.0], [1.0 * 0.1 + 0.5 * 3.0 + 0.5 * 0.1, 2.0 * 2.0 + 0.25 * 0.5 + 0.25 * 2.0])
    same(np.array([-2.0, 3.0]) * ONE, [-2.0, -6.0], [1.0, 0.75])


def test_a_sum_over_exact_arrays_takes_their_absolute_values():
    matrix = np.array([[1.0, -1.0], [0.0, 2.0]])
    same(ONE.summed("ij,j->i", matrix), [3.0, -4.0], [0.75, 0.5])
    same(ONE.summed("ij,ki,j->k", matrix, matrix), matrix @ [3.0, -4.0], [1.25, 1.0])


def test_transpose_entries_magnitude_and_choice():
    square = Enclosure(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.1, 0.2], [0.3, 0.4]]))
    same(square.T, [[1.0, 3.0], [2.0, 4.0]], [[0.1, 0.3], [0.2, 0.4]])
    same(square[0], [1.0, 2.0], [0.1, 0.2])
    np.testing.assert_allclose(ONE.magnitude, [1.5, 2.25])
    same(Enclosure.within(np.array([2.0])), [0.0], [2.0])
    same(ONE.narrower(TWO), [-3.0, -2.0], [0.1, 0.25])
    same(TWO.narrower(ONE, ONE), [-3.0, -2.0], [0.1, 0.25])
    same(Enclosure.where(np.array([True, False]), ONE, TWO), [1.0, 0.5], [0.5, 2.0])
    tie = Enclosure(np.array([7.0, 7.0]), ONE.radius)
    same(ONE.narrower(tie), ONE.centre, ONE.radius)


@given(seed=st.integers(0, 2**31 - 1))
def test_results_contain_the_results_of_members(seed):
    rng = np.random.default_rng(seed)
    boxes = [Enclosure(rng.normal(size=3), rng.uniform(size=3)) for _ in range(2)]
    one, two = (box.centre + rng.uniform(-1, 1, size=3) * box.radius for box in boxes)
    matrix = rng.normal(size=(3, 3))
    for enclosure, member in [
        (boxes[0] + boxes[1], one + two),
        (boxes[0] * boxes[1], one * two),
        (boxes[0].summed("ij,j->i", matrix), matrix @ one),
    ]:
        assert (np.abs(member - enclosure.centre) <= enclosure.radius + 1e-12).all()
