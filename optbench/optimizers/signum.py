r"""Signum (Bernstein et al., 2018, signSGD: Compressed Optimisation for Non-Convex Problems, arXiv:1802.04434, alg. 2).

    m_t     = momentum m_{t-1} + (1 - momentum) g_t
    theta_t = theta_{t-1} - lr (sign(m_t) + weight_decay theta_{t-1})

m_0 = 0. State: m. The paper has no weight decay; it is decoupled here.
"""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.nan_guard import nan_guard
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def signum(theta: Tensor, g: Tensor, m: Tensor, lr: float, new: float, keep: float) -> None:
    """Take one step in place; new = 1 - momentum; keep = 1 - lr * weight_decay."""
    lerp_(m, g, new)
    theta.mul_(keep).sub_(m.sign().mul_(lr))
    nan_guard(theta, m)


class Signum(RuleOptimizer):
    """The sign of a momentum."""

    rule = staticmethod(signum)
    state_names = ("m",)

    def __init__(
        self, params: ParamsT, *, lr: float, momentum: float, weight_decay: float, engine: str = "auto"
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - momentum, 1 - lr * weight_decay."""
        return group["lr"], 1 - group["momentum"], 1 - group["lr"] * group["weight_decay"]
