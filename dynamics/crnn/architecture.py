"""Which layers a network has, and where each lies in the flat vectors that the kernels read.

Main results: Architecture, Conv, Dense, Link.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dynamics.crnn.convolution import output_shape
from meanfield.model import FloatArray, whole_number

POOLINGS = ("average", "max")


@dataclass(frozen=True)
class Conv:
    """A layer s = P(w ⋆ below): kernel × kernel weights a channel, then the mean of pool × pool windows, pool apart.

    pooling="max" takes the largest drive of a window instead and sends the layer's own drive back to where that was: it is no
    multilinear primitive, so that no claim covers it.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: int = 1
    pooling: str = "average"

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "stride", "pool"):
            whole_number(name, getattr(self, name), 1)
        whole_number("padding", self.padding, 0)
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}")

    def shape(self, below: tuple[int, ...]) -> tuple[int, ...]:
        """(channels, height, width) after pooling, from the layer below's; ValueError when it has no such shape."""
        if len(below) != 3:
            raise ValueError(
                f"a convolution needs (channels, height, width) below it, got {below}: put it before the dense layers"
            )
        drive = output_shape(below[1:], (self.kernel, self.kernel), stride=self.stride, padding=self.padding)
        return self.channels, *output_shape(drive, (self.pool, self.pool), stride=self.pool)

    def weights(self, below: tuple[int, ...]) -> tuple[int, ...]:
        """(channels above, channels below, rows, columns)."""
        return self.channels, below[0], self.kernel, self.kernel

    @property
    def biases(self) -> int:
        """One a channel."""
        return self.channels


@dataclass(frozen=True)
class Dense:
    """A layer of units that each see all units of the layer below."""

    units: int

    def __post_init__(self) -> None:
        whole_number("units", self.units, 1)

    def shape(self, below: tuple[int, ...]) -> tuple[int, ...]:
        """(units,), whatever is below."""
        return (self.units,)

    def weights(self, below: tuple[int, ...]) -> tuple[int, ...]:
        """(units below, units), the units below in the order of the state."""
        return math.prod(below), self.units

    @property
    def biases(self) -> int:
        """One a unit."""
        return self.units


@dataclass(frozen=True)
class Link:
    """A residual link: each unit of free layer `lower` coupled to the same unit of free layer `upper`, as long, by `strength`.

    Layers are counted from 1, the input being 0. The coupling is part of J, up and down, and is not learned.
    """

    lower: int
    upper: int
    strength: float

    def __post_init__(self) -> None:
        whole_number("lower", self.lower, 1)
        whole_number("upper", self.upper, 1)
        if self.lower >= self.upper:
            raise ValueError(f"a link goes up from a lower layer, got lower = {self.lower}, upper = {self.upper}")


