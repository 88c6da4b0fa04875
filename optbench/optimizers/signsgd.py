r"""signSGD (Bernstein et al., 2018, signSGD: Compressed Optimisation for Non-Convex Problems, arXiv:1802.04434,
algorithm 1).

    theta_t = theta_{t-1} - lr (sign(g_t) + weight_decay theta_{t-1})

State: none. The paper has no weight decay; it is decoupled here.
"""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.nan_guard import nan_guard
from optbench.optimizers.core.rule import ParamGroup, elementwise


@elementwise
def signsgd(theta: Tensor, g: Tensor, lr: float, keep: float) -> None:
    """Take one step in place; keep = 1 - lr * weight_decay."""
    theta.mul_(keep).sub_(g.sign().mul_(lr))
    nan_guard(theta, g)


class SignSGD(RuleOptimizer):
    """The sign of the gradient."""

    rule = staticmethod(signsgd)

    def __init__(self, params: ParamsT, *, lr: float, weight_decay: float, engine: str = "auto") -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - lr * weight_decay."""
        return group["lr"], 1 - group["lr"] * group["weight_decay"]
