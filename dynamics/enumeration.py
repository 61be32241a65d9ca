"""Exact laws of small networks, by enumeration of all 2^N states or of all spike histories.

Main results: exact_law (thm:B1, thm:B2), exact_gradient (thm:C5), transition_matrix (thm:B1, thm:B7b), leaky_law (thm:B4).

Moments of exp(−E/T) and of Little's law are summed by dynamics.folding without storing states: O(1) work a state for Gibbs, O(N)
for Little. Whatever needs every probability stores them, and stops at fewer units.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from dynamics.folding import log_weights, moments
from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, leak_vector, real_array, whole_number
from meanfield.response import symmetric_gradient

# Moments of Gibbs' law are summed in a second; what stores 2^N numbers, or does Little's N operations a state, stops before.
MAX_SUMMED_UNITS = 30
MAX_UNITS = 24
# Little's statistics of successive states are sums over states times units squared.
MAX_PARALLEL_UNITS = 16
MAX_TRANSITION_UNITS = 10
MAX_HISTORIES = 1 << 22


@dataclass(frozen=True, eq=False)
class ExactLaw:
    """A stationary law by enumeration: mean (N,), covariance (N, N), log_partition = ln of the named law's normaliser."""

    mean: FloatArray
    covariance: FloatArray
    log_partition: float
    _model: Model
    _bias: FloatArray
    _little: bool

    @cached_property
    def probabilities(self) -> FloatArray:
        """(2^N,) computed on first access; bit i of the index is z_i."""
        logarithms = self.log_probabilities()
        return np.exp(logarithms, out=logarithms)

    def log_probabilities(self) -> FloatArray:
        """(2^N,), finite where the probabilities underflow; computed at every call; N ≤ 24, else ValueError."""
        _check_enumerable(
            self._model, MAX_UNITS, "mean, covariance and log_partition are summed without storing states"
        )
        temperature = self._model.temperature
        weights = log_weights(self._model.couplings / temperature, self._bias / temperature, self._little)
        weights -= self.log_partition
        return weights


def exact_law(
    model: Model, *, dynamics: str = "gibbs", cost: QuadraticCost | None = None, nudging: float = 0.0
) -> ExactLaw:
    """The law ∝ exp(−E/T) ("gibbs") or Peretto's ∝ exp(bᵀz/T) Π_i (1 + exp(h_i(z)/T)) ("little"), over all 2^N states.

    With a cost, E + nudging · C(z) with C on spikes: the bias becomes b − nudging · c, c = ½ − y on the outputs.
    N ≤ 30, Little and probabilities 24, else ValueError. Paper: thm:B1, thm:B2.
    """
    check_law(model, dynamics, MAX_SUMMED_UNITS, MAX_UNITS)
    bias = nudged_bias(model, cost, nudging)
    little = dynamics == "little"
    reference, total, matrix = moments(model.couplings / model.temperature, bias / model.temperature, little)
    second = matrix / total
    mean = np.diagonal(second).copy()
    return ExactLaw(mean, second - np.outer(mean, mean), reference + math.log(total), model, bias, little)


def exact_gradient(model: Model, cost: QuadraticCost, *, cost_on: str = "spikes", dynamics: str = "gibbs") -> Gradient:
    """∂⟨C⟩/∂θ = −(1/T) Cov(∂E/∂θ, C) under exp(−E/T), or of Little's own loss (dynamics "little"), by enumeration.

    cost_on "spikes": ⟨C(z)⟩, C(z) = ½‖z_o − y‖². "rates": the loss ½‖E z_o − y‖², whose gradient is that of a linear cost
    with slopes E z_o − y. Little: (1/2T) Cov(z_i(t+1)z_j(t) + z_j(t+1)z_i(t), c·z(t) + c·z(t+1)). N ≤ 30, Little 16, else
    ValueError. Paper: thm:C5, thm:C5b.
    """
    check_law(model, dynamics, MAX_SUMMED_UNITS)
    if dynamics == "little":
        return _little_gradient(model, cost, cost_on)
    slope, offset = cost.force(model.size, cost_on)
    scaled = model.couplings / model.temperature, model.bias / model.temperature
    _, total, matrix = moments(*scaled, False)
    mean = np.diagonal(matrix) / total
    linear = slope * mean + offset
    # centred before summing: Cov(z_i z_j, c·z) = E[z_i z_j (c·z − E c·z)]
    _, _, tilted = moments(*scaled, False, linear, float(linear @ mean))
    covariance = tilted / total / model.temperature
    return symmetric_gradient(np.triu(covariance, 1), np.diagonal(covariance).copy())


