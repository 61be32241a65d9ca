"""Mean and variance of a trace estimate, exactly: two leaky phases of two units in their common stationary law.

Main results: stationary_trace_moments (thm:C9b).

Under shared uniforms a unit fires in both phases with probability min(p⁺, p⁻), in one of them with |p⁺ − p⁻|. Where the nudge
orders the phases for good this is analytic in the four traces, and the pair's transfer operator is collocated as in `transfer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from dynamics.coupling import EstimatorMoments, gradient_of
from dynamics.transfer import lagrange
from meanfield.equations import cost_force, firing_probability
from meanfield.model import FloatArray, Model, QuadraticCost, whole_number
from meanfield.response import linear_noise, susceptibility
from meanfield.solve import fixed_point

UNITS = 2
# Relative residual of one run of GMRES, its Krylov dimension, and how many runs: 1e-6 three times is rounding.
RESIDUAL, KRYLOV, RUNS = 1e-6, 100, 3
# Half the window that holds a trace's law, in standard deviations; polynomials carry on beyond it.
# (fires in the phase that fires more, fires in the other)
WIDTH = 5.0
OUTCOMES = ((1, 1), (1, 0), (0, 0))


def stationary_trace_moments(
    model: Model, cost: QuadraticCost, *, nudging: float, leak: float, cost_on: str = "rates", nodes: int = 8
) -> EstimatorMoments:
    """Mean and variance of −(s_is_j)(β) + (s_is_j)(−β) over 2β, coupled stationary traces, `nodes` Chebyshev nodes a trace.

    The bias part is that of −s_i. *Holds when* N = 2, β > 0, and the nudge orders the phases: there are signs g with g₁g₂J₁₂ ≥ 0
    and g_o f_o ≥ 0 for the forces f_o of both phases, whatever their traces; else ValueError. leak: a number in (0, 1].
    Paper: thm:C9b.
    """
    if model.size != UNITS:
        raise ValueError(f"collocation of pairs serves {UNITS} units, got {model.size}: use estimate_gradient")
    if not (np.isfinite(nudging) and nudging > 0):
        raise ValueError(f"nudging must be positive and finite, got {nudging}: the estimate divides by it")
    if not 0 < leak <= 1:
        raise ValueError(f"leak must be in (0, 1], got {leak}")
    whole_number("nodes", nodes, 2)
    slope, offset = cost.force(model.size, cost_on)
    raised = phase_order(model, slope, offset)
    points = _windows(model, nudging * np.abs(offset + slope / 2), leak, nodes)
    # axes: trace of unit 1 in the phases β and −β, then those of unit 2
    traces = np.stack(np.meshgrid(points[0], points[0], points[1], points[1], indexing="ij"))
    chances = []
    for phase, strength in enumerate((nudging, -nudging)):
        now = np.stack([traces[phase], traces[2 + phase]], axis=-1)
        field = model.local_field(now) + cost_force(now, slope, offset, strength)
        chances.append(firing_probability(field, model.temperature))
    law = _stationary(points, chances, raised, leak)
    pairs = traces[0] * traces[2] - traces[1] * traces[3]
    changes = [part.reshape(law.shape) for part in (pairs, traces[0] - traces[1], traces[2] - traces[3])]
    mean = np.array([(law * part).sum() for part in changes])
    square = np.array([(law * (part - centre) ** 2).sum() for part, centre in zip(changes, mean, strict=True)])
    return EstimatorMoments(gradient_of(-mean / (2 * nudging), UNITS), gradient_of(square / (2 * nudging) ** 2, UNITS))


def phase_order(model: Model, slope: FloatArray, offset: FloatArray) -> tuple[bool, ...]:
    """For each of two units, whether the phase at β fires whenever the one at −β does; ValueError where neither does for good."""
    forces = np.stack([-offset, -offset - slope])
    if ((forces > 0).any(axis=0) & (forces < 0).any(axis=0)).any():
        raise ValueError("the force changes sign between trace 0 and 1: use targets 0 and 1, or cost_on='spikes'")
    signs = np.sign(forces.sum(axis=0))
    link = np.sign(model.couplings[0, 1])
    signs = np.where(signs == 0, link * signs[::-1], signs)
    if link * signs[0] * signs[1] < 0:
        raise ValueError("the forces pull against the coupling, so no phase always fires more: use estimate_gradient")
    return tuple(bool(sign >= 0) for sign in signs)


def _windows(model: Model, push: FloatArray, leak: float, nodes: int) -> FloatArray:
    """Nodes (2, nodes) of both traces, on the part of [0, 1] that holds their law but for its far tails."""
    mean = fixed_point(model, method="newton").value
    spread = np.sqrt(np.diag(linear_noise(model, mean, leak)[0]))
    reach = WIDTH * spread + 2 * np.abs(susceptibility(model, mean)) @ push
    low, high = np.maximum(mean - reach, 0.0), np.minimum(mean + reach, 1.0)
    unit = 0.5 - 0.5 * np.cos(math.pi * (np.arange(nodes) + 0.5) / nodes)
    return low[:, None] + (high - low)[:, None] * unit


def _stationary(
    points: FloatArray, chances: list[FloatArray], raised: tuple[bool, ...], leak: float
) -> FloatArray:  # fmt: skip
    """Weights (nodes², nodes²) of the stationary law of ((s₁⁺, s₁⁻), (s₂⁺, s₂⁻))."""
    side = points.shape[1] ** 2
    weights: list[list[FloatArray]] = []
    moves: list[list[FloatArray]] = []
    for unit, up in enumerate(raised):
        single = [lagrange(points[unit], (1 - leak) * points[unit] + leak * spike) for spike in (0, 1)]
        high, low = (chances[phase][..., unit].reshape(side, side) for phase in ((0, 1) if up else (1, 0)))
        weights.append([low, high - low, 1 - high])
        moves.append([np.kron(single[z if up else y], single[y if up else z]) for z, y in OUTCOMES])

    def step(law: FloatArray) -> FloatArray:
        total = np.zeros((side, side))
        for weight, move in zip(weights[0], moves[0], strict=True):
            part = sum((weight * other * law) @ shift for other, shift in zip(weights[1], moves[1], strict=True))
            total += move.T @ part
        return total

    def balance(flat: FloatArray) -> FloatArray:
        law = flat.reshape(side, side)
        # wP = w with Σw = 1: the rank-one term fixes the normalisation of the null vector
        return (law - step(law) + law.sum() * uniform).ravel()

    uniform = np.full((side, side), 1.0 / side**2)
    return _solved(balance, _frozen_inverse(weights, moves), uniform)


def _frozen_inverse(
    weights: list[list[FloatArray]], moves: list[list[FloatArray]]
) -> Callable[[FloatArray], FloatArray]:
    """The inverse of 1 − Pᵀ with every probability at its median: two pairs that do not see each other, by eigenvectors."""
    frozen = [
        sum(float(np.median(chance)) * move.T for chance, move in zip(*unit, strict=True))
        for unit in zip(weights, moves, strict=True)
    ]
    (values, left), (others, right) = (np.linalg.eig(matrix) for matrix in frozen)
    gaps = 1 - np.outer(values, others)
    gaps[np.unravel_index(np.abs(gaps).argmin(), gaps.shape)] = 1.0
    inverses = np.linalg.inv(left), np.linalg.inv(right)
    side = len(gaps)

    def inverse(flat: FloatArray) -> FloatArray:
        return (left @ (inverses[0] @ flat.reshape(side, side) @ inverses[1].T / gaps) @ right.T).real.ravel()

    return inverse


def _solved(
    balance: Callable[[FloatArray], FloatArray], inverse: Callable[[FloatArray], FloatArray], wanted: FloatArray
) -> FloatArray:
    """balance(x) = wanted by GMRES, again for the residual: one run loses what the eigenvectors' condition costs."""
    shape = (wanted.size, wanted.size)
    system, preconditioner = (LinearOperator(shape, action) for action in (balance, inverse))
    found = np.zeros(wanted.size)
    for _ in range(RUNS):
        residual = wanted.ravel() - balance(found)
        scale = float(np.linalg.norm(residual))
        if scale == 0:
            break
        found += scale * gmres(system, residual / scale, rtol=RESIDUAL, restart=KRYLOV, maxiter=3, M=preconditioner)[0]
    return found.reshape(wanted.shape)
