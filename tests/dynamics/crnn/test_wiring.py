"""Every layer's drive, its adjoint and its weight gradient are those of the plain convolutions."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.convolution import (
    average_pool,
    average_pool_transposed,
    convolution_gradient,
    convolve,
    convolve_transposed,
)
from dynamics.crnn.wiring import (
    accumulate,
    accumulate_images,
    drive,
    input_drive,
    pair_drive,
    scratch_for,
    unpack,
    wire,
)

pytestmark = pytest.mark.exact

CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 10, 16, 17, 32, 33, 40])


@st.composite
def architectures(draw, pooling=("average", "max")):
    """Up to two convolutions, then up to two dense layers, on images of 5 to 13 a side; none of five taps, which round."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(5, 13)), draw(st.integers(5, 13)))
    layers, current = [], shape
    for _ in range(draw(st.integers(0, 2))):
        layer = Conv(
            draw(CHANNELS), draw(st.sampled_from([1, 2, 3, 4, 6])), stride=draw(st.integers(1, 2)), padding=draw(st.integers(0, 2)),
            pool=draw(st.integers(1, 2)), pooling=draw(st.sampled_from(pooling)),
        )  # fmt: skip
        try:
            current = layer.shape(current)
        except ValueError:
            break
        layers.append(layer)
    layers += [Dense(draw(CHANNELS)) for _ in range(draw(st.integers(1, 2)))]
    return Architecture(shape, tuple(layers), classes=draw(st.sampled_from([0, 3])))


def whole(generator, *shape):
    """Whole numbers times 4, so that sums of products stay exact with windows of four, in float32 too."""
    return 4.0 * generator.integers(-3, 4, size=shape)


def channels_first(values, shape):
    """(1, channels, height, width) from a flat vector with its channels last."""
    return values.reshape(*shape[1:], shape[0]).transpose(2, 0, 1)[None].astype(np.float64)


def channels_last(values):
    return values[0].transpose(1, 2, 0).ravel()


def pooled_max(drives, size):
    """The largest of each window, and the same as a mask of where it first is: both like `drives` in rank."""
    rows, columns = drives.shape[2] // size, drives.shape[3] // size
    largest, mask = np.zeros((*drives.shape[:2], rows, columns)), np.zeros_like(drives)
    for index in np.ndindex(largest.shape):
        y, x = index[2] * size, index[3] * size
        window = drives[index[0], index[1], y : y + size, x : x + size]
        a, b = np.unravel_index(window.argmax(), window.shape)
        largest[index], mask[index[0], index[1], y + a, x + b] = window.max(), 1.0
    return largest, mask


def spread(layer, above, mask, shape):
    """Pᵀ above: shared out over each window, or sent to where its largest drive is."""
    if layer.pooling == "average":
        return average_pool_transposed(above, size=layer.pool, shape=shape)
    large = np.kron(above, np.ones((layer.pool, layer.pool)))
    return mask * np.pad(large, ((0, 0), (0, 0), (0, shape[0] - large.shape[2]), (0, shape[1] - large.shape[3])))


def reference(architecture, weights, image, state, mean, slope):
    """(drive of the input, drive among free layers, gradient) by dynamics.crnn.convolution, float64, layer by layer."""
    shapes = (architecture.input, *architecture.shapes)
    constants, field, gradients = np.zeros(architecture.units), np.zeros(architecture.units), []
    for n, (layer, array) in enumerate(
        zip(architecture.layers, architecture.arrays(weights.astype(np.float64)), strict=False)
    ):
        here, there = architecture.places[n - 1] if n else None, architecture.places[n]

        def below(values, here=here):
            return image if here is None else values[here]

        up = constants if n == 0 else field
        if isinstance(layer, Dense):
            up[there] += below(state) @ array
            gradient = np.outer(below(mean), slope[there])
            if n:
                field[here] += array @ state[there]
                gradient += np.outer(slope[here], mean[there])
            gradients.append(gradient.ravel())
            continue
        steps = {"stride": layer.stride, "padding": layer.padding}
        shape, kernel = shapes[n][1:], (layer.kernel, layer.kernel)
        drives, mean_drives = (convolve(channels_first(below(v), shapes[n]), array, **steps) for v in (state, mean))
        inner = drives.shape[2:]
        mask, mean_mask = (pooled_max(d, layer.pool)[1] for d in (drives, mean_drives))
        average = layer.pooling == "average"
        up[there] += channels_last(
            average_pool(drives, size=layer.pool) if average else pooled_max(drives, layer.pool)[0]
        )
        pairs = [(mean, slope)] if n == 0 else [(mean, slope), (slope, mean)]
        gradient = sum(
            convolution_gradient(
                channels_first(below(pre), shapes[n]),
                spread(layer, channels_first(post[there], shapes[n + 1]), mean_mask, inner), kernel=kernel, **steps,
            )
            for pre, post in pairs
        )  # fmt: skip
        gradients.append(np.ravel(gradient))
        if n:
            falling = spread(layer, channels_first(state[there], shapes[n + 1]), mask, inner)
            field[here] += channels_last(convolve_transposed(falling, array, shape=shape, **steps))
    return constants, field, np.concatenate(gradients)


