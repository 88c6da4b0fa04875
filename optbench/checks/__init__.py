"""Conformance: does an implementation follow its algorithm's paper, and does it behave well?

`run_all.check(config)` gives one CheckResult per check. `papers/` contains the papers' rules a second time, in NumPy
float64, and shares no code with the implementations.
"""
