"""The bounds on leaky spikes are the formulas they state, and hold over all spike histories."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from dynamics import leaky_law, relax
from meanfield import Model, bounds, free_energy

pytestmark = pytest.mark.exact

SIZES, SEEDS = st.integers(1, 7), st.integers(0, 2**31 - 1)
GAINS, LEAKS, COPIES = st.floats(0, 0.9), st.floats(0.05, 1.0), st.integers(1, 4)
LOG_TEMPERATURES = st.floats(math.log(1e-3), math.log(1e3))
M2 = 1 / (6 * math.sqrt(3))


def scaled(model: Model) -> np.ndarray:
    """|J|/(4T)."""
    return np.abs(model.couplings) / (4 * model.temperature)


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
    curved = M2 / 2 * (model.couplings**2).sum(axis=1)
    variance = leak / (4 * copies * slack * (2 - leak * slack))
    coarse = np.linalg.solve(np.eye(size) - scaled(model), curved) * variance
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
def test_a_deviation_of_at_least_nothing_is_certain(pair, direction, radius, steps):
    assert bounds.leaky_deviation(pair, direction, radius, leak=0.2, steps=steps) == 1.0


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
def test_bad_leak_is_refused_with_the_value(pair, name, leak, said):
    with pytest.raises(ValueError, match=said):
        LEAKY[name](pair, leak=leak)


@pytest.mark.parametrize(
    ("leak", "said"), [([0.1, 0.9], "one number here, got"), (0.0, "got 0.0"), (1.1, "got 1.1"), (math.nan, "got nan")]
)
def test_drift_lag_is_for_one_leak(pair, leak, said):
    with pytest.raises(ValueError, match=f"leak must .*{said}"):
        bounds.drift_lag(pair, leak=leak, drift=0.1)


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
def test_bad_count_is_refused_with_the_value(pair, name, arguments, said):
    with pytest.raises(ValueError, match=said):
        getattr(bounds, name)(pair, leak=0.2, **arguments)


def test_drift_lag_refuses_a_bad_number_of_copies(pair):
    with pytest.raises(ValueError, match="copies must be a whole number of at least 1, got 0"):
        bounds.drift_lag(pair, leak=0.2, drift=0.1, copies=0)


@pytest.mark.parametrize("drift", [-0.1, math.nan, math.inf])
def test_bad_drift_is_refused_with_the_value(pair, drift):
    with pytest.raises(ValueError, match=f"drift must be finite and not negative, got {drift}"):
        bounds.drift_lag(pair, leak=0.2, drift=drift)


@pytest.mark.parametrize("drift", [-0.1, math.nan, math.inf])
def test_best_leak_refuses_a_bad_drift(pair, drift):
    with pytest.raises(ValueError, match=f"drift must be finite and not negative, got {drift}"):
        bounds.best_leak(pair, drift=drift)


@given(power=st.integers(-10, 10), seed=SEEDS)
def test_bounds_depend_on_ratios_to_the_temperature_alone(rescaled, power, seed):
    model, other = rescaled(power, seed)
    for quantity in (
        lambda m: bounds.leaky_tracking(m, leak=0.3),
        lambda m: bounds.leaky_mean_error(m, leak=0.3, steps=5),
        lambda m: bounds.leaky_covariance(m, leak=0.3),
        lambda m: bounds.descent(m, leak=0.3) / m.temperature,
    ):
        np.testing.assert_allclose(quantity(model), quantity(other), rtol=1e-12)
