"""Gradient estimates from sampled phases, with standard errors and their cost in relaxations.

Main results: estimate_gradient, Estimate (thm:B7b names the product that each dynamics must use).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from dynamics.phases import Noise, Setting, bind, checked_noise, free_phase, nudged_phase
from dynamics.philox import STREAM_FREE, STREAM_NUDGED, STREAM_OPPOSITE, STREAM_SIGN, uniforms
from meanfield.bounds import mixing_sweeps
from meanfield.model import FloatArray, Gradient, HypothesisError, Model, QuadraticCost, whole_number
from meanfield.response import symmetric_gradient

ESTIMATORS = ("one-sided", "symmetric", "random-sign", "three-factor")
# Replicas handled at once; sums run over chunks in order, so memory is bounded and bits do not depend on threads.
CHUNK = 4096
MIXING_ACCURACY = 1e-3


class Estimate(NamedTuple):
    """A gradient estimate, its standard error over independent replicas, and its cost in sweeps × replicas."""

    value: Gradient
    standard_error: Gradient
    relaxations: int


class Phase(NamedTuple):
    """The two factors of the pair statistic ½(left_i right_j + right_i left_j), both (replicas, N)."""

    left: FloatArray
    right: FloatArray


def estimate_gradient(
    model: Model,
    cost: QuadraticCost,
    *,
    dynamics: str = "glauber",
    estimator: str = "symmetric",
    nudging: float | None = None,
    samples: int,
    seed: int,
    coupled: bool = True,
    leak: float | ArrayLike = 0.2,
    steps_free: int | None = None,
    steps_nudged: int | None = None,
    cost_on: str | None = None,
    copies: int = 1,
    scan: str = "random",
) -> Estimate:
    """EP gradient from `samples` independent replicas: (1/2β)(⟨∂E/∂θ⟩_β − ⟨∂E/∂θ⟩_{−β}) and its relatives.

    estimator: "symmetric"; "one-sided", against the free phase continued for steps_nudged; "random-sign", one-sided with a
    fair sign of β per replica; "three-factor", −Cov(∂E/∂θ, C)/T from the free phase alone (unbiased; no nudging, no nudged steps).
    The pair statistic is taken at the last step: z_i z_j for glauber and block, s_i s_j of the traces for leaky, and for
    little ½[z_i(t) z_j(t+1) + z_j(t) z_i(t+1)], whose two times thm:B7b requires.
    coupled=True: both phases start at the replica's free state and share uniforms and scan; False: each has a free phase
    and a noise stream of its own. steps default to the mixing time of thm:B3 to 1e-3 where its hypothesis holds.
    cost_on "rates" (leaky's default) or "spikes" (all others, the only one for chains). copies: K spiking copies (leaky).
    Raises ValueError on bad input, before any work.
    """
    _check_request(dynamics, estimator, nudging)
    setting = bind(model, dynamics, cost=cost, cost_on=cost_on, leak=leak, copies=copies, scan=scan)
    samples = whole_number("samples", samples, 2)
    free = _steps("steps_free", steps_free, setting)
    nudged = 1 if estimator == "three-factor" else _steps("steps_nudged", steps_nudged, setting, float(nudging or 0.0))
    checked_noise(seed, 0, free + nudged, 0, samples)
    with threadpool_limits(limits=1):
        if estimator == "three-factor":
            return _three_factor(setting, samples, int(seed), free)
        return _contrastive(setting, estimator, float(nudging or 0.0), samples, int(seed), coupled, free, nudged)


def _check_request(dynamics: str, estimator: str, nudging: float | None) -> None:
    if estimator == "holomorphic":
        raise ValueError(
            "estimator 'holomorphic' needs complex firing probabilities, which cannot be sampled: "
            "use meanfield.equilibrium_gradient(estimator='holomorphic')"
        )
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if dynamics == "langevin":
        raise ValueError("dynamics 'langevin' has no spikes to learn from: use glauber, block, little or leaky")
    if estimator == "three-factor":
        if dynamics == "leaky":
            raise ValueError(
                "estimator 'three-factor' needs a law with an energy, leaky spikes have none: use glauber or block"
            )
    elif nudging is None or not np.isfinite(nudging) or nudging == 0:
        raise ValueError(f"nudging must be finite and non-zero, got {nudging}: the {estimator} estimator divides by it")


def _steps(name: str, value: int | None, setting: Setting, nudging: float = 0.0) -> int:
    if value is not None:
        return whole_number(name, value, 1)
    slope = float(np.abs(setting.slope).max())
    try:
        return mixing_sweeps(
            setting.model,
            dynamics=setting.dynamics,
            leak=setting.leak,
            accuracy=MIXING_ACCURACY,
            nudging=nudging * slope,
        )
    except HypothesisError as error:
        raise ValueError(f"{name} must be given here: no mixing time is proven, {error}") from error


def _chunks(samples: int) -> Iterator[tuple[int, int]]:
    for first in range(0, samples, CHUNK):
        yield first, min(CHUNK, samples - first)


def _contrastive(
    setting: Setting, estimator: str, nudging: float, samples: int, seed: int, coupled: bool, free: int, nudged: int
) -> Estimate:
    size = setting.model.size
    sums = [np.zeros((size, size)), np.zeros((size, size)), np.zeros(size), np.zeros(size)]
    for first, count in _chunks(samples):
        up, down = np.full(count, nudging), np.full(count, -nudging if estimator == "symmetric" else 0.0)
        if estimator == "random-sign":
            up *= _signs(seed, first, count)
        start = free_phase(setting, steps=free, replicas=count, noise=Noise(seed, STREAM_FREE, 0, first))
        other, opposite = start, STREAM_NUDGED
        if not coupled:
            # the opposite stream serves a whole second experiment: its nudged phase first, then its free one
            opposite = STREAM_OPPOSITE
            noise = Noise(seed, STREAM_OPPOSITE, nudged, first)
            other = free_phase(setting, steps=free, replicas=count, noise=noise)
        raised = _phase(setting, start, nudged, Noise(seed, STREAM_NUDGED, 0, first), up)
        lowered = _phase(setting, other, nudged, Noise(seed, opposite, 0, first), down)
        for total, part in zip(sums, _difference_sums(raised, lowered, 1 / (up - down)), strict=True):
            total += part
    pair, pair_square, unit, unit_square = sums
    value = symmetric_gradient(np.triu(-pair / samples, 1), -unit / samples)
    error = symmetric_gradient(
        np.triu(_standard_error(pair, pair_square, samples), 1), _standard_error(unit, unit_square, samples)
    )
    relaxations = samples * ((free if coupled else 2 * free) + 2 * nudged)
    return Estimate(value, error, relaxations)


def _phase(setting: Setting, start: FloatArray, steps: int, noise: Noise, nudgings: FloatArray) -> Phase:
    before, after = nudged_phase(setting, start, steps=steps, noise=noise, nudgings=nudgings)
    return Phase(before if setting.dynamics == "little" else after, after)


def _signs(seed: int, first: int, count: int) -> FloatArray:
    draws = np.empty((count, 1))
    for r in range(count):
        uniforms(seed, STREAM_SIGN, 0, first + r, draws[r])
    return np.where(draws[:, 0] < 0.5, 1.0, -1.0)


def _difference_sums(raised: Phase, lowered: Phase, scale: FloatArray) -> tuple[FloatArray, ...]:
    """Sums over replicas of d and d², d = scale · (raised − lowered) of the pair and of the unit statistic.

    The small differences Δ = raised − lowered are formed first: for pairs u_ij = left⁺_i Δright_j + Δleft_i right⁻_j and
    d = ½(u + uᵀ), so Σd² = ½Σu² + ½Σ u∘uᵀ never cancels large numbers.
    """
    left, right = raised.left, lowered.right
    change_left = (raised.left - lowered.left) * scale[:, None]
    change_right = (raised.right - lowered.right) * scale[:, None]
    directed = left.T @ change_right + change_left.T @ right
    cross = (left * change_left).T @ (change_right * right)
    squares = (left**2).T @ change_right**2 + 2 * cross + (change_left**2).T @ right**2
    mixed = (left * change_right).T @ (change_right * left) + (change_left * right).T @ (right * change_left)
    swap = (left * right).T @ (change_right * change_left)
    transposed = mixed + swap + swap.T
    pair_square = 0.25 * (squares + squares.T) + 0.5 * transposed
    unit = 0.5 * (change_left + change_right)
    return 0.5 * (directed + directed.T), pair_square, unit.sum(axis=0), (unit**2).sum(axis=0)


def _standard_error(total: FloatArray, squares: FloatArray, samples: int) -> FloatArray:
    variance = np.maximum(squares - total**2 / samples, 0.0) / (samples - 1)
    return np.sqrt(variance / samples)


def _three_factor(setting: Setting, samples: int, seed: int, free: int) -> Estimate:
    """Sample covariance of −∂E/∂θ and C over replicas, over T; its error by the delta method."""
    states = [
        _phase(
            setting,
            free_phase(setting, steps=free - 1, replicas=count, noise=Noise(seed, STREAM_FREE, 0, first)),
            1,
            Noise(seed, STREAM_NUDGED, 0, first),
            np.zeros(count),
        )
        for first, count in _chunks(samples)
    ]
    left, right = (np.concatenate(parts) for parts in zip(*states, strict=True))
    both = 0.5 * (left + right)
    # Little's nudge acts at both times of the pair, so the cost of both goes with it
    linear = both @ setting.offset * (2.0 if setting.dynamics == "little" else 1.0)
    centred = linear - linear.mean()
    pair_mean = 0.5 * (left.T @ right + right.T @ left) / samples
    covariance = 0.5 * ((left * centred[:, None]).T @ right + (right * centred[:, None]).T @ left)
    scale = 1 / (setting.model.temperature * (samples - 1))
    # Σ centred²(s − s̄)² with s = ½(l_i r_j + r_i l_j)
    weight = (centred**2)[:, None]
    square = 0.25 * ((left**2 * weight).T @ right**2 + (right**2 * weight).T @ left**2)
    square += 0.5 * (left * right * weight).T @ (left * right)
    first_moment = 0.5 * ((left * weight).T @ right + (right * weight).T @ left)
    spread = square - 2 * pair_mean * first_moment + pair_mean**2 * weight.sum()
    unit_spread = ((both - both.mean(axis=0)) ** 2 * weight).sum(axis=0)
    bias_total = both.T @ centred
    temperature = setting.model.temperature
    pair_error = _standard_error(covariance, spread, samples) / temperature
    unit_error = _standard_error(bias_total, unit_spread, samples) / temperature
    return Estimate(
        symmetric_gradient(np.triu(covariance * scale, 1), bias_total * scale),
        symmetric_gradient(np.triu(pair_error, 1), unit_error),
        samples * free,
    )
