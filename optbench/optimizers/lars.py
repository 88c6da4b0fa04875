r"""LARS (You, Gitman and Ginsburg, 2017, Large Batch Training of Convolutional Networks, arXiv:1708.03888, alg. 1).

    local   = trust |theta| / (|g| + weight_decay |theta| + eps)     per tensor; 1 where |theta| or |g| is zero
    b_t     = momentum b_{t-1} + lr local (g_t + weight_decay theta_{t-1})
    theta_t = theta_{t-1} - b_t

b_0 = 0. Defaults: momentum 0.9, trust 0.001, eps 1e-8. State: b.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup


def lars(
    theta: Tensor, g: Tensor, b: Tensor, lr: float, momentum: float, weight_decay: float, trust: float, eps: float
) -> None:
    """Take one step in place."""
    theta_norm, g_norm = theta.square().sum().sqrt(), g.square().sum().sqrt()
    local = trust * theta_norm / (g_norm + weight_decay * theta_norm + eps)
    local = torch.where((theta_norm > 0) & (g_norm > 0), local, torch.ones_like(local))
    b.mul_(momentum).add_((g + weight_decay * theta) * (lr * local))
    theta.sub_(b)


class LARS(RuleOptimizer):
    """Momentum SGD with a learning rate per tensor."""

    rule = staticmethod(lars)
    state_names = ("b",)

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        trust: float,
        eps: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps}
        super().__init__(params, defaults, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, momentum, weight decay, trust, eps."""
        return tuple(group[name] for name in ("lr", "momentum", "weight_decay", "trust", "eps"))
