"""The rules that `harness` holds side by side, each as the mean and the variance of one estimate on one layered network.

A parameter vector is the couplings between neighbouring layers, then the biases. Small restatements, no reproductions:

    EP, continual EP, FRE, BPTT          at mean-field rest: dynamics, meanfield, thm:C1, thm:C4, thm:G2, thm:G3
    StochEP, three-factor covariance     Glauber and leaky spikes: laws by enumeration where they fit, else samples, thm:C8, thm:C9
    evolution strategies                 E‖ĝ‖² and E ĝ by samples against a control variate of known moments, thm:G11
    predictive coding                    x minimises Σ_l ½‖x_l − σ((W_l x_{l−1} + b_l)/T)‖² + (β/2)‖x_L − y‖²; linear in thm:G9
    targets                              thm:G10, thm:G10b on the pass from below

Main results: Case, draw_case, Settings, Moments and a function for each rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynamics.backpropagation import backpropagation_through_time
from dynamics.coupling import exact_estimator_moments, reading
from dynamics.enumeration import all_states, exact_gradient, exact_law, nudged_bias, transition_matrix
from dynamics.estimators import estimate_gradient
from dynamics.exact_variance import MAX_PAIR_UNITS, three_factor_variance
from meanfield.equations import firing_probability, firing_slope
from meanfield.learning_rule import equilibrium_gradient
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from meanfield.response import implicit_gradient
from meanfield.solve import ConvergenceError, fixed_point
from proofs_numeric.comparators.evolution_strategies import Landscape, landscape
from proofs_numeric.comparators.feedback_scaling import Circuit, chain_couplings, gauge
from proofs_numeric.comparators.target_propagation import damped_target, difference_target, product

# Sweeps before a rest or an inference is given up, and how near it must come.
LONGEST, NEAR = 20_000, 1e-6
# Perturbed networks at once, so that memory stays small.
CHUNK = 512
MANY = 10**6


class Case(NamedTuple):
    """A layered network without lateral links: weights[l] (above, below) from layer l to l + 1, the `Model` of the same weights."""

    name: str
    layers: tuple[int, ...]
    weights: Sequence[FloatArray]
    model: Model
    cost: QuadraticCost

    @property
    def edges(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Index arrays (below, above) of the couplings."""
        below, above = np.nonzero(np.triu(self.model.couplings, 1))
        return below, above

    def flat(self, gradient: Gradient) -> FloatArray:
        """(d,): the couplings of edges, then the biases."""
        return np.concatenate([gradient.couplings[self.edges], gradient.bias])

    def split(self, vector: FloatArray) -> list[FloatArray]:
        """A vector over units (N,) layer by layer."""
        return np.split(vector, np.cumsum(self.layers)[:-1])

    def from_errors(self, errors: FloatArray, rates: FloatArray) -> FloatArray:
        """(d,) of a rule that moves a coupling by (error above) × (rate below), a bias by the error."""
        below, above = self.edges
        return np.concatenate([errors[above] * rates[below], errors])


class Settings(NamedTuple):
    """What every rule is run with; nudging (of ES the width σ) in units of the temperature."""

    nudging: float
    steps: int
    samples: int
    seed: int
    points: int = 4
    feedback: float = 0.1
    leak: float = 0.2
    damping: float = 1.0
    batches: int = 8


class Moments(NamedTuple):
    """Mean (d,) and total variance of one estimate, its relaxations; rms of the error of the mean, standard error of the variance.

    rate: variance × relaxations where many are spent on one estimate; None where that is an average of many.
    """

    mean: FloatArray
    relaxations: float
    variance: float = 0.0
    mean_error: float = 0.0
    variance_error: float = 0.0
    rate: float | None = None


