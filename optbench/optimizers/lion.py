r"""Lion (Chen et al., 2023, Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675, algorithm 2).

    u_t     = sign(beta1 m_{t-1} + (1 - beta1) g_t)
    theta_t = theta_{t-1} - lr (u_t + weight_decay theta_{t-1})
    m_t     = beta2 m_{t-1} + (1 - beta2) g_t

Defaults: betas (0.9, 0.99), m_0 = 0. State: m, one tensor like the parameter.
"""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.nan_guard import nan_guard
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp, lerp_


@elementwise
def lion(theta: Tensor, g: Tensor, m: Tensor, lr: float, new1: float, new2: float, keep: float) -> None:
    """Take one step in place; new1, new2 = 1 - beta1, 1 - beta2; keep = 1 - lr * weight_decay."""
    u = lerp(m, g, new1).sign_()
    theta.mul_(keep).sub_(u.mul_(lr))
    lerp_(m, g, new2)
    nan_guard(theta, m)


class Lion(RuleOptimizer):
    """Lion with decoupled weight decay."""

    rule = staticmethod(lion)
    state_names = ("m",)

    def __init__(
        self, params: ParamsT, *, lr: float, betas: tuple[float, float], weight_decay: float, engine: str = "auto"
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - beta1, 1 - beta2, 1 - lr * weight_decay."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        return lr, 1 - beta1, 1 - beta2, 1 - lr * group["weight_decay"]
