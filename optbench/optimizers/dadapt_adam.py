r"""Adam with D-Adaptation (Defazio and Mishchenko, 2023, Learning-Rate-Free Learning by D-Adaptation, arXiv:2301.07733,
algorithm 5, with the authors' code's order of operations).

    m_t = beta1 m_{t-1} + (1 - beta1) d_t lr g_t;       v_t = beta2 v_{t-1} + (1 - beta2) g_t^2
    s_t = beta3 s_{t-1} + (1 - beta3) d_t lr g_t
    r_t = beta3 r_{t-1} + (1 - beta3) d_t lr <g_t, s_{t-1} / (sqrt(v_{t-1}) + eps)>       over all tensors together
    d_{t+1} = the larger of d_t and r_t / ((1 - beta3) |s_t|_1), but at most growth_rate d_t
    theta_t = (1 - lr d_t weight_decay) theta_{t-1} - m_t / (sqrt(v_t) + eps)

with beta3 = sqrt(beta2) and no bias correction. lr is a factor, normally 1; a step with lr = 0 changes nothing.
Defaults: betas (0.9, 0.999), eps 1e-8, d_0 1e-6. State: m, v and s.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import Active, RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise
from optbench.optimizers.prodigy import dot, on_device


def moments(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, s: Tensor, beta1: float, new1: float, beta2: float, new2: float,
    beta3: float, new3: float, eps: float, scale: float, along: Tensor, length: Tensor,
) -> None:  # fmt: skip
    """Update the moments; add scale <g, s / (sqrt(v) + eps)> of before to `along`, |s|_1 to `length`.

    scale = lr d; new1 = (1 - beta1) scale, new2 = 1 - beta2, new3 = (1 - beta3) scale."""
    along.add_(scale * dot(g, s / (v.sqrt() + eps)))
    m.mul_(beta1).add_(g * new1)
    v.mul_(beta2).add_(g.square() * new2)
    s.mul_(beta3).add_(g * new3)
    length.add_(s.abs().sum())


@elementwise
def dadapt_adam(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, s: Tensor, move: float, eps: float, keep: float
) -> None:
    """Move theta, once the moments are known; move is 1, or 0 where lr is 0; keep = 1 - lr d weight_decay."""
    theta.mul_(keep).sub_(m.div(v.sqrt().add_(eps)).mul_(move))


class DAdaptAdam(RuleOptimizer):
    """AdamW that takes a lower bound of the distance to the solution as its learning rate."""

    rule = staticmethod(dadapt_adam)
    summing, sums = staticmethod(moments), 2
    state_names = ("m", "v", "s")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        d0: float,
        growth_rate: float | None,
        engine: str = "auto",
    ) -> None:
        growth = math.inf if growth_rate is None else growth_rate
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "growth_rate": growth}
        super().__init__(params, {**defaults, "d": d0, "next": d0, "r": 0.0}, engine)

    def before_step(self, active: list[Active]) -> None:
        """Update the moments of every tensor, then the distance d for all tensors, without a wait for the device."""
        moving = [one for one in active if one.group["lr"] > 0]
        if not moving:
            return
        first, device = self.param_groups[0], moving[0].theta.device
        d, r = on_device(first["next"], device), on_device(first["r"], device)
        beta3 = math.sqrt(first["betas"][1])
        for group in self.param_groups:
            group["d"] = d
        along, length = self.add_up(moving)
        r = beta3 * r + (1 - beta3) * along
        estimate = r / ((1 - beta3) * length)
        following = torch.fmax(d, torch.minimum(estimate, d * first["growth_rate"]))  # without a gradient, fmax keeps d
        for group in self.param_groups:
            group.update(next=following, r=r)

    def summing_numbers(self, group: ParamGroup) -> tuple[float | Tensor, ...]:
        """Return beta1, (1 - beta1) lr d, beta2, 1 - beta2, beta3, (1 - beta3) lr d, eps, lr d."""
        (beta1, beta2), scale = group["betas"], group["lr"] * group["d"]
        beta3 = math.sqrt(beta2)
        return beta1, (1 - beta1) * scale, beta2, 1 - beta2, beta3, (1 - beta3) * scale, group["eps"], scale

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float | Tensor, ...]:
        """Return 1 (0 where lr is 0), eps, 1 - lr d weight_decay."""
        return float(group["lr"] > 0), group["eps"], 1 - group["lr"] * group["d"] * group["weight_decay"]
