"""What sampled EP estimates converge to: nudged statistics of the stationary laws by enumeration, real or complex nudging.

Main results: exact_equilibrium_gradient (thm:C5, thm:C5b, thm:C5c), nudging_series (thm:C5c), cost_law.

Everything is a signed measure Σ_k w_k π_{β_k} of total mass 0. Its density against π is formed by expm1 and log1p, so
that no digits are lost as β → 0, and under Gibbs it depends on a state's output units alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from dynamics.enumeration import all_states, check_law, exact_law
from meanfield.learning_rule import contrast
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, whole_number
from meanfield.response import symmetric_gradient


class CostLaw(NamedTuple):
    """The free law of the linear cost c·z: its value on each of the 2^n_out output patterns, and the log of their probabilities."""

    values: FloatArray
    log_masses: FloatArray


class _Patterns(NamedTuple):
    """Gibbs' law split by output pattern: π(z) = mass(pattern) · conditional(z), units in `order`, outputs last."""

    order: NDArray[np.int64]
    law: CostLaw
    conditional: FloatArray


def exact_equilibrium_gradient(
    model: Model,
    cost: QuadraticCost,
    *,
    nudging: float,
    estimator: str = "symmetric",
    points: int = 8,
    dynamics: str = "gibbs",
    cost_on: str = "spikes",
) -> Gradient:
    """The expectation of an EP estimate, from g(β) = ⟨∂E/∂θ⟩_β under the exact law nudged by β: b → b − βc.

    "one-sided" (g(β) − g(0))/β, "symmetric" (g(β) − g(−β))/2β, "holomorphic" (1/(N|β|)) Σ_k e^{−2πik/N} g(|β| e^{2πik/N})
    over N = points. Under "gibbs" g_ij = −⟨z_i z_j⟩, g_i = −⟨z_i⟩; under "little" the pair statistic is the lagged
    −½⟨z_i(t+1)z_j(t) + z_j(t+1)z_i(t)⟩ and the gradient is that of Little's own loss. c = ½ − y for cost_on "spikes", the
    frozen E z_o − y for "rates" (the loss ½‖E z_o − y‖²). Full precision at every β ≠ 0; outside the nearest zero of the
    partition function (dynamics.nearest_zero) more points do not converge to the gradient. N ≤ 24, Little 16; ValueError on
    bad input. Paper: thm:C5, thm:C5b, thm:C5c.
    """
    strengths, weights = contrast(nudging, estimator, points)
    slopes = _slopes(model, cost, cost_on, dynamics)
    if dynamics == "little":
        return _parallel_estimate(model, slopes, strengths, weights)
    patterns = _patterns(model, cost, slopes)
    exponents = -(strengths / model.temperature)[:, None] * patterns.law.values
    changes = [
        weight * tilted_change(patterns.law.log_masses, tilt)[0]
        for weight, tilt in zip(weights, exponents, strict=True)
    ]
    return _contracted(patterns, np.sum(changes, axis=0).real)


def nudging_series(model: Model, cost: QuadraticCost, *, order: int, cost_on: str = "spikes") -> tuple[Gradient, ...]:
    """Taylor coefficients (a_1, …, a_order) of β ↦ ⟨∂E/∂θ⟩_β under exp(−(E + βC)/T): a_k = (−1/T)^k κ(∂E/∂θ, C, …, C)/k!.

    a_1 is the exact gradient; a_2 β, a_3 β² and a_{1+N} β^N are the leading biases of the one-sided, symmetric and N-point
    holomorphic estimators. N ≤ 24, else ValueError. Paper: thm:C5, thm:C5c.
    """
    whole_number("order", order, 1)
    patterns = _patterns(model, cost, _slopes(model, cost, cost_on, "gibbs"))
    masses, values = np.exp(patterns.law.log_masses), patterns.law.values
    # in units of the cost's range, so that powers neither overflow nor vanish
    scale = max(float(np.ptp(values)), np.finfo(float).tiny)
    scaled = -(values - masses @ values) / scale
    powers, moments, densities = [np.ones_like(values)], [1.0], [np.ones_like(values)]
    for k in range(1, order + 1):
        powers.append(powers[-1] * scaled / k)
        moments.append(float(masses @ powers[-1]))
        # e^y = (Σ_j M_j)(Σ_k V_k): the density of the nudged law, order by order
        densities.append(powers[k] - sum(moments[j] * densities[k - j] for j in range(1, k + 1)))
    return tuple(
        _contracted(patterns, masses * densities[k] * (scale / model.temperature) ** k) for k in range(1, order + 1)
    )


def cost_law(model: Model, cost: QuadraticCost, *, cost_on: str = "spikes") -> CostLaw:
    """The law of the linear cost c·z under exp(−E/T), a value and a log-probability for each output pattern, (2^n_out,).

    c as in exact_equilibrium_gradient; bit k of a pattern is the k-th output. Up to the constant ½‖y‖², c·z is C(z) for
    cost_on "spikes". N ≤ 24, else ValueError.
    """
    return _patterns(model, cost, _slopes(model, cost, cost_on, "gibbs")).law


