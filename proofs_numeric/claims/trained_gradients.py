"""Family F, trained networks: what the error of a convolutional network's gradient consists of, layer by layer.

Main results: thm:F2.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from dynamics.coupling import coupled_leaky_law
from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.bptt import backpropagate
from dynamics.crnn.config import Deterministic, Stochastic
from dynamics.crnn.gradient_quality import moments, rescaled
from dynamics.crnn.learning import Response, estimate, gradient
from dynamics.crnn.network import Network
from meanfield import bounds
from meanfield.bounds.relaxation import derivative_bounds
from meanfield.equations import cost_force, firing_probability
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.claims.backpropagation import EPS, relaxation_rounding
from proofs_numeric.instances import GAIN, LOG_TEMPERATURE, SEEDS, Interval

IMAGES = 2
# seeds whose estimates are the law, and repeats drawn from it in every way
SEEDS_OF_NOISE, REPEATS = 3, 3
# one free unit at zero field that fires with every step: σ‴ is largest, so the nudging's bound is attained as β → 0
PEAKED = {
    "convs": 0, "channels": 1, "side": 1, "kernel": 1, "stride": 1, "padding": 0, "pool": 1, "outputs": 1, "gain": 0.0,
    "log_temperature": 0.0, "leak": 1.0, "steps": 1, "window": 1, "log_nudging": -2.0, "seed": 0,
}  # fmt: skip
STACK = {
    "convs": 2, "channels": 2, "side": 6, "kernel": 2, "stride": 1, "padding": 1, "pool": 2, "outputs": 2, "gain": 0.6,
    "log_temperature": -1.0, "leak": 0.5, "steps": 5, "window": 2, "log_nudging": math.log(0.02), "seed": 1,
}  # fmt: skip
NATURAL = {name: Interval(low, high, integer=True) for name, low, high in (
    ("convs", 0, 2), ("channels", 1, 3), ("side", 1, 6), ("kernel", 1, 3), ("stride", 1, 2), ("padding", 0, 1),
    ("pool", 1, 2), ("outputs", 1, 3), ("steps", 1, 8), ("window", 1, 8),
)}  # fmt: skip


@dataclass(frozen=True)
class Instance:
    """A network with clamped images (B, inputs) and targets (B, outputs), nudged by `nudging` for `steps`."""

    network: Network
    images: FloatArray
    targets: FloatArray
    nudging: float
    steps: int
    window: int

    @property
    def cost(self) -> list[QuadraticCost]:
        """The squared error of each image's rates."""
        units = self.network.architecture.units
        outputs = np.arange(units - self.network.architecture.outputs, units)
        return [QuadraticCost(outputs, target) for target in self.targets]

    @property
    def models(self) -> list[Model]:
        """The dense twin of each image."""
        return [self.network.as_model(image) for image in self.images]

    def product(self, mean: FloatArray, slope: FloatArray, inputs: FloatArray) -> FloatArray:
        """G(mean, slope) of eq:layer-product, (weights + biases,), averaged over images: the rule's own product."""
        weights, bias = gradient(self.network, Response(mean, -slope, mean, inputs))
        return np.concatenate([weights, bias])

    def layers(self, flat: FloatArray) -> list[FloatArray]:
        """A flat (weights + biases,) layer by layer, the weights of each, then the biases of each."""
        architecture = self.network.architecture
        weights, bias = flat[: architecture.weights], flat[architecture.weights :]
        return [part.ravel() for part in (*architecture.arrays(weights), *architecture.bias_arrays(bias))]


