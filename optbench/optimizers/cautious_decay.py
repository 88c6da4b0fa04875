r"""Cautious weight decay (Chen et al., 2025, Cautious Weight Decay, arXiv:2510.12402, algorithm 1), for any optimizer
with decoupled decay.

    u_t     = theta_{t-1} - theta_t of the inner optimizer without decay
    theta_t = theta_{t-1} - u_t - lr weight_decay theta_{t-1}         where u_t theta_{t-1} >= 0
    theta_t = theta_{t-1} - u_t                                       elsewhere

So an entry decays only while its update also takes it towards zero. State: none.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optbench.errors import ConfigError
from optbench.optimizers.cautious import OuterDecay


class CautiousDecay(OuterDecay):
    """An optimizer that decays the entries whose update has their own sign.

    Raises ConfigError for an optimizer that doesn't declare `about.decay: decoupled`."""

    def __init__(self, inner: Any, *, where: str, decay: str = "") -> None:
        super().__init__(inner, decay)
        if not self.takes_decay:
            raise ConfigError(
                "cautious_decay needs an optimizer with decoupled weight decay, and this one declares none",
                "Leave it out; a file of your own says about: {decay: decoupled} if theta *= 1 - lr * decay there",
            )

    def settle(self, theta: Tensor, g: Tensor, start: Tensor, shrink: float) -> None:
        """Decay where the update and the value before it have the same sign, or one of them is 0."""
        agrees = (start - theta) * start >= 0
        theta.sub_(start.mul_(agrees).mul_(shrink))
