"""torch-optimi's classes, under their own names."""

from __future__ import annotations

from optbench.peers import Adapter, optimizer_class


def __getattr__(name: str) -> Adapter:
    """Return the optimizer of this name. Raises MissingError if the package is not installed."""
    return Adapter(optimizer_class("optimi", name))
