"""Family F, on networks as they are: what can be certified without a matrix.

Main results: thm:F1.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.ball import Surroundings
from dynamics.crnn.certificate import LinearNoise
from dynamics.crnn.network import Network
from dynamics.crnn.spectra import Drives, chain_norm, convolution_norm, neumann, spectral_radius
from dynamics.crnn.wiring import effective_kernel
from dynamics.enumeration import leaky_law
from meanfield.bounds.leaky import discrete_lyapunov
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.claims.local import stable_point
from proofs_numeric.instances import Interval

EPS = float(np.finfo(float).eps)
STACKS = (
    Architecture((1, 5, 5), (Conv(2, 3, padding=1, pool=2), Dense(3))),
    Architecture((2, 4, 5), (Conv(3, 2, stride=2), Conv(2, 2), Dense(2))),
    Architecture.dense(3, 4, 3, 2),
    Architecture((1, 4, 4), (Conv(2, 1), Conv(2, 3, padding=1, pool=2), Dense(2))),
)
SMALL = Architecture.dense(3, 2, 1)
STEPS = 4
TYPICAL = {"stack": 0, "scale": 1.0, "seed": 1}


@claim(
    label="F1",
    title="certificates without a matrix",
    kind="inequality",
    hypotheses="average pooling; (c) ‖A‖₂ ≤ g < 1; (d) 0 < m < 1, ‖M‖₂ ≤ r < 1; (f) κ̂ < 1 in the ball, s_0 = m*, one T, one ε",
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
        Falsifier("the longest block for the chain of them", {"stack": 2, "scale": 1.0, "seed": 1}),
        Falsifier("one phase of a strided kernel", {"stack": 3, "scale": 1.0, "seed": 1}),
        Falsifier("caps at m* for the ball's", {"stack": 2, "scale": 3.0, "seed": 1}),
        Falsifier("κ̂ left out of the rate in the ball", {"stack": 2, "scale": 1.0, "seed": 45}),
        Falsifier("noise at m* alone in the ball", {"stack": 2, "scale": 1.0, "seed": 15}),
        Falsifier("constant × 0.9", TYPICAL),
    ),
)
def certificates_without_a_matrix(stack: int, scale: float, seed: int, mutation: str | None = None) -> Evidence:
    """From products with J and |J| alone: (a) min_i (|J|x)_i/x_i ≤ ρ(|J|) ≤ max_i (|J|x)_i/x_i for x > 0, and ‖J‖₂ ≤ ρ(|J|);
    (b) the Jacobian I − D + D·VT⁻¹J of the leaky map at m has the eigenvalues of the symmetric M = I − D + (DW)^½J(DW)^½,
    W = VT⁻¹; (c) ‖Σ_{k>n} A^k s‖₂ ≤ ‖A^n s‖₂ g/(1 − g); (d) the linear noise is (DW)^½ Σ_k M^k DT M^k (DW)^½, what n terms
    leave out of xᵀΣx being at most ‖(DW)^½x‖² max(εT) r^{2n}/(1 − r²); (e) ‖J‖₂ is at most the norm of the path that has the
    norms of the layers' blocks as couplings, ‖W‖₂ at most the largest of its kernel's Fourier transform; (f) while leaky spikes
    from m* are in the ball, E‖s_t − m*‖_ŝ² ≤ x_t, x_{t+1} = ρ̂²x_t + ε² Σ min(1, v_i/ŝ_i + η_i‖Ŝ^½J_i‖√x_t/T).
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
        _blocks(drives, couplings, generator, mutation),
        _ball(scale, seed, mutation),
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
    operator = drives.scaled("absolute", root)
    measured, bound = [], []
    for steps in (2, 100):
        found = spectral_radius(operator, drives.size, steps=steps)
        high = found.high
        if mutation == "the quotient of few power steps for the upper end":
            vector = operator(np.ones(drives.size))
            high = float(vector @ operator(vector) / (vector @ vector))
        elif mutation == "J for |J| in the bracket":
            high = float(drives.scaled("signed", root)(np.ones(drives.size)).max())
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


def _blocks(drives: Drives, couplings: FloatArray, generator: np.random.Generator, mutation: str | None) -> Part:
    """‖W‖₂ of every block of SJS and ‖SJS‖₂ from above, at any scale."""
    architecture, places = drives.network.architecture, drives.network.architecture.places
    scale = generator.uniform(0.5, 1.0, drives.size)
    scaled, norms = scale[:, None] * couplings * scale, drives.block_norms(scale)
    if mutation == "one phase of a strided kernel":
        layer, weights = architecture.layers[1], architecture.arrays(drives.network.weights)[1]
        kernel = effective_kernel(layer, weights)[:: layer.stride * layer.pool, :: layer.stride * layer.pool]
        norms[0] = convolution_norm(kernel, 1, architecture.shapes[1][1:])
    exact = [np.linalg.norm(scaled[above, below], 2) for above, below in zip(places[1:], places[:-1], strict=True)]
    whole = norms.max() if mutation == "the longest block for the chain of them" else chain_norm(norms)
    measured, bound = np.array([*exact, np.linalg.norm(scaled, 2)]), np.array([*norms, whole])
    return measured, bound, 1e3 * EPS * drives.size * (1 + bound)


def _ball(scale: float, seed: int, mutation: str | None) -> Part:
    """A small network's ball, its radius halved until κ̂ < 1: κ̂, slopes in it, and the tracking of leaky spikes by their law."""
    generator = np.random.default_rng([seed, 91])
    drawn = replace(_network(SMALL, 2.0 * scale, generator), temperature=0.5, leak=float(generator.uniform(0.05, 1.0)))
    image = generator.random(SMALL.inputs)
    model, mean = stable_point(drawn.as_model(image), seed)
    drives = Drives(replace(drawn, temperature=model.temperature))
    place = Surroundings(drives, drawn.constants(image[None])[0], mean)
    radius = math.exp(generator.uniform(-1.0, 2.0)) / float(place.reach(place.variance).max())
    while (ball := place.contraction(radius)).gain >= 1.0:
        radius /= 2.0
    if mutation == "caps at m* for the ball's":
        ball = ball._replace(slopes=activity_variance(mean))
    root = np.sqrt(ball.slopes)
    norm = np.linalg.norm(root[:, None] * model.couplings * root, 2) / model.temperature
    direction = generator.normal(size=(50, model.size))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    edge = np.clip(mean + ball.radius * root * direction, 0.0, 1.0)
    fired = firing_probability(model.local_field(edge), model.temperature)
    steepest = (activity_variance(fired) / ball.slopes).max()
    leak = float(drives.leaks[0])
    paths, law = leaky_law(model, leak=leak, steps=STEPS, start=mean)
    squares = ((paths - mean) ** 2 / ball.slopes).sum(axis=2)
    stays = np.cumprod(squares <= ball.radius**2, axis=1)
    tracked = float((law @ (squares * stays)[:, 1:]).mean())
    held = ball._replace(gain=0.0) if mutation == "κ̂ left out of the rate in the ball" else ball
    square = place.square(held, leak=leak, steps=STEPS)
    if mutation == "noise at m* alone in the ball":
        decays = np.cumsum(ball.rate(leak) ** (2 * np.arange(STEPS)))
        square = leak**2 * float((place.variance / ball.slopes).sum() * decays.mean())
    bound = np.array([ball.gain, 1.0, square])
    return np.array([norm, steepest, tracked]), bound, 1e-9 * (1 + bound)


def _columns(noise: LinearNoise, size: int) -> FloatArray:
    """M as a matrix."""
    return np.stack([noise.map(row) for row in np.eye(size)])
