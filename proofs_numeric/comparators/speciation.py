"""Complexity-based speciation: a genotype of the networks, species by hidden units, and the mean field as fitness.

Main results: thm:G12, thm:G12b.

A small restatement, no reproduction of a benchmark; it tests no theorem of equilibrium propagation, only that networks can be
written down, grouped and ranked by what thm:B6 bounds. A genome is a row of genes read from left to right with a stack:

    coupling (source, J): push;    neuron (b): pop all that was pushed, they couple it to earlier neurons;

a network of V visible and H hidden units, the hidden ones last, has V + H neuron genes and a coupling gene for every J_ij ≠ 0.
Species H holds all networks with H hidden units. Hadjiivanov & Blair 2020 (arXiv:2010.05176), whose genotype has no redundancy,
marks recurrent connections and is evaluated with a stack; here every coupling is recurrent, being symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dynamics.enumeration import exact_law
from meanfield import bounds
from meanfield.equations import SUP_CURVATURE
from meanfield.model import FloatArray, Model, QuadraticCost
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars

EPS = float(np.finfo(float).eps)
MAX_HIDDEN = 6


class Coupling(NamedTuple):
    """J between the next neuron and an earlier one, `source`."""

    source: int
    strength: float


class Neuron(NamedTuple):
    """A unit with its bias; the couplings since the last neuron are its own."""

    bias: float


class Genotype(NamedTuple):
    """A genome with the number of visible units, which come first, and the temperature."""

    visible: int
    temperature: float
    genes: tuple[Coupling | Neuron, ...]

    @property
    def hidden(self) -> int:
        """H, the species."""
        return sum(isinstance(gene, Neuron) for gene in self.genes) - self.visible


def encode(model: Model, visible: int) -> Genotype:
    """The genome of a network whose first `visible` units are visible: one gene a unit, one a nonzero coupling. Paper: thm:G12."""
    if not 0 <= visible <= model.size:
        raise ValueError(f"visible must lie between 0 and the {model.size} units of the network, got {visible}")
    genes: list[Coupling | Neuron] = []
    for unit in range(model.size):
        row = model.couplings[unit, :unit]
        genes += [Coupling(int(source), float(row[source])) for source in np.flatnonzero(row)]
        genes.append(Neuron(float(model.bias[unit])))
    return Genotype(visible, model.temperature, tuple(genes))


def decode(genotype: Genotype) -> Model:
    """The network of a genome, read with a stack. Raises ValueError where a coupling has no neuron or no earlier source."""
    biases: list[float] = []
    edges: list[tuple[int, int, float]] = []
    stack: list[Coupling] = []
    for gene in genotype.genes:
        if isinstance(gene, Coupling):
            stack.append(gene)
            continue
        while stack:
            coupling = stack.pop()
            if not 0 <= coupling.source < len(biases):
                raise ValueError(
                    f"coupling of unit {len(biases)} to {coupling.source}: its source must be an earlier unit"
                )
            edges.append((coupling.source, len(biases), coupling.strength))
        biases.append(gene.bias)
    if stack:
        raise ValueError(f"{len(stack)} coupling(s) at the genome's end belong to no neuron: end it with a neuron")
    couplings = np.zeros((len(biases), len(biases)))
    for source, unit, strength in edges:
        couplings[source, unit] = couplings[unit, source] = strength
    return Model(couplings, biases, genotype.temperature)


def renumbered(model: Model, order: ArrayLike) -> Model:
    """The network whose unit k is unit order[k] of `model`."""
    chosen = np.asarray(order)
    return Model(model.couplings[np.ix_(chosen, chosen)], model.bias[chosen], model.temperature)


def canonical(genotype: Genotype) -> Genotype:
    """The least genome over all orders of the hidden units, equal for two networks that differ by such an order alone; H ≤ 6.

    Compared as rows of numbers; (H)! genomes are looked at. Raises ValueError for more hidden units.
    """
    if genotype.hidden > MAX_HIDDEN:
        raise ValueError(f"{genotype.hidden} hidden units have too many orders to compare, the limit is {MAX_HIDDEN}")
    model, visible = decode(genotype), genotype.visible
    shown = list(range(visible))
    candidates = (
        encode(renumbered(model, [*shown, *rest]), visible) for rest in permutations(range(visible, model.size))
    )
    return min(candidates, key=lambda one: [(isinstance(gene, Neuron), *gene) for gene in one.genes])


def species(genotypes: Sequence[Genotype]) -> dict[int, list[int]]:
    """The indices of the genomes by their number of hidden units: a partition. Paper: thm:G12."""
    groups: dict[int, list[int]] = {}
    for index, genotype in enumerate(genotypes):
        groups.setdefault(genotype.hidden, []).append(index)
    return groups


def mean_field_error(model: Model) -> float:
    """max_i |E z_i − m*_i| under exp(−E/T), by enumeration: minus the fitness of the width search."""
    mean = fixed_point(model, method="newton").value
    return float(np.abs(exact_law(model).mean - mean).max())


def species_error(size: int, gain: float) -> float:
    """max_i |E z_i − m*_i| ≤ 2M₂g²/((1 − g)((N − 1)(1 − g) + g)) when all |J_ij| ≤ 4Tg/(N − 1), g < 1; 0 for one unit: as the
    species grows at one g, its members' error falls like 1/N. Paper: thm:G12.
    """
    return 0.0 if size < 2 else 2 * SUP_CURVATURE * gain**2 / ((1 - gain) * ((size - 1) * (1 - gain) + gain))


def uniform_gain(model: Model) -> float:
    """g = (N − 1) max|J_ij|/(4T), at least κ_∞."""
    return (model.size - 1) * float(np.abs(model.couplings).max()) / (4 * model.temperature)


class Champion(NamedTuple):
    """The fittest individual: its place in the population and its error; and the least error of every species."""

    individual: int
    error: float
    records: dict[int, float]


def width_search(genotypes: Sequence[Genotype]) -> Champion:
    """The individual of least mean-field error, and each species' record."""
    errors = [mean_field_error(decode(genotype)) for genotype in genotypes]
    records = {hidden: min(errors[k] for k in members) for hidden, members in species(genotypes).items()}
    best = int(np.argmin(errors))
    return Champion(best, errors[best], records)


