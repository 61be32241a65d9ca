"""The time loops of the network, image by image: one phase, two at once as their mean and half difference, and settling.

Main results: relax_images, relax_pairs, settle_images, drive_images, input_drive_images, see, follow_input, STREAM_INPUT.

Two phases that are compared are carried as m = (s₊ + s₋)/2 and d = (s₊ − s₋)/2. The drive is linear, so that h(s±) = h(m) ± J d,
and σ₊ − σ₋ is a product without a difference (`pair_probabilities`): the small d is as exact, relative to itself, as m is. With
the nudgings β± = β̄ ± δ and the cost's slopes C'± = C̄' ± D' the nudges are β̄ C̄' + δ D' on the mean and δ C̄' + β̄ D' on the
difference. Max pooling alone is not linear: there the largest drives of the two phases are found apart.

Where units spike, and what is pooled is averaged, no step computes the drive J s: it is a trace itself, moved by the spikes' rows
(dynamics.crnn.events), from the drive of the state in which a phase begins. A phase split in two is the unbroken one to rounding.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dynamics.crnn.events import add_spikes, follow_pair, follow_spikes, lists_for
from dynamics.crnn.fire import fire, fire_pair, follow, probabilities
from dynamics.crnn.readout import cost_slope
from dynamics.crnn.wiring import (
    add_drives,
    add_input,
    add_within,
    collect,
    drive,
    input_drive,
    narrow,
    pair_drive,
    risen_size,
    scratch_for,
)
from dynamics.kernel import kernel
from dynamics.philox import uniforms

# The input's own spikes: all phases see the same, whatever noise their units have.
STREAM_INPUT = 32


@kernel()
def see(frames, step, hold, coded, seed, replica, noise, seen):
    """seen (inputs,): this step's frame of frames (F, inputs), or spikes with its chances."""
    seen[:] = frames[min(step // hold, frames.shape[0] - 1)]
    if coded:
        uniforms(seed, STREAM_INPUT, step, replica, noise)
        for unit in range(seen.shape[0]):
            seen[unit] = 1.0 if noise[unit] < seen[unit] else 0.0


@kernel()
def follow_input(trace, seen, leak):
    """x ← (1 − ε)x + ε · seen, all (inputs,), with one leak."""
    one = trace.dtype.type(1.0)
    for unit in range(trace.shape[0]):
        trace[unit] = (one - leak) * trace[unit] + leak * seen[unit]


@kernel()
def drive_input(trace, seen, fresh, coded, leak, wiring, tables, lists, scratch, framed, up):
    """The input's part of up: P(w_0 ⋆ trace), after the trace followed what was seen. framed, as long, keeps its value.

    Linear in what was seen, it is a trace of its own: of spikes, or of frames, which are convolved where they are fresh. Max
    pooling, and spikes without tables, take the trace itself.
    """
    zero, half, one = up.dtype.type(0.0), up.dtype.type(0.5), up.dtype.type(1.0)
    risen = up[: framed.shape[0]]
    if wiring.layers[0].pool > 1 or (coded and tables.values.shape[0] == 0):
        risen[:] = zero
        add_input(trace, wiring, scratch, risen)
        return
    risen *= one - leak
    if coded:
        add_spikes(seen, one, half, 0, wiring, tables, lists, leak, risen, risen, zero, risen, risen)
        return
    if fresh:
        framed[:] = zero
        add_input(seen, wiring, scratch, framed)
    for k in range(framed.shape[0]):
        risen[k] += leak * framed[k]


@kernel()
def relax(
    state, trace, constant, frames, target, nudging, first, steps, window, wiring, tables, readout, readout_bias, pull, temperature,
    leak, hold, input_leak, coded, hard, spiking, statistic, seed, stream, replica, average, input_average,
):  # fmt: skip
    """Run one phase of one image in place; average (units,) of traces, spikes or p_t (0, 1, 2) over the last `window` steps.

    pull (units,): what the cost adds to its slope at every unit, a penalty on its rate. constant (units,): what no step changes of
    the field; frames (0, inputs) where that includes the input's drive. Where there
    are tables, the drives among free layers are traces of spikes, see dynamics.crnn.events.
    """
    units, last = state.shape[0], wiring.layers[-1].start_above
    scratch, up, down = scratch_for(wiring), np.zeros(wiring.up, state.dtype), np.zeros(wiring.down, state.dtype)
    field, chances, pulses = np.empty_like(state), np.empty_like(state), np.empty_like(state)
    bits, noise = np.empty(units, np.int32), np.empty(4 * ((units + 3) // 4), np.uint32)
    slope, error, lists = np.empty_like(state), np.empty_like(readout_bias), lists_for(tables)
    seen, input_noise, framed = (
        np.empty_like(trace),
        np.empty(trace.shape[0]),
        np.empty(risen_size(wiring), state.dtype),
    )
    changing, traced, size = frames.shape[0] > 0, spiking and tables.values.shape[0] > 0, state.dtype.type(window)
    inverse = state.dtype.type(1.0) / temperature
    if changing:
        add_input(trace, wiring, scratch, up)
    if traced and state.any():
        add_drives(state, wiring, scratch, up, down)
    values = chances
    if statistic == 0:
        values = state
    elif statistic == 1:
        values = pulses
    average[:] = 0.0
    input_average[:] = 0.0
    for step in range(first, first + steps):
        field[:] = constant
        if changing:
            see(frames, step, hold, coded, seed, replica, input_noise, seen)
            follow_input(trace, seen, input_leak)
            fresh = step == first or step % hold == 0
            drive_input(trace, seen, fresh, coded, input_leak, wiring, tables, lists, scratch, framed, up)
            narrow(wiring.layers[0], up, field)
        if traced:
            collect(up, down, wiring, field)
            add_within(state, wiring, field)
        else:
            drive(state, wiring, scratch, field)
        if nudging != 0.0:
            cost_slope(state[last:], readout, readout_bias, target, error, slope)
            for unit in range(units):
                field[unit] -= nudging * pull[unit]
            for unit in range(units - last):
                field[last + unit] -= nudging * slope[unit]
        fire(field, temperature, inverse, hard, spiking, seed, stream, step, replica, bits, noise, chances, pulses)
        follow(state, pulses, leak)
        if traced and step + 1 < first + steps:
            follow_spikes(pulses, leak, wiring, tables, lists, up, down)
        if step >= first + steps - window:
            for unit in range(trace.shape[0]):
                input_average[unit] += trace[unit] / size
            for unit in range(units):
                average[unit] += values[unit] / size


@kernel(parallel=True)
def relax_images(
    states, traces, constants, frames, targets, nudgings, first, steps, window, wiring, tables, readout, readout_bias, pull,
    temperature, strains, leak, hold, input_leak, coded, hard, spiking, statistic, seed, stream, replicas, averages, input_averages,
):  # fmt: skip
    """`relax` for every image of a batch (B, …), in place, each at its strain (B,) times the temperature."""
    for image in prange(states.shape[0]):
        relax(
            states[image], traces[image], constants[image], frames[image], targets[image], nudgings[image], first, steps, window,
            wiring, tables, readout, readout_bias, pull, temperature * strains[image], leak, hold, input_leak, coded, hard, spiking,
            statistic, seed, stream, replicas[image], averages[image], input_averages[image],
        )  # fmt: skip


@kernel()
def pair_cost_slope(mean, half, weights, bias, target, error, slope, half_slope):
    """slope and half_slope (units,): mean and half difference of ∂C/∂s at m ± d, the last layer's; linear for the squared error."""
    if weights.shape[1] == 0:
        cost_slope(mean, weights, bias, target, error, slope)
        half_slope[: half.shape[0]] = half
        return
    cost_slope(mean + half, weights, bias, target, error, slope)
    cost_slope(mean - half, weights, bias, target, error, half_slope)
    for unit in range(mean.shape[0]):
        upper, lower = slope[unit], half_slope[unit]
        slope[unit], half_slope[unit] = (upper + lower) / 2, (upper - lower) / 2


@kernel()
def relax_pair(
    mean, half, trace, constant, frames, target, nudging, half_nudging, first, steps, window, wiring, tables, readout,
    readout_bias, pull, temperature, leak, hold, input_leak, coded, hard, spiking, statistic, seed, stream, other_stream, replica,
    average, half_average, input_average,
):  # fmt: skip
    """`relax` of two phases, s± = mean ± half, in place; averages of their mean and half difference, both (units,).

    They feel nudging ± half_nudging and the noise of `stream` and of `other_stream`, and see one input.
    """
    units, last = mean.shape[0], wiring.layers[-1].start_above
    scratch, up, down = scratch_for(wiring), np.zeros(wiring.up, mean.dtype), np.zeros(wiring.down, mean.dtype)
    half_up, half_down = np.zeros_like(up), np.zeros_like(down)
    field, half_field, slope, half_slope = (
        np.empty_like(mean), np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    )  # fmt: skip
    chances, half_chances, pulses, half_pulses = (
        np.empty_like(mean), np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    )  # fmt: skip
    spare = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    bits, error = np.empty(units, np.int32), np.empty_like(readout_bias)
    noise = np.empty(4 * ((units + 3) // 4), np.uint32)
    other_noise, lists = np.empty_like(noise), lists_for(tables)
    seen, input_noise, framed = np.empty_like(trace), np.empty(trace.shape[0]), np.empty(risen_size(wiring), mean.dtype)
    changing, traced, size = frames.shape[0] > 0, spiking and tables.values.shape[0] > 0, mean.dtype.type(window)
    inverse = mean.dtype.type(1.0) / temperature
    if changing:
        add_input(trace, wiring, scratch, up)
    if traced:
        add_drives(mean, wiring, scratch, up, down)
        if half.any():
            add_drives(half, wiring, scratch, half_up, half_down)
    values, half_values = chances, half_chances
    if statistic == 0:
        values, half_values = mean, half
    elif statistic == 1:
        values, half_values = pulses, half_pulses
    average[:] = 0.0
    half_average[:] = 0.0
    input_average[:] = 0.0
    for step in range(first, first + steps):
        for unit in range(units):
            field[unit] = constant[unit] - nudging * pull[unit]
            half_field[unit] = -half_nudging * pull[unit]
        if changing:
            see(frames, step, hold, coded, seed, replica, input_noise, seen)
            follow_input(trace, seen, input_leak)
            fresh = step == first or step % hold == 0
            drive_input(trace, seen, fresh, coded, input_leak, wiring, tables, lists, scratch, framed, up)
            narrow(wiring.layers[0], up, field)
        if traced:
            collect(up, down, wiring, field)
            collect(half_up, half_down, wiring, half_field)
            add_within(mean, wiring, field)
            add_within(half, wiring, half_field)
        else:
            pair_drive(mean, half, wiring, scratch, field, half_field)
        pair_cost_slope(mean[last:], half[last:], readout, readout_bias, target, error, slope, half_slope)
        for unit in range(units - last):
            field[last + unit] -= nudging * slope[unit] + half_nudging * half_slope[unit]
            half_field[last + unit] -= half_nudging * slope[unit] + nudging * half_slope[unit]
        fire_pair(
            field, half_field, temperature, inverse, hard, spiking, seed, stream, other_stream, step, replica, bits, spare, noise,
            other_noise, chances, half_chances, pulses, half_pulses,
        )  # fmt: skip
        follow(mean, pulses, leak)
        follow(half, half_pulses, leak)
        if traced and step + 1 < first + steps:
            follow_pair(pulses, half_pulses, leak, wiring, tables, lists, up, down, half_up, half_down)
        if step >= first + steps - window:
            for unit in range(trace.shape[0]):
                input_average[unit] += trace[unit] / size
            for unit in range(units):
                average[unit] += values[unit] / size
                half_average[unit] += half_values[unit] / size


@kernel(parallel=True)
def relax_pairs(
    means, halves, traces, constants, frames, targets, nudgings, half_nudgings, first, steps, window, wiring, tables,
    readout, readout_bias, pull, temperature, strains, leak, hold, input_leak, coded, hard, spiking, statistic, seed, stream,
    other_stream, replicas, averages, half_averages, input_averages,
):  # fmt: skip
    """`relax_pair` for every image of a batch (B, …), in place, each at its strain (B,) times the temperature."""
    for image in prange(means.shape[0]):
        relax_pair(
            means[image], halves[image], traces[image], constants[image], frames[image], targets[image], nudgings[image],
            half_nudgings[image], first, steps, window, wiring, tables, readout, readout_bias, pull, temperature * strains[image],
            leak, hold, input_leak, coded, hard, spiking, statistic, seed, stream, other_stream, replicas[image], averages[image],
            half_averages[image], input_averages[image],
        )  # fmt: skip


@kernel(parallel=True)
def drive_images(states, wiring, fields):
    """fields (B, units) += `drive` of states (B, units)."""
    for image in prange(states.shape[0]):
        drive(states[image], wiring, scratch_for(wiring), fields[image])


@kernel(parallel=True)
def input_drive_images(images, wiring, fields):
    """fields (B, units) += `input_drive` of images (B, inputs)."""
    for image in prange(images.shape[0]):
        input_drive(images[image], wiring, scratch_for(wiring), fields[image])


@kernel(parallel=True)
def settle_images(states, constants, wiring, temperature, leak, tolerance, max_steps, residuals):
    """Relax each free state in place until max|σ((h(s)−θ)/T) − s| ≤ tolerance; residuals (B,) are those of the states left."""
    inverse = states.dtype.type(1.0) / temperature
    for image in prange(states.shape[0]):
        state = states[image]
        field, chances, scratch = np.empty_like(state), np.empty_like(state), scratch_for(wiring)
        bits = np.empty(state.shape[0], np.int32)
        residuals[image] = np.inf
        for _ in range(max_steps):
            field[:] = constants[image]
            drive(state, wiring, scratch, field)
            probabilities(field, temperature, inverse, bits, chances)
            residuals[image] = np.abs(chances - state).max()
            if residuals[image] <= tolerance:
                break
            follow(state, chances, leak)
