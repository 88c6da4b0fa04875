"""The sign of a tensor, for rules that would hide a nan behind it."""

from __future__ import annotations

from torch import Tensor


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1 by element, nan where x is nan or infinite.

    torch.sign(nan) is 0 and torch.sign(inf) is 1: a moment that is no number any more would go on to move (or to stop)
    its parameter in silence. Here the parameter becomes nan as well, and the loss shows it."""
    return x.sign().add_(x, alpha=0)
