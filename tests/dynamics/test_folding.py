"""Three matrix products are the plain sum over states, in any range of the weights, and threads do not change a bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from dynamics import folding
from dynamics.enumeration import all_states
from dynamics.folding import log_weights, moments

pytestmark = pytest.mark.exact

SEEDS = st.integers(0, 2**31 - 1)


def plain(couplings: np.ndarray, bias: np.ndarray, tilt: np.ndarray | None, offset: float) -> tuple[float, np.ndarray]:
    """(r, Σ w z_i z_j / e^r) over all states of Gibbs' law."""
    z = all_states(bias.size)
    logarithms = z @ bias + 0.5 * ((z @ couplings) * z).sum(axis=1)
    weights = np.exp(logarithms - logarithms.max()) * (1.0 if tilt is None else z @ tilt - offset)
    return float(logarithms.max()), z.T @ (weights[:, None] * z)


@given(size=st.integers(13, 15), gain=st.floats(0, 4), tilted=st.booleans(), seed=SEEDS)
def test_moments_are_the_plain_sum(network, size, gain, tilted, seed):
    model = network(size, gain, 0.0, seed)
    tilt, offset = (np.cos(np.arange(size)), 0.3) if tilted else (None, 0.0)
    peak, expected = plain(model.couplings, model.bias, tilt, offset)
    reference, total, found = moments(model.couplings, model.bias, False, tilt, offset)
    scale = np.exp(reference - peak)
    np.testing.assert_allclose(
        scale * found, expected, rtol=0, atol=1e-13 * plain(model.couplings, model.bias, None, 0)[1].max()
    )
    if not tilted:
        z = all_states(size)
        weights = np.exp(z @ model.bias + 0.5 * ((z @ model.couplings) * z).sum(axis=1) - peak)
        assert scale * total == pytest.approx(weights.sum(), rel=1e-12)


@pytest.mark.parametrize("tilt", [None, np.linspace(-1, 2, 15)])
@pytest.mark.parametrize("temperature", [1e-3, 0.03, 0.1, 1.0])
def test_products_are_the_states_one_by_one_in_every_range(network, monkeypatch, temperature, tilt):
    model = network(15, 0.8, 0.0, 4)
    scaled = model.couplings / temperature, model.bias / temperature
    found = moments(*scaled, False, tilt, 0.4)
    monkeypatch.setattr(folding, "MAX_REACH", 0.0)
    plainly = moments(*scaled, False, tilt, 0.4)
    scale = math.exp(found[0] - plainly[0])
    assert scale * found[1] == pytest.approx(plainly[1], rel=1e-12)
    np.testing.assert_allclose(scale * found[2], plainly[2], rtol=0, atol=1e-13 * np.abs(plainly[2]).max())


def test_products_keep_their_accuracy_up_to_their_reach():
    """One low unit whose field swings by ±r under two high ones: the weights that count lie e^−r below the products' ceiling."""
    size, reach = 14, 290.0
    couplings, bias = np.zeros((size, size)), np.full(size, -1.0)
    couplings[0, 12] = couplings[12, 0] = reach
    bias[[0, 12]] = -reach
    bias[13] = 0.3
    states = folding._States(couplings, bias, False)
    assert states.multiplies
    peak, expected = plain(couplings, bias, None, 0.0)
    reference, _, found = moments(couplings, bias, False)
    np.testing.assert_allclose(found * math.exp(reference - peak), expected, rtol=1e-11)


@pytest.mark.parametrize("little", [False, True])
def test_threads_of_blas_do_not_change_a_bit(network, little):
    model, runs = network(16, 0.8, 0.0, 4), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            runs.append(moments(model.couplings, model.bias, little))
    assert runs[0][:2] == runs[1][:2]
    np.testing.assert_array_equal(runs[0][2], runs[1][2])


@pytest.mark.parametrize("size", [3, 13, 17])
def test_log_weights_are_those_of_the_states_in_order(network, size):
    model = network(size, 1.5, 0.0, 2)
    z = all_states(size)
    expected = z @ model.bias + 0.5 * ((z @ model.couplings) * z).sum(axis=1)
    np.testing.assert_allclose(log_weights(model.couplings, model.bias, False), expected, rtol=0, atol=1e-12)
    excess = z @ model.bias + np.logaddexp(0, z @ model.couplings + model.bias).sum(axis=1)
    np.testing.assert_allclose(log_weights(model.couplings, model.bias, True), excess, rtol=0, atol=1e-12)
