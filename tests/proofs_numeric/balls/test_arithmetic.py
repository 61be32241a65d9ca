"""Balls enclose what they stand for: comparisons are certain, linear algebra and the logistic function include the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

from proofs_numeric.balls import arithmetic
from proofs_numeric.balls.arithmetic import (
    Undecided,
    array_of,
    diagonal_matrix,
    exact,
    floats,
    hull,
    inverse,
    larger,
    largest,
    logistic,
    logistic_slope,
    lower,
    middle,
    positive_definite,
    precision,
    radius,
    smaller,
    solve,
    spectral_norm,
    spectrum,
    square_root,
    squared,
    upper,
)

reals = st.floats(-50, 50)


def test_precision_is_set_inside_and_restored_outside() -> None:
    before = ctx.prec
    with precision(200):
        assert ctx.prec == 200
    assert ctx.prec == before


def test_a_float_is_an_exact_number() -> None:
    balls = exact([[0.1, -3.0], [1e300, 5e-324]])
    assert balls.shape == (2, 2)
    assert all(ball.is_exact() for ball in balls.ravel())
    assert floats(balls).tolist() == [[0.1, -3.0], [1e300, 5e-324]]


def test_array_of_keeps_order_and_shape() -> None:
    assert floats(array_of([arb(k) for k in range(6)], (2, 3))).tolist() == [[0, 1, 2], [3, 4, 5]]


@given(low=reals, width=st.floats(0, 3), share=st.floats(0, 1))
def test_the_slope_of_a_ball_holds_the_slope_of_its_points(low: float, width: float, share: float) -> None:
    point = min(max(low + share * width, low), low + width)
    over = logistic_slope(hull(exact([low]), exact([low + width])))[0]
    assert over.contains(logistic_slope(exact([point]))[0])
    # and not much more: its upper end is the largest of the ends and, where 0 is inside, ¼
    top = 0.25 if low <= 0 <= low + width else max(1 / (2 + 2 * math.cosh(x)) for x in (low, low + width))
    assert float(over.upper()) == pytest.approx(top, rel=1e-8)


@given(x=reals)
def test_the_logistic_function_and_its_mirror_add_up_to_one(x: float) -> None:
    p, q = logistic(exact([x, -x]))
    assert (p + q).contains(1)
    assert float(p.mid()) == pytest.approx(1 / (1 + math.exp(-x)), rel=1e-14)
    assert logistic_slope(exact([x]))[0].overlaps(p * q)


def test_ends_and_middles() -> None:
    ball = hull(exact([1.0]), exact([3.0]))
    assert float(lower(ball)[0]) == pytest.approx(1, abs=1e-8)
    assert float(upper(ball)[0]) == pytest.approx(3, abs=1e-8)
    assert lower(ball)[0] <= 1
    assert upper(ball)[0] >= 3
    assert float(middle(ball)[0]) == pytest.approx(2, abs=1e-8)
    assert middle(ball)[0].is_exact()
    assert radius(ball) == pytest.approx(1, abs=1e-8)
    assert radius(ball) >= 1 - 1e-12


def test_smaller_larger_and_largest() -> None:
    first, second = exact([1.0, 5.0]), exact([2.0, -1.0])
    assert floats(smaller(first, second)).tolist() == [1.0, -1.0]
    assert floats(larger(first, second)).tolist() == [2.0, 5.0]
    assert float(largest(exact([[1.0, 7.0], [3.0, 2.0]]))) == 7.0
    assert largest(exact([-2.0, -7.0])) == -2
    assert largest(exact([])) == 0


def test_square_roots_of_balls_that_touch_zero() -> None:
    ball = square_root(hull(exact([-1e-20]), exact([4.0])))[0]
    assert ball.contains(0)
    assert ball.contains(2)
    assert not ball.is_nan()


def test_squares_of_balls_about_zero_are_numbers() -> None:
    about = array_of([arb(0, 1e-70)], (1,))
    assert squared(about)[0].contains(0)
    assert squared(exact([3.0]))[0] == 9


def test_solutions_of_linear_systems_are_enclosed() -> None:
    matrix = exact([[2.0, 1.0], [1.0, 3.0]])
    assert all(ball.contains(x) for ball, x in zip(solve(matrix, exact([5.0, 10.0])), (1, 3), strict=True))
    product = matrix @ inverse(matrix)
    assert all(product[i, j].contains(int(i == j)) for i in range(2) for j in range(2))
    assert solve(matrix, exact(np.eye(2))).shape == (2, 2)


def test_a_matrix_that_may_be_singular_is_undecided() -> None:
    with pytest.raises(Undecided, match="not certainly invertible"):
        solve(exact([[1.0, 1.0], [1.0, 1.0]]), exact([1.0, 2.0]))


def test_eigenvalues_come_ascending_with_their_multiplicity() -> None:
    values = spectrum(exact(np.ones((4, 4)) - np.eye(4)))
    assert all(ball.contains(x) for ball, x in zip(values, (-1, -1, -1, 3), strict=True))
    assert radius(values) < 1e-12
    assert spectrum(exact([[7.0]]))[0] == 7
    assert spectral_norm(exact([[0.0, -5.0], [-5.0, 0.0]])).contains(5)
    assert spectral_norm(exact([[-5.0, 0.0], [0.0, 2.0]])).contains(5)


def test_positive_definite_is_certain_or_silent() -> None:
    assert positive_definite(exact([[2.0, 1.0], [1.0, 2.0]]))
    assert not positive_definite(exact([[1.0, 2.0], [2.0, 1.0]]))
    assert not positive_definite(exact([[1.0, 1.0], [1.0, 1.0]]))
    assert not positive_definite(exact([[0.0]]))
    assert positive_definite(exact([[4.0, 2.0, 0.0], [2.0, 3.0, 1.0], [0.0, 1.0, 0.51]]))
    assert not positive_definite(exact([[4.0, 2.0, 0.0], [2.0, 3.0, 1.0], [0.0, 1.0, 0.49]]))


def test_diagonal_matrix() -> None:
    assert floats(diagonal_matrix(exact([2.0, 3.0]))).tolist() == [[2.0, 0.0], [0.0, 3.0]]


@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("seed", range(4))
def test_eigenvalues_of_inexact_and_clustered_matrices_are_enclosed(bits: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    column = generator.normal(size=4)
    with precision(bits):
        third = exact(column) / 3
        values = spectrum(third[:, None] * third)
        length = squared(third).sum()
        assert values[-1].overlaps(length)
        assert all(ball.contains(0) for ball in values[:-1])
        assert radius(values) < 2.0 ** (20 - bits)
        dense = generator.normal(size=(5, 5))
        dense = dense + dense.T
        np.testing.assert_allclose(floats(spectrum(exact(dense))), np.linalg.eigvalsh(dense), atol=1e-13)
        assert radius(spectrum(exact(dense))) < 2.0 ** (20 - bits)


@pytest.mark.parametrize(
    ("first", "off", "second"), [(1.0, 0.5, 2.0), (2.0, 0.5, 1.0), (1.0, -3.0, 1.0), (-1.0, 2.0, 5.0)]
)
def test_a_rotation_is_one_and_makes_its_matrix_diagonal(first, off, second):
    with precision(128):
        turn = arithmetic._rotation(arb(first), arb(off), arb(second))
        matrix = array_of([arb(first), arb(off), arb(off), arb(second)], (2, 2))
        rotated, unit = floats(turn.T @ matrix @ turn), floats(turn.T @ turn)
    np.testing.assert_allclose([rotated[0, 1], rotated[1, 0]], 0.0, atol=1e-15)
    np.testing.assert_allclose(unit, np.eye(2), atol=1e-15)
