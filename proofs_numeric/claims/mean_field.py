"""Family A: in what sense the stochastic energy is the energy of deterministic EP.

Main results: thm:A0, thm:A1, thm:A1b, thm:A2, thm:A3, thm:A4, thm:A5, thm:A5b, thm:A6.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from dynamics.enumeration import all_states, exact_law, product_law
from dynamics.phases import relax
from meanfield import bounds
from meanfield.equations import (
    SUP_CURVATURE,
    SUP_SLOPE,
    SUP_THIRD,
    activity_variance,
    firing_curvature,
    firing_probability,
    firing_slope,
    firing_third,
)
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.response import contraction_rate
from meanfield.solve import MultistabilityWarning, fixed_point, free_energy
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars, random_cost
from proofs_numeric.verdicts import exponent_interval, limit_miss

EPS = float(np.finfo(float).eps)
# J_12 = −8, b = 4: λ⁻ = 8, and the in-phase mode is the one that descends slowest.
ANTIFERROMAGNETIC_PAIR = ([[0.0, -8.0], [-8.0, 0.0]], [4.0, 4.0], 1.0)
FERROMAGNETIC_PAIR = ([[0.0, 3.6], [3.6, 0.0]], [-1.8, -1.8], 1.0)
BISTABLE_PAIR = ([[0.0, 12.0], [12.0, 0.0]], [-6.0, -6.0], 1.0)
BIASED_PAIR = ([[0.0, 1.0], [1.0, 0.0]], [0.7, -0.4], 1.0)
FREE_UNIT = ([[0.0]], [0.0], 1.0)


def random_means(size: int, seed: int) -> FloatArray:
    """Means of a product law, some of them at or near 0 and 1."""
    generator = np.random.default_rng([seed, 1])
    means = generator.uniform(size=size)
    return np.where(generator.uniform(size=size) < 0.2, generator.choice([0.0, 1.0, 1e-9], size=size), means)


def _convolutional_primitive(layer: FloatArray, above: FloatArray, weights: FloatArray, pooling: str) -> FloatArray:
    """Φ = ⟨s², P(w ⋆ s¹)⟩ for s¹ (M, 3, 3), s² (M, channels), w (channels, 2, 2): one 2×2 pooled position a channel;
    (M,).
    """
    windows = np.lib.stride_tricks.sliding_window_view(layer, (2, 2), axis=(1, 2))
    drive = np.einsum("mxyab,cab->mcxy", windows, weights)
    pooled = drive.max(axis=(2, 3)) if pooling == "max" else drive.mean(axis=(2, 3))
    return (pooled * above).sum(axis=1)


# σ at ln(2 + √3), where |σ''| peaks
PEAK = float(firing_probability(math.log(2 + math.sqrt(3)), 1.0))


@claim(
    label="A0",
    title="constants of the logistic function",
    kind="inequality",
    hypotheses="x, w real",
    domain={"probability": Interval(0.0, 1.0), "shift": Interval(-20.0, 20.0)},
    falsifiers=(
        Falsifier("constant × 0.9", {"probability": PEAK, "shift": 1.0}),
        Falsifier("sup|σ''| = 1/12", {"probability": PEAK, "shift": 1.0}),
        Falsifier("tanh(|w|/8)", {"probability": 0.3, "shift": -2 * math.log(3 / 7)}),
    ),
)
def logistic_constants(probability: float, shift: float, mutation: str | None = None) -> Evidence:
    """|σ'| ≤ 1/4, |σ''| ≤ 1/(6√3), |σ‴| ≤ 1/8 and |σ(x + w) − σ(x)| ≤ tanh(|w|/4), each attained: x = 0, ± ln(2 + √3),
    0, −w/2.
    """
    with np.errstate(divide="ignore"):
        field = np.log(probability) - np.log1p(-probability)
    curvature = 1 / 12 if mutation == "sup|σ''| = 1/12" else SUP_CURVATURE
    step = abs(float(firing_probability(field + shift, 1.0) - firing_probability(field, 1.0)))
    measured = [abs(one(probability, 1.0)) for one in (firing_slope, firing_curvature, firing_third)]
    return Evidence(
        [*measured, step], [SUP_SLOPE, curvature, SUP_THIRD, math.tanh(abs(shift) / (8 if mutation == "tanh(|w|/8)" else 4))],
        8 * EPS,
    )  # fmt: skip


@claim(
    label="A1",
    title="energy of a product law",
    kind="identity",
    hypotheses="the primitive is affine in every unit (no self terms, average pooling); the law is a product",
    norm="spectral",
    domain=model_scalars(8),
    falsifiers=(
        Falsifier("a self term", {"model": FREE_UNIT, "seed": 3}, drops="affine in every unit"),
        Falsifier("max pooling", {"model": FREE_UNIT, "seed": 3}, drops="average pooling"),
    ),
)
def energy_of_a_product_law(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """Under q = ⊗Bern(m): E_q[Φ(z)] = Φ(m), E_q[∂Φ/∂θ] = ∂Φ/∂θ(m) and E_q[h] = h(m) for every multilinear primitive Φ."""
    means = random_means(model.size, seed)
    states, law = all_states(model.size), product_law(means)
    diagonal = np.eye(model.size, dtype=bool)
    pairs = (states.T * law) @ states - np.outer(means, means)
    energy = law @ model.energy(states) - model.energy(means)
    if mutation == "a self term":
        energy = energy - 0.5 * (law @ (states**2).sum(axis=1) - (means**2).sum())
    field = law @ model.local_field(states) - model.local_field(means)
    scale = np.abs(model.couplings).sum() + np.abs(model.bias).sum()

    generator = np.random.default_rng([seed, 3])
    weights, rates = generator.normal(size=(2, 2, 2)), generator.uniform(size=11)
    every, chances = all_states(11), product_law(rates)
    pooling = "max" if mutation == "max pooling" else "average"
    # Φ is linear in w, so ∂Φ/∂w_k is Φ with the k-th unit weight in the place of w.
    kernels = np.concatenate([weights[None], np.eye(8).reshape(8, 2, 2, 2)])
    misses = [
        chances @ _convolutional_primitive(every[:, :9].reshape(-1, 3, 3), every[:, 9:], kernel, pooling)
        - _convolutional_primitive(rates[None, :9].reshape(1, 3, 3), rates[None, 9:], kernel, pooling)[0]
        for kernel in kernels
    ]
    measured = np.abs(np.concatenate([[energy], field, pairs[~diagonal], misses]))
    rounding = np.concatenate(
        [np.full(1 + model.size, 100 * EPS * scale), np.full(measured.size - 1 - model.size, 1000 * EPS)]
    )
    return Evidence(measured, 0.0, rounding)


@claim(
    label="A1b",
    title="the cost trap",
    kind="identity",
    hypotheses="any law on {0,1}^N, product or not",
    norm="spectral",
    domain=model_scalars(8, gain=Interval(0.02, 3.0)),
    falsifiers=(Falsifier("no gap", {"model": FREE_UNIT, "seed": 0}),),
)
def cost_trap(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """E C(z) − C(E z) = ½Σ μ_o(1 − μ_o), μ = E z: cost on spikes and cost on rates differ by this much under every
    law.
    """
    cost = random_cost(model.size, seed)
    states = all_states(model.size)
    product = random_means(model.size, seed)
    gaps = []
    for law, means in ((product_law(product), product), (exact_law(model).probabilities, exact_law(model).mean)):
        stated = 0.0 if mutation == "no gap" else 0.5 * activity_variance(means)[cost.outputs].sum()
        gaps.append(law @ cost.on_spikes(states) - cost.on_rates(means) - stated)
        gaps.append(cost.on_mean_spikes(means) - law @ cost.on_spikes(states))
    return Evidence(np.abs(gaps), 0.0, 200 * EPS * model.size)


@claim(
    label="A2",
    title="Gibbs-Bogoliubov",
    kind="identity",
    hypotheses="any J = Jᵀ, b, T > 0; cost on spikes",
    norm="spectral",
    domain={**model_scalars(8, gain=Interval(0.02, 3.0)), "nudging": Interval(-2.0, 2.0)},
    falsifiers=(
        Falsifier("cost on rates", {"model": FREE_UNIT, "seed": 0, "nudging": 1.0}),
        Falsifier("the gap without T", {"model": (*BIASED_PAIR[:2], 2.0), "seed": 1, "nudging": 0.0}),
    ),
)
def gibbs_bogoliubov(model: Model, seed: int, nudging: float, mutation: str | None = None) -> Evidence:
    """F_β(m) + T ln Z_β = T·KL(q‖p_β) ≥ 0 for every m and β, with F_β = F + βE_q C and p_β ∝ exp(−(E + βC)/T)."""
    strength = nudging * model.temperature
    if mutation == "cost on rates":
        cost, means = QuadraticCost([0], [0.5]), np.full(model.size, 0.5)
        tilted = free_energy(model, means) + strength * cost.on_rates(means)
    else:
        cost, means = random_cost(model.size, seed), random_means(model.size, seed)
        tilted = free_energy(model, means) + strength * cost.on_mean_spikes(means)
    law = exact_law(model, cost=cost, nudging=strength)
    constant = 0.5 * (cost.target**2).sum()
    gap = tilted - (strength * constant - model.temperature * law.log_partition)
    states, product = all_states(model.size), product_law(means)
    # ln p from the energies: the law itself underflows at low temperature
    log_law = -(model.energy(states) + strength * (cost.on_spikes(states) - constant)) / model.temperature
    support = product > 0
    divergence = product[support] @ (np.log(product[support]) - (log_law - law.log_partition)[support])
    factor = 1.0 if mutation == "the gap without T" else model.temperature
    scale = np.abs(model.couplings).sum() + np.abs(model.bias).sum() + model.size * (model.temperature + abs(strength))
    if mutation == "cost on rates":
        return Evidence(-gap, 0.0, 1000 * EPS * scale)
    return Evidence([abs(gap - factor * divergence), -gap], 0.0, 1000 * EPS * scale)


@claim(
    label="A3",
    title="stationary points",
    kind="identity",
    hypotheses="J = Jᵀ, T > 0",
    norm="spectral",
    domain=model_scalars(8, gain=Interval(0.02, 3.0)),
    falsifiers=(
        Falsifier("half the field", {"model": BIASED_PAIR, "seed": 5}),
        Falsifier("every fixed point a minimiser", {"model": BISTABLE_PAIR, "seed": 5}),
    ),
)
def stationary_points(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """∇F(m) = T ln(m/(1−m)) − h(m), zero exactly at m = σ(h(m)/T); there F(m) = ½mᵀJm − TΣ ln(1 + e^{h_i/T})."""
    generator = np.random.default_rng([seed, 4])
    means = generator.uniform(0.1, 0.9, size=model.size)
    field = model.local_field(means) * (0.5 if mutation == "half the field" else 1.0)
    stated = model.temperature * np.log(means / (1 - means)) - field
    step = 1e-3
    slope = np.array([_central_slope(model, means, i, step) for i in range(model.size)])
    scale = model.size * model.temperature + np.abs(model.couplings).sum() + np.abs(model.bias).sum()
    # sixth-order stencil: truncation below step⁶ F⁽⁷⁾, at most 720/0.1⁶ T step⁶, plus rounding over the step
    errors = [np.abs(slope - stated), np.full(1, 0.0)]
    roundings = [np.full(model.size, 1e-9 * model.temperature + 100 * EPS * scale / step), np.full(1, 1e-30)]
    solution = _solved(model)
    value = 0.5 * solution @ model.couplings @ solution
    value -= model.temperature * np.logaddexp(0, model.local_field(solution) / model.temperature).sum()
    errors[1] = np.array([abs(value - free_energy(model, solution))])
    roundings[1] = np.array([1e3 * EPS * scale])
    if mutation == "every fixed point a minimiser":
        centre = np.full(model.size, 0.5)
        saddle = fixed_point(model, start=centre).value
        lower = min(free_energy(model, saddle + shift) for shift in (0.05, -0.05))
        return Evidence(free_energy(model, saddle) - lower, 0.0, 1e3 * EPS * scale)
    return Evidence(np.concatenate(errors), 0.0, np.concatenate(roundings))


def _central_slope(model: Model, means: FloatArray, unit: int, step: float) -> float:
    """∂F/∂m_unit by the sixth-order central difference."""
    total = 0.0
    for order, weight in ((1, 45.0), (2, -9.0), (3, 1.0)):
        shift = np.zeros(model.size)
        shift[unit] = order * step
        total += weight * (free_energy(model, means + shift) - free_energy(model, means - shift))
    return total / (60 * step)


def _solved(model: Model, start: FloatArray | None = None) -> FloatArray:
    """A fixed point, whichever; several may exist."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultistabilityWarning)
        return fixed_point(model, start=start, method="newton").value


