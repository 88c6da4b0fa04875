"""optbench: which optimizer should I use, on my workload, with my budget, and how sure can I be?

From Python: `optbench.run(["optimizer=lion", "model=vit"])` gives a result, `optbench.results("results/NAME")` tables
of runs and records.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "results", "run"]


def __getattr__(name: str) -> Any:
    """`run` and `results` when they are asked for: `import optbench` stays instant."""
    if name not in ("run", "results"):
        raise AttributeError(f"module 'optbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("optbench.api"), name)
