r"""LAMB (You et al., 2020, Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, arXiv:1904.00962,
algorithm 2).

    m_t, v_t   exponential moving averages of g_t and g_t^2
    r_t        = m_t / (1 - beta1^t) / (sqrt(v_t / (1 - beta2^t)) + eps)
    u_t        = r_t + weight_decay theta_{t-1}
    theta_t    = theta_{t-1} - lr |theta_{t-1}| / |u_t| u_t          per tensor; the ratio is 1 where either norm is 0

The paper's phi is the identity (the norm has no bound), and the gradient is not normalised first: `clip=global_norm`
does that.
Defaults: betas (0.9, 0.999), eps 1e-6. State: m and v.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from optbench.optimizers.adam import AdamW
from optbench.optimizers.core.rule import ParamGroup


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

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - beta1, 1 - beta2, 1 / (1 - beta1^t), sqrt(1 - beta2^t), eps, weight decay."""
        beta1, beta2 = group["betas"]
        corrections = 1 / (1 - beta1**t), math.sqrt(1 - beta2**t)
        return group["lr"], 1 - beta1, 1 - beta2, *corrections, group["eps"], group["weight_decay"]
