"""The companions in ball arithmetic, one module a family of claims; importing the package registers all of them."""

from proofs_numeric.balls.claims import mean_field, partition_zeros, sampling, tracking

__all__ = ["mean_field", "partition_zeros", "sampling", "tracking"]
