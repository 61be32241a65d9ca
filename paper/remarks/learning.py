"""Remarks of the section on learning with biased, noisy gradients."""

from __future__ import annotations


def _c10() -> dict[str, float]:
    """On the loss ½L_1θ² a rate above 2/L_1 makes θ + B/L_1 grow in every step."""
    rate = 2.1
    return {"rate": rate, "factor": 1 - rate}


REMARKS = {"C10": _c10}
