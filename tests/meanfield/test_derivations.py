"""The derivations' laws, the generated equations against brute force, and the generated file against its derivation."""

from __future__ import annotations

import inspect
import subprocess
import sys
from itertools import product
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy.special import expit

from meanfield import equations, symbols
from meanfield.derivations import __main__ as derive
from meanfield.derivations import (
    activation,
    cost,
    cumulants,
    energy,
    entropy,
    field,
    leaky,
    nudged,
    plasticity,
    plefka,
    response,
)
from meanfield.derivations import self_consistency as mean_field
from meanfield.derivations.catalogue import CONSTANTS, EQUATIONS, expression_of
from meanfield.derivations.lowering import module_text, readable
from meanfield.model import Model, QuadraticCost

pytestmark = pytest.mark.exact

ACTIVITIES = np.concatenate([[1e-12, 1e-6, 0.5, 1 - 1e-6], np.random.default_rng(1).uniform(0.001, 0.999, 60)])
FIELDS = np.concatenate([[0.0, 1e-9, 1e6, -1e6, 36.0, -745.0], np.random.default_rng(2).normal(scale=8.0, size=60)])


def vanishes(expression: sp.Expr) -> bool:
    return sp.simplify(sp.expand(expression)) == 0


def pair_instances(count: int = 40) -> list[tuple[float, float, float, float]]:
    """(m, m', J, T), with ln T and the coupling over several decades and both signs."""
    rng = np.random.default_rng(3)
    means = rng.uniform(0.01, 0.99, size=(count, 2))
    temperatures = np.exp(rng.uniform(-3, 3, size=count))
    couplings = rng.normal(size=count) * temperatures * 2
    return [(*map(float, mean), float(j), float(t)) for mean, j, t in zip(means, couplings, temperatures, strict=True)]


def spikes(size: int) -> np.ndarray:
    return np.array(list(product((0.0, 1.0), repeat=size)))


def product_law(mean: np.ndarray) -> np.ndarray:
    states = spikes(mean.size)
    return np.where(states == 1, mean, 1 - mean).prod(axis=1)


def random_model(seed: int, size: int = 4) -> Model:
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(size=(size, size)), 1)
    return Model(couplings + couplings.T, rng.normal(size=size), float(np.exp(rng.uniform(-1, 2))))


# ---- the generated file


def test_committed_equations_are_what_the_derivations_give():
    committed = Path(str(equations.__file__)).read_text(encoding="utf-8")
    assert module_text() == committed, "run make derive and commit meanfield/equations.py"


def test_importing_the_equations_does_not_import_sympy():
    code = "import meanfield.equations, sys; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_symbol_is_named_as_its_argument():
    named = {name: value for name, value in vars(symbols).items() if isinstance(value, sp.Symbol)}
    assert named
    assert all(name == symbol.name for name, symbol in named.items())


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: equation.name)
def test_rewriting_for_reading_changes_nothing(equation):
    variances = {
        symbols.variance: energy.activity_variance,
        symbols.neighbour_variance: energy.activity_variance.subs(symbols.mean_activity, symbols.neighbour_activity),
    }
    assert vanishes(readable(equation.expression).subs(variances) - equation.expression)


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: equation.name)
def test_lowered_equation_equals_its_expression(equation):
    rng = np.random.default_rng(4)
    function = getattr(equations, equation.name)
    assert tuple(inspect.signature(function).parameters) == equation.arguments
    arguments = {symbol.name: symbol for symbol in equation.expression.free_symbols}
    values = {name: rng.uniform(0.02, 0.98, size=30) for name in equation.arguments}
    if "steps" in values:
        values["steps"] = rng.integers(0, 50, size=30).astype(float)
    exact = sp.lambdify([arguments[name] for name in equation.arguments], equation.expression, "mpmath")
    with mpmath.workdps(40):
        truth = np.array([float(exact(*map(mpmath.mpf, row))) for row in zip(*values.values(), strict=True)])
    np.testing.assert_allclose(function(**values), truth, rtol=2e-13, atol=1e-15)


# ---- energy and field


@pytest.mark.parametrize("size", [2, 3, 4])
def test_product_law_commutes_with_the_energy(size):
    assert energy.multilinearity_gap(symbols.net(size)) == 0


