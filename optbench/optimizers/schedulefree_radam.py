r"""Schedule-free RAdam (Defazio et al., 2024, The Road Less Scheduled, arXiv:2405.15682, and the authors' code with r
= 0, weight_lr_power = 2 and silent_sgd_phase): RAdam's rectification (arXiv:1908.03265) takes the place of a warm-up.

    rho_t   = rho - 2 t beta2^t / (1 - beta2^t),   rho = 2 / (1 - beta2) - 1
    lr_t    = lr sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t))       0 while rho_t <= 4
    v_t     = beta2 v_{t-1} + (1 - beta2) g_t^2
    d_t     = g_t / (sqrt(v_t / (1 - beta2^t)) + eps) + weight_decay y_t

The rest is as in schedulefree.py, with this lr_t and d_t. Use schedule=constant. Defaults: lr 2.5e-3, betas (0.9,
0.999), eps 1e-8. State: z and v.
"""

from __future__ import annotations

import math

from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.rule import ParamGroup
from optbench.optimizers.schedulefree import ScheduleFree, schedulefree


class ScheduleFreeRAdam(ScheduleFree):
    """Schedule-free RAdam, which rests while its second moment is too young."""

    rule = staticmethod(schedulefree)
    state_names = ("v",)

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

    def rate(self, group: ParamGroup) -> float:
        """Return the rectified learning rate."""
        return group["lr"] * rectification(group["betas"][1], group["steps"])

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return the numbers of schedule-free AdamW, with d_t multiplied by root = sqrt(1 - beta2^t) through them."""
        beta2 = group["betas"][1]
        root = math.sqrt(1 - beta2 ** max(1, group["steps"]))
        lr, average, pull = self.averaging(group)
        return lr * root, 1 - beta2, group["eps"] * root, group["weight_decay"] / root, average, pull * root


def rectification(beta2: float, t: int) -> float:
    """Return the factor of the learning rate in step t, 0 while the variance of the second moment is unbounded."""
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if length <= 4:
        return 0.0
    return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