@claim(
    label="A4",
    title="descent of the free energy",
    kind="inequality",
    hypotheses="any J = Jᵀ, b, T > 0; leaks in (0, 1]; no contraction assumed",
    norm="spectral",
    domain={
        **model_scalars(8, gain=Interval(0.02, 4.0)),
        "leak": Interval(0.02, 1.0),
        "log_distance": Interval(math.log(1e-3), 0.0),
    },
    falsifiers=(
        Falsifier(
            "constant × 0.9", {"model": ANTIFERROMAGNETIC_PAIR, "seed": 0, "leak": 0.5, "log_distance": math.log(1e-3)}
        ),
        Falsifier(
            "λ⁻ dropped", {"model": ANTIFERROMAGNETIC_PAIR, "seed": 0, "leak": 0.9, "log_distance": math.log(1e-2)}
        ),
    ),
)
def free_energy_descends(
    model: Model, seed: int, leak: float, log_distance: float, mutation: str | None = None
) -> Evidence:
    """c_ε‖p − m‖² ≤ F(m) − F(m'), m' = (1−ε)m + εp, c_ε = 4Tε − ½ε²(4T + λ⁻); with mixed leaks and one unit at a time
    likewise.
    """
    generator = np.random.default_rng([seed, 5])
    centre = _solved(model, start=np.full(model.size, 0.5))
    slowest = np.linalg.eigh(model.couplings)[1][:, 0]
    direction = generator.normal(size=model.size) if seed % 2 else slowest
    means = np.clip(centre + math.exp(log_distance) * direction / np.abs(direction).max() * 0.5, 0.0, 1.0)
    target = firing_probability(model.local_field(means), model.temperature)
    energy = free_energy(model, means)
    change = target - means
    measured, bound = [], []
    for leaks in (leak, generator.uniform(0.02, 1.0, size=model.size)):
        factors = np.broadcast_to(bounds.descent(model, leak=leaks), (model.size,))
        if mutation == "λ⁻ dropped":
            factors = 2 * model.temperature * leaks * (2 - leaks) * np.ones(model.size)
        moved = (1 - leaks) * means + leaks * target
        measured.append(float(factors @ change**2))
        bound.append(energy - free_energy(model, moved))
    for unit in range(model.size):
        moved = means.copy()
        moved[unit] = target[unit]
        measured.append(2 * model.temperature * change[unit] ** 2)
        bound.append(energy - free_energy(model, moved))
    scale = model.size * model.temperature + np.abs(model.couplings).sum() + np.abs(model.bias).sum()
    return Evidence(measured, bound, 20 * EPS * scale)


