"""Fashion-MNIST at full size: StochEP, deterministic EP and BPTT on one conv net (results/fashion_*; thm:F1, thm:F2).

Caption: StochEP learns Fashion-MNIST as deterministic EP does, within the spread of seeds; both stay somewhat above
backpropagation through time on the same net, which fits the training images better. (a) cost on the training images and (b)
error on 5,000 validation images against the epoch, mean over seeds with the range of seeds as a band; (c) test error of each
seed after the last epoch, 95 % Wilson intervals. One architecture, start, order of images, optimiser, schedule and number of
updates for all rules.
"""

from __future__ import annotations

from figures import page
from figures.learning import Rule, family

INPUTS = ("results/fashion_*/*/result.json", "experiments/fashion_*.toml")

# rules that teach the layers
TAUGHT = {
    "fashion_bptt": Rule("BPTT", "BPTT", page.BOUND),
    "fashion_deterministic": Rule("deterministic EP", "determ.", page.MEAN_FIELD),
    "fashion_bptt_spikes": Rule("BPTT through spikes", "BPTT, spikes", page.GREY),
    "fashion_stochastic_probabilities": Rule("StochEP", "StochEP", page.LINEAR),
}
RULES = {**TAUGHT, "fashion_readout": Rule("readout alone", "readout", page.GREY, ":")}

compute, draw = family(RULES, "Fashion-MNIST", cost=(0.2, 0.3, 0.4, 0.5), error=(8, 10, 12, 15, 20))


def main() -> None:
    """Compute and write figures/out/fashion_learning.*."""
    page.publish("fashion_learning", compute(), draw)


if __name__ == "__main__":
    main()
