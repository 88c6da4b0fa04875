r"""MARS-AdamW (Yuan et al., 2024, MARS: Unleashing the Power of Variance Reduction for Training Large Models,
arXiv:2411.10438, algorithm 2). This is the approximate form: the last step's gradient stands in for the gradient of
this batch at the last parameters.

    c_t     = g_t + gamma beta1 / (1 - beta1) (g_t - g_{t-1})     (g_t in the first step)
    c_t     = c_t / max(1, |c_t|)                                 per tensor
    theta_t = AdamW's step with c_t in place of g_t

Defaults: betas (0.95, 0.99), gamma 0.025, eps 1e-8. State: m, v and the last gradient.
"""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.adam import adam_numbers, adamw
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup


def mars(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, last: Tensor, step: float, new1: float, new2: float, eps: float,
    keep: float, extrapolate: float,
) -> None:  # fmt: skip
    """Take one step in place; extrapolate = gamma beta1 / (1 - beta1), 0 in the first step; the rest is AdamW's."""
    c = g + extrapolate * (g - last)
    adamw(theta, c / c.square().sum().sqrt().clamp(min=1.0), m, v, step, new1, new2, eps, keep)
    last.copy_(g)


class MARS(RuleOptimizer):
    """AdamW on variance-reduced gradients."""

    rule = staticmethod(mars)
    state_names = ("m", "v", "last")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        gamma: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "gamma": gamma, "weight_decay": weight_decay}
        super().__init__(params, defaults, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return AdamW's numbers and the extrapolation."""
        beta1 = group["betas"][0]
        extrapolate = group["gamma"] * beta1 / (1 - beta1) if t > 1 else 0.0
        return *adam_numbers(group, t), 1 - group["lr"] * group["weight_decay"], extrapolate
