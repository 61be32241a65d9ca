"""The claims, one module a family; importing the package registers all of them."""

from proofs_numeric.claims import mean_field, sampling, tracking

__all__ = ["mean_field", "sampling", "tracking"]
