"""Fashion-MNIST with more width, epochs and mirrored images: StochEP, deterministic EP and BPTT (results/reach_*; thm:F1, thm:F2).

Caption: as `fashion_learning`, 32 and 64 channels in place of 16 and 32, twice the epochs, each image mirrored by lot when it is
shown, a quarter of the feedback.
"""

from __future__ import annotations

from figures import page
from figures.fashion_learning import RULES as HALF
from figures.learning import family

RULES = {name.replace("fashion", "reach"): rule for name, rule in HALF.items()}

compute, draw = family(RULES, "Fashion-MNIST, mirrored", cost=(0.15, 0.2, 0.3, 0.4, 0.5), error=(8, 9, 10, 12, 15, 20))


def main() -> None:
    """Compute and write figures/out/reach_learning.*."""
    page.publish("reach_learning", compute(), draw)


if __name__ == "__main__":
    main()
