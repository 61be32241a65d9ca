"""The network: its drive, its phases, and the Model that ties it to the theory.

Main results: Network, Spiking, Frames, Spread, Drive, Pair, STREAM_INFERENCE.

A phase repeats, for each image on its own, p = σ((h(s) − θ − β∂C/∂s)/T), s ← (1−ε)s + ε z with z ~ Bern(p) (leaky spikes)
or z = p (deterministic EP, which also takes clip(·, 0, 1) in place of σ). Noise is a pure function of (seed, stream; step, unit,
replica), so images may run on any number of threads. Statistics are summed as a phase runs: its memory does not depend on its
steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynamics.crnn.architecture import Architecture, Conv
from dynamics.crnn.events import Tables, tabulate
from dynamics.crnn.readout import answers
from dynamics.crnn.relaxation import drive_images, input_drive_images, relax_images, relax_pairs, settle_images
from dynamics.crnn.wiring import Wiring, wire
from meanfield.equations import activity_variance, onsager_field
from meanfield.model import FloatArray, Model
from meanfield.solve import ConvergenceError

# Noise of inference; the streams of learning are philox's own.
STREAM_INFERENCE = 16

STATISTICS = ("traces", "spikes", "probabilities")
# a dense matrix of couplings for more units than these serves no purpose here
MOST_DENSE_UNITS = 400
# the fractional part of the golden ratio
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0

Array = NDArray[np.floating]


class Spiking(NamedTuple):
    """Where the noise of a phase comes from: key (seed, stream), and a replica number an image, (B,)."""

    seed: int
    stream: int
    replicas: NDArray[np.int64]


class Frames(NamedTuple):
    """An input that changes: frames (B, F, inputs) in [0, 1], each held for `hold` steps, the last one to the end.

    The input is a trace of its own, x ← (1−ε)x + ε·(frame, or a spike with that probability where `coded`), from 0: leak ε = 1
    hands the frames on as they are. A static image coded into spikes is one frame;
    a phase without spikes takes the probabilities.
    """

    frames: Array
    hold: int = 1
    leak: float = 1.0
    coded: bool = False


class Spread(NamedTuple):
    """Leaks that differ from unit to unit: evenly apart in their logarithm from lowest to highest, in (0, 1].

    Unit k of a layer stands at the fractional part of kφ between the ends, φ the golden ratio: any stretch of units, channels of
    one place or one channel's places, has nearly the same distribution.
    """

    lowest: float
    highest: float

    def values(self, count: int) -> FloatArray:
        """Of a layer's units, (count,)."""
        shares = np.arange(1, count + 1) * GOLDEN % 1.0
        return self.lowest * (self.highest / self.lowest) ** shares


class Drive(NamedTuple):
    """An input made ready for phases: constants (B, units), and what changes, its traces (B, inputs), moved as phases run.

    strains (B,): by what each image's input multiplies every temperature. averages (B, inputs): of the traces over the last
    phase's window.
    """

    constants: Array
    strains: Array
    frames: Frames
    traces: Array
    averages: Array

    def copy(self) -> Drive:
        """The same input at the same moment, for a phase that must not move this one."""
        return self._replace(traces=self.traces.copy(), averages=self.averages.copy())


class Pair(NamedTuple):
    """Averages over a window of two phases at nudgings β₊ and β₋: their mean, their half difference, (β₊ − β₋)/2 (B,)."""

    mean: Array
    half: Array
    half_nudging: Array


