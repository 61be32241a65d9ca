"""What the theory says about a network as it is: which hypotheses it meets, and what they predict, without a dense matrix.

Main results: certify, Certificate (thm:F1).

Three kinds of number: a *proven end* holds whatever an iteration did; an *estimate* (Lanczos) comes with the residual of its
eigenpair, so that an eigenvalue lies within it, not necessarily the outermost; a *measurement* comes with a standard error.
Layers may have temperatures and leaks of their own (lem:leaky-temps); the ball asks for one of each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from dynamics.crnn.ball import Surroundings, Watch, best_ball, leaving
from dynamics.crnn.network import Network, Spiking
from dynamics.crnn.spectra import MARGIN, Bracket, Drives, extreme_eigenvalue, neumann, spectral_radius
from meanfield.bounds.local import LocalContraction
from meanfield.equations import SUP_CURVATURE, activity_variance
from meanfield.model import FloatArray, whole_number

STREAM_CERTIFICATE = 64
OUTSIDE, SILENT = "outside", "says nothing"


class Prediction(NamedTuple):
    """What the theory predicts and a simulation measures; kind: 'bound' or 'approximation'.

    predicted None: unsaid is why, OUTSIDE the claim's hypotheses, or SILENT, a bound no better than the largest possible value.
    predicted_error: the standard error of a prediction that is itself drawn.
    """

    quantity: str
    claim: str
    kind: str
    predicted: float | None
    measured: float
    standard_error: float
    predicted_error: float | None = None
    unsaid: str = ""


class Ball(NamedTuple):
    """Where the map contracts about an image's fixed point, with rate 1 − ε(1 − gain) in ‖·‖_ŝ, and no other is (thm:A5c).

    radius: None for the whole cube. least_cap: min ŝ, so that the ball holds the Euclidean one of radius·√least_cap. leaving: the
    bound on the probability that leaky spikes leave it while they are watched, 1 where it says nothing, None without one leak.
    farthest, in radii, and left, the share of paths that left, are measured.
    """

    radius: float | None
    gain: float
    least_cap: float
    leaving: float | None
    farthest: float
    left: float


@dataclass(frozen=True)
class Certificate:
    """κ, κ_a, κ_∞ (each must be below 1), λ_max(J)/4T, what holds near the images' fixed points, predictions and measurements.

    residual: max |σ(h/T) − m| at the fixed points. local: per image, the radius of the leaky map's Jacobian at its
    fixed point. local_gain: per image, ‖V^½JV^½/T‖, below 1 where the map contracts near m. balls: per image, None where no
    ball is proven to contract, or for mixed temperatures.
    """

    units: int
    residual: float
    gain: Bracket
    absolute_gain: Bracket
    row_gain: float
    largest_eigenvalue: Bracket
    local: tuple[Bracket, ...]
    local_gain: tuple[Bracket, ...]
    balls: tuple[Ball | None, ...]
    predictions: tuple[Prediction, ...]

    @property
    def hypotheses(self) -> list[tuple[str, str, str]]:
        """(condition, verdict, claims that need it)."""
        row = Bracket(self.row_gain, self.row_gain)
        return [
            ("λ_max(J) < 4T", self.largest_eigenvalue.below(1.0), "A5b D1"),
            ("κ < 1", self.gain.below(1.0), "A5 B4 B10 D1"),
            ("κ_a < 1", self.absolute_gain.below(1.0), "B3 B5 B6 B7 B8 C6 C8"),
            ("κ_∞ < 1", row.below(1.0), "C2"),
            ("local gain < 1, every image", Bracket.of_all(self.local_gain).below(1.0), "A5c B11b"),
            ("local radius < 1, every image", Bracket.of_all(self.local).below(1.0), "B11"),
        ]

    def record(self) -> dict[str, Any]:
        """As one JSON document."""
        return {
            "units": self.units,
            "residual": self.residual,
            **{name: asdict(getattr(self, name)) for name in ("gain", "absolute_gain", "largest_eigenvalue")},
            "row_gain": self.row_gain,
            "local_radius": [asdict(one) for one in self.local],
            "local_gain": [asdict(one) for one in self.local_gain],
            "balls": [None if one is None else one._asdict() for one in self.balls],
            "hypotheses": [
                {"condition": condition, "verdict": verdict, "claims": claims.split()}
                for condition, verdict, claims in self.hypotheses
            ],
            "predictions": [one._asdict() for one in self.predictions],
        }


class LinearNoise:
    """Fluctuations of leaky spikes about a fixed point m to first order (thm:B11), any leaks and temperatures.

    With D = diag ε, W = V/T and e = (DW)^½u the linearised map is the symmetric M = I − D + (DW)^½J(DW)^½ with noise of
    covariance DT, so the covariance of e is (DW)^½ Σ_k M^k DT M^k (DW)^½.
    """

    def __init__(self, drives: Drives, mean: FloatArray) -> None:
        self.drives, self.leaks = drives, drives.leaks
        self.scale = np.sqrt(drives.leaks * activity_variance(mean) / drives.temperatures)
        self._coupled = drives.scaled("signed", self.scale)

    def map(self, vector: FloatArray) -> FloatArray:
        """M u."""
        return (1.0 - self.leaks) * vector + self._coupled(vector)

    def radius(self) -> Bracket:
        """Of M's largest |eigenvalue|: what a residual proves, the bracket of 1 − D + (DW)^½|J|(DW)^½, and the estimate."""
        ends = self._ends()
        absolute = self.drives.scaled("absolute", self.scale)
        high = spectral_radius(lambda vector: (1.0 - self.leaks) * vector + absolute(vector), self.drives.size).high
        low = max(abs(value) - residual for value, residual in ends) - MARGIN * high
        return Bracket(max(0.0, low), high, max(abs(value) for value, _ in ends))

    def largest(self) -> float:
        """Of M's |eigenvalues|, by Lanczos' estimate alone."""
        return max(abs(value) for value, _ in self._ends())

    def _ends(self) -> list[tuple[float, float]]:
        return [extreme_eigenvalue(self.map, self.drives.size, which) for which in ("LA", "SA")]

    def quadratic(self, probes: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
        """x ∘ (Σx) for probes x (P, N) and a bound on the sum over units that the truncated series leaves out, (P,)."""
        noise = self.leaks * self.drives.temperatures
        powers = [self.scale * probes]
        # Σ_k M^k (DT) M^k y by two sweeps: up the powers, then back by Horner's rule
        bound = np.linalg.norm(powers[0], axis=1) ** 2 * noise.max() / (1.0 - radius**2)
        terms = 1
        while radius ** (2 * terms) > 1e-6 and terms < 2000:
            powers.append(self.map(powers[-1]))
            terms += 1
        total = noise * powers[-1]
        for power in reversed(powers[:-1]):
            total = noise * power + self.map(total)
        return probes * self.scale * total, bound * radius ** (2 * terms)


def certify(
    network: Network,
    images: FloatArray,
    *,
    seed: int = 0,
    replicas: int = 32,
    probes: int = 32,
    steps: int = 200,
    report: Callable[[float], None] = lambda _: None,
) -> Certificate:
    """The certificate of a network on a batch of images (B, inputs), with one relaxation's errors measured on them.

    replicas and steps: leaky paths an image, from the fixed point, the first half of their steps not counted but for the ball.
    report: told now and then what share is done.
    Raises ValueError for max pooling, ConvergenceError where an image has no fixed point within reach. Paper: thm:F1.
    """
    for name, value, least in (("replicas", replicas, 2), ("probes", probes, 2), ("steps", steps, 1)):
        whole_number(name, value, least)
    drives = Drives(network)
    settling = replace(drives.network, leak=0.5)
    means, residuals = settling.settle(settling.constants(images), tolerance=1e-10, max_steps=20_000)
    size, row = drives.size, drives.apply("absolute", np.ones(drives.size))
    absolute_gain = spectral_radius(drives.scaled("absolute", drives.root), size)
    gain, largest = drives.norm(drives.root)
    noises = [LinearNoise(drives, mean) for mean in means]
    # three looks at every image, then as long again for the paths
    looked = _ticker(report, 6 * len(means))
    local = tuple(noise.radius() for noise in looked(noises))
    local_gain = tuple(drives.norm(np.sqrt(activity_variance(mean) / drives.temperatures))[0] for mean in looked(means))
    leak = None if np.ptp(drives.leaks) else float(drives.leaks[0])
    places = [Surroundings(drives, *pair) for pair in zip(drives.network.constants(images), means, strict=True)]
    mixed = bool(np.ptp(drives.temperatures))
    found = [None if mixed else best_ball(place, leak=leak, steps=steps) for place in looked(places)]
    watch = Watch(found, means, replicas)
    trace, trace_error = _linear_noise(noises, local, probes, seed)
    leaky = _paths([drives.network], images, means, seed, replicas, steps, watch)
    predictions = [
        _tracking(drives, means, leaky, gain.high, leak),
        Prediction(
            "E‖s − m*‖², leaky spikes", "B11", "approximation", trace, *_over_images(leaky.square.sum(axis=1)),
            predicted_error=trace_error, unsaid="" if trace is not None else OUTSIDE,
        ),
        *_in_balls(places, found, watch, leak, steps),
        *_means(drives, images, means, leaky, absolute_gain.high, leak, (seed, replicas, steps)),
    ]  # fmt: skip
    return Certificate(
        size, float(residuals.max()), gain, absolute_gain, float((row / (4.0 * drives.temperatures)).max()), largest, local,
        local_gain, _balls(found, watch, leak, steps), tuple(predictions),
    )  # fmt: skip


def _ticker(report: Callable[[float], None], total: int) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Passes things on, and reports what share of `total` has gone by."""
    passed = itertools.count(1)

    def through(things: Iterable[Any]) -> Iterator[Any]:
        for one in things:
            yield one
            report(next(passed) / total)

    return through


def _said(bound: float | None, most: float) -> dict[str, Any]:
    """A bound as a prediction: None outside its hypotheses, or where it is not below the quantity's largest possible value."""
    if bound is None:
        return {"predicted": None, "unsaid": OUTSIDE}
    return {"predicted": bound} if bound < most else {"predicted": None, "unsaid": SILENT}


def _tracking(drives: Drives, means: FloatArray, leaky: Sample, gain: float, leak: float | None) -> Prediction:
    """B4 in the norm weighted with T."""
    temperatures, bound = drives.temperatures, None
    if leak is not None and gain < 1.0:
        slack = leak * (1.0 - gain)
        bound = leak**2 * float(temperatures.sum()) / (4.0 * slack * (2.0 - slack))
    measured, error = _over_images(leaky.square @ temperatures)
    most = float((np.maximum(means, 1.0 - means) ** 2 @ temperatures).mean())
    return Prediction(
        "E Σ T(s − m*)², leaky spikes", "B4", "bound", measured=measured, standard_error=error, **_said(bound, most)
    )


def _in_balls(
    places: list[Surroundings], balls: list[LocalContraction | None], watch: Watch, leak: float | None, steps: int
) -> list[Prediction]:
    """B11b's two statements, averaged over the images that have a ball."""
    inside = [number for number, ball in enumerate(balls) if ball is not None]
    if not inside:
        return []
    chance = square = None
    held = [(places[number], ball) for number, ball in enumerate(balls) if ball is not None]
    if leak is not None:
        chance = float(np.mean([leaving(ball, leak=leak, steps=steps) for _, ball in held]))
        square = np.mean([min(place.square(ball, leak=leak, steps=steps), place.largest(ball)) for place, ball in held])
    most = float(np.mean([place.largest(ball) for place, ball in held]))
    rows = (
        ("P(leaky spikes leave the ball)", watch.left[inside].mean(axis=1), chance, 1.0),
        ("E‖s − m*‖_ŝ² in it", watch.square[inside].mean(axis=1), square, most),
    )
    found = []
    for quantity, values, bound, limit in rows:
        measured, error = _over_images(values)
        said = _said(None if bound is None else float(bound), limit)
        found.append(Prediction(quantity, "B11b", "bound", measured=measured, standard_error=error, **said))
    return found


def _balls(
    balls: list[LocalContraction | None], watch: Watch, leak: float | None, steps: int
) -> tuple[Ball | None, ...]:
    return tuple(
        None if ball is None else Ball(
            None if math.isinf(ball.radius) else ball.radius, ball.gain, float(ball.slopes.min()),
            None if leak is None else leaving(ball, leak=leak, steps=steps),
            float(farthest / ball.radius), float(left),
        )
        for ball, farthest, left in zip(balls, watch.farthest.max(axis=1), watch.left.mean(axis=1), strict=True)
    )  # fmt: skip


def _means(
    drives: Drives, images: FloatArray, means: FloatArray, leaky: Sample, gain: float, leak: float | None,
    run: tuple[int, int, int],
) -> list[Prediction]:  # fmt: skip
    """B5, B6 and B7; run: seed, replicas, steps."""
    network = drives.network
    rows = [("‖E s − m*‖, leaky spikes", "B5", leaky)]
    for name, label, turns in (("Gibbs", "B6", _turns(network)), ("Little", "B7", [replace(network, leak=1.0)])):
        rows.append((f"‖E z − m*‖, {name}", label, _paths(turns, images, means, *run)))
    found, most = [], float(np.sqrt((np.maximum(means, 1.0 - means) ** 2).sum(axis=1).mean()))
    for quantity, label, sample in rows:
        measured, error = _mean_error(sample)
        said = _said(_mean_bound(drives, label, gain, leak), most)
        found.append(Prediction(quantity, label, "bound", measured=measured, standard_error=error, **said))
    return found


def _mean_bound(drives: Drives, label: str, gain: float, leak: float | None) -> float | None:
    """‖(I − |J|/4T)⁻¹ (M₂/2T²)(J∘J)1 c‖₂ of thm:B5 to thm:B7, coarser forms; None outside their hypothesis or for mixed leaks."""
    if gain >= 1.0 or (label == "B5" and leak is None) or np.ptp(drives.temperatures):
        return None
    temperature = float(drives.temperatures[0])
    factor = {
        "B5": (leak or 0.0) / (4.0 * (1.0 - gain) * (2.0 - (leak or 0.0) * (1.0 - gain))),
        "B6": 1.0 / (4.0 * (1.0 - gain)),
        "B7": 1.0 / (4.0 * (1.0 - gain**2)),
    }[label]
    source = SUP_CURVATURE / (2.0 * temperature**2) * factor * drives.apply("squared", np.ones(drives.size))
    total, rest = neumann(drives.scaled("absolute", drives.root), source, gain)
    return float(np.linalg.norm(total)) + rest


def _linear_noise(
    noises: list[LinearNoise], local: tuple[Bracket, ...], probes: int, seed: int
) -> tuple[float | None, float | None]:
    """The mean over images of tr Σ, by Hutchinson's estimator with ±1 probes, and its standard error over these.

    None where a local radius is not below 1.
    """
    radii = [one.high if one.estimate is None else one.estimate for one in local]
    if max(radii) >= 1.0:
        return None, None
    signs = np.random.default_rng([seed, STREAM_CERTIFICATE]).choice([-1.0, 1.0], size=(probes, noises[0].drives.size))
    # the images share the probes
    traces = np.mean(
        [noise.quadratic(signs, radius)[0].sum(axis=1) for noise, radius in zip(noises, radii, strict=True)], axis=0
    )
    return float(traces.mean()), float(traces.std(ddof=1) / np.sqrt(probes))


class Sample(NamedTuple):
    """Of every image: mean square of s − m* a unit, mean of s − m* a unit, its standard error; all (B, N)."""

    square: FloatArray
    shift: FloatArray
    error: FloatArray


def _turns(network: Network) -> list[Network]:
    """Gibbs' law by turns: the odd layers redrawn given the even ones, then the even ones."""
    layers = len(network.architecture.layers)
    return [replace(network, leak=tuple(float(n % 2 == turn) for n in range(layers))) for turn in (0, 1)]


def _paths(
    turns: list[Network], images: FloatArray, means: FloatArray, seed: int, replicas: int, steps: int,
    watch: Watch | None = None,
) -> Sample:  # fmt: skip
    """Paths from the fixed points, each step every network in its turn, looked at every few steps of their second half.

    watch: looks at every step of leaky spikes.
    """
    count, units = means.shape
    numbers = np.arange(count * replicas)
    states = np.repeat(means, replicas, axis=0)
    if watch is None:
        # a chain of spikes starts from spikes
        states = (np.random.default_rng([seed, STREAM_CERTIFICATE, 1]).random(states.shape) < states).astype(np.float64)
    constants = np.repeat(turns[0].constants(images), replicas, axis=0)
    square, shift = np.zeros((count, units)), np.zeros((count * replicas, units))
    every, looks = 5, 0
    for step in range(0, steps, every):
        for number in range(min(every, steps - step)):
            for place, network in enumerate(turns):
                first = (step + number) * len(turns) + place
                noise = Spiking(seed, STREAM_CERTIFICATE, numbers)
                network.phase(states, constants, steps=1, window=1, first=first, spiking=noise)
            if watch is not None:
                watch.look(states)
        if step + every > steps // 2:
            apart = states - np.repeat(means, replicas, axis=0)
            square += (apart**2).reshape(count, replicas, units).mean(axis=1)
            shift += apart
            looks += 1
    shifts = (shift / looks).reshape(count, replicas, units)
    return Sample(square / looks, shifts.mean(axis=1), shifts.std(axis=1, ddof=1) / np.sqrt(replicas))


def _over_images(values: FloatArray) -> tuple[float, float]:
    """Mean over images and its standard error."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return float(values.mean()), float(error)


def _mean_error(sample: Sample) -> tuple[float, float]:
    """√ of the mean over images of ‖E s − m*‖₂², the sampling noise's share taken off, and how far one standard error reaches."""
    squares, error = _over_images((sample.shift**2).sum(axis=1) - (sample.error**2).sum(axis=1))
    value = np.sqrt(max(squares, 0.0))
    return float(value), float(np.sqrt(value**2 + np.nan_to_num(error)) - value)
