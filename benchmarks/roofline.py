"""What one core can do at most, and which share of it the convolutions reach.

Main results: measure, fused_multiply_adds, triad, sgemm, step_flops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from benchmarks import problems
from benchmarks.contender import Contender
from benchmarks.race import Setting, Side, Worker
from dynamics.kernel import kernel

# its stubs know nothing of the typing context that it supplies as the first argument
intrinsic: Any = _intrinsic

HERE = "benchmarks.roofline"
# chains of dependent additions, enough to hide their latency; lanes of float32 in 64 bytes
CHAINS, LANES = 8, 16
ROUNDS, NUMBERS, ORDER = 4_000_000, 16_000_000, 1024
PINNED = "Haswell"
REPEATS = 4


@intrinsic
def _chains(typing, rounds, out):
    """out[:LANES] = the sum of CHAINS vectors after `rounds` times v ← v·out[0] + out[0], all in registers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), LANES)
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f32"
        )
        array = context.make_array(signature.args[1])(context, builder, arguments[1])
        place = builder.bitcast(array.data, vector.as_pointer())
        factor = builder.load(place, align=4)
        sums = [cgutils.alloca_once_value(builder, factor) for _ in range(CHAINS)]
        with cgutils.for_range(builder, arguments[0]):
            for total in sums:
                builder.store(builder.call(fused, [builder.load(total), factor, factor]), total)
        result = factor
        for total in sums:
            result = builder.fadd(result, builder.load(total))
        builder.store(result, place, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32[::1]), generate


@kernel()
def _multiply_and_add(rounds, out):
    _chains(rounds, out)


@kernel()
def _triad(a, b, c):
    for i in range(a.shape[0]):
        a[i] = b[i] + np.float32(3.0) * c[i]


def fused_multiply_adds() -> Contender:
    """2 · CHAINS · LANES · ROUNDS float32 operations without a memory access."""
    out = np.full(LANES, 0.5, np.float32)

    def run() -> None:
        out[:] = 0.5
        _multiply_and_add(ROUNDS, out)

    return Contender(run, lambda seed: {"sum": out}, "LLVM")


def triad() -> Contender:
    """a = b + 3c, 12 · NUMBERS bytes as a program counts them; the fetch of a before it is written is not counted."""
    a, b, c = (np.full(NUMBERS, value, np.float32) for value in (0.0, 1.0, 2.0))
    return Contender(lambda: _triad(a, b, c), lambda seed: {"a": a[:8]}, "LLVM")


def sgemm() -> Contender:
    """2 · ORDER³ float32 operations by NumPy."""
    left, right = (np.random.default_rng(seed).random((ORDER, ORDER), np.float32) for seed in (0, 1))
    out = np.empty_like(left)
    return Contender(lambda: np.matmul(left, right, out=out), lambda seed: {"out": out[:8]}, f"numpy {np.__version__}")


def step_flops(channels: Sequence[int], free: int, nudged: int) -> int:
    """Multiplications and additions of an EP step on one image, pooling folded into 6 × 6 kernels of stride 2.

    Each step: layer 2 up and down, the outputs up and down. Once: the input's drive, and each kernel's gradient, whose mean and
    slope are two products but for the clamped input's one.
    """
    (first, second), (below, above), reach = channels, problems.sides(), problems.KERNEL + 1
    bottom = below**2 * first * reach**2
    middle, top = above**2 * second * reach**2 * first, above**2 * second * problems.CLASSES
    steps = free + 2 * nudged
    return 2 * (steps * 2 * (middle + top) + 2 * bottom + 2 * (middle + top))


def step_bytes(channels: Sequence[int], batch: int) -> float:
    """float32 bytes an image that must cross memory: image, state and two averages, its share of weights and gradient."""
    (first, second), (below, above) = channels, problems.sides()
    units = first * below**2 + second * above**2 + problems.CLASSES
    weights = problems.KERNEL**2 * (first + first * second) + above**2 * second * problems.CLASSES
    return 4 * (problems.SIDE**2 + 3 * units + 2 * weights / batch)


def best_seconds(
    side: Side, setting: Setting, *, threads: int = 1, clock: str = "cpu", blas_kernel: str | None = None
) -> float:
    """The least seconds a run of several, on this clock."""
    with Worker(side, threads, blas_kernel=blas_kernel) as worker:
        worker.ask("run 1")
        return min(worker.ask("run 1")[clock] for _ in range(1 if setting.quick else REPEATS))


def measure(setting: Setting) -> dict[str, Any]:
    """{peaks in GF/s: fma, sgemm, sgemm_pinned; triad in GB/s; points: what the conv steps and the spike conv reach}."""
    operations = {"fma": 2 * CHAINS * LANES * ROUNDS, "sgemm": 2 * ORDER**3}
    fma = operations["fma"] / best_seconds(Side(f"{HERE}:fused_multiply_adds"), setting) / 1e9
    with Worker(Side(f"{HERE}:sgemm"), 1) as worker:
        chosen = worker.greeting["blas"]
    best = operations["sgemm"] / best_seconds(Side(f"{HERE}:sgemm"), setting) / 1e9
    pinned = operations["sgemm"] / best_seconds(Side(f"{HERE}:sgemm"), setting, blas_kernel=PINNED) / 1e9
    bandwidth = 12 * NUMBERS / best_seconds(Side(f"{HERE}:triad"), setting) / 1e9
    points = []
    for channels in ((3, 4),) if setting.quick else ((16, 32), (32, 64)):
        batch = 2 if setting.quick else 64
        arguments = {"channels": channels, "pooling": "average", "batch": batch, "free": 30, "nudged": 10}
        seconds = best_seconds(Side("benchmarks.ours:ep_step", arguments), setting) / batch
        flops = step_flops(channels, 30, 10)
        points.append(
            {
                "name": f"conv EP step {channels[0]}→{channels[1]}", "gflops": flops / seconds / 1e9,
                "share": flops / seconds / 1e9 / fma, "intensity": flops / step_bytes(channels, batch),
            }
        )  # fmt: skip
    return {
        "fma": fma, "sgemm": best, "sgemm_kernel": chosen, "sgemm_pinned": pinned, "pinned_kernel": PINNED,
        "triad": bandwidth, "points": points,
    }  # fmt: skip
