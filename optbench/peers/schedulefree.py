"""The schedulefree library's classes, in training mode from the start: they refuse a step before `train()`."""

from __future__ import annotations

from optbench.peers import Adapter, optimizer_class


def __getattr__(name: str) -> Adapter:
    """Return the optimizer of this name. Raises MissingError if the package is not installed."""
    return Adapter(optimizer_class("schedulefree", name), finish=lambda optimizer: optimizer.train())
