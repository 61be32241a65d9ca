"""Heterogeneous dynamics and memory: a restatement on small networks of this package, no benchmark is reproduced.

Mechanism (Chakraborty and Mukhopadhyay, ICLR 2023, arXiv 2302.11618: heterogeneous time constants of neurons are said to raise the
memory capacity of a recurrent spiking network; its second half, plasticity from spike times, is thm:E4 here). The linear memory of
Jaeger, about a fixed point m* and for an input u_t, independent in time with variance σ², that enters the fields along w:

    x_{t+1} = (I − D_ε B) x_t + D_ε (V w/T) u_t + D_ε ξ_t,   B = I − VJ/T,   Cov ξ = diag(v_i/K_i),

    capacity = Σ_k R²(u_{t−k} from x_t) = tr((Σ + W)⁻¹ W),   W and Σ the stationary covariances of signal and noise.

Main results: thm:G8, thm:G8b.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from meanfield.bounds.leaky import discrete_lyapunov
from meanfield.equations import activity_variance
from meanfield.model import FloatArray, Model
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.comparators.heterogeneous_leaks import scaled_hessian
from proofs_numeric.instances import SEEDS, Interval, model_scalars

EPS = float(np.finfo(float).eps)
# eigenvalues closer than this are equal: those of the rational matrices below are equal or far apart
DISTINCT = 1e-7
SCENARIOS = ("uncoupled", "uniform", "star", "dense", "dense, sparse input", "made degenerate by its leaks")
FREE_UNIT = ([[0.0]], [0.0], 1.0)
PAIR = ([[0.0, 2.0], [2.0, 0.0]], [-0.4, 0.9], 1.0)
Matrix = list[list[Fraction]]


def noiseless_capacity(rates: FloatArray, excitations: FloatArray) -> int:
    """The number of distinct eigenvalues of D_ε B that have an eigenvector which the input excites (thm:G8).

    rates: eigenvalues of P = D_ε^½QD_ε^½, ascending; excitations: the input along its orthonormal eigenvectors, (N,) each.
    """
    ends = [*np.flatnonzero(np.diff(rates) > DISTINCT) + 1, len(rates)]
    starts = [0, *ends[:-1]]
    threshold = DISTINCT * np.linalg.norm(excitations)
    return sum(bool(np.linalg.norm(excitations[i:j]) > threshold) for i, j in zip(starts, ends, strict=True))


def gramian(transition: Matrix, drive: list[Fraction]) -> Matrix:
    """W = Σ_k A^k u uᵀ (A^k)ᵀ in exact arithmetic, the solution of W = AWAᵀ + uuᵀ, (N, N). Holds when ρ(A) < 1."""
    size = len(drive)
    pairs = [(i, j) for i in range(size) for j in range(i + 1)]
    place = {pair: k for k, pair in enumerate(pairs)}
    system = [[Fraction(0)] * len(pairs) + [drive[i] * drive[j]] for i, j in pairs]
    for (i, j), row in zip(pairs, system, strict=True):
        row[place[i, j]] += 1
        for k in range(size):
            for other in range(size):
                row[place[max(k, other), min(k, other)]] -= transition[i][k] * transition[j][other]
    solved = _reduced(system)
    return [[solved[place[max(i, j), min(i, j)]][-1] for j in range(size)] for i in range(size)]


def _reduced(matrix: Matrix) -> Matrix:
    """The nonzero rows of the reduced echelon form."""
    rows, done = [list(row) for row in matrix], 0
    for column in range(len(rows[0])):
        pivot = next((k for k in range(done, len(rows)) if rows[k][column] != 0), None)
        if pivot is None:
            continue
        rows[done], rows[pivot] = rows[pivot], rows[done]
        lead = rows[done][column]
        rows[done] = [value / lead for value in rows[done]]
        for k, row in enumerate(rows):
            if k != done and row[column] != 0:
                rows[k] = [value - row[column] * top for value, top in zip(row, rows[done], strict=True)]
        done += 1
        if done == len(rows):
            break
    return rows[:done]


def exact_rank(matrix: Matrix) -> int:
    """The rank over the rationals."""
    return len(_reduced(matrix))


def memory_matrices(
    hessian: FloatArray, variance: FloatArray, leaks: FloatArray, copies: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(W, Σ) in the coordinates (D_εV)^−½x, where the chain is y' = (I − P)y + (D_εV)^½ w u + …, both (N, N).

    weights: σw/T, (N,). copies: K_i, (N,). The capacity does not depend on coordinates. *Holds when* 0 < λ(P) < 2.
    """
    root = np.sqrt(leaks)
    transition = np.eye(len(leaks)) - root[:, None] * hessian * root
    drive = np.sqrt(leaks * variance) * weights
    return discrete_lyapunov(transition, np.outer(drive, drive)), discrete_lyapunov(transition, np.diag(leaks / copies))


