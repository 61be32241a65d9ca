"""Every closed-form bound is the formula it states, holds where it answers and refuses to answer elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit

from dynamics import exact_law, leaky_law, relax, transition_matrix
from dynamics.enumeration import all_states
from meanfield import HypothesisError, Model, QuadraticCost, bounds, fixed_point, free_energy

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 7), st.integers(0, 2**31 - 1)
GAINS, LEAKS, COPIES = st.floats(0, 0.9), st.floats(0.05, 1.0), st.integers(1, 4)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
M2 = 1 / (6 * math.sqrt(3))
COST = QuadraticCost([0], [0.9])
PAIR = Model([[0, 1.0], [1.0, 0]], [0.0, 0.0])


def series(matrix: np.ndarray, terms: int = 500) -> np.ndarray:
    """(I − A)⁻¹ as its Neumann series, by Horner's rule."""
    total = np.eye(len(matrix))
    for _ in range(terms):
        total = np.eye(len(matrix)) + matrix @ total
    return total


def scaled(model: Model) -> np.ndarray:
    """|J|/(4T)."""
    return np.abs(model.couplings) / (4 * model.temperature)


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


def leaky_moments(model: Model, leaks: np.ndarray, steps: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """(Σ_t, δ_t) of thm:B5 by their recursions."""
    size = model.size
    g = np.eye(size) - np.diag(leaks) + np.diag(leaks) @ scaled(model)
    spread, error = np.zeros((size, size)), np.zeros(size)
    for _ in range(steps):
        a = 4 * scaled(model)
        error = g @ error + leaks * M2 / 2 * np.diagonal(a @ spread @ a)
        spread = g @ spread @ g.T + np.diag(leaks**2 / (4 * copies))
    return spread, error


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
    a = 4 * scaled(model)
    coarse = series(a / 4) @ (M2 / 2 * np.diagonal(a @ series(influence) @ a) / 4)
    assert (bound <= coarse * (1 + 1e-9) + 1e-15).all()
    assert (np.abs(exact_law(model, dynamics=dynamics).mean - fixed_point(model).value) <= bound + 1e-10).all()


@given(size=SIZES, gain=GAINS, leak=LEAKS, steps=st.integers(0, 50), copies=COPIES, seed=SEEDS)
def test_tracking_is_its_formula_for_one_leak(network, size, gain, leak, steps, copies, seed):
    model = network(size, gain, 0.0, seed, norm="spectral")
    rate = 1 - leak * (1 - model.gain)
    geometric = sum(rate ** (2 * t) for t in range(steps))
    stated = leak**2 * size / (4 * copies) * geometric
    assert np.isclose(bounds.leaky_tracking(model, leak=leak, steps=steps, copies=copies), stated, rtol=1e-9)
    kept = leak * size / (4 * copies * (1 - model.gain) * (2 - leak * (1 - model.gain)))
    assert np.isclose(bounds.leaky_tracking(model, leak=leak, copies=copies), kept, rtol=1e-9)


@given(size=st.integers(2, 7), gain=st.floats(0, 0.9), steps=st.integers(0, 50), copies=COPIES, seed=SEEDS)
def test_tracking_is_its_formula_at_the_best_gain_for_mixed_leaks(network, size, gain, steps, copies, seed):
    model = network(size, gain, 0.0, seed, norm="spectral")
    leaks = np.random.default_rng(seed).uniform(0.05, 1.0, size=size)
    stated = []
    for larger in np.linspace(model.gain, 0.999, 301):
        q = 1 - leaks * (1 - larger)
        weight = (leaks * q).max() * (leaks / (4 * copies * q)).sum()
        stated.append(weight * sum(q.max() ** (2 * t) for t in range(steps)))
    bound = bounds.leaky_tracking(model, leak=leaks, steps=steps, copies=copies)
    assert min(stated) * (1 - 1e-2) <= bound <= stated[0] * (1 + 1e-9)


@pytest.mark.parametrize("mixed", [False, True])
@given(size=st.integers(1, 3), gain=GAINS, leak=LEAKS, steps=st.integers(1, 4), copies=st.integers(1, 2), seed=SEEDS)
def test_leaky_bounds_hold_over_all_spike_histories(network, mixed, size, gain, leak, steps, copies, seed):
    model, generator = network(size, gain, 0.0, seed), np.random.default_rng(seed)
    leaks = generator.uniform(0.05, 1.0, size=size) if mixed else leak
    start, steps = generator.uniform(size=size), min(steps, 6 // size)
    paths, probabilities = leaky_law(model, leak=leaks, steps=steps, start=start, copies=copies)
    off = paths[:, -1] - relax(model, leak=leaks, steps=steps, start=start)[-1]
    shift = probabilities @ off
    covariance = (off - shift).T @ (probabilities[:, None] * (off - shift))
    arguments = {"leak": leaks, "steps": steps, "copies": copies}
    assert probabilities @ (off**2).sum(axis=1) <= bounds.leaky_tracking(model, **arguments) + 1e-12
    assert (np.abs(covariance) <= bounds.leaky_covariance_matrix(model, **arguments) + 1e-12).all()
    assert (np.abs(shift) <= bounds.leaky_mean_error(model, **arguments) + 1e-12).all()
    direction = generator.normal(size=size)
    along = np.abs((off - shift) @ direction)
    radius = 0.7 * along.max()
    deviation = bounds.leaky_deviation(model, direction, radius, **arguments)
    assert probabilities[along >= radius].sum() <= deviation + 1e-12


def test_tracking_of_free_units_with_one_leak_of_one_is_not_vacuous():
    # without couplings every unit is its own chain: E e_i² ≤ ε_i/(4(2 − ε_i)), at most ¼
    assert bounds.leaky_tracking(Model(np.zeros((2, 2)), [0.0, 0.0]), leak=[1.0, 0.5]) <= 2.0


@given(size=st.integers(2, 7), gain=st.floats(1.0, 20.0), leak=LEAKS, steps=st.integers(0, 20), seed=SEEDS)
def test_stepped_bounds_need_no_contraction(network, size, gain, leak, steps, seed):
    model = network(size, gain, 0.0, seed, norm="spectral")
    spread, error = leaky_moments(model, np.full(size, leak), steps, 1)
    rate = 1 - leak * (1 - model.gain)
    tracking = leak**2 * size / 4 * sum(rate ** (2 * t) for t in range(steps))
    np.testing.assert_allclose(bounds.leaky_covariance_matrix(model, leak=leak, steps=steps), spread, rtol=1e-9)
    np.testing.assert_allclose(bounds.leaky_mean_error(model, leak=leak, steps=steps), error, rtol=1e-9)
    assert np.isclose(bounds.leaky_tracking(model, leak=leak, steps=steps), tracking, rtol=1e-8)


@given(size=SIZES, gain=GAINS, leak=LEAKS, steps=st.integers(0, 50), copies=COPIES, seed=SEEDS)
def test_leaky_covariance_is_its_formula(network, size, gain, leak, steps, copies, seed):
    model = network(size, gain, 0.0, seed)
    rate = 1 - leak * (1 - model.absolute_gain)
    stated = leak**2 / (4 * copies) * sum(rate ** (2 * t) for t in range(steps))
    assert np.isclose(bounds.leaky_covariance(model, leak=leak, steps=steps, copies=copies), stated, rtol=1e-9)
    assert np.isclose(
        bounds.leaky_covariance(model, leak=leak, copies=copies), leak**2 / (4 * copies) / (1 - rate**2), rtol=1e-9
    )


@given(size=SIZES, gain=GAINS, steps=st.integers(0, 50), copies=COPIES, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_leaky_moments_follow_their_recursions_for_mixed_leaks(
    network, size, gain, steps, copies, log_temperature, seed
):
    model = network(size, gain, log_temperature, seed)
    leaks = np.random.default_rng(seed).uniform(0.05, 1.0, size=size)
    spread, error = leaky_moments(model, leaks, steps, copies)
    arguments = {"leak": leaks, "steps": steps, "copies": copies}
    np.testing.assert_allclose(bounds.leaky_covariance_matrix(model, **arguments), spread, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(bounds.leaky_mean_error(model, **arguments), error, rtol=1e-9, atol=1e-15)


@given(size=SIZES, gain=GAINS, leak=LEAKS, copies=COPIES, seed=SEEDS)
def test_stationary_leaky_mean_error_is_at_most_the_coarse_formula(network, size, gain, leak, copies, seed):
    model = network(size, gain, 0.0, seed)
    slack = 1 - model.absolute_gain
    coarse = (
        series(scaled(model))
        @ (M2 / 2 * (model.couplings**2).sum(axis=1))
        * leak
        / (4 * copies * slack * (2 - leak * slack))
    )
    assert (bounds.leaky_mean_error(model, leak=leak, copies=copies) <= coarse * (1 + 1e-9) + 1e-15).all()


STEPPED = pytest.mark.parametrize(
    "name", ["leaky_tracking", "leaky_covariance", "leaky_covariance_matrix", "leaky_mean_error"]
)


@STEPPED
@given(size=SIZES, gain=st.floats(0, 0.9), leak=st.floats(0.2, 1.0), seed=SEEDS)
def test_no_steps_means_the_limit_of_many(network, name, size, gain, leak, seed):
    model = network(size, gain, 0.0, seed, norm="absolute")
    bound = getattr(bounds, name)
    # the slowest rate is 1 − 0.2 · 0.1, and 0.98^(2·2000) is below rounding
    np.testing.assert_allclose(bound(model, leak=leak), bound(model, leak=leak, steps=2000), rtol=1e-9, atol=1e-15)


@STEPPED
@given(size=SIZES, gain=GAINS, leak=LEAKS, steps=st.integers(0, 30), seed=SEEDS)
def test_stepped_bounds_start_at_zero_and_grow_to_the_stationary_one(network, name, size, gain, leak, steps, seed):
    model = network(size, gain, 0.0, seed)
    now, later, limit = (getattr(bounds, name)(model, leak=leak, steps=t) for t in (steps, steps + 1, None))
    assert not np.any(getattr(bounds, name)(model, leak=leak, steps=0))
    assert np.all(now <= later * (1 + 1e-12) + 1e-300)
    assert np.all(later <= limit * (1 + 1e-9) + 1e-300)


@STEPPED
@given(size=SIZES, gain=GAINS, leak=LEAKS, seed=SEEDS)
def test_equal_leaks_are_one_leak_and_copies_divide_the_noise(network, name, size, gain, leak, seed):
    model, bound = network(size, gain, 0.0, seed), getattr(bounds, name)
    one = bound(model, leak=leak)
    # tracking takes its best κ' on a grid, and κ' = κ is out when a leak of 1 makes q vanish
    np.testing.assert_allclose(bound(model, leak=np.full(size, leak)), one, rtol=2e-4, atol=1e-15)
    np.testing.assert_allclose(bound(model, leak=leak, copies=5), np.asarray(one) / 5, rtol=1e-9, atol=1e-15)


@given(size=SIZES, gain=GAINS, leak=LEAKS, radius=st.floats(0.01, 3), copies=COPIES, seed=SEEDS)
def test_deviation_is_its_formula_and_at_most_the_coarse_one(network, size, gain, leak, radius, copies, seed):
    model, direction = network(size, gain, 0.0, seed), np.random.default_rng(seed).normal(size=size)
    bound = bounds.leaky_deviation(model, direction, radius, leak=leak, steps=7, copies=copies)
    spread, _ = leaky_moments(model, np.full(size, leak), 7, copies)
    stated = 2 * math.exp(-(radius**2) / (2 * np.abs(direction) @ spread @ np.abs(direction)))
    assert np.isclose(bound, min(1.0, stated), rtol=1e-9)
    rate = 1 - leak * (1 - model.absolute_gain)
    coarse = 2 * math.exp(-2 * copies * radius**2 * (1 - rate**2) / (leak**2 * (direction @ direction)))
    assert bound <= coarse * (1 + 1e-9)


@pytest.mark.parametrize(
    ("direction", "radius", "steps"), [([0.0, 0.0], 0.0, None), ([1.0, 0.0], 0.0, 0), ([1.0, 0.0], -3.0, None)]
)
def test_a_deviation_of_at_least_nothing_is_certain(direction, radius, steps):
    assert bounds.leaky_deviation(PAIR, direction, radius, leak=0.2, steps=steps) == 1.0


@given(size=SIZES, gain=st.floats(0, 0.95), leak=LEAKS, drift=st.floats(0, 1), copies=COPIES, seed=SEEDS)
def test_drift_lag_is_its_formula_and_at_most_lag_plus_noise(network, size, gain, leak, drift, copies, seed):
    model = network(size, gain, 0.0, seed, norm="spectral")
    slack = 1 - model.gain
    rate = 1 - leak * slack
    noise = leak**2 * size / (4 * copies)
    lag = bounds.drift_lag(model, leak=leak, drift=drift)
    both = bounds.drift_lag(model, leak=leak, drift=drift, copies=copies)
    assert np.isclose(lag, drift / (leak * slack), rtol=1e-9)
    assert np.isclose(both, (rate * drift + math.sqrt(drift**2 + (1 - rate**2) * noise)) / (1 - rate**2), rtol=1e-9)
    assert both <= (lag + math.sqrt(bounds.leaky_tracking(model, leak=leak, copies=copies))) * (1 + 1e-9)


@given(size=SIZES, gain=st.floats(0, 0.9), drift=st.floats(1e-4, 0.3), copies=COPIES, seed=SEEDS)
def test_best_leak_minimises_lag_plus_noise(network, size, gain, drift, copies, seed):
    model = network(size, gain, 0.0, seed, norm="spectral")

    def total(leak: float) -> float:
        return bounds.drift_lag(model, leak=leak, drift=drift) + math.sqrt(
            bounds.leaky_tracking(model, leak=leak, copies=copies)
        )

    found = minimize_scalar(total, bounds=(1e-6, 1.0), method="bounded", options={"xatol": 1e-10})
    best = bounds.best_leak(model, drift=drift, copies=copies)
    assert 0 < best <= 1
    assert total(best) <= min(found.fun, total(1.0)) * (1 + 1e-9)


@given(size=SIZES, gain=st.floats(0, 20), leak=LEAKS, log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_descent_is_its_formula_and_the_free_energy_falls_by_it(network, size, gain, leak, log_temperature, seed):
    model, start = network(size, gain, log_temperature, seed), np.random.default_rng(seed).uniform(size=size)
    temperature, lowest = model.temperature, max(0.0, -np.linalg.eigvalsh(model.couplings)[0])
    factor = bounds.descent(model, leak=leak)
    stated = 4 * temperature * leak - 0.5 * leak**2 * (4 * temperature + lowest)
    assert np.isclose(factor, stated, rtol=1e-9, atol=1e-12 * (temperature + lowest))
    direction = 1 / (1 + np.exp(np.clip(-model.local_field(start) / temperature, -700, 700))) - start
    change = free_energy(model, start + leak * direction) - free_energy(model, start)
    scale = 1e-12 * (np.abs(model.couplings).sum() + np.abs(model.bias).sum() + temperature)
    assert change <= -factor * (direction @ direction) + scale


@given(size=SIZES, gain=st.floats(0, 20), seed=SEEDS)
def test_descent_with_mixed_leaks_is_one_factor_a_unit(network, size, gain, seed):
    model, leaks = network(size, gain, 0.4, seed), np.random.default_rng(seed).uniform(0.01, 1.0, size=size)
    lowest = max(0.0, -np.linalg.eigvalsh(model.couplings)[0])
    stated = 2 * model.temperature * leaks * (2 - leaks) - 0.5 * lowest * leaks**2
    np.testing.assert_allclose(bounds.descent(model, leak=leaks), stated, rtol=1e-9, atol=1e-12)
    assert isinstance(bounds.descent(model, leak=0.5), float)


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


@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@given(size=SIZES, gain=GAINS, target=st.floats(0, 1), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_holomorphy_radius_is_the_maximum_over_the_strip(network, cost_on, size, gain, target, log_temperature, seed):
    model, cost = network(size, gain, log_temperature, seed, norm="row"), QuadraticCost([0], [target])
    y = np.linspace(0, math.pi, 7001)[1:-1]
    reach = model.temperature * (y - 2 * model.row_gain * np.tan(y / 2))
    if cost_on == "rates":
        stated = (reach / np.where(y <= math.pi / 2, 1.0, 1 / np.sin(y))).max()
    else:
        stated = reach.max() / abs(0.5 - target) if target != 0.5 else math.inf
    assert np.isclose(bounds.holomorphy_radius(model, cost, cost_on), stated, rtol=1e-3)


@pytest.mark.parametrize(("estimator", "order"), [("one-sided", 1), ("symmetric", 2), ("holomorphic", 5)])
@given(size=SIZES, gain=GAINS, share=st.floats(0.01, 0.99), log_temperature=LOG_TEMPERATURES, seed=SEEDS)
def test_estimator_bias_is_at_most_its_formula_at_every_height(
    network, estimator, order, size, gain, share, log_temperature, seed
):
    model = network(size, gain, log_temperature, seed, norm="row")
    nudging = share * bounds.holomorphy_radius(model, COST)
    bound = bounds.estimator_bias(model, COST, nudging=-nudging, estimator=estimator, points=5)
    for y in np.linspace(0.05, 3.1, 60):
        modulus = 1.0 if y <= math.pi / 2 else 1 / math.sin(y)
        radius = model.temperature * (y - 2 * model.row_gain * math.tan(y / 2)) / modulus
        if radius > nudging * (1 + 1e-3):
            ratio = (nudging / radius) ** order
            assert 0 < bound <= modulus**2 / radius * ratio / (1 - ratio) * (1 + 1e-3)


def test_estimator_bias_grows_with_nudging_and_vanishes_with_it():
    values = [bounds.estimator_bias(PAIR, COST, nudging=b, estimator="symmetric") for b in (0.0, 0.1, 0.2, 0.5)]
    assert values[0] == 0.0
    assert values == sorted(values)


@given(power=st.integers(-10, 10), seed=SEEDS)
def test_bounds_depend_on_ratios_to_the_temperature_alone(network, power, seed):
    model, scale = network(4, 0.6, 0.0, seed, norm="row"), 2.0**power
    other = Model(scale * model.couplings, scale * model.bias, scale * model.temperature)
    same = [
        bounds.covariance,
        bounds.gibbs_mean_error,
        bounds.little_mean_error,
        lambda m: bounds.leaky_tracking(m, leak=0.3),
        lambda m: bounds.leaky_mean_error(m, leak=0.3, steps=5),
        lambda m: bounds.leaky_covariance(m, leak=0.3),
        lambda m: bounds.descent(m, leak=0.3) / m.temperature,
        lambda m: bounds.holomorphy_radius(m, COST) / m.temperature,
        lambda m: bounds.estimator_bias(m, COST, nudging=0.3 * m.temperature, estimator="symmetric") * m.temperature,
    ]
    for quantity in same:
        np.testing.assert_allclose(quantity(model), quantity(other), rtol=1e-12)


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


def test_bias_is_refused_from_the_radius_on():
    radius = bounds.holomorphy_radius(PAIR, COST)
    assert np.isfinite(bounds.estimator_bias(PAIR, COST, nudging=0.999 * radius, estimator="symmetric"))
    for nudging in (radius, -1.001 * radius, math.nan):
        with pytest.raises(HypothesisError, match=r"needs \|nudging\| < "):
            bounds.estimator_bias(PAIR, COST, nudging=nudging, estimator="symmetric")


def test_descent_answers_for_every_model_and_turns_negative_beyond_its_limit():
    model = Model([[0, -40.0], [-40.0, 0]], [20.0, 20.0])
    assert bounds.descent(model, leak=0.99 * 8 / 44) > 0 > bounds.descent(model, leak=1.01 * 8 / 44)


LEAKY = {
    **{name: getattr(bounds, name) for name in ("leaky_tracking", "leaky_covariance", "leaky_mean_error", "descent")},
    "leaky_deviation": lambda m, leak: bounds.leaky_deviation(m, [1, 0], 1.0, leak=leak),
}


@pytest.mark.parametrize("name", LEAKY)
@pytest.mark.parametrize(
    ("leak", "said"),
    [
        (0.0, r"leak must lie in \(0, 1\], got 0.0"),
        (-0.1, r"leak must lie in \(0, 1\], got -0.1"),
        (1.1, r"leak must lie in \(0, 1\], got 1.1"),
        (math.nan, r"leak must lie in \(0, 1\], got nan"),
        ([0.5, 2.0], r"leak must lie in \(0, 1\], got 2.0"),
        ([0.5, 0.5, 0.5], r"shape \(2,\), got shape \(3,\)"),
    ],
)
def test_bad_leak_is_refused_with_the_value(name, leak, said):
    with pytest.raises(ValueError, match=said):
        LEAKY[name](PAIR, leak=leak)


@pytest.mark.parametrize(
    ("leak", "said"), [([0.1, 0.9], "one number here, got"), (0.0, "got 0.0"), (1.1, "got 1.1"), (math.nan, "got nan")]
)
def test_drift_lag_is_for_one_leak(leak, said):
    with pytest.raises(ValueError, match=f"leak must .*{said}"):
        bounds.drift_lag(PAIR, leak=leak, drift=0.1)


@pytest.mark.parametrize("name", ["leaky_tracking", "leaky_covariance", "leaky_mean_error"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        ({"steps": 1.5}, "steps must be a whole number of at least 0, got 1.5"),
        ({"copies": 0}, "copies must be a whole number of at least 1, got 0"),
        ({"copies": 1.5}, "copies must be a whole number of at least 1, got 1.5"),
    ],
)
def test_bad_count_is_refused_with_the_value(name, arguments, said):
    with pytest.raises(ValueError, match=said):
        getattr(bounds, name)(PAIR, leak=0.2, **arguments)


@pytest.mark.parametrize("drift", [-0.1, math.nan, math.inf])
def test_bad_drift_is_refused_with_the_value(drift):
    with pytest.raises(ValueError, match=f"drift must be finite and not negative, got {drift}"):
        bounds.drift_lag(PAIR, leak=0.2, drift=drift)


@pytest.mark.parametrize("drift", [-0.1, math.nan, math.inf])
def test_best_leak_refuses_a_bad_drift(drift):
    with pytest.raises(ValueError, match=f"drift must be finite and not negative, got {drift}"):
        bounds.best_leak(PAIR, drift=drift)


@pytest.mark.parametrize("estimator", ["random-sign", "central"])
def test_unknown_estimator_is_refused(estimator):
    with pytest.raises(ValueError, match=f"estimator must be one of .*, got '{estimator}'"):
        bounds.estimator_bias(PAIR, COST, nudging=0.1, estimator=estimator)


@pytest.mark.parametrize("points", [0, 1, -3])
def test_bias_of_too_few_points_is_refused(points):
    with pytest.raises(ValueError, match=f"points must be .*at least 2, got {points}"):
        bounds.estimator_bias(PAIR, COST, nudging=0.1, estimator="holomorphic", points=points)


@pytest.mark.parametrize(
    "arguments", [{"accuracy": 0.0}, {"accuracy": math.nan}, {"accuracy": 5.0}, {"dynamics": "gluaber"}]
)
def test_mixing_refuses_a_bad_argument(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must .*got"):
        bounds.mixing_sweeps(PAIR, **arguments)


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
