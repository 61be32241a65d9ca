"""The hypotheses that bounds test before they answer.

Main results: require, require_absolute_gain, require_dobrushin. A failed one raises HypothesisError with its name and value.
"""

from __future__ import annotations

import numpy as np

from meanfield.model import HypothesisError, Model


def require(holds: bool, quantity: str, value: float, limit: float = 1.0) -> None:
    if not holds:
        raise HypothesisError(
            f"this bound needs {quantity} < {limit:.6g}, got {value:.6g}: raise the temperature or use less"
        )


def require_absolute_gain(model: Model) -> None:
    require(model.absolute_gain < 1, "κ_a = ‖|J|‖₂/(4T)", model.absolute_gain)


def require_dobrushin(model: Model) -> float:
    """ρ(C), refused unless below 1."""
    radius = float(np.abs(np.linalg.eigvalsh(model.influence)).max())
    require(radius < 1, "ρ(C), C = tanh(|J|/4T)", radius)
    return radius