@settings(deadline=None)
@given(architecture=architectures(), dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 2**31 - 1))
def test_drives_and_gradients_are_those_of_the_plain_convolutions_to_the_bit(architecture, dtype, seed):
    generator = np.random.default_rng(seed)
    weights = whole(generator, architecture.weights).astype(dtype)
    image = whole(generator, architecture.inputs).astype(dtype)
    state, mean, slope = whole(generator, 3, architecture.units).astype(dtype)
    wiring = wire(architecture, weights, dtype)
    scratch, product = scratch_for(wiring), np.zeros(wiring.product, dtype=dtype)
    constants, field = np.zeros((2, architecture.units), dtype=dtype)
    input_drive(image, wiring, scratch, constants[: architecture.sizes[0]])
    drive(state, wiring, scratch, field)
    accumulate(image, mean, slope, wiring, scratch, product)
    expected = reference(architecture, weights, image, state, mean, slope)
    for got, wanted in zip((constants, field, unpack(architecture, product)), expected, strict=True):
        assert got.dtype == dtype
        assert np.array_equal(got, wanted)


@settings(deadline=None)
@given(
    architecture=architectures(pooling=("average",)), dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_the_couplings_are_symmetric_so_that_what_rises_is_adjoint_to_what_falls(architecture, dtype, seed):
    generator = np.random.default_rng(seed)
    wiring = wire(architecture, whole(generator, architecture.weights), dtype)
    scratch = scratch_for(wiring)
    first, second = whole(generator, 2, architecture.units).astype(dtype)
    fields = np.zeros((2, architecture.units), dtype)
    drive(first, wiring, scratch, fields[0])
    drive(second, wiring, scratch, fields[1])
    # in float64, where whole numbers' products and their sum are exact
    first, second, fields = first.astype(np.float64), second.astype(np.float64), fields.astype(np.float64)
    assert second @ fields[0] == first @ fields[1]


@settings(deadline=None)
@given(architecture=architectures(pooling=("average",)), seed=st.integers(0, 2**31 - 1))
def test_magnitudes_and_squares_are_of_the_couplings_both_ways(architecture, seed):
    generator = np.random.default_rng(seed)
    weights = whole(generator, architecture.weights)
    wiring = wire(architecture, weights, np.float64)
    scratch, units = scratch_for(wiring), architecture.units
    states = [np.zeros(units), np.zeros(units)]
    first, second = generator.integers(units, size=2)
    states[0][first] = states[1][second] = 1.0
    for function in (np.abs, np.square):
        changed = wire(architecture, weights, np.float64, entry=function)
        for state in states:
            fields = np.zeros((2, units))
            drive(state, wiring, scratch, fields[0])
            drive(state, changed, scratch, fields[1])
            assert np.array_equal(fields[1], function(fields[0]))


def test_drives_add_to_what_the_field_holds_and_scratch_carries_nothing_over():
    architecture = Architecture((2, 7, 6), (Conv(5, 3, padding=1, pool=2), Conv(4, 2, pool=2, pooling="max"), Dense(3)))
    generator = np.random.default_rng(0)
    wiring = wire(architecture, generator.normal(size=architecture.weights), np.float64)
    image, state = whole(generator, architecture.inputs), whole(generator, architecture.units)
    scratch, other = scratch_for(wiring), scratch_for(wiring)
    other[:] = np.nan
    fields = np.zeros((2, architecture.units))
    for field, memory in zip(fields, (scratch, other), strict=True):
        drive(state, wiring, memory, field)
        input_drive(image, wiring, memory, field)
    assert np.array_equal(fields[0], fields[1])
    before = fields[0].copy()
    input_drive(image, wiring, other, fields[0])
    drive(state, wiring, other, fields[0])
    np.testing.assert_allclose(fields[0], 2 * before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_many_images_is_their_sum_whatever_the_threads(dtype):
    architecture = Architecture((1, 8, 8), (Conv(5, 3, pool=2), Dense(4)))
    generator = np.random.default_rng(1)
    wiring = wire(architecture, generator.normal(size=architecture.weights), dtype)
    images = generator.normal(size=(11, architecture.inputs)).astype(dtype)
    means, slopes = generator.normal(size=(2, 11, architecture.units)).astype(dtype)
    threads, totals = numba.get_num_threads(), []
    try:
        for count in range(1, min(threads, 4) + 1):
            numba.set_num_threads(count)
            totals.append(accumulate_images(images, means, slopes, wiring))
    finally:
        numba.set_num_threads(threads)
    assert all(np.array_equal(totals[0], total) for total in totals)
    single = np.zeros(wiring.product)
    for image, mean, slope in zip(images, means, slopes, strict=True):
        product = np.zeros(wiring.product, dtype=dtype)
        accumulate(image, mean, slope, wiring, scratch_for(wiring), product)
        single += product
    np.testing.assert_allclose(totals[0], single, rtol=0, atol=64 * np.finfo(dtype).eps * np.abs(single).max())


@settings(deadline=None)
@given(architecture=architectures(), dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 2**31 - 1))
def test_a_pair_of_drives_is_the_mean_and_half_difference_of_two_to_the_bit(architecture, dtype, seed):
    generator = np.random.default_rng(seed)
    wiring = wire(architecture, whole(generator, architecture.weights), dtype)
    mean, half = whole(generator, 2, architecture.units).astype(dtype)
    scratch = scratch_for(wiring)
    scratch[:] = np.nan
    found, (upper, lower) = np.zeros((2, architecture.units), dtype), np.zeros((2, architecture.units), dtype)
    pair_drive(mean, half, wiring, scratch, found[0], found[1])
    drive(mean + half, wiring, scratch, upper)
    drive(mean - half, wiring, scratch, lower)
    assert np.array_equal(found, [(upper + lower) / 2, (upper - lower) / 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_difference_is_exact_relative_to_itself_through_max_pooling(dtype):
    architecture = Architecture((1, 16, 16), (Conv(16, 5), Conv(16, 5, pool=2, pooling="max"), Dense(3)))
    generator = np.random.default_rng(3)
    weights, mean, half = (
        generator.normal(size=size).astype(dtype) for size in (architecture.weights, *[architecture.units] * 2)
    )
    fields, ends = np.zeros((2, architecture.units), dtype), np.zeros((2, architecture.units))
    wiring, exact = wire(architecture, weights, dtype), wire(architecture, weights.astype(np.float64), np.float64)
    pair_drive(mean, dtype(2.0**-60) * half, wiring, scratch_for(wiring), *fields)
    # no largest drive moves, so that the difference is linear: one 2³⁰ times as large tells it
    for end, sign in zip(ends, (1, -1), strict=True):
        drive(mean + sign * 2.0**-30 * half.astype(np.float64), exact, scratch_for(exact), end)
    wanted = (ends[0] - ends[1]) * 2.0**29
    error = 1e-5 if dtype == np.float32 else 1e-6
    assert np.abs(fields[1].astype(np.float64) * 2.0**60 - wanted).max() <= error * np.abs(wanted).max()


@settings(deadline=None)
@given(
    channels=st.sampled_from([16, 32]), above=st.sampled_from([16, 48]), padding=st.integers(0, 2), pool=st.integers(1, 3),
    side=st.tuples(st.integers(9, 13), st.integers(9, 13)), seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_five_taps_in_float32_are_the_plain_convolution_to_rounding(channels, above, padding, pool, side, seed):
    layers = Conv(channels, 1), Conv(above, 5, padding=padding, pool=pool, pooling="max"), Dense(2)
    architecture = Architecture((1, *side), layers)
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=architecture.weights)
    image, state = generator.normal(size=architecture.inputs), generator.normal(size=architecture.units)
    here = architecture.places[0]
    drives = convolve(
        channels_first(state[here], architecture.shapes[0]), architecture.arrays(weights)[1], padding=padding
    )
    largest, mask = pooled_max(drives, pool)
    second, _ = pooled_max(np.where(mask, -np.inf, drives), pool)
    # an error may not move a largest drive
    assume(np.min(largest - second) > 1e-3)
    _, wanted, _ = reference(architecture, weights, image, state, state, state)
    wiring = wire(architecture, weights, np.float32)
    assert wiring.layers["tiles_down"][1] > 0
    field = np.zeros(architecture.units, np.float32)
    drive(state.astype(np.float32), wiring, scratch_for(wiring), field)
    assert np.abs(field - wanted).max() <= 4e-6 * 25 * max(channels, above)
