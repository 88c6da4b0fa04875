r"""Lion (Chen et al., 2023, Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675, algorithm 2).

    u_t     = sign(beta1 m_{t-1} + (1 - beta1) g_t)
    theta_t = theta_{t-1} - lr (u_t + weight_decay theta_{t-1})
    m_t     = beta2 m_{t-1} + (1 - beta2) g_t

Defaults: betas (0.9, 0.99), m_0 = 0. State: m, one tensor like the parameter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from optbench.optimizers.core.engine import RuleOptimizer, elementwise, mix, mixed
from optbench.optimizers.core.nan_guard import reveal


@elementwise
def lion(theta: Tensor, g: Tensor, m: Tensor, lr: float, new1: float, new2: float, keep: float) -> None:
    """One step in place; new1, new2 = 1 - beta1, 1 - beta2; keep = 1 - lr * weight_decay."""
    u = mixed(m, g, new1).sign_()
    theta.mul_(keep).sub_(u.mul_(lr))
    mix(m, g, new2)
    reveal(theta, m)


class Lion(RuleOptimizer):
    """Lion with decoupled weight decay."""

    rule = staticmethod(lion)
    state_names = ("m",)

    def __init__(
        self, params: Iterable[Any], *, lr: float, betas: tuple[float, float], weight_decay: float, engine: str = "auto"
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay}, engine)

    def hyperparameters(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
        """lr, 1 - beta1, 1 - beta2, 1 - lr * weight_decay."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        return lr, 1 - beta1, 1 - beta2, 1 - lr * group["weight_decay"]
