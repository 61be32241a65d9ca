"""The network and the cost: the two objects that every other module takes.

Main results: Model, QuadraticCost, Gradient, HypothesisError.

The one sign convention of the project:

* a state z ∈ {0,1}^N has energy E(z) = −½ zᵀJz − bᵀz and weight ∝ exp(−E(z)/temperature);
* the nudged energy is E + nudging · cost;
* a gradient is the derivative of the cost, so learning is couplings −= rate · gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]


class HypothesisError(ValueError):
    """A bound was asked for outside the hypotheses under which it is proven."""


class Gradient(NamedTuple):
    """Derivative of a cost: entry ij of `couplings` (N, N) moves J_ij and J_ji together, `bias` is (N,)."""

    couplings: FloatArray
    bias: FloatArray


def real_array(name: str, values: ArrayLike, dimensions: int) -> FloatArray:
    """A read-only float64 copy of `values`, refused with its first offending entry when it is not finite."""
    try:
        if np.iscomplexobj(values):
            raise TypeError("complex")
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of real numbers, got {values!r}") from error
    if array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension(s), got shape {array.shape}")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, got {array[where]} at {list(where)}: remove or repair that entry")
    array.setflags(write=False)
    return array


def positive_number(name: str, value: Any) -> float:
    """`value` as a float, refused unless it is finite and positive."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number, got {value!r}") from error
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive and finite, got {number}")
    return number


def leak_vector(leak: ArrayLike, size: int, largest: float = 1.0) -> FloatArray:
    """Leaks ε_i, (size,), from a number or an array, each in (0, largest]."""
    values = np.array(leak, dtype=np.float64)
    if values.shape not in ((), (size,)):
        raise ValueError(f"leak must be a number or have shape ({size},), got shape {values.shape}")
    allowed = (values > 0) & (values <= largest) & np.isfinite(values)
    if not allowed.all():
        raise ValueError(f"leak must lie in (0, {largest:g}], got {np.atleast_1d(values)[~np.atleast_1d(allowed)][0]}")
    return np.broadcast_to(values, (size,)).copy()


def leak_cycle(leak: ArrayLike, size: int) -> FloatArray:
    """Leaks (period, size) that the steps of a relaxation use in turn, row t mod period at step t.

    A number or (size,) is one row, each entry in (0, 1]. Several rows may hold units still by a leak of 0, as alternating
    blocks do, but every unit must move in some row.
    """
    if np.ndim(leak) < 2:
        return leak_vector(leak, size)[None, :]
    rows = np.array(leak, dtype=np.float64)
    if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != size:
        raise ValueError(f"leak must be a number or have shape ({size},) or (period, {size}), got shape {rows.shape}")
    allowed = (rows >= 0) & (rows <= 1)
    if not allowed.all():
        raise ValueError(f"leak must lie in [0, 1], got {rows[~allowed][0]}")
    if not rows.any(axis=0).all():
        unit = int(np.flatnonzero(~rows.any(axis=0))[0])
        raise ValueError(f"leak is 0 for unit {unit} in every row: give it a positive leak in one of them")
    return rows


def whole_number(name: str, value: Any, least: int) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


@dataclass(frozen=True, eq=False)
class Model:
    """A symmetric network of N binary units with energy E(z) = −½ zᵀJz − bᵀz at one temperature.

    couplings: (N, N), symmetric to the last bit, zero diagonal, finite. bias: (N,), finite; a threshold θ is b ← b − θ.
    temperature: positive, finite, in the unit of the couplings. Arrays are copied and made read-only.
    Raises ValueError with the offending value and the remedy.
    """

    couplings: FloatArray
    bias: FloatArray
    temperature: float = 1.0

    def __init__(self, couplings: ArrayLike, bias: ArrayLike, temperature: float = 1.0) -> None:
        matrix = real_array("couplings", couplings, 2)
        vector = real_array("bias", bias, 1)
        size = matrix.shape[0]
        if size == 0 or matrix.shape != (size, size):
            raise ValueError(f"couplings must be square with at least one unit, got shape {matrix.shape}")
        if vector.shape != (size,):
            raise ValueError(f"bias must have shape ({size},) to go with couplings {matrix.shape}, got {vector.shape}")
        if (matrix != matrix.T).any():
            i, j = (int(k) for k in np.argwhere(matrix != matrix.T)[0])
            raise ValueError(
                f"couplings must be symmetric, got J[{i},{j}] = {matrix[i, j]} but J[{j},{i}] = {matrix[j, i]}: "
                "use (J + J.T) / 2"
            )
        if np.diagonal(matrix).any():
            i = int(np.flatnonzero(np.diagonal(matrix))[0])
            raise ValueError(
                f"couplings must have a zero diagonal, got J[{i},{i}] = {matrix[i, i]}: put it in the bias"
            )
        object.__setattr__(self, "couplings", matrix)
        object.__setattr__(self, "bias", vector)
        object.__setattr__(self, "temperature", positive_number("temperature", temperature))

    @property
    def size(self) -> int:
        """N, the number of units."""
        return self.bias.shape[0]

    def local_field(self, state: NDArray[Any]) -> NDArray[Any]:
        """h(s) = Js + b for a state (N,) or a stack of states (…, N)."""
        return state @ self.couplings + self.bias

    def energy(self, state: NDArray[Any]) -> NDArray[Any]:
        """E(s) = −½ sᵀJs − bᵀs for a state (N,) or a stack of states (…, N)."""
        return -0.5 * np.einsum("...i,...i->...", state @ self.couplings, state) - state @ self.bias

    def with_bias(self, bias: ArrayLike) -> Model:
        """The same couplings and temperature under another bias."""
        return Model(self.couplings, bias, self.temperature)

    @cached_property
    def spectrum(self) -> FloatArray:
        """Eigenvalues of J in ascending order, (N,)."""
        return np.linalg.eigvalsh(self.couplings)

    @cached_property
    def gain(self) -> float:
        """κ = ‖J‖₂/(4T), the ℓ₂ contraction modulus of the mean-field map."""
        return float(np.abs(self.spectrum).max()) / (4 * self.temperature)

    @cached_property
    def absolute_gain(self) -> float:
        """κ_a = ‖|J|‖₂/(4T), with |J| the entrywise absolute value; κ ≤ κ_a ≤ κ_∞."""
        return float(np.abs(np.linalg.eigvalsh(np.abs(self.couplings))).max()) / (4 * self.temperature)

    @cached_property
    def row_gain(self) -> float:
        """κ_∞ = ‖J‖_∞/(4T), the largest absolute row sum."""
        return float(np.abs(self.couplings).sum(axis=1).max()) / (4 * self.temperature)

    @cached_property
    def influence(self) -> FloatArray:
        """C_ij = tanh(|J_ij|/(4T)), the sharp Dobrushin influence matrix, (N, N)."""
        return np.tanh(np.abs(self.couplings) / (4 * self.temperature))


