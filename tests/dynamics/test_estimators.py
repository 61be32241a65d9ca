"""Sampled gradients estimate what they say, with honest errors, at the stated cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numba
import numpy as np
import pytest
from scipy import stats

from dynamics import Estimate, estimate_gradient, exact_gradient, exact_law
from dynamics.enumeration import all_states
from dynamics.pairing import read_phase
from dynamics.phases import Noise, bind, free_phase
from dynamics.philox import STREAM_FREE, STREAM_NUDGED, STREAM_OPPOSITE
from meanfield import Gradient, Model, QuadraticCost, bounds, equilibrium_gradient, fixed_point, implicit_gradient

# of the whole file; z-scores are compared with the normal quantile for at most so many entries
FALSE_ALARM, ENTRIES = 1e-9, 1000
LIMIT = float(stats.norm.isf(FALSE_ALARM / ENTRIES / 2))
COST = QuadraticCost([0, 2], [0.9, 0.2])
NUDGING = 0.5
ENERGETIC = pytest.mark.parametrize("dynamics", ["glauber", "block", "little"])
CONTRASTIVE = pytest.mark.parametrize("estimator", ["one-sided", "symmetric", "random-sign"])
DYNAMICS = ["glauber", "block", "little", "leaky"]
ESTIMATES = [
    (dynamics, estimator)
    for dynamics in DYNAMICS
    for estimator in ("one-sided", "symmetric", "random-sign", "three-factor")
    if (dynamics, estimator) != ("leaky", "three-factor")  # refused: leaky spikes have no energy
]
COUPLED = pytest.mark.parametrize("coupled", [True, False])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small phases lose by waking threads; no bit depends on them (test_samplers)."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def network_for(network: Callable[..., Model], dynamics: str) -> Model:
    return network(4, 0.5, 0.3, 6, layered=dynamics == "block")


def flat(gradient: Gradient) -> np.ndarray:
    return np.concatenate([gradient.couplings[np.triu_indices(len(gradient.bias), 1)], gradient.bias])


def agrees(estimate: Estimate, exact: Gradient, allowance: np.ndarray | float = 0.0) -> bool:
    off, error = np.abs(flat(estimate.value) - flat(exact)), flat(estimate.standard_error)
    known = error > 0
    return (
        bool((off[known] <= LIMIT * error[known] + np.broadcast_to(allowance, off.shape)[known]).all())
        and not off[~known].any()
    )


def statistic(model: Model, dynamics: str, nudging: float) -> Gradient:
    """⟨∂E/∂θ⟩ of the nudged law: −⟨z_i z_j⟩, or Little's −½⟨z_i(t) z_j(t+1) + z_j(t) z_i(t+1)⟩, and −⟨z_i⟩."""
    if dynamics == "little":
        law, states = exact_law(model, dynamics="little", cost=COST, nudging=nudging), all_states(model.size)
        field = model.local_field(states) - nudging * COST.force(model.size, "spikes")[1]
        lagged = states.T @ (law.probabilities[:, None] / (1 + np.exp(-field / model.temperature)))
        pairs = 0.5 * (lagged + lagged.T)
    else:
        law = exact_law(model, cost=COST, nudging=nudging)
        pairs = law.covariance + np.outer(law.mean, law.mean)
    return Gradient(np.diag(np.diagonal(pairs)) - pairs, -law.mean)


def finite_nudge(model: Model, dynamics: str, estimator: str, nudging: float) -> Gradient:
    low = 0.0 if estimator == "one-sided" else -nudging
    up, down = statistic(model, dynamics, nudging), statistic(model, dynamics, low)
    return Gradient(*((a - b) / (nudging - low) for a, b in zip(up, down, strict=True)))


