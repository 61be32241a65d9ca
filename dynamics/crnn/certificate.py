"""What the theory says about a network as it is: which hypotheses it meets, and what they predict, without a dense matrix.

Main results: certify, Certificate, table (thm:F1).

Everything is read off products J x, |J| x, (J∘J) x that the layers' kernels compute, in float64. Three kinds of number: a
*bracket* holds whatever the iteration did (Collatz and Wielandt: min_i (|J|x)_i/x_i ≤ ρ(|J|) ≤ max_i for any x > 0); an
*estimate* (Lanczos) comes with the residual of its eigenpair, so that an eigenvalue lies within it, not necessarily the
outermost; a *measurement* comes with a standard error. Layers may have temperatures and leaks of their own
(lem:leaky-temps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from dynamics.crnn.network import Network, Spiking, drive_images
from dynamics.crnn.wiring import magnitudes, squared
from meanfield.equations import SUP_CURVATURE, activity_variance
from meanfield.model import FloatArray

STREAM_CERTIFICATE = 64
POWER_STEPS = 300
LANCZOS_STEPS = 1000
# of the last term of a series, relative to its sum
SMALLEST_TERM = 1e-12
MOST_TERMS = 20_000

Operator = Callable[[FloatArray], FloatArray]


class Bracket(NamedTuple):
    """A number that lies between low and high; estimate, where there is one, is where it seems to be."""

    low: float
    high: float
    estimate: float | None = None

    def below(self, limit: float) -> str:
        """Whether it is below a limit: 'holds', 'fails', or what the estimate says, or 'undecided'."""
        if self.high < limit:
            return "holds"
        if self.low >= limit:
            return "fails"
        if self.estimate is None:
            return "undecided"
        return "holds by estimate" if self.estimate < limit else "fails by estimate"


class Prediction(NamedTuple):
    """What the theory predicts and a simulation measures; kind: 'bound' or 'approximation'; predicted None: no claim applies."""

    quantity: str
    claim: str
    kind: str
    predicted: float | None
    measured: float
    standard_error: float


@dataclass(frozen=True)
class Certificate:
    """κ, κ_a, κ_∞ (each must be below 1), λ_max(J)/4T, the local radii of the images, and predictions against measurements.

    residual: max |σ(h/T) − m| at the fixed points. local: per image, the radius of the leaky map's Jacobian at its
    fixed point. local_gain: per image, a bracket of ‖V^½|J|V^½/T‖, below 1 where the map contracts near m by proof.
    """

    units: int
    residual: float
    gain: Bracket
    absolute_gain: Bracket
    row_gain: float
    largest_eigenvalue: Bracket
    local: tuple[Bracket, ...]
    local_gain: tuple[Bracket, ...]
    predictions: tuple[Prediction, ...]

    @property
    def hypotheses(self) -> list[tuple[str, str, str]]:
        """(condition, verdict, claims that need it)."""
        worst = max(self.local, key=lambda one: one.estimate or one.high)
        steepest = max(self.local_gain, key=lambda one: one.high)
        row = Bracket(self.row_gain, self.row_gain)
        return [
            ("λ_max(J) < 4T", self.largest_eigenvalue.below(1.0), "A5b D1"),
            ("κ < 1", self.gain.below(1.0), "A5 B4 B10 D1"),
            ("κ_a < 1", self.absolute_gain.below(1.0), "B3 B5 B6 B7 B8 C6 C8"),
            ("κ_∞ < 1", row.below(1.0), "C2"),
            ("local gain < 1, every image", steepest.below(1.0), "A5c"),
            ("local radius < 1, every image", worst.below(1.0), "B11"),
        ]

    def record(self) -> dict[str, Any]:
        """As one JSON document."""
        return {
            "units": self.units,
            "residual": self.residual,
            **{
                name: getattr(self, name)._asdict() for name in ("gain", "absolute_gain", "largest_eigenvalue")
            },
            "row_gain": self.row_gain,
            "local_radius": [one._asdict() for one in self.local],
            "local_gain": [one._asdict() for one in self.local_gain],
            "hypotheses": [
                {"condition": condition, "verdict": verdict, "claims": claims.split()}
                for condition, verdict, claims in self.hypotheses
            ],
            "predictions": [one._asdict() for one in self.predictions],
        }  # fmt: skip


class Drives:
    """J x, |J| x and (J∘J) x of a network's free units, x (units,) or (B, units); ValueError for max pooling."""

    def __init__(self, network: Network) -> None:
        network.require_multilinear()
        self.network = replace(
            network, weights=network.weights.astype(np.float64), bias=network.bias.astype(np.float64)
        )
        self.temperatures = self.network.per_unit(network.temperature)
        self.leaks = self.network.per_unit(network.leak)
        wiring = self.network.wiring
        self._wirings = {"signed": wiring, "absolute": magnitudes(wiring), "squared": squared(wiring)}

    @property
    def size(self) -> int:
        """N."""
        return self.network.architecture.units

    def apply(self, kind: str, vectors: FloatArray) -> FloatArray:
        """kind: 'signed', 'absolute' or 'squared'."""
        states = np.ascontiguousarray(np.atleast_2d(vectors))
        fields = np.zeros_like(states)
        drive_images(states, self._wirings[kind], fields)
        return fields.reshape(vectors.shape)

    def scaled(self, kind: str, scale: FloatArray) -> Operator:
        """x ↦ S J S x with S = diag(scale), or with |J|."""
        return lambda vector: scale * self.apply(kind, scale * vector)

    @cached_property
    def root(self) -> FloatArray:
        """1/√(4T_i): the scale at which J's norm is κ."""
        return 1.0 / np.sqrt(4.0 * self.temperatures)


