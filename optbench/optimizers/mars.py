r"""MARS-AdamW (Yuan et al., 2024, MARS: Unleashing the Power of Variance Reduction for Training Large Models,
arXiv:2411.10438, algorithm 2). This is the approximate form: the last step's gradient stands in for the gradient of
this batch at the last parameters.

    c_t     = g_t + gamma beta1 / (1 - beta1) (g_t - g_{t-1})     (g_t in the first step)
    c_t     = c_t / max(1, |c_t|)                                 per tensor
    theta_t = AdamW's step with c_t in place of g_t

As in the authors' code, this holds for parameters of two dimensions; the others follow AdamW with `lr_1d` and
`betas_1d`, unless `optimize_1d` is set. (Their code decays one-dimensional parameters at a rate of its own, 0.1; here
weight_decay serves all that are not spared.) Defaults: betas (0.95, 0.99), gamma 0.025, eps 1e-8, betas_1d (0.9, 0.95).
State: m, v and, under MARS, the last gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.adam import adam_numbers, adamw
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, Rule


def mars(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, last: Tensor, step: float, new1: float, new2: float, eps: float,
    keep: float, extrapolate: float,
) -> None:  # fmt: skip
    """Take one step in place; extrapolate = gamma beta1 / (1 - beta1), 0 in the first step; the rest is AdamW's."""
    c = g + extrapolate * (g - last)
    adamw(theta, c / c.square().sum().sqrt().clamp(min=1.0), m, v, step, new1, new2, eps, keep)
    last.copy_(g)


class MARS(RuleOptimizer):
    """AdamW on variance-reduced gradients, for matrices; AdamW for the rest."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        gamma: float,
        optimize_1d: bool,
        lr_1d: float,
        betas_1d: tuple[float, float],
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "gamma": gamma, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "reduced": True}, engine)
        if not optimize_1d:
            self._set_apart(lr_1d, betas_1d)

    def _set_apart(self, lr: float, betas: tuple[float, float]) -> None:
        """Give parameters that are not of two dimensions groups of their own."""
        groups, self.param_groups = self.param_groups, []
        for group in groups:
            for reduced, settings in ((True, {}), (False, {"lr": lr, "betas": betas})):
                chosen = [theta for theta in group["params"] if (theta.ndim == 2) == reduced]
                if chosen:
                    self.add_param_group({**group, **settings, "params": chosen, "reduced": reduced})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule of the group."""
        return mars if group["reduced"] else adamw

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return two moments, and the last gradient under MARS."""
        names = ("m", "v", "last") if group["reduced"] else ("m", "v")
        return {name: torch.zeros_like(theta) for name in names}

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return AdamW's numbers and, under MARS, the extrapolation."""
        numbers = *adam_numbers(group, t), 1 - group["lr"] * group["weight_decay"]
        if not group["reduced"]:
            return numbers
        beta1 = group["betas"][0]
        return *numbers, group["gamma"] * beta1 / (1 - beta1) if t > 1 else 0.0
