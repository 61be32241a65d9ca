"""How closely leaky spikes follow a changing input, against thm:B10 read near the fixed points.

Main results: Tracking, tracking.

B10 bounds the distance by a lag, which falls with the leak, and a noise, which rises; its hypothesis κ < 1 fails on trained
nets. Near the moving fixed point m* the same recursion holds to first order with the local gain g = ‖V^½JV^½/T‖ for κ and Σ
m(1−m) for N/4: an approximation, held here against what the spikes do. Its lag adds up drifts as if they all pointed one way.
Where an input comes and goes they do not, and the lag is better followed: by the deterministic path at the same leak.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dynamics.crnn.network import Frames, Network, Spiking
from dynamics.crnn.spectra import Drives, extreme_eigenvalue
from meanfield.bounds.leaky import lag_against_noise, stationary_distance
from meanfield.equations import activity_variance
from meanfield.model import FloatArray

STREAM_TRACKING = 96


class Tracking(NamedTuple):
    """slack 1 − g, drift ω and noise Σ m(1−m), means over images and steps; best: the leak they make best, 1 at most.

    leaks, and for each the distance √E‖s − m*‖²: predicted by drift and noise; followed, √(lag² + ε·noise/(slack(2 − ε·slack)))
    with the deterministic path's distance for the lag; measured, and its standard error over images. best_followed: the leak
    whose `followed` is least.
    """

    slack: float
    drift: float
    noise: float
    best: float
    leaks: list[float]
    predicted: list[float]
    followed: list[float]
    measured: list[float]
    standard_error: list[float]

    @property
    def best_followed(self) -> float:
        """Of `leaks` the one whose followed distance is least."""
        return self.leaks[int(np.argmin(self.followed))]


def tracking(
    network: Network, images: Frames, *, leaks: Sequence[float], seed: int = 0, skip: int = 4, tolerance: float = 1e-6
) -> Tracking:
    """Streams (B, F, inputs) seen by one network at each leak, from rest; steps below `skip` are not counted.

    The fixed points are those of each step's input; slack is positive at them, for the leaky map of a layered net, whose couplings
    have a spectrum symmetric about 0, settles only where g < 1. Raises ConvergenceError where it does not settle, ValueError for
    max pooling.
    """
    drives = Drives(network)
    exact, count, steps = drives.network, len(images.frames), images.frames.shape[1] * images.hold
    frames = images._replace(coded=False)
    fixed = _fixed_points(replace(exact, leak=0.5), frames, steps, tolerance)
    gains = []
    for mean in fixed[steps // 2]:
        root = np.sqrt(activity_variance(mean) / drives.temperatures)
        gains.append(
            max(abs(extreme_eigenvalue(drives.scaled("signed", root), drives.size, end)[0]) for end in ("LA", "SA"))
        )
    slack = 1.0 - float(np.mean(gains))
    drift = float(np.sqrt((np.diff(fixed[skip:], axis=0) ** 2).sum(axis=-1)).mean())
    noise = float(activity_variance(fixed[skip:]).sum(axis=-1).mean())
    spikes, paths = [], []
    for leak in leaks:
        follower = replace(exact, leak=leak)
        spikes.append(_root(_strayed(follower, frames, fixed, skip, Spiking(seed, STREAM_TRACKING, np.arange(count)))))
        paths.append(_root(_strayed(follower, frames, fixed, skip, None))[0])
    measured, errors = zip(*spikes, strict=True)
    return Tracking(
        slack, drift, noise, lag_against_noise(slack, drift, noise), list(leaks),
        [stationary_distance(slack, drift, noise, leak=leak) for leak in leaks],
        [math.hypot(lag, stationary_distance(slack, 0.0, noise, leak=leak)) for lag, leak in zip(paths, leaks, strict=True)],
        list(measured), list(errors),
    )  # fmt: skip


def _strayed(network: Network, frames: Frames, fixed: FloatArray, skip: int, spiking: Spiking | None) -> FloatArray:
    """‖s − m*‖² of each image, mean over the steps counted, (B,); of the deterministic path where spiking is None."""
    states, moving, squares = network.start(len(frames.frames)), network.input(frames), []
    for step in range(len(fixed)):
        network.phase(states, moving, steps=1, window=1, first=step, spiking=spiking)
        if step >= skip and step + 1 < len(fixed):
            squares.append(((states - fixed[step + 1]) ** 2).sum(axis=1))
    return np.mean(squares, axis=0)


def _fixed_points(network: Network, frames: Frames, steps: int, tolerance: float) -> FloatArray:
    """Of each step's input, (steps, B, units)."""
    moving, states, found = network.input(frames), network.start(len(frames.frames)), []
    for step in range(steps):
        # the phase is run for its input's traces alone
        network.phase(states.copy(), moving, steps=1, window=1, first=step)
        means, _ = network.settle(network.constants(moving.traces), tolerance=tolerance, max_steps=20_000)
        found.append(means)
    return np.array(found)


def _root(squares: FloatArray) -> tuple[float, float]:
    """√ of the mean over images and its standard error."""
    value = float(np.sqrt(squares.mean()))
    return value, float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * value)) if len(squares) > 1 else float("nan")