def test_a_self_term_costs_half_the_variance():
    assert vanishes(energy.self_term_gap - energy.activity_variance / 2)
    for mean in ACTIVITIES:
        assert np.isclose(mean / 2 - mean**2 / 2, equations.self_term_gap(mean), rtol=0, atol=1e-16)


def test_local_field_is_couplings_times_state_plus_bias():
    net = symbols.net(4)
    assert (field.local_fields(net) - net.couplings * net.states - net.biases).expand() == sp.zeros(4, 1)


def test_field_variances_add_over_neighbours():
    model, mean = random_model(5), np.random.default_rng(5).uniform(size=4)
    weight, fields = product_law(mean), model.local_field(spikes(4))
    brute = weight @ fields**2 - (weight @ fields) ** 2
    np.testing.assert_allclose(equations.pair_field_variance(model.couplings, mean).sum(axis=1), brute, rtol=1e-12)


# ---- activation


def test_firing_probability_is_accurate_and_warns_at_no_field():
    with mpmath.workdps(40):
        truth = np.array([float(1 / (1 + mpmath.exp(-mpmath.mpf(x)))) for x in FIELDS])
    np.testing.assert_allclose(equations.firing_probability(FIELDS, 1.0), truth, rtol=4e-16, atol=5e-324)
    assert equations.firing_probability(-1e6, 1.0) == 0
    assert equations.firing_probability(1e6, 1.0) == 1


def test_complex_firing_probability_continues_the_real_one():
    grid = FIELDS[:, None] + 1j * np.linspace(-3.0, 3.0, 13)
    probability = equations.firing_probability(grid, 1.0)
    with mpmath.workdps(40):
        truth = [[complex(1 / (1 + mpmath.exp(-mpmath.mpc(x)))) for x in row] for row in grid]
    np.testing.assert_allclose(probability, truth, rtol=0, atol=2e-14)
    on_the_line = equations.firing_probability(FIELDS + 0j, 1.0).real
    np.testing.assert_allclose(on_the_line, expit(FIELDS), rtol=0, atol=2 * np.finfo(np.float64).eps)


def test_slopes_are_the_derivatives_of_the_firing_probability():
    temperature, step = 0.7, 1e-3
    slopes = (equations.firing_slope, equations.firing_curvature, equations.firing_third, equations.firing_fourth)
    for point in (-3.0, -0.4, 0.0, 1.1, 5.0):
        with mpmath.workdps(50):
            curve = lambda h: 1 / (1 + mpmath.exp(-h / temperature))  # noqa: E731
            for order, slope in enumerate(slopes, start=1):
                truth = float(mpmath.diff(curve, point, order, h=mpmath.mpf(step) ** 4))
                assert np.isclose(slope(float(curve(point)), temperature), truth, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("slope", "supremum"),
    [
        (equations.firing_slope, equations.SUP_SLOPE),
        (equations.firing_curvature, equations.SUP_CURVATURE),
        (equations.firing_third, equations.SUP_THIRD),
    ],
)
def test_suprema_are_reached_and_never_exceeded(slope, supremum):
    values = np.abs(slope(np.linspace(0, 1, 200_001), 1.0))
    assert values.max() <= supremum * (1 + 1e-14)
    assert values.max() >= supremum * (1 - 1e-9)


def test_suprema_are_the_stated_constants():
    assert [expression_of(constant.origin) for constant in CONSTANTS] == [
        sp.Rational(1, 4),
        1 / (6 * sp.sqrt(3)),
        sp.Rational(1, 8),
    ]


def test_a_heaviside_unit_in_logistic_noise_fires_with_the_firing_probability():
    assert vanishes(activation.noisy_heaviside.rewrite(sp.exp) - activation.firing_probability)


# ---- entropy and cost


def test_entropy_is_zero_at_certainty_and_largest_at_one_half():
    assert equations.entropy(0.0) == 0
    assert equations.entropy(1.0) == 0
    assert np.isclose(equations.entropy(0.5), np.log(2), rtol=1e-15)
    assert (equations.entropy(ACTIVITIES) <= np.log(2) + 1e-15).all()


