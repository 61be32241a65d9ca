"""What a network's relaxation is said to do, against the dense Jacobian of its Model."""

from dataclasses import replace

import numpy as np
import pytest

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.network import Frames
from dynamics.crnn.stability import stability
from tests.dynamics.crnn.stacks import batch, network

pytestmark = pytest.mark.exact

LAYERS = Architecture((1, 6, 6), (Conv(2, 3, padding=1, pool=2), Conv(3, 3, padding=1), Dense(3)))


# the second net is not settled after 150 steps, of radius 0.947
@pytest.mark.parametrize(("scale", "leak", "tolerance"), [(1.5, 0.5, 1e-8), (4.0, (0.5, 0.3, 0.8), 1e-3)])
def test_the_radius_is_the_jacobians_and_a_relaxation_comes_to_contract_by_it(scale, leak, tolerance):
    net = network(LAYERS, 3, scale=scale, leak=leak)
    images, _ = batch(net, 3)
    means, _ = replace(net, leak=0.5).settle(net.constants(images), tolerance=1e-14, max_steps=20_000)
    leaks, radii = net.per_unit(leak), []
    for mean in means:
        jacobian = np.diag(1 - leaks) + (leaks * mean * (1 - mean) / 0.5)[:, None] * net.couplings
        radii.append(np.abs(np.linalg.eigvals(jacobian)).max())
    found = stability(net, images)
    assert found.radius == pytest.approx(np.mean(radii), rel=tolerance)
    assert 0.5 * np.mean(radii) < found.contraction <= 1.002 * np.mean(radii)


def test_what_has_no_such_map_says_nan():
    net = network(LAYERS, 3)
    pooled = replace(
        net, architecture=Architecture((1, 6, 6), (Conv(2, 3, padding=1, pool=2, pooling="max"), *LAYERS.layers[1:]))
    )
    frames = Frames(np.zeros((2, 3, 36)))
    images = np.zeros((2, 36))
    for case in ((net, frames), (pooled, images), (replace(net, activation="hard_sigmoid"), images)):
        assert np.isnan(stability(*case)).all()
