"""Instances satisfy the hypothesis they were drawn for, by construction, edge cases included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_numeric.instances import FIELDS, NORMS, SHAPES, random_cost, random_model, scaled_to


@pytest.mark.parametrize("norm", NORMS)
@given(
    size=st.integers(1, 8),
    gain=st.floats(0.02, 0.98),
    shape=st.integers(0, len(SHAPES) - 1),
    field=st.integers(0, len(FIELDS) - 1),
    log_temperature=st.floats(math.log(1e-3), math.log(1e3)),
    seed=st.integers(0, 2**31 - 1),
)
def test_the_control_value_is_the_wanted_one(
    norm: str, size: int, gain: float, shape: int, field: int, log_temperature: float, seed: int
) -> None:
    model = random_model(
        norm, size=size, gain=gain, log_temperature=log_temperature, shape=shape, field=field, seed=seed
    )
    reached = NORMS[norm](model.couplings / model.temperature)
    assert reached == pytest.approx(gain, rel=1e-9) or not model.couplings.any()


def test_a_third_of_the_shapes_is_ferromagnetic() -> None:
    generator = np.random.default_rng(0)
    ferromagnetic = [(shape(5, generator) >= 0).all() and shape(5, generator).any() for shape in SHAPES]
    assert sum(ferromagnetic) >= len(SHAPES) / 3


def test_edge_cases_are_among_the_shapes() -> None:
    generator = np.random.default_rng(0)
    drawn = [shape(4, generator) for shape in SHAPES]
    assert any(not matrix.any() for matrix in drawn)
    assert any((matrix <= 0).all() and matrix.any() for matrix in drawn)
    assert any((np.count_nonzero(matrix, axis=1) == [3, 1, 1, 1]).all() for matrix in drawn)
    assert any(not matrix[:2, 2:].any() and matrix[:2, :2].any() for matrix in drawn)
    assert all(shape(1, generator).shape == (1, 1) and not shape(1, generator).any() for shape in SHAPES)


def test_the_first_field_is_the_symmetric_point() -> None:
    model = random_model("absolute", size=5, gain=0.5, log_temperature=1.0, shape=4, field=0, seed=3)
    assert np.allclose(model.bias, -0.5 * model.couplings.sum(axis=1))


def test_a_dobrushin_radius_near_one_is_reached() -> None:
    pair = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert NORMS["dobrushin"](scaled_to(pair, "dobrushin", 0.999)) == pytest.approx(0.999)


def test_random_costs_have_any_number_of_outputs_and_any_target() -> None:
    costs = [random_cost(4, seed) for seed in range(200)]
    assert {cost.outputs.size for cost in costs} == {1, 2, 3, 4}
    assert {int(unit) for cost in costs for unit in cost.outputs} == {0, 1, 2, 3}
    targets = np.concatenate([cost.target for cost in costs])
    assert targets.min() < 0.05
    assert targets.max() > 0.95
    assert random_cost(4, 7).target.tolist() == random_cost(4, 7).target.tolist()