def draw_case(layers: tuple[int, ...], *, temperature: float, gain: float, seed: int) -> Case:
    """Normal weights of ‖J‖₂ = 4·gain, so κ = gain/T; biases N(0, 1) about m = ½; outputs the last layer, targets 0 or 1."""
    generator = np.random.default_rng([seed, 120, *layers])
    shapes = zip(layers[1:], layers[:-1], strict=True)
    weights = [generator.normal(size=shape) for shape in shapes]
    forward = chain_couplings(weights, [1.0] * len(weights))
    scale = 4 * gain / float(np.linalg.norm(forward, 2))
    couplings, size = scale * forward, sum(layers)
    bias = generator.normal(size=size) - 0.5 * couplings.sum(axis=1)
    cost = QuadraticCost(np.arange(size - layers[-1], size), np.round(generator.uniform(size=layers[-1])))
    name = f"{'-'.join(map(str, layers))} #{seed}"
    return Case(name, layers, [scale * one for one in weights], Model(couplings, bias, temperature), cost)


# ---- the pass from below


def from_below(case: Case) -> tuple[FloatArray, FloatArray]:
    """Rates (N,) of layers that hear only the layer below, and the gradient (d,) of ½‖h_L − y‖² by backpropagation."""
    temperature = case.model.temperature
    rates = np.concatenate(pass_from_below(case))
    slope = case.split(firing_slope(rates, temperature))
    errors = [slope[-1] * (rates[case.cost.outputs] - case.cost.target)]
    for weight, steep in zip(case.weights[::-1], slope[-2::-1], strict=True):
        errors.insert(0, steep * (weight.T @ errors[0]))
    return rates, case.from_errors(np.concatenate(errors), rates)


def pass_from_below(case: Case) -> list[FloatArray]:
    """h_1 = σ(b_1/T), h_l = σ((W_l h_{l−1} + b_l)/T)."""
    biases = case.split(case.model.bias)
    rates = [firing_probability(biases[0], case.model.temperature)]
    for weight, bias in zip(case.weights, biases[1:], strict=True):
        rates.append(firing_probability(weight @ rates[-1] + bias, case.model.temperature))
    return rates


# ---- mean field


def mean_field(estimator: str, relaxations: float, **asked: Any) -> Callable[[Case, Settings], Moments]:
    """EP at nudged mean-field fixed points, relaxed for ever."""

    def found(case: Case, settings: Settings) -> Moments:
        gradient = equilibrium_gradient(
            case.model, case.cost, nudging=settings.nudging * case.model.temperature, estimator=estimator,
            points=settings.points, **asked,
        )  # fmt: skip
        return Moments(case.flat(gradient), relaxations)

    return found


def truncated(case: Case, settings: Settings) -> Moments:
    """BPTT through so many steps at rest."""
    mean = fixed_point(case.model, method="newton").value
    found = backpropagation_through_time(case.model, case.cost, steps=settings.steps, start=mean)
    return Moments(case.flat(found.truncated(settings.steps)), 2.0)


def continual(case: Case, settings: Settings) -> Moments:
    """thm:G2's rule on the network's own synapses: from rest, so many steps of neurons and synapses in turn, η/T² = (β/T)²."""
    model, nudging = case.model, settings.nudging * case.model.temperature
    ratio, linked = settings.nudging * model.temperature, model.couplings != 0
    slope, offset = case.cost.force(model.size, "rates")
    state = fixed_point(model, method="newton", tolerance=1e-15, throw=False).value
    couplings, bias = model.couplings, model.bias
    for _ in range(settings.steps):
        field = couplings @ state + bias - nudging * (slope * state + offset)
        after = firing_probability(field, model.temperature)
        change = (np.outer(after - state, after) + np.outer(state, after - state)) * linked
        couplings, bias, state = couplings + ratio * change, bias + ratio * (after - state), after
    learnt = Gradient(couplings - model.couplings, bias - model.bias)
    return Moments(-case.flat(learnt) / (ratio * nudging), 2.0)


def scaled_feedback(case: Case, settings: Settings) -> Moments:
    """FRE: feedback f·Wᵀ, (d_i/d_o)(free − nudged) of the neuron above × free rate below; relaxations in those of the plain net."""
    model, nudging = case.model, settings.nudging * case.model.temperature
    slope, offset = case.cost.force(model.size, "rates")
    circuit = Circuit(
        chain_couplings(case.weights, [settings.feedback] * len(case.weights)), model.bias, model.temperature
    )
    half = np.full(model.size, 0.5)
    rest = settle(circuit.step, half)
    nudged = settle(lambda state: circuit.step(state, 1.0, -nudging * (slope * state + offset)), rest)
    factor = gauge(circuit.couplings)
    errors = factor / factor[-1] * (rest - nudged) / nudging
    plain = Circuit(model.couplings, model.bias, model.temperature)
    length = sweeps(circuit.step, half) / sweeps(plain.step, half)
    return Moments(case.from_errors(errors, rest), 2 * length)