@claim(
    label="F2",
    title="what the error of a layer's gradient consists of",
    kind="inequality",
    hypotheses="shared weights of average-pooled convolutions and dense layers; one temperature; (d) deterministic phases "
    "from a fixed point; (e) leaky spikes, coupled phases from one start",
    domain={
        **NATURAL, "gain": Interval(GAIN.low, 2.0), "log_temperature": LOG_TEMPERATURE, "leak": Interval(0.05, 1.0),
        "log_nudging": Interval(math.log(1e-3), 0.0), "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("constant × 0.9", PEAKED),
        Falsifier("the noise of a mean of repeats not taken off", STACK),
        Falsifier("1 in place of 2 in the mean cosine", STACK),
        Falsifier("temperature and weights scaled, the nudging not", STACK),
        Falsifier("one-sided for symmetric", STACK),
        Falsifier("what a layer sends down forgotten", STACK),
        Falsifier("one place of each shared weight", STACK),
        Falsifier("one truncation for the whole window", STACK),
        Falsifier("a start off rest", STACK, drops="(d) deterministic phases from a fixed point"),
        Falsifier("independent phases", STACK, drops="(e) leaky spikes, coupled phases from one start"),
    ),
    instances=150,
)  # fmt: skip
def layer_gradients(
    convs: int, channels: int, side: int, kernel: int, stride: int, padding: int, pool: int, outputs: int, gain: float,
    log_temperature: float, leak: float, steps: int, window: int, log_nudging: float, seed: int, mutation: str | None = None,
) -> Evidence:  # fmt: skip
    """Layer by layer: E‖x̄_S − g‖² = ‖μ − g‖² + V/S, each estimated without bias; sin ∠(x, g) ≤ ‖x − g‖/‖g‖, E cos ∠(x, g) ≥ 1 −
    2E‖x − g‖²/‖g‖²; weights, T and β scaled together change nothing; deterministic EP misses BPTT of the window's mean trace by at
    most (β²/6)[G(m, Q) + 3G°(W, U)]; coupled leaky spikes have E ĝ² ≤ AᵀQA/4β².
    """
    architecture = _architecture(convs, channels, side, kernel, stride, padding, pool, outputs)
    instance = _instance(architecture, gain, log_temperature, leak, min(window, steps), steps, log_nudging, seed)
    parts = [
        _nudging(instance, mutation),
        _scaling(instance, seed, mutation),
        _decomposition(instance, seed, mutation),
        _noise(leak, gain, log_temperature, log_nudging, seed, mutation),
    ]
    measured, bound, rounding, ceiling = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Evidence(measured, bound, rounding, ceiling)


Numbers = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _architecture(
    convs: int, channels: int, side: int, kernel: int, stride: int, padding: int, pool: int, outputs: int
) -> Architecture:
    """The drawn stack, without the convolutions for which nothing is left of the image."""
    layers: list[Conv | Dense] = []
    shape: tuple[int, ...] = (1 + channels % 2, side, side)
    first = shape
    for _ in range(convs):
        layer = Conv(channels, min(kernel, shape[1]), stride, padding, pool)
        try:
            shape = layer.shape(shape)
        except ValueError:
            break
        layers.append(layer)
    return Architecture(first, (*layers, Dense(outputs)))


def _instance(
    architecture: Architecture, gain: float, log_temperature: float, leak: float, window: int, steps: int,
    log_nudging: float, seed: int,
) -> Instance:  # fmt: skip
    """Weights whose loop gain ‖J‖₂/4T is `gain`; one unit alone has no field, and a target that it does not meet."""
    generator, temperature = np.random.default_rng([seed, 90]), math.exp(log_temperature)
    alone = architecture.units == 1
    weights = generator.normal(size=architecture.weights) * (0.0 if alone else temperature)
    bias = generator.normal(size=architecture.biases) * (0.0 if alone else temperature)
    threshold = 0.0 if alone else 0.5 * temperature
    network = Network(architecture, weights, bias, temperature, threshold, leak)
    images = generator.random((IMAGES, architecture.inputs))
    drawn = network.as_model(images[0]).gain
    if drawn > 0:
        network = rescaled(network, loop=gain / drawn)
    targets = generator.random((IMAGES, architecture.outputs)).round(seed % 2)
    return Instance(network, images, targets, math.exp(log_nudging) * temperature, steps, window)


