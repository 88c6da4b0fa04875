r"""Prodigy (Mishchenko and Defazio, 2023, Prodigy: An Expeditiously Adaptive Parameter-Free Learner, arXiv:2306.06101,
algorithm 4, with the authors' code's order of operations).

    m_t = beta1 m_{t-1} + (1 - beta1) d_t g_t;          v_t = beta2 v_{t-1} + (1 - beta2) d_t^2 g_t^2
    lr_t = lr c_t;  c_t = sqrt(1 - beta2^t) / (1 - beta1^t) with use_bias_correction, else 1
    r_t = beta3 r_{t-1} + d_t / d_0 lr_t d_t <g_t, theta_0 - theta_{t-1}>          over all tensors together
    s_t = beta3 s_{t-1} + d_t / d_0 lr_t d_t g_t            without the factor lr_t with safeguard_warmup
    d_{t+1} = the largest d_coef r_t / |s_t|_1 so far, but at most growth_rate d_t once d_t > d_0
    theta_t = (1 - lr_t d_t weight_decay) theta_{t-1} - lr_t d_t m_t / (sqrt(v_t) + d_{t+1} eps)

with beta3 = sqrt(beta2). lr is a factor, normally 1, times the schedule. In a warm-up the weights move little at first,
so that r / |s|_1 comes out too large: the authors advise safeguard_warmup then, and use_bias_correction beside it for
diffusion models. Both are off in their package and on in this file, because a run warms up by default. Defaults:
betas (0.9, 0.999), d_0 1e-6, d_coef 1. State: m, v, s and theta_0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import Active, RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise


def moments(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, s: Tensor, start: Tensor, beta1: float, new1: float, beta2: float,
    new2: float, beta3: float, weight: float, new3: float, along: Tensor, length: Tensor,
) -> None:  # fmt: skip
    """Update the moments; add weight <g, start - theta> to `along`, |s|_1 to `length`.

    new1 = (1 - beta1) d, new2 = (1 - beta2) d^2, new3 = the factor of g in s."""
    along.add_(weight * dot(g, start - theta))
    m.mul_(beta1).add_(g * new1)
    v.mul_(beta2).add_(g.square() * new2)
    s.mul_(beta3).add_(g * new3)
    length.add_(s.abs().sum())


@elementwise
def prodigy(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, s: Tensor, start: Tensor, step: float, eps: float, keep: float
) -> None:
    """Move theta, once the moments are known.

    step = lr_t d, eps is multiplied by d_{t+1}, keep = 1 - lr_t d weight_decay."""
    theta.mul_(keep).sub_(m.div(v.sqrt().add_(eps)).mul_(step))


class Prodigy(RuleOptimizer):
    """AdamW that takes an estimated distance to the solution as its learning rate."""

    rule = staticmethod(prodigy)
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
        d_coef: float,
        growth_rate: float | None,
        safeguard_warmup: bool,
        use_bias_correction: bool,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "d0": d0, "d_coef": d_coef}
        growth = math.inf if growth_rate is None else growth_rate
        safe = {"safeguard_warmup": safeguard_warmup, "use_bias_correction": use_bias_correction, "correction": 1.0}
        start = {"d": d0, "next": d0, "largest": d0, "r": 0.0}
        super().__init__(params, {**defaults, "growth_rate": growth, **safe, **start}, engine)

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return zero moments and a copy of the initial weights."""
        return {**super().new_state(theta, group), "start": theta.detach().clone()}

    def before_step(self, active: list[Active]) -> None:
        """Update the moments of every tensor, then the distance d for all tensors.

        The numbers of the groups that follow from gradients stay on the device, where nobody waits for them."""
        if not active:
            return
        first, device = self.param_groups[0], active[0].theta.device
        d, largest, r = (on_device(first[name], device) for name in ("next", "largest", "r"))
        beta3 = math.sqrt(first["betas"][1])
        correction = bias_correction(first["betas"], max(one.state["step"] for one in active))
        correction = correction if first["use_bias_correction"] else 1.0
        for group in self.param_groups:
            group.update(d=d, correction=correction)
        along, total = self.add_up(active)
        r = beta3 * r + along
        estimate = torch.where(total > 0, first["d_coef"] * r / total, d)
        largest = torch.fmax(largest, estimate)  # NaN, which the weights show, is not the largest
        for group in self.param_groups:
            from_here = torch.where(d == group["d0"], torch.fmax(d, estimate), d)  # the first growth is not limited
            following = torch.minimum(largest, from_here * group["growth_rate"])
            group.update(next=following, largest=largest, r=r)

    def summing_numbers(self, group: ParamGroup) -> tuple[float | Tensor, ...]:
        """Return beta1, (1 - beta1) d, beta2, (1 - beta2) d^2, beta3, and the factors of g in r and in s."""
        (beta1, beta2), d = group["betas"], group["d"]
        unscaled = d / group["d0"] * d
        weight = unscaled * group["lr"] * group["correction"]
        in_s = unscaled if group["safeguard_warmup"] and group["lr"] > 0 else weight * 1  # no tensor twice
        return beta1, (1 - beta1) * d, beta2, (1 - beta2) * d * d, math.sqrt(beta2), weight, in_s

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float | Tensor, ...]:
        """Return lr_t d, eps times the new d, 1 - lr_t d weight_decay."""
        step = group["lr"] * group["correction"] * group["d"]
        return step, group["next"] * group["eps"], 1 - step * group["weight_decay"]


def bias_correction(betas: tuple[float, float], t: int) -> float:
    """Return sqrt(1 - beta2^t) / (1 - beta1^t)."""
    return math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)


def on_device(number: float | Tensor, device: torch.device) -> Tensor:
    """Return a number of a group as a 0-d float64 tensor: it begins as a float, and a checkpoint may have moved it."""
    if isinstance(number, Tensor):
        return number.to(device)
    return torch.full((), number, dtype=torch.float64, device=device)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product, a scalar in the tensors' dtype."""
    return (a * b).sum() if torch.compiler.is_compiling() else torch.dot(a.reshape(-1), b.reshape(-1))