@dataclass(frozen=True, eq=False)
class QuadraticCost:
    """C = ½‖s_o − y‖² on the output units o, in its three readings, never mixed.

    outputs: distinct unit indices, (n_out,). target: y ∈ [0,1]^n_out.
    *rates* C(m) = ½‖m_o − y‖²; *spikes* C(z) = ½‖z_o − y‖², linear because z² = z;
    *mean spikes* E_q C(z) = c·m_o + ½‖y‖² with c = ½ − y, which exceeds C(m) by ½Σ m_o(1 − m_o).
    """

    outputs: NDArray[np.int64]
    target: FloatArray

    def __init__(self, outputs: ArrayLike, target: ArrayLike) -> None:
        indices = np.array(outputs)
        if indices.ndim != 1 or indices.size == 0 or indices.dtype.kind not in "iu":
            raise ValueError(f"outputs must be a non-empty list of unit indices, got {outputs!r}")
        indices = indices.astype(np.int64)
        if indices.min() < 0:
            raise ValueError(f"outputs must be non-negative unit indices, got {int(indices.min())}")
        if np.unique(indices).size != indices.size:
            raise ValueError(f"outputs must be distinct, got {indices.tolist()}")
        values = real_array("target", target, 1)
        if values.shape != indices.shape:
            raise ValueError(f"target must have one value per output, {indices.size}, got shape {values.shape}")
        if (values < 0).any() or (values > 1).any():
            raise ValueError(f"target must lie in [0, 1], got {values[(values < 0) | (values > 1)][0]}")
        indices.setflags(write=False)
        object.__setattr__(self, "outputs", indices)
        object.__setattr__(self, "target", values)

    def on_rates(self, rates: NDArray[Any]) -> NDArray[Any]:
        """C(m) = ½‖m_o − y‖² of rates or traces (…, N)."""
        return 0.5 * ((self._read(rates) - self.target) ** 2).sum(axis=-1)

    def on_spikes(self, spikes: NDArray[Any]) -> NDArray[Any]:
        """C(z) = ½‖z_o − y‖² of spikes z ∈ {0,1}, (…, N)."""
        values = np.asarray(spikes)
        if not np.isin(values, (0, 1)).all():
            offending = values[~np.isin(values, (0, 1))].flat[0]
            raise ValueError(f"spikes must be 0 or 1, got {offending}: use on_rates or on_mean_spikes for rates")
        return 0.5 * ((self._read(values) - self.target) ** 2).sum(axis=-1)

    def on_mean_spikes(self, rates: NDArray[Any]) -> NDArray[Any]:
        """E_q C(z) = Σ_o (½ − y_o) m_o + ½‖y‖² under the product law q with means m, (…, N)."""
        return (self._read(rates) * (0.5 - self.target)).sum(axis=-1) + 0.5 * (self.target**2).sum()

    def force(self, size: int, cost_on: str) -> tuple[FloatArray, FloatArray]:
        """(slope, offset), both (size,), of the cost's derivative ∂C/∂s_i = slope_i s_i + offset_i.

        cost_on "rates": slope 1, offset −y on the outputs; "spikes": slope 0, offset ½ − y. Zero elsewhere.
        Raises ValueError for another cost_on or for an output beyond the network.
        """
        if cost_on not in ("rates", "spikes"):
            raise ValueError(f"cost_on must be 'rates' or 'spikes', got {cost_on!r}")
        self._check_size(size)
        slope, offset = np.zeros(size), np.zeros(size)
        slope[self.outputs] = 1.0 if cost_on == "rates" else 0.0
        offset[self.outputs] = -self.target if cost_on == "rates" else 0.5 - self.target
        return slope, offset

    def _read(self, state: NDArray[Any]) -> NDArray[Any]:
        state = np.asarray(state)
        self._check_size(state.shape[-1] if state.ndim else 0)
        return state[..., self.outputs]

    def _check_size(self, size: int) -> None:
        if self.outputs.max() >= size:
            raise ValueError(
                f"outputs name unit {int(self.outputs.max())}, but the network has {size} units: 0 to {size - 1}"
            )
