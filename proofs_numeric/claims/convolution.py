"""Family E, structure: convolutions, pooling, their transposes, and the dense network that they are.

Main results: thm:E3.
"""

from __future__ import annotations

import numpy as np

from dynamics.crnn import convolution
from meanfield.model import FloatArray
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval

EPS = float(np.finfo(float).eps)
SIDES = {
    name: Interval(1, high, integer=True) for name, high in (("below", 3), ("above", 3), ("height", 7), ("width", 7))
}
STRIDED = {
    "below": 2,
    "above": 2,
    "height": 6,
    "width": 5,
    "rows": 3,
    "columns": 2,
    "stride": 2,
    "padding": 1,
    "pool": 2,
}


@claim(
    label="E3",
    title="convolution, pooling and their transposes",
    kind="identity",
    hypotheses="average pooling; any kernel, stride and padding that fit",
    domain={
        **SIDES,
        "rows": Interval(1, 4, integer=True),
        "columns": Interval(1, 4, integer=True),
        "stride": Interval(1, 3, integer=True),
        "padding": Interval(0, 2, integer=True),
        "pool": Interval(1, 3, integer=True),
        "seed": Interval(0, 2**31 - 1, integer=True),
    },
    falsifiers=(
        Falsifier("max pooling", {**STRIDED, "seed": 0}, drops="average pooling"),
        Falsifier("a flipped kernel", {**STRIDED, "seed": 0}),
        Falsifier("channels not exchanged", {**STRIDED, "seed": 0}),
        Falsifier("pooling's transpose without 1/size²", {**STRIDED, "seed": 0}),
        Falsifier("½ dropped from the twin's energy", {**STRIDED, "seed": 0}),
    ),
)
def convolution_is_adjoint(
    below: int, above: int, height: int, width: int, rows: int, columns: int, stride: int, padding: int, pool: int,
    seed: int, mutation: str | None = None,
) -> Evidence:  # fmt: skip
    """⟨u, w ⋆ s⟩ = ⟨wᵀ ⋆ u, s⟩ and ⟨u, Ps⟩ = ⟨Pᵀu, s⟩; both are their unrolled matrices; Φ = ⟨s², P(w ⋆ s¹)⟩ is ½zᵀJz of the
    dense twin, linear in w with ∂Φ/∂w the weight gradient at (s¹, Pᵀs²), and its fields are the twin's Jz.
    """
    generator = np.random.default_rng([seed, 80])
    shape, steps = (height, width), {"stride": stride, "padding": padding}
    kernel = (min(rows, height + 2 * padding), min(columns, width + 2 * padding))
    inner = convolution.output_shape(shape, kernel, **steps)
    size = min(pool, *inner)
    outer = convolution.output_shape(inner, (size, size), stride=size)
    weights = generator.normal(size=(above, below, *kernel))
    lower, middle = generator.normal(size=(2, below, *shape)), generator.normal(size=(2, above, *inner))
    upper = generator.normal(size=(2, above, *outer))
    turned = weights[:, :, ::-1, ::-1] if mutation == "a flipped kernel" else weights
    turned = turned.swapaxes(0, 1).reshape(turned.shape) if mutation == "channels not exchanged" else turned
    driven = convolution.convolve(lower, weights, **steps)
    returned = convolution.convolve_transposed(middle, turned, shape=shape, **steps)
    pooled = _max_pool(driven, size) if mutation == "max pooling" else convolution.average_pool(driven, size=size)
    spread = convolution.average_pool_transposed(upper, size=size, shape=inner)
    if mutation == "pooling's transpose without 1/size²":
        spread = spread * size**2
    unrolled = convolution.convolution_matrix(weights, shape=shape, **steps)
    pooling = convolution.pooling_matrix(above, shape=inner, size=size)
    twin = convolution.dense_twin(weights, shape=shape, pool=size, **steps)
    energies = np.einsum("bcyx,bcyx->b", upper, pooled)
    states = np.concatenate([lower.reshape(2, -1), upper.reshape(2, -1)], axis=1)
    halves = 2.0 if mutation == "½ dropped from the twin's energy" else 1.0
    slopes = convolution.convolution_gradient(lower, spread, kernel=kernel, **steps)
    fields = [convolution.convolve_transposed(spread, weights, shape=shape, **steps), pooled]
    pairs = [
        (np.vdot(middle, driven), np.vdot(returned, lower)),
        (np.vdot(upper, pooled), np.vdot(spread, driven)),
        (driven.reshape(2, -1), lower.reshape(2, -1) @ unrolled.T),
        (returned.reshape(2, -1), middle.reshape(2, -1) @ unrolled),
        (pooled.reshape(2, len(pooling)), driven.reshape(2, -1) @ pooling.T),
        (spread.reshape(2, -1), upper.reshape(2, -1) @ pooling),
        (energies, -halves * twin.energy(states)),
        (np.concatenate([field.reshape(2, -1) for field in fields], axis=1), twin.local_field(states)),
        (np.vdot(slopes, weights), energies.sum()),
        (slopes, _slopes_by_place(lower, spread, kernel, stride, padding)),
    ]
    if mutation is None:
        primitive = convolution.primitive(lower, upper, weights, pool=size, **steps)
        pairs.append((primitive, energies))
    measured = [np.abs(np.subtract(left, right)).max() for left, right in pairs]
    # every number is a sum of at most this many products, whatever the order, of terms that add up to at most `total`
    terms = below * height * width + above * inner[0] * inner[1] + kernel[0] * kernel[1] + size**2
    largest = max(1.0, *(float(np.abs(part).max()) for part in (lower, middle, upper)))
    total = 2 * largest**2 * np.abs(unrolled).sum() + largest * (np.abs(middle).sum() + np.abs(upper).sum())
    return Evidence(measured, 0.0, 4 * EPS * terms * total)


def _max_pool(images: FloatArray, size: int) -> FloatArray:
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
    return windows[:, :, ::size, ::size].max(axis=(4, 5))


def _slopes_by_place(
    lower: FloatArray, outputs: FloatArray, kernel: tuple[int, int], stride: int, padding: int
) -> FloatArray:
    """Σ over images and places of u[o, y, x] times the patch that place sees."""
    padded = np.pad(lower, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    total = np.zeros((outputs.shape[1], lower.shape[1], *kernel))
    for b, y, x in np.ndindex(len(lower), *outputs.shape[2:]):
        patch = padded[b, :, y * stride : y * stride + kernel[0], x * stride : x * stride + kernel[1]]
        total += outputs[b, :, y, x][:, None, None, None] * patch
    return total