def tilted_change(log_masses: FloatArray, exponents: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(π e^y/⟨e^y⟩ − π, y − ln⟨e^y⟩) for a law π = exp(log_masses) and exponents y, real or complex, accurate for small y."""
    masses = np.exp(log_masses)
    centred = exponents - masses @ exponents
    peak = float((log_masses + centred.real).max())
    if peak > 1:
        partition = peak + np.log(np.exp(log_masses + centred - peak).sum())
    else:
        partition = np.log1p(_excess(log_masses, masses, centred).sum())
    tilt = centred - partition
    return _excess(log_masses, masses, tilt), tilt


def _excess(log_masses: FloatArray, masses: FloatArray, exponents: NDArray[Any]) -> NDArray[Any]:
    """π(e^y − 1), without cancellation where y is small and without overflow where π underflows."""
    small = exponents.real <= 1
    near = masses * np.expm1(np.where(small, exponents, 0.0))
    return np.where(small, near, np.exp(np.where(small, 0.0, log_masses + exponents)) - masses)


def _slopes(model: Model, cost: QuadraticCost, cost_on: str, dynamics: str) -> FloatArray:
    check_law(model, dynamics)
    slope, offset = cost.force(model.size, cost_on)
    return offset if cost_on == "spikes" else slope * exact_law(model, dynamics=dynamics).mean + offset


def _patterns(model: Model, cost: QuadraticCost, slopes: FloatArray) -> _Patterns:
    hidden = np.setdiff1d(np.arange(model.size), cost.outputs)
    order = np.concatenate([hidden, cost.outputs])
    permuted = Model(model.couplings[np.ix_(order, order)], model.bias[order], model.temperature)
    logarithms = exact_law(permuted).log_probabilities().reshape(1 << cost.outputs.size, -1)
    peak = logarithms.max(axis=1)
    log_masses = peak + np.log(np.exp(logarithms - peak[:, None]).sum(axis=1))
    values = all_states(cost.outputs.size) @ slopes[cost.outputs]
    return _Patterns(order, CostLaw(values, log_masses), np.exp(logarithms - log_masses[:, None]))


def _contracted(patterns: _Patterns, change: FloatArray) -> Gradient:
    """−Σ_z z zᵀ u(z), u the measure with `change` as its mass on each output pattern."""
    moments = _pair_moments((patterns.conditional * change[:, None]).ravel())
    restored = np.zeros_like(moments)
    restored[np.ix_(patterns.order, patterns.order)] = -(moments + np.tril(moments, -1).T)
    return symmetric_gradient(np.triu(restored, 1), np.diagonal(restored).copy())


def _pair_moments(measure: FloatArray) -> FloatArray:
    """Σ_z u(z) z_i z_j for i ≥ j, lower triangle (N, N), by halving: O(2^N) work in all."""
    size = measure.size.bit_length() - 1
    moments = np.zeros((size, size))
    for i in range(size - 1, -1, -1):
        active = measure[1 << i :]
        measure = measure[: 1 << i] + active
        moments[i, i] = active.sum()
        for j in range(i - 1, -1, -1):
            moments[i, j] = active[1 << j :].sum()
            active = active[: 1 << j] + active[1 << j :]
    return moments


def _parallel_estimate(model: Model, slopes: FloatArray, strengths: NDArray[Any], weights: NDArray[Any]) -> Gradient:
    """Σ_k w_k of −½⟨z_i(t+1)z_j(t) + z_j(t+1)z_i(t)⟩ and −⟨z_i⟩ under Little's nudged chain, as changes from the free one."""
    states, log_law = all_states(model.size), exact_law(model, dynamics="little").log_probabilities()
    law, scaled = np.exp(log_law), model.local_field(states) / model.temperature
    firing = expit(scaled)
    lagged, means = np.zeros((model.size, model.size)), np.zeros(model.size)
    for strength, weight in zip(strengths, weights, strict=True):
        shift = -strength / model.temperature * slopes
        step = _firing_change(scaled, firing, shift)
        change, _ = tilted_change(log_law, states @ shift + _softplus_change(scaled, firing, shift).sum(axis=1))
        pair = states.T @ (change[:, None] * (firing + step) + law[:, None] * step)
        lagged -= np.real(weight * pair)
        means -= np.real(weight * (change @ states))
    return symmetric_gradient(0.5 * lagged, means)


def _firing_change(scaled: FloatArray, firing: FloatArray, shift: NDArray[Any]) -> NDArray[Any]:
    """σ(x + d) − σ(x), complex d allowed."""
    small = np.abs(shift) <= 1
    gained = np.expm1(np.where(small, shift, 0.0))
    near = firing * (1 - firing) * gained / (1 + firing * gained)
    moved = scaled + shift
    far = expit(moved) if np.isrealobj(moved) else 0.5 * (1 + np.tanh(moved / 2))
    return np.where(small, near, far - firing)


def _softplus_change(scaled: FloatArray, firing: FloatArray, shift: NDArray[Any]) -> NDArray[Any]:
    """ln(1 + e^{x + d}) − ln(1 + e^x), up to a multiple of 2πi for complex d."""
    small = np.abs(shift) <= 1
    near = np.log1p(firing * np.expm1(np.where(small, shift, 0.0)))
    moved = scaled + shift
    positive = moved.real > 0
    far = np.where(positive, moved, 0.0) + np.log1p(np.exp(np.where(positive, -moved, moved)))
    return np.where(small, near, far - np.logaddexp(0.0, scaled))
