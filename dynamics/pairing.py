"""The pair statistic of a phase, and the sums over replicas of its difference between two phases.

Main results: Phase, STATISTICS, checked_statistic, read_phase, difference_sums (thm:B7b, thm:C8b).
"""

from __future__ import annotations

from typing import NamedTuple

from dynamics.phases import Noise, Setting, firing, nudged_phase
from meanfield.model import FloatArray

STATISTICS = ("spikes", "traces", "probabilities")


class Phase(NamedTuple):
    """The factors of the pair statistic ½(left_i right_j + right_i left_j), and the unit statistic, each (replicas, N)."""

    left: FloatArray
    right: FloatArray
    unit: FloatArray


def checked_statistic(statistic: str | None, dynamics: str, estimator: str) -> str:
    """The statistic that the dynamics reads, by default its states; ValueError for one that it does not have."""
    if statistic is None:
        return "traces" if dynamics == "leaky" else "spikes"
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}, got {statistic!r}")
    if statistic == "traces" and dynamics != "leaky":
        raise ValueError(f"statistic 'traces' needs dynamics 'leaky': {dynamics!r} has none, use 'spikes'")
    if statistic == "probabilities" and estimator == "three-factor":
        raise ValueError(
            "estimator 'three-factor' correlates spikes with the cost of the same spikes, which a firing probability "
            "does not share: use statistic='spikes'"
        )
    return statistic


def read_phase(
    setting: Setting, start: FloatArray, steps: int, noise: Noise, nudgings: FloatArray, statistic: str
) -> Phase:
    """The factors after `steps` sweeps nudged by `nudgings` from `start`.

    Probabilities stand for the spikes that they are the conditional means of: those of the last parallel update given the
    state before it (little, leaky), or a unit given all others (glauber, block).
    """
    before, after, spikes = nudged_phase(setting, start, steps=steps, noise=noise, nudgings=nudgings)
    if statistic == "traces":
        return Phase(after, after, after)
    little = setting.dynamics == "little"
    if statistic == "spikes":
        return Phase(before, after, 0.5 * (before + after)) if little else Phase(spikes, spikes, spikes)
    if setting.dynamics == "leaky":
        chance = firing(setting, before, nudgings)
        return Phase(chance, chance, chance)
    state = before if little else after
    chance = firing(setting, state, nudgings)
    return Phase(state, chance, 0.5 * (state + chance) if little else chance)


def difference_sums(raised: Phase, lowered: Phase, scale: FloatArray) -> tuple[FloatArray, ...]:
    """Sums over replicas of d and d², d = scale · (raised − lowered) of the pair (N, N) and of the unit statistic (N,).

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
    unit = (raised.unit - lowered.unit) * scale[:, None]
    return 0.5 * (directed + directed.T), pair_square, unit.sum(axis=0), (unit**2).sum(axis=0)
