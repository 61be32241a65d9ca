"""One script a figure: compute(…) -> dict, draw(data) -> Figure."""