def test_entropies_of_a_product_law_add():
    mean = np.random.default_rng(6).uniform(size=5)
    weight = product_law(mean)
    assert np.isclose(equations.entropy(mean).sum(), -(weight * np.log(weight)).sum(), rtol=1e-12)


def test_entropy_slope_is_minus_the_logit():
    assert vanishes(
        entropy.entropy_slope.subs(symbols.mean_activity, activation.firing_probability).simplify()
        + symbols.local_field / symbols.temperature
    )


def test_costs_have_the_slopes_and_offsets_of_the_model():
    costs = QuadraticCost([0], [0.3])
    for kind, slope, offset in (
        ("rates", cost.rates_slope, cost.rates_offset),
        ("spikes", cost.spikes_slope, cost.spikes_offset),
    ):
        value = [float(sp.sympify(part).subs(symbols.target, 0.3)) for part in (slope, offset)]
        assert np.allclose(np.ravel(costs.force(1, kind)), value, rtol=1e-15)


def test_cost_on_spikes_exceeds_cost_on_rates_by_half_the_variances():
    costs, mean = QuadraticCost([0, 2], [0.2, 0.9]), np.array([0.1, 0.5, 0.7])
    expected = product_law(mean) @ costs.on_spikes(spikes(3)) - costs.on_rates(mean)
    assert np.isclose(equations.mean_spike_cost_gap(mean[[0, 2]]).sum(), expected, rtol=1e-13)


# ---- self-consistency, Jacobian, descent


def test_stationary_points_of_the_free_energy_are_mean_field_fixed_points():
    assert vanishes(mean_field.self_consistent_activity - mean_field.mean_field_map)


def test_free_energy_bounds_the_log_partition_function():
    model, mean = random_model(7), np.random.default_rng(7).uniform(size=4)
    bound = model.energy(mean) - model.temperature * equations.entropy(mean).sum()
    exact = -model.temperature * np.logaddexp.reduce(-model.energy(spikes(4)) / model.temperature)
    assert exact <= bound


def test_map_slope_is_the_slope_of_the_map():
    for mean, other, coupling, temperature in pair_instances():
        bias = temperature * np.log(mean / (1 - mean)) - coupling * other  # makes the mean self-consistent
        step = 1e-6 * temperature / abs(coupling)
        moved = [expit((coupling * (other + sign * step) + bias) / temperature) for sign in (1, -1)]
        slope = (moved[0] - moved[1]) / (2 * step)
        assert np.isclose(equations.map_slope(mean, coupling, temperature), slope, rtol=1e-6)


def test_free_energy_hessian_of_a_pair():
    second = sp.hessian(mean_field.pair_free_energy, (symbols.mean_activity, symbols.neighbour_activity))
    assert vanishes(second[0, 1] + symbols.coupling)
    assert vanishes(second[0, 0] - symbols.temperature / energy.activity_variance)


def test_descent_factor_bounds_every_leaky_step():
    rng = np.random.default_rng(8)
    for seed in range(200):
        model, mean, leak = random_model(seed, 3), rng.uniform(size=3), float(rng.uniform(0.01, 1.0))
        image = equations.firing_probability(model.local_field(mean), model.temperature)
        moved = equations.leaky_trace(mean, image, leak)
        change = np.diff([model.energy(m) - model.temperature * equations.entropy(m).sum() for m in (mean, moved)])[0]
        factor = equations.descent_factor(leak, model.temperature, max(0.0, -model.spectrum[0]))
        assert change <= -factor * ((image - mean) ** 2).sum() + 1e-12


def test_descent_factor_is_reached_near_one_half():
    # an antiferromagnetic pair about its symmetric fixed point m = ½, displaced along the lowest eigenvector
    coupling, temperature, leak = -6.0, 1.0, 0.7
    model = Model([[0, coupling], [coupling, 0]], [-coupling / 2] * 2, temperature)
    mean = 0.5 + 1e-3 * np.array([1.0, 1.0])
    image = equations.firing_probability(model.local_field(mean), temperature)
    moved = equations.leaky_trace(mean, image, leak)
    change = np.diff([model.energy(m) - temperature * equations.entropy(m).sum() for m in (mean, moved)])[0]
    factor = equations.descent_factor(leak, temperature, 6.0)
    assert np.isclose(change, -factor * ((image - mean) ** 2).sum(), rtol=1e-4)


