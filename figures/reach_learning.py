"""Fashion-MNIST without pooling in the second layer, and longer: StochEP, deterministic EP, BPTT (results/reach_*; thm:F1, thm:F2).

Caption: as `fashion_learning`, but the second layer has 3 × 3 kernels and no pooling, four times the units, more epochs,
and each image is mirrored by lot when it is shown.
"""

from __future__ import annotations

from figures import page
from figures.fashion_learning import RULES as HALF
from figures.learning import family

INPUTS = ("results/reach_*/*/result.json", "experiments/reach_*.toml")

RULES = {name.replace("fashion", "reach"): rule for name, rule in HALF.items()}

compute, draw = family(RULES, "Fashion-MNIST, mirrored", cost=(0.15, 0.2, 0.3, 0.4, 0.5), error=(8, 9, 10, 12, 15, 20))


def main() -> None:
    """Compute and write figures/out/reach_learning.*."""
    page.publish("reach_learning", compute(), draw)


if __name__ == "__main__":
    main()
