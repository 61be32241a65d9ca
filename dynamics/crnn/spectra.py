"""Norms and spectra of a layered network's J, without the matrix.

Main results: Bracket, Drives, spectral_radius, convolution_norm, chain_norm, extreme_eigenvalue, neumann (thm:F1).

Everything is read off products J x, |J| x, (J∘J) x that the layers' kernels compute, in float64, and off the kernels' Fourier
transforms. Proven ends are moved outward by MARGIN, far above their rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from dynamics.crnn.architecture import Conv
from dynamics.crnn.network import Network
from dynamics.crnn.relaxation import drive_images
from dynamics.crnn.wiring import Wiring, effective_kernel, wire
from meanfield.model import FloatArray
from meanfield.solve import ConvergenceError

POWER_STEPS = 300
LANCZOS_STEPS = 1000
# relative
MARGIN = 1e-9
# of the last term of a series, relative to its sum
SMALLEST_TERM = 1e-12
MOST_TERMS = 20_000

Operator = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Bracket:
    """A number that lies between low and high; estimate, where there is one, is where it seems to be."""

    low: float
    high: float
    estimate: float | None = None

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"a bracket needs low ≤ high, got [{self.low}, {self.high}]: give the lower end first")

    @classmethod
    def of_all(cls, brackets: Iterable[Bracket]) -> Bracket:
        """Of the largest of several numbers: below a limit by proof if all are, beyond it by proof if one is."""
        several = list(brackets)
        estimates = [one.estimate for one in several if one.estimate is not None]
        estimate = max(estimates) if len(estimates) == len(several) else None
        return cls(max(one.low for one in several), max(one.high for one in several), estimate)

    def below(self, limit: float) -> str:
        """Whether it is below a limit: 'holds', 'fails', or what the estimate says, or 'undecided'."""
        if self.high < limit:
            return "holds"
        if self.low >= limit:
            return "fails"
        if self.estimate is None:
            return "undecided"
        return "holds by estimate" if self.estimate < limit else "fails by estimate"


class Drives:
    """J x, |J| x and (J∘J) x of a network's free units, x (units,) or (B, units); ValueError for max pooling or hard sigmoids."""

    def __init__(self, network: Network) -> None:
        network.require_multilinear()
        network.require_logistic()
        network.require_undivided()
        self.network = replace(
            network, weights=network.weights.astype(np.float64), bias=network.bias.astype(np.float64)
        )
        self.temperatures = self.network.per_unit(network.temperature)
        self.leaks = self.network.per_unit(network.leak)
        self._wirings: dict[str, Wiring] = {}

    @property
    def size(self) -> int:
        """N."""
        return self.network.architecture.units

    def apply(self, kind: str, vectors: FloatArray) -> FloatArray:
        """kind: 'signed', 'absolute', 'squared', or 'within', the absolute values of links and lateral inhibition alone."""
        states = np.ascontiguousarray(np.atleast_2d(vectors))
        fields = np.zeros_like(states)
        drive_images(states, self._wiring(kind), fields)
        return fields.reshape(vectors.shape)

    def _wiring(self, kind: str) -> Wiring:
        if kind not in self._wirings:
            entry = {"signed": None, "absolute": np.abs, "squared": np.square, "within": np.abs}[kind]
            weights = np.zeros_like(self.network.weights) if kind == "within" else self.network.weights
            self._wirings[kind] = wire(self.network.architecture, weights, np.float64, entry=entry)
        return self._wirings[kind]

    def scaled(self, kind: str, scale: FloatArray) -> Operator:
        """x ↦ S J S x with S = diag(scale), or with |J|."""
        return lambda vector: scale * self.apply(kind, scale * vector)

    @cached_property
    def root(self) -> FloatArray:
        """1/√(4T_i): the scale at which J's norm is κ."""
        return 1.0 / np.sqrt(4.0 * self.temperatures)

    @cached_property
    def _kernels(self) -> list[tuple[FloatArray, int, tuple[int, ...]]]:
        """(kernel, stride, places above) of what couples each free layer to the next."""
        architecture, found = self.network.architecture, []
        arrays = architecture.arrays(self.network.weights)
        for layer, weights, shape in list(zip(architecture.layers, arrays, architecture.shapes, strict=False))[1:]:
            stride, places = (layer.stride * layer.pool, shape[1:]) if isinstance(layer, Conv) else (1, (1, 1))
            found.append((effective_kernel(layer, weights), stride, places))
        return found

    def block_norms(self, scale: FloatArray) -> FloatArray:
        """From above, ‖W‖₂ of the blocks of SJS between neighbouring layers, with each channel's largest scale: (layers − 1,)."""
        parts, norms = [scale[place] for place in self.network.architecture.places], []
        for (kernel, stride, places), below, above in zip(self._kernels, parts[:-1], parts[1:], strict=True):
            most = [part.reshape(-1, n).max(axis=0) for part, n in zip((below, above), kernel.shape[2:], strict=True)]
            norms.append(convolution_norm(kernel * most[0][:, None] * most[1], stride, places))
        return np.array(norms)

    def norm_above(self, scale: FloatArray, *, steps: int = POWER_STEPS) -> float:
        """‖SJS‖₂ from above, S = diag(scale): the lesser of ρ(S|J|S)'s upper end and of what the blocks' norms say.

        To the latter links and lateral inhibition add theirs, ρ(S|·|S) at most.
        """
        absolute = spectral_radius(self.scaled("absolute", scale), self.size, steps=steps).high
        blocks, architecture = chain_norm(self.block_norms(scale)), self.network.architecture
        if architecture.links or any(architecture.lateral):
            blocks += spectral_radius(self.scaled("within", scale), self.size, steps=steps).high
        return min(absolute, blocks)

    def norm(self, scale: FloatArray) -> tuple[Bracket, Bracket]:
        """Of ‖SJS‖₂ and of SJS's largest eigenvalue: what residuals prove from below, norm_above, Lanczos' estimates."""
        signed, high = self.scaled("signed", scale), self.norm_above(scale)
        (top, top_rest), (bottom, bottom_rest) = (extreme_eigenvalue(signed, self.size, end) for end in ("LA", "SA"))
        rounding = MARGIN * high
        lowest = max(0.0, top - top_rest - rounding, -bottom - bottom_rest - rounding)
        norm = Bracket(lowest, high, max(abs(top), abs(bottom)))
        return norm, Bracket(top - top_rest - rounding, high, top)


