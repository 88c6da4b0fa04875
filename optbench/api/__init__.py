"""optbench from Python: what the command line does, as functions that return their answer.

run.py, sweep.py, report.py, compare.py, check.py, results.py hold a function each, which `optbench` gives by its name;
words.py turns their arguments into overrides, display.py shows what they return in a notebook. Nothing is printed
unless progress is asked for, and errors are `optbench.errors.OptbenchError`.
"""

import logging

logging.getLogger("optbench").addHandler(logging.NullHandler())
