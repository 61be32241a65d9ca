"""Scaled feedback: EP in a recurrent network whose feedback is weaker than its feedforward couplings.

FRE-RNN (Liu & Chen, ICLR 2026, arXiv:2508.11659; rule as in their code, github.com/Zero0Hero/FRE-RNN-EP) multiplies feedback by
factors f_l < 1 so that relaxation is fast, h_l = W_{l−1}s_{l−1} + f_l W_lᵀs_{l+1} + b_l, and learns W_l by (post free − post
nudged) × pre free. With d_l = f_1 ⋯ f_{l−1} the matrix diag(d)H is symmetric, H the couplings of the fields: there is an energy,
and everything that EP knows carries over with a factor d_o/d_i for neuron i. Residual links keep an energy only if their
feedback is scaled by the product of the factors that they skip. Factors may have either sign: excitation and inhibition.
Cost: the phases of EP, a free and a nudged one, of the length that thm:G3b says; BP's cost is one pass each way.
A small restatement on small nets; no benchmark of the paper is reproduced.

Main results: thm:G3, thm:G3b, thm:G3c.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.bounds.ranges import largest_derivatives
from meanfield.equations import firing_probability
from meanfield.model import FloatArray, HypothesisError
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.comparators.continual import truncated_errors
from proofs_numeric.comparators.symmetric_nudging import logistic_slope
from proofs_numeric.instances import LOG_TEMPERATURE, SEEDS, Interval

EPS = float(np.finfo(float).eps)
TINY = 1e-30
KINDS = ("chain", "residual", "signed", "dense")
LONGEST = 20_000
ERROR_STEPS = 800
DEEP = {
    "size": 6, "gain": 0.8, "log_temperature": 0.0, "log_factor": math.log(0.3), "leak": 1.0, "steps": 5, "seed": 3,
}  # fmt: skip
LONG = {
    "layers": 4, "gain": 2.0, "rate": 0.9, "log_factor": math.log(1e-3), "log_temperature": 0.0, "spread": 0.5,
    "log_tolerance": math.log(1e-6), "leak": 1.0, "seed": 1,
}  # fmt: skip
WEAK = {
    "layers": 3, "gain": 1.0, "rate": 0.9, "log_factor": math.log(1e-3), "log_temperature": 0.0, "spread": 2.0, "seed": 22,
}  # fmt: skip


class Circuit(NamedTuple):
    """A network with fields h = couplings @ s + bias, whatever the couplings (N, N); bias (N,); one temperature."""

    couplings: NDArray[Any]
    bias: NDArray[Any]
    temperature: float

    def step(self, state: NDArray[Any], leak: float = 1.0, push: Any = 0.0) -> NDArray[Any]:
        """(1−ε)s + ε σ((h(s) + push)/T)."""
        field = self.couplings @ state + self.bias + push
        return (1 - leak) * state + leak * firing_probability(field / self.temperature, 1.0)


def circuit_at(couplings: FloatArray, field: FloatArray, temperature: float) -> tuple[Circuit, FloatArray]:
    """The circuit that rests at m = σ(field), field in units of T, and m itself: b = T·field − Hm."""
    mean = firing_probability(field, 1.0)
    return Circuit(couplings, temperature * field - couplings @ mean, temperature), mean


def gauge(couplings: FloatArray) -> FloatArray:
    """d (N,), of either sign, with diag(d)·couplings symmetric; 1 for the first unit of every connected part.

    Raises HypothesisError when there is none: a link without its return, or a cycle whose two products differ (thm:G3).
    """
    size = len(couplings)
    found = np.zeros(size)
    for first in range(size):
        if found[first]:
            continue
        found[first], waiting = 1.0, [first]
        while waiting:
            i = waiting.pop()
            for j in np.flatnonzero(couplings[i]):
                if couplings[j, i] == 0:
                    raise HypothesisError(f"unit {i} hears unit {j}, which does not hear it: no energy")
                if not found[j]:
                    found[j] = found[i] * couplings[i, j] / couplings[j, i]
                    waiting.append(int(j))
    scaled = found[:, None] * couplings
    if (np.abs(scaled - scaled.T) > 1e-9 * np.abs(scaled)).any():
        i, j = (int(k) for k in np.argwhere(np.abs(scaled - scaled.T) > 1e-9 * np.abs(scaled))[0])
        raise HypothesisError(f"the products around a cycle through units {i} and {j} differ: no energy")
    return found


def chain_couplings(weights: Sequence[FloatArray], factors: Sequence[float]) -> FloatArray:
    """H (N, N) of layers with weights[l] from layer l to l + 1 and feedback factors[l]·weights[l]ᵀ."""
    sizes = [weights[0].shape[1], *(len(one) for one in weights)]
    ends = np.cumsum([0, *sizes])
    couplings = np.zeros((ends[-1], ends[-1]))
    for layer, (weight, factor) in enumerate(zip(weights, factors, strict=True)):
        low, high = slice(ends[layer], ends[layer + 1]), slice(ends[layer + 1], ends[layer + 2])
        couplings[high, low], couplings[low, high] = weight, factor * weight.T
    return couplings


def nudged_errors(
    circuit: Circuit, mean: FloatArray, force: tuple[FloatArray, FloatArray], *, steps: int, leak: float
) -> tuple[FloatArray, FloatArray]:
    """(e_i (N,), pair contrasts (N, N)) of EP after so many nudged steps: −T times the β-derivatives of s_i and s_is_j at 0.

    force: (slope, offset) of ∂C/∂s = slope ∘ s + offset. By a complex step of β from rest.
    """
    state, nudging = mean.astype(complex), 1j * TINY * circuit.temperature
    for _ in range(steps):
        state = circuit.step(state, leak, -nudging * (force[0] * state + force[1]))
    pairs = np.outer(state, state)
    return -state.imag / TINY, -pairs.imag / TINY


def unrolled_gradient(
    circuit: Circuit,
    mean: FloatArray,
    force: tuple[FloatArray, FloatArray],
    moved: FloatArray,
    *,
    steps: int,
    leak: float,
) -> float:
    """T times the derivative of C(s_n), s unrolled freely from rest, along couplings + x·moved, or along bias + x·moved if (N,)."""
    change = 1j * TINY * circuit.temperature * moved
    couplings, bias = (
        (circuit.couplings + change, circuit.bias) if moved.ndim == 2 else (circuit.couplings, circuit.bias + change)
    )
    other, state = Circuit(couplings, bias, circuit.temperature), mean.astype(complex)
    for _ in range(steps):
        state = other.step(state, leak)
    loss = (0.5 * force[0] * state**2 + force[1] * state).sum()
    return float(loss.imag) / TINY


def _random_circuit(
    kind: str, size: int, gain: float, log_temperature: float, log_factor: float, generator: np.random.Generator,
    broken: bool = False,
) -> tuple[Circuit, FloatArray, FloatArray, NDArray[np.int64]]:  # fmt: skip
    """(circuit, its rest m, gauge d, outputs) of ‖√d H /√d‖ = 4T·gain, factors between 1 and exp(log_factor)."""
    if kind == "dense" or kind == "signed":
        raw = generator.normal(size=(size, size))
        symmetric = np.triu(raw, 1) + np.triu(raw, 1).T
        signs = np.where(np.arange(size) < (size + 1) // 2, 1.0, -1.0)
        scale = signs if kind == "signed" else signs * np.exp(log_factor * generator.uniform(size=size))
        outputs = np.array([0])
        couplings = symmetric / scale[:, None]
    else:
        widths = generator.integers(1, 3, size=max(3, size // 2))
        weights = [generator.normal(size=(high, low)) for low, high in itertools.pairwise(widths.tolist())]
        factors = np.exp(log_factor * generator.uniform(size=len(weights)))
        couplings = chain_couplings(weights, factors.tolist())
        scale = np.repeat(np.concatenate([[1.0], np.cumprod(factors)]), widths)
        outputs = np.arange(int(widths[:-1].sum()), int(widths.sum()))
        if kind == "residual":
            link = generator.normal(size=(widths[2], widths[0]))
            top, low = slice(widths[:2].sum(), widths[:3].sum()), slice(0, widths[0])
            couplings[top, low] = link
            couplings[low, top] = factors[0] * (1.0 if broken else factors[1]) * link.T
    root = np.sqrt(np.abs(scale))
    norm = np.linalg.norm(root[:, None] * couplings / root, 2)
    temperature = math.exp(log_temperature)
    couplings = couplings * (4 * gain * temperature / norm if norm else 0.0)
    circuit, mean = circuit_at(couplings, 2 * generator.normal(size=len(couplings)), temperature)
    return circuit, mean, scale, outputs


@claim(
    label="G3",
    title="EP with scaled feedback",
    kind="identity",
    means="numeric",
    hypotheses="diag(d)H symmetric for some d without zeros, d equal on the outputs, start at rest, any leak, any number of steps",
    domain={
        "kind": Interval(0, len(KINDS) - 1, integer=True),
        "size": Interval(2, 7, integer=True),
        "gain": Interval(0.02, 2.0),
        "log_temperature": LOG_TEMPERATURE,
        "log_factor": Interval(math.log(1e-2), math.log(2.0)),
        "leak": Interval(0.05, 1.0),
        "steps": Interval(1, 6, integer=True),
        "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("one power of f more", {**DEEP, "kind": 0}),
        Falsifier("post times pre alone", {**DEEP, "kind": 0}),
        Falsifier("the raw error", {**DEEP, "kind": 0}),
        Falsifier("the sign of inhibition ignored", {**DEEP, "kind": 2}),
        Falsifier("a residual link scaled by f alone", {**DEEP, "kind": 1}, drops="diag(d)H symmetric"),
    ),
)
def scaled_feedback_is_exact(
    kind: int, size: int, gain: float, log_temperature: float, log_factor: float, leak: float, steps: int, seed: int,
    mutation: str | None = None,
) -> Evidence:  # fmt: skip
    """As β → 0, d_i/d_o times EP's error e_i is BPTT's, truncated to as many steps, and d_a/d_o times the contrast of s_as_b is the
    gradient in a weight that enters H_ab once and H_ba d_a/d_b times: layers with feedback f_l, residual links, inhibition.
    """
    generator = np.random.default_rng([seed, 80])
    broken = mutation == "a residual link scaled by f alone"
    circuit, mean, scale, outputs = _random_circuit(
        KINDS[kind], size, gain, log_temperature, log_factor, generator, broken
    )
    count = mean.size
    slope, offset = np.zeros(count), np.zeros(count)
    slope[outputs], offset[outputs] = 1.0, -generator.uniform(size=outputs.size)
    if mutation is None:
        scale = gauge(circuit.couplings)
    unrolled: dict[str, Any] = {"steps": steps, "leak": leak}
    force = (slope, offset)
    errors, pairs = nudged_errors(circuit, mean, force, **unrolled)
    factor = (np.abs(scale) if mutation == "the sign of inhibition ignored" else scale) / scale[outputs[0]]
    factor = {"one power of f more": math.exp(log_factor) * factor, "the raw error": np.ones(count)}.get(
        mutation or "", factor
    )
    # both sides with absolute couplings: what rounding grows with
    steep = logistic_slope(np.log(mean) - np.log1p(-mean)) / circuit.temperature
    ahead, back = (
        circuit.temperature * truncated_errors(one, steep, np.abs(slope * mean) + np.abs(offset), **unrolled)[-1]
        for one in (np.abs(circuit.couplings.T), np.abs(circuit.couplings))
    )
    misses, sizes = [], np.abs(factor) * ahead + back
    for i, unit in enumerate(np.eye(count)):
        misses.append(factor[i] * errors[i] - unrolled_gradient(circuit, mean, force, unit, **unrolled))
    linked = np.argwhere(np.tril(circuit.couplings != 0, -1))
    for a, b in generator.permutation(linked)[:4].tolist():
        moved = np.zeros((count, count))
        moved[a, b], moved[b, a] = 1.0, scale[a] / scale[b]
        stated = errors[a] * mean[b] if mutation == "post times pre alone" else pairs[a, b]
        misses.append(factor[a] * stated - unrolled_gradient(circuit, mean, force, moved, **unrolled))
        both = abs(factor[a]) * (ahead[a] + ahead[b]) + back[a] + abs(moved[b, a]) * back[b]
        sizes = np.append(sizes, both)
    return Evidence(np.abs(misses), 0.0, 1e3 * EPS * count * sizes)


def chain_steps(size: int, layers: int, factor: float, gain: float, tolerance: float) -> float:
    """Parallel steps from ½ after which every unit of a chain is within tolerance of rest: thm:G3b.

    [ln(√N/2·tolerance⁻¹) + ½(L−1)ln(1/f)]/ln(1/(√f κ)), κ that of f = 1; tends to L − 1 as f → 0. *Holds when* √f κ < 1, f ≤ 1.
    """
    rate = math.sqrt(factor) * gain
    if not 0 < rate < 1:
        raise HypothesisError(f"√f κ must lie in (0, 1), got {rate:.4g}: use a smaller factor")
    start = math.log(math.sqrt(size) / (2 * tolerance)) + 0.5 * (layers - 1) * math.log(1 / factor)
    return max(0.0, start) / math.log(1 / rate)


@claim(
    label="G3b",
    title="what scaled feedback does to relaxation",
    kind="inequality",
    hypotheses="a chain of L layers, one factor f ≤ 1 for all feedback, √f κ < 1 with κ = ‖J‖₂/4T at f = 1",
    domain={
        "layers": Interval(2, 5, integer=True),
        "gain": Interval(0.02, 3.0),
        "rate": Interval(0.05, 0.98),
        "log_factor": Interval(math.log(1e-6), 0.0),
        "log_temperature": LOG_TEMPERATURE,
        "spread": Interval(0.0, 2.0),
        "log_tolerance": Interval(math.log(1e-8), math.log(1e-2)),
        "leak": Interval(0.05, 1.0),
        "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("constant × 0.9", {**LONG, "log_factor": 0.0, "layers": 2, "leak": 0.05}),
        Falsifier("f for √f", LONG),
        Falsifier("the plain norm", LONG),
        Falsifier("no steps for the pass upwards", LONG),
    ),
)
def scaled_feedback_relaxes_fast(
    layers: int, gain: float, rate: float, log_factor: float, log_temperature: float, spread: float,
    log_tolerance: float, leak: float, seed: int, mutation: str | None = None,
) -> Evidence:  # fmt: skip
    """κ_f = √f κ in the norm ‖x‖_d² = Σd_ix_i², d_l = f^{l−1}: ‖s_t − m‖_d ≤ (1 − ε(1 − √f κ))^t‖s_0 − m‖_d, and parallel steps
    from ½ are within τ after [ln(√N/2τ) + ½(L−1)ln(1/f)]/ln(1/(√f κ)), which tends to L − 1 as f → 0.
    """
    generator = np.random.default_rng([seed, 81])
    widths = generator.integers(1, 4, size=layers)
    weights = [generator.normal(size=(high, low)) for low, high in itertools.pairwise(widths.tolist())]
    factor = min(math.exp(log_factor), (rate / gain) ** 2)
    plain = chain_couplings(weights, [1.0] * len(weights))
    temperature = math.exp(log_temperature)
    scaling = 4 * gain * temperature / np.linalg.norm(plain, 2)
    couplings = scaling * chain_couplings(weights, [factor] * len(weights))
    circuit, mean = circuit_at(couplings, spread * generator.normal(size=widths.sum()), temperature)
    scale = np.repeat(factor ** np.arange(layers), widths)
    root = np.sqrt(scale)
    weighted = float(np.linalg.norm(root[:, None] * couplings / root, 2)) / (4 * temperature)
    stated = (factor if mutation == "f for √f" else math.sqrt(factor)) * gain
    if mutation == "the plain norm":
        root = np.ones_like(root)
    state, length = np.full(mean.size, 0.5), []
    tolerance, needed = math.exp(log_tolerance), LONGEST
    for count in range(LONGEST):
        length.append(float(np.linalg.norm(root * (state - mean))))
        if np.abs(state - mean).max() <= tolerance:
            needed = count
            break
        state = circuit.step(state)
    steps = chain_steps(mean.size, layers, factor, gain, tolerance)
    if mutation == "no steps for the pass upwards":
        steps = chain_steps(mean.size, 1, factor, gain, tolerance)
    slow = np.full(mean.size, 0.5)
    for _ in range(8):
        slow = circuit.step(slow, leak)
    kept = (1 - leak * (1 - stated)) ** 8
    return Evidence(
        [abs(weighted - stated), needed, float(np.linalg.norm(root * (slow - mean))), *length[1:]],
        [0.0, math.ceil(steps), kept * length[0], *(stated * np.array(length[:-1]))],
        1e3 * EPS * (1 + gain),
    )


def distance_from_backpropagation(
    weights: Sequence[FloatArray],
    bias: FloatArray,
    temperature: float,
    factor: float,
    slope: FloatArray,
    offset: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Bounds (N,) on |m(f) − pass from below| and on |gradient in b of the f-net − BP's|, both O(f): thm:G3c.

    slope, offset (N,): ∂C/∂s, on the last layer alone. Raises HypothesisError unless √f κ_a < 1 (κ_a at f = 1).
    """
    forward = chain_couplings(weights, [0.0] * len(weights))
    return_path = chain_couplings(weights, [factor] * len(weights)) - forward
    ends = np.cumsum([0, weights[0].shape[1], *(len(one) for one in weights)])
    fields = _pass_from_below(forward, bias, temperature, ends)
    rates, size = firing_probability(fields, 1.0), ends[-1]
    away, steep, bent = np.zeros(size), np.zeros(size), np.zeros(size)
    above = np.maximum(np.maximum(return_path, 0).sum(axis=1), np.maximum(-return_path, 0).sum(axis=1))
    for low, high in itertools.pairwise(ends.tolist()):
        layer = slice(low, high)
        push = (np.abs(forward[layer]) @ away + above[layer]) / temperature
        first, second, _ = largest_derivatives(fields[layer] - push, fields[layer] + push)
        away[layer], steep[layer], bent[layer] = first * push, first / temperature, second * push / temperature
    force = np.abs(slope * rates + offset) + slope * away
    both = steep[:, None] * (np.abs(forward.T) + np.abs(return_path.T))
    if np.abs(np.linalg.eigvals(both)).max() >= 1:
        raise HypothesisError("√f κ_a must be below 1 with the slopes that occur: use a smaller factor")
    largest = np.linalg.solve(np.eye(size) - both, steep * force)
    exact = _backpropagated(forward, fields, temperature, slope * rates + offset, ends)
    miss = np.zeros(size)
    for low, high in zip(ends[-2::-1], ends[:0:-1], strict=True):
        layer = slice(low, high)
        carried = np.abs((slope * rates + offset) + forward.T @ exact)[layer]
        fresh = slope[layer] * away[layer] + np.abs(forward.T)[layer] @ miss + np.abs(return_path.T)[layer] @ largest
        miss[layer] = bent[layer] * carried + steep[layer] * fresh
    return away, miss


