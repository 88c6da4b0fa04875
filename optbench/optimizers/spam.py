r"""SPAM (Huang et al., 2025, SPAM: Spike-Aware Adam with Momentum Reset for Stable LLM Training, arXiv:2501.06842,
algorithm 1, as in the authors' code with all entries trained): AdamW that clips spikes of a gradient and forgets its
moments at intervals.

    m_{t-1} = v_{t-1} = 0 where k_t = 0, which is a reset
    k_t     = t mod reset_interval
    g_t     = sign(g_t) sqrt(threshold v_{t-1})          where g_t^2 is larger than its square, if k_t >= clip_after
    m_t, v_t   as Adam's
    s_t     = 1 - 0.99 (1 + cos(pi k_t / (warmup_steps + 1))) / 2   after a first reset, if k_t < warmup_steps; else 1
    theta_t = (1 - lr weight_decay) (theta_{t-1} - lr s_t sqrt(1 - beta2^t) / (1 - beta1^t) m_t / (sqrt(v_t) + eps))

A reset does not restart the corrections of the bias. Defaults: betas (0.9, 0.999), eps 1e-6, threshold 5000,
reset_interval 500, warmup_steps 150, clip_after 20. State: m and v.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def spam(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, step: float, new1: float, new2: float, eps: float, shrink: float,
    limit: float, memory: float,
) -> None:  # fmt: skip
    """Take one step in place.

    memory is 0 in the step of a reset, else 1; limit is the threshold, infinity where spikes pass; new = 1 - beta,
    step = lr s sqrt(1 - beta2^t) / (1 - beta1^t), shrink = 1 - lr * weight_decay."""
    m.mul_(memory)
    v.mul_(memory)
    largest = v * limit
    g = torch.where(g.square() > largest, g.sign() * largest.sqrt(), g)
    lerp_(m, g, new1)
    lerp_(v, g.square(), new2)
    theta.sub_(m.div(v.sqrt().add_(eps)).mul_(step)).mul_(shrink)


class SPAM(RuleOptimizer):
    """AdamW with clipped spikes and momentum resets."""

    rule = staticmethod(spam)
    state_names = ("m", "v")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        threshold: float,
        reset_interval: int,
        warmup_steps: int,
        clip_after: int,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "threshold": threshold}
        resets = {"reset_interval": reset_interval, "warmup_steps": warmup_steps, "clip_after": clip_after}
        super().__init__(params, {**defaults, **resets}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return the step size, 1 - beta of both, eps, 1 - lr * weight_decay, the spikes' limit, the memory."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        resets, since = divmod(t, group["reset_interval"])
        warm = warmth(since, group["warmup_steps"]) if resets else 1.0
        step = lr * warm * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        limit = group["threshold"] if since >= group["clip_after"] else math.inf
        return step, 1 - beta1, 1 - beta2, group["eps"], 1 - lr * group["weight_decay"], limit, float(since > 0)


def warmth(since: int, warmup: int) -> float:
    """Return the share of the step size this many steps after a reset, on a cosine from 0.01 to 1."""
    return 1 - 0.99 * (1 + math.cos(math.pi * since / (warmup + 1))) / 2 if since < warmup else 1.0
