"""The companions in ball arithmetic, one module a family of claims; importing the package registers all of them."""

from proofs_numeric.balls.claims import local, mean_field, partition_zeros, sampling, tracking

__all__ = ["local", "mean_field", "partition_zeros", "sampling", "tracking"]
