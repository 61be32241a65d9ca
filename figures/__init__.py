"""One script a figure: compute(…) -> dict, draw(data) -> Figure.

Main results: NAMES, the figures that `stochep figures` makes, each a module here.
"""

NAMES = (
    "gradient_bias",
    "gradient_error_bound",
    "tracking_error",
    "across_the_transition",
    "mean_field_error",
    "gradient_variance",
    "gradient_quality",
    "nudging_bias",
    "optimal_nudging",
    "free_energy_descent",
    "holomorphic_aliasing",
    "loss_smoothing",
    "claim_tightness",
    "digits_learning",
    "fashion_learning",
    "reach_learning",
    "fashion_rules",
    "net_size",
    "fashion_gradient",
    "event_stream",
    "sparsity",
    "training_stability",
    "training_cost",
    "certificates",
    "comparators",
    "neighbour_rules",
    "speed",
)
