"""Predictive coding as a training rule: activities settle between input and nudge, then each weight reads its own two layers.

Main results: forward, predictive_gradient (thm:G9).

The network computes from below: layer l's prediction is p_l = σ((x_{l−1}W_l + b_l − θ_l)/T_l), x_0 the image. Activities minimise

    E = Σ_l ½‖x_l − p_l‖² + β C(x),    by    x ← x − rate ∂E/∂x    from the pass x_l = p_l, where E = βC,

and at their end −e_l ∘ p'_l, with e_l = x_l − p_l and p' = p(1 − p)/T, is β times an estimate of ∂L/∂h_l of the pass: the one of
backpropagation as β → 0, with an error O(β). Millidge, Song, Salvatori, Lukasiewicz, Bogacz 2023 (arXiv 2207.12316); Whittington
and Bogacz 2017 (Neural Computation 29, 1229), where β → ∞ clamps the outputs.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

from dynamics.crnn.config import PredictiveCoding
from dynamics.crnn.network import Array, Frames, Network
from dynamics.crnn.readout import cost_slopes
from meanfield.equations import activity_variance


def forward(network: Network, images: Array | Frames) -> Array:
    """The pass from below, x_l = σ((x_{l−1}W_l + b_l − θ_l)/T_l) layer after layer, (B, units), for images (B, inputs).

    Holds for dense layers. ValueError for Frames.
    """
    constants = _constants(network, images)
    with threadpool_limits(1, user_api="blas"):
        return _Layers(network, constants).passed()


def predictive_gradient(
    rule: PredictiveCoding, network: Network, images: Array | Frames, targets: Array
) -> tuple[Array, Array, Array]:
    """Estimates −x_{l−1}ᵀ(e_l ∘ p'_l)/β of dL/dW_l, averaged over images, and of dL/db, readout left out; the pass, (B, units).

    C(x) is the network's cost, its penalty on rates included. Holds for dense layers. ValueError for Frames. Paper: thm:G9.
    """
    layers = _Layers(network, _constants(network, images))
    with threadpool_limits(1, user_api="blas"):
        free = layers.passed()
        activities = free.copy()
        for _ in range(rule.steps):
            errors, pushed = layers.errors(activities)
            slope = errors + rule.nudging * network.pull
            for weights, below, above in layers.between:
                slope[:, below] -= pushed[:, above] @ weights.T
            outputs = network.outputs(activities)
            network.outputs(slope)[:] += rule.nudging * cost_slopes(outputs, *network.readout, targets)
            activities -= rule.rate * slope
        _, pushed = layers.errors(activities)
        pushed /= -rule.nudging * len(images)
        places = network.architecture.places
        seen = [np.asarray(images, network.dtype), *(activities[:, place] for place in places[:-1])]
        parts = [(below.T @ pushed[:, place]).ravel() for below, place in zip(seen, places, strict=True)]
    return np.concatenate(parts), pushed.sum(axis=0), free


def _constants(network: Network, images: Array | Frames) -> Array:
    """What no activity changes of the fields, (B, units)."""
    if isinstance(images, Frames):
        raise ValueError("predictive coding computes in one pass, which a changing input has not: use static images")
    return network.constants(images)


class _Layers:
    """The network as predictions read it; constants (B, units) are what no activity changes of the fields."""

    def __init__(self, network: Network, constants: Array) -> None:
        self.constants, self.temperature = constants, network.per_unit(network.temperature)
        places = network.architecture.places
        inner = network.architecture.arrays(network.weights)[1 : len(places)]
        # weights (below, above), and where both layers lie in a state
        self.between = list(zip(inner, places[:-1], places[1:], strict=True))

    def predictions(self, activities: Array) -> Array:
        """p, (B, units)."""
        fields = self.constants.copy()
        for weights, below, above in self.between:
            fields[:, above] += activities[:, below] @ weights
        return expit(fields / self.temperature)

    def passed(self) -> Array:
        """x = p, (B, units): each round settles one more layer."""
        activities = self.predictions(np.zeros_like(self.constants))
        for _ in self.between:
            activities = self.predictions(activities)
        return activities

    def errors(self, activities: Array) -> tuple[Array, Array]:
        """e = x − p and e ∘ p', both (B, units)."""
        predictions = self.predictions(activities)
        errors = activities - predictions
        return errors, errors * activity_variance(predictions) / self.temperature
