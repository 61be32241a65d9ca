"""Instances satisfy the hypothesis they were drawn for, by construction, edge cases included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_numeric.instances import (
    FIELDS,
    NORMS,
    SHAPES,
    Interval,
    model_scalars,
    random_cost,
    random_model,
    scaled_to,
)


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


def test_domains_are_as_wide_as_they_say() -> None:
    domain = model_scalars(7, smallest=2)
    assert list(domain) == ["size", "gain", "log_temperature", "shape", "field", "seed"]
    assert domain["size"] == (2, 7, True)
    assert domain["gain"] == (0.02, 0.98, False)
    assert domain["log_temperature"] == (-math.log(1000), math.log(1000), False)
    assert domain["shape"] == (0, len(SHAPES) - 1, True)
    assert domain["field"] == (0, 4, True)
    assert domain["seed"] == (0, 2147483647, True)
    assert model_scalars(3)["size"] == (1, 3, True)
    assert model_scalars(3, gain=Interval(0.1, 2.0))["gain"] == (0.1, 2.0, False)


def test_draws_are_uniform_to_both_ends() -> None:
    generator = np.random.default_rng(0)
    whole = [Interval(2, 4, integer=True).draw(generator) for _ in range(60)]
    assert set(whole) == {2, 3, 4}
    assert all(isinstance(value, int) for value in whole)
    real = [Interval(2, 4).draw(generator) for _ in range(60)]
    assert 2 <= min(real) < 2.3
    assert 3.7 < max(real) <= 4
    assert len(set(real)) == 60


@pytest.mark.parametrize("field", range(5))
def test_fields_are_normal_in_units_of_the_temperature(field: int) -> None:
    scalars = {"size": 4, "gain": 0.5, "log_temperature": 1.5, "shape": 4, "seed": 3}
    model = random_model("absolute", field=field, **scalars)
    centred = random_model("absolute", field=0, **scalars)
    generator = np.random.default_rng(3)
    SHAPES[4](4, generator)
    strength = (0.0, 0.3, 1.0, 3.0, 30.0)[field]
    np.testing.assert_allclose((model.bias - centred.bias) / model.temperature, strength * generator.normal(size=4))


def test_costs_are_on_every_number_of_outputs_with_targets_of_their_own() -> None:
    costs = [random_cost(4, seed) for seed in range(80)]
    assert {len(cost.outputs) for cost in costs} == {1, 2, 3, 4}
    assert {int(unit) for cost in costs for unit in cost.outputs} == {0, 1, 2, 3}
    assert all((cost.target >= 0).all() and (cost.target <= 1).all() for cost in costs)
    # another stream of the seed than the network's own
    generator = np.random.default_rng([5, 2])
    outputs = generator.permutation(4)[: generator.integers(1, 5)]
    np.testing.assert_array_equal(random_cost(4, 5).outputs, outputs)
    np.testing.assert_array_equal(random_cost(4, 5).target, generator.uniform(size=outputs.size))


def test_a_pattern_without_couplings_is_left_as_it_is() -> None:
    assert not scaled_to(np.zeros((3, 3)), "dobrushin", 0.5).any()
    assert scaled_to(-np.ones((2, 2)) + np.eye(2), "largest", 0.5)[0, 1] == pytest.approx(-0.5)
    assert (scaled_to(-(np.ones((3, 3)) - np.eye(3)), "curvature", 0.5) < 0).all(
        axis=None, where=~np.eye(3, dtype=bool)
    )


def test_shapes_are_what_they_are_named() -> None:
    (
        ferromagnet,
        uniform,
        star,
        layers,
        dense,
        again,
        mixed_layers,
        antiferromagnet,
        negative_star,
        chain,
        islands,
        none,
    ) = (shape(6, np.random.default_rng(1)) for shape in SHAPES)
    off = ~np.eye(6, dtype=bool)
    for matrix in (
        ferromagnet,
        uniform,
        star,
        layers,
        dense,
        again,
        mixed_layers,
        antiferromagnet,
        chain,
        islands,
        none,
    ):
        np.testing.assert_array_equal(matrix, matrix.T)
        assert not np.diagonal(matrix).any()
    assert (ferromagnet[off] > 0).all()
    assert (uniform[off] == 1).all()
    assert ((star[0, 1:] >= 0.5) & (star[0, 1:] <= 1.5)).all()
    assert not star[1:, 1:].any()
    assert (layers[:3, 3:] > 0).all()
    assert not layers[:3, :3].any()
    assert not layers[3:, 3:].any()
    assert (dense[off] < 0).any()
    assert (dense[off] > 0).any()
    assert not mixed_layers[:3, :3].any()
    assert (mixed_layers[:3, 3:] < 0).any()
    assert (antiferromagnet[off] < 0).all()
    np.testing.assert_array_equal(negative_star, -star)
    assert ((np.diagonal(chain, 1) >= 0.5) & (np.diagonal(chain, 1) <= 1.5)).all()
    assert np.count_nonzero(chain) == 10
    assert not islands[:3, 3:].any()
    assert islands[:3, :3][off[:3, :3]].all()
    assert islands[3:, 3:][off[:3, :3]].all()
    assert not none.any()
