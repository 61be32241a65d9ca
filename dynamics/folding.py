"""Sums over all 2^N states without storing them: normaliser, means, pair correlations (thm:B1, thm:B2).

Main results: moments, log_weights, MAX_REACH.

A state is (column, row, high): the low 12 units in two halves of 6, and the rest. Given the high units, Gibbs' weight is
table[row, column] · left[row] · right[column], the linear parts as products built by doubling, so that the sums over columns, over
rows and over high states are three matrix products over a batch of high states: three multiplications a state, no exponential, and
a table in cache. Where the products' exponents span more than MAX_REACH, and for Little's law, each state's log weight is
exponentiated relative to the largest of its batch. Batches are summed in order: nothing depends on the number of threads.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from numba import prange
from threadpoolctl import threadpool_limits

from dynamics.exponential import exponential
from dynamics.kernel import kernel
from meanfield.model import FloatArray

LOW_UNITS = 12
# High states in a batch: their 64 products each stay in L2; for states one by one, 2^12 of them each do.
PRODUCT_BATCH, STATE_BATCH = 512, 16
# e^{-600} leaves room above the smallest float, e^{-708}, for all that counts beside the largest weight.
MAX_REACH = 600.0


@kernel()
def _linear_table(coefficients, units, out):
    """out[l] = Σ_{i < units} coefficients[i] · bit i of l, by doubling."""
    out[0] = 0.0
    for i in range(units):
        half = 1 << i
        for low in range(half):
            out[half + low] = out[low] + coefficients[i]


@kernel()
def _quadratic_table(couplings, bias, units, out):
    """out[l] = bᵀz + ½ zᵀJz over the low units, z the bits of l, by doubling."""
    scratch = np.empty(out.shape[0])
    out[0] = 0.0
    for i in range(units):
        half = 1 << i
        _linear_table(couplings[i], i, scratch)
        for low in range(half):
            out[half + low] = out[low] + bias[i] + scratch[low]


@kernel()
def _low_tables(couplings, bias, low_units, little):
    """(low_table, low_fields): the low units' own log weight and, for Little's law, the fields they cause in all units."""
    size = bias.shape[0]
    low_table = np.empty(1 << low_units)
    low_fields = np.empty((size if little else 0, 1 << low_units))
    if little:
        _linear_table(bias, low_units, low_table)
        for i in range(size):
            _linear_table(couplings[i], low_units, low_fields[i])
    else:
        _quadratic_table(couplings, bias, low_units, low_table)
    return low_table, low_fields


@kernel()
def _block_log_weights(couplings, bias, high, low_units, low_table, low_fields, little, out):
    """Log weights of the 2^low_units states whose high units spell `high`; couplings and bias are in units of T."""
    size, states = bias.shape[0], out.shape[0]
    field = bias.copy()
    constant = 0.0
    for j in range(low_units, size):
        if (high >> (j - low_units)) & 1:
            # half of the double count: the field so far holds only high units below j
            constant += bias[j] if little else field[j]
            for i in range(size):
                field[i] += couplings[j, i]
    if not little:
        _linear_table(field - bias, low_units, out)
        for low in range(states):
            out[low] += constant + low_table[low]
        return
    product = np.ones(states)
    for low in range(states):
        out[low] = constant + low_table[low]
    for i in range(size):
        for low in range(states):
            argument = field[i] + low_fields[i, low]
            out[low] += max(argument, 0.0)
            product[low] *= 1.0 + exponential(-abs(argument))
    # ln(1 + e^x) = max(x, 0) + ln(1 + e^{−|x|}), the logarithms taken once: the product is at most 2^24
    for low in range(states):
        out[low] += math.log(product[low])


def _fill(couplings, bias, little, low_units, low_table, low_fields, first, out):
    for k in prange(out.shape[0]):
        _block_log_weights(couplings, bias, first + k, low_units, low_table, low_fields, little, out[k])


# Waking threads costs more than a small enumeration; both fill the same numbers in.
_fill_serially = kernel()(_fill)
_fill_in_parallel = kernel(parallel=True)(_fill)


class _Sums(NamedTuple):
    """A batch's weights / e^ceiling: over columns (rows, n), over rows (columns, n), over high states (rows, columns)."""

    ceiling: float
    by_row: FloatArray
    by_column: FloatArray
    by_low: FloatArray


