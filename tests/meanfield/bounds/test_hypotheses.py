"""Every bound refuses to answer outside its hypothesis, and answers just inside."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield import HypothesisError, Model, QuadraticCost, bounds

pytestmark = pytest.mark.exact

SEEDS = st.integers(0, 2**31 - 1)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
COST = QuadraticCost([0], [0.9])


HYPOTHESES = {
    "covariance": ("influence", bounds.covariance, r"ρ\(C\)"),
    "little_covariance": ("influence", bounds.little_covariance, r"ρ\(C\)"),
    "mixing_sweeps, glauber": ("influence", bounds.mixing_sweeps, r"ρ\(C\)"),
    "mixing_sweeps, block": ("influence", lambda m: bounds.mixing_sweeps(m, dynamics="block"), r"ρ\(C\)"),
    "mixing_sweeps, little": ("influence", lambda m: bounds.mixing_sweeps(m, dynamics="little"), r"ρ\(C\)"),
    "gibbs_mean_error": ("absolute", bounds.gibbs_mean_error, "κ_a"),
    "little_mean_error": ("absolute", bounds.little_mean_error, "κ_a"),
    "leaky_tracking": ("spectral", lambda m: bounds.leaky_tracking(m, leak=0.2), "κ ="),
    "leaky_tracking, mixed": (
        "spectral",
        lambda m: bounds.leaky_tracking(m, leak=np.full(m.size, 0.2), steps=3),
        "κ =",
    ),
    "leaky_covariance": ("absolute", lambda m: bounds.leaky_covariance(m, leak=0.2), "κ_a"),
    "leaky_mean_error": ("absolute", lambda m: bounds.leaky_mean_error(m, leak=0.2), "κ_a"),
    "leaky_deviation": ("absolute", lambda m: bounds.leaky_deviation(m, np.ones(m.size), 1.0, leak=0.2), "κ_a"),
    "drift_lag": ("spectral", lambda m: bounds.drift_lag(m, leak=0.2, drift=0.1), "κ ="),
    "best_leak": ("spectral", lambda m: bounds.best_leak(m, drift=0.1), "κ ="),
    "mixing_sweeps, leaky": ("absolute", lambda m: bounds.mixing_sweeps(m, dynamics="leaky", leak=0.2), "κ_a"),
    "holomorphy_radius": ("row", lambda m: bounds.holomorphy_radius(m, COST), "κ_∞"),
    "estimator_bias": (
        "row",
        lambda m: bounds.estimator_bias(m, COST, nudging=1e-12 * m.temperature, estimator="symmetric"),
        "κ_∞",
    ),
}


@pytest.mark.parametrize("name", HYPOTHESES)
@given(size=st.integers(2, 7), excess=st.floats(1e-6, 3), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_outside_its_hypothesis_a_bound_refuses_and_just_inside_it_answers(
    network, name, size, excess, log_temperature, seed
):
    norm, bound, said = HYPOTHESES[name]
    if norm == "influence":
        # ρ(C) < 1 where C = tanh(|J|/4T): two coupled units reach it only in the limit, three when tanh(|J|/4T) = ½
        angle = 4 * math.atanh(0.5) * math.exp(log_temperature)
        ring = np.ones((3, 3)) - np.eye(3)
        outside, inside = (
            Model(angle * factor * ring, np.zeros(3), math.exp(log_temperature)) for factor in (1 + excess, 0.999)
        )
    else:
        outside = network(size, 1 + excess, log_temperature, seed, norm=norm)
        inside = network(size, 1 - 1e-4, log_temperature, seed, norm=norm)
    with pytest.raises(HypothesisError, match=f"this bound needs {said}.* < 1, got "):
        bound(outside)
    assert np.isfinite(bound(inside)).all()