def test_descent_factor_vanishes_at_the_leak_limit():
    limit = equations.descent_leak_limit(0.3, 7.0)
    assert np.isclose(equations.descent_factor(limit, 0.3, 7.0), 0.0, atol=1e-15)


# ---- Plefka's expansion and Onsager's term


def held_free_energy(mean, other, coupling, temperature, strength):
    """min over pair laws with the given means of αE − TS, by solving for P(1, 1) in 50 digits."""
    factor = mpmath.exp(strength * coupling / temperature)
    # P11 P00 = e^{αJ/T} P10 P01 is quadratic in P11 = c
    a, b, c = 1 - factor, 1 + (factor - 1) * (mean + other), -factor * mean * other
    both = mean * other if a == 0 else (-b + mpmath.sqrt(b * b - 4 * a * c)) / (2 * a)
    cells = (both, mean - both, other - both, 1 - mean - other + both)
    return -strength * coupling * both + temperature * mpmath.fsum(cell * mpmath.log(cell) for cell in cells)


def test_plefka_coefficients_are_the_taylor_coefficients_of_the_held_free_energy():
    for mean, other, coupling, temperature in pair_instances(8):
        with mpmath.workdps(60):
            numbers = [mpmath.mpf(x) for x in (mean, other, coupling, temperature)]
            taylor = mpmath.taylor(lambda strength: held_free_energy(*numbers, strength), 0, 3)  # noqa: B023
        arguments = (mean, other, coupling, temperature)
        naive = -temperature * (equations.entropy(mean) + equations.entropy(other))
        orders = (
            naive,
            -coupling * equations.pair_statistic(mean, other),
            equations.pair_free_energy_correction(*arguments),
            equations.pair_free_energy_third_order(*arguments),
        )
        np.testing.assert_allclose(orders, [float(x) for x in taylor], rtol=1e-10, atol=1e-14)


def test_first_order_of_plefkas_expansion_is_the_mean_field_coupling_energy():
    interaction = energy.mean_pair_energy.subs({symbols.bias: 0, symbols.neighbour_bias: 0})
    assert vanishes(plefka.first_order - interaction)


def test_second_order_is_minus_the_variance_of_the_coupling_energy_over_twice_the_temperature():
    variances = energy.activity_variance * energy.activity_variance.subs(
        symbols.mean_activity, symbols.neighbour_activity
    )
    stated = -(symbols.coupling**2) * variances / (2 * symbols.temperature)
    assert vanishes(plefka.pair_free_energy_correction - stated)


def test_onsager_field_sums_the_pairs():
    model, mean = random_model(9), np.random.default_rng(9).uniform(size=4)
    pairs = equations.pair_onsager_field(mean[:, None], mean[None, :], model.couplings, model.temperature)
    spread = equations.pair_field_variance(model.couplings, mean).sum(axis=1)
    whole = equations.onsager_field(mean, spread, model.temperature)
    np.testing.assert_allclose(pairs.sum(axis=1), whole, rtol=1e-12)
    reaction = (model.couplings**2) @ (mean * (1 - mean))
    np.testing.assert_allclose(whole, 0.5 * (1 - 2 * mean) * reaction / model.temperature, rtol=1e-12)


def test_onsager_fixed_points_are_stationary_points_of_the_corrected_free_energy():
    slope = sp.diff(plefka.corrected_pair_free_energy, symbols.mean_activity)
    logit = -symbols.temperature * entropy.entropy_slope
    stated = logit - field.pair_mean_field - plefka.pair_onsager_field
    assert vanishes(sp.expand_log(slope - stated, force=True))


def test_onsager_slopes_are_the_derivatives_of_the_onsager_field():
    for mean, other, coupling, temperature in pair_instances(10):
        step = 1e-6

        def at(one, two, coupling=coupling, temperature=temperature):
            return equations.pair_onsager_field(one, two, coupling, temperature)

        own = (at(mean + step, other) - at(mean - step, other)) / (2 * step)
        cross = (at(mean, other + step) - at(mean, other - step)) / (2 * step)
        spread = equations.pair_field_variance(coupling, other)
        assert np.isclose(equations.onsager_self_slope(spread, temperature), own, rtol=1e-7, atol=1e-12)
        assert np.isclose(
            equations.pair_onsager_slope(mean, other, coupling, temperature), cross, rtol=1e-7, atol=1e-9 * coupling**2
        )