def _nudging(instance: Instance, mutation: str | None) -> Numbers:
    """T|ĝ − BPTT of the window's mean trace from a fixed point| and its bound, weight by weight."""
    network, models, steps, window = instance.network, instance.models, instance.steps, instance.window
    temperature, nudging = models[0].temperature, instance.nudging
    rest = np.array(
        [
            fixed_point(model, start=np.full(model.size, 0.5), method="newton", tolerance=1e-15, throw=False).value
            for model in models
        ]
    )
    begin = np.full_like(rest, 0.5) if mutation == "a start off rest" else rest
    ends = [
        network.phase(
            begin.copy(), network.constants(instance.images), steps=steps, window=window, targets=instance.targets,
            nudging=value,
        )
        for value in (nudging, 0.0 if mutation == "one-sided for symmetric" else -nudging)
    ]  # fmt: skip
    apart = nudging if mutation == "one-sided for symmetric" else 2 * nudging
    mean, slope = (ends[0] + ends[1]) / 2, (ends[0] - ends[1]) / apart
    found = -instance.product(mean, slope, instance.images)
    if mutation == "what a layer sends down forgotten":
        found = -_upwards(instance, mean, slope)
    if mutation == "one place of each shared weight":
        seen = np.zeros_like(slope)
        for place, layer in zip(network.architecture.places, network.architecture.layers, strict=True):
            seen[:, place.start : place.start + layer.biases] = 1.0
        found = -instance.product(mean, slope * seen, instance.images)
    unrolled = backpropagate(
        network, instance.images, instance.targets, steps=steps, start=begin,
        window=1 if mutation == "one truncation for the whole window" else window,
    )  # fmt: skip
    reference = np.concatenate([unrolled.weights, unrolled.bias])
    first, second, third, error, drift = (np.empty_like(rest) for _ in range(5))
    leaks = network.per_unit(network.leak)
    for image, (model, cost) in enumerate(zip(models, instance.cost, strict=True)):
        path = list(derivative_bounds(model, cost, rest[image], nudging, steps, leaks, "rates"))[-window:]
        first[image], second[image], third[image] = np.mean(path, axis=0)
        error[image], drift[image] = relaxation_rounding(model, rest[image], leaks[None], steps, nudging / temperature)
    nothing = np.zeros_like(instance.images)
    bound = instance.product(rest, third, instance.images) + 3 * instance.product(second, first, nothing)
    # the symmetric difference's rounding grows as 1/β; sums over places add their own
    slope_error = (2 * drift * temperature / nudging + error) / temperature
    rounding = 4 * instance.product(np.ones_like(rest), slope_error, instance.images)
    rounding += 4 * instance.product(drift, first, nothing)
    largest = instance.product(np.ones_like(rest), np.full_like(rest, 1 / nudging), instance.images)
    return (
        temperature * np.abs(found - reference), temperature * nudging**2 / 6 * bound, temperature * rounding,
        temperature * largest,
    )  # fmt: skip


def _upwards(instance: Instance, mean: FloatArray, slope: FloatArray) -> FloatArray:
    """Only mean below × slope above: each layer's product with the slopes of the layers below put to 0."""
    places = instance.network.architecture.places
    total = np.zeros(instance.network.architecture.weights + instance.network.architecture.biases)
    for number, place in enumerate(places):
        below, above = np.zeros_like(mean), np.zeros_like(slope)
        above[:, place] = slope[:, place]
        if number:
            below[:, places[number - 1]] = mean[:, places[number - 1]]
        inputs = instance.images if number == 0 else np.zeros_like(instance.images)
        total += instance.product(below, above, inputs)
    return total


def _scaling(instance: Instance, seed: int, mutation: str | None) -> Numbers:
    """a·ĝ(aθ, aT, aβ) − ĝ(θ, T, β) for a power of two, deterministic and spiking: the same to the last bit."""
    network, factor = instance.network, 2.0 ** (1 + seed % 3)
    moved = ("weights", "bias", "temperature", "threshold")
    scaled = replace(network, **{name: factor * getattr(network, name) for name in moved})
    nudged = 1.0 if mutation == "temperature and weights scaled, the nudging not" else factor
    gaps = []
    for rule in _rules(instance):
        told = msgspec.structs.replace(rule, nudging=nudged * rule.nudging)
        ends = [
            estimate(one, net, instance.images, instance.targets, seed=seed, replicas=np.arange(IMAGES))
            for one, net in ((rule, network), (told, scaled))
        ]
        gaps.append(np.abs(factor * ends[1].weights - ends[0].weights).max())
    return _identity(np.array(gaps) * instance.models[0].temperature, 0.0)


def _rules(instance: Instance) -> tuple[Deterministic, Stochastic]:
    told = {
        "nudging": instance.nudging, "steps_free": instance.steps, "steps_nudged": instance.steps, "window": instance.window,
    }  # fmt: skip
    return Deterministic(**told), Stochastic(**told, estimator="traces", phases="coupled")