def memory_capacity(signal: FloatArray, noise: FloatArray) -> float:
    """tr((Σ + W)⁻¹W) = Σ_k R²: how many past inputs a linear readout of the state recovers, in noise."""
    return float(np.trace(np.linalg.solve(noise + signal, signal)))


def fisher_memory(signal: FloatArray, noise: FloatArray) -> float:
    """tr(Σ⁻¹W), the integrated Fisher memory of Ganguli, Huh and Sompolinsky (PNAS 2008)."""
    return float(np.trace(np.linalg.solve(noise, signal)))


class RationalNetwork(NamedTuple):
    """J/T, v and w over the rationals, and three sets of leaks: two common ones and a mixed one."""

    couplings: Matrix
    variance: list[Fraction]
    weights: list[Fraction]
    leaks: list[list[Fraction]]

    def transition(self, leaks: list[Fraction]) -> Matrix:
        """A = I − D_ε(I − VJ/T)."""
        size = len(leaks)
        return [
            [(i == j) * (1 - leaks[i]) + leaks[i] * self.variance[i] * self.couplings[i][j] for j in range(size)]
            for i in range(size)
        ]

    def drive(self, leaks: list[Fraction]) -> list[Fraction]:
        """D_ε V w/T."""
        return [leak * v * w for leak, v, w in zip(leaks, self.variance, self.weights, strict=True)]

    def modes(self, leaks: list[Fraction]) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues of P, and the input along its eigenvectors."""
        root = np.sqrt(np.array(leaks, dtype=float) * np.array(self.variance, dtype=float))
        bent = np.diag(np.array(leaks, dtype=float)) - root[:, None] * np.array(self.couplings, dtype=float) * root
        rates, vectors = np.linalg.eigh(bent)
        return rates, vectors.T @ (root * np.array(self.weights, dtype=float))


def rational_network(scenario: int, size: int, seed: int) -> RationalNetwork:
    """A network of SCENARIOS with κ_∞ < 1."""
    name, generator = SCENARIOS[scenario], np.random.default_rng([seed, 86])
    rates = [Fraction(int(k), 8) for k in generator.integers(1, 8, size=size)]
    weights = [Fraction(int(k)) for k in generator.integers(1, 4, size=size)]
    pattern = generator.integers(-3, 4, size=(size, size))
    mixed = [Fraction(int(k), 16) for k in generator.permutation(np.arange(1, 17))[:size]]
    if name in ("uncoupled", "uniform", "star"):
        rates, pattern = [Fraction(3, 8)] * size, np.full((size, size), int(name != "uncoupled"))
        pattern[1:] *= name != "star"
    elif name == "dense, sparse input":
        weights[1:] = [Fraction(0)] * (size - 1)
    elif name == "made degenerate by its leaks":
        size, rates, weights = 3, [Fraction(1, 2)] * 3, [Fraction(1), Fraction(1), Fraction(2)]
        pattern = np.array([[0, 1, 2], [0, 0, 3], [0, 0, 0]])
        # P − I/2 has rank one: ε_i = ½/(1 + |c_i|), c_i = v J_ijJ_ik/J_jk
        mixed = [1 / (2 + pair / 2) for pair in (Fraction(2, 5), Fraction(9, 10), Fraction(18, 5))]
    couplings = [[Fraction(int(pattern[min(i, j), max(i, j)])) * (i != j) for j in range(size)] for i in range(size)]
    largest = max(Fraction(1), *(sum(abs(value) for value in row) for row in couplings))
    couplings = [[value * 3 / largest for value in row] for row in couplings]
    common = [[Fraction(int(k), 16)] * size for k in generator.permutation(np.arange(1, 17))[:2]]
    return RationalNetwork(couplings, [rate * (1 - rate) for rate in rates], weights, [*common, mixed])


@claim(
    label="G8",
    title="noiseless memory counts distinct excited time scales",
    kind="identity",
    hypotheses="0 < λ(D_ε^½QD_ε^½) < 2; input white; no noise",
    domain={
        "scenario": Interval(0, len(SCENARIOS) - 1, integer=True),
        "size": Interval(1, 4, integer=True),
        "seed": SEEDS,
    },
    falsifiers=(
        Falsifier("N", {"scenario": 0, "size": 3, "seed": 0}),
        Falsifier("with multiplicity", {"scenario": 1, "size": 4, "seed": 0}),
        Falsifier("excited or not", {"scenario": 1, "size": 2, "seed": 3}),
        Falsifier("mixed leaks never lose", {"scenario": 5, "size": 3, "seed": 0}),
        Falsifier("mixed leaks never gain", {"scenario": 0, "size": 3, "seed": 0}),
    ),
    instances=120,
)
def noiseless_memory_counts_time_scales(scenario: int, size: int, seed: int, mutation: str | None = None) -> Evidence:
    """Σ_k R²(u_{t−k} from x_t) = rank W = number of distinct eigenvalues of D_εB with an excited eigenvector, ≤ N; the same for
    every common leak; mixed leaks may gain or lose.
    """
    network = rational_network(scenario, size, seed)
    found, counted = [], []
    for leaks in network.leaks:
        rates, excitations = network.modes(leaks)
        found.append(exact_rank(gramian(network.transition(leaks), network.drive(leaks))))
        counted.append(noiseless_capacity(rates, excitations))
        if mutation == "N":
            counted[-1] = len(leaks)
        elif mutation == "with multiplicity":
            counted[-1] = int((np.abs(excitations) > DISTINCT).sum())
        elif mutation == "excited or not":
            counted[-1] = noiseless_capacity(rates, np.ones(len(leaks)))
    measured = [abs(rank - count) for rank, count in zip(found, counted, strict=True)] + [abs(found[0] - found[1])]
    if mutation == "mixed leaks never lose":
        measured.append(found[0] - found[2])
    elif mutation == "mixed leaks never gain":
        measured.append(found[2] - found[0])
    return Evidence(np.array(measured, dtype=float), 0.0)


@claim(
    label="G8b",
    title="memory in spiking noise",
    kind="inequality",
    hypotheses="λ_max(J) < 4T, 0 < λ(D_ε^½QD_ε^½) < 2; input white; linearised chain",
    norm="curvature",
    domain={
        **model_scalars(6),
        # a saturated network hears no input
        "field": Interval(0, 3, integer=True),
        "leak": Interval(0.02, 1.0),
        "log_signal": Interval(math.log(0.03), math.log(30.0)),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": FREE_UNIT, "seed": 0, "leak": 0.5, "log_signal": 0.0}),
        Falsifier("mixed leaks bring nothing", {"model": PAIR, "seed": 3, "leak": 0.5, "log_signal": 0.0}),
        Falsifier("copies dropped", {"model": PAIR, "seed": 3, "leak": 0.5, "log_signal": 0.0}),
        Falsifier("a small leak remembers more", {"model": PAIR, "seed": 3, "leak": 0.1, "log_signal": 0.0}),
        Falsifier("capacity is the Fisher memory", {"model": PAIR, "seed": 3, "leak": 0.5, "log_signal": 2.0}),
    ),
)
def memory_in_spiking_noise(
    model: Model, seed: int, leak: float, log_signal: float, mutation: str | None = None
) -> Evidence:
    """F = tr(Σ⁻¹W), S = σ²ΣK_iv_iw_i²/T²: F/(1+F) ≤ capacity ≤ NF/(N+F); F = S if ε_i/K_i is common, whatever J and the leak;
    otherwise F lies between σ²Σε_iv_iw_i²/T² divided by the largest and by the least ε_i/K_i, and F ≤ NS.
    """
    generator = np.random.default_rng([seed, 87])
    mean = fixed_point(model, start=np.full(model.size, 0.5), method="newton").value
    variance, hessian = activity_variance(mean), scaled_hessian(model, mean)
    weights = math.exp(log_signal) * generator.normal(size=model.size)
    if model.size == 1:
        weights[:] = math.exp(log_signal)
    copies = generator.integers(1, 5, size=model.size).astype(float)
    # λ(P) < 2 whatever the antiferromagnetic couplings
    ceiling = min(1.0, 1.9 / float(np.linalg.eigvalsh(hessian)[-1]))
    measured, bound = [], []
    for leaks, heads in (
        (np.full(model.size, leak * ceiling), np.full(model.size, copies[0])),
        (leak * ceiling * copies / copies.max(), copies),
        (ceiling * generator.uniform(0.05, 1.0, size=model.size), np.full(model.size, copies[0])),
    ):
        signal, noise = memory_matrices(hessian, variance, leaks, heads, weights)
        capacity, fisher = memory_capacity(signal, noise), fisher_memory(signal, noise)
        snr = float((heads * variance * weights**2).sum())
        ratios, weighted = leaks / heads, float((leaks * variance * weights**2).sum())
        low, high = weighted / ratios.max(), min(weighted / ratios.min(), model.size * snr)
        if mutation == "copies dropped":
            snr = float((variance * weights**2).sum())
        elif mutation == "a small leak remembers more":
            snr /= leaks.max()
        upper = model.size * fisher / (model.size + fisher)
        lower = fisher if mutation == "capacity is the Fisher memory" else fisher / (1 + fisher)
        measured += [lower, capacity]
        bound += [capacity, upper]
        if ratios.max() - ratios.min() <= 4 * EPS or mutation == "mixed leaks bring nothing":
            measured.append(abs(fisher / snr - 1))
            bound.append(0.0)
        else:
            measured += [low / snr, fisher / snr]
            bound += [fisher / snr, high / snr]
    slowest = float(np.linalg.eigvalsh(hessian)[0]) * leak
    return Evidence(measured, bound, 1e3 * EPS * model.size * (1 + np.abs(bound)) / min(slowest, 1.0))