class _Tilt(NamedTuple):
    """The factor rows[a] + columns[b] + highs[h] that every weight is taken with, linear in the state."""

    rows: FloatArray
    columns: FloatArray
    highs: FloatArray


class _States:
    """All states of N units in batches of high states, couplings (N, N) and bias (N,) in units of T."""

    def __init__(self, couplings: FloatArray, bias: FloatArray, little: bool) -> None:
        self.couplings, self.bias, self.little = couplings, bias, little
        self.low = min(bias.size, LOW_UNITS)
        self.border = self.low // 2
        self.shape = (1 << (self.low - self.border), 1 << self.border)
        self.highs = 1 << (bias.size - self.low)
        self.tables = _low_tables(couplings, bias, self.low, little)
        self.outer = couplings[self.low :, : self.low]
        table = self.tables[0].reshape(self.shape)
        spread = np.maximum(np.maximum(self.outer, 0).sum(axis=0), np.maximum(-self.outer, 0).sum(axis=0)).sum()
        # one block alone is not worth three products
        self.multiplies = not little and self.highs > 1 and table.max() - table.min() + spread < MAX_REACH
        self.peak = float(table.max())
        self.table = np.exp(table - self.peak) if self.multiplies else table
        self.batch = min(self.highs, PRODUCT_BATCH if self.multiplies else STATE_BATCH)
        self.row_bits, self.column_bits = _bits(0, self.shape[0]), _bits(0, self.shape[1])

    def log_weights(self, first: int, out: FloatArray) -> None:
        """Fill out (n, 2^low) from high state `first` on."""
        fill = _fill_in_parallel if self.highs >= STATE_BATCH else _fill_serially
        fill(self.couplings, self.bias, self.little, self.low, *self.tables, first, out)

    def spelled(self, first: int) -> FloatArray:
        """(n, N − low): the high units of a batch."""
        return _bits(first, self.batch, self.bias.size - self.low)

    def tilt(self, coefficients: FloatArray, offset: float, spelled: FloatArray) -> _Tilt:
        """coefficients·z − offset in its three parts."""
        columns, rows, highs = np.split(coefficients, [self.border, self.low])
        return _Tilt(self.row_bits @ rows, self.column_bits @ columns, spelled @ highs - offset)

    def sums(self, first: int, spelled: FloatArray, tilt: _Tilt | None) -> _Sums:
        """Of the batch from high state `first` on."""
        if not self.multiplies:
            logarithms = np.empty((self.batch, *self.shape))
            self.log_weights(first, logarithms.reshape(self.batch, -1))
            return _state_sums(logarithms, tilt)
        fields = (spelled @ self.outer).T
        inner = self.couplings[self.low :, self.low :]
        ceiling = spelled @ self.bias[self.low :] + 0.5 * ((spelled @ inner) * spelled).sum(axis=1)
        ceiling += np.maximum(fields, 0).sum(axis=0) + self.peak
        return _product_sums(self.table, ceiling, fields, tilt)

    def low_pairs(self, by_low: FloatArray) -> FloatArray:
        """(low, low), right on and below the diagonal, from the weights of low states (rows, columns)."""
        pairs, rows, columns = np.zeros((self.low, self.low)), self.row_bits, self.column_bits
        pairs[: self.border, : self.border] = columns.T @ (by_low.sum(axis=0)[:, None] * columns)
        pairs[self.border :, self.border :] = rows.T @ (by_low.sum(axis=1)[:, None] * rows)
        pairs[self.border :, : self.border] = rows.T @ by_low @ columns
        return pairs


def _bits(first: int, count: int, units: int | None = None) -> FloatArray:
    """(count, units): the bits of first … first + count − 1, by default as many as `count` states need."""
    width = count.bit_length() - 1 if units is None else units
    return ((np.arange(first, first + count)[:, None] >> np.arange(width)) & 1).astype(np.float64)