def _decomposition(instance: Instance, seed: int, mutation: str | None) -> Numbers:
    """Over every way to draw R repeats from few estimates, layer by layer: unbiased moments, and the angles' inequalities."""
    rule = msgspec.structs.replace(_rules(instance)[1], estimator="probabilities")
    samples = []
    for noise in range(SEEDS_OF_NOISE):
        found = estimate(
            rule, instance.network, instance.images, instance.targets, seed=noise, replicas=np.arange(IMAGES)
        )
        samples.append(instance.layers(np.concatenate([found.weights, found.bias])))
    unrolled = backpropagate(instance.network, instance.images, instance.targets, steps=instance.steps, window=1)
    references = instance.layers(np.concatenate([unrolled.weights, unrolled.bias]))
    generator = np.random.default_rng([seed, 91])
    parts = []
    for layer, reference in enumerate(references):
        length = float(np.linalg.norm(reference))
        if length == 0.0:
            continue
        # estimates off by up to twice the reference: a tiny β would leave nothing but noise
        drawn = np.array([sample[layer] for sample in samples])
        spread = float(np.linalg.norm(drawn - drawn.mean(axis=0), axis=1).max())
        noise = (drawn - drawn.mean(axis=0)) * (length / spread if spread > 0 else 0.0)
        vectors = (reference + generator.uniform(0.0, 2.0) * noise) / length
        parts.append(_unbiased(vectors, reference / length, mutation))
        parts.append(_angles(vectors, reference / length, generator.uniform(), mutation))
    columns = zip(*parts, strict=True)
    return tuple(np.concatenate(column) for column in columns) if parts else _identity(np.zeros(1), 0.0)  # type: ignore[return-value]


def _unbiased(vectors: FloatArray, reference: FloatArray, mutation: str | None) -> Numbers:
    """The mean of `moments` over all draws of R repeats, less ‖μ‖², ⟨μ, g⟩ and V of the law on these vectors; then the sum rule."""
    mean = vectors.mean(axis=0)
    noise = float(((vectors - mean) ** 2).sum() / len(vectors))
    found, errors = np.zeros(3), 0.0
    draws = list(itertools.product(range(len(vectors)), repeat=REPEATS))
    for draw in draws:
        picked = vectors[list(draw)]
        power, along, scatter = moments(picked @ picked.T, picked @ reference)
        if mutation == "the noise of a mean of repeats not taken off":
            power = float((picked.mean(axis=0) ** 2).sum())
        found += np.array([power, along, scatter]) / len(draws)
        errors += float(((picked.mean(axis=0) - reference) ** 2).sum()) / len(draws)
    expected = np.array([mean @ mean, mean @ reference, noise])
    rule = float(((mean - reference) ** 2).sum()) + noise / REPEATS
    scale = 1.0 + float((vectors**2).sum())
    return _identity(np.append(np.abs(found - expected), abs(errors - rule)), 100 * EPS * scale)


def _angles(vectors: FloatArray, reference: FloatArray, backwards: float, mutation: str | None) -> Numbers:
    """sin ∠ ≤ r for every vector with r < 1, and 1 − E cos ≤ 2 E r² for their law and for the one vector −backwards·g."""
    away = np.linalg.norm(vectors - reference, axis=1)
    near, lengths = away < 1, np.linalg.norm(vectors, axis=1)
    along = vectors @ reference
    across = np.linalg.norm(vectors - along[:, None] * reference, axis=1)
    cosines = np.where(lengths > 0, along / np.maximum(lengths, 1e-300), -1.0)
    constant = 1.0 if mutation == "1 in place of 2 in the mean cosine" else 2.0
    measured = np.concatenate([across[near] / lengths[near], [1 - cosines.mean(), 2.0]])
    bound = np.concatenate([away[near], constant * np.array([(away**2).mean(), (1 + backwards) ** 2])])
    ceiling = np.concatenate([np.ones(near.sum()), [2.0, 3.0]])
    return measured, bound, np.full_like(measured, 1e-12), ceiling