@dataclass(frozen=True, eq=False)
class Network:
    """Weights (architecture.weights,) and bias (architecture.biases,) of a network, with what its layers share.

    temperature and threshold, in the unit of the weights, and leak ε ∈ (0, 1]: numbers, or one a free layer, leaks also a
    Spread over the units of every layer (thm:G7). The threshold is fixed, never learned. rest: where every unit's trace starts.
    States have the dtype of the weights. activation "hard_sigmoid" is clip((h − θ)/T, 0, 1) in place of σ((h − θ)/T), for
    deterministic EP alone. rate_penalty λ ≥ 0, one or one a free layer: the cost that nudges is C + Σ λ_l · (mean trace of
    layer l). divisive g ≥ 0: the input divides all fields, h/(1 + g x̄) with the mean x̄ of an image's pixels, which is a
    temperature T(1 + g x̄) of its own for each image (lem:options).
    """

    architecture: Architecture
    weights: Array
    bias: Array
    temperature: float | tuple[float, ...]
    threshold: float | tuple[float, ...]
    leak: float | tuple[float, ...] | Spread
    rest: float = 0.5
    activation: Literal["logistic", "hard_sigmoid"] = "logistic"
    rate_penalty: float | tuple[float, ...] = 0.0
    divisive: float = 0.0

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float32 or float64."""
        return self.weights.dtype

    @cached_property
    def wiring(self) -> Wiring:
        """The weights as the kernels read them."""
        return wire(self.architecture, self.weights, self.dtype)

    @cached_property
    def tables(self) -> Tables:
        """The weights as spikes read them.

        Empty for max pooling, where a drive is not the sum of its spikes', and for a spread of leaks, with which it is no trace.
        """
        if self.wiring.routes or isinstance(self.leak, Spread):
            return Tables.none(self.dtype)
        return tabulate(self.architecture, self.weights, self.wiring)

    def _tables(self, spiking: bool) -> Tables:
        return self.tables if spiking else Tables.none(self.dtype)

    @cached_property
    def readout(self) -> tuple[Array, Array]:
        """The softmax readout's weights (units, classes) and bias (classes,), both without classes where there is none."""
        if self.architecture.classes:
            return self.architecture.arrays(self.weights)[-1], self.architecture.bias_arrays(self.bias)[-1]
        return np.empty((self.architecture.sizes[-1], 0), self.dtype), np.empty(0, self.dtype)

    def per_unit(self, values: float | tuple[float, ...] | Spread) -> Array:
        """A shared number, one a free layer, or a spread over each layer's units, for every unit: (units,)."""
        if isinstance(values, Spread):
            return np.concatenate([values.values(size) for size in self.architecture.sizes]).astype(self.dtype)
        spread = [values] * len(self.architecture.layers) if isinstance(values, (int, float)) else values
        return self.architecture.per_unit(spread).astype(self.dtype)

    @cached_property
    def _units(self) -> tuple[Array, Array]:
        return self.per_unit(self.temperature), self.per_unit(self.leak)

    @cached_property
    def pull(self) -> Array:
        """What the penalty adds to ∂C/∂s, λ_l/(units of layer l) at each of them, (units,)."""
        return self.per_unit(self.rate_penalty) / self.architecture.per_unit(self.architecture.sizes).astype(self.dtype)

    @property
    def _hard(self) -> bool:
        return self.activation == "hard_sigmoid"

    def start(self, count: int) -> Array:
        """The state at rest of `count` images, (count, units)."""
        return np.full((count, self.architecture.units), self.rest, self.dtype)

    def constants(self, images: Array) -> Array:
        """The part of the field that no phase changes, b − θ + P(w_0 ⋆ s⁰), for clamped images (B, inputs): (B, units)."""
        constants = np.tile(self._resting, (len(images), 1))
        input_drive_images(np.ascontiguousarray(images, self.dtype), self.wiring, constants)
        return constants

    @cached_property
    def _resting(self) -> Array:
        return self.architecture.unit_bias(self.bias) - self.per_unit(self.threshold)

    def input(self, images: Array | Frames) -> Drive:
        """Clamped images (B, inputs), or Frames, ready for phases that begin at step 0."""
        if isinstance(images, Frames):
            inputs = self.architecture.inputs
            if np.ndim(images.frames) != 3 or np.shape(images.frames)[2] != inputs:
                raise ValueError(f"frames must be (images, frames, {inputs}), got shape {np.shape(images.frames)}")
            frames = images._replace(frames=np.ascontiguousarray(images.frames, self.dtype))
            count = len(frames.frames)
            traces = np.zeros((count, self.architecture.inputs), self.dtype)
            strains = self.strains(frames.frames.mean(axis=1))
            return Drive(np.tile(self._resting, (count, 1)), strains, frames, traces, np.zeros_like(traces))
        return self._static(self.constants(images), self.strains(images))

    def _static(self, constants: Array, strains: Array) -> Drive:
        none = np.empty((len(constants), 0), self.dtype)
        return Drive(constants, strains, Frames(none[:, :, None]), none, none)

    def strains(self, images: Array) -> Array:
        """1 + g x̄ of each image (B, inputs): (B,)."""
        return (1.0 + self.divisive * np.mean(images, axis=1, dtype=np.float64)).astype(self.dtype)

    def phase(
        self,
        states: Array,
        drive: Drive | Array,
        *,
        steps: int,
        window: int,
        first: int = 0,
        spiking: Spiking | None = None,
        targets: Array | None = None,
        nudging: float | Array = 0.0,
        average_of: str = "traces",
    ) -> Array:
        """Run `steps` from `states` (B, units), which it moves; averages over the last `window` steps, (B, units).

        drive: an input, whose traces it moves too, or constants (B, units) of a network without divisive inhibition. first: the
        number of the first step, for noise and frames that go on where another phase ended. spiking None replaces each spike by
        its probability. targets (B, outputs) are read only where nudging, one number or one an image, is not 0. average_of:
        "traces", "spikes" or "probabilities". ValueError for spikes of hard sigmoids.
        """
        if spiking is not None:
            self.require_logistic()
        if not isinstance(drive, Drive):
            self.require_undivided()
            drive = self._static(drive, np.ones(len(drive), self.dtype))
        averages, dtype, frames = np.empty_like(states), self.dtype, drive.frames
        aims = np.zeros((len(states), self.architecture.outputs), dtype) if targets is None else targets.astype(dtype)
        noise = Spiking(0, 0, np.zeros(len(states), dtype=np.int64)) if spiking is None else spiking
        nudgings, spikes = np.broadcast_to(nudging, len(states)).astype(dtype), spiking is not None
        relax_images(
            states, drive.traces, drive.constants, frames.frames, aims, nudgings, first, steps, window, self.wiring,
            self._tables(spikes), *self.readout, self.pull, self._units[0], drive.strains, self._units[1], frames.hold,
            dtype.type(frames.leak), frames.coded and spikes, self._hard, spikes, STATISTICS.index(average_of), noise.seed,
            noise.stream, noise.replicas, averages, drive.averages,
        )  # fmt: skip
        return averages

    def pair(
        self,
        starts: tuple[Array, Array],
        drive: Drive,
        *,
        steps: int,
        window: int,
        targets: Array,
        nudgings: tuple[Array, Array],
        first: int = 0,
        spiking: tuple[Spiking, Spiking] | None = None,
        average_of: str = "traces",
    ) -> Pair:
        """Run two phases from `starts` (B, units) under `nudgings` (B,), with one input, which moves; what differs is exact.

        spiking: the noise of each, of one seed and the same images; equal noise couples them. Otherwise as `phase`.
        """
        if spiking is not None:
            self.require_logistic()
        upper, lower = starts
        mean, half, dtype, frames = (upper + lower) / 2, (upper - lower) / 2, self.dtype, drive.frames
        averages, half_averages, spikes = np.empty_like(mean), np.empty_like(mean), spiking is not None
        noise = spiking or (Spiking(0, 0, np.zeros(len(mean), dtype=np.int64)),) * 2
        nudging, half_nudging = (((nudgings[0] + sign * nudgings[1]) / 2).astype(dtype) for sign in (1, -1))
        relax_pairs(
            mean, half, drive.traces, drive.constants, frames.frames, targets.astype(dtype), nudging, half_nudging, first, steps,
            window, self.wiring, self._tables(spikes), *self.readout, self.pull, self._units[0], drive.strains, self._units[1],
            frames.hold, dtype.type(frames.leak), frames.coded and spikes, self._hard, spikes, STATISTICS.index(average_of),
            noise[0].seed, noise[0].stream, noise[1].stream, noise[0].replicas, averages, half_averages, drive.averages,
        )  # fmt: skip
        return Pair(averages, half_averages, half_nudging)

    def settle(self, constants: Array, *, tolerance: float, max_steps: int) -> tuple[Array, FloatArray]:
        """The free fixed points m = σ((h(m) − θ)/T) reached from rest, (B, units), and their max|residual| ≤ tolerance, (B,).

        Raises ConvergenceError with the residual and a remedy when an image needs more than max_steps, ValueError for hard
        sigmoids and divisive inhibition.
        """
        self.require_logistic()
        self.require_undivided()
        states, residuals = self.start(len(constants)), np.empty(len(constants))
        settle_images(states, constants, self.wiring, *self._units, tolerance, max_steps, residuals)
        if not residuals.max() <= tolerance:
            raise ConvergenceError(
                f"fixed point not reached in {max_steps} steps: residual {residuals.max():.1e} > {tolerance:.1e} "
                f"at leak {_shown(self.leak)}, temperature {_shown(self.temperature)}; try a smaller network.leak or more "
                "max_steps"
            )
        return states, residuals

    def outputs(self, states: Array) -> Array:
        """The last layer's part of states (B, units)."""
        return states[:, self.architecture.places[-1]]

    def infer(self, images: Array | Frames, *, steps: int, window: int, spiking: Spiking | None = None) -> Array:
        """What a free phase answers, (B, outputs), from traces averaged over the last `window` of `steps`."""
        count = len(images.frames if isinstance(images, Frames) else images)
        averages = self.phase(self.start(count), self.input(images), steps=steps, window=window, spiking=spiking)
        return self.answers(averages)

    def answers(self, states: Array) -> Array:
        """What states (B, units) answer, (B, outputs): the label is where it is largest."""
        return answers(self.outputs(states), *self.readout)

    def require_multilinear(self) -> None:
        """ValueError where max pooling leaves the theory."""
        if any(
            isinstance(layer, Conv) and layer.pooling == "max" and layer.pool > 1 for layer in self.architecture.layers
        ):
            raise ValueError(
                "max pooling is outside the theory: the network has no couplings; use pooling='average' for this"
            )

    def require_logistic(self) -> None:
        """ValueError where the hard sigmoid leaves the theory, which is one of firing probabilities σ(h/T)."""
        if self._hard:
            raise ValueError(
                "the hard sigmoid is for deterministic EP alone: use activation='logistic' for spikes, fixed points, BPTT, "
                "the certificate and Models"
            )

    def require_undivided(self) -> None:
        """ValueError where images have temperatures of their own and one is asked for."""
        if self.divisive:
            raise ValueError(
                f"divisive inhibition gives each image a temperature of its own, and this needs one for all: use "
                f"Network.seeing(image), or divisive = 0, got {self.divisive:g}"
            )

    def seeing(self, image: Array) -> Network:
        """The network that one image (inputs,) makes of this one: without divisive inhibition, at this image's temperatures."""
        strain = float(self.strains(image[None, :])[0])
        shared = self.temperature
        hotter = strain * shared if isinstance(shared, (int, float)) else tuple(strain * own for own in shared)
        return replace(self, temperature=hotter, divisive=0.0)

    def onsager_field(self, means: Array) -> Array:
        """½(1 − 2m) ∘ (J∘J)v/T, what Onsager adds to the field of the free units with means m: both (B, units).

        Layer by layer with the squared weights of the field's own synapses, those of pooling included, each reading
        v = m(1 − m) of the unit it comes from; clamped inputs have none. Equal to the Model's of as_model (thm:C7b).
        """
        self.require_logistic()
        self.require_multilinear()
        self.require_undivided()
        spread = np.zeros_like(means)
        drive_images(
            activity_variance(means), wire(self.architecture, self.weights, self.dtype, entry=np.square), spread
        )
        return onsager_field(means, spread, self._units[0])

    @cached_property
    def couplings(self) -> FloatArray:
        """J of the free units, (units, units), read off the drive unit by unit; ValueError for more than 400 units."""
        self.require_multilinear()
        units = self.architecture.units
        if units > MOST_DENSE_UNITS:
            raise ValueError(
                f"{units} units are too many for a dense matrix of couplings, the limit is {MOST_DENSE_UNITS}"
            )
        couplings = np.zeros((units, units))
        drive_images(np.eye(units), wire(self.architecture, self.weights, np.float64), couplings)
        return couplings

    def as_model(self, image: Array) -> Model:
        """The free units as a Model, one clamped image (inputs,) and the threshold folded into its bias.

        ValueError for more than 400 units, for max pooling, for hard sigmoids, and for layers of different temperatures, whose
        stationary law has no energy.
        """
        if self.divisive:
            return self.seeing(image).as_model(image)
        self.require_logistic()
        temperatures = set(self._units[0].tolist())
        if len(temperatures) > 1:
            raise ValueError(f"a Model has one temperature, got {_shown(self.temperature)}: give all layers the same")
        temperature = self.temperature if isinstance(self.temperature, (int, float)) else self.temperature[0]
        return Model(self.couplings, self.constants(image[None, :])[0].astype(np.float64), temperature)


def _shown(values: float | tuple[float, ...] | Spread) -> str:
    if isinstance(values, Spread):
        return f"{values.lowest:g} to {values.highest:g}"
    return f"{values:g}" if isinstance(values, (int, float)) else ", ".join(f"{value:g}" for value in values)