def spectral_radius(operator: Operator, size: int, *, steps: int = POWER_STEPS) -> Bracket:
    """The bracket of Collatz and Wielandt for a symmetric matrix without negative entries, tightened by power iteration.

    The quotient xᵀBx/xᵀx is a lower end too, where units without couplings make min_i (Bx)_i/x_i vanish.
    """
    vector, low, high = np.ones(size), 0.0, np.inf
    for _ in range(steps):
        image = operator(vector)
        ratios = image / vector
        quotient = float(vector @ image) / float(vector @ vector)
        low = max(low, float(ratios.min()) * (1.0 - MARGIN), quotient * (1.0 - MARGIN))
        high = min(high, float(ratios.max()) * (1.0 + MARGIN))
        if high - low <= 4.0 * MARGIN * high:
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
    try:
        values, vectors = eigsh(linear, k=1, which=which, v0=start, maxiter=LANCZOS_STEPS)
    except ArpackError as error:
        raise ConvergenceError(
            f"no extreme eigenvalue of {size} × {size} found in {LANCZOS_STEPS} steps: {error}; "
            "weights over temperatures may be too large"
        ) from error
    vector = vectors[:, 0]
    return float(values[0]), float(np.linalg.norm(operator(vector) - values[0] * vector))


def convolution_norm(kernel: FloatArray, stride: int, places: tuple[int, ...]) -> float:
    """‖W‖₂ from above, of the convolution (rows, columns, below, above) at places (rows above, columns above), stride apart.

    Inputs stride apart become channels of one input; then W is a part of a convolution on a torus too large to wrap around,
    whose norm is the largest of its kernel's Fourier transform, a matrix (below·stride², above) a frequency. Exact for a
    dense layer, 1 × 1 places.
    """
    rows, columns, below, above = kernel.shape
    reach = (-(-rows // stride), -(-columns // stride))
    whole = np.zeros((reach[0] * stride, reach[1] * stride, below, above))
    whole[:rows, :columns] = kernel
    split = whole.reshape(reach[0], stride, reach[1], stride, below, above).transpose(0, 2, 1, 3, 4, 5)
    torus = (places[0] + reach[0] - 1, places[1] + reach[1] - 1)
    # of a real kernel half the frequencies suffice
    symbols = np.fft.rfft2(split.reshape(*reach, -1, above), s=torus, axes=(0, 1))
    return float(np.linalg.norm(symbols, 2, axis=(2, 3)).max()) * (1.0 + MARGIN)


def chain_norm(norms: FloatArray) -> float:
    """‖J‖₂ from above, J of blocks of these norms between neighbouring layers: that of the path with them as couplings."""
    path = np.diag(norms, 1) + np.diag(norms, -1)
    return float(np.linalg.eigvalsh(path)[-1]) * (1.0 + MARGIN)


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
