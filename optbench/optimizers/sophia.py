r"""Sophia (Liu et al., 2023, Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training,
arXiv:2305.14342, algorithm 3).

    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    h_t     = beta2 h_{t-1} + (1 - beta2) estimate                 every `interval` steps, from the first on
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr clip(m_t / max(rho h_t, eps), -1, 1)

The estimate of the Hessian's diagonal is
  Sophia-G  the batch size times the squared gradient of the mean loss at labels sampled from the model (algorithm 2)
  Sophia-H  z * Hz for z with Gaussian elements (Hutchinson, algorithm 1)

Neither uses the batch's own labels. Defaults of the authors' code for G: betas (0.965, 0.99), rho 0.04, interval 10;
their `bs` is our batch size. State: m and h.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.contracts import Problem
from optbench.optimizers.core.curvature import curvature_of
from optbench.optimizers.core.engine import Active, RuleOptimizer
from optbench.optimizers.core.every import every_interval
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def sophia(
    theta: Tensor, g: Tensor, m: Tensor, h: Tensor, lr: float, new1: float, rho: float, eps: float, keep: float
) -> None:
    """Take one step in place; new1 = 1 - beta1, keep = 1 - lr * weight_decay."""
    lerp_(m, g, new1)
    theta.mul_(keep).sub_(m.div((h * rho).clamp_(min=eps)).clamp_(-1, 1).mul_(lr))


class Sophia(RuleOptimizer):
    """A clipped step, preconditioned by an estimate of the Hessian's diagonal; a subclass gives the estimate."""

    rule = staticmethod(sophia)
    state_names = ("m", "h")

    def __init__(
        self,
        params: ParamsT,
        *,
        problem: Problem,
        lr: float,
        betas: tuple[float, float],
        rho: float,
        eps: float,
        weight_decay: float,
        interval: int,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "interval": interval, "steps": 0}, engine)
        self.problem = problem

    def estimates(self, thetas: list[Tensor]) -> list[Tensor]:
        """Return the estimated diagonal for each tensor."""
        raise TypeError(f"{type(self).__name__} does not define estimates()")

    def before_step(self, active: list[Active]) -> None:
        """Update the estimate if it is due."""
        if not every_interval(self.param_groups) or not active:
            return
        with torch.enable_grad():
            estimates = self.estimates([theta for theta, _, _ in active])
        for (_, group, state), estimate in zip(active, estimates, strict=True):
            state["h"].lerp_(estimate.to(state["h"].dtype), 1 - group["betas"][1])

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - beta1, rho, eps, 1 - lr * weight_decay."""
        return group["lr"], 1 - group["betas"][0], group["rho"], group["eps"], 1 - group["lr"] * group["weight_decay"]


class SophiaG(Sophia):
    """Sophia with the Gauss-Newton-Bartlett estimate."""

    def estimates(self, thetas: list[Tensor]) -> list[Tensor]:
        """Return the batch size times the squared gradient at sampled labels."""
        gradients, count = curvature_of(self.problem).sampled_gradients(thetas)
        return [count * g.square() for g in gradients]


class SophiaH(Sophia):
    """Sophia with Hutchinson's estimate and Gaussian probes."""

    def estimates(self, thetas: list[Tensor]) -> list[Tensor]:
        """Return z * Hz."""
        probes = [torch.randn_like(theta) for theta in thetas]
        products = curvature_of(self.problem).hessian_products(thetas, probes)
        return [z * hz for z, hz in zip(probes, products, strict=True)]