@claim(
    label="A5",
    title="contraction",
    kind="inequality",
    hypotheses="κ = ‖J‖₂/(4T) < 1",
    norm="spectral",
    domain={**model_scalars(8), "leak": Interval(0.02, 1.0), "log_distance": Interval(math.log(1e-4), 0.0)},
    falsifiers=(
        Falsifier(
            "constant × 0.9", {"model": FERROMAGNETIC_PAIR, "seed": 2, "leak": 0.5, "log_distance": math.log(1e-3)}
        ),
        Falsifier(
            "κ < 1 dropped",
            {"model": BISTABLE_PAIR, "seed": 2, "leak": 0.5, "log_distance": math.log(0.5)},
            drops="κ < 1",
        ),
    ),
)
def leaky_map_contracts(
    model: Model, seed: int, leak: float, log_distance: float, mutation: str | None = None
) -> Evidence:
    """f(m) = (1−ε)m + εσ(h/T) has ‖f(m) − f(n)‖₂ ≤ (1 − ε(1−κ))‖m − n‖₂ and one fixed point; its local rate is no
    larger.
    """
    generator = np.random.default_rng([seed, 6])
    vectors = np.linalg.eigh(model.couplings)[1]
    leading = vectors[:, -1] if seed % 2 == 0 else generator.normal(size=model.size)
    shift = 0.5 * math.exp(log_distance) * leading / np.abs(leading).max()
    solution = _solved(model)
    first, second = np.clip(solution + shift, 0, 1), np.clip(solution - shift, 0, 1)
    rate = 1 - leak * (1 - model.gain)

    def step(means: FloatArray) -> FloatArray:
        return (1 - leak) * means + leak * firing_probability(model.local_field(means), model.temperature)

    corners = [_solved(model, start=np.full(model.size, corner)) for corner in (0.0, 1.0)]
    gap = np.linalg.norm(first - second)
    measured = [
        float(np.linalg.norm(step(first) - step(second))),
        contraction_rate(model, solution, leak),
        float(np.linalg.norm(corners[0] - corners[1])),
        float(np.linalg.norm(first - solution)),
    ]
    residual = np.linalg.norm(firing_probability(model.local_field(first), model.temperature) - first)
    bound = [rate * gap, rate, 0.0, float(residual / (1 - model.gain)) if model.gain < 1 else math.inf]
    reach = 1e3 * EPS * model.size * (1 + np.abs(model.bias / model.temperature).max())
    return Evidence(measured, bound, [reach, 1e-12, reach / abs(1 - model.gain), reach / abs(1 - model.gain)])


