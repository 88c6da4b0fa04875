r"""AMSGrad (Reddi, Kale and Kumar, 2018, On the Convergence of Adam and Beyond, arXiv:1904.09237, algorithm 2).

    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    v_t     = beta2 v_{t-1} + (1 - beta2) g_t^2
    vhat_t  = max(vhat_{t-1}, v_t)
    theta_t = theta_{t-1} - lr m_t / (sqrt(vhat_t) + eps)

Three rules have this name; `variant` chooses one:
  paper  as above, without bias corrections (eps, which the paper lacks, keeps the first steps finite)
  torch  the maximum of the uncorrected v_t; then both moments are bias-corrected
  optax  v_t is bias-corrected before the maximum; m_t is bias-corrected

Defaults: betas (0.9, 0.999), eps 1e-8, all moments zero. Decay is coupled (L2). State: m, v, vhat.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def amsgrad(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, vhat: Tensor,
    step: float, new1: float, new2: float, grow: float, eps: float, l2: float,
) -> None:  # fmt: skip
    """Take one step in place: vhat = max(vhat, grow * v); theta -= step * m / (sqrt(vhat) + eps).

    step and eps include the bias correction of sqrt(vhat)."""
    g = g + l2 * theta
    lerp_(m, g, new1)
    lerp_(v, g.square(), new2)
    vhat.copy_(torch.maximum(vhat, v * grow))
    theta.sub_(m.div(vhat.sqrt().add_(eps)).mul_(step))


class AMSGrad(RuleOptimizer):
    """Adam whose second moment never falls."""

    rule = staticmethod(amsgrad)
    state_names = ("m", "v", "vhat")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        variant: str,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "variant": variant}
        super().__init__(params, defaults, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return step, 1 - beta1, 1 - beta2, grow, eps, weight decay."""
        beta1, beta2 = group["betas"]
        corrected1, corrected2 = 1 - beta1**t, 1 - beta2**t
        step, grow, root = {
            "paper": (1.0, 1.0, 1.0),
            "torch": (1 / corrected1, 1.0, math.sqrt(corrected2)),
            "optax": (1 / corrected1, 1 / corrected2, 1.0),
        }[group["variant"]]
        return group["lr"] * step * root, 1 - beta1, 1 - beta2, grow, group["eps"] * root, group["weight_decay"]
