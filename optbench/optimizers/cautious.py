r"""Cautious updates (Liang et al., 2024, Cautious Optimizers: Improving Training with One Line of Code,
arXiv:2411.16085, algorithm 1), around any optimizer.

    u_t     = theta_{t-1} - theta_t of the inner optimizer                (without decoupled weight decay)
    mask    = 1 where u_t g_t > 0, else 0
    theta_t = (1 - lr weight_decay) theta_{t-1} - u_t mask / max(mean(mask), floor)           per tensor

Decoupled decay is not part of the update, so this class applies it in place of the inner optimizer. If the optimizer's
file does not declare `about.decay: decoupled`, the decay is masked with the rest. State: none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from optbench.optimizers.core.rule import Closure, Loss
from optbench.optimizers.core.wrapper import Wrapper


class OuterDecay(Wrapper):
    """An optimizer whose decoupled decay, if its file declares it, is applied here, in `settle`."""

    def __init__(self, inner: Any, decay: str) -> None:
        super().__init__(inner)
        self.takes_decay = decay == "decoupled"

    def settle(self, theta: Tensor, g: Tensor, start: Tensor, shrink: float) -> None:
        """Change a tensor after the inner step; `start` is its value before, `g` its gradient, `shrink` lr * decay."""
        raise NotImplementedError

    def step(self, closure: Closure | None = None) -> Loss:
        """Take one inner step without decay and settle every tensor; return the closure's loss."""
        before = [theta.detach().clone() for theta in self.parameters]
        with self._without_decay() as shrinks:
            loss = self.step_inner(closure)
        with torch.no_grad():
            for theta, start, shrink in zip(self.parameters, before, shrinks, strict=True):
                if theta.grad is not None:
                    self.settle(theta, theta.grad, start, shrink)
        return loss

    @contextmanager
    def _without_decay(self) -> Iterator[list[float]]:
        """Switch off the inner optimizer's decoupled decay; yield lr * weight_decay of each parameter."""
        decays = [group.get("weight_decay", 0.0) if self.takes_decay else 0.0 for group in self.param_groups]
        shrinks = [decay and group["lr"] * decay for group, decay in zip(self.param_groups, decays, strict=True)]
        try:
            for group, decay in zip(self.param_groups, decays, strict=True):
                if decay:
                    group["weight_decay"] = 0.0
            yield [shrink for group, shrink in zip(self.param_groups, shrinks, strict=True) for _ in group["params"]]
        finally:
            for group, decay in zip(self.param_groups, decays, strict=True):
                if decay:
                    group["weight_decay"] = decay


class Cautious(OuterDecay):
    """An optimizer whose updates are masked where they point uphill."""

    def __init__(self, inner: Any, *, floor: float, decay: str = "") -> None:
        super().__init__(inner, decay)
        self.floor = floor

    def settle(self, theta: Tensor, g: Tensor, start: Tensor, shrink: float) -> None:
        """Mask the update; decay all of the tensor."""
        cautious(theta, start, g, 1 - shrink, self.floor)


def cautious(theta: Tensor, start: Tensor, g: Tensor, keep: float, floor: float) -> None:
    """Mask the update of a tensor in place; start and theta are its values before and after the inner step."""
    u = start - theta
    mask = (u * g > 0).to(u.dtype)
    scale = mask.mean().clamp(min=floor) if mask.numel() else 1.0
    theta.copy_(start.mul_(keep).sub_(u.mul_(mask).div_(scale)))
