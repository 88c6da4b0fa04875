"""What rules that take a sign do so that it hides no nan."""

from __future__ import annotations

from torch import Tensor


def reveal(theta: Tensor, source: Tensor) -> None:
    """Make theta nan, in place, where its source is nan or infinite; elsewhere it stays as it is.

    torch.sign(nan) is 0 and torch.sign(inf) is 1: a moment that is no number any more would go on to stop its
    parameter, or to move it for ever, and no loss would tell."""
    theta.add_(source, alpha=0)
