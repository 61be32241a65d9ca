"""Convolution and pooling are their definitions, their transposes are adjoint, and dense matrices say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from dynamics.crnn.convolution import (
    average_pool,
    average_pool_transposed,
    convolution_gradient,
    convolution_matrix,
    convolve,
    convolve_transposed,
    dense_twin,
    output_shape,
    pooling_matrix,
    primitive,
)

pytestmark = pytest.mark.exact

SHAPES = st.tuples(st.integers(3, 7), st.integers(3, 7))
KERNELS = st.tuples(st.integers(1, 3), st.integers(1, 3))
CHANNELS = st.integers(1, 3)
STRIDES, PADDINGS, SEEDS = st.integers(1, 3), st.integers(0, 2), st.integers(0, 2**31 - 1)


def whole(generator, *shape):
    """Whole numbers as floats: sums of products are exact, so that equal means equal to the bit."""
    return generator.integers(-9, 10, size=shape).astype(np.float64)


@given(shape=SHAPES, kernel=KERNELS, below=CHANNELS, above=CHANNELS, stride=STRIDES, padding=PADDINGS, seed=SEEDS)
def test_a_convolution_is_scipys_correlation(shape, kernel, below, above, stride, padding, seed):
    generator = np.random.default_rng(seed)
    images, weights = whole(generator, 2, below, *shape), whole(generator, above, below, *kernel)
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    expected = [
        [
            sum(correlate2d(image[c], weights[o, c], mode="valid")[::stride, ::stride] for c in range(below))
            for o in range(above)
        ]
        for image in padded
    ]
    result = convolve(images, weights, stride=stride, padding=padding)
    assert np.array_equal(result, expected)
    assert result.shape[2:] == output_shape(shape, kernel, stride=stride, padding=padding)


@given(shape=SHAPES, kernel=KERNELS, below=CHANNELS, above=CHANNELS, stride=STRIDES, padding=PADDINGS, seed=SEEDS)
def test_the_transposed_convolution_is_the_adjoint_to_the_bit(shape, kernel, below, above, stride, padding, seed):
    generator = np.random.default_rng(seed)
    steps = {"stride": stride, "padding": padding}
    out = output_shape(shape, kernel, **steps)
    images, weights = whole(generator, 2, below, *shape), whole(generator, above, below, *kernel)
    outputs = whole(generator, 2, above, *out)
    returned = convolve_transposed(outputs, weights, shape=shape, **steps)
    assert np.vdot(outputs, convolve(images, weights, **steps)) == np.vdot(returned, images)
    matrix = convolution_matrix(weights, shape=shape, **steps)
    assert np.array_equal(convolve(images, weights, **steps).reshape(2, -1), images.reshape(2, -1) @ matrix.T)
    assert np.array_equal(returned.reshape(2, -1), outputs.reshape(2, -1) @ matrix)


@given(shape=SHAPES, kernel=KERNELS, below=CHANNELS, above=CHANNELS, stride=STRIDES, padding=PADDINGS, seed=SEEDS)
def test_the_weight_gradient_is_the_pairing_of_each_unit_weight(shape, kernel, below, above, stride, padding, seed):
    generator = np.random.default_rng(seed)
    steps = {"stride": stride, "padding": padding}
    images = whole(generator, 3, below, *shape)
    outputs = whole(generator, 3, above, *output_shape(shape, kernel, **steps))
    gradient = convolution_gradient(images, outputs, kernel=kernel, **steps)
    assert gradient.shape == (above, below, *kernel)
    for index in np.ndindex(gradient.shape):
        unit = np.zeros(gradient.shape)
        unit[index] = 1.0
        assert gradient[index] == np.vdot(outputs, convolve(images, unit, **steps))


@given(shape=SHAPES, size=st.integers(1, 3), stride=st.none() | STRIDES, channels=CHANNELS, seed=SEEDS)
def test_pooling_averages_windows_and_its_transpose_is_adjoint(shape, size, stride, channels, seed):
    generator = np.random.default_rng(seed)
    step = size if stride is None else stride
    images = size**2 * whole(generator, 2, channels, *shape)
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))[:, :, ::step, ::step]
    pooled = average_pool(images, size=size, stride=stride)
    assert np.array_equal(pooled, windows.sum(axis=(4, 5)) / size**2)
    upper = size**2 * whole(generator, *pooled.shape)
    spread = average_pool_transposed(upper, size=size, shape=shape, stride=stride)
    assert np.vdot(upper, pooled) == np.vdot(spread, images)
    matrix = pooling_matrix(channels, shape=shape, size=size, stride=stride)
    np.testing.assert_allclose(images.reshape(2, -1) @ matrix.T, pooled.reshape(2, -1), rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(upper.reshape(2, -1) @ matrix, spread.reshape(2, -1), rtol=1e-13, atol=1e-12)


@given(shape=SHAPES, kernel=KERNELS, pool=st.integers(1, 2), stride=STRIDES, padding=PADDINGS, seed=SEEDS)
def test_the_primitive_is_the_energy_of_its_dense_twin(shape, kernel, pool, stride, padding, seed):
    generator = np.random.default_rng(seed)
    steps = {"stride": stride, "padding": padding}
    inner = output_shape(shape, kernel, **steps)
    pool = min(pool, *inner)
    outer = output_shape(inner, (pool, pool), stride=pool)
    weights = pool**2 * whole(generator, 2, 3, *kernel)
    below, above = whole(generator, 4, 3, *shape), whole(generator, 4, 2, *outer)
    twin = dense_twin(weights, shape=shape, pool=pool, temperature=0.7, **steps)
    states = np.concatenate([below.reshape(4, -1), above.reshape(4, -1)], axis=1)
    assert np.array_equal(primitive(below, above, weights, pool=pool, **steps), -twin.energy(states))
    assert twin.temperature == 0.7
    assert not twin.bias.any()


def test_max_pooling_has_no_adjoint():
    """An operator with an adjoint is linear; this one is not."""
    first, second = np.eye(2)
    assert first.max() + second.max() != (first + second).max()


def test_sizes_at_the_edge_of_fitting():
    assert output_shape((3, 4), (3, 4)) == (1, 1)
    assert output_shape((3, 4), (5, 6), padding=1) == (1, 1)
    assert output_shape((7, 6), (2, 3), stride=2, padding=1) == (4, 3)
    assert average_pool(np.ones((1, 1, 5, 7)), size=2).shape == (1, 1, 2, 3)


IMAGES, WEIGHTS = np.zeros((2, 3, 4, 5)), np.zeros((6, 3, 2, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convolve(IMAGES[0], WEIGHTS), r"images must have 4 dimension\(s\), got shape \(3, 4, 5\)"),
        (lambda: convolve(IMAGES, WEIGHTS[0]), r"weights must have 4 dimension\(s\), got shape \(3, 2, 2\)"),
        (lambda: convolve(IMAGES[:, :2], WEIGHTS), "images have 2 channels, but weights are for 3"),
        (lambda: convolve(IMAGES, WEIGHTS, stride=0), "stride must be a whole number of at least 1, got 0"),
        (lambda: convolve(IMAGES, WEIGHTS, padding=-1), "padding must be a whole number of at least 0, got -1"),
        (
            lambda: output_shape((2, 9), (4, 1)),
            r"a kernel \(4, 1\) does not fit an image \(2, 9\) padded by 0: use more padding or a smaller kernel",
        ),
        (
            lambda: output_shape((9, 2), (1, 5), padding=1),
            r"a kernel \(1, 5\) does not fit an image \(9, 2\) padded by 1",
        ),
        (lambda: output_shape((0, 2), (1, 1)), "shape must be a whole number of at least 1, got 0"),
        (lambda: output_shape((2, 2), (1, 0)), "kernel must be a whole number of at least 1, got 0"),
        (
            lambda: convolve_transposed(np.zeros((2, 3, 3, 4)), WEIGHTS, shape=(4, 5)),
            "outputs have 3 channels, but weights are for 6",
        ),
        (
            lambda: convolve_transposed(np.zeros((2, 6, 3, 3)), WEIGHTS, shape=(4, 5)),
            r"outputs must be \(3, 4\) in height and width for images \(4, 5\), got \(3, 3\)",
        ),
        (
            lambda: convolution_gradient(IMAGES, np.zeros((3, 6, 3, 4)), kernel=(2, 2)),
            "images and outputs must be equally many, got 2 and 3",
        ),
        (
            lambda: convolution_gradient(IMAGES, np.zeros((2, 6, 4, 4)), kernel=(2, 2)),
            r"outputs must be \(3, 4\) in height and width for images \(4, 5\), got \(4, 4\)",
        ),
        (
            lambda: average_pool_transposed(np.zeros((2, 3, 2, 3)), size=2, shape=(4, 5)),
            r"pooled must be \(2, 2\) in height and width for images \(4, 5\), got \(2, 3\)",
        ),
        (lambda: pooling_matrix(0, shape=(4, 4), size=2), "channels must be a whole number of at least 1, got 0"),
        (
            lambda: primitive(IMAGES, np.zeros((2, 6, 3, 3)), WEIGHTS),
            r"above must have the shape \(2, 6, 3, 4\) of the pooled convolution, got \(2, 6, 3, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_sizes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
