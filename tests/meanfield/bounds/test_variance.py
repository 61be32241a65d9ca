"""Bounds on coupled phases: closed forms, the theorem's recursions written out, limits, orders, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynamics import exact_estimator_moments
from dynamics.coupling import joint_law
from dynamics.enumeration import all_states, exact_law
from meanfield import HypothesisError, Model, QuadraticCost, bounds
from meanfield.bounds.ranges import field_ranges, largest_curvature, largest_influence, largest_slope

COST = QuadraticCost([0, 2], [0.9, 0.2])
UNIT = QuadraticCost([0], [1.0])


def sigma(x):
    return 1 / (1 + np.exp(-np.asarray(x, dtype=float)))


def upper(gradient) -> np.ndarray:
    return np.concatenate([gradient.couplings[np.triu_indices(len(gradient.bias), 1)], gradient.bias])


@pytest.mark.exact
@pytest.mark.parametrize(("estimator", "width"), [("symmetric", 2), ("one-sided", 1), ("random-sign", 1)])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_free_unit_differs_with_the_difference_of_its_chances(estimator, width, temperature):
    model, nudging = Model([[0.0]], [0.0], temperature), 0.3
    differing = bounds.spike_difference(model, UNIT, nudging=nudging, estimator=estimator)
    assert differing == pytest.approx([math.tanh(width * nudging * 0.5 / (4 * temperature))], rel=1e-12)
    moment = bounds.coupled_second_moment(model, UNIT, nudging=-nudging, estimator=estimator)
    assert moment.bias == pytest.approx(differing / (width * nudging) ** 2, rel=1e-12)


@pytest.mark.exact
def test_a_biased_unit_is_read_at_its_own_fields():
    model = Model([[0.0]], [3.0])
    differing = bounds.spike_difference(model, UNIT, nudging=0.4)
    assert differing == pytest.approx([sigma(3.2) - sigma(2.8)], rel=1e-12)
    # one-sided: the field goes either way from 3, the larger change is towards 0
    one_sided = bounds.spike_difference(model, UNIT, nudging=0.4, estimator="one-sided")
    assert one_sided == pytest.approx([sigma(3.0) - sigma(2.8)], rel=1e-12)
    steepest = sigma(2.2) * sigma(-2.2)
    mean = bounds.trace_difference(model, UNIT, nudging=0.4, leak=1.0, cost_on="rates", steps=1).mean
    # on rates |∂C| ≤ 1: fields reach down to 2.6
    assert mean == pytest.approx([0.8 * sigma(2.6) * sigma(-2.6)], rel=1e-12)
    assert mean < 0.8 * steepest


@pytest.mark.exact
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("estimator", ["symmetric", "one-sided"])
def test_spikes_differ_no_more_than_said_and_never_above_the_global_constants(network, seed, estimator):
    model, nudging = network(3, 0.6, 0.4, seed), 0.8
    stated = bounds.spike_difference(model, COST, nudging=nudging, estimator=estimator)
    width = nudging * (2 if estimator == "symmetric" else 1)
    push = np.tanh(width * np.abs([0.4, 0.0, 0.3]) / (4 * model.temperature))
    coarse = np.linalg.solve(np.eye(3) - model.influence, push)
    assert (stated <= coarse * (1 + 1e-12)).all()
    offset = np.array([-0.4, 0.0, 0.3])
    raised, lowered = (model.with_bias(model.bias - value * offset) for value in (nudging, nudging - width))
    states = all_states(3)
    for dynamics in ("glauber", "little"):
        law = joint_law(raised, lowered, exact_law(model).probabilities, dynamics=dynamics, steps=40, coupled=True)
        differing = np.array([law[states[:, i][:, None] != states[:, i][None, :]].sum() for i in range(3)])
        assert (differing <= stated * (1 + 1e-12)).all()
        assert (differing > 0.2 * stated).any()


@pytest.mark.exact
@pytest.mark.parametrize("statistic", ["spikes", "probabilities"])
@pytest.mark.parametrize("dynamics", ["glauber", "little"])
@pytest.mark.parametrize("estimator", ["symmetric", "one-sided", "random-sign"])
def test_second_moment_of_chains_is_below_its_bound(network, dynamics, statistic, estimator):
    model = network(3, 0.6, 0.4, 5)
    mean, variance = exact_estimator_moments(
        model, COST, dynamics=dynamics, statistic=statistic, estimator=estimator, nudging=0.3, steps_nudged=5
    )
    stated = bounds.coupled_second_moment(model, COST, dynamics=dynamics, nudging=0.3, estimator=estimator)
    assert (upper(variance) + upper(mean) ** 2 <= upper(stated)).all()
    width = 0.3 * (2 if estimator == "symmetric" else 1)
    differing = bounds.spike_difference(model, COST, nudging=0.3, estimator=estimator)
    np.testing.assert_allclose(stated.bias, differing / width**2, rtol=1e-13)
    np.testing.assert_allclose(stated.couplings[0, 2], (differing[0] + differing[2]) / width**2, rtol=1e-13)
    assert not np.diagonal(stated.couplings).any()
    np.testing.assert_array_equal(
        upper(bounds.coupled_variance(model, COST, nudging=0.3, estimator=estimator)), upper(stated)
    )


def written_out(model, cost, nudging, leak, estimator, cost_on, copies, steps, statistic="traces"):
    """(r, Q, variance of the pair 01 and of unit 0) by thm:C8's recursions, one entry at a time."""
    size, temperature = model.size, model.temperature
    width = abs(nudging) * (2 if estimator == "symmetric" else 1)
    push, outputs = np.zeros(size), np.zeros(size)
    for unit, target in zip(cost.outputs, cost.target, strict=True):
        push[unit] = max(target, 1 - target) if cost_on == "rates" else abs(0.5 - target)
        outputs[unit] = 1.0 if cost_on == "rates" else 0.0
    reach = abs(nudging) * push / temperature
    slope, bend = largest_slope(model, reach), largest_curvature(model, reach)
    absolute = np.abs(model.couplings)
    steep = absolute + abs(nudging) * np.diag(outputs)
    leaks = np.broadcast_to(leak, (size,))
    influence = np.array([[slope[i] * absolute[i, j] / temperature for j in range(size)] for i in range(size)])
    drive = slope * width * push / temperature
    one, smooth = (np.diag(1 - leaks) + np.diag(leaks * slope) @ matrix / temperature for matrix in (absolute, steep))
    mean, second, spread = np.zeros(size), np.zeros((size, size)), np.zeros((size, size))
    for _ in range(steps):
        noise = np.diag([leaks[i] ** 2 / copies * (influence[i] @ mean + drive[i]) for i in range(size)])
        carried, kick = one @ mean, leaks * drive
        second = one @ second @ one.T + np.outer(carried, kick) + np.outer(kick, carried) + np.outer(kick, kick) + noise
        spread = smooth @ spread @ smooth.T + noise
        mean = carried + kick
    variances = []
    for first in (np.array([1.0, 1.0] + [0.0] * (size - 2)), np.array([1.0] + [0.0] * (size - 1))):
        weight, tilt, bending = first, np.zeros(size), np.zeros((size, size))
        if first[1]:
            bending[0, 1] = bending[1, 0] = 1.0
        if statistic == "probabilities":
            tilt, bending, weight = np.zeros(size), np.zeros((size, size)), np.zeros(size)
            for unit in np.flatnonzero(first):
                weight = weight + slope[unit] * steep[unit] / temperature
                bending = bending + bend[unit] * np.outer(steep[unit], absolute[unit]) / temperature**2
                tilt = tilt + bend[unit] * steep[unit] * width * push[unit] / temperature**2
                tilt[unit] += width / temperature * outputs[unit] * slope[unit]
            if first[1]:
                for one_of, other in ((0, 1), (1, 0)):
                    rise = slope[one_of] * steep[one_of] / temperature
                    bending = bending + np.outer(rise, influence[other])
                    tilt = tilt + rise * drive[other]
            first = weight
        common = 0.0
        for _ in range(steps):
            for m in range(size):
                row = bending[m]
                common += (
                    leaks[m] ** 2 * slope[m] / copies * (row @ second @ row + 2 * (row @ mean) * tilt[m] + tilt[m] ** 2)
                )
            tilt = (
                smooth.T @ (tilt + bending @ (leaks * drive))
                + steep.T @ (leaks * bend * weight * width * push) / temperature**2
                + width / temperature * outputs * leaks * slope * weight
            )
            bending = smooth.T @ bending @ one + steep.T @ np.diag(leaks * bend * weight) @ absolute / temperature**2
            weight = smooth.T @ weight
        variances.append((math.sqrt(first @ spread @ first) + math.sqrt(common)) ** 2 / width**2)
    return mean, second, variances


