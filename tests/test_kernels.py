"""Every scalar kernel computes the SymPy expression that it names, compiled or not."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import sympy as sp

import dynamics.activations
import dynamics.forces  # noqa: F401  (filling KERNELS)
from dynamics.kernel import KERNELS
from meanfield.derivations.catalogue import expression_of

pytestmark = pytest.mark.exact

EXTREMES = (0.0, 1.0, -1.0, 1e-300, -1e-12, 745.2, -745.2, 1e6, -1e6)
RANDOM_POINTS = 200
# a few roundings, measured against the largest term of the expression
ROUNDINGS = 4 * np.finfo(np.float64).eps
SMALLEST, LARGEST = np.finfo(np.float64).tiny, np.finfo(np.float64).max


def points(symbols: list[sp.Symbol]) -> list[list[float]]:
    """Random and extreme values of each argument; positive symbols only get positive ones."""
    rng = np.random.default_rng(20)
    magnitudes = rng.lognormal(sigma=4.0, size=(RANDOM_POINTS, len(symbols)))
    signs = rng.choice([-1.0, 1.0], size=magnitudes.shape)
    extremes = rng.choice(EXTREMES, size=magnitudes.shape)
    values = np.concatenate([signs * magnitudes, extremes])
    for column, symbol in enumerate(symbols):
        if symbol.is_positive:
            values[:, column] = np.where(values[:, column] == 0, 1.0, np.abs(values[:, column]))
    return values.tolist()


def truth(expression: sp.Expr, symbols: list[sp.Symbol]):
    """The value of an expression in 60 digits, and the size of its largest term, which rounding is relative to."""
    expanded = sp.expand(expression)
    terms = [sp.lambdify(symbols, term, "mpmath") for term in sp.Add.make_args(expanded)]

    def evaluate(values: list[float]) -> tuple[mpmath.mpf, mpmath.mpf]:
        with mpmath.workdps(60):
            parts = [term(*map(mpmath.mpf, values)) for term in terms]
            return mpmath.fsum(parts), max(abs(part) for part in parts)

    return evaluate


@pytest.mark.parametrize("origin", sorted(KERNELS))
def test_kernel_equals_its_origin(origin):
    kernel, expression = KERNELS[origin], expression_of(origin)
    names = list(inspect.signature(getattr(kernel, "py_func", kernel)).parameters)
    by_name = {symbol.name: symbol for symbol in expression.free_symbols}
    assert kernel.__name__ == origin.split(":")[1]
    assert set(names) == set(by_name)
    symbols = [by_name[name] for name in names]
    evaluate = truth(expression, symbols)
    for values in points(symbols):
        exact, scale = evaluate(values)
        if scale > LARGEST:
            # no double holds it
            continue
        # the exponent h/T is itself rounded, which the exponential magnifies by |h/T|
        condition = 1 + min(abs(values[0] / values[1]), 800.0) if origin.endswith("firing_probability") else 1.0
        error = abs(mpmath.mpf(kernel(*values)) - exact)
        assert error <= ROUNDINGS * condition * scale + SMALLEST, (origin, dict(zip(names, values, strict=True)))


def test_every_scalar_kernel_is_registered():
    assert {
        "derivations.activation:firing_probability",
        "derivations.activation:firing_slope",
        "derivations.leaky:leaky_trace",
        "derivations.cost:cost_force",
    } <= set(KERNELS)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="this is the process without the compiler")
def test_kernels_equal_their_origins_without_the_compiler():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(
        command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(KERNELS) + 1} passed" in run.stdout
