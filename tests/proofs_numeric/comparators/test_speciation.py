"""Genomes, species and their fitness."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dynamics import exact_law
from meanfield import HypothesisError, Model, QuadraticCost, bounds, fixed_point
from proofs_numeric.comparators import speciation as sp

pytestmark = pytest.mark.exact

SPARSE = Model(
    [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.5, -2.0], [1.0, 0.5, 0.0, 0.0], [0.0, -2.0, 0.0, 0.0]],
    [0.1, -0.2, 0.3, 0.0],
    0.7,
)


def test_the_genome_of_a_small_network():
    genotype = sp.encode(SPARSE, 1)
    assert genotype == sp.Genotype(
        1,
        0.7,
        (
            sp.Neuron(0.1),
            sp.Neuron(-0.2),
            sp.Coupling(0, 1.0),
            sp.Coupling(1, 0.5),
            sp.Neuron(0.3),
            sp.Coupling(1, -2.0),
            sp.Neuron(0.0),
        ),
    )
    assert genotype.hidden == 3


def test_a_genome_is_read_back_bit_for_bit(network):
    for seed in range(20):
        model = network(1 + seed % 7, 0.5, 0.3, seed, layered=seed % 2 == 0)
        again = sp.decode(sp.encode(model, seed % (model.size + 1)))
        assert (again.couplings == model.couplings).all()
        assert (again.bias == model.bias).all()
        assert again.temperature == model.temperature


def test_the_order_of_a_neurons_couplings_does_not_matter_to_the_stack():
    genes = list(sp.encode(SPARSE, 1).genes)
    genes[2], genes[3] = genes[3], genes[2]
    np.testing.assert_array_equal(sp.decode(sp.Genotype(1, 0.7, tuple(genes))).couplings, SPARSE.couplings)


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ((sp.Neuron(0.0), sp.Coupling(0, 1.0)), "belong to no neuron"),
        ((sp.Coupling(0, 1.0), sp.Neuron(0.0)), "source must be an earlier unit"),
        ((sp.Neuron(0.0), sp.Coupling(-1, 1.0), sp.Neuron(0.0)), "to -1"),
    ],
)
def test_a_genome_that_names_no_network_is_refused(genes, message):
    with pytest.raises(ValueError, match=message):
        sp.decode(sp.Genotype(0, 1.0, genes))


def test_more_visible_units_than_there_are_is_refused():
    with pytest.raises(ValueError, match="visible must lie between 0 and the 4 units"):
        sp.encode(SPARSE, 5)
    assert sp.encode(SPARSE, 4).hidden == 0


def test_canonical_genomes_know_networks_up_to_the_order_of_hidden_units():
    least = sp.canonical(sp.encode(SPARSE, 1))
    for order in itertools.permutations([1, 2, 3]):
        other = sp.renumbered(SPARSE, [0, *order])
        assert sp.canonical(sp.encode(other, 1)) == least
        assert sp.mean_field_error(other) == pytest.approx(sp.mean_field_error(SPARSE), abs=1e-12)
    assert sp.canonical(sp.encode(sp.renumbered(SPARSE, [2, 1, 0, 3]), 1)) != least
    assert sp.canonical(least) == least


def test_too_many_orders_are_refused():
    with pytest.raises(ValueError, match="7 hidden units"):
        sp.canonical(sp.encode(Model(np.zeros((7, 7)), np.zeros(7)), 0))


def test_renumbering_moves_rows_and_columns_together():
    other = sp.renumbered(SPARSE, [3, 2, 1, 0])
    np.testing.assert_array_equal(other.bias, SPARSE.bias[::-1])
    np.testing.assert_array_equal(other.couplings, SPARSE.couplings[::-1, ::-1])
    assert other.temperature == 0.7


def test_species_are_told_by_hidden_units():
    population = [sp.encode(SPARSE, shown) for shown in (1, 4, 2, 1)]
    assert sp.species(population) == {3: [0, 3], 0: [1], 2: [2]}


def test_fitness_is_the_distance_of_the_mean_field():
    expected = np.abs(exact_law(SPARSE).mean - fixed_point(SPARSE).value).max()
    assert sp.mean_field_error(SPARSE) == pytest.approx(expected, abs=1e-10)


def test_width_search_finds_the_least_error_and_each_species_record():
    models = [Model([[0.0, w], [w, 0.0]], [0.4, -0.9]) for w in (1.5, 0.5, 1.0)]
    population = [sp.encode(model, shown) for model, shown in zip(models, (0, 1, 1), strict=True)]
    found = sp.width_search(population)
    errors = [sp.mean_field_error(model) for model in models]
    assert found.individual == 1
    assert found.error == min(errors)
    assert found.records == {2: errors[0], 1: errors[1]}


def test_the_species_bound_is_attained_by_weak_couplings_at_the_bend():
    peak = math.log(2 + math.sqrt(3))
    for leaves in (1, 3):
        weight = 1e-3
        couplings = np.zeros((leaves + 1, leaves + 1))
        couplings[0, 1:] = couplings[1:, 0] = weight
        model = Model(couplings, [peak - leaves * weight / 2] + [-weight / (1 + math.exp(-peak))] * leaves)
        gain = sp.uniform_gain(model)
        assert gain == pytest.approx(leaves * weight / 4)
        assert sp.mean_field_error(model) / sp.species_error(leaves + 1, gain) == pytest.approx(1, abs=0.01)


def test_the_species_bound_is_never_below_the_networks_own(network):
    for seed in range(30):
        model = network(2 + seed % 5, 0.3, 0.0, seed, norm="row")
        gain = sp.uniform_gain(model)
        if gain < 1:
            assert (bounds.gibbs_mean_error(model) <= sp.species_error(model.size, gain) * (1 + 1e-12)).all()
    assert sp.species_error(1, 0.5) == 0.0


def test_regret_is_bounded_by_the_means_of_the_outputs():
    cost = QuadraticCost([2, 0], [0.9, 0.2])
    weak = Model(0.2 * SPARSE.couplings, SPARSE.bias, 0.7)
    errors = bounds.gibbs_mean_error(weak)
    np.testing.assert_allclose(sp.selection_regret([weak, weak], [cost, cost]), [0.4 * errors[2] + 0.3 * errors[0]] * 2)
    with pytest.raises(HypothesisError):
        sp.selection_regret([Model(4 * SPARSE.couplings, SPARSE.bias, 0.7)], [cost])
