r"""LARS (You, Gitman and Ginsburg, 2017, Large Batch Training of Convolutional Networks, arXiv:1708.03888, alg. 1).

    local   = trust |theta| / (|g| + weight_decay |theta| + eps)     per tensor; 1 where |theta| or |g| is zero
    b_t     = momentum b_{t-1} + lr local (g_t + weight_decay theta_{t-1})
    theta_t = theta_{t-1} - b_t

b_0 = 0. The paper adapts every tensor. With adapt=decayed, those without weight decay (roles in no_decay) have
local = 1, as in momentum SGD. The LARS of TensorFlow (skip_list) and SimCLR leave biases and batch norms out in this
way, with a learning rate that suits them. The default is the paper's: at this file's lr, which is for local rates near
trust = 0.001, plain steps would be hundreds of times as long.
Defaults: momentum 0.9, trust 0.001, eps 1e-8. State: b.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.groups import is_spared
from optbench.optimizers.core.rule import ParamGroup, Rule, elementwise


def lars(
    theta: Tensor, g: Tensor, b: Tensor, lr: float, momentum: float, weight_decay: float, trust: float, eps: float
) -> None:
    """Take one step in place."""
    theta_norm, g_norm = theta.square().sum().sqrt(), g.square().sum().sqrt()
    local = trust * theta_norm / (g_norm + weight_decay * theta_norm + eps)
    local = torch.where((theta_norm > 0) & (g_norm > 0), local, torch.ones_like(local))
    b.mul_(momentum).add_((g + weight_decay * theta) * (lr * local))
    theta.sub_(b)


@elementwise
def lars_unadapted(theta: Tensor, g: Tensor, b: Tensor, lr: float, momentum: float, weight_decay: float) -> None:
    """Take one step in place at local = 1."""
    b.mul_(momentum).add_((g + weight_decay * theta) * lr)
    theta.sub_(b)


class LARS(RuleOptimizer):
    """Momentum SGD with a learning rate per tensor."""

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
        adapt: str | None,
        engine: str = "auto",
    ) -> None:
        self.adapts_all = adapt is None
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps}
        super().__init__(params, defaults, engine)

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Add a group; note whether its tensors have a local rate."""
        super().add_param_group({"adapted": self.adapts_all or not is_spared(param_group), **param_group})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return LARS's rule, or momentum SGD's."""
        return lars if group["adapted"] else lars_unadapted

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, momentum, weight decay; with a local rate also trust and eps."""
        names = ("lr", "momentum", "weight_decay", *(("trust", "eps") if group["adapted"] else ()))
        return tuple(group[name] for name in names)
