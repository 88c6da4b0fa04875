"""optbench: which optimizer should I use, on my workload, with my budget, and how sure can I be?

From Python: `optbench.run(["optimizer=lion", "model=vit"])` returns a result, `optbench.results("results/NAME")` tables
of runs and records.
"""

TYPE_CHECKING = False  # as in `typing`, without importing it: Ctrl-C during this file would show a traceback
if TYPE_CHECKING:
    from typing import Any

    from optbench.api import results, run
    from optbench.scripts.attach import attach

__version__ = "0.1.0"
__all__ = ["__version__", "attach", "results", "run"]

HOMES = {"attach": "optbench.scripts.attach", "results": "optbench.api", "run": "optbench.api"}


def __getattr__(name: str) -> "Any":
    """Import the functions of `__all__` on first use, so that `import optbench` is instant."""
    if name not in HOMES:
        raise AttributeError(f"module 'optbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)
