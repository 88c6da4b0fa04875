r"""Adan (Xie et al., 2022, Adan: Adaptive Nesterov Momentum Algorithm, arXiv:2208.06677, algorithm 1).

    d_t     = g_t - g_{t-1}                                       (0 in the first step)
    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    v_t     = beta2 v_{t-1} + (1 - beta2) d_t
    n_t     = beta3 n_{t-1} + (1 - beta3) (g_t + beta2 d_t)^2
    theta_t = (theta_{t-1} - lr (m_t / c1 + beta2 v_t / c2) / (sqrt(n_t / c3) + eps)) / (1 + lr weight_decay)

with c_i = 1 - beta_i^t, as in the authors' code. Defaults: betas (0.98, 0.92, 0.99) as decay rates, eps 1e-8. State: m,
v, n and the last gradient.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def adan(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, n: Tensor, last: Tensor, step1: float, step2: float, new1: float,
    new2: float, new3: float, beta2: float, change: float, eps: float, shrink: float,
) -> None:  # fmt: skip
    """Take one step in place.

    step1 = lr sqrt(c3) / c1, step2 = lr sqrt(c3) beta2 / c2, eps is multiplied by sqrt(c3), shrink = 1 + lr * decay;
    change is 0 in the first step, else 1."""
    d = (g - last) * change
    lerp_(m, g, new1)
    lerp_(v, d, new2)
    lerp_(n, (g + beta2 * d).square(), new3)
    theta.sub_((m * step1 + v * step2) / (n.sqrt() + eps)).div_(shrink)
    last.copy_(g)


class Adan(RuleOptimizer):
    """Adam with Nesterov momentum by gradient differences."""

    rule = staticmethod(adan)
    state_names = ("m", "v", "n", "last")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float, float],
        eps: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return the numbers of the rule."""
        lr, (beta1, beta2, beta3) = group["lr"], group["betas"]
        root = math.sqrt(1 - beta3**t)
        steps = lr * root / (1 - beta1**t), lr * root * beta2 / (1 - beta2**t)
        weights = 1 - beta1, 1 - beta2, 1 - beta3, beta2
        return *steps, *weights, float(t > 1), group["eps"] * root, 1 + lr * group["weight_decay"]
