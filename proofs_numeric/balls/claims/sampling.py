"""Family B, spikes, decided in balls: thm:B1, thm:B2, thm:B3, thm:B6, thm:B7, thm:B7b on at most three units."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb

from meanfield.model import Model
from proofs_numeric.balls import bounds
from proofs_numeric.balls.arithmetic import Balls, each, exact, identity, largest
from proofs_numeric.balls.claims.mean_field import falsifiers, rows, small, vanishing
from proofs_numeric.balls.fixed_points import certify_fixed_point
from proofs_numeric.balls.models import BallModel, Law, law, variance
from proofs_numeric.claims.sampling import random_colours, without_lateral_links
from proofs_numeric.rigorous import Enclosures, rigorous


def parallel_chain(model: Model, one: Law) -> Balls:
    """Little's transition matrix, states in the order of the law."""
    chance = BallModel.of(model).probability(one.states)[:, None, :]
    after = one.states[None, :, :]
    return np.prod(after * chance + (1 - after) * (1 - chance), axis=2)


def glauber_chain(model: Model, one: Law) -> Balls:
    """Random-scan Glauber's transition matrix; unit i is bit i of a state's place in the law."""
    size, places = model.size, np.arange(len(one.states))
    chance = BallModel.of(model).probability(one.states)
    chain = exact(np.zeros((len(places), len(places))))
    for unit in range(size):
        on = places | (1 << unit)
        chain[places, on] = chain[places, on] + chance[:, unit] / size
        off = places & ~(1 << unit)
        chain[places, off] = chain[places, off] + (1 - chance[:, unit]) / size
    return chain


