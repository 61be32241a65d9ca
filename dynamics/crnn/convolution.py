"""Convolution and average pooling with their transposes, and the dense matrices that they unroll to (thm:E3).

Main results: convolve, convolve_transposed, convolution_gradient, average_pool, average_pool_transposed, output_shape,
convolution_matrix, pooling_matrix, primitive, dense_twin.

Images are (images, channels, height, width), weights (channels above, channels below, rows, columns), all float64. The
convolution is the one of deep learning, without a flip: (w ⋆ s)[o, y, x] = Σ_{c,i,j} w[o, c, i, j] s[c, y·stride + i −
padding, x·stride + j − padding], zero outside the image. These are the plain definitions, one strided view a kernel entry.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from meanfield.model import FloatArray, Model, real_array, whole_number

Shape = tuple[int, int]


def output_shape(shape: Shape, kernel: Shape, *, stride: int = 1, padding: int = 0) -> Shape:
    """(⌊(height + 2 padding − rows)/stride⌋ + 1, the same of width and columns); ValueError when the kernel does not fit."""
    whole_number("stride", stride, 1)
    whole_number("padding", padding, 0)
    for name, sides in (("shape", shape), ("kernel", kernel)):
        for side in sides:
            whole_number(name, side, 1)
    if kernel[0] > shape[0] + 2 * padding or kernel[1] > shape[1] + 2 * padding:
        raise ValueError(
            f"a kernel {tuple(kernel)} does not fit an image {tuple(shape)} padded by {padding}: "
            "use more padding or a smaller kernel"
        )
    rows, columns = ((side + 2 * padding - reach) // stride + 1 for side, reach in zip(shape, kernel, strict=True))
    return rows, columns


def convolve(images: ArrayLike, weights: ArrayLike, *, stride: int = 1, padding: int = 0) -> FloatArray:
    """w ⋆ s for images (B, below, height, width) and weights (above, below, rows, columns): (B, above, height', width')."""
    below, kernel = real_array("images", images, 4), real_array("weights", weights, 4)
    _same_channels("images", below.shape[1], "weights", kernel.shape[1])
    out = output_shape(below.shape[2:], kernel.shape[2:], stride=stride, padding=padding)
    result = np.zeros((len(below), len(kernel), *out))
    for i, j, window in _windows(_padded(below, padding), kernel.shape[2:], stride, out):
        result += np.tensordot(kernel[:, :, i, j], window, axes=(1, 1)).swapaxes(0, 1)
    return result


def convolve_transposed(
    outputs: ArrayLike, weights: ArrayLike, *, shape: Shape, stride: int = 1, padding: int = 0
) -> FloatArray:
    """The adjoint, (B, below, *shape): ⟨u, w ⋆ s⟩ = ⟨convolve_transposed(u, w), s⟩; outputs (B, above, height', width')."""
    above, kernel = real_array("outputs", outputs, 4), real_array("weights", weights, 4)
    _same_channels("outputs", above.shape[1], "weights", kernel.shape[0])
    out = output_shape(shape, kernel.shape[2:], stride=stride, padding=padding)
    _same_shape("outputs", above.shape[2:], out, shape)
    spread = np.zeros((len(above), kernel.shape[1], shape[0] + 2 * padding, shape[1] + 2 * padding))
    for i, j, window in _windows(spread, kernel.shape[2:], stride, out):
        window += np.tensordot(kernel[:, :, i, j], above, axes=(0, 1)).swapaxes(0, 1)
    return _cropped(spread, padding)


def convolution_gradient(
    images: ArrayLike, outputs: ArrayLike, *, kernel: Shape, stride: int = 1, padding: int = 0
) -> FloatArray:
    """∂⟨u, w ⋆ s⟩/∂w summed over images, (above, below, *kernel), for s = images and u = outputs, whatever the w."""
    below, above = real_array("images", images, 4), real_array("outputs", outputs, 4)
    if len(below) != len(above):
        raise ValueError(f"images and outputs must be equally many, got {len(below)} and {len(above)}")
    out = output_shape(below.shape[2:], kernel, stride=stride, padding=padding)
    _same_shape("outputs", above.shape[2:], out, below.shape[2:])
    gradient = np.empty((above.shape[1], below.shape[1], *kernel))
    for i, j, window in _windows(_padded(below, padding), kernel, stride, out):
        gradient[:, :, i, j] = np.einsum("boyx,bcyx->oc", above, window)
    return gradient


def average_pool(images: ArrayLike, *, size: int, stride: int | None = None) -> FloatArray:
    """P s: the mean of each size × size window, stride (default size) apart, (B, channels, height', width')."""
    below, stride = real_array("images", images, 4), size if stride is None else stride
    out = output_shape(below.shape[2:], (size, size), stride=stride)
    result = np.zeros((*below.shape[:2], *out))
    for _, _, window in _windows(below, (size, size), stride, out):
        result += window
    return result / size**2


def average_pool_transposed(pooled: ArrayLike, *, size: int, shape: Shape, stride: int | None = None) -> FloatArray:
    """The adjoint, (B, channels, *shape): ⟨u, P s⟩ = ⟨average_pool_transposed(u), s⟩ for all s."""
    above, stride = real_array("pooled", pooled, 4), size if stride is None else stride
    out = output_shape(shape, (size, size), stride=stride)
    _same_shape("pooled", above.shape[2:], out, shape)
    spread = np.zeros((*above.shape[:2], *shape))
    for _, _, window in _windows(spread, (size, size), stride, out):
        window += above
    return spread / size**2


def convolution_matrix(weights: ArrayLike, *, shape: Shape, stride: int = 1, padding: int = 0) -> FloatArray:
    """The matrix of s ↦ w ⋆ s on flat images, (above·height'·width', below·height·width), written entry by entry."""
    kernel = real_array("weights", weights, 4)
    above, below, rows, columns = kernel.shape
    out = output_shape(shape, (rows, columns), stride=stride, padding=padding)
    matrix = np.zeros((above, *out, below, *shape))
    for y, x, i, j in np.ndindex(*out, rows, columns):
        row, column = y * stride + i - padding, x * stride + j - padding
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            matrix[:, y, x, :, row, column] = kernel[:, :, i, j]
    return matrix.reshape(above * out[0] * out[1], below * shape[0] * shape[1])


def pooling_matrix(channels: int, *, shape: Shape, size: int, stride: int | None = None) -> FloatArray:
    """The matrix of average pooling on flat images: a convolution of each channel with itself alone, by weights 1/size²."""
    weights = np.zeros((whole_number("channels", channels, 1), channels, size, size))
    weights[np.arange(channels), np.arange(channels)] = 1 / size**2
    return convolution_matrix(weights, shape=shape, stride=size if stride is None else stride)


def primitive(
    below: ArrayLike, above: ArrayLike, weights: ArrayLike, *, stride: int = 1, padding: int = 0, pool: int = 1
) -> FloatArray:
    """Φ = ⟨s², P(w ⋆ s¹)⟩ of each image, (B,); pool is the side of P's windows, 1 for none."""
    drive = average_pool(convolve(below, weights, stride=stride, padding=padding), size=pool)
    upper = real_array("above", above, 4)
    if upper.shape != drive.shape:
        raise ValueError(f"above must have the shape {drive.shape} of the pooled convolution, got {upper.shape}")
    return np.einsum("bcyx,bcyx->b", upper, drive)