def _pass_from_below(forward: FloatArray, bias: FloatArray, temperature: float, ends: NDArray[np.int64]) -> FloatArray:
    """Fields over T, (N,), of the network whose layers hear only the layer below."""
    fields, rates = np.zeros(ends[-1]), np.zeros(ends[-1])
    for low, high in itertools.pairwise(ends.tolist()):
        fields[low:high] = (forward[low:high] @ rates + bias[low:high]) / temperature
        rates[low:high] = firing_probability(fields[low:high], 1.0)
    return fields


def _backpropagated(
    forward: FloatArray, fields: FloatArray, temperature: float, force: FloatArray, ends: NDArray[np.int64]
) -> FloatArray:
    """BP's gradient in the biases, (N,), layer by layer from the last."""
    errors = np.zeros(ends[-1])
    for low, high in zip(ends[-2::-1], ends[:0:-1], strict=True):
        layer = slice(low, high)
        errors[layer] = logistic_slope(fields[layer]) / temperature * (force + forward.T @ errors)[layer]
    return errors


@claim(
    label="G3c",
    title="from EP with weak feedback to backpropagation",
    kind="inequality",
    hypotheses="a chain of layers, one factor f, √f κ_a < 1 with κ_a at f = 1",
    domain={
        "layers": Interval(2, 5, integer=True),
        "gain": Interval(0.02, 3.0),
        "rate": Interval(0.05, 0.95),
        "log_factor": Interval(math.log(1e-6), 0.0),
        "log_temperature": LOG_TEMPERATURE,
        "spread": Interval(0.0, 2.0),
        "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("constant × 0.9", WEAK),
        Falsifier("f² for f", WEAK),
        Falsifier("the activities alone", WEAK),
        Falsifier("the way back alone", WEAK),
    ),
)
def weak_feedback_is_backpropagation(
    layers: int, gain: float, rate: float, log_factor: float, log_temperature: float, spread: float, seed: int,
    mutation: str | None = None,
) -> Evidence:  # fmt: skip
    """The rates of the f-net are within a of the pass from below, its gradient (EP's errors times f^{−(L−l)}) within q of BP's, by
    one recursion up and one down the layers, linear in f as f → 0: the raw error at layer l is f^{L−l} times a gradient near BP's.
    """
    generator = np.random.default_rng([seed, 82])
    widths = generator.integers(1, 4, size=layers)
    weights = [generator.normal(size=(high, low)) for low, high in itertools.pairwise(widths.tolist())]
    temperature, factor = math.exp(log_temperature), min(math.exp(log_factor), (rate / gain) ** 2)
    plain = np.abs(chain_couplings(weights, [1.0] * len(weights)))
    weights = [4 * gain * temperature / np.linalg.norm(plain, 2) * one for one in weights]
    couplings = chain_couplings(weights, [factor] * len(weights))
    circuit, mean = circuit_at(couplings, spread * generator.normal(size=widths.sum()), temperature)
    ends = np.cumsum([0, *widths])
    slope, offset = np.zeros(mean.size), np.zeros(mean.size)
    slope[ends[-2] :], offset[ends[-2] :] = 1.0, -generator.uniform(size=widths[-1])
    forward = chain_couplings(weights, [0.0] * len(weights))
    fields = _pass_from_below(forward, circuit.bias, temperature, ends)
    rates = firing_probability(fields, 1.0)
    exact = _backpropagated(forward, fields, temperature, slope * rates + offset, ends)
    steep = mean * (1 - mean) / temperature
    # by steps, as the network does: every layer's raw error keeps its digits, however small
    raw = np.zeros(mean.size)
    for _ in range(ERROR_STEPS):
        raw = steep * (couplings @ raw + slope * mean + offset)
    down = np.repeat(factor ** np.arange(layers - 1, -1, -1.0), widths)
    away, miss = distance_from_backpropagation(weights, circuit.bias, temperature, factor, slope, offset)
    shares = {"f² for f": (factor, factor), "the activities alone": (1.0, 0.0), "the way back alone": (0.0, 1.0)}
    share = shares.get(mutation or "", (1.0, 1.0))
    measured = np.concatenate([np.abs(mean - rates), temperature * np.abs(raw / down - exact)])
    bound = np.concatenate([share[0] * away, share[1] * temperature * miss])
    return Evidence(measured, bound, 1e2 * EPS * mean.size * (1 + gain) ** layers)
