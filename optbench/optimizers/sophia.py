r"""Sophia (Liu et al., 2023, Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training,
arXiv:2305.14342, algorithm 3).

    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    h_t     = beta2 h_{t-1} + (1 - beta2) estimate                 every `interval` steps, from the first on
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr clip(m_t / max(rho h_t, eps), -1, 1)

The estimate of the Hessian's diagonal is
  Sophia-G  the batch size times the squared gradient of the mean loss at labels sampled from the model (algorithm 2)
  Sophia-H  z * Hz for z with Gaussian elements (Hutchinson, algorithm 1)

Both come from the run's curvature, never from the batch's own labels. Defaults of the authors' code for G: betas
(0.965, 0.99), rho 0.04, interval 10; their `bs` is our batch size. State: m and h.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import Problem
from optbench.optimizers.core.engine import Active, RuleOptimizer, elementwise, mix
from optbench.optimizers.core.every import count_and_see


@elementwise
def sophia(
    theta: Tensor, g: Tensor, m: Tensor, h: Tensor, lr: float, new1: float, rho: float, eps: float, keep: float
) -> None:
    """One step in place; new1 = 1 - beta1, keep = 1 - lr * weight_decay."""
    mix(m, g, new1)
    theta.mul_(keep).sub_(m.div((h * rho).clamp_(min=eps)).clamp_(-1, 1).mul_(lr))


class Sophia(RuleOptimizer):
    """A clipped step preconditioned by an estimate of the Hessian's diagonal; a subclass says which."""

    rule = staticmethod(sophia)
    state_names = ("m", "h")

    def __init__(
        self,
        params: Iterable[Any],
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
        """The estimated diagonal for each tensor."""
        raise TypeError(f"{type(self).__name__} does not say its estimate")

    def before_step(self, active: list[Active]) -> None:
        """A new estimate where one is due."""
        if not count_and_see(self.param_groups) or not active:
            return
        with torch.enable_grad():
            estimates = self.estimates([theta for theta, _, _ in active])
        for (_, group, state), estimate in zip(active, estimates, strict=True):
            state["h"].lerp_(estimate.to(state["h"].dtype), 1 - group["betas"][1])

    def hyperparameters(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
        """lr, 1 - beta1, rho, eps, 1 - lr * weight_decay."""
        return group["lr"], 1 - group["betas"][0], group["rho"], group["eps"], 1 - group["lr"] * group["weight_decay"]


class SophiaG(Sophia):
    """With the Gauss-Newton-Bartlett estimate."""

    def estimates(self, thetas: list[Tensor]) -> list[Tensor]:
        """Batch size times the squared gradient at sampled labels."""
        gradients, count = self.problem.curvature.sampled_gradients(thetas)
        return [count * g.square() for g in gradients]


class SophiaH(Sophia):
    """With Hutchinson's estimate, Gaussian probes."""

    def estimates(self, thetas: list[Tensor]) -> list[Tensor]:
        """z * Hz."""
        probes = [torch.randn_like(theta) for theta in thetas]
        products = self.problem.curvature.hessian_products(thetas, probes)
        return [z * hz for z, hz in zip(probes, products, strict=True)]