def spectral_radius(operator: Operator, size: int, *, steps: int = POWER_STEPS) -> Bracket:
    """The bracket of Collatz and Wielandt for a symmetric matrix without negative entries, tightened by power iteration.

    The quotient xᵀBx/xᵀx is a lower end too, where units without couplings make min_i (Bx)_i/x_i vanish.
    """
    vector, low, high = np.ones(size), 0.0, np.inf
    for _ in range(steps):
        image = operator(vector)
        ratios = image / vector
        quotient = float(vector @ image) / float(vector @ vector)
        low, high = max(low, float(ratios.min()), quotient), min(high, float(ratios.max()))
        if high - low <= 1e-9 * high:
            break
        # the shift keeps layers from taking turns and every entry positive
        vector = image + high * vector
        vector = np.maximum(vector / vector.max(), 1e-280)
    return Bracket(low, high)


def extreme_eigenvalue(operator: Operator, size: int, which: str) -> tuple[float, float]:
    """(eigenvalue, residual) of a symmetric matrix by Lanczos, 'LA' the largest or 'SA' the smallest; from a fixed start."""
    if size == 1:
        return float(operator(np.ones(1))[0]), 0.0
    start = np.random.default_rng(0).normal(size=size)
    linear = LinearOperator((size, size), matvec=lambda v: operator(np.ravel(v)), dtype=np.float64)  # type: ignore[call-arg]
    if not np.any(operator(start)):
        return 0.0, 0.0
    values, vectors = eigsh(linear, k=1, which=which, v0=start, maxiter=LANCZOS_STEPS)
    vector = vectors[:, 0]
    return float(values[0]), float(np.linalg.norm(operator(vector) - values[0] * vector))


