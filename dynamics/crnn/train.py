"""Training one experiment: epochs, checkpoints, progress.

Main results: train, update, close_epoch, Progress, Divergence.

Each epoch's order comes from a Generator seeded by (seed, epoch), all noise from (seed, stream;
step, unit, presentation): a run killed and resumed, or run on other threads, equals the unbroken one bit by bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from dynamics.crnn import checkpoint
from dynamics.crnn.architecture import Architecture
from dynamics.crnn.config import AdamTable
from dynamics.crnn.learning import Estimate, estimate
from dynamics.crnn.network import Array
from dynamics.crnn.optimiser import Moments, descend, schedule
from dynamics.crnn.result import hits, record
from dynamics.crnn.run import PREFIX, Run, State
from dynamics.crnn.stability import NO_MAP, stability
from dynamics.datasets import Augmentation
from dynamics.provenance import remove_leftovers

# validation images whose relaxation is looked at after each epoch
PROBES = 8
SECONDS_BETWEEN_REPORTS = 1.0
# mean firing rates of a layer beyond which it hardly tells one image from another
SILENT, SATURATED = 1e-3, 0.5


class Divergence(RuntimeError):
    """Weights that are no numbers any more: which layer's, when, and what to lower."""


class Progress(NamedTuple):
    """Where a run is: epochs done, share of the current one, means over it so far, and what the clock says.

    rates: mean firing rate a layer; images_per_second and seconds_left: of this call of train.
    """

    epoch: int
    epochs: int
    share: float
    cost: float
    error: float
    rates: tuple[float, ...]
    validation_error: float | None
    images_per_second: float
    seconds_left: float

    @property
    def warning(self) -> str:
        """A sentence about layers that hardly tell one image from another; "" when there are none."""
        for number, rate in enumerate(self.rates, start=1):
            if not SILENT <= rate <= SATURATED:
                how = "is nearly silent" if rate < SILENT else "fires more than half of the time"
                return (
                    f"layer {number} {how} (rate {rate:.3g}): lower training.rates of layers {number - 1} and {number}, or "
                    "network.scales"
                )
        return ""


def train(run: Run, report: Callable[[Progress], None]) -> dict[str, Any]:
    """Run what is left, report now and then, write checkpoints, weights.npz and result.json; the latter's document.

    A KeyboardInterrupt is passed on after a checkpoint of the last update done. Raises Divergence.
    """
    state, folder = run.state, run.folder / "checkpoints"
    for place in (run.folder, folder):
        remove_leftovers(place)
    if state.epoch == 0 and state.batch == 0:
        checkpoint.clear(folder)
    clock = _Clock(run)
    try:
        while state.epoch < run.experiment.training.epochs:
            if state.batch < run.batches:
                state = update(run, state)
                clock.tick(state, report)
                continue
            state = close_epoch(run, state)
            checkpoint.save(folder, state.epoch, 0, run.origin, asdict(state))
            report(clock.progress(state))
    except KeyboardInterrupt:
        checkpoint.save(folder, state.epoch, int(state.batch), run.origin, asdict(state))
        raise
    return record(run, state, clock.wall(state))


def update(run: Run, state: State) -> State:
    """One batch: the rule's gradient, then a step of the optimiser."""
    training, images, architecture = run.experiment.training, run.data.train, run.architecture
    batch = int(state.batch)
    order = np.random.default_rng([run.seed, state.epoch + 1]).permutation(len(images.labels))
    chosen = order[batch * training.batch : (batch + 1) * training.batch]
    numbers = state.epoch * run.data.total + images.indices[chosen]
    targets, network = np.eye(run.data.classes)[images.labels[chosen]], run.network(state)
    shown = run.images(images, chosen)
    if table := run.experiment.data.augmentation:
        drawn = images.augmented(
            chosen, seed=run.seed, numbers=numbers, augmentation=Augmentation(table.flip, table.shift)
        )
        shown = run.images(drawn, slice(None))
    found = estimate(run.experiment.rule, network, shown, targets, seed=run.seed, replicas=numbers)
    done = (state.epoch + batch / run.batches) / training.epochs
    factor, number = schedule(training.schedule, done), state.epoch * run.batches + batch + 1
    # an overflow is found, and named, just below
    with np.errstate(over="ignore", invalid="ignore"):
        weights, bias, moments = _step(run, state, found, factor, number)
    _refuse_divergence(architecture, weights, bias, state.epoch, batch)
    answered = network.answers(found.free)
    errors = (answered.argmax(axis=1) != images.labels[chosen]).sum()
    rates_seen = [found.free[:, place].mean() * len(chosen) for place in architecture.places]
    return replace(
        state, weights=weights, bias=bias, weight_first=moments[0].first, weight_second=moments[0].second,
        bias_first=moments[1].first, bias_second=moments[1].second, batch=state.batch + 1,
        sums=state.sums + np.array([found.cost.sum(), errors, *rates_seen]),
        first_costs=np.append(state.first_costs, found.cost.mean())[:PREFIX],
    )  # fmt: skip


