"""Norms and spectra found without the matrix are those of the dense twin's."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.crnn.architecture import Architecture, Conv, Dense
from dynamics.crnn.spectra import Bracket, Drives, chain_norm, convolution_norm, neumann, spectral_radius
from tests.dynamics.crnn import stacks
from tests.dynamics.crnn.stacks import architectures

SMALL = Architecture((1, 6, 6), (Conv(3, 3, padding=1, pool=2), Conv(4, 2), Dense(3)))


@pytest.mark.exact
@settings(max_examples=25)
@given(architectures(), st.integers(0, 2**16))
def test_drives_are_products_with_the_twins_matrices_both_up_and_down(architecture, seed):
    net = stacks.network(architecture, seed)
    drives, couplings = Drives(net), net.couplings
    np.testing.assert_allclose(4 * drives.temperatures * drives.root**2, 1.0, rtol=1e-14)
    vectors = np.random.default_rng(seed).normal(size=(3, architecture.units))
    for kind, matrix in (("signed", couplings), ("absolute", np.abs(couplings)), ("squared", couplings**2)):
        np.testing.assert_allclose(drives.apply(kind, vectors), vectors @ matrix, rtol=1e-10, atol=1e-10)


@pytest.mark.exact
def test_a_power_iteration_stopped_early_still_brackets_and_is_no_upper_bound_itself():
    """The falsifier: the Rayleigh quotient of a few steps lies below ρ, where the bracket's upper end never does."""
    matrix = np.abs(stacks.network(SMALL, 1).couplings)
    truth = np.linalg.eigvalsh(matrix).max()
    brackets = [spectral_radius(lambda v: matrix @ v, len(matrix), steps=steps) for steps in (1, 3, 10, 300)]
    assert [one.high for one in brackets] == sorted((one.high for one in brackets), reverse=True)
    assert [one.low for one in brackets] == sorted(one.low for one in brackets)
    assert all(one.low <= truth * (1 + 1e-12) and truth <= one.high * (1 + 1e-12) for one in brackets)
    vector = matrix @ np.ones(len(matrix))
    quotient = vector @ matrix @ vector / (vector @ vector)
    assert quotient < 0.999 * truth
    assert brackets[-1].high - brackets[-1].low < 1e-6 * truth


@pytest.mark.exact
def test_the_bracket_knows_disconnected_and_silent_parts():
    matrix = np.zeros((5, 5))
    matrix[0, 1] = matrix[1, 0] = 2.0
    matrix[2, 3] = matrix[3, 2] = 0.5
    found = spectral_radius(lambda v: matrix @ v, 5)
    assert found.low <= 2.0 * (1 + 1e-12)
    assert found.high >= 2.0 * (1 - 1e-12)
    matrix[2, 3] = matrix[3, 2] = 0.0
    found = spectral_radius(lambda v: matrix @ v, 5)
    # silent units must not hide that the rest is beyond the limit
    assert found.below(1.0) == "fails"
    assert (found.low, found.high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert spectral_radius(lambda v: 0.0 * v, 3) == Bracket(0.0, 0.0)


@pytest.mark.exact
def test_the_neumann_series_is_the_inverse_within_its_stated_rest():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(8, 8))
    matrix = np.abs(matrix + matrix.T)
    for gain in (0.3, 0.9, 0.999):
        scaled = gain * matrix / np.linalg.norm(matrix, 2)
        source = generator.random(8)
        total, rest = neumann(lambda v, a=scaled: a @ v, source, gain)
        exact = np.linalg.solve(np.eye(8) - scaled, source)
        assert np.linalg.norm(total - exact) <= rest + 1e-12 * np.linalg.norm(exact)
        np.testing.assert_allclose(total, exact, rtol=1e-7)


@pytest.mark.exact
def test_verdicts_say_what_is_proven_and_what_is_estimated():
    assert Bracket(0.2, 0.9).below(1.0) == "holds"
    assert Bracket(1.0, 3.0, 2.0).below(1.0) == "fails"
    assert Bracket(0.2, 3.0, 0.5).below(1.0) == "holds by estimate"
    assert Bracket(0.2, 3.0, 1.5).below(1.0) == "fails by estimate"
    assert Bracket(0.2, 3.0).below(1.0) == "undecided"


@pytest.mark.exact
def test_of_several_brackets_all_must_be_below_and_one_beyond_is_enough():
    sure, likely, open_end = Bracket(0.1, 0.9, 0.5), Bracket(0.8, 1.2, 0.85), Bracket(0.3, 1.5)
    assert Bracket.of_all([sure, likely]) == Bracket(0.8, 1.2, 0.85)
    assert Bracket.of_all([sure, likely]).below(1.0) == "holds by estimate"
    # the largest estimate is not that of the largest proven end
    assert Bracket.of_all([Bracket(0.1, 2.0, 0.2), Bracket(0.7, 1.3, 1.1)]).below(1.0) == "fails by estimate"
    assert Bracket.of_all([sure, Bracket(1.0, 4.0, 2.0), likely]).below(1.0) == "fails"
    assert Bracket.of_all([sure, open_end]) == Bracket(0.3, 1.5)
    assert Bracket.of_all([sure, sure]).below(1.0) == "holds"


@pytest.mark.parametrize("ends", [(1.0, 0.5), (float("nan"), 1.0)])
def test_a_bracket_with_its_ends_crossed_is_refused(ends):
    with pytest.raises(ValueError, match=r"a bracket needs low ≤ high, got \[.*\]: give the lower end first"):
        Bracket(*ends)