def neumann(operator: Operator, source: FloatArray, gain: float) -> tuple[FloatArray, float]:
    """(I − A)⁻¹ source = Σ_k A^k source, and a bound on the ‖·‖₂ of what is left out, for symmetric A with ‖A‖₂ ≤ gain < 1."""
    total, term, rest = source.copy(), source, np.inf
    for _ in range(MOST_TERMS):
        term = operator(term)
        total += term
        rest = float(np.linalg.norm(term)) * gain / (1.0 - gain)
        if rest <= SMALLEST_TERM * float(np.linalg.norm(total)):
            break
    return total, rest


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
        size = self.drives.size
        ends = [extreme_eigenvalue(self.map, size, which) for which in ("LA", "SA")]
        absolute = self.drives.scaled("absolute", self.scale)
        high = spectral_radius(lambda vector: (1.0 - self.leaks) * vector + absolute(vector), size).high
        low = max(abs(value) - residual for value, residual in ends)
        return Bracket(max(0.0, low), high, max(abs(value) for value, _ in ends))

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
    network: Network, images: FloatArray, *, seed: int = 0, replicas: int = 32, probes: int = 32, steps: int = 200
) -> Certificate:
    """The certificate of a network on a batch of images (B, inputs), with one relaxation's errors measured on them.

    replicas and steps: leaky paths an image, from the fixed point, the first half of their steps not counted. Raises ValueError
    for max pooling, ConvergenceError where an image has no fixed point within reach. Paper: thm:F1.
    """
    drives = Drives(network)
    settling = replace(drives.network, leak=0.5)
    means, residuals = settling.settle(settling.constants(images), tolerance=1e-10, max_steps=20_000)
    root, size = drives.root, drives.size
    signed, absolute = drives.scaled("signed", root), drives.scaled("absolute", root)
    absolute_gain = spectral_radius(absolute, size)
    ends = [extreme_eigenvalue(signed, size, which) for which in ("LA", "SA")]
    gain = Bracket(max(0.0, *(abs(v) - r for v, r in ends)), absolute_gain.high, max(abs(v) for v, _ in ends))
    largest = Bracket(ends[0][0] - ends[0][1], absolute_gain.high, ends[0][0])
    row_gain = float((drives.apply("absolute", np.ones(size)) / (4.0 * drives.temperatures)).max())
    noises = [LinearNoise(drives, mean) for mean in means]
    local = tuple(noise.radius() for noise in noises)
    local_gain = tuple(
        spectral_radius(drives.scaled("absolute", np.sqrt(activity_variance(mean) / drives.temperatures)), size)
        for mean in means
    )
    predictions = _predictions(drives, images, means, gain, absolute_gain, noises, local, seed, replicas, probes, steps)
    return Certificate(
        size, float(residuals.max()), gain, absolute_gain, row_gain, largest, local, local_gain, predictions
    )


def _predictions(
    drives: Drives, images: FloatArray, means: FloatArray, gain: Bracket, absolute: Bracket, noises: list[LinearNoise],
    local: tuple[Bracket, ...], seed: int, replicas: int, probes: int, steps: int,
) -> tuple[Prediction, ...]:  # fmt: skip
    network, temperatures = drives.network, drives.temperatures
    leaky = _paths([network], images, means, seed, replicas, steps)
    one_leak = float(drives.leaks[0]) if np.ptp(drives.leaks) == 0 else None
    tracking = None
    if one_leak is not None and gain.high < 1.0:
        slack = one_leak * (1.0 - gain.high)
        tracking = one_leak**2 * float(temperatures.sum()) / (4.0 * slack * (2.0 - slack))
    found = [
        Prediction("E Σ T(s − m*)², leaky spikes", "B4", "bound", tracking, *_over_images(leaky.square @ temperatures)),
        Prediction(
            "E‖s − m*‖², leaky spikes", "B11", "approximation", _linear_noise(noises, local, probes, seed),
            *_over_images(leaky.square.sum(axis=1)),
        ),
    ]  # fmt: skip
    rows = [("‖E s − m*‖, leaky spikes", "B5", leaky)]
    for name, label, turns in (("Gibbs", "B6", _turns(network)), ("Little", "B7", [replace(network, leak=1.0)])):
        rows.append((f"‖E z − m*‖, {name}", label, _paths(turns, images, means, seed, replicas, steps)))
    for quantity, label, sample in rows:
        bound = _mean_bound(drives, label, absolute.high, one_leak)
        found.append(Prediction(quantity, label, "bound", bound, *_mean_error(sample)))
    return tuple(found)


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


