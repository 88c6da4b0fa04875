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


class Cautious(Wrapper):
    """An optimizer whose updates are masked where they point uphill."""

    def __init__(self, inner: Any, *, floor: float, decay: str = "") -> None:
        super().__init__(inner)
        self.floor, self.takes_decay = floor, decay == "decoupled"

    def step(self, closure: Closure | None = None) -> Loss:
        """Take one inner step and mask it; return the closure's loss."""
        before = [theta.detach().clone() for theta in self.parameters]
        with self._without_decay() as keeps:
            loss = self.step_inner(closure)
        with torch.no_grad():
            for theta, start, keep in zip(self.parameters, before, keeps, strict=True):
                if theta.grad is not None:
                    cautious(theta, start, theta.grad, keep, self.floor)
        return loss

    @contextmanager
    def _without_decay(self) -> Iterator[list[float]]:
        """Switch off the inner optimizer's decoupled decay; yield the decay factor of each parameter."""
        decays = [group.get("weight_decay", 0.0) if self.takes_decay else 0.0 for group in self.param_groups]
        keeps = [
            1 - group["lr"] * decay if decay else 1.0 for group, decay in zip(self.param_groups, decays, strict=True)
        ]
        try:
            for group, decay in zip(self.param_groups, decays, strict=True):
                if decay:
                    group["weight_decay"] = 0.0
            yield [keep for group, keep in zip(self.param_groups, keeps, strict=True) for _ in group["params"]]
        finally:
            for group, decay in zip(self.param_groups, decays, strict=True):
                if decay:
                    group["weight_decay"] = decay


def cautious(theta: Tensor, start: Tensor, g: Tensor, keep: float, floor: float) -> None:
    """Mask the update of a tensor in place; start and theta are its values before and after the inner step."""
    u = start - theta
    mask = (u * g > 0).to(u.dtype)
    scale = mask.mean().clamp(min=floor) if mask.numel() else 1.0
    theta.copy_(start.mul_(keep).sub_(u.mul_(mask).div_(scale)))
