"""Family A decided in balls: thm:A0 to thm:A5b on networks of at most three units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flint import arb

from meanfield.equations import descent_factor
from meanfield.model import Model
from proofs_numeric.balls.arithmetic import Balls, Undecided, exact, floats, spectrum, squared
from proofs_numeric.balls.bounds import gain, lowest_eigenvalue, require_below_one
from proofs_numeric.balls.constants import CONSTANTS, at, derivative, gap_quotient, least_value
from proofs_numeric.balls.fixed_points import certify_fixed_point
from proofs_numeric.balls.models import (
    BallModel,
    Law,
    cost_coefficients,
    free_energy,
    gibbs_law,
    law,
    product_law,
    variance,
)
from proofs_numeric.claim import CLAIMS
from proofs_numeric.claims.mean_field import random_means
from proofs_numeric.instances import Interval, random_cost
from proofs_numeric.rigorous import Enclosures, rigorous

Falsifiers = tuple[tuple[str, Mapping[str, Any], bool], ...]
LARGEST = 3


def small(label: str, largest: int = LARGEST) -> dict[str, Interval]:
    """The claim's own domain with at most `largest` units."""
    domain = dict(CLAIMS[label].domain)
    low = domain["size"].low
    return {**domain, "size": Interval(low, max(low, min(largest, domain["size"].high)), integer=True)}


def falsifiers(label: str, *mutations: str) -> Falsifiers:
    """The named falsifiers of the claim, on their own instances."""
    known = {one.mutation: one for one in CLAIMS[label].falsifiers}
    return tuple((name, known[name].instance, known[name].drops is not None) for name in mutations)


def rows(*parts: tuple[Any, Any]) -> Enclosures:
    """Enclosures from pairs (measured, bound), each a ball, a list or an array."""
    measured, bound = [], []
    for left, right in parts:
        first, second = np.broadcast_arrays(np.asarray(left, dtype=object), np.asarray(right, dtype=object))
        measured += list(first.ravel())
        bound += list(second.ravel())
    return Enclosures(np.array(measured, dtype=object), np.array(bound, dtype=object))


def vanishing(*differences: Any) -> Enclosures:
    """The identity that says that all of these are 0."""
    return rows(*((abs(np.asarray(one, dtype=object)), arb(0)) for one in differences))


@rigorous("A0", domain={}, instances=1, falsifiers=falsifiers("A0", "constant × 0.9"))
def logistic_constants(bits: int, mutation: str | None = None) -> Enclosures:
    """(c² − f²)/peaks² > 0 on the compactified line, c attained at the peaks."""
    parts = []
    for constant in CONSTANTS:
        value = arb(constant.square).sqrt()
        # the peaks are u = 0 or u² = 1/3
        peak = arb(0) if constant.order != 2 else 1 / arb(3).sqrt()
        parts += [(abs(at(derivative(constant.order), peak)), value), (-least_value(gap_quotient(constant)), arb(0))]
    return rows(*parts)


@rigorous("A1", domain=small("A1"), falsifiers=falsifiers("A1", "a self term"))
def energy_of_a_product_law(model: Model, seed: int, bits: int, mutation: str | None = None) -> Enclosures:
    """E_q E = E(m), E_q h = h(m), Cov_q(z_i, z_j) = 0, in units of T."""
    balls, means = BallModel.of(model), exact(random_means(model.size, seed))
    product = product_law(means)
    energy = product.expectation(balls.energy(product.states)) - balls.energy(means)
    if mutation == "a self term":
        energy = energy - (product.expectation(squared(product.states).sum(axis=1)) - squared(means).sum()) / 2
    field = product.probabilities @ balls.scaled_field(product.states) - balls.scaled_field(means)
    off = product.covariance[~np.eye(model.size, dtype=bool)]
    return vanishing(energy / balls.temperature, field, off)


@rigorous("A1b", domain=small("A1b"), falsifiers=falsifiers("A1b", "no gap"))
def cost_trap(model: Model, seed: int, bits: int, mutation: str | None = None) -> Enclosures:
    """E C(z) − C(E z) = ½Σv under a product law, Gibbs' and Little's."""
    cost = random_cost(model.size, seed)
    target, outputs = exact(cost.target), cost.outputs

    def gap(one: Law) -> Any:
        on_spikes = squared(one.states[:, outputs] - target).sum(axis=1) / 2
        on_rates = squared(one.mean[outputs] - target).sum() / 2
        stated = arb(0) if mutation == "no gap" else variance(one.mean)[outputs].sum() / 2
        return one.expectation(on_spikes) - on_rates - stated

    laws = (product_law(exact(random_means(model.size, seed))), law(model), law(model, dynamics="little"))
    return vanishing([gap(one) for one in laws])


@rigorous("A2", domain=small("A2"), falsifiers=falsifiers("A2", "the gap without T"))
def gibbs_bogoliubov(model: Model, seed: int, nudging: float, bits: int, mutation: str | None = None) -> Enclosures:
    """F_β(m) + T ln Z_β = T KL(q‖p_β), in units of T, and it is not negative."""
    balls, strength = BallModel.of(model), arb(nudging) * arb(model.temperature)
    cost, means = random_cost(model.size, seed), exact(random_means(model.size, seed))
    tilted = BallModel(balls.couplings, balls.bias - strength * cost_coefficients(cost, model.size), balls.temperature)
    gibbs = gibbs_law(tilted)
    gap = (free_energy(tilted, means) + balls.temperature * gibbs.log_partition) / balls.temperature
    divergence = sum(
        (q * (q.log() - p.log()) for q, p in zip(product_law(means).probabilities, gibbs.probabilities, strict=True)
         if not q.is_zero()),
        arb(0),
    )  # fmt: skip
    factor = 1 / balls.temperature if mutation == "the gap without T" else 1
    return rows((abs(gap - factor * divergence), arb(0)), (-gap, arb(0)))