@pytest.mark.exact
@pytest.mark.parametrize("leak", [0.3, np.array([0.2, 0.5, 0.9])])
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize("estimator", ["symmetric", "one-sided"])
@pytest.mark.parametrize("copies", [1, 3])
def test_traces_follow_the_recursions(network, leak, cost_on, estimator, copies):
    model = network(3, 0.5, 0.6, 4)
    told = {"nudging": -0.2, "leak": leak, "estimator": estimator, "cost_on": cost_on, "copies": copies, "steps": 7}
    mean, second, variances = written_out(model, COST, **told)
    stated = bounds.trace_difference(model, COST, **told)
    np.testing.assert_allclose(stated.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(stated.second, second, rtol=1e-12)
    width = 0.2 * (2 if estimator == "symmetric" else 1)
    moment = bounds.coupled_second_moment(model, COST, dynamics="leaky", **told)
    square = second[0, 0] + 2 * second[0, 1] + second[1, 1]
    assert moment.couplings[0, 1] == pytest.approx(square / width**2, rel=1e-12)
    assert moment.bias == pytest.approx(np.diagonal(second) / width**2, rel=1e-12)
    scatter = bounds.coupled_variance(model, COST, dynamics="leaky", **told)
    assert scatter.couplings[0, 1] == pytest.approx(min(variances[0], moment.couplings[0, 1]), rel=1e-12)
    assert scatter.bias[0] == pytest.approx(min(variances[1], moment.bias[0]), rel=1e-12)
    np.testing.assert_array_equal(scatter.couplings, scatter.couplings.T)


@pytest.mark.exact
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize("estimator", ["symmetric", "one-sided"])
def test_probabilities_follow_the_recursions_one_step_earlier(network, cost_on, estimator):
    model = network(3, 0.5, 0.6, 4)
    told = {"nudging": 0.2, "leak": np.array([0.2, 0.5, 0.9]), "estimator": estimator, "cost_on": cost_on, "copies": 2}
    mean, second, variances = written_out(model, COST, **told, steps=6, statistic="probabilities")
    reach = 0.2 * np.array([0.9 if cost_on == "rates" else 0.4, 0.0, 0.8 if cost_on == "rates" else 0.3])
    slope = largest_slope(model, reach / model.temperature) / model.temperature
    width = 0.2 * (2 if estimator == "symmetric" else 1)
    influence, drive = slope[:, None] * np.abs(model.couplings), slope * width / 0.2 * reach
    carried = influence @ mean
    square = (
        influence @ second @ influence.T + np.outer(carried, drive) + np.outer(drive, carried) + np.outer(drive, drive)
    )
    asked = {**told, "dynamics": "leaky", "statistic": "probabilities", "steps": 7}
    moment, scatter = bounds.coupled_second_moment(model, COST, **asked), bounds.coupled_variance(model, COST, **asked)
    assert moment.bias == pytest.approx(np.diagonal(square) / width**2, rel=1e-12)
    both = square[0, 0] + 2 * square[0, 1] + square[1, 1]
    assert moment.couplings[0, 1] == pytest.approx(both / width**2, rel=1e-12)
    assert scatter.couplings[0, 1] == pytest.approx(min(variances[0], moment.couplings[0, 1]), rel=1e-12)
    assert scatter.bias[0] == pytest.approx(min(variances[1], moment.bias[0]), rel=1e-12)
    np.testing.assert_array_equal(moment.couplings, moment.couplings.T)


@pytest.mark.exact
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
def test_stationary_bounds_are_the_limit_of_many_steps(network, cost_on):
    model = network(3, 0.4, 0.6, 4)
    told = {"nudging": 0.05, "leak": 0.5, "cost_on": cost_on}
    for late, always in zip(
        bounds.trace_difference(model, COST, **told, steps=400),
        bounds.trace_difference(model, COST, **told),
        strict=True,
    ):
        np.testing.assert_allclose(late, always, rtol=1e-11)
    late, always = (bounds.coupled_variance(model, COST, dynamics="leaky", **told, steps=s) for s in (400, None))
    np.testing.assert_allclose(upper(late), upper(always), rtol=1e-11)
    coarse = np.linalg.solve(
        np.eye(3) - np.abs(model.couplings) / (4 * model.temperature),
        0.1 * np.array([1.0, 0.0, 1.0]) / (4 * model.temperature),
    )
    assert (bounds.trace_difference(model, COST, **told).mean <= coarse).all()


@pytest.mark.exact
def test_variance_of_traces_falls_with_the_leak_and_its_second_moment_does_not(network):
    model = network(3, 0.3, 0.6, 4)
    told = {"nudging": 0.1, "dynamics": "leaky"}
    scatter = [upper(bounds.coupled_variance(model, COST, leak=leak, **told)) for leak in (1e-2, 1e-3)]
    np.testing.assert_allclose(scatter[1] / scatter[0], 0.1, rtol=0.1)
    square = [upper(bounds.coupled_second_moment(model, COST, leak=leak, **told)) for leak in (1e-2, 1e-3)]
    # the unit that is no output has little mean to keep
    assert (square[1] > 0.2 * square[0]).all()


@pytest.mark.exact
def test_a_random_sign_adds_the_variance_of_its_means(network):
    model = network(3, 0.3, 0.6, 4)
    told = {"nudging": 0.1, "dynamics": "leaky", "leak": 0.01, "estimator": "random-sign"}
    np.testing.assert_array_equal(
        upper(bounds.coupled_variance(model, COST, **told)), upper(bounds.coupled_second_moment(model, COST, **told))
    )


@pytest.mark.exact
def test_a_nudge_that_undoes_the_contraction_leaves_the_second_moment(network):
    model = network(3, 0.9, 0.0, 4)
    told = {"nudging": 2.0, "dynamics": "leaky", "leak": 0.01}
    np.testing.assert_array_equal(
        upper(bounds.coupled_variance(model, COST, **told)), upper(bounds.coupled_second_moment(model, COST, **told))
    )
    early = bounds.coupled_variance(model, COST, **told, steps=2)
    assert (upper(early) < upper(bounds.coupled_variance(model, COST, **told))).all()


@pytest.mark.exact
def test_widened_ranges_hold_the_nudged_fields():
    model = Model([[0.0, 2.0], [2.0, 0.0]], [4.0, -1.0], temperature=2.0)
    low, high = field_ranges(model, [0.5, 0.0])
    np.testing.assert_allclose(low, [1.5, -0.5])
    np.testing.assert_allclose(high, [3.5, 0.5])
    np.testing.assert_allclose(largest_slope(model, [0.5, 0.0]), [sigma(1.5) * sigma(-1.5), 0.25], rtol=1e-12)
    assert largest_curvature(model, [2.0, 0.0])[0] > largest_curvature(model)[0]
    assert largest_influence(model, [0.5, 0.0])[0, 1] == pytest.approx(sigma(2.5) - sigma(1.5), rel=1e-12)
    assert largest_influence(model)[0, 1] == pytest.approx(sigma(3.0) - sigma(2.0), rel=1e-12)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"nudging": 0.0}, "^nudging must be finite and non-zero, got 0.0: the symmetric estimator divides by it$"),
        ({"nudging": math.nan}, "^nudging must be finite and non-zero, got nan"),
        (
            {"estimator": "three-factor"},
            "^estimator must be one of one-sided, symmetric, random-sign, got 'three-factor'$",
        ),
        ({"dynamics": "langevin"}, "^dynamics must be glauber, block, little or leaky, got 'langevin'$"),
        ({"cost_on": "rates"}, "^dynamics 'glauber' has cost_on='spikes' only: its states are spikes, got 'rates'$"),
        ({"dynamics": "leaky", "leak": 1.5}, r"^leak must lie in \(0, 1\], got 1.5$"),
        ({"dynamics": "leaky", "copies": 0}, "^copies must be a whole number of at least 1, got 0$"),
        ({"statistic": "traces"}, "^statistic must be spikes or probabilities for glauber, got 'traces'$"),
        (
            {"dynamics": "leaky", "statistic": "spikes"},
            "^statistic must be traces or probabilities for leaky, got 'spikes'$",
        ),
        (
            {"dynamics": "leaky", "statistic": "probabilities", "steps": 0},
            "^steps must be a whole number of at least 1, got 0$",
        ),
        ({"dynamics": "leaky", "steps": -1}, "^steps must be a whole number of at least 0, got -1$"),
    ],
)
@pytest.mark.parametrize("bound", [bounds.coupled_second_moment, bounds.coupled_variance])
def test_bad_argument_is_refused_with_the_value(network, bound, arguments, said):
    with pytest.raises(ValueError, match=said):
        bound(network(3, 0.5, 0.3, 6), COST, **{"nudging": 0.1, **arguments})


@pytest.mark.exact
def test_outside_the_hypotheses_the_failed_one_is_named(network):
    model = network(3, 1.2, 0.0, 4)
    with pytest.raises(HypothesisError, match=r"κ_a = ‖\|J\|‖₂/\(4T\) < 1"):
        bounds.trace_difference(model, COST, nudging=0.1, leak=0.5)
    assert bounds.trace_difference(model, COST, nudging=0.1, leak=0.5, steps=5).mean.shape == (3,)
    with pytest.raises(HypothesisError, match=r"ρ\(C\), C = tanh\(\|J\|/4T\)"):
        bounds.spike_difference(network(3, 3.0, 0.0, 4), COST, nudging=0.1)