def _little_gradient(model: Model, cost: QuadraticCost, cost_on: str) -> Gradient:
    slope, offset = cost.force(model.size, cost_on)
    law, states = exact_law(model, dynamics="little"), all_states(model.size)
    linear = slope * law.mean + offset
    firing = firing_probability(model.local_field(states), model.temperature)
    # E[z'_i f(z, z') | z] with f = c·z + c·z' − 2E c·z, the next spikes z' independent Bern(p(z))
    centred = states @ linear + firing @ linear - 2 * linear @ law.mean
    following = firing * (centred[:, None] + linear * (1 - firing))
    one_way = (states * law.probabilities[:, None]).T @ following / (2 * model.temperature)
    return symmetric_gradient(one_way, (law.probabilities * centred) @ states / model.temperature)


def check_law(
    model: Model, dynamics: str, largest: int = MAX_UNITS, largest_parallel: int = MAX_PARALLEL_UNITS
) -> None:
    """Refuse a dynamics without a law in closed form, or a network too large to enumerate under it."""
    if dynamics not in ("gibbs", "little"):
        raise ValueError(
            f"dynamics must be 'gibbs' or 'little', got {dynamics!r}: only these have a law in closed form"
        )
    _check_enumerable(model, largest if dynamics == "gibbs" else largest_parallel)


def nudged_bias(model: Model, cost: QuadraticCost | None, nudging: float) -> FloatArray:
    """b − nudging · c with c = ½ − y on the outputs: the nudge of a cost on spikes, which is linear."""
    if not np.isfinite(nudging):
        raise ValueError(f"nudging must be finite, got {nudging}")
    if cost is None:
        if nudging != 0:
            raise ValueError(f"nudging = {nudging} needs a cost to nudge towards: pass cost=QuadraticCost(…)")
        return model.bias
    return model.bias - nudging * cost.force(model.size, "spikes")[1]


def all_states(size: int) -> FloatArray:
    """Every z ∈ {0,1}^N, (2^N, N); bit i of the row index is z_i."""
    return ((np.arange(1 << size)[:, None] >> np.arange(size)) & 1).astype(np.float64)


def product_law(means: FloatArray, copies: int = 1) -> FloatArray:
    """Probabilities of ⊗Binom(K, m) over all counts: (…, N) -> (…, (K+1)^N), digit i of the index is unit i's count."""
    result = np.ones((*means.shape[:-1], 1))
    for i in range(means.shape[-1]):
        mean = means[..., i, None]
        counts = [math.comb(copies, k) * mean**k * (1 - mean) ** (copies - k) for k in range(copies + 1)]
        result = np.concatenate([result * chance for chance in counts], axis=-1)
    return result


def transition_matrix(model: Model, *, dynamics: str = "glauber", colours: ArrayLike | None = None) -> FloatArray:
    """P[z, z'] of one step, (2^N, 2^N), rows sum to 1, bit i of an index is z_i; N ≤ 10, else ValueError.

    "glauber": one update of a uniformly chosen site; "systematic": one sweep over sites 0 … N−1; "little": all at once;
    "block": the units of colour 0 at once, then those of colour 1 (colours (N,) of 0 and 1, no coupling within one).
    """
    _check_enumerable(model, MAX_TRANSITION_UNITS)
    if dynamics == "little":
        return _parallel_update(model, np.ones(model.size, dtype=bool))
    if dynamics == "block":
        if colours is None:
            raise ValueError("dynamics 'block' needs colours: one 0 or 1 for each unit")
        first = _first_colour(model, colours)
        return _parallel_update(model, first) @ _parallel_update(model, ~first)
    singles = [_parallel_update(model, np.arange(model.size) == i) for i in range(model.size)]
    if dynamics == "glauber":
        return sum(singles[1:], singles[0]) / model.size
    if dynamics == "systematic":
        return np.linalg.multi_dot(singles) if len(singles) > 1 else singles[0]
    raise ValueError(f"dynamics must be 'glauber', 'systematic', 'block' or 'little', got {dynamics!r}")


