"""What NumPy does with its matrix products, at its BLAS library's best kernel.

Main results: enumeration, spike_convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks import problems
from benchmarks.contender import Contender

# states of one product, the fastest of 2^11 … 2^16
CHUNK = 1 << 11
LIBRARY = f"numpy {np.__version__}"


def enumeration(size: int) -> Contender:
    """log Z, means and pair correlations of all 2^N states, chunk by chunk of matrix products."""

    def law(seed: int) -> Mapping[str, np.ndarray]:
        couplings, bias = problems.ising_problem(size, seed)
        chunk = min(CHUNK, 1 << size)
        low = ((np.arange(chunk)[:, None] >> np.arange(size)) & 1).astype(np.float64)
        reference, total, pairs = -np.inf, 0.0, np.zeros((size, size))
        for high in range((1 << size) // chunk):
            states = low + ((high * chunk >> np.arange(size)) & 1)
            weights = np.einsum("ij,ij->i", states @ (0.5 * couplings) + bias, states)
            if (peak := weights.max()) > reference:
                shrink = np.exp(reference - peak)
                total, pairs, reference = total * shrink, pairs * shrink, peak
            weights = np.exp(weights - reference)
            total += weights.sum()
            pairs += states.T @ (weights[:, None] * states)
        pairs /= total
        mean = np.diagonal(pairs).copy()
        covariance = pairs - np.outer(mean, mean)
        return {"log_partition": np.array(reference + np.log(total)), "mean": mean, "covariance": covariance}

    return Contender(lambda: law(0), law, LIBRARY)


def spike_convolution(channels: Sequence[int], batch: int, activity: float) -> Contender:
    """The same convolution as one sgemm, of patches that are given: what a dense kernel cannot beat."""

    def factors(seed: int) -> tuple[np.ndarray, np.ndarray]:
        spikes, weights = problems.spike_problem(channels, batch, activity, seed)
        patches = sliding_window_view(spikes, (problems.KERNEL, problems.KERNEL), axis=(2, 3))
        rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, weights[0].size)
        return np.ascontiguousarray(rows), np.ascontiguousarray(weights.reshape(len(weights), -1).T)

    rows, matrix = factors(0)
    out = np.empty((len(rows), matrix.shape[1]), np.float32)
    return Contender(
        lambda: np.matmul(rows, matrix, out=out), lambda seed: {"field": np.matmul(*factors(seed))}, LIBRARY
    )
