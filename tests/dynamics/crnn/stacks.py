"""Random small networks for the tests of dynamics.crnn."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.network import Network

CONVS = st.builds(
    Conv,
    channels=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    pool=st.integers(1, 2),
)


@st.composite
def architectures(draw, convs=CONVS):
    """Up to two convolutions, then dense layers, with a readout outside or without."""
    shape = draw(st.tuples(st.integers(1, 2), st.integers(3, 7), st.integers(3, 7)))
    stack = [*draw(st.lists(convs, max_size=2)), *map(Dense, draw(st.lists(st.integers(1, 4), max_size=2)))]
    classes = draw(st.sampled_from([0, 3]))
    if classes == 0:
        stack.append(Dense(draw(st.integers(1, 3))))
    assume(stack)
    try:
        return Architecture(shape, tuple(stack), classes)
    except ValueError:
        assume(False)
        raise


def network(architecture, seed, *, scale=1.5, dtype=np.float64, temperature=0.5, leak=0.5, rest=0.3, rate_penalty=0.0):
    generator = np.random.default_rng(seed)
    weights = architecture.draw_weights(generator, [scale] * len(architecture.weight_shapes))
    bias = generator.normal(0.0, 0.3, architecture.biases)
    shared = {"rest": rest, "rate_penalty": rate_penalty}
    return Network(architecture, weights.astype(dtype), bias.astype(dtype), temperature, 0.2, leak, **shared)


def batch(net, seed, count=3):
    """Images in [0, 1] and targets: one-hot for a readout, any in [0, 1] for outputs inside."""
    generator = np.random.default_rng([seed, 1])
    outputs = net.architecture.outputs
    targets = np.eye(outputs)[generator.integers(outputs, size=count)]
    return generator.random((count, net.architecture.inputs)), targets