def _first_colour(model: Model, colours: ArrayLike) -> np.ndarray:
    """Where the colour is 0, (N,); refused when two units of one colour are coupled."""
    values = np.asarray(colours)
    if values.shape != (model.size,) or not np.isin(values, (0, 1)).all():
        raise ValueError(f"colours must be one 0 or 1 for each of the {model.size} units, got {values.tolist()}")
    inside = (model.couplings != 0) & (values[:, None] == values)
    if inside.any():
        i, j = (int(k) for k in np.argwhere(inside)[0])
        raise ValueError(f"colours must differ for coupled units, but units {i} and {j} are both {values[i]}")
    return values == 0


def _parallel_update(model: Model, updated: np.ndarray) -> FloatArray:
    states = all_states(model.size)
    probability = firing_probability(model.local_field(states), model.temperature)
    return product_law(np.where(updated, probability, states))


def leaky_law(
    model: Model,
    *,
    leak: float | ArrayLike,
    steps: int,
    start: ArrayLike | None = None,
    copies: int = 1,
    biases: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """(traces (M, steps + 1, N), probabilities (M,)) of the leaky chain from a fixed start over all its spike histories.

    s_{t+1} = (1−ε)s_t + ε k_t/K, k_t ~ Binom(K, σ(h(s_t)/T)) per unit; start default ½; biases (steps, N) replaces b step by
    step (a drifting input). M = (K+1)^(N·steps) histories are not merged, so every functional of the path has its exact
    law. M ≤ 2^22, else ValueError.
    """
    leaks = leak_vector(leak, model.size)
    whole_number("steps", steps, 0)
    whole_number("copies", copies, 1)
    if model.size * steps * math.log2(copies + 1) > math.log2(MAX_HISTORIES):
        raise ValueError(
            f"{model.size} units with {copies} copies over {steps} steps have {copies + 1}^{model.size * steps} spike "
            "histories, more than 2^22: use fewer steps, or sample(…, dynamics='leaky')"
        )
    begin = np.full(model.size, 0.5) if start is None else real_array("start", start, 1)
    if begin.shape != (model.size,):
        raise ValueError(f"start must have one trace per unit, ({model.size},), got shape {begin.shape}")
    drift = np.tile(model.bias, (steps, 1)) if biases is None else real_array("biases", biases, 2)
    if drift.shape != (steps, model.size):
        raise ValueError(f"biases must have one row per step, ({steps}, {model.size}), got shape {drift.shape}")
    if ((begin < 0) | (begin > 1)).any():
        raise ValueError(f"start must be traces in [0, 1], got {begin[(begin < 0) | (begin > 1)][0]}")
    drives = np.array(list(itertools.product(range(copies + 1), repeat=model.size)), dtype=np.float64)[:, ::-1] / copies
    paths, probabilities = begin[None, None, :], np.ones(1)
    for t in range(steps):
        now = paths[:, -1]
        field = now @ model.couplings + drift[t]
        branch = product_law(firing_probability(field, model.temperature), copies)
        following = (1 - leaks) * now[:, None, :] + leaks * drives
        probabilities = (probabilities[:, None] * branch).ravel()
        history = np.repeat(paths, len(drives), axis=0)
        paths = np.concatenate([history, following.reshape(-1, 1, model.size)], axis=1)
    return paths, probabilities


def _check_enumerable(model: Model, limit: int, remedy: str = "use sample or estimate_gradient") -> None:
    if model.size > limit:
        raise ValueError(
            f"{model.size} units have 2^{model.size} states, too many to enumerate (limit {limit} units): {remedy}"
        )
