"""The claims, one module a family; importing the package registers all of them."""

from proofs_numeric.claims import (
    backpropagation,
    convolution,
    exact_gradients,
    gradient_error,
    learning,
    local,
    locality,
    mean_field,
    nudging,
    optimal_nudging,
    partition_zeros,
    plasticity,
    sampling,
    smoothing,
    tracking,
    variance,
)

__all__ = [
    "backpropagation",
    "convolution",
    "exact_gradients",
    "gradient_error",
    "learning",
    "local",
    "locality",
    "mean_field",
    "nudging",
    "optimal_nudging",
    "partition_zeros",
    "plasticity",
    "sampling",
    "smoothing",
    "tracking",
    "variance",
]
