"""The nearest singularity of the nudged fixed point, where it is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import lambertw

from meanfield import Model, QuadraticCost, bounds, equilibrium_gradient, implicit_gradient
from proofs_numeric.singularity import nearest_singularity

pytestmark = pytest.mark.exact


@pytest.mark.parametrize(("bias", "temperature"), [(0.0, 1.0), (1.5, 1.0), (-0.4, 20.0)])
def test_linear_cost_of_a_free_unit_ends_at_the_pole_of_its_activation(bias, temperature):
    cost = QuadraticCost([0], [0.9])
    pole = math.hypot(bias, math.pi * temperature) / 0.4
    distance, uncertainty = nearest_singularity(Model([[0.0]], [bias], temperature), cost, "spikes", 0.9 * pole)
    assert abs(distance - pole) <= uncertainty <= 1e-5 * pole


@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("unit", [1.2, 2.0])
def test_rates_cost_of_an_unbiased_unit_ends_at_its_fold(target, unit):
    # u = −β(σ(u) − t), t = 0: β = −u(1 + e^{−u}) folds where e^u = u − 1
    u = 1 - lambertw(-math.e)
    distance, uncertainty = nearest_singularity(Model([[0.0]], [0.0]), QuadraticCost([0], [target]), "rates", unit)
    assert abs(distance - abs(u * (1 + np.exp(-u)))) <= uncertainty < 1e-8


def test_holomorphic_estimates_converge_inside_the_singularity_and_not_beyond(network):
    model, cost = network(4, 0.5, 0.0, 5), QuadraticCost([0], [0.9])
    distance, _ = nearest_singularity(model, cost, "rates", bounds.local_holomorphy_radius(model, cost))
    exact = implicit_gradient(model, cost).couplings
    inside = [
        np.abs(
            equilibrium_gradient(model, cost, nudging=0.8 * distance, estimator="holomorphic", points=n).couplings
            - exact
        ).max()
        for n in (16, 32)
    ]
    # r^N with r = 0.8, on top of a power of N
    assert 0.8**16 / 10 < inside[1] / inside[0] < 0.8**16 * 10


def test_a_fixed_point_that_no_nudge_moves_has_no_singularity():
    model, cost = Model([[0.0]], [0.0]), QuadraticCost([0], [0.5])
    assert nearest_singularity(model, cost, "spikes", 1.0) == (math.inf, 0.0)
