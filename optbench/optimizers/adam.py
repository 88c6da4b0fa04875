r"""Adam (Kingma and Ba, 2015, Adam: A Method for Stochastic Optimization, arXiv:1412.6980, algorithm 1) and AdamW
(Loshchilov and Hutter, 2019, Decoupled Weight Decay Regularization, arXiv:1711.05101, algorithm 2).

    g_t     = g_t + l2 theta_{t-1}                                  (Adam: coupled decay)
    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    v_t     = beta2 v_{t-1} + (1 - beta2) g_t^2
    theta_t = (1 - lr weight_decay) theta_{t-1}                     (AdamW: decoupled decay)
              - lr m_t / (1 - beta1^t) / (sqrt(v_t / (1 - beta2^t)) + eps)

Defaults: betas (0.9, 0.999), eps 1e-8, m_0 = v_0 = 0. State: m and v.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def adamw(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, step: float, new1: float, new2: float, eps: float, keep: float
) -> None:
    """Take one step in place.

    Numerator and denominator are multiplied by root = sqrt(1 - beta2^t), as in the paper's section 2:
    step = lr root / (1 - beta1^t), eps is multiplied by root; new = 1 - beta, keep = 1 - lr * decay."""
    lerp_(m, g, new1)
    lerp_(v, g.square(), new2)
    theta.mul_(keep).sub_(m.div(v.sqrt().add_(eps)).mul_(step))


@elementwise
def adam(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, step: float, new1: float, new2: float, eps: float, l2: float
) -> None:
    """Take one step in place with coupled decay: l2 * theta is added to the gradient."""
    adamw(theta, g + l2 * theta, m, v, step, new1, new2, eps, 1.0)


class AdamW(RuleOptimizer):
    """Adam with decoupled weight decay."""

    rule = staticmethod(adamw)
    state_names = ("m", "v")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return Adam's numbers and 1 - lr * weight_decay."""
        return (*adam_numbers(group, t), 1 - group["lr"] * group["weight_decay"])


class Adam(AdamW):
    """Adam with coupled weight decay (L2)."""

    rule = staticmethod(adam)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return Adam's numbers and the weight decay."""
        return (*adam_numbers(group, t), group["weight_decay"])


def adam_numbers(group: ParamGroup, t: int) -> tuple[float, ...]:
    """Return lr root / (1 - beta1^t), 1 - beta1, 1 - beta2, eps root; root = sqrt(1 - beta2^t)."""
    beta1, beta2 = group["betas"]
    root = math.sqrt(1 - beta2**t)
    return group["lr"] * root / (1 - beta1**t), 1 - beta1, 1 - beta2, group["eps"] * root
