"""Sampling of search boxes, and pruning of hopeless runs."""
