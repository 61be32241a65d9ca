"""Self-prediction by a history current: a restatement on small networks of this package, no benchmark is reproduced.

Mechanism (Huang et al. 2026, arXiv 2601.21823): each neuron forms a prediction current from its own input-output history and adds
it to its membrane. Here the history is a linear filter of memory γ; with the input current x_t = J s_t + b,

    z_t ~ Bern(σ((x_t + p_t)/T)),   s_{t+1} = (1−ε) s_t + ε z_t,   p_{t+1} = γ p_t + (1−γ)(a x_t + c z_t).

Main results: thm:G5, thm:G5b, thm:G5c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dynamics.enumeration import all_states, product_law
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost
from meanfield.response import symmetric_gradient
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost

EPS = float(np.finfo(float).eps)
# spike histories of one exact law
HISTORIES = 2048
MEMORY = Interval(0.0, 0.95)
LEAK = Interval(0.05, 1.0)
FREE_UNIT = ([[0.0]], [0.0], 1.0)
PAIR = ([[0.0, 1.0], [1.0, 0.0]], [0.3, -0.8], 1.0)
SYMMETRIC_PAIR = ([[0.0, 2.0], [2.0, 0.0]], [-1.0, -1.0], 1.0)
STRONG_PAIR = ([[0.0, 3.0], [3.0, 0.0]], [-1.5, -1.5], 1.0)
# eigenvalues −3.6 and 1.8: the largest root of the uniform mode is negative
REPELLING_TRIANGLE = ([[0.0, -1.8, -1.8], [-1.8, 0.0, -1.8], [-1.8, -1.8, 0.0]], [1.8, 1.8, 1.8], 1.0)


# κ = ½, halves of everything
HALVES = {"model": SYMMETRIC_PAIR, "seed": 0, "input_share": 0.5, "output_share": 0.2, "memory": 0.5, "leak": 0.5}
REPELLED = {**HALVES, "model": REPELLING_TRIANGLE, "input_share": 0.3, "output_share": 0.0, "leak": 1.0}
# without a history current
PLAIN = {"model": FREE_UNIT, "seed": 0, "input_share": 0.0, "output_share": 0.0, "memory": 0.2, "leak": 0.5}


@dataclass(frozen=True)
class SelfPrediction:
    """The history current's parameters.

    input_gain: a > −1, the share of the input current that it repeats. output_gain: c, in the unit of the couplings, what it
    adds for an own spike. memory: γ in [0, 1), the share of the old current kept in a step.
    """

    input_gain: float
    output_gain: float
    memory: float

    def __post_init__(self) -> None:
        if not self.input_gain > -1:
            raise ValueError(f"input_gain must be above -1, got {self.input_gain}: the input would lose its sign")
        if not 0 <= self.memory < 1:
            raise ValueError(f"memory must lie in [0, 1), got {self.memory}")

    def effective_couplings(self, couplings: FloatArray) -> FloatArray:
        """(1 + a)J + cI, (N, N): the couplings that the network at rest behaves as."""
        return (1 + self.input_gain) * couplings + self.output_gain * np.eye(len(couplings))

    def control(self, model: Model) -> float:
        """κ_p = (1 + |a|)κ + |c|/4T."""
        return (1 + abs(self.input_gain)) * model.gain + abs(self.output_gain) / (4 * model.temperature)


def at_rest(model: Model, prediction: SelfPrediction, mean: FloatArray) -> tuple[Model, FloatArray]:
    """The bias that lets the predicting network rest at `mean`, and the current p = a(Jm + b) + cm there."""
    drive = model.temperature * np.log(mean / (1 - mean)) - prediction.output_gain * mean
    field = drive / (1 + prediction.input_gain)
    return model.with_bias(
        field - model.couplings @ mean
    ), prediction.input_gain * field + prediction.output_gain * mean


def step(
    model: Model, prediction: SelfPrediction, rates: FloatArray, current: FloatArray, leak: float
) -> tuple[FloatArray, FloatArray]:
    """One deterministic step (m, p) → (m', p'), spikes replaced by their probabilities."""
    field = model.local_field(rates)
    output = firing_probability(field + current, model.temperature)
    history = prediction.input_gain * field + prediction.output_gain * output
    return (1 - leak) * rates + leak * output, prediction.memory * current + (1 - prediction.memory) * history


def augmented_jacobian(model: Model, prediction: SelfPrediction, mean: FloatArray, leak: float) -> FloatArray:
    """∂(m', p')/∂(m, p) where the unit i fires with probability mean_i, (2N, 2N)."""
    identity, slope = np.eye(model.size), np.diag(activity_variance(mean) / model.temperature)
    fresh = 1 - prediction.memory
    history = prediction.input_gain * np.eye(model.size) + prediction.output_gain * slope
    return np.block(
        [
            [(1 - leak) * identity + leak * slope @ model.couplings, leak * slope],
            [fresh * history @ model.couplings, prediction.memory * identity + fresh * prediction.output_gain * slope],
        ]
    )


def comparison_matrix(model: Model, prediction: SelfPrediction, leak: float) -> FloatArray:
    """M (2, 2) with (‖Δm'‖, ‖Δp'‖/4T) ≤ M(‖Δm‖, ‖Δp‖/4T); its spectral radius is below 1 if and only if κ_p < 1 (thm:G5b)."""
    echo = abs(prediction.output_gain) / (4 * model.temperature)
    fresh = 1 - prediction.memory
    return np.array(
        [
            [1 - leak * (1 - model.gain), leak],
            [fresh * (abs(prediction.input_gain) + echo) * model.gain, prediction.memory + fresh * echo],
        ]
    )


def history_law(
    model: Model, prediction: SelfPrediction, leak: float, steps: int, rates: FloatArray, current: FloatArray
) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
    """(traces (M, N), currents (M, N), probabilities (M,)) after 0, 1, …, `steps` steps over all spike histories."""
    spikes = all_states(model.size)
    now = (rates[None, :], current[None, :], np.ones(1))
    path: list[tuple[FloatArray, FloatArray, FloatArray]] = [now]
    for _ in range(steps):
        traces, currents, law = now
        field = model.local_field(traces)
        branch = product_law(firing_probability(field + currents, model.temperature))
        following = (1 - leak) * traces[:, None, :] + leak * spikes
        driven = prediction.input_gain * field[:, None, :] + prediction.output_gain * spikes
        renewed = prediction.memory * currents[:, None, :] + (1 - prediction.memory) * driven
        now = (following.reshape(-1, model.size), renewed.reshape(-1, model.size), (law[:, None] * branch).ravel())
        path.append(now)
    return path


def rest_gradients(
    model: Model, prediction: SelfPrediction, mean: FloatArray, leak: float, cost: QuadraticCost, mutation: str | None
) -> tuple[Gradient, Gradient]:
    """EP's estimate through the (2N)-dimensional dynamics as β → 0, and dC(m*)/dθ by forward differentiation of its rest."""
    slope, offset = cost.force(model.size, "rates")
    force = slope * mean + offset
    rate, fresh = activity_variance(mean) / model.temperature, 1 - prediction.memory
    a, c = prediction.input_gain, prediction.output_gain
    system = np.eye(2 * model.size) - augmented_jacobian(model, prediction, mean, leak)
    # what a small constant current does in one step: inside the membrane, and inside the input current
    membrane = np.concatenate([np.diag(leak * rate), np.diag(fresh * c * rate)])
    inputs = np.concatenate([np.diag(leak * rate), np.diag(fresh * (a + c * rate))])
    nudged = inputs if mutation == "nudge in the input current" else membrane
    change = -np.linalg.solve(system, nudged @ force)[: model.size]
    weight = 1.0 if mutation == "statistic without 1 + a" else 1 + a
    estimate = symmetric_gradient(-weight * change[:, None] * mean, -weight * change)
    response = np.linalg.solve(system, inputs)[: model.size].T @ force
    return estimate, symmetric_gradient(response[:, None] * mean, response)


