"""Synapses are the couplings that are not 0, and work is what the rules' steps add up to."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv
from dynamics.crnn.config import (
    Backpropagation,
    Continual,
    Deterministic,
    EvolutionStrategies,
    Implicit,
    PredictiveCoding,
    Stochastic,
)
from dynamics.crnn.cost import steps, synapses, work
from tests.dynamics.crnn.stacks import architectures, network

pytestmark = pytest.mark.exact

PHASES = {"nudging": 0.5, "steps_free": 10, "steps_nudged": 8, "window": 6}


@settings(max_examples=30)
@given(architectures(), st.integers(0, 2**16))
def test_synapses_are_the_couplings_that_are_not_zero(architecture, seed):
    """Of positive weights, so that none cancels in a pooled kernel; the input's are the fields that each pixel moves."""
    net = network(architecture, seed)
    net.weights[:] = np.abs(net.weights) + 0.1
    resting = net.constants(np.zeros((1, architecture.inputs)))
    moved = net.constants(np.eye(architecture.inputs)) - resting
    counted = [int((moved > 1e-12).sum())]
    places = architecture.places
    counted += [int((net.couplings[below, above] > 1e-12).sum()) for below, above in pairwise(places)]
    if architecture.classes:
        counted.append(architecture.sizes[-1] * architecture.classes)
    assert synapses(architecture) == tuple(counted)


def test_work_adds_up_by_hand():
    architecture = Architecture((1, 4, 4), (Conv(2, 3, padding=1, pool=2), Conv(3, 2)), classes=5)
    # 2 × 2 places of 4 × 4 kernels that lack one row or column at each border; then one place of 2 × 2
    first, second = 2 * 3 * 2 * 3 * 2, 4 * 2 * 3
    assert synapses(architecture) == (first, second, 15)
    ep = work(architecture, Deterministic(**PHASES))
    assert ep.multiply_adds == first + 2 * second * 26 + 2 * (first + second)
    assert ep.events is None
    bptt = work(architecture, Backpropagation(steps=18, window=6))
    assert bptt.multiply_adds == first + 2 * second * 36 + 18 * (first + second)
    assert (ep.states, bptt.states) == (5, 37)
    spiking = Stochastic(**PHASES, estimator="traces")
    assert work(architecture, spiking).events is None
    # a unit of the first layer reaches the second layer alone, and back
    assert work(architecture, spiking, rates=(0.5, 0.25)).events == 26 * (0.5 * second + 0.25 * second)
    with pytest.raises(ValueError, match="work is counted for EP and BPTT, got rule Implicit"):
        work(architecture, Implicit(tolerance=1e-6, max_steps=10))


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        (Deterministic(**PHASES), 26),
        (Deterministic(**PHASES, scheme="one-sided"), 26),
        (Stochastic(**PHASES, estimator="spikes"), 26),
        (Stochastic(**PHASES, estimator="spikes", phases="independent"), 36),
        (Continual(**PHASES, rates=(1.0,)), 18),
        (Backpropagation(steps=7, window=2), 14),
        (PredictiveCoding(nudging=1.0, rate=0.1, steps=5), 5),
        (EvolutionStrategies(pairs=3, width=0.1, steps=4, window=2), 28),
        (Implicit(tolerance=1e-6, max_steps=10), None),
    ],
)
def test_steps_are_those_of_all_phases(rule, count):
    assert steps(rule) == count
