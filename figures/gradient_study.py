"""Quality of the gradient of the net that learned all of Fashion-MNIST, as figure `gradient_quality` has it of a small net.

    python -m figures.gradient_study

writes results/gradient_quality.json from results/fashion_stochastic_probabilities/0 (thm:F2).
"""

from __future__ import annotations

from dynamics.crnn.config import Phases, load
from dynamics.provenance import provenance, write_json
from figures import gradient_quality
from figures.learning import ROOT

RECORD = ROOT / "results" / "gradient_quality.json"
RUN = ROOT / "results" / "fashion_stochastic_probabilities" / "0"


# of the run's own nudging
FACTORS = (0.1, 0.4, 1.0, 2.0, 4.0, 16.0)


def main() -> None:
    """Write results/gradient_quality.json."""
    rule = load(ROOT / "experiments" / f"{RUN.parent.name}.toml").rule
    assert isinstance(rule, Phases)
    nudgings = [factor * rule.nudging for factor in FACTORS]
    write_json(RECORD, {**provenance(), **gradient_quality.compute(run=RUN, nudgings=nudgings)})


if __name__ == "__main__":
    main()
