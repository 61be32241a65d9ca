"""What a network and a rule cost, counted and not timed: synapses, steps, multiply-adds, synaptic events.

Main results: synapses, steps, Work, work.

A synapse is a pair of units that a weight couples, of a pooled convolution each pair that the pooled kernel reaches. A drive sends
through each synapse between free layers once upwards and once downwards: two multiply-adds, or, of spikes, an addition for each
spike that arrives, a *synaptic event*. A clamped image drives the first layer once. Links and lateral inhibition, which learn
nothing and cost a unit an addition or two, are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dynamics.crnn.architecture import Architecture, Conv
from dynamics.crnn.config import (
    Backpropagation,
    Continual,
    EvolutionStrategies,
    Phases,
    PredictiveCoding,
    Rule,
    Stochastic,
)


def synapses(architecture: Architecture) -> tuple[int, ...]:
    """Pairs of units that the weights of each layer couple to what is below it, the input first; the readout's last, if any."""
    found = []
    below_each = (architecture.input, *architecture.shapes[:-1])
    for layer, below, shape in zip(architecture.layers, below_each, architecture.shapes, strict=True):
        if isinstance(layer, Conv):
            sides = [_pairs(size, places, layer) for size, places in zip(below[1:], shape[1:], strict=True)]
            found.append(int(np.prod(sides)) * below[0] * shape[0])
        else:
            found.append(int(np.prod(below)) * layer.units)
    if architecture.classes:
        found.append(architecture.sizes[-1] * architecture.classes)
    return tuple(found)


def _pairs(size: int, places: int, layer: Conv) -> int:
    """Along one side: places, and pixels inside the image that each reaches by a kernel of one of its pooled drives."""
    starts = np.arange(places) * layer.stride * layer.pool - layer.padding
    reach = np.unique(np.add.outer(layer.stride * np.arange(layer.pool), np.arange(layer.kernel)))
    pixels = np.add.outer(starts, reach)
    return int(((pixels >= 0) & (pixels < size)).sum())


def steps(rule: Rule) -> int | None:
    """Steps of the whole network for one image, of all phases and backwards through time; None where a tolerance ends them."""
    match rule:
        case Phases():
            free = 2 if isinstance(rule, Stochastic) and rule.phases == "independent" else 1
            return free * rule.steps_free + 2 * rule.steps_nudged
        case Continual():
            return rule.steps_free + rule.steps_nudged
        case Backpropagation():
            return 2 * rule.steps
        case PredictiveCoding():
            return rule.steps
        case EvolutionStrategies():
            return (1 + 2 * rule.pairs) * rule.steps
        case _:
            return None


@dataclass(frozen=True)
class Work:
    """Of one training image. multiply_adds: with every step's drive computed in full, its products for the gradient included.

    events: additions, of the spikes of rules that spike, at the mean rates given; None for the others.
    states: of N numbers each, that must be kept to form the gradient.
    """

    multiply_adds: int
    events: float | None
    states: int


def work(architecture: Architecture, rule: Rule, rates: Sequence[float] | None = None) -> Work:
    """What `rule` does with one static image; rates: mean spikes a unit and step of each free layer, of rules that spike.

    A drive a step. EP: T₁ + 2 T₂ of them and two products; it keeps two averages and the running states of three. BPTT: T drives
    forwards, T backwards, T products; it keeps T states and T vectors of probabilities. ValueError for other rules.
    """
    pairs = synapses(architecture)
    free, first = sum(pairs[1 : len(architecture.layers)]), pairs[0]
    if isinstance(rule, Phases):
        products, states = 2, 5
    elif isinstance(rule, Backpropagation):
        products, states = rule.steps, 2 * rule.steps + 1
    else:
        raise ValueError(f"work is counted for EP and BPTT, got rule {type(rule).__name__}")
    drives = steps(rule)
    assert drives is not None
    adds = first + 2 * free * drives + products * (free + first)
    events = None
    if rates is not None and isinstance(rule, Stochastic):
        # a layer's spikes go down to the layer below, where that is free, and up
        inner = [0, *pairs[1 : len(architecture.layers)], 0]
        events = drives * float(np.dot(rates, np.add(inner[:-1], inner[1:])))
    return Work(adds, events, states)