def selection_regret(models: Sequence[Model], costs: Sequence[QuadraticCost]) -> FloatArray:
    """Bounds B_k of |E C_k(z) − C̄_k(m*)|, B = Σ_o|c_o| gibbs_mean_error_o: who is chosen by mean-field costs is worse than the best
    by at most the sum of their two bounds. Holds when κ_a < 1. Paper: thm:G12b.
    """
    pairs = zip(models, costs, strict=True)
    return np.array(
        [np.abs(cost.force(model.size, "spikes")[1]) @ bounds.gibbs_mean_error(model) for model, cost in pairs]
    )


PEAK = math.log(2 + math.sqrt(3))
# a unit at the peak of |σ''| with a neighbour, or two, at ½
WEAK_PAIR = {"model": ([[0.0, 0.01], [0.01, 0.0]], [PEAK - 0.005, -0.01 * 0.789], 1.0), "gain": 0.0025, "seed": 1}
WEAK_STAR = {
    "model": ([[0.0, 0.01, 0.01], [0.01, 0.0, 0.0], [0.01, 0.0, 0.0]], [PEAK - 0.01, -0.00789, -0.00789], 1.0),
    "gain": 0.005,
    "seed": 1,
}
STRONG_PAIR = {"model": ([[0.0, 3.6], [3.6, 0.0]], [-1.5, -1.5], 1.0), "gain": 0.9, "seed": 1}
SPARSE = {
    "model": ([[0.0, 0.0, 1.0], [0.0, 0.0, 0.5], [1.0, 0.5, 0.0]], [0.1, -0.2, 0.3], 1.0),
    "gain": 0.5,
    "seed": 0,
}


