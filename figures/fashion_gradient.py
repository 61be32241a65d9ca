"""Quality of the gradient of the net that learned all of Fashion-MNIST (results/gradient_quality.json; thm:F2).

Caption: in the upper layers one estimate points the right way; in the first, which weak feedback reaches, its noise is as long
as the gradient. As `gradient_quality`, of the recorded net of results/fashion_stochastic_probabilities/0, one batch of its
training images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from matplotlib.figure import Figure

from figures import gradient_quality, page
from figures.gradient_study import RECORD

INPUTS = ("results/gradient_quality.json",)


def compute(*, record: Path = RECORD, report: page.Report = page.silent) -> dict[str, Any]:
    """The recorded study."""
    report(1.0)
    return msgspec.json.decode(record.read_bytes()) if record.is_file() else {"panels": []}


def draw(data: dict[str, Any]) -> Figure:
    """The panels of `gradient_quality`."""
    with page.style():
        if not data["panels"]:
            return page.nothing("no record: python -m figures.gradient_study makes one")
    return gradient_quality.draw(data)


def main() -> None:
    """Compute and write figures/out/fashion_gradient.*."""
    page.publish("fashion_gradient", compute(), draw)


if __name__ == "__main__":
    main()