@claim(
    label="A5b",
    title="convexity",
    kind="inequality",
    hypotheses="λ_max(J) < 4T; ε < 8T/(4T + λ⁻)",
    norm="curvature",
    domain={**model_scalars(8), "share": Interval(0.05, 0.95)},
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FERROMAGNETIC_PAIR, "seed": 0, "share": 0.5}),
        Falsifier("λ_max(J) < 4T dropped", {"model": BISTABLE_PAIR, "seed": 0, "share": 0.5}, drops="λ_max(J) < 4T"),
    ),
)
def free_energy_is_convex(model: Model, seed: int, share: float, mutation: str | None = None) -> Evidence:
    """½(4T − λ_max)‖m − m*‖² ≤ F(m) − F(m*), one fixed point, and min_{s<t}‖p − m‖² ≤ (F(m_0) − F*)/(c_ε t) from every
    start.
    """
    generator = np.random.default_rng([seed, 7])
    temperature = model.temperature
    solution = _solved(model)
    slack = 4 * temperature - float(model.spectrum[-1])
    # along the flattest direction near m*, and anywhere
    near = np.clip(solution + 0.01 * np.linalg.eigh(model.couplings)[1][:, -1], 0, 1)
    start = generator.uniform(size=model.size)
    lowest = free_energy(model, solution)
    measured = [0.5 * slack * float(((point - solution) ** 2).sum()) for point in (near, start)]
    bound = [free_energy(model, point) - lowest for point in (near, start)]
    limit = 8 * temperature / (4 * temperature + max(0.0, -float(model.spectrum[0])))
    leak, steps = min(1.0, share * limit), 50
    path = relax(model, steps=steps - 1, leak=leak, start=start)
    speeds = ((firing_probability(model.local_field(path), temperature) - path) ** 2).sum(axis=1)
    measured.append(float(speeds.min()))
    bound.append((free_energy(model, start) - lowest) / (float(bounds.descent(model, leak=leak)) * steps))
    corners = [_solved(model, start=np.full(model.size, corner)) for corner in (0.0, 1.0)]
    measured.append(float(np.abs(corners[0] - corners[1]).max()))
    bound.append(0.0)
    scale = model.size * temperature + np.abs(model.couplings).sum() + np.abs(model.bias).sum()
    roundings = [50 * EPS * scale, 50 * EPS * scale, 50 * EPS * scale / temperature, 1e-9 / (slack / temperature)]
    return Evidence(measured, bound, roundings)


