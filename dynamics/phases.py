"""Phases: a network relaxes freely, or nudged, under one of the dynamics.

Main results: sample, relax, advance, run_phase, free_phase, nudged_phase, firing. Below this file
only kernels, above it only Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dynamics import block, glauber, langevin, leaky, little
from dynamics.philox import STREAM_FREE, STREAM_START, uniforms
from dynamics.relax import advance as advance_kernel
from dynamics.relax import trajectory
from meanfield.equations import cost_force, firing_probability
from meanfield.model import FloatArray, Model, QuadraticCost, leak_cycle, leak_vector, real_array, whole_number

DYNAMICS = ("glauber", "block", "little", "leaky", "langevin")
CHAINS = ("glauber", "block", "little")
COUNTER_LIMIT = 1 << 32


class Samples(NamedTuple):
    """States (replicas, N) after the last step, their mean and its standard error over replicas (N,), and spikes.

    states: spikes for glauber, block, little; traces for leaky; real numbers for langevin. spikes: the last spikes
    (for leaky the mean over a neuron's copies), None for langevin.
    """

    states: FloatArray
    mean: FloatArray
    standard_error: FloatArray
    spikes: FloatArray | None


@dataclass(frozen=True)
class Noise:
    """Where a phase's random numbers come from: key (seed, stream), counters from first_step and first_replica on."""

    seed: int
    stream: int = STREAM_FREE
    first_step: int = 0
    first_replica: int = 0


@dataclass(frozen=True)
class Setting:
    """A model bound to one dynamics and one cost, checked: what every phase of an experiment shares.

    slope, offset (N,): the cost's derivative slope ∘ s + offset. leak (N,). colours (N,): block Gibbs only.
    """

    model: Model
    dynamics: str
    slope: FloatArray
    offset: FloatArray
    leak: FloatArray
    copies: int
    systematic: bool
    colours: NDArray[np.int64] | None


def bind(
    model: Model,
    dynamics: str,
    *,
    cost: QuadraticCost | None = None,
    cost_on: str | None = None,
    leak: float | ArrayLike = 0.2,
    copies: int = 1,
    scan: str = "random",
) -> Setting:
    """Check what a phase needs before any work starts; raises ValueError with the value and the remedy."""
    if dynamics not in DYNAMICS:
        raise ValueError(f"dynamics must be one of {', '.join(DYNAMICS)}, got {dynamics!r}")
    if scan not in ("random", "systematic"):
        raise ValueError(f"scan must be 'random' or 'systematic', got {scan!r}")
    if cost_on is None:
        cost_on = "rates" if dynamics == "leaky" else "spikes"
    if cost is not None and dynamics == "langevin":
        raise ValueError("dynamics 'langevin' takes no cost: it is the linear case, kept for its exact law")
    if cost_on == "rates" and dynamics in CHAINS:
        raise ValueError(f"dynamics {dynamics!r} has cost_on='spikes' only: its states are spikes, got 'rates'")
    slope, offset = (np.zeros(model.size), np.zeros(model.size)) if cost is None else cost.force(model.size, cost_on)
    colours = block.two_colouring(model.couplings) if dynamics == "block" else None
    leaks = leak_vector(leak, model.size, largest=np.inf if dynamics == "langevin" else 1.0)
    if dynamics == "langevin":
        _check_langevin(model, leaks)
    if whole_number("copies", copies, 1) != 1 and dynamics != "leaky":
        raise ValueError(f"copies = {copies} needs dynamics 'leaky', got {dynamics!r}")
    return Setting(model, dynamics, slope, offset, leaks, copies, scan == "systematic", colours)


def run_phase(
    setting: Setting, states: FloatArray, *, steps: int, noise: Noise, nudgings: FloatArray | float = 0.0
) -> FloatArray | None:
    """Advance states (replicas, N) in place by `steps` sweeps, replica r nudged by nudgings[r]; returns the last spikes.

    Spikes are the states themselves for chains, (replicas, N) for leaky, None for langevin.
    """
    model = setting.model
    strengths = np.broadcast_to(np.asarray(nudgings, dtype=np.float64), (len(states),)).copy()
    shared = (model.couplings, model.bias)
    nudge = (setting.slope, setting.offset, strengths, model.temperature)
    when = (noise.seed, noise.stream, noise.first_step, steps, noise.first_replica)
    if setting.dynamics == "glauber":
        temperatures = np.full(len(states), model.temperature)
        glauber.sample(states, *shared, *nudge[:3], temperatures, setting.systematic, *when)
    elif setting.dynamics == "block":
        block.sample(states, *shared, *nudge, setting.colours, *when)
    elif setting.dynamics == "little":
        little.sample(states, *shared, *nudge, *when)
    elif setting.dynamics == "leaky":
        spikes = np.zeros_like(states)
        leaky.sample(states, spikes, *shared, *nudge, setting.leak, setting.copies, *when)
        return spikes
    else:
        langevin.sample(states, *shared, model.temperature, setting.leak, *when)
        return None
    return states


def free_phase(setting: Setting, *, steps: int, replicas: int, noise: Noise) -> FloatArray:
    """States (replicas, N) after `steps` free sweeps from the dynamics' own start."""
    states = checked_states(setting.dynamics, None, replicas, setting.model.size, noise)
    run_phase(setting, states, steps=steps, noise=noise)
    return states


def nudged_phase(
    setting: Setting, free_states: FloatArray, *, steps: int, noise: Noise, nudgings: FloatArray | float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(before, after, spikes), each (replicas, N), of the last of `steps` sweeps nudged by `nudgings` from the free states.

    spikes are `after` itself for chains. Two phases with the same noise are coupled: they share every uniform and the scan.
    """
    states = free_states.copy()
    run_phase(setting, states, steps=steps - 1, noise=noise, nudgings=nudgings)
    before = states.copy()
    last = Noise(noise.seed, noise.stream, noise.first_step + steps - 1, noise.first_replica)
    spikes = run_phase(setting, states, steps=1, noise=last, nudgings=nudgings)
    return before, states, states if spikes is None else spikes


def firing(setting: Setting, states: FloatArray, nudgings: FloatArray) -> FloatArray:
    """p = σ((h(s) − β ∂C/∂s)/T) of states (replicas, N), replica r nudged by nudgings[r]."""
    force = cost_force(states, setting.slope, setting.offset, nudgings[:, None])
    return firing_probability(setting.model.local_field(states) + force, setting.model.temperature)


def sample(
    model: Model,
    *,
    dynamics: str = "glauber",
    steps: int,
    replicas: int,
    seed: int,
    leak: float | ArrayLike = 0.2,
    start: ArrayLike | None = None,
    copies: int = 1,
    scan: str = "random",
    cost: QuadraticCost | None = None,
    nudging: float = 0.0,
    cost_on: str | None = None,
    first_step: int = 0,
    first_replica: int = 0,
) -> Samples:
    """Independent replicas of one dynamics after `steps` sweeps: final states, their mean and its standard error.

    A sweep is N single-site updates for glauber (scan "random" or "systematic"), one even and one odd half-sweep for block,
    one parallel update for little, leaky and langevin. leak: ε in (0, 1], number or (N,) (langevin: the step size,
    ε < 2/λ_max(I − J)). copies: K spiking copies of every neuron (leaky). start: (N,) or (replicas, N); default ½ for traces and
    langevin, Bernoulli(½) for chains. A run is split without changing a bit by handing the states on as start with
    first_step (or, for replicas, first_replica). Raises ValueError on bad input.
    """
    setting = bind(model, dynamics, cost=cost, cost_on=cost_on, leak=leak, copies=copies, scan=scan)
    noise = checked_noise(seed, first_step, steps, first_replica, replicas)
    _check_nudging(nudging, cost)
    states = checked_states(dynamics, start, replicas, model.size, noise)
    spikes = run_phase(setting, states, steps=steps, noise=noise, nudgings=nudging)
    return Samples(states, *over_replicas(states), spikes)


def over_replicas(states: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(mean, its standard error) over the first axis; the error of one replica alone is NaN."""
    mean, replicas = states.mean(axis=0), len(states)
    return mean, states.std(axis=0, ddof=1) / np.sqrt(replicas) if replicas > 1 else np.full(mean.shape, np.nan)


def relax(
    model: Model,
    *,
    steps: int,
    leak: float | ArrayLike = 1.0,
    start: ArrayLike | None = None,
    cost: QuadraticCost | None = None,
    nudging: float = 0.0,
    cost_on: str = "rates",
) -> FloatArray:
    """The path s_0 … s_steps, (steps + 1, N), of deterministic EP s ← (1−ε)s + ε σ(h(s)/T) from `start`, default ½.

    leak: ε in (0, 1], a number or (N,); ε = 1 is the discrete-time EP of Ernoult et al. 2019. Rows (period, N) in [0, 1] are
    used in turn: with 0 for the units that wait they are alternating blocks. Raises ValueError.
    """
    parameters, leaks, state = _relaxation(model, leak, start, cost, nudging, cost_on)
    path = np.empty((whole_number("steps", steps, 0) + 1, model.size))
    path[0] = state
    trajectory(path, *parameters, leaks)
    return path


def advance(
    model: Model,
    *,
    steps: int,
    leak: float | ArrayLike = 1.0,
    start: ArrayLike | None = None,
    cost: QuadraticCost | None = None,
    nudging: float = 0.0,
    cost_on: str = "rates",
) -> FloatArray:
    """The last state of `relax`, (N,), to the bit, in memory that does not depend on the steps (thm:E2)."""
    parameters, leaks, state = _relaxation(model, leak, start, cost, nudging, cost_on)
    advance_kernel(state, *parameters, leaks, whole_number("steps", steps, 0))
    return state


def _relaxation(
    model: Model,
    leak: float | ArrayLike,
    start: ArrayLike | None,
    cost: QuadraticCost | None,
    nudging: float,
    cost_on: str,
) -> tuple[tuple[Any, ...], FloatArray, FloatArray]:
    """What the kernels of deterministic EP share, the cycle of leaks, and the starting state, all checked."""
    setting = bind(model, "leaky", cost=cost, cost_on=cost_on)
    _check_nudging(nudging, cost)
    parameters = (
        model.couplings, model.bias, setting.slope, setting.offset, float(nudging), model.temperature,
    )  # fmt: skip
    return parameters, leak_cycle(leak, model.size), checked_states("leaky", start, 1, model.size, Noise(0))[0]


def _check_nudging(nudging: float, cost: QuadraticCost | None) -> None:
    if not np.isfinite(nudging) or (nudging != 0 and cost is None):
        raise ValueError(f"nudging must be finite and needs a cost, got {nudging} with cost={cost}")


def checked_noise(seed: int, first_step: int, steps: int, first_replica: int, replicas: int) -> Noise:
    """A Noise whose counters fit their 32-bit words."""
    if whole_number("seed", seed, 0) >= 1 << 63:
        raise ValueError(f"seed must be below 2^63, got {seed}")
    whole_number("steps", steps, 0)
    whole_number("replicas", replicas, 1)
    for name, first, count in (("step", first_step, steps), ("replica", first_replica, replicas)):
        if whole_number(f"first_{name}", first, 0) + count > COUNTER_LIMIT:
            raise ValueError(f"{name}s must stay below 2^32, got {first} + {count}: use another seed for the rest")
    return Noise(int(seed), STREAM_FREE, int(first_step), int(first_replica))


def checked_states(dynamics: str, start: ArrayLike | None, replicas: int, size: int, noise: Noise) -> FloatArray:
    """A fresh (replicas, N) array of starting states, validated against what the dynamics' states can be."""
    if start is None:
        if dynamics not in CHAINS:
            return np.full((replicas, size), 0.5)
        states = np.empty((replicas, size))
        for r in range(replicas):
            # the stream counts as the step, so that independent phases start independently
            uniforms(noise.seed, STREAM_START, noise.stream, noise.first_replica + r, states[r])
        return (states < 0.5).astype(np.float64)
    values = real_array("start", start, np.ndim(start))
    if values.shape not in ((size,), (replicas, size)):
        raise ValueError(f"start must have shape ({size},) or ({replicas}, {size}), got {values.shape}")
    if dynamics in CHAINS and not np.isin(values, (0.0, 1.0)).all():
        raise ValueError(f"start must be spikes 0 or 1 for {dynamics}, got {values[~np.isin(values, (0.0, 1.0))][0]}")
    if dynamics == "leaky" and ((values < 0) | (values > 1)).any():
        raise ValueError(f"start must be traces in [0, 1], got {values[(values < 0) | (values > 1)][0]}")
    return np.broadcast_to(values, (replicas, size)).copy()


def _check_langevin(model: Model, leak: FloatArray) -> None:
    stiffness = 1 - model.spectrum
    if stiffness[0] <= 0 or stiffness[-1] <= 0:
        raise ValueError(
            f"langevin needs I − J positive definite, but λ_max(J) = {model.spectrum[-1]:.4g} ≥ 1: scale the couplings down"
        )
    limit = 2 / stiffness.max()
    if leak.max() >= limit:
        raise ValueError(f"langevin needs leak < 2/λ_max(I − J) = {limit:.4g}, got {leak.max()}: use a smaller leak")
