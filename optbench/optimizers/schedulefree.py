r"""Schedule-free AdamW (Defazio et al., 2024, The Road Less Scheduled, arXiv:2405.15682, algorithm 1, as in the
authors' code with r = 0 and weight_lr_power = 2).

The gradient is taken at y = (1 - beta1) z + beta1 x; the average x is evaluated.

    lr_t    = lr sqrt(1 - beta2^t) min(1, t / warmup_steps)
    v_t     = beta2 v_{t-1} + (1 - beta2) g_t^2
    d_t     = g_t / (sqrt(v_t) + eps) + weight_decay y_t
    c_t     = w_t / sum(w_1..w_t),   w_t = (the largest lr_t so far)^2
    y_t+    = (1 - c_t) y_t + c_t z_t + lr_t (beta1 (1 - c_t) - 1) d_t
    z_t+    = z_t - lr_t d_t

Parameters hold y in training; `eval()` puts x = y + (1 - 1 / beta1) (z - y) there, `train()` brings y back. The rule
has its own schedule: use schedule=constant. Defaults: betas (0.9, 0.999), eps 1e-8. State: z and v.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import Active, RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def schedulefree(
    theta: Tensor, g: Tensor, z: Tensor, v: Tensor, lr: float, new2: float, eps: float, weight_decay: float,
    average: float, pull: float,
) -> None:  # fmt: skip
    """Take one step in place; theta is y, average = c_t, pull = lr (beta1 (1 - c_t) - 1)."""
    lerp_(v, g.square(), new2)
    d = g / (v.sqrt() + eps) + weight_decay * theta
    theta.lerp_(z, average).add_(d * pull)
    z.sub_(d * lr)


class ScheduleFree(RuleOptimizer):
    """An optimizer that averages its iterates instead of lowering its learning rate.

    A subclass gives its learning rate in this step as `rate`."""

    evaluating = False  # True while the parameters hold x

    def __init__(self, params: ParamsT, defaults: dict[str, Any], engine: str) -> None:
        super().__init__(params, {**defaults, "steps": 0, "weight_sum": 0.0, "largest": 0.0}, engine)

    def rate(self, group: ParamGroup) -> float:
        """Return lr_t of step group["steps"]."""
        raise NotImplementedError

    def beta(self, group: ParamGroup) -> float:
        """Return the weight of the average in the training point."""
        return group["betas"][0]

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return z, equal to y at first, and the rule's own state."""
        return {"z": theta.detach().clone(), **super().new_state(theta, group)}

    def before_step(self, active: list[Active]) -> None:
        """Update the weight of this step in the average."""
        for group in self.param_groups:
            group["steps"] += 1
            group["largest"] = max(group["largest"], self.rate(group))
            group["weight_sum"] += group["largest"] ** 2

    def averaging(self, group: ParamGroup) -> tuple[float, float, float]:
        """Return lr_t, c_t, lr_t (beta (1 - c_t) - 1)."""
        lr, total = self.rate(group) if group["steps"] else 0.0, group["weight_sum"]
        average = group["largest"] ** 2 / total if total else 0.0
        return lr, average, lr * (self.beta(group) * (1 - average) - 1)

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average x into the parameters, unless it is there."""
        if not self.evaluating:
            self._move(lambda beta: 1 - 1 / beta)
        self.evaluating = True

    @torch.no_grad()
    def train(self) -> None:
        """Put y back, unless it is there: frameworks call this before every step."""
        if self.evaluating:
            self._move(lambda beta: 1 - beta)
        self.evaluating = False

    def _move(self, weight: Callable[[float], float]) -> None:
        for group in self.param_groups:
            for theta in group["params"]:
                if "z" in self.state[theta]:
                    theta.lerp_(self.state[theta]["z"], weight(self.beta(group)))


class ScheduleFreeAdamW(ScheduleFree):
    """Schedule-free AdamW."""

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
        warmup_steps: int,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "warmup_steps": warmup_steps}
        super().__init__(params, defaults, engine)

    def rate(self, group: ParamGroup) -> float:
        """Return lr with the second moment's correction and the warm-up."""
        return group["lr"] * math.sqrt(1 - group["betas"][1] ** group["steps"]) * warmed(group)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr_t, 1 - beta2, eps, weight decay, c_t, lr_t (beta1 (1 - c_t) - 1)."""
        lr, average, pull = self.averaging(group)
        return lr, 1 - group["betas"][1], group["eps"], group["weight_decay"], average, pull


def warmed(group: ParamGroup) -> float:
    """Return the share of the learning rate that the linear warm-up allows in this step, at most 1."""
    return min(1.0, group["steps"] / group["warmup_steps"]) if group["warmup_steps"] else 1.0