@rigorous("B1", domain=small("B1"), falsifiers=falsifiers("B1", "Little reversible for exp(−E/T)"))
def samplers_and_their_laws(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
    """Detailed balance of random-scan Glauber for exp(−E/T) and of Little for Peretto's law."""
    gibbs, little = law(model), law(model, dynamics="little")
    stated = gibbs if mutation is not None else little
    flows = (
        gibbs.probabilities[:, None] * glauber_chain(model, gibbs),
        stated.probabilities[:, None] * parallel_chain(model, little),
    )
    return vanishing(*(flow - flow.T for flow in flows))


@rigorous("B2", domain=small("B2"), falsifiers=falsifiers("B2", "exp(bᵀz/T) dropped", "Gibbs' law"))
def littles_law(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
    """Peretto's law is stationary under parallel updates, and (z(t), z(t+1)) ∝ exp((bᵀz + bᵀz' + zᵀJz')/T)."""
    balls, little = BallModel.of(model), law(model, dynamics="gibbs" if mutation == "Gibbs' law" else "little")
    states, probabilities = little.states, little.probabilities
    drift = states @ balls.bias / balls.temperature
    if mutation == "exp(bᵀz/T) dropped":
        probabilities = probabilities * each(arb.exp, -drift)
        probabilities = probabilities / probabilities.sum()
    chain = parallel_chain(model, little)
    joint = each(arb.exp, drift[:, None] + drift[None, :] + states @ balls.couplings @ states.T / balls.temperature)
    return vanishing(probabilities @ chain - probabilities, probabilities[:, None] * chain - joint / joint.sum())


def _covariance_rows(one: Law, matrix: Balls, stated: Balls) -> list[tuple[Any, Any]]:
    """|Cov| off the diagonal against the bound with the law's own variances, and against the one of J, b, T alone."""
    off = ~np.eye(len(matrix), dtype=bool)
    local = bounds.spread_bound(matrix, variance(one.mean))
    measured = abs(one.covariance)[off]
    return [(measured, local[off]), (measured, stated[off])]


@rigorous(
    "B3", domain=small("B3"),
    falsifiers=falsifiers("B3", "constant × 0.9", "C = tanh(|J|/8T)", "Little's D' = (I − C²)⁻¹"),
)  # fmt: skip
def gibbs_covariance(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
    """|Cov(z_i,z_j)| ≤ min(v_i,v_j)D_ij/max(D_ii,D_jj), and one flipped neighbour moves all p_i by ‖C‖_∞ together."""
    influence = bounds.influence(model)
    if mutation == "C = tanh(|J|/8T)":
        influence = each(arb.tanh, abs(exact(model.couplings)) / (8 * arb(model.temperature)))
    matrix = influence @ influence if mutation == "Little's D' = (I − C²)⁻¹" else influence
    gibbs = law(model)
    parts = _covariance_rows(gibbs, matrix, bounds.covariance(model))
    chance, places = BallModel.of(model).probability(gibbs.states), np.arange(len(gibbs.states))
    apart = [abs(chance[places ^ (1 << unit)] - chance).sum(axis=1) for unit in range(model.size)]
    return rows(*parts, (largest(np.array(apart, dtype=object)), largest(influence.sum(axis=1))))


@rigorous(
    "B6", domain=small("B6"),
    falsifiers=falsifiers("B6", "constant × 0.9", "T⁻³", "T⁻¹", "(I − |J|/4T)⁻¹ dropped"),
)  # fmt: skip
def gibbs_means(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
    """|E z − m*| against the bound, m* certified."""
    error = abs(law(model).mean - certify_fixed_point(model, bits=bits).mean)
    return rows((error, _mutated(bounds.gibbs_mean_error(model), model, mutation)))


def _mutated(stated: Balls, model: Model, mutation: str | None) -> Balls:
    temperature = arb(model.temperature)
    if mutation == "(I − |J|/4T)⁻¹ dropped":
        return (identity(model.size) - abs(exact(model.couplings)) / (4 * temperature)) @ stated
    return stated * {"T⁻³": 1 / temperature, "T⁻¹": temperature}.get(mutation or "", 1)


@rigorous("B7", domain=small("B7"), falsifiers=falsifiers("B7", "constant × 0.9", "I in place of D'", "T⁻³"))
def little_means(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
    """Little's covariances and means against their bounds, m* certified."""
    little, influence = law(model, dynamics="little"), bounds.influence(model)
    matrix = 0 * influence if mutation == "I in place of D'" else influence @ influence
    error = abs(little.mean - certify_fixed_point(model, bits=bits).mean)
    stated = _mutated(bounds.little_mean_error(model), model, mutation)
    return rows((error, stated), *_covariance_rows(little, matrix, bounds.little_covariance(model)))


@rigorous(
    "B7b", domain=small("B7b"),
    falsifiers=falsifiers("B7b", "same-time product across layers", "lagged product within a layer"),
)  # fmt: skip
def little_on_layers(
    model: Model, seed: int, bits: int, colours: list[int] | None = None, mutation: str | None = None
) -> Enclosures:
    """Same-time and lagged pair products of Little's chain on two classes without inner links, against Gibbs'."""
    classes = random_colours(model, seed) if colours is None else np.asarray(colours)
    layered = without_lateral_links(model, classes)
    gibbs, little = law(layered), law(layered, dynamics="little")
    joint = little.probabilities[:, None] * parallel_chain(layered, little)
    lagged = little.states.T @ joint @ little.states
    same_time = (little.states * little.probabilities[:, None]).T @ little.states
    pairs = (gibbs.states * gibbs.probabilities[:, None]).T @ gibbs.states
    independent = np.outer(gibbs.mean, gibbs.mean)
    across = classes[:, None] != classes[None, :]
    within = ~across & ~np.eye(model.size, dtype=bool)
    same_across = pairs if mutation == "same-time product across layers" else independent
    lagged_within = pairs if mutation == "lagged product within a layer" else independent
    return vanishing(
        little.mean - gibbs.mean, (same_time - same_across)[across], (lagged - pairs)[across],
        (lagged - lagged_within)[within], (same_time - pairs)[within],
    )  # fmt: skip
