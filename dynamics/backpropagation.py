"""Backpropagation through time of the deterministic relaxation, by hand: what EP is held against (thm:C4, thm:E2).

Main results: backpropagation_through_time, backpropagated_gradient, reversed_cycle, Backpropagation.

A step is s_{k+1} = (1−ε)s_k + ε σ(h(s_k)/T), L = C(s_n). Backwards, with δ_n = ∂C/∂s: g_k = (ε p(1−p)/T) ∘ δ_{k+1} is
∂L/∂h of the step from s_k, and δ_k = (1−ε) ∘ δ_{k+1} + Jᵀg_k.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dynamics.activations import firing_probability, firing_slope
from dynamics.kernel import kernel
from dynamics.phases import relax
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, leak_cycle, whole_number
from meanfield.response import symmetric_gradient


class Backpropagation(NamedTuple):
    """What BPTT knows of one relaxation: loss C(s_n), states (n + 1, N), and fields (n, N), row k the ∂L/∂h of step k."""

    loss: float
    states: FloatArray
    fields: FloatArray

    def contribution(self, before: int) -> Gradient:
        """The part of dL/dθ of the use of θ `before` steps before the loss; 1 is the last step."""
        uses = len(self.fields)
        if whole_number("before", before, 1) > uses:
            raise ValueError(f"before must be at most the {uses} steps that were run, got {before}")
        field, state = self.fields[uses - before], self.states[uses - before]
        return symmetric_gradient(field[:, None] * state, field.copy())

    def truncated(self, uses: int) -> Gradient:
        """dL/dθ of the last `uses` uses of θ alone; with all of them the whole gradient of the unrolled loss."""
        steps = len(self.fields)
        if whole_number("uses", uses, 0) > steps:
            raise ValueError(f"uses must be at most the {steps} steps that were run, got {uses}")
        fields, states = self.fields[steps - uses :], self.states[steps - uses : steps]
        return symmetric_gradient(np.einsum("ti,tj->ij", fields, states), fields.sum(axis=0))


@kernel()
def reverse_step(state, adjoint, slope, couplings, bias, temperature, leak):
    """Carry adjoint (N,) = ∂L/∂s' of one step back to ∂L/∂s, in place; slope (N,) becomes ∂L/∂h of the step."""
    size = state.shape[0]
    slope[:] = bias
    for j in range(size):
        for i in range(size):
            slope[i] += state[j] * couplings[j, i]
    for i in range(size):
        probability = firing_probability(slope[i], temperature)
        slope[i] = leak[i] * firing_slope(probability, temperature) * adjoint[i]
        adjoint[i] = (1.0 - leak[i]) * adjoint[i]
    for j in range(size):
        for i in range(size):
            adjoint[j] += couplings[j, i] * slope[i]


@kernel()
def reverse_fields(states, adjoint, fields, couplings, bias, temperature, leaks):
    """fields[k] (N,) = ∂L/∂h of step k, from the last step to the first."""
    for k in range(fields.shape[0] - 1, -1, -1):
        reverse_step(states[k], adjoint, fields[k], couplings, bias, temperature, leaks[k % leaks.shape[0]])


@kernel()
def reverse_gradient(states, adjoint, product, total, couplings, bias, temperature, leaks):
    """product (N, N) = Σ_k g_k s_kᵀ and total (N,) = Σ_k g_k, from the last step to the first."""
    size = adjoint.shape[0]
    slope = bias.copy()
    product[:] = 0.0
    total[:] = 0.0
    for k in range(states.shape[0] - 2, -1, -1):
        reverse_step(states[k], adjoint, slope, couplings, bias, temperature, leaks[k % leaks.shape[0]])
        for i in range(size):
            total[i] += slope[i]
            for j in range(size):
                product[i, j] += slope[i] * states[k, j]


def backpropagation_through_time(
    model: Model,
    cost: QuadraticCost,
    *,
    steps: int,
    leak: float | ArrayLike = 1.0,
    start: ArrayLike | None = None,
    cost_on: str = "rates",
) -> Backpropagation:
    """Unroll `relax` for n = steps from `start` (default ½) and differentiate L = C(s_n) step by step, in reverse.

    leak as in `relax`: a number, (N,), or rows (period, N) used in turn. cost_on "rates": C(s) = ½‖s_o − y‖²; "spikes": C̄(s).
    Memory 16N bytes a step: the states, and the contributions that are handed back. Raises ValueError. Paper: thm:C4.
    """
    states, adjoint, leaks = _unrolled(model, cost, steps, leak, start, cost_on)
    loss = cost.on_rates(states[-1]) if cost_on == "rates" else cost.on_mean_spikes(states[-1])
    fields = np.empty((steps, model.size))
    reverse_fields(states, adjoint, fields, model.couplings, model.bias, model.temperature, leaks)
    return Backpropagation(float(loss), states, fields)


def backpropagated_gradient(
    model: Model,
    cost: QuadraticCost,
    *,
    steps: int,
    leak: float | ArrayLike = 1.0,
    start: ArrayLike | None = None,
    cost_on: str = "rates",
) -> Gradient:
    """dC(s_n)/dθ of the unrolled relaxation, in the least memory that reverse mode has without recomputing: 8N bytes a step.

    Arguments as in backpropagation_through_time, whose .truncated(steps) it equals. Paper: thm:E2.
    """
    states, adjoint, leaks = _unrolled(model, cost, steps, leak, start, cost_on)
    product, total = np.empty((model.size, model.size)), np.empty(model.size)
    reverse_gradient(states, adjoint, product, total, model.couplings, model.bias, model.temperature, leaks)
    return symmetric_gradient(product, total)


def reversed_cycle(leak: float | ArrayLike, size: int, steps: int) -> FloatArray:
    """The rows (period, N) with which `steps` steps take the leaks of `leak` in the opposite order.

    EP that nudges with one order equals BPTT of the network that runs with the other (thm:C4): two alternating blocks end with
    the block that EP moves first. One row stays as it is.
    """
    rows = leak_cycle(leak, size)
    return rows[(steps - 1 - np.arange(len(rows))) % len(rows)]


def _unrolled(
    model: Model, cost: QuadraticCost, steps: int, leak: float | ArrayLike, start: ArrayLike | None, cost_on: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The states (steps + 1, N), the loss's slope ∂C/∂s at the last of them, and the cycle of leaks."""
    slope, offset = cost.force(model.size, cost_on)
    states = relax(model, steps=steps, leak=leak, start=start)
    return states, slope * states[-1] + offset, leak_cycle(leak, model.size)
