"""A guard for rules that take a sign: it keeps NaN visible."""

from __future__ import annotations

from torch import Tensor


def nan_guard(theta: Tensor, source: Tensor) -> None:
    """Make theta NaN in place where source is NaN or infinite; leave the rest as it is.

    torch.sign(nan) is 0 and torch.sign(inf) is 1. Without the guard, a broken moment would stop its parameter or move
    it forever, and no loss would show it."""
    theta.add_(source, alpha=0)