@pytest.mark.statistical
@ENERGETIC
@CONTRASTIVE
@COUPLED
def test_estimate_is_the_exact_finite_nudge_value(network, dynamics, estimator, coupled):
    model = network_for(network, dynamics)
    estimate = estimate_gradient(
        model, COST, dynamics=dynamics, estimator=estimator, nudging=NUDGING, samples=8000, seed=1, coupled=coupled,
        steps_free=40, steps_nudged=40,
    )  # fmt: skip
    assert agrees(estimate, finite_nudge(model, dynamics, estimator, NUDGING))


@pytest.mark.statistical
def test_the_verdict_tells_the_estimators_and_the_dynamics_apart(network):
    model = network(4, 1.2, 0.3, 6)
    for dynamics, other in (("glauber", "little"), ("little", "glauber")):
        arguments = {"dynamics": dynamics, "nudging": 2.0, "samples": 40_000, "seed": 4}
        estimate = estimate_gradient(model, COST, estimator="one-sided", steps_free=80, steps_nudged=80, **arguments)
        assert agrees(estimate, finite_nudge(model, dynamics, "one-sided", 2.0))
        wrong = [finite_nudge(model, other, "one-sided", 2.0), finite_nudge(model, dynamics, "symmetric", 2.0)]
        assert not any(agrees(estimate, value) for value in wrong)


@pytest.mark.statistical
@pytest.mark.parametrize("dynamics", ["glauber", "block"])
def test_three_factor_estimate_is_the_exact_gradient(network, dynamics):
    model = network_for(network, dynamics)
    estimate = estimate_gradient(
        model, COST, dynamics=dynamics, estimator="three-factor", samples=40_000, seed=2, steps_free=40
    )
    assert agrees(estimate, exact_gradient(model, COST))


@pytest.mark.statistical
def test_littles_estimates_are_of_littles_own_loss(network, differentiate):
    model = network(4, 0.8, 0.3, 6)

    def loss(moved: Model) -> float:
        return float(COST.on_mean_spikes(exact_law(moved, dynamics="little").mean))

    own, gibbs = differentiate(model, loss), exact_gradient(model, COST)
    small = finite_nudge(model, "little", "symmetric", 1e-3)
    np.testing.assert_allclose(flat(small), flat(own), atol=1e-6)
    estimate = estimate_gradient(
        model, COST, dynamics="little", estimator="three-factor", samples=60_000, seed=3, steps_free=80
    )
    assert agrees(estimate, own)
    assert not agrees(estimate, gibbs)
    contrast = estimate_gradient(
        model, COST, dynamics="little", nudging=0.2, samples=60_000, seed=3, steps_free=80, steps_nudged=80
    )
    assert agrees(contrast, own, np.abs(flat(finite_nudge(model, "little", "symmetric", 0.2)) - flat(own)))


def leaky_allowance(model: Model, cost_on: str, leak: float, mean: np.ndarray) -> np.ndarray:
    """Bound on |⟨s_i s_j⟩ − m_i m_j| and |⟨s_i⟩ − m_i| of the nudged chain (thm:B5), the nudge's own slope in |J|."""
    slope, _ = COST.force(model.size, cost_on)
    absolute = (np.abs(model.couplings) + NUDGING * np.diag(slope)) / model.temperature
    transition = (1 - leak) * np.eye(model.size) + leak * absolute / 4
    spread = np.zeros_like(absolute)
    for _ in range(4000):
        spread = transition @ spread @ transition.T + leak**2 / 4 * np.eye(model.size)
    curved = 1 / (12 * math.sqrt(3)) * np.diagonal(absolute @ spread @ absolute)
    shift = np.linalg.solve(np.eye(model.size) - absolute / 4, curved)
    pairs = spread + np.outer(mean, shift) + np.outer(shift, mean) + np.outer(shift, shift)
    return np.concatenate([pairs[np.triu_indices(model.size, 1)], shift])