@pytest.mark.exact
@settings(max_examples=40)
@given(architectures(), st.integers(0, 2**16))
def test_block_norms_are_above_those_of_the_dense_twin_and_theirs_for_dense_layers(architecture, seed):
    net = stacks.network(architecture, seed)
    scale = np.random.default_rng(seed).uniform(0.1, 2.0, architecture.units)
    found, places = Drives(net).block_norms(scale), architecture.places
    scaled = scale[:, None] * net.couplings * scale
    for norm, layer, below, above in zip(found, architecture.layers[1:], places[:-1], places[1:], strict=True):
        exact = np.linalg.norm(scaled[above, below], 2)
        assert exact <= norm * (1 + 1e-12)
        if isinstance(layer, Dense):
            assert norm == pytest.approx(exact, rel=1e-8)


@pytest.mark.exact
def test_each_channel_has_the_scale_of_its_largest_place():
    net = stacks.network(Architecture((1, 3, 3), (Conv(2, 1), Conv(3, 2)), classes=2), 0)
    scale = np.random.default_rng(1).uniform(0.1, 2.0, net.architecture.units)
    most = np.concatenate(
        [np.tile(part.max(axis=0), len(part)) for part in (scale[:18].reshape(9, 2), scale[18:].reshape(4, 3))]
    )
    drives = Drives(net)
    assert drives.block_norms(scale) == pytest.approx(drives.block_norms(most), rel=1e-12)
    assert drives.block_norms(scale) < drives.block_norms(np.full(scale.size, scale.max()))


@pytest.mark.exact
@settings(max_examples=30)
@given(architectures(), st.integers(0, 2**16))
def test_the_norm_of_couplings_at_any_scale_lies_in_its_bracket(architecture, seed):
    net = stacks.network(architecture, seed)
    scale = np.random.default_rng(seed).uniform(0.1, 2.0, architecture.units)
    norm, largest = Drives(net).norm(scale)
    eigenvalues = np.linalg.eigvalsh(scale[:, None] * net.couplings * scale)
    slack = 1e-12 * np.abs(eigenvalues).max()
    assert norm.low - slack <= np.abs(eigenvalues).max() <= norm.high + slack
    assert largest.low - slack <= eigenvalues[-1] <= largest.high + slack
    assert norm.estimate == pytest.approx(np.abs(eigenvalues).max(), abs=1e-8)
    absolute = np.linalg.eigvalsh(scale[:, None] * np.abs(net.couplings) * scale)[-1]
    assert norm.high <= absolute * (1 + 1e-6) + slack


@pytest.mark.exact
@pytest.mark.parametrize(
    ("kernel", "stride", "places"), [(1, 1, 4), (3, 1, 6), (2, 2, 3), (5, 2, 4), (3, 3, 2), (2, 3, 3)]
)
def test_a_convolutions_norm_is_bounded_closely_by_its_kernels_fourier_transform(kernel, stride, places):
    weights = np.random.default_rng(kernel).normal(size=(kernel, kernel, 2, 3))
    side = (places - 1) * stride + kernel
    matrix = np.zeros((places, places, 3, side, side, 2))
    for y in range(places):
        for x in range(places):
            window = np.s_[y * stride : y * stride + kernel, x * stride : x * stride + kernel]
            matrix[y, x][:, *window] = weights.transpose(3, 0, 1, 2)
    exact = np.linalg.norm(matrix.reshape(places * places * 3, -1), 2)
    found = convolution_norm(weights, stride, (places, places))
    assert exact <= found <= 1.4 * exact
    if kernel <= stride:
        # windows that do not overlap: every one has the kernel's own norm
        assert found == pytest.approx(exact, rel=1e-8)


@pytest.mark.exact
def test_the_torus_is_large_enough_not_to_wrap():
    """One place sees (1, −1): ‖W‖₂ = √2, the kernel's transform is at most 2, and on a torus of one place it would be 1."""
    assert convolution_norm(np.array([1.0, -1.0]).reshape(2, 1, 1, 1), 1, (1, 1)) == pytest.approx(2.0, rel=1e-8)
    assert convolution_norm(np.array([1.0, -1.0]).reshape(1, 2, 1, 1), 1, (1, 1)) == pytest.approx(2.0, rel=1e-8)


@pytest.mark.exact
@pytest.mark.parametrize("layer", [Conv(2, 3, padding=1, pool=2), Conv(2, 2, stride=2, pool=2), Conv(2, 2, stride=2)])
def test_pooled_and_strided_blocks_are_bounded_closely(layer):
    net = stacks.network(Architecture((1, 8, 8), (Conv(2, 1), layer), classes=2), 0)
    exact = np.linalg.norm(net.couplings, 2)
    assert exact <= Drives(net).block_norms(np.ones(net.architecture.units))[0] <= 1.05 * exact


@pytest.mark.exact
def test_a_chain_of_blocks_is_no_steeper_than_the_path_of_their_norms():
    assert chain_norm(np.empty(0)) == 0.0
    assert chain_norm(np.array([2.0])) == pytest.approx(2.0, rel=1e-8)
    # a path of three units: ‖(a, b)‖₂
    assert chain_norm(np.array([3.0, 4.0])) == pytest.approx(5.0, rel=1e-8)


@pytest.mark.exact
def test_signs_that_cancel_are_seen_by_the_layers_norms_alone():
    """Hadamard's matrix: ‖W‖ = 2 where ‖|W|‖ = 4."""
    signs = np.array([[1.0, 1.0], [1.0, -1.0]])
    net = stacks.network(Architecture.dense(1, 4, 4), 0)
    net = replace(net, weights=np.concatenate([np.zeros(4), np.kron(signs, signs).ravel()]))
    drives = Drives(net)
    assert spectral_radius(drives.scaled("absolute", np.ones(8)), 8).high == pytest.approx(4.0)
    assert drives.norm_above(np.ones(8)) == pytest.approx(2.0)
