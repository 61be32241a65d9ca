"""The networks that the tests of all bounds share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meanfield import Model


@pytest.fixture(scope="session")
def pair() -> Model:
    return Model([[0, 1.0], [1.0, 0]], [0.0, 0.0])


@pytest.fixture(scope="session")
def rescaled(network: Callable[..., Model]) -> Callable[[int, int], tuple[Model, Model]]:
    """A network, and the same one in units in which every energy is 2^power times as large."""

    def both(power: int, seed: int) -> tuple[Model, Model]:
        model, scale = network(4, 0.6, 0.0, seed, norm="row"), 2.0**power
        return model, Model(scale * model.couplings, scale * model.bias, scale * model.temperature)

    return both