@claim(
    label="G12",
    title="genotypes, species by hidden units, and the fitness of a species",
    kind="inequality",
    hypotheses="any network with J = Jᵀ; hidden units renumbered among themselves; |J_ij| ≤ 4Tg/(N - 1), g < 1, for the bound",
    norm="row",
    domain=model_scalars(7, gain=Interval(0.02, 0.88)),
    falsifiers=(
        Falsifier("constant × 0.9", WEAK_PAIR),
        Falsifier("error O(1/N²)", WEAK_STAR),
        Falsifier("both 1 − g dropped", STRONG_PAIR),
        Falsifier("every genome is canonical", SPARSE),
        Falsifier("a gene for every pair", SPARSE),
        Falsifier("visible units renumbered too", SPARSE, drops="hidden units among themselves"),
    ),
    search=False,
    instances=150,
)
def genotypes_and_species(model: Model, gain: float, seed: int, mutation: str | None = None) -> Evidence:
    """decode ∘ encode and encode ∘ decode are identities; N + |edges| genes, none of which can be left out; canonical genomes are
    equal iff the networks differ by the order of hidden units; species partition any population and, like the error, do not
    see that order; max_i |E z_i − m*_i| ≤ 2M₂g²/((1 − g)((N − 1)(1 − g) + g)).
    """
    generator = np.random.default_rng([seed, 97])
    size, reach = model.size, uniform_gain(model)
    if reach > 0:
        model = Model(model.couplings * (gain / reach), model.bias, model.temperature)
    # at most four hidden units, whose 24 orders are compared
    visible = int(generator.integers(max(0, size - 4), size + 1))
    if mutation in ("visible units renumbered too", "every genome is canonical"):
        visible = size - 1 if mutation == "visible units renumbered too" else 1
    genotype = encode(model, visible)
    again = decode(genotype)
    order = np.concatenate([np.arange(visible), visible + generator.permutation(size - visible)])
    if mutation == "visible units renumbered too":
        order = np.arange(size)[::-1]
    other = renumbered(model, order)
    if mutation == "every genome is canonical":
        other = renumbered(model, [0, 2, 1])
    same = encode(other, visible)
    least = (genotype, same) if mutation == "every genome is canonical" else (canonical(genotype), canonical(same))
    nudged = Model(model.couplings, model.bias + model.temperature * np.eye(size)[-1], model.temperature)
    edges = size * (size - 1) // 2 if mutation == "a gene for every pair" else np.count_nonzero(model.couplings) // 2
    flaws = [
        np.count_nonzero(again.couplings != model.couplings) + np.count_nonzero(again.bias != model.bias),
        encode(again, visible) != genotype,
        abs(len(genotype.genes) - size - edges),
        sum(_spare(genotype, model, index) for index in range(len(genotype.genes))),
        least[0] != least[1],
        canonical(encode(nudged, visible)) == least[0],
        _partition_flaws([genotype, same, encode(nudged, visible), encode(Model([[0.0]], [0.0]), 0)]),
    ]
    error, bound = mean_field_error(model), species_error(size, uniform_gain(model))
    if mutation == "error O(1/N²)":
        bound /= size - 1
    if mutation == "both 1 − g dropped":
        bound = species_error(size, 1e-9) * (gain / 1e-9) ** 2
    slack = 1e3 * EPS * size / (1 - gain)
    measured = [*map(float, flaws), abs(mean_field_error(other) - error), error]
    return Evidence(
        measured,
        [*np.zeros(len(flaws) + 1), bound],
        [*np.zeros(len(flaws)), slack, slack],
        ceiling=[*np.full(len(flaws) + 1, np.inf), 1.0],
    )