@pytest.mark.statistical
@pytest.mark.parametrize("cost_on", ["rates", "spikes"])
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric", "random-sign"])
def test_leaky_estimate_is_the_mean_field_gradient_up_to_its_proven_bias(network, cost_on, estimator):
    model, leak = network(4, 0.4, 0.3, 6), 0.02
    kind = "symmetric" if estimator == "random-sign" else estimator
    estimate = estimate_gradient(
        model, COST, dynamics="leaky", estimator=estimator, nudging=NUDGING, samples=1500, seed=5, leak=leak,
        steps_free=1000, steps_nudged=1000, cost_on=cost_on,
    )  # fmt: skip
    # the start's share has decayed by 0.98^1000; both phases may err, and the difference is divided by β or 2β
    states = [fixed_point(model, cost=COST, nudging=b, cost_on=cost_on).value for b in (-NUDGING, 0.0, NUDGING)]
    each = leaky_allowance(model, cost_on, leak, np.max(states, axis=0))
    allowance = 2 * each / (NUDGING if estimator != "symmetric" else 2 * NUDGING)
    nudged = equilibrium_gradient(model, COST, nudging=NUDGING, estimator=kind, cost_on=cost_on)
    exact = implicit_gradient(model, COST, cost_on)
    assert agrees(estimate, nudged, allowance)
    assert agrees(estimate, exact, allowance + np.abs(flat(nudged) - flat(exact)))
    assert np.linalg.norm(allowance) < 0.5 * np.linalg.norm(flat(exact))
    # a wrong sign or a factor of two is far outside
    assert not agrees(estimate, Gradient(2 * exact.couplings, 2 * exact.bias), allowance)
    assert not agrees(estimate, Gradient(-exact.couplings, -exact.bias), allowance)


@pytest.mark.statistical
def test_leaky_reads_the_cost_on_rates_by_default(network):
    model = network(4, 0.4, 0.3, 6)
    shared = {"dynamics": "leaky", "nudging": NUDGING, "samples": 50, "seed": 5, "steps_free": 30, "steps_nudged": 30}
    default, rates, spikes = (
        estimate_gradient(model, COST, **shared, **extra) for extra in ({}, {"cost_on": "rates"}, {"cost_on": "spikes"})
    )
    np.testing.assert_array_equal(flat(default.value), flat(rates.value))
    assert (flat(default.value) != flat(spikes.value)).any()


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("dynamics", "estimator", "coupled"),
    [*((*which, True) for which in ESTIMATES), *((dynamics, "symmetric", False) for dynamics in DYNAMICS)],
)
def test_standard_errors_are_honest(network, dynamics, estimator, coupled):
    model, runs = network_for(network, dynamics), 100
    estimates = [
        estimate_gradient(
            model, COST, dynamics=dynamics, estimator=estimator, nudging=NUDGING, samples=200, seed=seed,
            coupled=coupled, steps_free=8, steps_nudged=8,
        )
        for seed in range(runs)
    ]  # fmt: skip
    values = np.array([flat(estimate.value) for estimate in estimates])
    reported = np.mean([flat(estimate.standard_error) ** 2 for estimate in estimates], axis=0)
    met = reported > 0
    ratio = values.var(axis=0, ddof=1)[met] / reported[met]
    # the mean of 200 replicas is all but normal: the variance ratio is χ²/(runs − 1)
    band = np.array([stats.chi2.ppf(FALSE_ALARM / ENTRIES, runs - 1), stats.chi2.isf(FALSE_ALARM / ENTRIES, runs - 1)])
    assert ((band[0] / (runs - 1) < ratio) & (ratio < band[1] / (runs - 1))).all()
    # over all entries the band is narrow enough to expose a factor √2
    assert 0.7 < ratio.mean() < 1.4


@pytest.mark.statistical
@pytest.mark.parametrize("dynamics", DYNAMICS)
@CONTRASTIVE
def test_coupling_divides_the_variance_at_small_nudging(network, dynamics, estimator):
    model = network_for(network, dynamics)
    coupled, independent = (
        flat(
            estimate_gradient(
                model, COST, dynamics=dynamics, estimator=estimator, nudging=0.02, samples=4000, seed=7, coupled=c,
                steps_free=30, steps_nudged=30,
            ).standard_error
        )
        for c in (True, False)
    )  # fmt: skip
    assert (coupled**2).sum() < 0.1 * (independent**2).sum()


