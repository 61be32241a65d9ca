"""Family F, on networks as they are: what can be certified without a matrix.

Main results: thm:F1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.certificate import Drives, LinearNoise, neumann, spectral_radius
from dynamics.crnn.network import Network
from meanfield.bounds.leaky import discrete_lyapunov
from meanfield.model import FloatArray
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval

EPS = float(np.finfo(float).eps)
STACKS = (
    Architecture((1, 5, 5), (Conv(2, 3, padding=1, pool=2), Dense(3))),
    Architecture((2, 4, 5), (Conv(3, 2, stride=2), Conv(2, 2), Dense(2))),
    Architecture.dense(3, 4, 3, 2),
)
TYPICAL = {"stack": 0, "scale": 1.0, "seed": 1}


@claim(
    label="F1",
    title="certificates without a matrix",
    kind="inequality",
    hypotheses="average pooling; (c) ‖A‖₂ ≤ g < 1; (d) 0 < m < 1, ‖M‖₂ ≤ r < 1",
    domain={
        "stack": Interval(0, len(STACKS) - 1, integer=True),
        "scale": Interval(0.1, 3.0),
        "seed": Interval(0, 2**31 - 1, integer=True),
    },
    instances=100,
    falsifiers=(
        Falsifier("the quotient of few power steps for the upper end", TYPICAL),
        Falsifier("J for |J| in the bracket", {"stack": 2, "scale": 1.0, "seed": 4}),
        Falsifier("the remainder without 1/(1 − g)", TYPICAL),
        Falsifier("V left out of the local map", TYPICAL),
        Falsifier("leaks not squared in the noise", TYPICAL),
        Falsifier("constant × 0.9", TYPICAL),
    ),
)
def certificates_without_a_matrix(stack: int, scale: float, seed: int, mutation: str | None = None) -> Evidence:
    """From products with J and |J| alone: (a) min_i (|J|x)_i/x_i ≤ ρ(|J|) ≤ max_i (|J|x)_i/x_i for x > 0, and ‖J‖₂ ≤ ρ(|J|);
    (b) the Jacobian I − D + D·VT⁻¹J of the leaky map at m has the eigenvalues of the symmetric M = I − D + (DW)^½J(DW)^½,
    W = VT⁻¹; (c) ‖Σ_{k>n} A^k s‖₂ ≤ ‖A^n s‖₂ g/(1 − g); (d) the linear noise is (DW)^½ Σ_k M^k DT M^k (DW)^½, what n terms
    leave out of xᵀΣx being at most ‖(DW)^½x‖² max(εT) r^{2n}/(1 − r²).
    """
    generator = np.random.default_rng([seed, 90])
    network = _network(STACKS[stack], scale, generator)
    drives, couplings = Drives(network), network.couplings
    size, root = drives.size, drives.root
    parts = [
        _bracket(drives, couplings, mutation),
        _similar(drives, couplings, generator, mutation),
        _series(drives, root[:, None] * np.abs(couplings) * root, generator, mutation),
        _noise(drives, couplings, generator, mutation),
    ]
    measured, bound, rounding = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Evidence(measured, bound, rounding + 1e3 * EPS * size)


def _network(architecture: Architecture, scale: float, generator: np.random.Generator) -> Network:
    layers = len(architecture.layers)
    weights = architecture.draw_weights(generator, [scale] * layers)
    return Network(
        architecture, weights, generator.normal(size=architecture.biases), tuple(generator.uniform(0.3, 1.5, layers)),
        0.1, tuple(generator.uniform(0.2, 1.0, layers)),
    )  # fmt: skip


Part = tuple[FloatArray, FloatArray, FloatArray]


def _bracket(drives: Drives, couplings: FloatArray, mutation: str | None) -> Part:
    """low ≤ ρ(|J|) ≤ high and ‖J‖₂ ≤ high, after few steps and after many, in units of 4T."""
    root = drives.root
    scaled = root[:, None] * couplings * root
    radius, norm = np.linalg.eigvalsh(np.abs(scaled))[-1], np.linalg.norm(scaled, 2)
    operator = drives.scaled("signed" if mutation == "J for |J| in the bracket" else "absolute", root)
    measured, bound = [], []
    for steps in (2, 100):
        found = spectral_radius(operator, drives.size, steps=steps)
        high = found.high
        if mutation == "the quotient of few power steps for the upper end":
            vector = operator(np.ones(drives.size))
            high = float(vector @ operator(vector) / (vector @ vector))
        measured += [found.low, radius, norm]
        bound += [radius, high, high]
    rounding = np.full(len(bound), 1e3 * EPS * drives.size * float(np.abs(scaled).sum()))
    return np.array(measured), np.array(bound), rounding


def _similar(drives: Drives, couplings: FloatArray, generator: np.random.Generator, mutation: str | None) -> Part:
    """Eigenvalues of the Jacobian against those of M, |difference| ≤ 0."""
    mean = generator.uniform(0.05, 0.95, drives.size)
    symmetric = _columns(LinearNoise(drives, mean), drives.size)
    variance = np.full(drives.size, 0.25) if mutation == "V left out of the local map" else mean * (1 - mean)
    slope = drives.leaks * variance / drives.temperatures
    jacobian = np.diag(1 - drives.leaks) + slope[:, None] * couplings
    apart = np.sort(np.linalg.eigvals(jacobian).real) - np.linalg.eigvalsh(symmetric)
    condition = float(np.sqrt(slope.max() / slope.min()))
    rounding = 1e4 * EPS * drives.size * condition * (1 + float(np.abs(couplings).sum()))
    return np.abs(apart), np.zeros(drives.size), np.full(drives.size, rounding)


def _series(drives: Drives, matrix: FloatArray, generator: np.random.Generator, mutation: str | None) -> Part:
    """The Neumann series of g·A/‖A‖ within its stated remainder, for gains up to 0.95."""
    source, gain = generator.random(drives.size), float(generator.uniform(0.3, 0.95))
    scaled = gain * matrix / max(np.linalg.norm(matrix, 2), 1e-300)
    terms = int(generator.integers(0, 12))
    partial, term = source.copy(), source
    for _ in range(terms):
        term = scaled @ term
        partial = partial + term
    rest = float(np.linalg.norm(term)) * gain / (1 - gain)
    if mutation == "the remainder without 1/(1 − g)":
        rest *= 1 - gain
    exact = np.linalg.solve(np.eye(drives.size) - scaled, source)
    total, stated = neumann(lambda vector: scaled @ vector, source, gain)
    misses = np.array([np.linalg.norm(exact - partial), np.linalg.norm(exact - total)])
    return misses, np.array([rest, stated]), np.full(2, 1e3 * EPS * float(np.linalg.norm(exact)) / (1 - gain))


def _noise(drives: Drives, couplings: FloatArray, generator: np.random.Generator, mutation: str | None) -> Part:
    """xᵀΣx by powers of M against the Lyapunov equation, within the stated rest; weights scaled down where M does not contract."""
    mean, probe = generator.uniform(0.05, 0.95, drives.size), generator.choice([-1.0, 1.0], size=(1, drives.size))
    radius = float(np.abs(np.linalg.eigvalsh(_columns(LinearNoise(drives, mean), drives.size))).max())
    if radius >= 0.98:
        network = replace(drives.network, weights=0.5 * drives.network.weights / radius)
        return _noise(Drives(network), network.couplings, np.random.default_rng(0), mutation)
    slope = drives.leaks * mean * (1 - mean) / drives.temperatures
    transition = np.diag(1 - drives.leaks) + slope[:, None] * couplings
    power = 1 if mutation == "leaks not squared in the noise" else 2
    spread = discrete_lyapunov(transition, np.diag(drives.leaks**power * mean * (1 - mean)))
    found, rest = LinearNoise(drives, mean).quadratic(probe, radius)
    exact = float(probe[0] @ spread @ probe[0])
    return (
        np.array([abs(float(found.sum()) - exact)]),
        rest,
        np.array([1e4 * EPS * drives.size * float(np.abs(spread).sum())]),
    )


def _columns(noise: LinearNoise, size: int) -> FloatArray:
    """M as a matrix."""
    return np.stack([noise.map(row) for row in np.eye(size)])
