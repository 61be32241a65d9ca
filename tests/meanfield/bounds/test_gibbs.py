"""The bounds on Gibbs' and Little's laws are the formulas they state, and hold over all states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from dynamics import exact_law, transition_matrix
from dynamics.enumeration import all_states
from meanfield import HypothesisError, Model, bounds, fixed_point

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 7), st.integers(0, 2**31 - 1)
GAINS = st.floats(0, 0.9)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
M2 = 1 / (6 * math.sqrt(3))


def series(matrix: np.ndarray, terms: int = 500) -> np.ndarray:
    """(I − A)⁻¹ as its Neumann series, by Horner's rule."""
    total = np.eye(len(matrix))
    for _ in range(terms):
        total = np.eye(len(matrix)) + matrix @ total
    return total


def local_slopes(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """(max σ', max |σ''|) over the fields that each unit can have, (N,) each, on a grid."""
    states = all_states(model.size)
    fields = model.local_field(states) / model.temperature
    p = expit(np.linspace(fields.min(axis=0), fields.max(axis=0), 4001))
    return (p * (1 - p)).max(axis=0), np.abs(p * (1 - p) * (1 - 2 * p)).max(axis=0)


def sharp_covariance(model: Model, influence: np.ndarray) -> np.ndarray:
    d, (slope, _) = series(influence), local_slopes(model)
    return np.array(
        [
            [min(slope[i], slope[j]) * d[i, j] / max(d[i, i], d[j, j]) for j in range(model.size)]
            for i in range(model.size)
        ]
    )


def sharp_mean_error(model: Model, spread: np.ndarray) -> np.ndarray:
    """(I − L)⁻¹ [w ∘ diag(|J| spread |J|)] of thm:B6, everything over T."""
    a, bias = np.abs(model.couplings) / model.temperature, np.abs(model.bias) / model.temperature
    slope, curvature = local_slopes(model)
    weight = np.minimum(curvature / 2, (bias + 4 / 3 * a.sum(axis=1)) / 16)
    return series(slope[:, None] * a) @ (weight * np.diagonal(a @ spread @ a))


@pytest.mark.parametrize("dynamics", ["gibbs", "little"])
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_covariance_is_its_formula_and_holds(network, dynamics, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    influence = model.influence if dynamics == "gibbs" else model.influence @ model.influence
    bound = bounds.covariance(model) if dynamics == "gibbs" else bounds.little_covariance(model)
    np.testing.assert_allclose(bound, sharp_covariance(model, influence), rtol=1e-5)
    assert (bound <= series(influence) / 4 * (1 + 1e-9)).all()
    assert (np.abs(exact_law(model, dynamics=dynamics).covariance) <= bound + 1e-12).all()


@pytest.mark.parametrize("dynamics", ["gibbs", "little"])
@given(size=SIZES, gain=GAINS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_mean_error_is_its_formula_and_holds(network, dynamics, size, gain, log_temperature, seed):
    model = network(size, gain, log_temperature, seed)
    influence = model.influence if dynamics == "gibbs" else model.influence @ model.influence
    bound = getattr(bounds, f"{dynamics}_mean_error")(model)
    np.testing.assert_allclose(
        bound, sharp_mean_error(model, sharp_covariance(model, influence)), rtol=1e-4, atol=1e-15
    )
    a = np.abs(model.couplings) / model.temperature
    coarse = series(a / 4) @ (M2 / 2 * np.diagonal(a @ series(influence) @ a) / 4)
    assert (bound <= coarse * (1 + 1e-9) + 1e-15).all()
    assert (np.abs(exact_law(model, dynamics=dynamics).mean - fixed_point(model).value) <= bound + 1e-10).all()


@given(size=SIZES, gain=GAINS, accuracy=st.floats(1e-6, 0.1), seed=SEEDS)
def test_mixing_sweeps_are_the_least_that_meet_their_inequality(network, size, gain, accuracy, seed):
    model = network(size, gain, 0.0, seed)
    norm = np.linalg.norm(model.influence, 2)
    updates = math.ceil(size * math.log(size / accuracy) / (1 - norm))
    assert bounds.mixing_sweeps(model, accuracy=accuracy) == math.ceil(updates / size)
    for name, rate in (("little", norm), ("block", norm), ("leaky", 1 - 0.3 * (1 - model.absolute_gain))):
        sweeps = bounds.mixing_sweeps(model, dynamics=name, leak=0.3, accuracy=accuracy)
        assert size * rate**sweeps <= accuracy * (1 + 1e-9)
        assert sweeps == 1 or size * rate ** (sweeps - 1) >= accuracy * (1 - 1e-9)


@pytest.mark.parametrize("dynamics", ["glauber", "little"])
@given(size=st.integers(1, 5), gain=GAINS, seed=SEEDS)
def test_mixing_sweeps_suffice_from_every_start(network, dynamics, size, gain, seed):
    model = network(size, gain, 0.0, seed)
    sweeps = bounds.mixing_sweeps(model, dynamics=dynamics, accuracy=0.01)
    power = sweeps * (size if dynamics == "glauber" else 1)
    law = np.linalg.matrix_power(transition_matrix(model, dynamics=dynamics), power)
    exact = exact_law(model, dynamics="gibbs" if dynamics == "glauber" else "little").probabilities
    assert 0.5 * np.abs(law - exact).sum(axis=1).max() <= 0.01


@given(size=st.integers(2, 8), gain=GAINS, seed=SEEDS)
def test_leaky_mixing_with_mixed_leaks_bounds_the_coupling_matrix(network, size, gain, seed):
    model, leaks = network(size, gain, 0.0, seed), np.random.default_rng(seed).uniform(0.05, 1.0, size=size)
    nudging = 0.5 * 4 * model.temperature * (1 - model.absolute_gain)
    sweeps = bounds.mixing_sweeps(model, dynamics="leaky", leak=leaks, accuracy=0.01, nudging=nudging)
    # the coupling of shared uniforms contracts by G, with the nudged outputs (here all units) gaining |β|/4T
    slopes = np.abs(model.couplings) / (4 * model.temperature) + nudging / (4 * model.temperature) * np.eye(size)
    coupling = np.diag(1 - leaks) + leaks[:, None] * slopes
    assert (np.linalg.matrix_power(coupling, sweeps) @ np.ones(size)).sum() <= 0.01


def test_leaky_mixing_refuses_a_nudge_that_breaks_the_contraction():
    with pytest.raises(HypothesisError, match=r"\+ \|nudging\|/\(4T\) < 1, got 1.01"):
        bounds.mixing_sweeps(Model([[0, 2.0], [2.0, 0]], [0, 0]), dynamics="leaky", leak=0.2, nudging=2.04)


@pytest.mark.parametrize(
    "arguments", [{"accuracy": 0.0}, {"accuracy": math.nan}, {"accuracy": 5.0}, {"dynamics": "gluaber"}]
)
def test_mixing_refuses_a_bad_argument(pair, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must .*got"):
        bounds.mixing_sweeps(pair, **arguments)


@given(power=st.integers(-10, 10), seed=SEEDS)
def test_bounds_depend_on_ratios_to_the_temperature_alone(rescaled, power, seed):
    model, other = rescaled(power, seed)
    for quantity in (
        bounds.covariance,
        bounds.gibbs_mean_error,
        bounds.little_mean_error,
    ):
        np.testing.assert_allclose(quantity(model), quantity(other), rtol=1e-12)
