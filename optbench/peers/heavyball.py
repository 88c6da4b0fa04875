"""heavyball's classes, under their own names; gradients are kept after a step."""

from __future__ import annotations

from typing import Any

from optbench.peers import Adapter, optimizer_class


def __getattr__(name: str) -> Adapter:
    """Return the optimizer of this name. Raises MissingError if the package is not installed."""
    return Adapter(optimizer_class("heavyball", name), finish=keep_gradients)


def keep_gradients(optimizer: Any) -> None:
    """Switch off `consume_grad`, which sets `p.grad` to None: the loop owns the gradients."""
    optimizer.consume_grad = False
