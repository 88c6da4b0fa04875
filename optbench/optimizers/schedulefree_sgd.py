r"""Schedule-free SGD (Defazio et al., 2024, The Road Less Scheduled, arXiv:2405.15682, equations 2 to 4, as in the
authors' code with r = 0 and weight_lr_power = 2).

The gradient is taken at y = (1 - momentum) z + momentum x; the average x is evaluated.

    lr_t    = lr min(1, t / warmup_steps)
    d_t     = g_t + weight_decay y_t
    c_t     = w_t / sum(w_1..w_t),   w_t = (the largest lr_t so far)^2
    y_t+    = (1 - c_t) y_t + c_t z_t + lr_t (momentum (1 - c_t) - 1) d_t
    z_t+    = z_t - lr_t d_t

Parameters and their evaluation are as in schedulefree.py. Use schedule=constant. Defaults: lr 1, momentum 0.9.
State: z.
"""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.rule import ParamGroup, elementwise
from optbench.optimizers.schedulefree import ScheduleFree, warmed


@elementwise
def schedulefree_sgd(
    theta: Tensor, g: Tensor, z: Tensor, lr: float, weight_decay: float, average: float, pull: float
) -> None:
    """Take one step in place; theta is y, average = c_t, pull = lr (momentum (1 - c_t) - 1)."""
    d = g + weight_decay * theta
    theta.lerp_(z, average).add_(d * pull)
    z.sub_(d * lr)


class ScheduleFreeSGD(ScheduleFree):
    """Schedule-free SGD."""

    rule = staticmethod(schedulefree_sgd)

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        warmup_steps: int,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "warmup_steps": warmup_steps}
        super().__init__(params, defaults, engine)

    def beta(self, group: ParamGroup) -> float:
        """Return the weight of the average in the training point."""
        return group["momentum"]

    def rate(self, group: ParamGroup) -> float:
        """Return lr with the warm-up."""
        return group["lr"] * warmed(group)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr_t, weight decay, c_t, lr_t (momentum (1 - c_t) - 1)."""
        lr, average, pull = self.averaging(group)
        return lr, group["weight_decay"], average, pull
