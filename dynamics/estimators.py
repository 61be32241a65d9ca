"""Gradient estimates from sampled phases, with standard errors and their cost in relaxations.

Main results: estimate_gradient, Estimate (thm:B7b and thm:C8b name the product that each dynamics must use, thm:C8 says what
coupling the phases saves).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from dynamics.pairing import checked_statistic, difference_sums, read_phase
from dynamics.phases import Noise, Setting, bind, checked_noise, free_phase
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
    warm: bool = False,
    statistic: str | None = None,
) -> Estimate:
    """EP gradient from `samples` independent replicas: (1/2β)(⟨∂E/∂θ⟩_β − ⟨∂E/∂θ⟩_{−β}) and its relatives.

    estimator: "symmetric"; "one-sided", against the free phase continued for steps_nudged; "random-sign", one-sided with a
    fair sign of β per replica; "three-factor", −Cov(∂E/∂θ, C)/T from the free phase alone (unbiased; no nudging, no nudged steps).
    statistic: what is multiplied at the last step. "spikes" (default of the chains): z_i z_j for glauber and block, for little
    ½[z_i(t) z_j(t+1) + z_j(t) z_i(t+1)], whose two times thm:B7b requires, for leaky the last spikes' z_i z_j. "traces"
    (default of leaky, and only there): s_i s_j. "probabilities", with p = σ(h/T) in the nudged field: ½(p_i z_j + z_i p_j), at z(t)
    for little, and p_i p_j for leaky, whose mean is that of its spikes' product and not of its traces' (thm:C8b).
    coupled=True: both phases start at the replica's free state and share uniforms and scan; False: each has a free phase
    and a noise stream of its own, or with warm=True starts at the replica's free state and has only the noise of its own.
    steps default to the mixing time of thm:B3 to 1e-3 where its hypothesis holds.
    cost_on "rates" (leaky's default) or "spikes" (all others, the only one for chains). copies: K spiking copies (leaky).
    Raises ValueError on bad input, before any work.
    """
    _check_request(dynamics, estimator, nudging)
    _check_start(estimator, coupled, warm)
    setting = bind(model, dynamics, cost=cost, cost_on=cost_on, leak=leak, copies=copies, scan=scan)
    statistic = checked_statistic(statistic, dynamics, estimator)
    samples = whole_number("samples", samples, 2)
    free = phase_sweeps("steps_free", steps_free, setting)
    nudged = (
        1 if estimator == "three-factor" else phase_sweeps("steps_nudged", steps_nudged, setting, float(nudging or 0.0))
    )
    checked_noise(seed, 0, free + nudged, 0, samples)
    with threadpool_limits(limits=1):
        if estimator == "three-factor":
            return _three_factor(setting, samples, int(seed), free)
        plan = _Plan(estimator, float(nudging or 0.0), free, nudged, coupled, warm, statistic)
        return _contrastive(setting, plan, samples, int(seed))


class _Plan(NamedTuple):
    """How the two phases of one replica are made and read."""

    estimator: str
    nudging: float
    free: int
    nudged: int
    coupled: bool
    warm: bool
    statistic: str

    @property
    def relaxations(self) -> int:
        """Sweeps of one replica."""
        return (self.free if self.coupled or self.warm else 2 * self.free) + 2 * self.nudged


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


def _check_start(estimator: str, coupled: bool, warm: bool) -> None:
    if warm and coupled:
        raise ValueError(
            "warm=True needs coupled=False: coupled phases start at the free state already, and share noise"
        )
    if warm and estimator == "three-factor":
        raise ValueError("warm=True is about nudged phases, and estimator 'three-factor' has none: leave it out")


def phase_sweeps(name: str, value: int | None, setting: Setting, nudging: float = 0.0) -> int:
    """`value` where given, else the sweeps after which a phase is proven to have mixed (thm:B3, thm:B5), else ValueError."""
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


def _contrastive(setting: Setting, plan: _Plan, samples: int, seed: int) -> Estimate:
    size = setting.model.size
    sums = [np.zeros((size, size)), np.zeros((size, size)), np.zeros(size), np.zeros(size)]
    for first, count in _chunks(samples):
        up = np.full(count, plan.nudging)
        down = np.full(count, -plan.nudging if plan.estimator == "symmetric" else 0.0)
        if plan.estimator == "random-sign":
            up *= _signs(seed, first, count)
        start = free_phase(setting, steps=plan.free, replicas=count, noise=Noise(seed, STREAM_FREE, 0, first))
        other, opposite = start, STREAM_NUDGED
        if not plan.coupled:
            opposite = STREAM_OPPOSITE
            if not plan.warm:
                # the opposite stream serves a whole second experiment: its nudged phase first, then its free one
                noise = Noise(seed, STREAM_OPPOSITE, plan.nudged, first)
                other = free_phase(setting, steps=plan.free, replicas=count, noise=noise)
        raised, lowered = (
            read_phase(setting, begin, plan.nudged, Noise(seed, stream, 0, first), nudgings, plan.statistic)
            for begin, stream, nudgings in ((start, STREAM_NUDGED, up), (other, opposite, down))
        )
        for total, part in zip(sums, difference_sums(raised, lowered, 1 / (up - down)), strict=True):
            total += part
    pair, pair_square, unit, unit_square = sums
    value = symmetric_gradient(np.triu(-pair / samples, 1), -unit / samples)
    error = symmetric_gradient(
        np.triu(_standard_error(pair, pair_square, samples), 1), _standard_error(unit, unit_square, samples)
    )
    return Estimate(value, error, samples * plan.relaxations)


def _signs(seed: int, first: int, count: int) -> FloatArray:
    draws = np.empty((count, 1))
    for r in range(count):
        uniforms(seed, STREAM_SIGN, 0, first + r, draws[r])
    return np.where(draws[:, 0] < 0.5, 1.0, -1.0)


def _standard_error(total: FloatArray, squares: FloatArray, samples: int) -> FloatArray:
    variance = np.maximum(squares - total**2 / samples, 0.0) / (samples - 1)
    return np.sqrt(variance / samples)


def _three_factor(setting: Setting, samples: int, seed: int, free: int) -> Estimate:
    """Sample covariance of −∂E/∂θ and C over replicas, over T; its error by the delta method."""
    states = [
        read_phase(
            setting,
            free_phase(setting, steps=free - 1, replicas=count, noise=Noise(seed, STREAM_FREE, 0, first)),
            1,
            Noise(seed, STREAM_NUDGED, 0, first),
            np.zeros(count),
            "spikes",
        )
        for first, count in _chunks(samples)
    ]
    left, right, both = (np.concatenate(parts) for parts in zip(*states, strict=True))
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