def exact_pair(coupling, bias, temperature):
    """Means, covariance and E zz' of a pair by enumeration."""
    states = spikes(2)
    exponent = (coupling * states.prod(axis=1) + states @ np.asarray(bias)) / temperature
    weight = np.exp(exponent - np.logaddexp.reduce(exponent))
    mean = weight @ states
    both = float(weight @ states.prod(axis=1))
    return mean, both - mean[0] * mean[1], both


def test_corrected_pair_statistic_gains_one_order_in_the_coupling():
    bias, temperature = (0.4, -0.9), 1.0
    errors = {"naive": [], "onsager": []}
    for coupling in (0.02, 0.01):
        mean, _, both = exact_pair(coupling, bias, temperature)
        errors["naive"].append(abs(equations.pair_statistic(*mean) - both))
        errors["onsager"].append(abs(equations.onsager_pair_statistic(*mean, coupling, temperature) - both))
    orders = {name: np.log2(pair[0] / pair[1]) for name, pair in errors.items()}
    assert orders["naive"] == pytest.approx(1.0, abs=0.05)
    assert orders["onsager"] == pytest.approx(2.0, abs=0.05)


# ---- response and noise


def test_susceptibility_is_the_inverse_hessian_of_the_free_energy():
    hessian = sp.hessian(mean_field.pair_free_energy, (symbols.mean_activity, symbols.neighbour_activity))
    assert (response.susceptibility * hessian - sp.eye(2)).applyfunc(sp.simplify) == sp.zeros(2, 2)


def self_consistent_pair(coupling, bias, temperature, start):
    """The fixed point of a pair near a start, by Newton in mpmath's working precision."""

    def residual(mean, other):
        fields = (coupling * other + bias[0], coupling * mean + bias[1])
        return [m - 1 / (1 + mpmath.exp(-h / temperature)) for m, h in zip((mean, other), fields, strict=True)]

    return mpmath.findroot(residual, start)


def test_susceptibility_is_the_slope_of_the_fixed_point():
    for mean, other, coupling, temperature in pair_instances():
        arguments = (mean, other, coupling, temperature)
        with mpmath.workdps(40):
            step = mpmath.mpf(10) ** -12 * temperature
            # the biases that make (mean, other) the fixed point, to all digits
            logits = [mpmath.log(mpmath.mpf(m) / (1 - mpmath.mpf(m))) for m in (mean, other)]
            bias = [temperature * logits[0] - coupling * other, temperature * logits[1] - coupling * mean]
            up, down = (
                self_consistent_pair(coupling, (bias[0] + shift, bias[1]), temperature, (mean, other))
                for shift in (step, -step)
            )
            slope = (up - down) / (2 * step)
        assert np.isclose(equations.pair_susceptibility(*arguments), float(slope[0]), rtol=1e-9)
        assert np.isclose(equations.pair_cross_susceptibility(*arguments), float(slope[1]), rtol=1e-9)


def test_langevin_variance_is_the_limit_of_its_recursion():
    curvature, temperature, leak = 1.3, 0.6, 0.8
    variance = 0.0
    for _ in range(500):
        variance = (1 - leak * curvature) ** 2 * variance + 2 * temperature * leak
    assert np.isclose(equations.langevin_variance(curvature, temperature, leak), variance, rtol=1e-13)


def test_tracking_second_moment_is_its_recursion_and_tends_to_the_linear_noise():
    variance, gain, leak, copies = 0.21, 0.6, 0.3, 4
    rate, moment = 1 - leak * (1 - gain), 0.0
    for steps in range(200):
        stated = equations.tracking_second_moment(variance, rate, leak, copies, steps)
        assert np.isclose(stated, moment, rtol=1e-12, atol=1e-18)
        moment = rate**2 * moment + leak**2 * variance / copies
    assert np.isclose(equations.linear_noise_variance(variance, gain, leak, copies), moment, rtol=1e-12)


