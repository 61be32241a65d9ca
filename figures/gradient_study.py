"""Quality of the gradient of the net that learned all of Fashion-MNIST, as figure `gradient_quality` has it of a small net.

    python -m figures.gradient_study

writes results/gradient_quality.json from results/fashion_stochastic_probabilities/0 (thm:F2).
"""

from __future__ import annotations

from dynamics.provenance import provenance, write_json
from figures import gradient_quality
from figures.learning import ROOT

RECORD = ROOT / "results" / "gradient_quality.json"
RUN = ROOT / "results" / "fashion_stochastic_probabilities" / "0"


def main() -> None:
    """Write results/gradient_quality.json."""
    write_json(RECORD, {**provenance(), **gradient_quality.compute(run=RUN)})


if __name__ == "__main__":
    main()
