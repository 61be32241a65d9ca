"""Shapes and places of a stack's layers, against loops over indices, and what no stack can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv, Dense
from tests.dynamics.crnn.stacks import architectures, network


@pytest.mark.exact
def test_the_sizes_of_a_known_stack():
    stack = Architecture((1, 28, 28), (Conv(16, 5, padding=2, pool=2), Conv(32, 5, padding=2, pool=2)), classes=10)
    assert (stack.inputs, stack.outputs, stack.units) == (784, 10, 16 * 14 * 14 + 32 * 7 * 7)
    assert stack.shapes == ((16, 14, 14), (32, 7, 7))
    assert stack.places == (slice(0, 3136), slice(3136, 4704))
    assert stack.weight_shapes == ((16, 1, 5, 5), (32, 16, 5, 5), (1568, 10))
    assert (stack.fan_in, stack.bias_sizes) == ((25, 400, 1568), (16, 32, 10))


@pytest.mark.exact
@settings(max_examples=30)
@given(architectures(), st.integers(0, 2**16))
def test_a_channels_bias_reaches_each_of_its_places_and_the_sum_is_its_adjoint(architecture, seed):
    generator = np.random.default_rng(seed)
    bias, values = generator.normal(size=architecture.biases), generator.normal(size=architecture.units)
    spread = architecture.unit_bias(bias)
    for place, shape, own in zip(
        architecture.places, architecture.shapes, architecture.bias_arrays(bias), strict=False
    ):
        image = spread[place].reshape(*shape[1:], shape[0])
        for channel in range(shape[0]):
            assert (image[..., channel] == own[channel]).all()
    inside = architecture.biases - architecture.classes
    np.testing.assert_allclose(bias[:inside] @ architecture.sum_to_bias(values), spread @ values, atol=1e-12)


@pytest.mark.exact
@settings(max_examples=30)
@given(architectures())
def test_the_views_cover_each_weight_and_bias_once(architecture):
    weights, bias = np.zeros(architecture.weights), np.zeros(architecture.biases)
    arrays = architecture.arrays(weights)
    assert tuple(array.shape for array in arrays) == architecture.weight_shapes
    for view in (*arrays, *architecture.bias_arrays(bias)):
        view += 1.0
    assert (weights == 1.0).all()
    assert (bias == 1.0).all()
    numbers = range(len(arrays))
    for number, array in enumerate(architecture.arrays(architecture.per_weight(numbers))):
        assert (array == number).all()
    for number, array in enumerate(architecture.bias_arrays(architecture.per_bias(numbers))):
        assert (array == number).all()
    units = architecture.per_unit(range(len(architecture.layers)))
    for number, place in enumerate(architecture.places):
        assert (units[place] == number).all()


@pytest.mark.exact
def test_weights_are_drawn_within_their_scale_of_the_fan_in():
    stack = Architecture((2, 6, 6), (Conv(3, 3), Dense(40)), classes=4)
    scales = (5.0, 2.0, 1.0)
    drawn = stack.arrays(stack.draw_weights(np.random.default_rng(0), scales))
    for array, scale, below in zip(drawn, scales, (18, 48, 40), strict=True):
        bound = scale / np.sqrt(below)
        assert 0.9 * bound < np.abs(array).max() <= bound


@pytest.mark.exact
@settings(max_examples=15)
@given(architectures(), st.integers(0, 2**16))
def test_only_neighbouring_layers_are_coupled(architecture, seed):
    couplings = network(architecture, seed).couplings
    for below, own in enumerate(architecture.places):
        for above, other in enumerate(architecture.places):
            if abs(below - above) != 1:
                assert (couplings[own, other] == 0.0).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conv(1, 3, pooling="sum"), "pooling must be one of average, max, got 'sum'"),
        (lambda: Conv(1, 0), "kernel"),
        (lambda: Conv(1, 3, padding=-1), "padding"),
        (lambda: Dense(0), "units"),
        (lambda: Architecture((4, 4), (Dense(2),)), r"input must be .*, got \(4, 4\)"),
        (lambda: Architecture((4,), ()), "one layer at least"),
        (lambda: Architecture((1, 4, 4), (Conv(2, 3),)), "the last layer must be dense"),
        (lambda: Architecture((4,), (Conv(2, 3),), 2), "layer 1: a convolution needs"),
        (lambda: Architecture((1, 4, 4), (Conv(2, 3), Conv(2, 5)), 2), "layer 2: "),
        (lambda: Architecture((1, 4, 4), (Dense(2), Conv(2, 1)), 2), "layer 2: a convolution needs"),
    ],
)
def test_what_is_no_stack_is_refused_by_layer_and_value(build, message):
    with pytest.raises(ValueError, match=message):
        build()
