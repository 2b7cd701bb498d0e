"""Samples, their order and the loader that batches them."""
