r"""ADOPT (Taniguchi et al., 2024, ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate,
arXiv:2411.02853, algorithm 2).

    v_0     = g_0^2                                              (the first step moves nothing)
    m_t     = beta1 m_{t-1} + (1 - beta1) clip(g_t / max(sqrt(v_{t-1}), eps), t^clip_power)
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr m_t
    v_t     = beta2 v_{t-1} + (1 - beta2) g_t^2

with t = 1 in the first step that moves. Defaults: betas (0.9, 0.9999), eps 1e-6, clip_power 0.25. State: m and v.
"""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, Rule, elementwise, lerp_


@elementwise
def adopt(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, new1: float, new2: float, eps: float, bound: float,
    keep: float,
) -> None:  # fmt: skip
    """Take one step in place; bound = t^clip_power, keep = 1 - lr * weight_decay."""
    lerp_(m, (g / v.sqrt().clamp(min=eps)).clamp(min=-bound, max=bound), new1)
    theta.mul_(keep).sub_(m * lr)
    lerp_(v, g.square(), new2)


@elementwise
def adopt_first(theta: Tensor, g: Tensor, m: Tensor, v: Tensor, *numbers: float) -> None:
    """Take the first step: set the second moment only."""
    v.copy_(g.square())


class ADOPT(RuleOptimizer):
    """Adam normalised by the second moment from before the current gradient."""

    rule = staticmethod(adopt)
    state_names = ("m", "v")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        clip_power: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "clip_power": clip_power, "weight_decay": weight_decay}
        super().__init__(params, defaults, engine)

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule of step t; the first step moves nothing."""
        return adopt_first if t == 1 else adopt

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - beta1, 1 - beta2, eps, bound, 1 - lr * weight_decay."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        bound = max(1, t - 1) ** group["clip_power"]
        return lr, 1 - beta1, 1 - beta2, group["eps"], bound, 1 - lr * group["weight_decay"]
