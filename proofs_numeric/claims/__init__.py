"""The claims, one module a family; importing the package registers all of them."""

from proofs_numeric.claims import (
    backpropagation,
    exact_gradients,
    gradient_error,
    learning,
    mean_field,
    nudging,
    optimal_nudging,
    partition_zeros,
    sampling,
    smoothing,
    tracking,
    variance,
)

__all__ = [
    "backpropagation",
    "exact_gradients",
    "gradient_error",
    "learning",
    "mean_field",
    "nudging",
    "optimal_nudging",
    "partition_zeros",
    "sampling",
    "smoothing",
    "tracking",
    "variance",
]
