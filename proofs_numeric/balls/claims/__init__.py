"""The companions in ball arithmetic, one module a family of claims; importing the package registers all of them."""

from proofs_numeric.balls.claims import gradients, local, mean_field, partition_zeros, sampling, smoothing, tracking

__all__ = ["gradients", "local", "mean_field", "partition_zeros", "sampling", "smoothing", "tracking"]