def test_slow_trace_noise_is_half_the_linear_response():
    # Σ ≈ (ε/2K) T ∂m/∂b, with ∂m/∂b = (v/T)/(1 − g) along an eigenvector of gain g
    limit = sp.limit(leaky.linear_noise_variance / symbols.leak, symbols.leak, 0)
    response_of_one = symbols.spike_variance / symbols.temperature / (1 - symbols.gain)
    assert vanishes(limit - symbols.temperature * response_of_one / (2 * symbols.copies))


# ---- plasticity


@pytest.mark.parametrize(("i", "j"), [(0, 1), (2, 0), (1, 3)])
def test_the_update_of_a_coupling_is_the_difference_of_its_own_product(i, j):
    whole = symbols.net(4)
    update = plasticity.coupling_update(whole, i, j)
    own = (whole.states[i] * whole.states[j] - whole.means[i] * whole.means[j]) / symbols.nudging
    assert vanishes(update - own)
    assert plasticity.foreign_symbols(whole, i, j) == set()


def test_foreign_symbols_finds_a_neighbour_that_shares_the_parameter():
    whole = symbols.net(3)
    shared = sp.Matrix(whole.couplings)
    shared[0, 2] = shared[2, 0] = whole.couplings[0, 1]
    tied = symbols.Net(whole.states, whole.means, whole.biases, shared)
    assert plasticity.foreign_symbols(tied, 0, 1) == {whole.states[2], whole.means[2]}


def test_midpoint_sums_are_the_change_of_the_product_and_left_point_sums_miss_the_crossed_steps():
    assert vanishes(plasticity.midpoint_change - plasticity.product_change)
    crossed = (symbols.drive - symbols.trace) * (symbols.neighbour_drive - symbols.neighbour_trace)
    assert vanishes(plasticity.product_change - plasticity.left_point_change - crossed)


def test_leading_biases_are_the_next_taylor_terms():
    # g(β) = 1/(1 − β) has g'(0) = 1, g'' = 2, g''' = 6
    nudging = 1e-4
    value = lambda beta: mpmath.mpf(1) / (1 - beta)  # noqa: E731
    with mpmath.workdps(40):
        beta = mpmath.mpf(nudging)
        one_sided = (value(beta) - value(mpmath.mpf(0))) / beta - 1
        symmetric = (value(beta) - value(-beta)) / (2 * beta) - 1
    assert np.isclose(equations.one_sided_bias(nudging, 2.0), float(one_sided), rtol=1e-3)
    assert np.isclose(equations.symmetric_bias(nudging, 6.0), float(symmetric), rtol=1e-3)


# ---- cumulants of the cost


def test_objectives_at_finite_nudging_are_sums_of_the_lowered_terms():
    odd = cumulants.third_term + cumulants.fifth_term
    even = cumulants.variance_term + cumulants.fourth_term
    assert vanishes(cumulants.one_sided_objective - symbols.mean_cost - odd - even)
    assert vanishes(cumulants.symmetric_objective - symbols.mean_cost - odd)


def test_second_and_third_cumulant_are_central_moments():
    assert cumulants.second_cumulant == symbols.cost_variance
    assert cumulants.third_cumulant == symbols.third_moment


@pytest.mark.parametrize("probability", [sp.Rational(1, 2), sp.Rational(1, 7), sp.Rational(9, 10)])
def test_cumulants_of_a_coin_are_the_slopes_of_the_logistic_function(probability):
    # ln(1 − p + pe^t) has the derivatives of σ at logit p: p, v, v(1 − 2p), v(1 − 6v), v(1 − 2p)(1 − 12v)
    variance = probability * (1 - probability)
    moments = [float(probability * (1 - probability) ** k + (1 - probability) * (-probability) ** k) for k in range(6)]
    assert moments[2] == pytest.approx(float(variance))
    assert moments[3] == pytest.approx(float(variance * (1 - 2 * probability)))
    fourth = equations.fourth_cumulant(moments[2], moments[4])
    fifth = equations.fifth_cumulant(moments[2], moments[3], moments[5])
    assert fourth == pytest.approx(float(variance * (1 - 6 * variance)))
    assert fifth == pytest.approx(float(variance * (1 - 2 * probability) * (1 - 12 * variance)))