@claim(
    label="G5",
    title="self-prediction at rest is an equilibrium network",
    kind="identity",
    hypotheses="a > −1, any c, γ in [0, 1), ε in (0, 1]; I − V((1+a)J + cI)/T invertible; J = Jᵀ",
    norm="spectral",
    domain={
        **model_scalars(6, gain=Interval(0.02, 2.0)),
        "input_gain": Interval(-0.9, 3.0),
        "output_gain": Interval(-6.0, 6.0),
        "memory": MEMORY,
        "leak": LEAK,
    },
    falsifiers=tuple(
        Falsifier(
            mutation,
            {"model": PAIR, "seed": 1, "input_gain": 0.7, "output_gain": 0.9, "memory": 0.6, "leak": 0.4},
        )
        for mutation in ("statistic without 1 + a", "nudge in the input current", "c dropped", "p = ax")
    ),
)
def self_prediction_rests_at_an_equilibrium(
    model: Model,
    seed: int,
    input_gain: float,
    output_gain: float,
    memory: float,
    leak: float,
    mutation: str | None = None,
) -> Evidence:
    """(m, p) rests ⇔ p = a(Jm+b) + cm and m = σ(((1+a)(Jm+b) + cm)/T), for all γ, ε; EP nudged inside the membrane, with the
    statistics −(1+a)m_im_j and −(1+a)m_i, is dC(m*)/dθ; det(I − 𝒜) = (ε(1−γ))^N det(I − V((1+a)J + cI)/T).
    """
    temperature = model.temperature
    prediction = SelfPrediction(input_gain, output_gain * temperature, memory)
    mean = np.random.default_rng([seed, 80]).uniform(0.02, 0.98, size=model.size)
    model, current = at_rest(model, prediction, mean)
    if mutation == "p = ax":
        current = current - prediction.output_gain * mean
    rates, renewed = step(model, prediction, mean, current, leak)
    estimate, gradient = rest_gradients(model, prediction, mean, leak, random_cost(model.size, seed), mutation)
    effective = prediction.effective_couplings(model.couplings)
    if mutation == "c dropped":
        effective = effective - prediction.output_gain * np.eye(model.size)
    # the current in units of the temperature
    scales = np.concatenate([np.ones(model.size), np.full(model.size, temperature)])
    system = np.eye(2 * model.size) - augmented_jacobian(model, prediction, mean, leak) * scales / scales[:, None]
    bent = np.eye(model.size) - activity_variance(mean)[:, None] / temperature * effective
    ratio = np.linalg.det(system) / ((leak * (1 - memory)) ** model.size * np.linalg.det(bent))
    measured = [
        np.abs(rates - mean).max(),
        np.abs(renewed - current).max() / temperature,
        temperature * np.abs(estimate.couplings - gradient.couplings).max(),
        temperature * np.abs(estimate.bias - gradient.bias).max(),
        abs(ratio - 1),
    ]
    fields = (np.abs(model.couplings).sum() + np.abs(model.bias).sum()) / temperature
    size = 1 + (1 + abs(input_gain)) * fields + abs(output_gain)
    inverse = np.linalg.norm(np.linalg.inv(system), 2)
    backward = 1e2 * EPS * model.size * inverse * (1 + temperature * np.abs(gradient.bias).max()) * size
    condition = 1e2 * EPS * model.size * (np.linalg.cond(system) + np.linalg.cond(bent))
    return Evidence(measured, 0.0, [1e2 * EPS * size, 1e2 * EPS * size, backward, backward, condition])