@claim(
    label="A6",
    title="Plefka, Thouless-Anderson-Palmer",
    kind="asymptotic",
    hypotheses="J → αJ at fixed b, κ_TAP < 1; the leading coefficient of the series at hand is not zero",
    norm="spectral",
    means="numeric",
    domain={
        **model_scalars(6, smallest=3, gain=Interval(0.1, 0.4)),
        "shape": Interval(0, 6, integer=True),
        "field": Interval(1, 2, integer=True),
    },
    falsifiers=(
        Falsifier("orders + ½", {"model": BIASED_PAIR, "seed": 0}),
        Falsifier("orders − ½", {"model": BIASED_PAIR, "seed": 0}),
        Falsifier("reaction term doubled", {"model": BIASED_PAIR, "seed": 0}),
    ),
    instances=60,
)
def tap_orders(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """As α → 0 the errors of −T ln Z and of m* tend to α² times Σ_{i≠j}J_ij²v_iv_j/4T and a_kΣJ_kj²v_j/2T²;
    Onsager-corrected: α³ at least.
    """
    temperature = model.temperature
    free_means = firing_probability(model.bias, temperature)
    variance, skewness = activity_variance(free_means), activity_variance(free_means) * (1 - 2 * free_means)
    squared = model.couplings**2
    coefficients = [
        variance @ squared @ variance / (4 * temperature),
        skewness * (squared @ variance) / (2 * temperature**2),
    ]
    scales = 2.0 ** -np.arange(2, 8)
    rows = []
    for alpha in scales:
        weaker = Model(alpha * model.couplings, model.bias, temperature)
        law = exact_law(weaker)
        naive = _solved(weaker)
        corrected = _onsager_means(weaker, 2.0 if mutation == "reaction term doubled" else 1.0)
        rows.append(
            (
                free_energy(weaker, naive) + temperature * law.log_partition,
                law.mean - naive,
                free_energy(weaker, corrected, correction="onsager") + temperature * law.log_partition,
                law.mean - corrected,
            )
        )
    naive_energy, tap_energy = (np.array([row[k] for row in rows]) for k in (0, 2))
    naive_means, tap_means = (np.array([row[k] for row in rows]) for k in (1, 3))
    shift = {"orders + ½": 0.5, "orders − ½": -0.5}.get(mutation or "", 0.0)
    unit = int(np.abs(coefficients[1]).argmax())
    misses = [
        exponent_interval(scales, np.abs(naive_energy)).distance(2 + shift),
        exponent_interval(scales, np.abs(naive_means[:, unit])).distance(2 + shift),
        limit_miss(naive_energy / scales**2, coefficients[0]),
        limit_miss(naive_means[:, unit] / scales**2, coefficients[1][unit]),
        # at least order 3: a smaller fitted exponent is the failure
        max(0.0, 3 + shift - exponent_interval(scales[:5], np.abs(tap_energy[:5]) + 1e-300).high),
        max(0.0, 3 + shift - exponent_interval(scales[:5], np.linalg.norm(tap_means[:5], axis=1)).high),
    ]
    return Evidence(misses, 0.0)


def _onsager_means(model: Model, factor: float) -> FloatArray:
    """The fixed point with the reaction term times `factor`; 1 is the theory's."""
    if factor == 1.0:
        return fixed_point(model, correction="onsager", method="newton").value
    means, squared = np.full(model.size, 0.5), model.couplings**2
    for _ in range(400):
        reaction = factor * 0.5 * (1 - 2 * means) * (squared @ activity_variance(means)) / model.temperature
        means = firing_probability(model.local_field(means) + reaction, model.temperature)
    return means
