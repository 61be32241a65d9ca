"""Linear predictive coding against minimisers, differences and Langevin dynamics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from dynamics import sample
from proofs_numeric.comparators import predictive_coding as pc

FALSE_ALARM, COMPARISONS = 1e-9, 2
LIMIT = float(stats.norm.isf(FALSE_ALARM / COMPARISONS / 2))
pytestmark = pytest.mark.exact

NET = pc.random_net(3, 4, 0.0, 7)
WIDTHS = [len(weight) for weight in NET.weights]
# three chains of single units, weights 2, −3, ½
CHAIN = pc.Instance([np.array([[2.0]]), np.array([[-3.0]]), np.array([[0.5]])], np.array([1.0]), np.array([4.0]))


def split(flat, net=NET):
    return [net.inputs, *np.split(flat, np.cumsum([len(weight) for weight in net.weights])[:-1])]


def moved(net, layer, index, step):
    weights = [weight.copy() for weight in net.weights]
    weights[layer][index] += step
    return net._replace(weights=weights)


def slope(function, net, layer, step=1e-6):
    found = np.zeros_like(net.weights[layer])
    for index in np.ndindex(found.shape):
        found[index] = (function(moved(net, layer, index, step)) - function(moved(net, layer, index, -step))) / (
            2 * step
        )
    return found


@pytest.mark.parametrize("nudging", [0.0, 0.3, 20.0, -0.05])
def test_equilibrium_minimises_the_energy(nudging):
    flat = minimize(lambda x: pc.energy(NET, split(x), nudging), np.zeros(sum(WIDTHS)), method="BFGS", tol=1e-10).x
    for found, expected in zip(pc.equilibrium(NET, nudging), split(flat), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_free_equilibrium_is_the_forward_pass_of_energy_zero():
    rest = pc.forward_pass(NET.weights, NET.inputs)
    np.testing.assert_allclose(rest[-1], NET.weights[2] @ NET.weights[1] @ NET.weights[0] @ NET.inputs)
    for one, other in zip(pc.equilibrium(NET, 0.0), rest, strict=True):
        np.testing.assert_array_equal(one, other)
    assert pc.energy(NET, rest, 0.0) == 0.0


def test_the_clamped_energy_is_the_rescaled_error():
    rest = pc.forward_pass(NET.weights, NET.inputs)[-1] - NET.target
    total = sum(back.T @ back for back in pc.backward_maps(NET.weights)[1:])
    np.testing.assert_allclose(pc.covariances(NET.weights)[-1], total)
    clamped = pc.equilibrium(NET, 1e9)
    np.testing.assert_allclose(clamped[-1], NET.target, atol=1e-7)
    assert pc.energy(NET, clamped, 0.0) == pytest.approx(0.5 * rest @ np.linalg.solve(total, rest), rel=1e-6)


def test_a_chain_by_hand():
    # S = 1 + ¼ + 9/4, e = −3 − 4, r = e/(1 + 2S) at β = 2
    rest, spread = pc.forward_pass(CHAIN.weights, CHAIN.inputs), pc.covariances(CHAIN.weights)
    assert [float(part[0]) for part in rest] == [1.0, 2.0, -6.0, -3.0]
    assert [float(part[0, 0]) for part in spread] == [0.0, 1.0, 10.0, 3.5]
    assert [float(part[0, 0]) for part in pc.backward_maps(CHAIN.weights)] == [-3.0, -1.5, 0.5, 1.0]
    np.testing.assert_allclose(pc.residual(CHAIN, 2.0), [-7 / 8])
    np.testing.assert_allclose(
        np.ravel(pc.equilibrium(CHAIN, 2.0)), [1.0, 2.0 - 2 * 1.5 * 7 / 8, -6.0 + 2 * 5 * 7 / 8, 4 - 7 / 8]
    )
    errors = pc.prediction_errors(CHAIN.weights, pc.equilibrium(CHAIN, 2.0))
    np.testing.assert_allclose(np.ravel(errors), [-2.625, 0.875, 1.75])
    np.testing.assert_allclose(np.ravel(pc.updates(CHAIN, 2.0)), [1.3125, -0.4375 * (2 - 2.625), -0.875 * (-6 + 8.75)])
    np.testing.assert_allclose(np.ravel(pc.backpropagated(CHAIN)), [10.5, -7.0, 42.0])


def test_backpropagation_is_the_slope_of_the_cost():
    def cost(net):
        return 0.5 * np.sum((pc.forward_pass(net.weights, net.inputs)[-1] - net.target) ** 2)

    for layer, found in enumerate(pc.backpropagated(NET)):
        np.testing.assert_allclose(found, slope(cost, NET, layer), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("nudging", [0.5, -0.02, 30.0])
def test_the_update_is_the_slope_of_the_least_energy(nudging):
    def least(net):
        return pc.energy(net, pc.equilibrium(net, nudging), nudging) / nudging

    for layer, found in enumerate(pc.updates(NET, nudging)):
        np.testing.assert_allclose(found, slope(least, NET, layer), rtol=1e-5, atol=1e-8)


def test_errors_of_one_and_of_two_nudges_have_slopes_one_and_two():
    exact = pc.backpropagated(NET)
    for symmetric, power in ((False, 1), (True, 2)):
        sizes = []
        for nudging in (1e-3, 5e-4):
            signs = (1, -1) if symmetric else (1,)
            parts = [pc.updates(NET, sign * nudging) for sign in signs]
            sizes.append(
                sum(np.linalg.norm(np.mean(layer, axis=0) - one) for *layer, one in zip(*parts, exact, strict=True))
            )
        assert math.log2(sizes[0] / sizes[1]) == pytest.approx(power, abs=0.05)


def test_error_bounds_are_attained_by_a_chain():
    # e < 0, a_1 > 0, B_2 > 0: both parts of the error of layer 2 have one sign
    chain = CHAIN._replace(weights=[np.array([[2.0]]), np.array([[3.0]]), np.array([[0.5]])], target=np.array([-9.0]))
    exact = pc.backpropagated(chain)
    for nudging in (1e-4, 0.7):
        found = [abs(float((one - other)[0, 0])) for one, other in zip(pc.updates(chain, nudging), exact, strict=True)]
        np.testing.assert_allclose(found, pc.update_error(chain, nudging), rtol=1e-9)
    parts = [pc.updates(chain, sign * 0.1) for sign in (1, -1)]
    found = [abs(float((0.5 * (up + down) - one)[0, 0])) for up, down, one in zip(*parts, exact, strict=True)]
    np.testing.assert_allclose(found, pc.update_error(chain, 0.1, symmetric=True), rtol=1e-9)


def test_curvature_is_the_second_derivative_and_the_drive_the_first():
    nudging, step, size = 0.7, 1e-3, sum(WIDTHS)
    unit = step * np.eye(size)
    hessian = np.array(
        [
            [
                sum(
                    si * sj * pc.energy(NET, split(si * unit[i] + sj * unit[j]), nudging)
                    for si in (1, -1)
                    for sj in (1, -1)
                )
                / (4 * step**2)
                for j in range(size)
            ]
            for i in range(size)
        ]
    )
    np.testing.assert_allclose(pc.curvature(NET.weights, nudging), hessian, atol=1e-7)
    path = pc.inference(NET, np.zeros(size), nudging, step=1.0, steps=1)
    drive = [-(pc.energy(NET, split(one), nudging) - pc.energy(NET, split(-one), nudging)) / (2 * step) for one in unit]
    np.testing.assert_allclose(path[1], drive, atol=1e-8)


def test_curvature_of_a_chain_of_equal_weights_is_known():
    # eigenvalues 2 − 2cos((2k − 1)π/(2L + 1)) for unit weights
    weights = [np.array([[sign]]) for sign in (5.0, 1.0, -1.0, 1.0, 1.0)]
    known = 2 - 2 * np.cos((2 * np.arange(1, 6) - 1) * np.pi / 11)
    np.testing.assert_allclose(np.linalg.eigvalsh(pc.curvature(weights, 0.0)), known)
    np.testing.assert_allclose(pc.curvature_range(weights, 0.0), (known[0], known[-1]))


def test_inference_arrives_at_the_equilibrium_and_not_beyond_twice_the_inverse_curvature():
    low, high = pc.curvature_range(NET.weights, 1.0)
    start = np.ones(sum(WIDTHS))
    path = pc.inference(NET, start, 1.0, step=2 / (low + high), steps=4000)
    np.testing.assert_allclose(path[-1], np.concatenate(pc.equilibrium(NET, 1.0)[1:]), atol=1e-9)
    top = float(np.linalg.eigvalsh(pc.curvature(NET.weights, 1.0))[-1])
    assert np.abs(pc.inference(NET, start, 1.0, step=2.1 / top, steps=400)[-1]).max() > 1e6


def test_thermal_update_is_the_mean_over_sampled_states():
    """Independent noise makes every layer: the nudged law is that of x_L tilted, whose mean of −εx is compared by quadrature."""
    net, nudging, temperature = pc.Instance(CHAIN.weights[:2], CHAIN.inputs, CHAIN.target), 0.4, 0.8
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    first, second = np.meshgrid(nodes, nodes, indexing="ij")
    hidden = 2.0 + math.sqrt(temperature) * first
    output = -3.0 * hidden + math.sqrt(temperature) * second
    tilt = np.outer(weights, weights) * np.exp(-nudging * (output - 4.0) ** 2 / (2 * temperature))
    tilt /= tilt.sum()
    found = [-float((tilt * one).sum()) / nudging for one in ((hidden - 2.0) * 1.0, (output + 3.0 * hidden) * hidden)]
    np.testing.assert_allclose(np.ravel(pc.thermal_updates(net, nudging, temperature)), found, rtol=1e-6)


def test_thermal_objective_is_a_difference_of_free_energies():
    temperature, nudging = 0.7, 0.3
    free, nudged = (np.linalg.slogdet(pc.curvature(NET.weights, value))[1] for value in (0.0, nudging))
    least = pc.energy(NET, pc.equilibrium(NET, nudging), nudging)
    expected = (least + 0.5 * temperature * (nudged - free)) / nudging
    assert np.real(pc.thermal_objective(NET, nudging, temperature)) == pytest.approx(expected)
    assert free == pytest.approx(0.0, abs=1e-12)


@pytest.mark.statistical
def test_predictive_coding_is_what_langevin_samples():
    net, nudging = pc.Instance(CHAIN.weights[1:], CHAIN.inputs, CHAIN.target), 0.5
    model, scale = pc.as_model(net, nudging, 0.2)
    np.testing.assert_allclose(
        np.linalg.solve(np.eye(2) - model.couplings, model.bias) / scale, np.ravel(pc.equilibrium(net, nudging)[1:])
    )
    drawn = sample(model, dynamics="langevin", leak=0.1, steps=600, replicas=4000, seed=3)
    error = np.abs(drawn.mean / scale - np.ravel(pc.equilibrium(net, nudging)[1:]))
    assert (error < LIMIT * drawn.standard_error / scale).all()
