r"""LAMB (You et al., 2020, Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, arXiv:1904.00962,
algorithm 2).

    m_t, v_t   exponential moving averages of g_t and g_t^2
    r_t        = m_t / (1 - beta1^t) / (sqrt(v_t / (1 - beta2^t)) + eps)
    u_t        = r_t + weight_decay theta_{t-1}
    theta_t    = theta_{t-1} - lr |theta_{t-1}| / |u_t| u_t          per tensor; the ratio is 1 where either norm is 0

The paper's phi is the identity (the norm has no bound), and the gradient is not normalised first: `clip=global_norm`
does that.

The paper adapts every tensor. With adapt=decayed, those without weight decay (roles in no_decay) have the ratio 1, so
they follow AdamW. The authors' code does so: it excludes LayerNorm and biases from decay, and what it excludes from
decay also from adaptation, unless told otherwise (exclude_from_layer_adaptation in TensorFlow Addons). It matters for a
bias that starts at zero: with a ratio it moves by lr |bias|, so it stays near zero. The default is the paper's.
Defaults: betas (0.9, 0.999), eps 1e-6. State: m and v.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.adam import AdamW, adamw
from optbench.optimizers.core.groups import is_spared
from optbench.optimizers.core.rule import ParamGroup, Rule


def lamb(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, new1: float, new2: float, scale: float, root: float,
    eps: float, weight_decay: float,
) -> None:  # fmt: skip
    """Take one step in place; scale = 1 / (1 - beta1^t), root = sqrt(1 - beta2^t)."""
    m.lerp_(g, new1)
    v.lerp_(g.square(), new2)
    u = m * scale / (v.sqrt() / root + eps) + weight_decay * theta
    theta.sub_(u * (lr * norm_ratio(theta, u)))


def norm_ratio(theta: Tensor, u: Tensor) -> Tensor:
    """Return |theta| / |u|, or 1 if either is zero."""
    theta_norm, u_norm = theta.square().sum().sqrt(), u.square().sum().sqrt()
    known = (theta_norm > 0) & (u_norm > 0)
    return torch.where(known, theta_norm / u_norm, torch.ones_like(u_norm))


class LAMB(AdamW):
    """AdamW with a trust ratio per tensor."""

    rule = staticmethod(lamb)

    def __init__(self, params: ParamsT, *, adapt: str | None, **settings: Any) -> None:
        self.adapts_all = adapt is None
        super().__init__(params, **settings)

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Add a group; note whether its tensors have a trust ratio."""
        super().add_param_group({"adapted": self.adapts_all or not is_spared(param_group), **param_group})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return LAMB's rule, or AdamW's without a ratio."""
        return lamb if group["adapted"] else adamw

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - beta1, 1 - beta2, 1 / (1 - beta1^t), sqrt(1 - beta2^t), eps, weight decay; or AdamW's."""
        if not group["adapted"]:
            return super().hyperparameters(group, t)
        beta1, beta2 = group["betas"]
        corrections = 1 / (1 - beta1**t), math.sqrt(1 - beta2**t)
        return group["lr"], 1 - beta1, 1 - beta2, *corrections, group["eps"], group["weight_decay"]