def _noise(
    leak: float, gain: float, log_temperature: float, log_nudging: float, seed: int, mutation: str | None
) -> Numbers:
    """T²E ĝ² of one image's coupled estimate, over all histories of leaky spikes, and AᵀQA/4β²: traces and probabilities."""
    pixels, stacked, steps = 2, seed % 2, 2
    layers = (Conv(1, 1),) * (1 + stacked) + (Dense(1),)
    shared = Architecture((1, 1, pixels), layers)
    instance = _instance(shared, gain, log_temperature, leak, 1, steps, log_nudging, seed)
    image, target = instance.images[:1], instance.targets[:1]
    instance = replace(instance, images=image, targets=target)
    model, cost, nudging = instance.models[0], instance.cost[0], instance.nudging
    begin = np.random.default_rng([seed, 92]).uniform(size=model.size)
    *pair, law = coupled_leaky_law(
        model, cost, nudgings=(nudging, -nudging), leak=leak, steps=steps, start=begin, cost_on="rates"
    )
    slope, offset = cost.force(model.size, "rates")
    chances = [
        firing_probability(
            model.local_field(paths[:, -2]) + cost_force(paths[:, -2], slope, offset, value), model.temperature
        )
        for paths, value in zip(pair, (nudging, -nudging), strict=True)
    ]
    pairs, inputs = _places(instance)
    reach = pairs.sum(axis=2) + inputs
    window = 1 + seed // 2 % 2
    traces = [paths[:, -window:].mean(axis=1) for paths in pair]
    columns: list[list[FloatArray]] = [[], [], []]
    for statistic, (up, down) in (("traces", traces), ("probabilities", chances)):
        readings = [_read(values, pairs, inputs) for values in (up, down)]
        if mutation == "independent phases":
            # each phase's own law is the coupled law's margin
            means = [law @ values for values in readings]
            scatter = [law @ (values - mean) ** 2 for values, mean in zip(readings, means, strict=True)]
            square = scatter[0] + scatter[1] + (means[0] - means[1]) ** 2
        else:
            mean, change = (up + down) / 2, up - down
            square = law @ _product(mean, change, pairs, inputs) ** 2
        second = _second(model, cost, nudging, leak, steps, statistic)
        unit = model.temperature**2 / (4 * nudging**2)
        columns[0].append(unit * square)
        columns[1].append(unit * np.einsum("qa,ab,qb->q", reach, second, reach))
        columns[2].append(unit * reach.sum(axis=1) ** 2)
    measured, bound, ceiling = (np.concatenate(column) for column in columns)
    return measured, bound, 1e3 * EPS * ceiling, ceiling


def _places(instance: Instance) -> tuple[FloatArray, FloatArray]:
    """K (parameters, N, N), symmetric, and K_0 x (parameters, N) of every weight and bias, read off the rule's own product."""
    units, image = instance.network.architecture.units, instance.images
    nothing, basis = np.zeros_like(image), np.eye(units)[:, None]
    inputs = np.array([instance.product(np.zeros((1, units)), one, image) for one in basis]).T
    biases = np.array([instance.product(np.zeros((1, units)), one, nothing) for one in basis]).T
    pairs = np.array([[instance.product(below, above, nothing) for above in basis] for below in basis]).transpose(
        2, 0, 1
    )
    pairs = pairs - biases[:, None, :]
    return pairs, inputs


def _product(mean: FloatArray, slope: FloatArray, pairs: FloatArray, inputs: FloatArray) -> FloatArray:
    """G(mean, slope) of stacks (M, N): (M, parameters)."""
    return np.einsum("ma,qab,mb->mq", mean, pairs, slope, optimize=True) + slope @ inputs.T


def _read(values: FloatArray, pairs: FloatArray, inputs: FloatArray) -> FloatArray:
    """f of eq:layer-product, whose difference between the phases is the estimate: (M, parameters)."""
    return _product(values, values / 2, pairs, inputs) + values @ inputs.T / 2


def _second(model: Model, cost: QuadraticCost, nudging: float, leak: float, steps: int, statistic: str) -> FloatArray:
    """Q of traces or U of probabilities (C8), from the second moments of pairs and units."""
    stated = bounds.coupled_second_moment(
        model, cost, nudging=nudging, dynamics="leaky", leak=leak, cost_on="rates", steps=steps, statistic=statistic
    )
    square = 4 * nudging**2 * stated.bias
    both = (4 * nudging**2 * stated.couplings - square[:, None] - square) / 2
    np.fill_diagonal(both, square)
    return both


def _identity(gaps: FloatArray, rounding: float) -> Numbers:
    return gaps, np.zeros_like(gaps), np.full_like(gaps, rounding), np.full_like(gaps, np.inf)
