"""Every rule on 10,000 images of Fashion-MNIST: which phases, which scheme, which statistic (results/fashion10k_*; thm:C3, thm:C8).

Caption: which phases are compared matters more than what they average or how they are nudged. (a) cost on the training images
and (b) error on 5,000 validation images against the epoch, mean over seeds with the range of seeds as a band; (c) test error of
each seed after the last epoch, 95 % Wilson intervals. One architecture, start, order of images, optimiser, schedule and number
of updates. Phases that do not share their noise (dashed
and dotted, purple) end above a net of which the readout alone learns (dotted, grey).
"""

from __future__ import annotations

from figures import page
from figures.learning import Rule, family

INPUTS = ("results/fashion10k_*/*/result.json", "experiments/fashion10k_*.toml")

RULES = {
    "fashion10k_bptt": Rule("BPTT", "BPTT", page.BOUND),
    "fashion10k_deterministic": Rule("deterministic EP", "determ.", page.MEAN_FIELD),
    "fashion10k_one_sided": Rule("deterministic, one-sided", "one-sided", page.MEAN_FIELD, "--"),
    "fashion10k_random_sign": Rule("deterministic, sign by lot", "by lot", page.MEAN_FIELD, ":"),
    "fashion10k_continual": Rule("continual EP", "continual", page.ONSAGER),
    "fashion10k_bptt_spikes": Rule("BPTT through spikes", "BPTT, spikes", page.GREY),
    "fashion10k_stochastic_probabilities": Rule("StochEP, probabilities", "probab.", page.LINEAR),
    "fashion10k_stochastic_traces": Rule("StochEP, traces", "traces", page.LEAKY),
    "fashion10k_stochastic_spikes": Rule("StochEP, spikes", "spikes", page.GLAUBER),
    "fashion10k_warm_started": Rule("traces, warm-started phases", "warm", page.LEAKY, "--"),
    "fashion10k_independent": Rule("traces, independent phases", "independent", page.LEAKY, ":"),
    "fashion10k_readout": Rule("readout alone", "readout", page.GREY, ":"),
}

compute, draw = family(
    RULES, "10,000 images of Fashion-MNIST", cost=(0.3, 0.4, 0.5, 0.7, 1, 2), error=(10, 15, 20, 30, 50, 90)
)


def main() -> None:
    """Compute and write figures/out/fashion_rules.*."""
    page.publish("fashion_rules", compute(), draw)


if __name__ == "__main__":
    main()