@dataclass(frozen=True)
class Architecture:
    """Layers with the primitive Φ(s) = Σ_n ⟨s^{n+1}, P(w_n ⋆ s^n)⟩ + ⟨b_n, s^{n+1}⟩; s⁰ is the clamped input.

    input: (channels, height, width) or (units,). layers: the free ones, from below. classes: 0 where the last layer is the
    output, nudged by a squared error; otherwise a softmax readout outside the dynamics, with a matrix and biases of its own.
    links add Σ ρ⟨s^m, s^n⟩ to Φ. lateral: one g_n ≥ 0 a free layer, or none; −g_n/(c−1) Σ_{i<j} s_i s_j is added for the c units of
    each place of a layer (all units of a dense one), which so inhibit each other by g_n times the others' mean (lem:options).
    An image's state is one vector (units,), layer after layer, each flattened with its channels last; so are images
    (inputs,). All weights lie in one vector (weights,), array after array, row-major: convolutions (above, below, rows,
    columns), dense ones and the readout (below, above). All biases lie in one vector (biases,).
    """

    input: tuple[int, ...]
    layers: tuple[Conv | Dense, ...]
    classes: int = 0
    links: tuple[Link, ...] = ()
    lateral: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.input) not in (1, 3):
            raise ValueError(f"input must be (channels, height, width) or (units,), got {self.input}")
        for size in self.input:
            whole_number("input", size, 1)
        whole_number("classes", self.classes, 0)
        if not self.layers:
            raise ValueError("a network needs one layer at least, got none: add a dense or a conv layer")
        if self.classes == 0 and not isinstance(self.layers[-1], Dense):
            raise ValueError(
                f"the last layer must be dense where the squared error is inside the dynamics, got {self.layers[-1]}: "
                "add a dense layer, or give classes for a readout"
            )
        for link in self.links:
            shapes = [self.shapes[n - 1] for n in (link.lower, link.upper) if n <= len(self.layers)]
            if len(shapes) < 2 or shapes[0] != shapes[1]:
                raise ValueError(f"a link needs two free layers of one shape, got {link} among {list(self.shapes)}")
        if self.lateral and len(self.lateral) != len(self.layers):
            raise ValueError(f"lateral must be one value a free layer, {len(self.layers)}, got {list(self.lateral)}")
        self.shapes  # noqa: B018  an impossible stack is refused here

    @classmethod
    def dense(cls, *units: int, classes: int = 0) -> Architecture:
        """Dense layers alone, input first."""
        return cls((units[0],), tuple(Dense(size) for size in units[1:]), classes)

    @property
    def inputs(self) -> int:
        """Units of the clamped input."""
        return math.prod(self.input)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """(channels, height, width) or (units,) of each free layer."""
        shapes = [self.input]
        for number, layer in enumerate(self.layers, start=1):
            try:
                shapes.append(layer.shape(shapes[-1]))
            except ValueError as error:
                raise ValueError(f"layer {number}: {error}") from error
        return tuple(shapes[1:])

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Units of each free layer."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def units(self) -> int:
        """N, the free units."""
        return sum(self.sizes)

    @property
    def numbers(self) -> int:
        """How many numbers one image takes: what drives the free units, before pooling, and the inputs of convolutions, padded."""
        total = self.units
        for layer, below in zip(self.layers, (self.input, *self.shapes), strict=False):
            if isinstance(layer, Conv):
                channels, height, width = below
                reach, around = (layer.kernel, layer.kernel), 2 * layer.padding
                driven = output_shape((height, width), reach, stride=layer.stride, padding=layer.padding)
                total += channels * (height + around) * (width + around) + layer.channels * math.prod(driven)
        return total

    @property
    def outputs(self) -> int:
        """How many numbers are compared with a target: units of the last layer, or classes of the readout."""
        return self.classes or self.sizes[-1]

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where each free layer lies in a state (…, units)."""
        return _places(self.sizes)

    @cached_property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each layer's weights, the readout's last."""
        below = (self.input, *self.shapes)
        shapes = [layer.weights(shape) for layer, shape in zip(self.layers, below, strict=False)]
        return (*shapes, (self.sizes[-1], self.classes)) if self.classes else tuple(shapes)

    @cached_property
    def fan_in(self) -> tuple[int, ...]:
        """Weights that drive one unit from below, for each array; average pooling is not counted."""
        return tuple(math.prod(shape[1:]) if len(shape) == 4 else shape[0] for shape in self.weight_shapes)

    @cached_property
    def bias_sizes(self) -> tuple[int, ...]:
        """How many biases each layer has, the readout's last."""
        sizes = tuple(layer.biases for layer in self.layers)
        return (*sizes, self.classes) if self.classes else sizes

    @property
    def weights(self) -> int:
        """How many weights there are in all."""
        return sum(map(math.prod, self.weight_shapes))

    @property
    def biases(self) -> int:
        """How many biases there are in all."""
        return sum(self.bias_sizes)

    @property
    def free_weights(self) -> int:
        """How many weights the free layers have; the readout's, if any, lie behind them."""
        return self.weights - self.sizes[-1] * self.classes

    @property
    def free_biases(self) -> int:
        """How many biases the free layers have; the readout's, if any, lie behind them."""
        return self.biases - self.classes

    def arrays(self, weights: NDArray[np.floating]) -> tuple[NDArray[np.floating], ...]:
        """Views of each layer's weights, of weight_shapes, into a flat vector (weights,)."""
        places = _places([math.prod(shape) for shape in self.weight_shapes])
        return tuple(weights[place].reshape(shape) for place, shape in zip(places, self.weight_shapes, strict=True))

    def bias_arrays(self, bias: NDArray[np.floating]) -> tuple[NDArray[np.floating], ...]:
        """Views of each layer's biases into a flat vector (biases,)."""
        return tuple(bias[place] for place in _places(self.bias_sizes))

    def unit_bias(self, bias: NDArray[np.floating]) -> NDArray[np.floating]:
        """Each free unit's bias, (units,): a channel's at all its places."""
        repeated = [
            np.tile(own, size // len(own)) for own, size in zip(self.bias_arrays(bias), self.sizes, strict=False)
        ]
        return np.concatenate(repeated)

    def sum_to_bias(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """The adjoint of unit_bias, the readout left out: values (units,) summed over the places of each channel."""
        sums = [
            values[place].reshape(-1, layer.biases).sum(axis=0)
            for place, layer in zip(self.places, self.layers, strict=True)
        ]
        return np.concatenate(sums)

    def per_weight(self, values: Sequence[float]) -> FloatArray:
        """One value an array, repeated for each of its weights: (weights,)."""
        return np.repeat(np.asarray(values, dtype=np.float64), [math.prod(shape) for shape in self.weight_shapes])

    def per_bias(self, values: Sequence[float]) -> FloatArray:
        """One value a layer, the readout last, repeated for each of its biases: (biases,)."""
        return np.repeat(np.asarray(values, dtype=np.float64), self.bias_sizes)

    def per_unit(self, values: Sequence[float]) -> FloatArray:
        """One value a free layer, repeated for each of its units: (units,)."""
        return np.repeat(np.asarray(values, dtype=np.float64), self.sizes)

    def draw_weights(self, generator: np.random.Generator, scales: Sequence[float]) -> FloatArray:
        """Weights uniform on ±scale/√(fan in), one scale an array: (weights,)."""
        spread = [scale / np.sqrt(below) for scale, below in zip(scales, self.fan_in, strict=True)]
        return generator.uniform(-1.0, 1.0, self.weights) * self.per_weight(spread)


def _places(sizes: Sequence[int]) -> tuple[slice, ...]:
    ends = np.cumsum(sizes).tolist()
    return tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
