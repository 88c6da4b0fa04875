"""optbench: which optimizer should I use, on my workload, with my budget, and how sure can I be?

From Python: `optbench.run(optimizer="lion", model="vit")` trains, `optbench.sweep(optimizer=["lion", "adamw"],
model="vit")` tunes and compares, `optbench.report`, `optbench.compare` and `optbench.results` read what is stored,
`optbench.check` holds an optimizer against its paper. `optbench.attach()` in a training script connects it to its run.
"""

TYPE_CHECKING = False  # as in `typing`, without importing it: Ctrl-C during this file would show a traceback
if TYPE_CHECKING:
    from typing import Any

    from optbench.api.check import check
    from optbench.api.compare import compare
    from optbench.api.report import report
    from optbench.api.results import results
    from optbench.api.run import run
    from optbench.api.sweep import sweep
    from optbench.scripts.attach import attach

__version__ = "0.1.0"
__all__ = ["__version__", "attach", "check", "compare", "report", "results", "run", "sweep"]

LATE = {name: f"optbench.api.{name}" for name in ("check", "compare", "report", "results", "run", "sweep")}
LATE["attach"] = "optbench.scripts.attach"
"""The module of each function, which is imported on first use, so that `import optbench` is instant."""


def __getattr__(name: str) -> "Any":
    """Import a function on first use."""
    if name not in LATE:
        raise AttributeError(f"module 'optbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(LATE[name]), name)


def __dir__() -> list[str]:
    """Return the names, those of the late functions too."""
    return sorted({*globals(), *LATE})