def _spare(genotype: Genotype, model: Model, index: int) -> bool:
    """Whether the network is still the same, and complete, without one gene."""
    try:
        found = decode(genotype._replace(genes=genotype.genes[:index] + genotype.genes[index + 1 :]))
    except ValueError:
        return False
    return found.size == model.size and bool((found.couplings == model.couplings).all())


def _partition_flaws(genotypes: Sequence[Genotype]) -> int:
    """How many individuals are not in exactly one species, or not in that of their hidden units."""
    groups = species(genotypes)
    places = [[hidden for hidden, members in groups.items() if k in members] for k in range(len(genotypes))]
    return sum(place != [decode(one).size - one.visible] for place, one in zip(places, genotypes, strict=True))


@claim(
    label="G12b",
    title="selection by the mean field",
    kind="inequality",
    hypotheses="κ_a < 1 for every individual; cost on spikes, mean-field cost C̄",
    norm="absolute",
    domain=model_scalars(6, gain=Interval(0.02, 0.9)),
    falsifiers=(
        Falsifier("constant × 0.9", {"model": WEAK_PAIR["model"], "seed": 15}),
        Falsifier("the rates' cost", {"model": WEAK_PAIR["model"], "seed": 15}),
        Falsifier("the winner's bound alone", {"model": WEAK_PAIR["model"], "seed": 15}),
    ),
    search=False,
    instances=150,
)
def selection_by_the_mean_field(model: Model, seed: int, mutation: str | None = None) -> Evidence:
    """|E C − C̄(m*)| ≤ B = Σ_o |c_o| gibbs_mean_error_o; the expected cost of the individual of least C̄ is above the least one by at
    most B_chosen + B_best − (C̄_best − C̄_chosen).
    """
    generator = np.random.default_rng([seed, 98])
    outputs = generator.permutation(model.size)[: generator.integers(1, model.size + 1)]
    cost = QuadraticCost(outputs, generator.uniform(size=outputs.size))
    other = Model(0.5 * model.couplings, model.bias + model.temperature, model.temperature)
    models, costs = [model, other], [cost, cost]
    pairs = [_costs(one, each) for one, each in zip(models, costs, strict=True)]
    rival, aim = _rival(sum(pairs[0]) / 2, len(outputs))
    models, costs = [*models, rival], [*costs, aim]
    exact, assumed = np.array([*pairs, _costs(rival, aim)]).T
    limits = selection_regret(models, costs)
    if mutation == "the rates' cost":
        rates = [fixed_point(one, method="newton").value for one in models]
        assumed = np.array([each.on_rates(rate) for rate, each in zip(rates, costs, strict=True)])
    chosen, best = int(assumed.argmin()), int(exact.argmin())
    lead = assumed[best] - assumed[chosen]
    allowed = limits[chosen] + (0.0 if mutation == "the winner's bound alone" else limits[best]) - lead
    if chosen == best:
        allowed = 0.0
    spread = [float(np.abs(each.force(one.size, "spikes")[1]).sum()) for one, each in zip(models, costs, strict=True)]
    slack = 1e3 * EPS * model.size / (1 - model.absolute_gain)
    return Evidence(
        [*np.abs(exact - assumed), exact[chosen] - exact[best]],
        [*limits, allowed],
        slack,
        ceiling=[*spread, max(spread)],
    )


def _costs(model: Model, cost: QuadraticCost) -> tuple[float, float]:
    """(E C(z), C̄(m*))."""
    mean = fixed_point(model, method="newton").value
    return float(cost.on_mean_spikes(exact_law(model).mean)), float(cost.on_mean_spikes(mean))


def _rival(cost: float, outputs: int) -> tuple[Model, QuadraticCost]:
    """Uncoupled units with targets 1 whose cost, known exactly, is `cost`: it comes between a network's two costs."""
    rate = min(max(1 - 2 * cost / outputs, 1e-9), 1 - 1e-9)
    field = math.log(rate / (1 - rate))
    return Model(np.zeros((outputs, outputs)), np.full(outputs, field)), QuadraticCost(range(outputs), np.ones(outputs))