def test_objective_terms_are_those_of_a_coin():
    # C = z, ⟨e^{−βC/T}⟩ = 1 − p + pe^{−β/T}
    p, nudging, temperature = 0.3, 0.02, 0.7
    v = p * (1 - p)
    one_sided, opposite = (
        -temperature / strength * np.log1p(p * np.expm1(-strength / temperature)) for strength in (nudging, -nudging)
    )
    terms = [
        equations.variance_term(v, nudging, temperature),
        equations.third_term(v * (1 - 2 * p), nudging, temperature),
        equations.fourth_term(v * (1 - 6 * v), nudging, temperature),
        equations.fifth_term(v * (1 - 2 * p) * (1 - 12 * v), nudging, temperature),
    ]
    assert np.isclose(one_sided, p + sum(terms), rtol=0, atol=1e-12)
    assert np.isclose((one_sided + opposite) / 2, p + terms[1] + terms[3], rtol=0, atol=1e-12)
    # no term is negligible at this accuracy
    assert min(np.abs(terms)) > 1e-11


# ---- the nudged fixed point


def nudged_unit(slope: float, offset: float, bias: float, temperature: float):
    """β ↦ m of m = σ((b − β(slope·m + offset))/T), to 30 digits."""

    def solve(nudge):
        def miss(mean):
            return mean - 1 / (1 + mpmath.exp(-(bias - nudge * (slope * mean + offset)) / temperature))

        return mpmath.findroot(miss, 0.5)

    return solve


@pytest.mark.parametrize(("slope", "offset"), [(1.0, -0.9), (0.0, -0.4), (1.0, -0.1)])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_response_sources_are_the_derivatives_of_a_nudged_unit(slope, offset, temperature):
    # without couplings (I − VJ/T) m^(n) is m^(n) itself
    with mpmath.workdps(30):
        unit = nudged_unit(slope, offset, 0.3, temperature)
        mean, first, second, third = (float(value) for value in mpmath.taylor(unit, 0, 3))
    second, third = 2 * second, 6 * third
    moved = equations.force_first(mean, slope, offset)
    bent = equations.force_second(first, slope)
    assert np.isclose(equations.first_response_source(mean, slope, offset, temperature), first, rtol=1e-9)
    assert np.isclose(equations.second_response_source(mean, first, moved, slope, temperature), second, rtol=1e-9)
    assert np.isclose(equations.third_response_source(mean, second, moved, bent, slope, temperature), third, rtol=1e-9)


def test_response_sources_are_the_chain_rule_with_the_force_in_place_of_the_top_field():
    slopes = {
        n: getattr(activation, name).subs(symbols.probability, symbols.mean_activity)
        for n, name in ((1, "firing_slope"), (2, "firing_curvature"), (3, "firing_third"))
    }
    first, second = symbols.field_first, symbols.field_second
    assert vanishes(nudged.first_response_source - slopes[1] * nudged.force(1))
    assert vanishes(nudged.second_response_source - slopes[2] * first**2 - slopes[1] * nudged.force(2))
    crossed = 3 * slopes[2] * first * second
    assert vanishes(nudged.third_response_source - slopes[3] * first**3 - crossed - slopes[1] * nudged.force(3))
    assert vanishes(nudged.force(3) + 3 * symbols.slope * symbols.activity_second)


def test_symbols_carry_their_own_names_and_are_real():
    """Derivatives of complex symbols keep conjugates; series and logarithms need the signs that are assumed here."""
    found = {name: value for name, value in vars(symbols).items() if isinstance(value, sp.Symbol)}
    assert len(found) > 40
    for name, symbol in found.items():
        assert str(symbol) == name
        assert symbol.is_real
    nonnegative = {name for name, symbol in found.items() if symbol.is_nonnegative and not symbol.is_positive}
    assert nonnegative == {
        "variance", "neighbour_variance", "field_variance", "spike_variance", "cost_variance", "fourth_moment",
        "curvature", "negative_curvature", "steps",
    }  # fmt: skip


def test_derive_writes_the_equations_beside_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(derive.meanfield, "__file__", str(tmp_path / "__init__.py"))
    derive.main()
    assert [path.name for path in tmp_path.iterdir()] == ["equations.py"]
    assert (tmp_path / "equations.py").read_bytes() == module_text().encode("utf-8")