def settle(step: Callable[[FloatArray], FloatArray], start: FloatArray, tolerance: float = 1e-15) -> FloatArray:
    """The fixed point that steps lead to, where one moves no more than the tolerance; ConvergenceError if there is none."""
    state = start
    for _ in range(LONGEST):
        before, state = state, step(state)
        if np.abs(state - before).max() <= tolerance:
            return state
    raise ConvergenceError(f"no rest within {LONGEST} sweeps: raise the temperature or lower the gain")


def sweeps(step: Callable[[FloatArray], FloatArray], start: FloatArray) -> int:
    """Steps after which every unit is within NEAR of rest."""
    rest, state, count = settle(step, start), start, 0
    while np.abs(state - rest).max() > NEAR:
        state, count = step(state), count + 1
    return max(count, 1)


# ---- spikes


def glauber(coupled: bool, statistic: str) -> Callable[[Case, Settings], Moments]:
    """Symmetric StochEP from the stationary free law, nudged phases of so many sweeps; its mean exact, see `Moments`."""

    def found(case: Case, settings: Settings) -> Moments:
        mean, variance = _nudged_moments(case, settings, statistic)
        relaxations = 3.0 if coupled else 4.0
        if not coupled:
            return Moments(mean, relaxations, variance)
        asked: dict[str, Any] = {
            "nudging": settings.nudging * case.model.temperature, "steps_nudged": settings.steps, "statistic": statistic
        }  # fmt: skip
        if case.model.size <= MAX_PAIR_UNITS:
            moments = exact_estimator_moments(case.model, case.cost, **asked)
            return Moments(mean, relaxations, float(case.flat(moments.variance).sum()))
        drawn = _sampled(case, settings, relaxations, dynamics="glauber", steps_free=2 * settings.steps, **asked)
        return drawn._replace(mean=mean, mean_error=0.0)

    return found


def _nudged_moments(case: Case, settings: Settings, statistic: str) -> tuple[FloatArray, float]:
    """Mean (d,) of an estimate from two phases, and its total variance if they are independent: by the laws of the phases."""
    model, nudging = case.model, settings.nudging * case.model.temperature
    states, free = all_states(model.size), exact_law(model).probabilities
    mean, variance = 0.0, 0.0
    for strength in (nudging, -nudging):
        nudged = model.with_bias(nudged_bias(model, case.cost, strength))
        law = free @ np.linalg.matrix_power(transition_matrix(nudged), settings.steps * model.size)
        chance = firing_probability(model.local_field(states) + nudged.bias - model.bias, model.temperature)
        right = chance if statistic == "probabilities" else states
        values = reading(states, right, right)[:, _kept(case)]
        mean = mean - law @ values / (2 * strength)
        variance += float((law @ values**2 - (law @ values) ** 2).sum()) / (2 * nudging) ** 2
    return np.asarray(mean), variance


def _kept(case: Case) -> NDArray[np.intp]:
    """Where the network's own parameters stand among all pairs i < j and the biases."""
    pairs = case.model.couplings[np.triu_indices(case.model.size, 1)] != 0
    return np.flatnonzero(np.concatenate([pairs, np.ones(case.model.size, dtype=bool)]))


