"""How good a rule's gradient is on a layered network, layer by layer, held against a reference (thm:F2).

Main results: quality, Quality, repeated, layers, rescaled.

R repeats of an estimate with mean μ and noise V = E‖x − μ‖² are held against a reference g: the mean of S of them has E‖x̄ − g‖²
= ‖μ − g‖² + V/S. The square of a mean of R is too long by V/R, products of different repeats are not: all that is said of μ comes
from these, so that nothing here grows or shrinks, on average, with the number of repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from dynamics.crnn.config import Rule
from dynamics.crnn.learning import estimate
from dynamics.crnn.network import Array, Network
from meanfield.model import FloatArray


class Moments(NamedTuple):
    """Unbiased estimates of ‖μ‖², ⟨μ, g⟩ and V."""

    power: float
    along: float
    noise: float


class Estimate(NamedTuple):
    """A value with the ends of its 95 % interval; nan where the repeats do not tell."""

    value: float
    low: float
    high: float


class Quality(NamedTuple):
    """A layer's gradient against its reference g: of the mean estimate μ the cosine with g, bias ‖μ − g‖²/‖g‖² (below 0 by
    chance) and amplitude ⟨μ, g⟩/‖g‖²; of one estimate the noise V/‖g‖² and single, its mean cosine with g.
    """

    cosine: Estimate
    bias: Estimate
    amplitude: Estimate
    noise: Estimate
    single: Estimate


def moments(gram: FloatArray, along: FloatArray) -> Moments:
    """From the products of repeats with each other, (R, R), and with g, (R,)."""
    count, squares = len(gram), float(np.trace(gram))
    power = (float(gram.sum()) - squares) / (count * (count - 1))
    return Moments(power, float(along.mean()), squares / count - power)


def quality(estimates: Array, reference: Array) -> Quality:
    """R repeats (R, P) held against g (P,); intervals by the jackknife over repeats and Student's t.

    A single repeat is taken to be free of noise. An estimate of exactly zero, as coupled phases without a differing spike leave
    it, points nowhere: its cosine is 0. Raises ValueError where R is 2 or g vanishes.
    """
    length = float(np.linalg.norm(reference.astype(np.float64)))
    if not length > 0:
        raise ValueError(f"the reference gradient must not vanish, got length {length}: choose images not yet fitted")
    if len(estimates) == 2:
        raise ValueError("repeats must be 1, for a rule without noise, or at least 3 for an interval, got 2")
    vectors = estimates.astype(np.float64) / length
    gram, along = vectors @ vectors.T, vectors @ (reference.astype(np.float64) / length)
    lengths = np.sqrt(np.diagonal(gram))
    cosines = np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0)
    if len(vectors) == 1:
        values = (cosines[0], gram[0, 0] - 2 * along[0] + 1, along[0], 0.0, cosines[0])
        return Quality(*(Estimate(float(value), float(value), float(value)) for value in values))
    found = [
        _jackknife(statistic, gram, along)
        for statistic in (
            # no signal above the noise: the direction of μ is not known
            lambda m: m.along / np.sqrt(m.power) if m.power > 0 else np.nan,
            lambda m: m.power - 2 * m.along + 1,
            lambda m: m.along,
            lambda m: m.noise,
        )
    ]
    reach = _student(len(cosines)) * float(cosines.std(ddof=1) / np.sqrt(len(cosines)))
    cosine, bias, amplitude, noise = found
    return Quality(cosine, bias, amplitude, noise, _around(float(cosines.mean()), reach))


def _jackknife(statistic: Callable[[Moments], float], gram: FloatArray, along: FloatArray) -> Estimate:
    """The statistic ± t·se, se² = (R − 1)/R Σ_r(θ_r − θ̄)² over the values θ_r without repeat r."""
    count = len(along)
    rest = [np.delete(np.arange(count), left_out) for left_out in range(count)]
    values = np.array([statistic(moments(gram[np.ix_(kept, kept)], along[kept])) for kept in rest])
    return _around(statistic(moments(gram, along)), _student(count) * float(np.sqrt((count - 1) * values.var())))


def _around(value: float, reach: float) -> Estimate:
    return Estimate(float(value), float(value - reach), float(value + reach))


def _student(count: int) -> float:
    return float(stdtrit(count - 1, 0.975))


def layers(network: Network, weights: Array) -> list[Array]:
    """Gradients (…, weights) layer by layer, the softmax readout left out: it learns without a nudge."""
    ends = np.cumsum([own.size for own in network.architecture.arrays(network.weights)])
    free = len(network.architecture.layers)
    return np.split(weights, ends[:-1], axis=-1)[:free]


def repeated(rule: Rule, network: Network, images: Array, targets: Array, *, seed: int, repeats: int) -> Array:
    """`repeats` estimates of one batch's gradient, (repeats, weights), each with noise of its own."""
    count = len(targets)
    return np.array(
        [
            estimate(
                rule, network, images, targets, seed=seed, replicas=np.arange(repeat * count, (repeat + 1) * count)
            ).weights
            for repeat in range(repeats)
        ]
    )


def rescaled(network: Network, *, loop: float = 1.0, temperature: float = 1.0) -> Network:
    """Loop gain J/T times `loop`, and T times `temperature` at that loop gain: input weights, biases and thresholds stay.

    With loop = 1/temperature the weights stay too, and temperature alone moves the loop gain and the drive of every unit.
    To keep β/T the nudging must move with the temperature (thm:F2). Feedback enters J twice, up and down.
    """
    weights = [own.copy() for own in network.architecture.arrays(network.weights)]
    for own in weights[1 : len(network.architecture.layers)]:
        own *= loop * temperature
    shared = network.temperature
    hotter = (
        shared * temperature if isinstance(shared, (int, float)) else tuple(value * temperature for value in shared)
    )
    return replace(network, weights=np.concatenate([own.ravel() for own in weights]), temperature=hotter)