def _step(
    run: Run, state: State, found: Estimate, factor: float, number: int
) -> tuple[Array, Array, tuple[Moments, Moments]]:
    """Weights and biases after update `number`, and the optimiser's moments of both."""
    training, architecture, dtype = run.experiment.training, run.architecture, state.weights.dtype
    # weak feedback writes w as c^{n−1}w: descent in w's unit is c^{2(n−1)} as fast there, Adam's step c^{n−1} as long
    unit = run.experiment.network.weakened(training.rates, 1 if isinstance(training.optimiser, AdamTable) else 2)
    rates, bias_rates = (
        (factor * spread(unit)).astype(dtype) for spread in (architecture.per_weight, architecture.per_bias)
    )
    before = Moments(state.weight_first, state.weight_second), Moments(state.bias_first, state.bias_second)
    weights, moments = descend(training.optimiser, state.weights, found.weights, before[0], rates, number)
    bias, bias_moments = descend(training.optimiser, state.bias, found.bias, before[1], bias_rates, number)
    if training.weight_decay:
        decay = factor * training.weight_decay * architecture.per_weight(training.rates)
        weights = weights - decay.astype(dtype) * state.weights
    return weights, bias, (moments, bias_moments)


def close_epoch(run: Run, state: State) -> State:
    """After the last batch: means over the epoch and the accuracy on the validation images."""
    means, network = state.sums / len(run.data.train.labels), run.network(state)
    right = hits(run, network, run.data.validation)
    norms = [np.linalg.norm(own.astype(np.float64)) for own in run.architecture.arrays(state.weights)]
    probes = run.images(run.data.validation, np.arange(min(PROBES, right.size)))
    return replace(
        state,
        batch=np.array(0),
        sums=np.zeros_like(state.sums),
        train_cost=np.append(state.train_cost, means[0]),
        train_error=np.append(state.train_error, means[1]),
        validation_accuracy=np.append(state.validation_accuracy, right.mean()),
        rates=np.vstack([state.rates, means[2:]]),
        norms=np.vstack([state.norms, norms]),
        stability=np.vstack([state.stability, NO_MAP if run.experiment.from_below else stability(network, probes)]),
    )


def _refuse_divergence(architecture: Architecture, weights: Array, bias: Array, epoch: int, batch: int) -> None:
    arrays = zip(architecture.arrays(weights), architecture.bias_arrays(bias), strict=True)
    for number, (own, own_bias) in enumerate(arrays):
        # in the float32 that a result keeps; of no number the comparison fails
        if not all(np.abs(part).max() <= np.finfo(np.float32).max for part in (own, own_bias)):
            last = number == len(architecture.layers)
            name = "the readout" if last else f"layer {number + 1}"
            kept = f"; the checkpoint after epoch {epoch} is kept" if epoch else ""
            raise Divergence(
                f"the weights of {name} are no longer finite after update {batch + 1} of epoch {epoch + 1}: lower "
                f"training.rates ({number + 1}. value) or network.scales{kept}"
            )


class _Clock:
    """Speed and time left, of this process's updates alone."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.begin = self.last = time.monotonic()
        self.first = self._updates(run.state)

    def _updates(self, state: State) -> int:
        return state.epoch * self.run.batches + int(state.batch)

    def tick(self, state: State, report: Callable[[Progress], None]) -> None:
        if time.monotonic() - self.last >= SECONDS_BETWEEN_REPORTS:
            self.last = time.monotonic()
            report(self.progress(state))

    def wall(self, state: State) -> dict[str, float]:
        """Seconds so far, epochs' ends and compiling included, and the updates done in them; a resumed run counts from there."""
        return {"seconds": time.monotonic() - self.begin, "updates": self._updates(state) - self.first}

    def progress(self, state: State) -> Progress:
        seconds, done = time.monotonic() - self.begin, self._updates(state) - self.first
        training, total = self.run.experiment.training, len(self.run.data.train.labels)
        left = training.epochs * self.run.batches - self._updates(state)
        if state.batch:
            means = state.sums / min(int(state.batch) * training.batch, total)
        else:
            means = np.array([state.train_cost[-1], state.train_error[-1], *state.rates[-1]])
        return Progress(
            state.epoch, training.epochs, int(state.batch) / self.run.batches, float(means[0]), float(means[1]),
            tuple(means[2:].tolist()), 1 - float(state.validation_accuracy[-1]) if state.epoch else None,
            done * training.batch / max(seconds, 1e-9), seconds / max(done, 1) * left,
        )  # fmt: skip
