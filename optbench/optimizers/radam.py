r"""RAdam (Liu et al., 2020, On the Variance of the Adaptive Learning Rate and Beyond, arXiv:1908.03265, algorithm 2).

    m_t, v_t   exponential moving averages of g_t and g_t^2
    rho_inf    = 2 / (1 - beta2) - 1
    rho_t      = rho_inf - 2 t beta2^t / (1 - beta2^t)
    r_t        = sqrt((rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t))
    theta_t    = theta_{t-1} - lr r_t m_t / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v_t) + eps)   if rho_t > threshold
    theta_t    = theta_{t-1} - lr m_t / (1 - beta1^t)                                             else

threshold: 4 in the paper, 5 in torch. early: "momentum" is the paper's un-adapted step; "frozen" takes none, which is
the default of the authors' code. Decay is decoupled, in every step. Defaults: betas (0.9, 0.999), eps 1e-8. State: m
and v.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def radam(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor,
    adaptive: float, plain: float, new1: float, new2: float, eps: float, keep: float,
) -> None:  # fmt: skip
    """Take one step in place; either `adaptive` (factor of m / (sqrt(v) + eps)) or `plain` (factor of m) is zero."""
    lerp_(m, g, new1)
    lerp_(v, g.square(), new2)
    theta.mul_(keep).sub_(m * (adaptive / (v.sqrt() + eps) + plain))


class RAdam(RuleOptimizer):
    """Adam with a rectified variance."""

    rule = staticmethod(radam)
    state_names = ("m", "v")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        threshold: float,
        early: str,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "threshold": threshold, "early": early}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return adaptive, plain, 1 - beta1, 1 - beta2, eps, 1 - lr * weight_decay."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        step = lr / (1 - beta1**t)
        rest = 1 - beta1, 1 - beta2, group["eps"], 1 - lr * group["weight_decay"]
        rectified = rectification(beta2, t, group["threshold"])
        if rectified is None:
            return 0.0, {"momentum": step, "frozen": 0.0}[group["early"]], *rest
        return step * rectified * math.sqrt(1 - beta2**t), 0.0, *rest


def rectification(beta2: float, t: int, threshold: float) -> float | None:
    """Return r_t, or None if the variance is not tractable (rho_t at most `threshold`)."""
    limit = 2 / (1 - beta2) - 1
    length = limit - 2 * t * beta2**t / (1 - beta2**t)
    if length <= threshold:
        return None
    return math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