@rigorous("A3", domain=small("A3"), falsifiers=falsifiers("A3", "half the field"))
def stationary_points(model: Model, bits: int, mutation: str | None = None) -> Enclosures:
    """At a certified fixed point T logit m = h(m) and F = ½mᵀJm − TΣ ln(1 + e^{h/T}), in units of T."""
    balls, point = BallModel.of(model), certify_fixed_point(model, bits=bits)
    field = balls.scaled_field(point.mean)
    logit = np.array([(m / n).log() for m, n in zip(point.mean, point.complement, strict=True)], dtype=object)
    slope = logit - (field / 2 if mutation == "half the field" else field)
    entropy = sum((m * m.log() + n * n.log() for m, n in zip(point.mean, point.complement, strict=True)), arb(0))
    softplus = sum((1 + x.exp()).log() for x in field)
    quadratic = (point.mean @ balls.couplings) @ point.mean / (2 * balls.temperature)
    return vanishing(slope, balls.energy(point.mean) / balls.temperature + entropy - quadratic + softplus)


@rigorous("A4", domain=small("A4"), falsifiers=falsifiers("A4", "constant × 0.9", "λ⁻ dropped"))
def free_energy_descends(
    model: Model, seed: int, leak: float, log_distance: float, bits: int, mutation: str | None = None
) -> Enclosures:
    """c_ε‖p − m‖² ≤ F(m) − F(m') for one leak, mixed leaks and one unit at a time."""
    balls, generator = BallModel.of(model), np.random.default_rng([seed, 5])
    centre = floats(certify_fixed_point(model, bits=bits).mean)
    slowest = np.linalg.eigh(model.couplings)[1][:, 0]
    direction = slowest if seed % 2 == 0 else generator.normal(size=model.size)
    means = exact(np.clip(centre + 0.5 * math.exp(log_distance) * direction / np.abs(direction).max(), 0.0, 1.0))
    change = balls.probability(means) - means
    energy, lowest = free_energy(balls, means), lowest_eigenvalue(model)
    if mutation == "λ⁻ dropped":
        lowest = arb(0)
    parts = []
    for leaks in (np.full(model.size, leak), generator.uniform(0.02, 1.0, size=model.size)):
        steps = exact(leaks)
        factors = descent_factor(steps, balls.temperature, lowest)
        parts.append(((factors * squared(change)).sum(), energy - free_energy(balls, means + steps * change)))
    for unit in range(model.size):
        moved = means.copy()
        moved[unit] = moved[unit] + change[unit]
        parts.append((2 * balls.temperature * squared(change[unit]), energy - free_energy(balls, moved)))
    return rows(*((measured / balls.temperature, bound / balls.temperature) for measured, bound in parts))


@rigorous("A5", domain=small("A5"), falsifiers=falsifiers("A5", "constant × 0.9", "κ < 1 dropped"))
def leaky_map_contracts(
    model: Model, seed: int, leak: float, log_distance: float, bits: int, mutation: str | None = None
) -> Enclosures:
    """‖f(m) − f(n)‖₂ ≤ (1 − ε(1−κ))‖m − n‖₂, and ‖m − m*‖₂ ≤ ‖p − m‖₂/(1−κ) at the certified fixed point."""
    balls, epsilon, kappa = BallModel.of(model), arb(leak), gain(model)
    point = certify_fixed_point(model, bits=bits)
    if mutation == "κ < 1 dropped":
        # two certified fixed points, hence no contraction
        other = certify_fixed_point(model, start=np.ones(model.size), bits=bits)
        return rows((norm(point.mean - other.mean), arb(0)))
    require_below_one(kappa, "κ")
    generator = np.random.default_rng([seed, 6])
    vectors = np.linalg.eigh(model.couplings)[1]
    leading = vectors[:, -1] if seed % 2 == 0 else generator.normal(size=model.size)
    shift = 0.5 * math.exp(log_distance) * leading / np.abs(leading).max()
    first, second = (exact(np.clip(floats(point.mean) + sign * shift, 0, 1)) for sign in (1, -1))

    def step(means: Balls) -> Balls:
        return (1 - epsilon) * means + epsilon * balls.probability(means)

    return rows(
        (norm(step(first) - step(second)), (1 - epsilon * (1 - kappa)) * norm(first - second)),
        (norm(first - point.mean), norm(balls.probability(first) - first) / (1 - kappa)),
    )


def norm(vector: Balls) -> Any:
    """‖·‖₂."""
    return squared(vector).sum().nonnegative_part().sqrt()


@rigorous("A5b", domain=small("A5b"), falsifiers=falsifiers("A5b", "constant × 0.9"))
def free_energy_is_convex(model: Model, seed: int, share: float, bits: int, mutation: str | None = None) -> Enclosures:
    """½(4T − λ_max)‖m − m*‖² ≤ F(m) − F(m*), and the fixed point is certified to be the only one."""
    balls, point = BallModel.of(model), certify_fixed_point(model, bits=bits)
    if not point.unique:
        raise Undecided("λ_max(J) < 4T is not certain")
    generator = np.random.default_rng([seed, 7])
    slack = 4 * balls.temperature - spectrum(balls.couplings)[-1]
    lowest, centre = free_energy(balls, point.mean), floats(point.mean)
    near = np.clip(centre + 0.01 * np.linalg.eigh(model.couplings)[1][:, -1], 0, 1)
    parts = []
    for place in (near, generator.uniform(size=model.size)):
        means = exact(place)
        parts.append((slack * squared(means - point.mean).sum() / 2, free_energy(balls, means) - lowest))
    return rows(*((measured / balls.temperature, bound / balls.temperature) for measured, bound in parts))
