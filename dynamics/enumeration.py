"""Exact laws of small networks, by enumeration of all 2^N states or of all spike histories.

Main results: exact_law (thm:B1, thm:B2), exact_gradient (thm:C5), transition_matrix (thm:B1, thm:B7b), leaky_law (thm:B4).

The moments of exp(−E/T) and of Little's law are accumulated without storing states: the low 12 units form a table in
cache that is built by doubling, each state of the high units adds one linear term to it, and one halving fold per
block gives every low marginal. Work is O(1) a state for Gibbs and O(N) for Little, memory O(2^12).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import prange
from numpy.typing import ArrayLike

from dynamics.kernel import kernel
from meanfield.equations import firing_probability
from meanfield.model import FloatArray, Gradient, Model, QuadraticCost, leak_vector, real_array, whole_number
from meanfield.response import symmetric_gradient

MAX_UNITS = 24
# Little's statistics of successive states are sums over states times units squared.
MAX_PARALLEL_UNITS = 16
MAX_TRANSITION_UNITS = 10
MAX_HISTORIES = 1 << 22
LOW_UNITS = 12
# A fixed number of chunks of high states, summed in order: the result does not depend on the number of threads.
CHUNKS = 64


@kernel()
def _linear_table(coefficients, units, out):
    """out[l] = Σ_{i < units} coefficients[i] · bit i of l, by doubling."""
    out[0] = 0.0
    for i in range(units):
        half = 1 << i
        for low in range(half):
            out[half + low] = out[low] + coefficients[i]


@kernel()
def _quadratic_table(couplings, bias, units, scratch, out):
    """out[l] = bᵀz + ½ zᵀJz over the low units, z the bits of l, by doubling."""
    out[0] = 0.0
    for i in range(units):
        half = 1 << i
        _linear_table(couplings[i], i, scratch)
        for low in range(half):
            out[half + low] = out[low] + bias[i] + scratch[low]


@kernel()
def _block_log_weights(couplings, bias, high, low_units, low_table, low_fields, little, scratch, out):
    """Log weights of the 2^low_units states whose high units spell `high`; couplings and bias are in units of T."""
    size = bias.shape[0]
    field = bias.copy()
    constant = 0.0
    for j in range(low_units, size):
        if (high >> (j - low_units)) & 1:
            # half of the double count: the field so far holds only high units below j
            constant += bias[j] if little else field[j]
            for i in range(size):
                field[i] += couplings[j, i]
    if not little:
        _linear_table(field - bias, low_units, scratch)
        for low in range(out.shape[0]):
            out[low] = constant + low_table[low] + scratch[low]
        return
    for low in range(out.shape[0]):
        positive, product = constant + low_table[low], 1.0
        for i in range(size):
            argument = field[i] + low_fields[low, i]
            positive += max(argument, 0.0)
            product *= 1.0 + math.exp(-abs(argument))
        # ln(1 + e^x) = max(x, 0) + ln(1 + e^{−|x|}), the logarithms taken once: the product is at most 2^24
        out[low] = positive + math.log(product)


@kernel()
def _low_tables(couplings, bias, low_units, little):
    """(low_table, low_fields): the low units' own log weight and, for Little's law, the fields they cause in all units."""
    size = bias.shape[0]
    states = 1 << low_units
    low_table, scratch = np.empty(states), np.empty(states)
    low_fields = np.empty((states if little else 1, size))
    if little:
        _linear_table(bias, low_units, low_table)
        for i in range(size):
            _linear_table(couplings[i], low_units, scratch)
            low_fields[:, i] = scratch
    else:
        _quadratic_table(couplings, bias, low_units, scratch, low_table)
    return low_table, low_fields


@kernel()
def _chunk_moments(couplings, bias, tilt, offset, tilted, little, low_units, low_table, low_fields, first, last, pairs):
    """(reference, total) of high states first..last−1; fills pairs (N, N) with Σ w z_i z_j / e^reference, diagonal Σ w z_i.

    w is the weight, times (tilt·z − offset) when tilted.
    """
    size = bias.shape[0]
    states = 1 << low_units
    log_weights, scratch, fold = np.empty(states), np.empty(states), np.empty(states)
    low_total, tilt_table = np.zeros(states), np.zeros(states)
    if tilted:
        _linear_table(tilt, low_units, tilt_table)
    reference, total = -np.inf, 0.0
    for high in range(first, last):
        _block_log_weights(couplings, bias, high, low_units, low_table, low_fields, little, scratch, log_weights)
        peak = log_weights.max()
        if peak > reference:
            shrink = math.exp(reference - peak)
            total *= shrink
            low_total *= shrink
            pairs *= shrink
            reference = peak
        shift = -offset
        if tilted:
            for j in range(low_units, size):
                if (high >> (j - low_units)) & 1:
                    shift += tilt[j]
        for low in range(states):
            weight = math.exp(log_weights[low] - reference)
            if tilted:
                weight *= tilt_table[low] + shift
            fold[low] = weight
            low_total[low] += weight
        for i in range(low_units - 1, -1, -1):
            half = 1 << i
            marginal = 0.0
            for low in range(half):
                marginal += fold[half + low]
                fold[low] += fold[half + low]
            for j in range(low_units, size):
                if (high >> (j - low_units)) & 1:
                    pairs[j, i] += marginal
        total += fold[0]
        for j in range(low_units, size):
            if (high >> (j - low_units)) & 1:
                for k in range(low_units, j + 1):
                    if (high >> (k - low_units)) & 1:
                        pairs[j, k] += fold[0]
    for low in range(states):
        for i in range(low_units):
            if (low >> i) & 1:
                for k in range(i + 1):
                    if (low >> k) & 1:
                        pairs[i, k] += low_total[low]
    return reference, total


def _chunked_moments(couplings, bias, tilt, offset, tilted, little, low_units, chunks):
    size = bias.shape[0]
    low_table, low_fields = _low_tables(couplings, bias, low_units, little)
    highs = 1 << (size - low_units)
    references, totals = np.empty(chunks), np.empty(chunks)
    pairs = np.zeros((chunks, size, size))
    for chunk in prange(chunks):
        first, last = highs * chunk // chunks, highs * (chunk + 1) // chunks
        references[chunk], totals[chunk] = _chunk_moments(
            couplings, bias, tilt, offset, tilted, little, low_units, low_table, low_fields, first, last, pairs[chunk]
        )
    return references, totals, pairs


# Waking threads costs more than a small enumeration; both add the same chunks in the same order.
_serial_moments = kernel()(_chunked_moments)
_parallel_moments = kernel(parallel=True)(_chunked_moments)


@kernel()
def _all_log_weights(couplings, bias, little, low_units, out):
    low_table, low_fields = _low_tables(couplings, bias, low_units, little)
    states = 1 << low_units
    scratch = np.empty(states)
    for high in range(1 << (bias.shape[0] - low_units)):
        block = out[high * states : (high + 1) * states]
        _block_log_weights(couplings, bias, high, low_units, low_table, low_fields, little, scratch, block)


def _moments(
    model: Model, bias: FloatArray, little: bool, tilt: FloatArray | None = None, offset: float = 0.0
) -> tuple[float, float, FloatArray]:
    """(ln Σw, Σ w(tilt·z − offset) / Σw or 1, matrix of Σ w z_i z_j (tilt·z − offset) / Σw with means on the diagonal)."""
    low_units = min(model.size, LOW_UNITS)
    chunks = min(CHUNKS, 1 << (model.size - low_units))
    scaled = model.couplings / model.temperature, bias / model.temperature
    setting = (*scaled, np.zeros(1) if tilt is None else tilt, offset, tilt is not None, little, low_units, chunks)
    references, totals, pairs = (_parallel_moments if chunks == CHUNKS else _serial_moments)(*setting)
    shrink = np.exp(references - references.max())
    total = float(shrink @ totals)
    lower = np.tensordot(shrink, pairs, axes=1)
    matrix = lower + np.tril(lower, -1).T
    return float(references.max()), total, matrix


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
        """(2^N,), finite where the probabilities underflow; computed at every call."""
        size = self._model.size
        weights = np.empty(1 << size)
        temperature = self._model.temperature
        _all_log_weights(
            self._model.couplings / temperature, self._bias / temperature, self._little, min(size, LOW_UNITS), weights
        )
        weights -= self.log_partition
        return weights


def exact_law(
    model: Model, *, dynamics: str = "gibbs", cost: QuadraticCost | None = None, nudging: float = 0.0
) -> ExactLaw:
    """The law ∝ exp(−E/T) ("gibbs") or Peretto's ∝ exp(bᵀz/T) Π_i (1 + exp(h_i(z)/T)) ("little"), over all 2^N states.

    With a cost, E + nudging · C(z) with C on spikes: the bias becomes b − nudging · c, c = ½ − y on the outputs.
    N ≤ 24, else ValueError. Paper: thm:B1, thm:B2.
    """
    check_law(model, dynamics, MAX_UNITS)
    bias = nudged_bias(model, cost, nudging)
    little = dynamics == "little"
    reference, total, matrix = _moments(model, bias, little)
    second = matrix / total
    mean = np.diagonal(second).copy()
    return ExactLaw(mean, second - np.outer(mean, mean), reference + math.log(total), model, bias, little)


def exact_gradient(model: Model, cost: QuadraticCost, *, cost_on: str = "spikes", dynamics: str = "gibbs") -> Gradient:
    """∂⟨C⟩/∂θ = −(1/T) Cov(∂E/∂θ, C) under exp(−E/T), or of Little's own loss (dynamics "little"), by enumeration.

    cost_on "spikes": ⟨C(z)⟩, C(z) = ½‖z_o − y‖². "rates": the loss ½‖E z_o − y‖², whose gradient is that of a linear cost
    with slopes E z_o − y. Little: (1/2T) Cov(z_i(t+1)z_j(t) + z_j(t+1)z_i(t), c·z(t) + c·z(t+1)). N ≤ 24, Little 16, else
    ValueError. Paper: thm:C5, thm:C5b.
    """
    check_law(model, dynamics)
    if dynamics == "little":
        return _little_gradient(model, cost, cost_on)
    slope, offset = cost.force(model.size, cost_on)
    _, total, matrix = _moments(model, model.bias, False)
    mean = np.diagonal(matrix) / total
    linear = slope * mean + offset
    # centred before summing: Cov(z_i z_j, c·z) = E[z_i z_j (c·z − E c·z)]
    _, _, tilted = _moments(model, model.bias, False, linear, float(linear @ mean))
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


def check_law(model: Model, dynamics: str, largest_parallel: int = MAX_PARALLEL_UNITS) -> None:
    """Refuse a dynamics without a law in closed form, or a network too large to enumerate under it."""
    if dynamics not in ("gibbs", "little"):
        raise ValueError(
            f"dynamics must be 'gibbs' or 'little', got {dynamics!r}: only these have a law in closed form"
        )
    _check_enumerable(model, MAX_UNITS if dynamics == "gibbs" else largest_parallel)


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


def _check_enumerable(model: Model, limit: int) -> None:
    if model.size > limit:
        raise ValueError(
            f"{model.size} units have 2^{model.size} states, too many to enumerate (limit {limit} units): "
            "use sample or estimate_gradient"
        )
