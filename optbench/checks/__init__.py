"""Conformance: is an implementation the algorithm that it is named after, and does it behave?

`run.check(config)` gives one Finding per check. The papers' rules are written a second time in `papers/`, in NumPy and
float64, sharing no code with the implementations.
"""