def dense_twin(
    weights: ArrayLike,
    *,
    shape: Shape,
    stride: int = 1,
    padding: int = 0,
    pool: int = 1,
    temperature: float = 1.0,
) -> Model:
    """The Model of the flat units z = (s¹, s²) with ½zᵀJz = Φ: J = [[0, Mᵀ], [M, 0]], M the pooled convolution's matrix."""
    matrix = convolution_matrix(weights, shape=shape, stride=stride, padding=padding)
    kernel = np.shape(weights)
    out = output_shape(shape, kernel[2:], stride=stride, padding=padding)
    matrix = pooling_matrix(kernel[0], shape=out, size=pool) @ matrix
    above, below = matrix.shape
    couplings = np.block([[np.zeros((below, below)), matrix.T], [matrix, np.zeros((above, above))]])
    return Model(couplings, np.zeros(above + below), temperature)


def _windows(images: FloatArray, kernel: Shape, stride: int, out: Shape) -> Iterator[tuple[int, int, FloatArray]]:
    """(i, j, view): the view (B, channels, *out) of what entry (i, j) of a kernel sees at every place."""
    for i, j in np.ndindex(*kernel):
        rows = slice(i, i + stride * (out[0] - 1) + 1, stride)
        columns = slice(j, j + stride * (out[1] - 1) + 1, stride)
        yield i, j, images[:, :, rows, columns]


def _padded(images: FloatArray, padding: int) -> FloatArray:
    return np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def _cropped(images: FloatArray, padding: int) -> FloatArray:
    return images[:, :, padding : images.shape[2] - padding, padding : images.shape[3] - padding]


def _same_channels(name: str, channels: int, other: str, expected: int) -> None:
    if channels != expected:
        raise ValueError(f"{name} have {channels} channels, but {other} are for {expected}")


def _same_shape(name: str, got: Shape, expected: Shape, shape: Shape) -> None:
    if tuple(got) != tuple(expected):
        raise ValueError(
            f"{name} must be {tuple(expected)} in height and width for images {tuple(shape)}, got {tuple(got)}"
        )