@pytest.mark.statistical
@pytest.mark.parametrize("dynamics", ["glauber", "block", "little"])
def test_second_moment_of_coupled_spikes_grows_like_one_over_the_nudging(network, dynamics):
    # thm:C8: O(1/β) coupled, Θ(1/β²) independent
    model, moments = network_for(network, dynamics), {}
    for coupled in (True, False):
        moments[coupled] = [
            (
                flat(
                    estimate_gradient(
                        model, COST, dynamics=dynamics, nudging=b, samples=20_000, seed=9, coupled=coupled,
                        steps_free=20, steps_nudged=20,
                    ).standard_error
                )
                ** 2
            ).sum()
            for b in (0.2, 0.02)
        ]  # fmt: skip
    assert abs(math.log10(moments[True][1] / moments[True][0]) - 1) < 0.25
    assert abs(math.log10(moments[False][1] / moments[False][0]) - 2) < 0.1


def replica_by_replica(model, dynamics, estimator, statistic, start, samples, seed, free, nudged) -> np.ndarray:
    """−∂E/∂θ's contrast of every replica, (samples, pairs + N), from phases that the test runs itself."""
    setting = bind(model, dynamics, cost=COST)
    first = free_phase(setting, steps=free, replicas=samples, noise=Noise(seed, STREAM_FREE))
    second, streams = first, (STREAM_NUDGED, STREAM_NUDGED if start["coupled"] else STREAM_OPPOSITE)
    if not start["coupled"] and not start["warm"]:
        second = free_phase(setting, steps=free, replicas=samples, noise=Noise(seed, STREAM_OPPOSITE, nudged))
    nudgings = NUDGING, -NUDGING if estimator == "symmetric" else 0.0
    upper, readings = np.triu_indices(model.size, 1), []
    for begin, stream, nudging in zip((first, second), streams, nudgings, strict=True):
        phase = read_phase(setting, begin, nudged, Noise(seed, stream), np.full(samples, nudging), statistic)
        outer = np.array([np.outer(x, y) + np.outer(y, x) for x, y in zip(phase.left, phase.right, strict=True)]) / 2
        readings.append(np.concatenate([outer[:, *upper], phase.unit], axis=1))
    return (readings[1] - readings[0]) / (nudgings[0] - nudgings[1])


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("estimator", ["one-sided", "symmetric"])
@pytest.mark.parametrize("statistic", ["spikes", "probabilities", None])
@pytest.mark.parametrize(
    "start", [{"coupled": True, "warm": False}, {"coupled": False, "warm": True}, {"coupled": False, "warm": False}]
)
def test_value_and_standard_error_are_those_of_the_replicas(network, dynamics, estimator, statistic, start):
    model, samples = network_for(network, dynamics), 60
    estimate = estimate_gradient(
        model, COST, dynamics=dynamics, estimator=estimator, nudging=NUDGING, samples=samples, seed=12, steps_free=3,
        steps_nudged=4, statistic=statistic, **start,
    )  # fmt: skip
    read = statistic or ("traces" if dynamics == "leaky" else "spikes")
    each = replica_by_replica(model, dynamics, estimator, read, start, samples, 12, 3, 4)
    np.testing.assert_allclose(flat(estimate.value), each.mean(axis=0), rtol=1e-10, atol=1e-12)
    error = each.std(axis=0, ddof=1) / math.sqrt(samples)
    np.testing.assert_allclose(flat(estimate.standard_error), error, rtol=1e-8, atol=1e-9)
    sweeps = 3 * (1 if start["coupled"] or start["warm"] else 2) + 2 * 4
    assert estimate.relaxations == samples * sweeps


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("statistic", ["spikes", "probabilities"])
def test_no_bit_depends_on_the_threads(network, dynamics, statistic):
    shared = {"dynamics": dynamics, "nudging": 0.3, "samples": 50, "seed": 2, "steps_free": 3, "steps_nudged": 3}
    estimates = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        estimates.append(
            estimate_gradient(
                network_for(network, dynamics), COST, statistic=statistic, coupled=False, warm=True, **shared
            )
        )
    numba.set_num_threads(1)
    for one, other in zip(estimates[0][:2], estimates[1][:2], strict=True):
        np.testing.assert_array_equal(flat(one), flat(other))


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "estimator"), ESTIMATES)
@COUPLED
def test_relaxations_are_all_sweeps_of_all_replicas(network, dynamics, estimator, coupled):
    estimate = estimate_gradient(
        network_for(network, dynamics), COST, dynamics=dynamics, estimator=estimator, nudging=0.1, samples=11, seed=0,
        coupled=coupled, steps_free=7, steps_nudged=3,
    )  # fmt: skip
    sweeps = 7 if estimator == "three-factor" else (7 if coupled else 2 * 7) + 2 * 3
    assert estimate.relaxations == 11 * sweeps