def _sampled(case: Case, settings: Settings, relaxations: float, **asked: Any) -> Moments:
    """Moments from samples in independent batches, whose scatter is the error of the variance."""
    count = max(2, settings.samples // settings.batches)
    means, variances, errors = [], [], []
    for batch in range(settings.batches):
        drawn = estimate_gradient(
            case.model, case.cost, samples=count, seed=settings.seed * settings.batches + batch, **asked
        )
        means.append(case.flat(drawn.value))
        errors.append(float((case.flat(drawn.standard_error) ** 2).sum()))
        variances.append(errors[-1] * count)
    many = settings.batches
    return Moments(
        np.mean(means, axis=0), relaxations, float(np.mean(variances)), math.sqrt(np.sum(errors)) / many,
        float(np.std(variances, ddof=1)) / math.sqrt(many),
    )  # fmt: skip


def leaky(case: Case, settings: Settings) -> Moments:
    """Symmetric StochEP of coupled leaky spikes, p_ip_j of the last step; steps/leak sweeps a phase, so 1/leak relaxations.

    Its mean too is sampled, so of four times the samples.
    """
    phase = math.ceil(settings.steps / settings.leak)
    return _sampled(
        case, settings._replace(samples=4 * settings.samples), 3 * phase / settings.steps, dynamics="leaky",
        leak=settings.leak, statistic="probabilities", steps_free=phase, steps_nudged=phase,
        nudging=settings.nudging * case.model.temperature,
    )  # fmt: skip


def three_factor(case: Case, settings: Settings) -> Moments:
    """The sample covariance of two stationary free samples, the fewest that have one; rate: of many."""
    few, many = (
        float(case.flat(three_factor_variance(case.model, case.cost, samples=count)).sum()) for count in (2, MANY)
    )
    return Moments(case.flat(exact_gradient(case.model, case.cost)), 2.0, few, rate=MANY * many)


# ---- evolution strategies


def own_landscape(case: Case) -> Landscape:
    """θ ↦ E C(z) of the network's own parameters; couplings that it lacks stay absent."""
    scene, kept = landscape(case.model, case.cost), _kept(case)
    # what is not in θ is zero, so nothing of it is left in the energy
    return Landscape(scene.features[:, kept], scene.rest, scene.parameters[kept], scene.costs)


def perturbed(sampled: bool) -> Callable[[Case, Settings], Moments]:
    """One antithetic pair of all d parameters: the cost of one sample a side, or the exact loss at the mean-field fixed point."""

    def found(case: Case, settings: Settings) -> Moments:
        model, sigma = case.model, settings.nudging * case.model.temperature
        exact = exact_gradient(model, case.cost) if sampled else implicit_gradient(model, case.cost)
        gradient = case.flat(exact)
        count = len(gradient)
        draws = np.random.default_rng([settings.seed, 121]).normal(size=(settings.samples, count))
        parts = [_pairs(case, one, sigma, sampled) for one in np.array_split(draws, max(1, len(draws) // CHUNK))]
        change, noise = (np.concatenate(column) for column in zip(*parts, strict=True))
        along, lengths = draws @ gradient, (draws**2).sum(axis=1)
        # (ε·∇L)ε has mean ∇L and second moment (d + 2)‖∇L‖²: only what is left is sampled
        rest = (change - along)[:, None] * draws
        second = (change**2 - along**2 + noise) * lengths
        mean = gradient + rest.mean(axis=0)
        many = len(draws)
        variance = (count + 2) * float(gradient @ gradient) + float(second.mean()) - float(mean @ mean)
        return Moments(
            mean, 2.0, variance, math.sqrt(rest.var(axis=0, ddof=1).sum() / many), float(second.std(ddof=1)) / math.sqrt(many)
        )  # fmt: skip

    return found


def _pairs(case: Case, draws: FloatArray, sigma: float, sampled: bool) -> tuple[FloatArray, FloatArray]:
    """[L(θ + σε) − L(θ − σε)]/2σ and the variance that two samples in place of the losses add to it, for a stack of ε."""
    if sampled:
        scene = own_landscape(case)
        laws = [scene.laws(scene.parameters + sign * sigma * draws) for sign in (1, -1)]
        losses = [law @ scene.costs for law in laws]
        noise = sum(law @ scene.costs**2 - loss**2 for law, loss in zip(laws, losses, strict=True))
        return (losses[0] - losses[1]) / (2 * sigma), np.asarray(noise) / (2 * sigma) ** 2
    high, low = (rest_losses(case, sign * sigma * draws) for sign in (1, -1))
    return (high - low) / (2 * sigma), np.zeros(len(draws))


def rest_losses(case: Case, moved: FloatArray) -> FloatArray:
    """C(m) at the mean-field fixed points of θ + moved that ½ relaxes to at leak ½, (k, d) -> (k,)."""
    model, (below, above) = case.model, case.edges
    couplings = np.tile(model.couplings, (len(moved), 1, 1))
    couplings[:, below, above] += moved[:, : len(below)]
    couplings[:, above, below] += moved[:, : len(below)]
    bias = model.bias + moved[:, len(below) :]

    def step(state: FloatArray) -> FloatArray:
        # a perturbed network may be one that parallel updates without a leak do not bring to rest
        field = (couplings @ state[..., None])[..., 0] + bias
        return 0.5 * (state + firing_probability(field, model.temperature))

    return case.cost.on_rates(settle(step, np.full(bias.shape, 0.5), 1e-12))


# ---- predictions and targets


def predictive(case: Case, settings: Settings, *, clamped: bool = False) -> Moments:
    """−(ε_l ∘ σ')/β × x_{l−1} at the equilibrium of logistic predictive coding, β → ∞ and not divided by β when clamped."""
    nudging = math.inf if clamped else settings.nudging
    state, errors = coded(case, nudging)
    field = np.concatenate(_predictions(case, state)[1])
    steep = -np.concatenate(errors) * field
    # the pass from below is the free phase
    return Moments(case.from_errors(steep if clamped else steep / nudging, state), 1.0 + 1 / settings.steps)


def coded(case: Case, nudging: float) -> tuple[FloatArray, list[FloatArray]]:
    """(x (N,), errors ε layer by layer) where E_β is least, by Gauss–Newton from the pass from below; nudging inf: x_L = y."""
    size, outputs = case.model.size, case.cost.outputs
    clamped = math.isinf(nudging)
    state, free = np.concatenate(pass_from_below(case)), np.arange(size)
    if clamped:
        state[outputs], free = case.cost.target, np.setdiff1d(free, outputs)
    forward, downhill = chain_couplings(case.weights, [0.0] * len(case.weights)), np.full(1, math.inf)
    for _ in range(LONGEST):
        rates, slopes = (np.concatenate(part) for part in _predictions(case, state))
        error, matrix = state - rates, np.eye(size) - slopes[:, None] * forward
        if not clamped:
            pull = np.zeros((len(outputs), size))
            pull[np.arange(len(outputs)), outputs] = math.sqrt(nudging)
            error = np.concatenate([error, math.sqrt(nudging) * (state[outputs] - case.cost.target)])
            matrix = np.concatenate([matrix, pull])
        downhill = matrix[:, free].T @ error
        if np.abs(downhill).max() <= 1e-15:
            break
        state[free] -= np.linalg.solve(matrix[:, free].T @ matrix[:, free], downhill)
    if np.abs(downhill).max() > 1e-12:
        raise ConvergenceError(f"predictive coding found no equilibrium at nudging {nudging:.3g}: use a smaller one")
    return state, case.split(state - np.concatenate(_predictions(case, state)[0]))


def _predictions(case: Case, state: FloatArray) -> tuple[list[FloatArray], list[FloatArray]]:
    """σ((W_l x_{l−1} + b_l)/T) and its slope ∂/∂(field), layer by layer."""
    biases, below = case.split(case.model.bias), case.split(state)
    fields = [biases[0]]
    fields += [weight @ one + bias for weight, one, bias in zip(case.weights, below, biases[1:], strict=False)]
    rates = [firing_probability(field, case.model.temperature) for field in fields]
    return rates, [firing_slope(rate, case.model.temperature) for rate in rates]


def targets(damped: bool) -> Callable[[Case, Settings], Moments]:
    """−t_l ∘ σ' × h_{l−1} with t_L = −e and below it difference targets, or λ times damped Gauss–Newton targets."""

    def found(case: Case, settings: Settings) -> Moments:
        rates = np.concatenate(pass_from_below(case))
        slopes = case.split(firing_slope(rates, case.model.temperature))
        factors = [steep[:, None] * weight for steep, weight in zip(slopes[1:], case.weights, strict=True)]
        error = rates[case.cost.outputs] - case.cost.target
        aims = [
            settings.damping * damped_target(product(factors[k:]), error, settings.damping)
            if damped
            else difference_target(factors[k:], error)
            for k in range(len(factors))
        ]
        errors = [-aim * steep for aim, steep in zip([*aims, -error], slopes, strict=True)]
        return Moments(case.from_errors(np.concatenate(errors), rates), 2 / settings.steps)

    return found
