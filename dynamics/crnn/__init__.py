"""Layered networks that learn from images: architecture, network, learning rules, training, checkpoints."""