def _products(fields: FloatArray, scale: FloatArray) -> FloatArray:
    """(2^units, n): scale Π_i e^{z_i f_i − max(f_i, 0)} for fields (units, n), by doubling."""
    out = scale[None]
    for off, on in zip(np.exp(-np.maximum(fields, 0)), np.exp(np.minimum(fields, 0)), strict=True):
        out = np.concatenate([out * off, out * on])
    return out


def _product_sums(table: FloatArray, ceiling: FloatArray, fields: FloatArray, tilt: _Tilt | None) -> _Sums:
    """From table (rows, columns) ≤ 1, the largest log weights ceiling (n,) and the fields on low units (low, n)."""
    border = table.shape[1].bit_length() - 1
    top = float(ceiling.max())
    left = _products(fields[border:], np.exp(ceiling - top))
    right = _products(fields[:border], np.ones_like(ceiling))
    by_row, by_column, by_low = left * (table @ right), right * (table.T @ left), table * (left @ right.T)
    if tilt is not None:
        by_row *= tilt.rows[:, None] + tilt.highs
        by_row += left * ((table * tilt.columns) @ right)
        by_column *= tilt.columns[:, None] + tilt.highs
        by_column += right * ((table * tilt.rows[:, None]).T @ left)
        by_low *= tilt.rows[:, None] + tilt.columns
        by_low += table * ((left * tilt.highs) @ right.T)
    return _Sums(top, by_row, by_column, by_low)


def _state_sums(logarithms: FloatArray, tilt: _Tilt | None) -> _Sums:
    """From log weights (n, rows, columns), which become the weights."""
    top = float(logarithms.max())
    weights = np.exp(np.subtract(logarithms, top, out=logarithms), out=logarithms)
    if tilt is not None:
        weights *= tilt.highs[:, None, None] + (tilt.rows[:, None] + tilt.columns)
    return _Sums(top, weights.sum(axis=2).T, weights.sum(axis=1).T, weights.sum(axis=0))


def moments(
    couplings: FloatArray, bias: FloatArray, little: bool, tilt: FloatArray | None = None, offset: float = 0.0
) -> tuple[float, float, FloatArray]:
    """(r, Σw, Σ w z_i z_j), the sums over e^r, (N, N) with Σ w z_i on the diagonal, over all states z.

    w is the law's weight, with a tilt (N,) times tilt·z − offset; couplings (N, N), bias (N,) in units of T.
    """
    states = _States(couplings, bias, little)
    # threads would split a product's sums, and its bits with them
    with threadpool_limits(1, user_api="blas") if states.multiplies else nullcontext():
        return _moments(states, tilt, offset)


def _moments(states: _States, tilt: FloatArray | None, offset: float) -> tuple[float, float, FloatArray]:
    size = states.bias.size
    reference, total, pairs, by_low = -math.inf, 0.0, np.zeros((size, size)), np.zeros(states.shape)
    for first in range(0, states.highs, states.batch):
        spelled = states.spelled(first)
        sums = states.sums(first, spelled, None if tilt is None else states.tilt(tilt, offset, spelled))
        higher = max(reference, sums.ceiling)
        kept, added = math.exp(reference - higher), math.exp(sums.ceiling - higher)
        blocks = sums.by_row.sum(axis=0)
        marginals = [states.column_bits.T @ sums.by_column, states.row_bits.T @ sums.by_row, blocks * spelled.T]
        total = kept * total + added * float(blocks.sum())
        by_low = kept * by_low + added * sums.by_low
        pairs *= kept
        pairs[states.low :] += added * (spelled.T @ np.concatenate(marginals).T)
        reference = higher
    pairs[: states.low, : states.low] = states.low_pairs(by_low)
    lower = np.tril(pairs)
    return reference, total, lower + np.tril(lower, -1).T


def log_weights(couplings: FloatArray, bias: FloatArray, little: bool) -> FloatArray:
    """(2^N,) of all states, bit i of the index is z_i; couplings (N, N), bias (N,) in units of T."""
    states = _States(couplings, bias, little)
    out = np.empty((states.highs, 1 << states.low))
    states.log_weights(0, out)
    return out.ravel()