@pytest.mark.exact
def test_steps_default_to_the_proven_mixing_time(network):
    model = network(4, 0.5, 0.3, 6)
    for dynamics in ("glauber", "little", "leaky"):
        free = bounds.mixing_sweeps(model, dynamics=dynamics, leak=0.2, accuracy=1e-3)
        # leaky spikes are nudged by the cost on rates, which slows their mixing
        slope = 0.1 if dynamics == "leaky" else 0.0
        nudged = bounds.mixing_sweeps(model, dynamics=dynamics, leak=0.2, accuracy=1e-3, nudging=slope)
        estimate = estimate_gradient(model, COST, dynamics=dynamics, nudging=0.1, samples=5, seed=0)
        assert estimate.relaxations == 5 * (free + 2 * nudged)
        explicit = estimate_gradient(
            model, COST, dynamics=dynamics, nudging=0.1, samples=5, seed=0, steps_free=free, steps_nudged=nudged
        )
        np.testing.assert_array_equal(flat(estimate.value), flat(explicit.value))


@pytest.mark.exact
@pytest.mark.parametrize(("dynamics", "estimator"), ESTIMATES)
@COUPLED
def test_memory_chunks_do_not_change_the_estimate(network, monkeypatch, dynamics, estimator, coupled):
    estimates = []
    for chunk in (1000, 17):
        monkeypatch.setattr("dynamics.estimators.CHUNK", chunk)
        estimates.append(
            estimate_gradient(
                network_for(network, dynamics), COST, dynamics=dynamics, estimator=estimator, nudging=0.3, samples=100,
                seed=3, coupled=coupled, steps_free=4, steps_nudged=4,
            )
        )  # fmt: skip
    for one, other in zip(estimates[0][:2], estimates[1][:2], strict=True):
        np.testing.assert_allclose(flat(one), flat(other), rtol=1e-10, atol=1e-12)


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_gradients_are_symmetric_with_a_zero_diagonal_and_repeat_with_the_seed(network, dynamics):
    one, two, other = (
        estimate_gradient(
            network_for(network, dynamics), COST, dynamics=dynamics, nudging=0.3, samples=64, seed=seed, steps_free=4,
            steps_nudged=4,
        )
        for seed in (1, 1, 2)
    )  # fmt: skip
    for part in (one.value.couplings, one.standard_error.couplings):
        np.testing.assert_array_equal(part, part.T)
        assert not np.diagonal(part).any()
    np.testing.assert_array_equal(flat(one.value), flat(two.value))
    assert (flat(one.value) != flat(other.value)).any()