def _within(model: Model, input_share: float, output_share: float, memory: float) -> SelfPrediction:
    """A prediction with κ_p < 1: |a| is a share of what κ leaves, |c| a share of what both leave; a > −1."""
    gain = max(model.gain, 0.02)
    a = max(input_share * (1 / gain - 1), -0.95)
    room = 1 - (1 + abs(a)) * model.gain
    return SelfPrediction(a, 4 * model.temperature * output_share * room, memory)


@claim(
    label="G5b",
    title="one condition for every time scale of self-prediction",
    kind="inequality",
    hypotheses="κ_p = (1 + |a|)κ + |c|/4T < 1; any γ in [0, 1), ε in (0, 1]",
    norm="spectral",
    domain={
        **model_scalars(3),
        "input_share": Interval(-0.98, 0.98),
        "output_share": Interval(-0.98, 0.98),
        "memory": MEMORY,
        "leak": LEAK,
    },
    falsifiers=(
        Falsifier("constant × 0.9", PLAIN),
        Falsifier("a dropped", {**HALVES, "input_share": 0.9, "output_share": 0.0}),
        Falsifier("c dropped", {**HALVES, "input_share": 0.0, "output_share": 0.9}),
        Falsifier("a noiseless current", {**PLAIN, "output_share": 0.9}),
        Falsifier("the current renewed whole", {**PLAIN, "memory": 0.6, "output_share": 0.9}),
    ),
    instances=120,
)
def self_prediction_contracts(
    model: Model,
    seed: int,
    input_share: float,
    output_share: float,
    memory: float,
    leak: float,
    mutation: str | None = None,
) -> Evidence:
    """(‖Δm_t‖, ‖Δp_t‖/4T) ≤ M^t(‖Δm_0‖, ‖Δp_0‖/4T), so one rest, reached at the rate ρ(M) < 1; spikes track: E‖s_t − m_t‖² ≤ α_t²,
    E‖p_t − p̄_t‖² ≤ (4Tβ_t)², α_{t+1}² = (M(α, β))₁² + ε²N/4, β_{t+1}² = (M(α, β))₂² + ((1−γ)c/4T)²N/4.
    """
    temperature, prediction = model.temperature, _within(model, input_share, output_share, memory)
    stated = SelfPrediction(
        0.0 if mutation == "a dropped" else prediction.input_gain,
        0.0 if mutation == "c dropped" else prediction.output_gain,
        0.0 if mutation == "the current renewed whole" else memory,
    )
    matrix = comparison_matrix(model, stated, leak)
    states = np.random.default_rng([seed, 81]).uniform(0, 1, size=(2, 2, model.size))
    if seed % 2 == 0:
        states = 0.5 + 1e-4 * np.array([1.0, -1.0])[:, None, None] * np.ones_like(states)
    pairs = [(first, temperature * second) for first, second in states]
    measured, bound, distance = [], [], _distances(pairs, temperature)
    for _ in range(12):
        pairs = [step(model, prediction, rates, current, leak) for rates, current in pairs]
        distance = matrix @ distance
        measured += list(_distances(pairs, temperature))
        bound += list(distance)
    jacobian = augmented_jacobian(model, prediction, np.full(model.size, 0.5), leak)
    measured.append(float(np.abs(np.linalg.eigvals(jacobian)).max()))
    bound.append(float(np.abs(np.linalg.eigvals(matrix)).max()))
    echo = 0.0 if mutation == "a noiseless current" else abs(prediction.output_gain) / (4 * temperature)
    noise = model.size / 4 * np.array([leak**2, ((1 - memory) * echo) ** 2])
    squares = np.zeros(2)
    for found in _second_moments(model, prediction, leak, states[0][0], temperature * states[0][1]):
        squares = (matrix @ np.sqrt(squares)) ** 2 + noise
        measured += found
        bound += list(squares)
    fields = 1 + (np.abs(model.bias).max() + np.abs(model.couplings).sum(axis=1).max()) / temperature
    reach = (1 + abs(prediction.input_gain)) * fields + abs(prediction.output_gain) / temperature
    return Evidence(measured, bound, 1e-9 + 1e4 * EPS * reach**2)


