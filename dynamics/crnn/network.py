"""The layered network: its drive, its phases, and the Model that ties it to the theory.

Main results: Network, Spiking, STREAM_INFERENCE.

A phase repeats, for each image on its own, p = σ((h(s) − θ − β(s_o − y)1_o)/T), s ← (1−ε)s + ε z with z ~ Bern(p)
(leaky spikes) or z = p (deterministic EP). Noise is a pure function of (seed, stream; step, unit, replica), so images
may run on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dynamics.activations import firing_probability, leaky_trace
from dynamics.crnn.architecture import Architecture
from dynamics.forces import cost_force
from dynamics.kernel import kernel
from dynamics.philox import uniforms
from meanfield.equations import activity_variance, onsager_field
from meanfield.model import FloatArray, Model
from meanfield.solve import ConvergenceError

# Noise of inference; the streams of learning are philox's own.
STREAM_INFERENCE = 16


@kernel()
def add_weighted_rows(state, weights, field):
    """field (k,) += Σ_j state_j weights[j, :]; row by row, so that it vectorises with every sum in a fixed order."""
    for j in range(state.shape[0]):
        value = state[j]
        for k in range(field.shape[0]):
            field[k] += value * weights[j, k]


@kernel()
def local_field(state, constant, layers, upward, downward, field):
    """field (units,) = constant + drive from below (W) and from above (Wᵀ) of every free layer."""
    field[:] = constant
    start, weight = 0, layers[0] * layers[1]
    for layer in range(1, layers.shape[0] - 1):
        below, above = layers[layer], layers[layer + 1]
        middle, end, weight_end = start + below, start + below + above, weight + below * above
        rising = upward[weight:weight_end].reshape((below, above))
        falling = downward[weight:weight_end].reshape((above, below))
        add_weighted_rows(state[start:middle], rising, field[middle:end])
        add_weighted_rows(state[middle:end], falling, field[start:middle])
        start, weight = middle, weight_end


@kernel()
def input_drive(images, weights, bias, constants):
    """constants (B, units): bias, plus for the first free layer the drive of the clamped images (B, inputs)."""
    first = weights.shape[1]
    for image in range(images.shape[0]):
        constants[image, :] = bias
        add_weighted_rows(images[image], weights, constants[image, :first])


@kernel()
def relax(
    state, constant, target, nudging, steps, window, layers, upward, downward, temperature, leak,
    spiking, of_probabilities, seed, stream, replica, average,
):  # fmt: skip
    """Run one phase of one image in place; average (units,) of the traces, or the p_t, over the last `window` steps."""
    units, outputs = state.shape[0], target.shape[0]
    field, noise = np.empty(units), np.empty(units)
    average[:] = 0.0
    for step in range(steps):
        local_field(state, constant, layers, upward, downward, field)
        for output in range(outputs):
            unit = units - outputs + output
            field[unit] += cost_force(state[unit], 1.0, -target[output], nudging)
        if spiking:
            uniforms(seed, stream, step, replica, noise)
        for unit in range(units):
            probability = firing_probability(field[unit], temperature)
            drive = probability
            if spiking:
                drive = 1.0 if noise[unit] < probability else 0.0
            state[unit] = leaky_trace(state[unit], drive, leak)
            if step >= steps - window:
                average[unit] += (probability if of_probabilities else state[unit]) / window


@kernel(parallel=True)
def relax_images(
    states, constants, targets, nudging, steps, window, layers, upward, downward, temperature, leak,
    spiking, of_probabilities, seed, stream, replicas, averages,
):  # fmt: skip
    """`relax` for every image of a batch (B, …), in place."""
    for image in prange(states.shape[0]):
        relax(
            states[image], constants[image], targets[image], nudging, steps, window, layers, upward, downward,
            temperature, leak, spiking, of_probabilities, seed, stream, replicas[image], averages[image],
        )  # fmt: skip


@kernel(parallel=True)
def settle_images(states, constants, layers, upward, downward, temperature, leak, tolerance, max_steps, residuals):
    """Relax each free state in place until max|σ((h(s)−θ)/T) − s| ≤ tolerance; residuals (B,) are what is left."""
    for image in prange(states.shape[0]):
        state = states[image]
        field = np.empty(state.shape[0])
        residuals[image] = np.inf
        for _ in range(max_steps):
            local_field(state, constants[image], layers, upward, downward, field)
            worst = 0.0
            for unit in range(state.shape[0]):
                probability = firing_probability(field[unit], temperature)
                worst = max(worst, abs(probability - state[unit]))
                state[unit] = leaky_trace(state[unit], probability, leak)
            residuals[image] = worst
            if worst <= tolerance:
                break


class Spiking(NamedTuple):
    """Where the noise of a phase comes from: key (seed, stream), and a replica number an image, (B,)."""

    seed: int
    stream: int
    replicas: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Network:
    """Weights (architecture.weights,) and bias (architecture.units,) of a layered net, with what its units share.

    temperature and threshold are in the unit of the weights, leak ε ∈ (0, 1]; the threshold is fixed, never learned.
    """

    architecture: Architecture
    weights: FloatArray
    bias: FloatArray
    temperature: float
    threshold: float
    leak: float

    @cached_property
    def _wiring(self) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        falling = [matrix.T.ravel() for matrix in self.architecture.arrays(self.weights)]
        return (
            np.array((self.architecture.inputs, *self.architecture.sizes), dtype=np.int64),
            self.weights,
            np.concatenate(falling),
        )

    def start(self, count: int) -> FloatArray:
        """The state ½ for `count` images, (count, units)."""
        return np.full((count, self.architecture.units), 0.5)

    def constants(self, images: FloatArray) -> FloatArray:
        """The part of the field that no phase changes, b − θ + s⁰W_0, for clamped images (B, inputs): (B, units)."""
        constants = np.empty((len(images), self.architecture.units))
        input_drive(images, self.architecture.arrays(self.weights)[0], self.bias - self.threshold, constants)
        return constants

    def phase(
        self,
        states: FloatArray,
        constants: FloatArray,
        *,
        steps: int,
        window: int,
        spiking: Spiking | None = None,
        targets: FloatArray | None = None,
        nudging: float = 0.0,
        average_of: str = "traces",
    ) -> FloatArray:
        """Run `steps` from `states` (B, units), which it moves; averages over the last `window` steps, (B, units).

        spiking None replaces each spike by its probability. targets (B, outputs) are read only where nudging is not 0.
        average_of: "traces" or "probabilities".
        """
        averages = np.empty_like(states)
        targets = np.zeros((len(states), self.architecture.outputs)) if targets is None else targets
        noise = Spiking(0, 0, np.zeros(len(states), dtype=np.int64)) if spiking is None else spiking
        relax_images(
            states, constants, targets, nudging, steps, window, *self._wiring, self.temperature, self.leak,
            spiking is not None, average_of == "probabilities", noise.seed, noise.stream, noise.replicas, averages,
        )  # fmt: skip
        return averages

    def settle(self, constants: FloatArray, *, tolerance: float, max_steps: int) -> FloatArray:
        """The free fixed points m = σ((h(m) − θ)/T) reached from ½, (B, units), to max|residual| ≤ tolerance.

        Raises ConvergenceError with the residual and a remedy when an image needs more than max_steps.
        """
        states, residuals = self.start(len(constants)), np.empty(len(constants))
        settle_images(states, constants, *self._wiring, self.temperature, self.leak, tolerance, max_steps, residuals)
        if not residuals.max() <= tolerance:
            raise ConvergenceError(
                f"fixed point not reached in {max_steps} steps: residual {residuals.max():.1e} > {tolerance:.1e} "
                f"at leak {self.leak:g}, temperature {self.temperature:g}; try a smaller network.leak or more max_steps"
            )
        return states

    def infer(self, images: FloatArray, *, steps: int, window: int, spiking: Spiking | None = None) -> FloatArray:
        """Free-phase traces of the output layer averaged over the last `window` of `steps`, (B, outputs)."""
        averages = self.phase(
            self.start(len(images)), self.constants(images), steps=steps, window=window, spiking=spiking
        )
        return averages[:, self.architecture.places[-1]]

    def onsager_field(self, means: FloatArray) -> FloatArray:
        """½(1 − 2m) ∘ (J∘J)v/T, what Onsager adds to the field of the free units with means m: both (B, units).

        Layer by layer with the squared weights of the field's own synapses, each reading v = m(1 − m) of the unit it comes
        from; clamped inputs have none. Equal to the Model's of as_model (thm:C7b).
        """
        layers, upward, downward = self._wiring
        variances, nothing = activity_variance(means), np.zeros(self.architecture.units)
        spread = np.empty_like(variances)
        for variance, field in zip(variances, spread, strict=True):
            local_field(variance, nothing, layers, upward**2, downward**2, field)
        return onsager_field(means, spread, self.temperature)

    @cached_property
    def couplings(self) -> FloatArray:
        """J of the free units, (units, units): W_n and W_nᵀ between neighbouring layers, 0 elsewhere."""
        places = self.architecture.places
        couplings = np.zeros((self.architecture.units, self.architecture.units))
        for below, above, matrix in zip(places, places[1:], self.architecture.arrays(self.weights)[1:], strict=False):
            couplings[below, above] = matrix
            couplings[above, below] = matrix.T
        return couplings

    def as_model(self, image: FloatArray) -> Model:
        """The free units as a Model, one clamped image (inputs,) and the threshold folded into its bias."""
        return Model(self.couplings, self.constants(image[None, :])[0], self.temperature)