def _linear_noise(noises: list[LinearNoise], local: tuple[Bracket, ...], probes: int, seed: int) -> float | None:
    """The mean over images of tr Σ, by Hutchinson's estimator with ±1 probes; None where a local radius is not below 1."""
    if any((one.estimate or one.high) >= 1.0 for one in local):
        return None
    signs = np.random.default_rng([seed, STREAM_CERTIFICATE]).choice([-1.0, 1.0], size=(probes, noises[0].drives.size))
    traces = [
        noise.quadratic(signs, one.estimate or one.high)[0].sum(axis=1).mean()
        for noise, one in zip(noises, local, strict=True)
    ]
    return float(np.mean(traces))


class Sample(NamedTuple):
    """Of every image: mean square of s − m* a unit, mean of s − m* a unit, its standard error; all (B, N)."""

    square: FloatArray
    shift: FloatArray
    error: FloatArray


def _turns(network: Network) -> list[Network]:
    """Gibbs' law by turns: the odd layers redrawn given the even ones, then the even ones."""
    layers = len(network.architecture.layers)
    return [replace(network, leak=tuple(float(n % 2 == turn) for n in range(layers))) for turn in (0, 1)]


def _paths(turns: list[Network], images: FloatArray, means: FloatArray, seed: int, replicas: int, steps: int) -> Sample:
    """Paths from the fixed points, each step every network in its turn, looked at every few steps of their second half."""
    count, units = means.shape
    numbers = np.arange(count * replicas)
    states = np.repeat(means, replicas, axis=0)
    if len(turns) > 1 or turns[0].leak == 1.0:
        # a chain of spikes starts from spikes
        states = (np.random.default_rng([seed, STREAM_CERTIFICATE, 1]).random(states.shape) < states).astype(np.float64)
    constants = np.repeat(turns[0].constants(images), replicas, axis=0)
    square, shift = np.zeros((count, units)), np.zeros((count * replicas, units))
    every, looks = 5, 0
    for step in range(0, steps, every):
        for number in range(every):
            for place, network in enumerate(turns):
                first = (step + number) * len(turns) + place
                noise = Spiking(seed, STREAM_CERTIFICATE, numbers)
                network.phase(states, constants, steps=1, window=1, first=first, spiking=noise)
        if step >= steps // 2:
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


def table(certificate: Certificate) -> str:
    """The certificate as plain text."""
    rows = [
        f"{certificate.units:,} units, {len(certificate.local)} images, fixed points to {certificate.residual:.1e}",
        f"κ = {_shown(certificate.gain)}   κ_a = {_shown(certificate.absolute_gain)}   κ_∞ = {certificate.row_gain:.4g}   "
        f"λ_max(J)/4T = {_shown(certificate.largest_eigenvalue)}",
        "local radius " + _span(certificate.local) + "   local gain " + _span(certificate.local_gain),
        "",
        *(f"{condition:32} {verdict:18} {claims}" for condition, verdict, claims in certificate.hypotheses),
        "",
        f"{'quantity':32} {'claim':6} {'predicted':>12} {'measured':>12} ± one standard error",
    ]
    for one in certificate.predictions:
        predicted = "outside" if one.predicted is None else f"{'≤' if one.kind == 'bound' else '≈'} {one.predicted:.4g}"
        rows.append(f"{one.quantity:32} {one.claim:6} {predicted:>12} {one.measured:12.4g} ± {one.standard_error:.2g}")
    return "\n".join(rows)


def _shown(one: Bracket) -> str:
    between = f"[{one.low:.4g}, {one.high:.4g}]"
    return between if one.estimate is None else f"{one.estimate:.4g} in {between}"


def _span(many: tuple[Bracket, ...]) -> str:
    """From the least to the largest of the images' values, their upper ends where there is no estimate."""
    values = [one.high if one.estimate is None else one.estimate for one in many]
    return f"{min(values):.4g} to {max(values):.4g}"