@pytest.mark.exact
def test_a_single_unit_and_a_saturated_network_are_ordinary():
    lone = estimate_gradient(Model([[0.0]], [0.2]), QuadraticCost([0], [1.0]), nudging=0.5, samples=100, seed=0)
    assert lone.value.couplings.tolist() == [[0.0]]
    frozen = Model([[0, 1.0], [1.0, 0]], [1e4, -1e4])
    for name in ("glauber", "block", "little"):
        estimate = estimate_gradient(frozen, QuadraticCost([0], [0.0]), dynamics=name, nudging=0.1, samples=50, seed=0)
        assert not flat(estimate.value).any()
        assert not flat(estimate.standard_error).any()


@pytest.mark.exact
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"estimator": "holomorphic"},
            "needs complex firing probabilities, which cannot be sampled: use meanfield.equi",
        ),
        ({"estimator": "central"}, "estimator must be one of .*, got 'central'"),
        ({"nudging": 0.0}, "nudging must be finite and non-zero, got 0.0"),
        ({"nudging": None}, "nudging must be finite and non-zero, got None"),
        ({"nudging": math.nan}, "nudging must be finite and non-zero, got nan"),
        ({"nudging": math.inf}, "nudging must be finite and non-zero, got inf"),
        ({"dynamics": "langevin"}, "dynamics 'langevin' has no spikes to learn from"),
        ({"dynamics": "gibbs"}, "dynamics must be one of .*, got 'gibbs'"),
        ({"dynamics": "leaky", "estimator": "three-factor"}, "'three-factor' needs a law with an energy"),
        ({"samples": 1}, "samples must be a whole number of at least 2, got 1"),
        ({"samples": 2.5}, "samples must be a whole number of at least 2, got 2.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"steps_free": 0}, "steps_free must be a whole number of at least 1, got 0"),
        ({"steps_nudged": 0}, "steps_nudged must be a whole number of at least 1, got 0"),
        ({"cost_on": "rates"}, "dynamics 'glauber' has cost_on='spikes' only"),
        ({"dynamics": "leaky", "leak": 1.5}, r"leak must lie in \(0, 1\], got 1.5"),
        ({"dynamics": "block"}, "form an odd cycle"),
        ({"copies": 2}, "copies = 2 needs dynamics 'leaky'"),
        (
            {"warm": True},
            "^warm=True needs coupled=False: coupled phases start at the free state already, and share noise$",
        ),
        (
            {"warm": True, "coupled": False, "estimator": "three-factor"},
            "^warm=True is about nudged phases, and estimator 'three-factor' has none: leave it out$",
        ),
        ({"statistic": "rates"}, "statistic must be one of spikes, traces, probabilities, got 'rates'"),
        ({"statistic": "traces"}, "statistic 'traces' needs dynamics 'leaky'"),
        (
            {"statistic": "probabilities", "estimator": "three-factor"},
            "estimator 'three-factor' correlates spikes with the cost",
        ),
    ],
)
def test_bad_argument_is_refused_with_the_value(network, arguments, said):
    with pytest.raises(ValueError, match=said):
        estimate_gradient(network(4, 0.5, 0.3, 6), COST, **{"nudging": 0.1, "samples": 10, "seed": 0, **arguments})


@pytest.mark.exact
@pytest.mark.parametrize("dynamics", ["glauber", "little", "leaky"])
def test_steps_are_required_where_no_mixing_time_is_proven(network, dynamics):
    model = network(4, 5.0, 0.0, 1)
    arguments = {"dynamics": dynamics, "nudging": 0.1, "samples": 10, "seed": 0}
    with pytest.raises(ValueError, match="steps_free must be given here: no mixing time is proven"):
        estimate_gradient(model, COST, **arguments)
    with pytest.raises(ValueError, match="steps_nudged must be given here: no mixing time is proven"):
        estimate_gradient(model, COST, steps_free=3, **arguments)
    assert estimate_gradient(model, COST, steps_free=3, steps_nudged=2, **arguments).relaxations == 10 * 7