def _second_moments(
    model: Model, prediction: SelfPrediction, leak: float, rates: FloatArray, current: FloatArray
) -> Iterator[list[float]]:
    """E‖s_t − m_t‖² and E‖p_t − p̄_t‖²/(4T)² for t = 1, 2, …, from the exact law of the spike histories."""
    steps = max(1, int(np.log2(HISTORIES) / model.size))
    for traces, currents, law in history_law(model, prediction, leak, steps, rates, current)[1:]:
        rates, current = step(model, prediction, rates, current, leak)
        strays = ((traces - rates) ** 2).sum(axis=1), ((currents - current) ** 2).sum(axis=1)
        yield [float(law @ strays[0]), float(law @ strays[1]) / (4 * model.temperature) ** 2]


def _distances(pairs: list[tuple[FloatArray, FloatArray]], temperature: float) -> FloatArray:
    (first, one), (second, other) = pairs
    return np.array([np.linalg.norm(first - second), np.linalg.norm(one - other) / (4 * temperature)])


@claim(
    label="G5c",
    title="what self-prediction does to gradients",
    kind="inequality",
    hypotheses="a, c ≥ 0 or −1 < a ≤ 0, c ≤ 0; κ⁺ = λ_max(J)⁺/4T < min(1, θ), θ = (1 − c/4T)/(1 + a); (ii) J, a, c ≥ 0",
    norm="curvature",
    domain={
        **model_scalars(6),
        "input_share": Interval(0.0, 0.98),
        "output_share": Interval(0.0, 0.98),
        "sign": Interval(0, 1, integer=True),
        "memory": MEMORY,
        "leak": LEAK,
    },
    falsifiers=(
        Falsifier("constant × 0.9", {**HALVES, "sign": 1}),
        Falsifier("κ⁺ dropped", {**HALVES, "sign": 1}),
        Falsifier("never below 1, whatever the signs", {**HALVES, "model": STRONG_PAIR, "sign": 0}),
        Falsifier("J ≥ 0 dropped", {**REPELLED, "sign": 1}, drops="J ≥ 0"),
    ),
)
def self_prediction_lifts_gradients(
    model: Model,
    input_share: float,
    output_share: float,
    sign: int,
    memory: float,
    leak: float,
    mutation: str | None = None,
) -> Evidence:
    """At one rest state A(g) = (dC·g with p)/(dC·g without) = (1+a)gᵀχ_p g/gᵀχg lies between 1 and (1−κ⁺)/(θ−κ⁺), above 1 for a,
    c ≥ 0, below for a, c ≤ 0; (ii) where J, a, c ≥ 0 errors backpropagated in time fade no faster: ρ(𝒜) ≥ max(γ, ρ(without)).
    """
    temperature = model.temperature
    scaled_gain = max(0.0, float(model.spectrum[-1])) / (4 * temperature)
    a = input_share * (1 / max(scaled_gain, 0.1) - 1) if sign else -input_share
    room = 1 - (1 + a) * scaled_gain if sign else 1.0
    prediction = SelfPrediction(a, (1 if sign else -1) * 4 * temperature * output_share * room, memory)
    mean = fixed_point(model, start=np.full(model.size, 0.5), method="newton").value
    variance = activity_variance(mean)
    root = np.sqrt(variance / temperature)
    plain = np.eye(model.size) - root[:, None] * model.couplings * root
    lifted = plain + np.diag((1 - prediction.output_gain * variance / temperature) / (1 + a) - 1)
    # the eigenvalues of (1+a)χ_p against χ
    half = np.linalg.cholesky(plain)
    amplification = np.linalg.eigvalsh(half.T @ np.linalg.solve(lifted, half))
    theta = (1 - prediction.output_gain / (4 * temperature)) / (1 + a)
    largest = (1 - scaled_gain) / (theta - scaled_gain)
    if mutation == "κ⁺ dropped":
        largest = 1 / theta
    rising = bool(sign) or mutation == "never below 1, whatever the signs"
    # upper ends, then lower ends as bound below measured
    measured = [amplification[-1], 1.0] if rising else [amplification[-1], largest]
    bound = [largest if sign else 1.0, amplification[0]]
    if sign:
        positive = model if mutation == "J ≥ 0 dropped" else Model(np.abs(model.couplings), model.bias, temperature)
        with_history = np.abs(np.linalg.eigvals(augmented_jacobian(positive, prediction, mean, leak))).max()
        without = np.diag(np.full(model.size, 1 - leak)) + leak * (variance / temperature)[:, None] * positive.couplings
        measured += [np.abs(np.linalg.eigvals(without)).max(), memory]
        bound += [with_history, with_history]
    condition = np.linalg.cond(plain) * np.linalg.cond(lifted)
    return Evidence(np.array(measured), np.array(bound), 1e-9 * (1 + np.abs(bound)) + 1e2 * EPS * condition * largest)
